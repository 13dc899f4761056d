"""One Penstock with everything it needs, each server behind a proxy that can misbehave. Roles that die are started again at once, as a
service manager would."""
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
from penstock_ops import ROOT, ports
from penstock_ops.mail_sink import MailSink
from penstock_ops.penstock import Api, Role, Sim, migrate
from penstock_ops.postgres_server import Postgres
from penstock_ops.processes import children_of
from penstock_ops.redis_server import Redis
from proxy import Proxy
from redis_log import cut_log

LEASE_MS = 500
EXAMPLES = ROOT / "jobs" / "custom" / "examples"
HANDLER_SECRET = "whsec_aGFuZGxlci1zZWNyZXQtaGFuZGxlci1zZWNyZXQ="


def example_handlers() -> dict[str, list[str]]:
    """The handlers of declared types that can be run here: name → program and file."""
    found = {"python": [sys.executable, "handler.py"], "node": ["node", "handler.js"]}
    return {name: argv for name, argv in found.items() if shutil.which(argv[0])}


class Cluster:
    def __init__(self, run_dir: Path, build: Path, seed: int):
        self.dir, self.build, self.seed = run_dir, build, seed
        run_dir.mkdir(parents=True, exist_ok=True)
        secrets = run_dir / "secrets"
        secrets.mkdir(exist_ok=True, mode=0o700)
        (secrets / "servers").write_text("sweep-password\n")
        (secrets / "provider").write_text("sim-secret\n")
        self.redis = Redis(run_dir)
        self.postgres = Postgres(run_dir, settings={"max_connections": "200"})
        self.mail = MailSink(run_dir)
        self.sim = Sim(run_dir, build, secrets / "provider")
        self.proxies: dict[str, Proxy] = {}
        self.handlers: list[subprocess.Popen] = []
        self.types: list[str] = []
        self.spec = run_dir / "faults"
        self.hits = run_dir / "hits"
        self.conf = run_dir / "penstock.conf"
        self.roles: dict[str, Role] = {}
        self.deaths: dict[str, int] = {}
        self._stop = threading.Event()
        self._keeper: threading.Thread | None = None
        self._lock = threading.RLock()

    def start(self) -> None:
        for server in (self.redis, self.postgres, self.mail, self.sim):
            server.start()
        for name, server in (("redis", self.redis), ("postgres", self.postgres), ("sim", self.sim)):
            self.proxies[name] = Proxy(self.build, server.port)
        self.arm("")
        self._start_handlers()
        self.conf.write_text(self._conf_text(), encoding="utf-8")
        migrate(self.dir, self.build, self.conf, self.postgres.admin_url, self.redis.admin_url)
        self.roles = self._make_roles()
        for role in self.roles.values():
            role.start()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def _make_roles(self) -> dict[str, Role]:
        armed = {"PENSTOCK_FAULT": f"@{self.spec}", "PENSTOCK_FAULT_LOG": str(self.hits)}
        return {
            "scheduler": Role(self.dir, self.build, "scheduler", self.conf, armed),
            "worker": Role(self.dir, self.build, "worker", self.conf, armed),
            "api": Api(self.dir, self.build, self.conf, settings=armed),
        }

    def _start_handlers(self) -> None:
        for name, argv in example_handlers().items():
            port = ports.any_free()
            env = {"PATH": os.environ["PATH"], "HANDLER_SECRET": HANDLER_SECRET}
            self.handlers.append(subprocess.Popen([argv[0], str(EXAMPLES / argv[1]), str(port)], env=env, cwd=self.dir, stderr=subprocess.DEVNULL))
            self.types.append(f'{{ name = "count.{name}"; handler = "http://{ports.HOST}:{port}/"; schema = "{EXAMPLES}/text.count.json"; retry_cap_ms = 2000; }}')
        self.declare()

    def declare(self, *more: str) -> None:
        """Writes types.conf; who is running reads it on HUP."""
        fresh = self.dir / "types.conf.new"
        fresh.write_text("types = (" + ",\n".join([*self.types, *more]) + ");\n", encoding="utf-8")
        fresh.rename(self.dir / "types.conf")

    def _conf_text(self) -> str:
        secret = self.dir / "secrets" / "servers"
        return f"""
redis = {{ url = "redis://127.0.0.1:{self.proxies['redis'].port}"; password_file = "{secret}"; command_ms = 1000; }};
postgres = {{ url = "postgresql://127.0.0.1:{self.proxies['postgres'].port}/penstock"; password_file = "{secret}"; statement_ms = 2000; connect_ms = 1000; }};
worker = {{ lease_ms = {LEASE_MS}; block_ms = 500; drain_ms = 3000; }};
webhook = {{ secret = "whsec_c3dlZXAtc2VjcmV0LXN3ZWVwLXNlY3JldA=="; allow_cidr = "127.0.0.0/8"; }};
handler = {{ types = "{self.dir}/types.conf"; secret = "{HANDLER_SECRET}"; allow_cidr = "127.0.0.0/8"; }};
mail = {{ url = "{self.mail.url}"; }};
payments = {{ provider_url = "http://127.0.0.1:{self.proxies['sim'].port}"; provider_secret = "sim-secret"; call_ms = 1000; lateness_ms = 500; }};
log = {{ level = "warn"; }};
"""

    # roles
    @property
    def api_url(self) -> str:
        return self.roles["api"].url

    def arm(self, spec: str) -> None:
        """What processes read when they start; those alive stay as they are."""
        fresh = self.spec.with_name("faults.new")
        fresh.write_text(f"seed:{self.seed};{spec}\n", encoding="ascii")
        fresh.rename(self.spec)

    def _keep(self) -> None:
        while not self._stop.wait(0.05):
            for name, role in self.roles.items():
                with self._lock:
                    if not self._stop.is_set() and not role.is_running():
                        self.deaths[name] = self.deaths.get(name, 0) + 1
                        self._start_again(role)

    @staticmethod
    def _start_again(role: Role) -> None:
        """Without waiting for it to be ready: it may die first."""
        role._child = role._spawn()  # noqa: SLF001 — start() waits and gives up, which is right everywhere but here
        from penstock_ops.processes import record
        record(role.run_dir, role.role, role.pid)

    def pin(self, workers: int) -> None:
        """So many worker processes for each queue, whatever the autoscaler thinks."""
        with psycopg.connect(self.postgres.admin_url, autocommit=True) as db:
            db.execute("UPDATE platform.desired_workers SET pinned = true, workers = %s", [workers])

    def worker_pids(self) -> list[int]:
        return children_of(self.roles["worker"].pid) if self.roles["worker"].is_running() else []

    def kill_role(self, name: str) -> None:
        with self._lock:
            if self.roles[name].is_running():
                os.kill(self.roles[name].pid, signal.SIGKILL)

    def disarm_and_restart(self) -> None:
        """Every process anew, without failpoints."""
        self.arm("")
        for name in self.roles:
            self.kill_role(name)
        time.sleep(0.2)

    def hit_counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        if self.hits.exists():
            for line in self.hits.read_text(encoding="ascii").splitlines():
                name = line.split(" ", 1)[0]
                counts[name] = counts.get(name, 0) + 1
        return counts

    # servers
    def cut_redis_log(self, rng) -> int:
        return cut_log(self.redis, rng.randrange(1, 200_000))

    def redis_do(self, *words: str) -> str:
        done = subprocess.run(["redis-cli", "-u", self.redis.admin_url, "--no-auth-warning", *words], capture_output=True, text=True,
                              timeout=20, check=True)
        return done.stdout

    def close(self) -> None:
        self._stop.set()
        if self._keeper is not None:
            self._keeper.join(10)
        with self._lock:
            for role in self.roles.values():
                role.stop(signal.SIGKILL)
        for handler in self.handlers:
            handler.kill()
            handler.wait()
        for proxy in self.proxies.values():
            proxy.close()
        for server in (self.sim, self.mail, self.postgres, self.redis):
            server.stop()
