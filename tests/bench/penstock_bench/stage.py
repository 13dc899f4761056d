"""One Penstock with its servers, all of them private, configured as shipped; and what is asked of them from outside."""
import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import redis
from penstock_ops import Problem, penstock, ports
from penstock_ops.mail_sink import MailSink
from penstock_ops.postgres_server import Postgres
from penstock_ops.processes import Server, children_of
from penstock_ops.redis_server import Redis
from penstock_ops.settings import Secrets, write_conf

from .profile import Profile

QUEUES = ("default", "orders", "payments", "notifications")
TAG = "pen:{default:0}"  # the keys of the one shard that the measured jobs go through
WAIT_SECONDS = 120


class PipedWorker(penstock.Role):
    """`penstock worker` whose log goes to a program of ours instead of a file."""

    def __init__(self, *arguments, log_to: int):
        super().__init__(*arguments)
        self.log_to = log_to

    def _spawn(self) -> subprocess.Popen:
        return subprocess.Popen(self.argv(), cwd=self.run_dir, env=self.environment(), stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=self.log_to, start_new_session=True)


class Worker:
    """A running `penstock worker`: the supervisor and one worker process for each queue."""

    def __init__(self, stage: "Stage", role: penstock.Role):
        self.stage, self.role = stage, role

    def pids(self) -> list[int]:
        return [self.role.pid, *children_of(self.role.pid)]

    def pid_of(self, queue: str) -> int:
        """The worker process of a queue."""
        for pid in children_of(self.role.pid):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"--queue" in words and words[words.index(b"--queue") + 1] == queue.encode():
                return pid
        raise Problem(f"no worker process serves {queue}")

    def await_reading(self) -> None:
        """Until every worker process waits in its blocking read."""
        self.stage.wait(lambda: self.stage.blocked_readers() >= len(QUEUES), "the worker to read its queues")

    def quiet(self) -> None:
        """It claims nothing more, and no read is on its way: those that wait are told that their time is up."""
        os.kill(self.role.pid, signal.SIGTSTP)
        self.stage.wait(lambda: not self.stage.unblock_readers(), "the worker to be quiet")

    def wake(self) -> None:
        os.kill(self.role.pid, signal.SIGCONT)

    def cpu_seconds(self) -> float:
        return sum(process_cpu_seconds(pid) for pid in self.pids())


def process_cpu_seconds(pid: int) -> float:
    """User and system time of a process; the scheduler's count, to the nanosecond."""
    with contextlib.suppress(OSError):
        return sum(int(f.read_text().split()[0]) for f in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9
    return 0.0


@contextlib.contextmanager
def limited(argv: list[str], **streams) -> Iterator[subprocess.Popen]:
    """A program that is ended with the block, or by the clock: whoever reads its output then sees the end of it."""
    with subprocess.Popen(argv, text=True, **streams) as program:
        limit = threading.Timer(WAIT_SECONDS, program.kill)
        limit.start()
        try:
            yield program
        finally:
            limit.cancel()
            program.kill()


class Stage:
    def __init__(self, run_dir: Path, build: Path, profile: Profile | None = None):
        self.dir, self.build, self.profile = run_dir, build, profile
        secrets = Secrets(run_dir)
        self.password = secrets.value("servers")
        self.redis_server = Redis(run_dir)
        self.postgres = Postgres(run_dir, settings={"track_commit_timestamp": "on"})  # tells when an effect was committed
        self.mail = MailSink(run_dir)
        self.sim = penstock.Sim(run_dir, build, secrets.file("provider"))
        self.conf = run_dir / "penstock.conf"
        self.api = penstock.Api(run_dir, build, self.conf)
        self.scheduler = penstock.Role(run_dir, build, "scheduler", self.conf)
        self.started: list[Server] = []
        self.secrets = secrets

    def __enter__(self) -> "Stage":
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _start(self) -> None:
        for server in (self.redis_server, self.postgres, self.mail, self.sim):
            self._run(server)
        write_conf(self.conf, {
            "redis.url": self.redis_server.url, "redis.password_file": str(self.secrets.file("servers")),
            "postgres.url": self.postgres.url, "postgres.password_file": str(self.secrets.file("servers")),
            "webhook.secret": self.secrets.value("webhook"), "webhook.allow_cidr": "127.0.0.0/8",
            "mail.url": self.mail.url, "payments.provider_url": self.sim.url,
            "payments.provider_secret": self.secrets.value("provider"),
        })
        penstock.migrate(self.dir, self.build, self.conf, self.postgres.admin_url, self.redis_server.admin_url)
        self.redis = redis.Redis.from_url(self.redis_server.admin_url)
        self.db = psycopg.connect(self.postgres.admin_url, autocommit=True)
        # One process for each queue that is measured, and nobody who makes it two.
        self.db.execute("UPDATE platform.desired_workers SET pinned = true, workers = (queue = ANY(%s))::int", [list(QUEUES)])
        for role in (self.scheduler, self.api):
            self._run(role)

    def _run(self, server: Server) -> None:
        server.start()
        self.started.append(server)

    def close(self) -> None:
        while self.started:
            self.started.pop().stop()

    @contextlib.contextmanager
    def worker(self, log_to: int | None = None, settings: dict[str, str] | None = None):
        """A fresh worker, reading; its log goes to the descriptor log_to, or to a file. settings: more of PENSTOCK_… for it."""
        arguments = (self.dir, self.build, "worker", self.conf, settings)
        role = penstock.Role(*arguments) if log_to is None else PipedWorker(*arguments, log_to=log_to)
        role.start()
        try:
            worker = Worker(self, role)
            worker.await_reading()
            yield worker
        finally:
            role.stop()
            if log_to is None:
                role.log.unlink(missing_ok=True)  # a line for each attempt of millions

    # asking
    def wait(self, condition, what: str, seconds: float = WAIT_SECONDS) -> None:
        if not ports.wait_until(condition, seconds):
            raise Problem(f"waited {seconds:.0f} s for {what}; logs are in {self.dir}/log")

    def blocked_readers(self) -> int:
        return self.redis.info("clients")["blocked_clients"]

    def unblock_readers(self) -> int:
        """How many there were."""
        blocked = [client for client in self.redis.client_list() if "b" in client["flags"]]
        for client in blocked:
            self.redis.client_unblock(int(client["id"]))
        return len(blocked)

    def redis_cpu_seconds(self) -> float:
        cpu = self.redis.info("cpu")
        return cpu["used_cpu_user"] + cpu["used_cpu_sys"]

    def redis_bytes(self) -> int:
        """What the data takes: without buffers that come and go."""
        memory = self.redis.info("memory")
        return memory["used_memory"] - memory["mem_aof_buffer"] - memory["mem_clients_normal"]

    def depth(self) -> int:
        """Entries of the measured shard: those that wait, and what a worker holds."""
        return self.redis.xlen(f"{TAG}:s")

    def settle_down(self) -> None:
        """Until Redis rewrites no log: that would be charged to whoever is measured next."""
        self.wait(lambda: not self.redis.info("persistence")["aof_rewrite_in_progress"], "Redis to rewrite its log")

    def forget_keys(self) -> None:
        """The dedupe hashes: each measurement with keys begins with an empty one. Not UNLINK: it frees while the next one measures."""
        self.redis.delete(f"{TAG}:i:0", f"{TAG}:i:1")

    def checkpoint(self) -> None:
        """What is written next writes whole pages to the log, whoever writes it."""
        self.db.execute("CHECKPOINT")

    @staticmethod
    def must(condition: bool, otherwise: str) -> None:
        """A figure of work that was not done right is none."""
        if not condition:
            raise Problem(otherwise)

    def rows(self, sql: str, *values) -> list[tuple]:
        return self.db.execute(sql, values).fetchall()

    def profiled(self, row: str, ours):
        """While this row is measured; ours(): the process ids that count beside the servers'."""
        if self.profile is None:
            return contextlib.nullcontext()
        return self.profile.of(row, lambda: {"server": [self.redis_server.pid, *children_of(self.postgres.pid)], "ours": ours()})

    # the small programs
    def tool_argv(self, name: str, *arguments) -> list[str]:
        return [str(self.build / "tests" / "bench" / name), *map(str, arguments)]

    def redis_arguments(self, user: str = "admin", password: str | None = None) -> list[str]:
        """Of redis_probe, and of ours as one of Penstock's roles."""
        return ["--port", str(self.redis_server.port), "--user", user, "--password", password or self.redis_server.password]

    def tool(self, name: str, *arguments, row: str | None = None) -> dict:
        """Runs a program to its end; its one line of JSON. With a row it is what is measured."""
        started: list[int] = []
        with self.profiled(row, lambda: started) if row else contextlib.nullcontext():
            argv = self.tool_argv(name, *arguments)
            with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
                started.append(program.pid)
                said, complaint = program.communicate(timeout=WAIT_SECONDS)
        if program.returncode != 0:
            raise Problem(f"{name} {' '.join(map(str, arguments[:1]))}: {complaint.strip()}")
        return json.loads(said)

    def probe(self, mode: str, *arguments) -> dict:
        return self.tool("redis_probe", mode, *self.redis_arguments(), *arguments)
