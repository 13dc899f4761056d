"""A whole Penstock on ephemeral ports: servers, migration, roles. Settings by "group.name" as in base/conf.def."""
import json
import os
import re
import signal
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis
import requests

from penstock_ops import ROOT, ports, processes
from penstock_ops.mail_sink import MailSink
from penstock_ops.penstock import Api, Role, Sim, migrate
from penstock_ops.postgres_server import Postgres
from penstock_ops.redis_server import Redis
from penstock_ops.settings import Secrets, write_conf

BUILD = Path(os.environ.get("TEST_BUILD", ROOT / "build" / "dev"))
PLAIN_BUILD = Path(os.environ.get("TEST_PLAIN_BUILD", ROOT / "build" / "fault"))  # without sanitizers, for what they do not bear with
TERMINAL = ("done", "dead", "cancelled", "expired")
WAIT_S = 30
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[78][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
NO_PROFILES = {"XDG_CONFIG_HOME": "/nonexistent"}


class Stack:
    def __init__(self, run_dir: Path, settings: dict[str, str | int] | None = None, build: Path = BUILD):
        self.build = build
        self.dir = Path(run_dir)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.settings = settings or {}
        secrets = Secrets(self.dir)
        self.redis = Redis(self.dir)
        self.postgres = Postgres(self.dir)
        self.mail = MailSink(self.dir)
        self.sim = Sim(self.dir, build, secrets.file("provider"))
        self.conf = self.dir / "penstock.conf"
        self.secrets = secrets
        self.api: Api | None = None
        self.roles: dict[str, Role] = {}

    def start(self, roles: tuple[str, ...] = ("scheduler", "worker"), sql: str = "SELECT 1") -> "Stack":
        """sql: run before there is a process of ours. Each queue has one worker process until a test says otherwise."""
        for server in (self.redis, self.postgres, self.mail, self.sim):
            server.start()
        self.write_conf()
        migrate(self.dir, self.build, self.conf, self.postgres.admin_url, self.redis.admin_url)
        self.sql("UPDATE platform.desired_workers SET pinned = true")
        self.sql(sql)
        self.api = Api(self.dir, self.build, self.conf)
        self.api.start()
        for name in roles:
            self.roles[name] = Role(self.dir, self.build, name, self.conf)
            self.roles[name].start()
        return self

    def write_conf(self) -> None:
        write_conf(self.conf, {
            "redis.url": self.redis.url, "redis.password_file": str(self.secrets.file("redis")),
            "postgres.url": self.postgres.url, "postgres.password_file": str(self.secrets.file("postgres")),
            "webhook.secret": self.secrets.value("webhook"), "webhook.allow_cidr": "127.0.0.0/8",
            "mail.url": self.mail.url, "payments.provider_url": self.sim.url,
            "payments.provider_secret": self.secrets.value("provider"), **self.settings,
        })

    def stop(self) -> None:
        """What a role left behind is ended too; a role that ends badly (a sanitizer's report) is an error."""
        bad = []
        for role in (self.api, *self.roles.values()):
            if role is not None:
                if role.is_running() and (not role.stop() or role.exit_code() != 0):
                    bad.append(f"{role.role} ended with {role.exit_code()}; its log is {role.log}")
        for server in (self.sim, self.mail, self.postgres, self.redis):
            server.stop()
        for _, pid in processes.recorded(self.dir):
            processes.end(self.dir, pid, signal.SIGKILL, 5)
        assert not bad, bad

    # Looking behind the API.
    def sql(self, query: str, *values):
        with psycopg.connect(self.postgres.admin_url, autocommit=True) as db:
            cursor = db.execute(query, values)
            return cursor.fetchall() if cursor.description else []

    def redis_client(self) -> redis.Redis:
        return redis.Redis.from_url(self.redis.admin_url, socket_timeout=5)

    def is_empty(self, queue: str) -> bool:
        """Nothing waits, runs or is delayed in its first shard."""
        r, shard = self.redis_client(), f"pen:{{{queue}:0}}"
        return r.xlen(f"{shard}:s") == 0 and r.zcard(f"{shard}:d") == 0


class Client:
    """Requests to one API, with one key or none."""

    def __init__(self, url: str, key: str = ""):
        self.url = url
        self.session = requests.Session()
        self.session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=128))
        if key:
            self.session.headers["Authorization"] = f"Bearer {key}"

    def ask(self, method: str, path: str, **more) -> requests.Response:
        return self.session.request(method, self.url + path, timeout=more.pop("timeout", WAIT_S + 15), **more)

    def get(self, path: str, **more) -> requests.Response:
        return self.ask("GET", path, **more)

    def post(self, path: str, body=None, key: str | None = None, **more) -> requests.Response:
        headers = {**more.pop("headers", {}), **({"Idempotency-Key": key} if key is not None else {})}
        return self.ask("POST", path, headers=headers, **({"json": body} if body is not None else {}), **more)

    def delete(self, path: str, **more) -> requests.Response:
        return self.ask("DELETE", path, **more)

    def enqueue(self, job_type: str, payload: dict | None = None, key: str | None = None, **members) -> dict:
        answer = self.post("/v1/jobs", {"type": job_type, "payload": payload or {}, **members}, new_key() if key is None else key)
        assert answer.status_code == 202, answer.text
        return answer.json()

    def job(self, job_id: str, wait: str = "") -> dict:
        answer = self.get(f"/v1/jobs/{job_id}" + (f"?wait={wait}" if wait else ""))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ended(self, job_id: str) -> dict:
        """The job when it has ended."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            job = self.job(job_id, "10s")
            if job.get("state") in TERMINAL:
                return job
        raise AssertionError(f"job {job_id} did not end: {job}")

    def until(self, job_id: str, state: str) -> dict:
        assert ports.wait_until(lambda: self.job(job_id).get("state") == state, WAIT_S), self.job(job_id)
        return self.job(job_id)


def new_key() -> str:
    return str(uuid.uuid4())


def order(**members) -> dict:
    return {"customer_id": "customer-1", "currency": "EUR",
            "lines": [{"sku": "mug-blue", "title": "Blue mug", "qty": 2, "unit_minor": 1250}],
            "payment": {"token": "tok_ok", "capture": False}, **members}


def problem(answer: requests.Response, status: int, code: str) -> dict:
    """The body, checked to be the problem that is meant."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    assert answer.headers["Content-Type"] == "application/problem+json", answer.headers
    body = answer.json()
    assert (body["status"], body["code"]) == (status, code), body
    assert body["title"] and len(body.get("trace_id", "0" * 32)) == 32
    return body


# ---- the operators' commands ----


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        return [line.split() for line in self.out.splitlines()]

    @property
    def json(self):
        return json.loads(self.out)


class Cli:
    def __init__(self, env: dict[str, str]):
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")} | NO_PROFILES | env

    def __call__(self, *words: str, code: int | None = 0, stdin: str = "", **env: str) -> Said:
        """code None: any will do."""
        done = subprocess.run([str(BUILD / "penstock"), *words], env=self.env | env, input=stdin, capture_output=True, text=True,
                              timeout=90, check=False)
        assert code in (None, done.returncode), f"{words}: {done.returncode}, not {code}\n{done.stdout}{done.stderr}"
        if code not in (None, 0, 1, 2) and words[0] != "doctor":
            assert done.stderr.startswith("penstock") and done.stderr.count("\n") == 1, done.stderr
        return Said(done.returncode, done.stdout, done.stderr)


def cli_of(stack: Stack) -> Cli:
    return Cli({"PENSTOCK_URL": stack.api.url, "PENSTOCK_CONFIG": str(stack.conf),
                "PENSTOCK_ADMIN_POSTGRES_URL": stack.postgres.admin_url})


def enqueued(said: Said) -> str:
    found = re.fullmatch(rf"job/({UUID}) enqueued\n", said.out)
    assert found, said.out
    return found[1]


def kill_one(cli: Cli) -> str:
    """A dead job's id."""
    said = cli("enqueue", "demo.fail", "-d", '{"permanent":true}', "--wait", "30s", code=1)
    return re.fullmatch(rf"job/({UUID}) dead\n", said.out)[1]
