"""Kinds of bad weather, and what is on its way meanwhile."""
import contextlib
import json
import os
import resource
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg

from observe import charged, log_size
from penstock_ops.postgres_server import Postgres
from penstock_ops.redis_server import BINARY, Redis
from proxied import ProxiedStack
from stack import WAIT_S, new_key, order

NOTES = 10            # jobs of each kind on their way when the weather turns
NOTE_BYTES = 1900     # four of them fill a page
BACK_S = 5            # "accepted again within 5 s of its return"
BACK_HALF_OPEN_S = 15


class HardyRedis(Redis):
    """Lives on when a file may not grow any more, as it does on a full disk: the signal that comes with it is ignored."""

    def executable(self) -> str:
        return "/bin/bash"

    def argv(self) -> list[str]:
        ignoring = 'trap "" XFSZ; exec -a redis-server "$0" "$1"'
        return ["bash", "-c", ignoring, BINARY, str(self.dir / "redis.conf")]


class SmallDiskPostgres(Postgres):
    """Sees a file system of its own, of 4 MB, at small; for root alone."""

    @property
    def small(self):
        return self.data.parent / "small"

    def argv(self) -> list[str]:
        self.small.mkdir(exist_ok=True)
        uid, gid = self._account.ids
        mount = f'mount -t tmpfs -o size=4m,mode=700,uid={uid},gid={gid} tmpfs "$0" && exec "$@"'
        return ["unshare", "-m", "--propagation", "private", "sh", "-c", mount, str(self.small), *super().argv()]


class WeatherStack(ProxiedStack):
    def __init__(self, run_dir, settings=None):
        super().__init__(run_dir, settings)
        self.redis = HardyRedis(self.dir)
        if can_mount():
            self.postgres = SmallDiskPostgres(self.dir)


def can_mount() -> bool:
    if os.geteuid() != 0:
        return False
    tried = subprocess.run(["unshare", "-m", "--propagation", "private", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
    return tried.returncode == 0


class Weather:
    back_s = BACK_S
    named_s = 5

    def __init__(self, stack, server: str):
        self.stack = stack
        self.server = {"redis": stack.redis, "postgres": stack.postgres, "mail": stack.mail}[server]
        self.proxy = stack.proxies[server]

    def begin(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        self.proxy.say("pass")


class Refused(Weather):
    def begin(self):
        self.proxy.close()

    def end(self):
        self.proxy.open()


class Reset(Weather):
    def begin(self):
        self.proxy.say("refuse")


class HalfOpen(Weather):
    """Neither side hears of the other; at the end the old connections are gone."""
    back_s = BACK_HALF_OPEN_S
    named_s = 15

    def begin(self):
        self.proxy.say("stall")

    def end(self):
        self.proxy.say("cut")
        self.proxy.say("pass")


class Restarted(Weather):
    def begin(self):
        self.server.kill9()

    def end(self):
        self.server.start()


class Slow(Weather):
    """Each answer takes up to half a second."""

    def begin(self):
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._over.is_set():
            self.proxy.say("stall")
            self._over.wait(0.4)
            self.proxy.say("pass")
            self._over.wait(0.1)

    def end(self):
        self._over.set()
        self._thread.join(WAIT_S)


class OutOfMemory(Weather):
    def begin(self):
        r = self.stack.redis_client()
        r.config_set("maxmemory-clients", 0)  # else it drops its clients first
        r.config_set("maxmemory", r.info("memory")["used_memory"] // 2)

    def end(self):
        r = self.stack.redis_client()
        r.config_set("maxmemory", "512mb")
        r.config_set("maxmemory-clients", "10%")


class LogFull(Weather):
    """Redis's append only file cannot grow: MISCONF."""

    def begin(self):
        log = max((self.server.dir / "appendonlydir").glob("*.incr.aof"), key=lambda f: f.stat().st_mtime)
        self.limit(log.stat().st_size)

    def end(self):
        self.limit(resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE)[1])

    def limit(self, size: int):
        hard = resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE, (size, hard))


class Replica(Weather):
    """READONLY: Redis was made a replica, and we have not been led elsewhere yet."""

    def begin(self):
        self.stack.redis_client().replicaof("127.0.0.1", 1)

    def end(self):
        self.stack.redis_client().replicaof("NO", "ONE")


class ReadOnly(Weather):
    def begin(self):
        self.say("ALTER SYSTEM SET default_transaction_read_only = on")

    def end(self):
        self.say("ALTER SYSTEM RESET default_transaction_read_only")

    def say(self, statement: str):
        self.stack.sql(statement)
        self.stack.sql("SELECT pg_reload_conf()")


class DataFull(Weather):
    """No room for new pages of the journal and of the effects."""

    TABLES = "platform.job", "custom.note"

    def begin(self):
        if not self.stack.sql("SELECT 1 FROM pg_tablespace WHERE spcname = 'small'"):
            self.stack.sql(f"CREATE TABLESPACE small LOCATION '{self.server.small}'")
        for table in self.TABLES:
            self.stack.sql(f"ALTER TABLE {table} SET TABLESPACE small")
        self.stack.sql("CREATE TABLE public.ballast (x text) TABLESPACE small")
        with contextlib.suppress(psycopg.errors.DiskFull):  # the pages stay, although nobody sees the rows
            self.stack.sql("INSERT INTO public.ballast SELECT repeat('x', 1000) FROM generate_series(1, 10000)")

    def end(self):
        self.stack.sql("DROP TABLE public.ballast")
        for table in self.TABLES:
            self.stack.sql(f"ALTER TABLE {table} SET TABLESPACE pg_default")


@dataclass
class Job:
    type: str
    key: str
    id: str = ""       # once accepted
    status: int = 0    # of the last answer


def post(client, job: Job, delay_ms: int = 0) -> Job:
    payload = {"text": job.key.ljust(NOTE_BYTES, ".")} if job.type == "demo.note" else {}
    answer = client.post("/v1/jobs", {"type": job.type, "payload": payload, "delay_ms": delay_ms}, job.key)
    job.status = answer.status_code
    job.id = answer.json()["id"] if answer.status_code == 202 else ""
    return job


def notes_of(stack, keys: list[str]) -> list[str]:
    """The keys of the notes that were written."""
    return [key for key, in stack.sql("SELECT rtrim(text, '.') FROM custom.note WHERE rtrim(text, '.') = ANY(%s)", keys)]


def send_mail(client, text: str = "It rains.") -> str:
    body = {"channel": "email", "to": "weather@example.com", "subject": "weather", "text": text}
    answer = client.post("/v1/notifications", body, new_key())
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


class Journey:
    """Jobs that begin before the weather, and must not notice."""

    def __init__(self, stack, client):
        self.stack, self.client = stack, client
        self.since = log_size(stack.roles["worker"].log)
        self.jobs = [post(client, Job(job_type, new_key()), delay_ms=200 * i) for job_type in ("demo.note", "demo.echo") for i in range(NOTES)]
        self.order = client.post("/v1/orders", order(customer_id=new_key()), new_key(), headers={"Prefer": "respond-async"}).json()["id"]
        self.mail = send_mail(client)

    def arrived(self) -> None:
        """Everything was done, once, and nothing was charged for it. A mail may have been sent again: its relay cannot be asked."""
        with ThreadPoolExecutor(8) as pool:
            ended = list(pool.map(self.client.ended, [job.id for job in self.jobs] + [self.order, self.mail]))
        assert {job["state"] for job in ended} == {"done"}, ended
        keys = [job.key for job in self.jobs if job.type == "demo.note"]
        assert sorted(notes_of(self.stack, keys)) == sorted(keys)
        # An order's id is the id of its job; the provider knows it by the operation's.
        operations = {str(op) for op, in self.stack.sql("SELECT o.id FROM payments.payment_op o JOIN payments.payment p ON p.id = o.payment_id "
                                                        "WHERE p.order_id = %s", self.order)}
        book = [json.loads(line) for line in self.stack.sim.book.read_text(encoding="utf-8").splitlines()]
        assert [line["op"] for line in book if line["reference"] in operations] == ["authorize"]
        assert f"{self.mail}@penstock" in {mail["message_id"] for mail in self.stack.mail.mails()}
        assert charged(self.stack, self.since) == []
