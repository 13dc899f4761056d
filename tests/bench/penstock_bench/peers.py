"""The peers: what each is, how it is installed (its registry's client, below .run/peers), and where its jobs are while it is measured."""
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from penstock_ops import ROOT, RUN, penstock, ports
from penstock_ops.processes import Server
from penstock_ops.steps import run_logged

from .stage import Stage, process_cpu_seconds

SOURCE, INSTALLED = ROOT / "tests" / "bench" / "peers", RUN / "peers"


@dataclass(frozen=True)
class Home:
    """How a peer's program reaches its server, and what that server has cost."""
    arguments: list[str]
    cpu_seconds: Callable[[], float]


@dataclass(frozen=True)
class Peer:
    name: str
    what: str
    jobs: int  # of the rows of throughput: what takes it some seconds
    install: Callable[["Peer"], None]
    program: Callable[[Stage], list]
    home: Callable[[Stage], contextlib.AbstractContextManager[Home]]

    @property
    def folder(self) -> Path:
        return INSTALLED / self.name

    def run_logged(self, what: str, argv: list, cwd: Path) -> None:
        run_logged(f"{what} {self.name}", argv, RUN / "log" / f"peer-{self.name}.log", cwd)


def by_npm(peer: Peer) -> None:
    shutil.copytree(SOURCE / peer.name, peer.folder, dirs_exist_ok=True)
    peer.run_logged("install", ["npm", "install", "--no-audit", "--no-fund"], peer.folder)


def by_go(peer: Peer, *more: str) -> None:
    """One module for all of them; a program has the name of its package."""
    peer.run_logged("build", ["go", "build", "-trimpath", "-buildvcs=false", "-o", f"{peer.folder}/", f"./{peer.name}", *more], SOURCE)


def by_pip(peer: Peer) -> None:
    pip = peer.folder / "bin" / "pip"
    if not pip.exists():
        peer.run_logged("make a venv for", [sys.executable, "-m", "venv", peer.folder], ROOT)
    peer.run_logged("install", [pip, "install", "--disable-pip-version-check", "-r", SOURCE / peer.name / "requirements.txt"], ROOT)


def by_apt(peer: Peer) -> None:
    """Unpacked unless it is installed: to install it would start a service. Its client is one of the bench's own programs."""
    if _beanstalkd() is None:
        with tempfile.TemporaryDirectory(dir=RUN) as fresh:
            peer.run_logged("download", ["apt-get", "-q", "download", peer.name], Path(fresh))
            peer.run_logged("unpack", ["dpkg", "-x", *Path(fresh).glob("*.deb"), peer.folder], ROOT)


def _beanstalkd() -> str | None:
    return shutil.which("beanstalkd") or shutil.which(INSTALLED / "beanstalkd" / "usr" / "bin" / "beanstalkd")


@contextlib.contextmanager
def on_redis(keys: str, stage: Stage) -> Iterator[Home]:
    """The same server as everybody's; its keys go afterwards."""
    try:
        yield Home(stage.redis_arguments(), stage.redis_cpu_seconds)
    finally:
        for key in stage.redis.scan_iter(match=keys, count=1000):
            stage.redis.delete(key)


@contextlib.contextmanager
def in_database(stage: Stage) -> Iterator[Home]:
    """A database of its own on the same server."""
    stage.db.execute("CREATE DATABASE peer")
    try:
        url = stage.postgres.admin_url.rpartition("/")[0] + "/peer?sslmode=disable"
        yield Home(["--url", url], lambda: sum(map(process_cpu_seconds, stage.postgres.all_pids())))
    finally:
        stage.db.execute("DROP DATABASE peer WITH (FORCE)")


class PeerServer(Server):
    def __init__(self, role: str, stage: Stage, argv: list):
        self.role, self.port = role, ports.any_free()
        super().__init__(stage.dir)
        self._argv = argv

    def argv(self) -> list[str]:
        return [*map(str, self._argv), "-p", str(self.port)]

    def is_ready(self) -> bool:
        return penstock.connects(ports.HOST, self.port)


@contextlib.contextmanager
def own_server(role: str, argv: Callable[[str], list], stage: Stage) -> Iterator[Home]:
    """A fresh one each time, with a folder for its data."""
    with tempfile.TemporaryDirectory(dir=stage.dir) as folder:
        server = PeerServer(role, stage, argv(folder))
        server.start()
        try:
            yield Home(["--port", str(server.port)], lambda: process_cpu_seconds(server.pid))
        finally:
            server.stop()


def built(name: str, _: Stage) -> list:
    return [INSTALLED / name / name]


PEERS = (
    Peer("bullmq", "BullMQ: Node.js, the same Redis", 20_000, by_npm,
         lambda _: ["node", INSTALLED / "bullmq" / "bench.js"], partial(on_redis, "bull:bench:*")),
    Peer("asynq", "Asynq: Go, the same Redis; one job a call", 20_000, by_go, partial(built, "asynq"), partial(on_redis, "asynq:*")),
    Peer("dramatiq", "Dramatiq: Python, the same Redis; one job a call", 5_000, by_pip,
         lambda _: [INSTALLED / "dramatiq" / "bin" / "python", SOURCE / "dramatiq" / "bench.py"], partial(on_redis, "dramatiq:*")),
    Peer("river", "River: Go, the same Postgres", 10_000, by_go, partial(built, "river"), in_database),
    Peer("nats", "NATS JetStream: Go, its own server, files", 50_000,
         lambda peer: by_go(peer, "github.com/nats-io/nats-server/v2"), partial(built, "nats"),
         partial(own_server, "nats", lambda folder: [INSTALLED / "nats" / "nats-server", "-a", ports.HOST, "-js", "-sd", folder])),
    Peer("beanstalkd", "beanstalkd: C, its own server, memory", 50_000, by_apt, lambda stage: stage.tool_argv("beanstalkd_peer"),
         partial(own_server, "beanstalkd", lambda _: [_beanstalkd(), "-l", ports.HOST])),
)
