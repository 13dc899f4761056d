"""Penstock's own programs: the roles of the one binary, its migration, and the simulator of provider and webhook sink."""
import os
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from . import Problem, ports
from .processes import Server, clean_environment, private_folder
from .steps import tail

# Read by these tools alone; the binary refuses variables that it does not know.
OPS_VARIABLES = {
    "PENSTOCK_FORCE_UNPACK", "PENSTOCK_REDIS_PORT", "PENSTOCK_POSTGRES_PORT", "PENSTOCK_MAIL_PORT", "PENSTOCK_SIM_PORT",
    "PENSTOCK_ADMIN_REDIS_URL", "PENSTOCK_ADMIN_POSTGRES_URL",
}
# In the generated file, where they carry no administrator's password.
FROM_FILE = {"PENSTOCK_REDIS_URL", "PENSTOCK_POSTGRES_URL"}
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the API is here, whatever http_proxy says


def users_settings() -> dict[str, str]:
    """The caller's own PENSTOCK_… variables, which go on to every role; a misspelt one is the binary's to refuse."""
    return {name: value for name, value in os.environ.items()
            if name.startswith("PENSTOCK_") and name not in OPS_VARIABLES | FROM_FILE}


class Sim(Server):
    """Payment provider and webhook sink; its book is <dir>/sim/book. secret_file: with what callers sign. options: more of its command line."""

    role = "sim"

    def __init__(self, run_dir: Path, build: Path, secret_file: Path, port: int = 0, options: tuple[str, ...] = ()):
        super().__init__(run_dir)
        self.binary = Path(build) / "penstock-sim"
        self.port = port or ports.any_free()
        self.secret_file = secret_file
        self.options = options
        self.book = self.run_dir / "sim" / "book"
        self.url = f"http://{ports.HOST}:{self.port}"

    def argv(self) -> list[str]:
        return [str(self.binary), "--listen", f"{ports.HOST}:{self.port}", "--book", str(self.book),
                "--secret-file", str(self.secret_file), *self.options]

    def require_port(self) -> None:
        ports.require_free(self.port, "penstock-sim", "PENSTOCK_SIM_PORT")

    def prepare(self) -> None:
        private_folder(self.book.parent)

    def is_ready(self) -> bool:
        return connects(ports.HOST, self.port)


class Role(Server):
    """`penstock scheduler` or `penstock worker`. conf is the configuration file, settings more of PENSTOCK_… for this role."""

    stop_seconds = 35.0  # the drain of worker.drain_ms, and some

    def __init__(self, run_dir: Path, build: Path, role: str, conf: Path, settings: dict[str, str] | None = None):
        self.role = role
        super().__init__(run_dir)
        self.binary = Path(build) / "penstock"
        self.conf = conf
        self.settings = settings or {}

    def argv(self) -> list[str]:
        return [str(self.binary), self.role]

    def environment(self) -> dict[str, str]:
        return {**clean_environment(), "PENSTOCK_CONFIG": str(self.conf), **self.settings}

    def is_ready(self) -> bool:
        return self.is_running()


class Api(Role):
    """`penstock api`, ready when /readyz says so."""

    def __init__(self, run_dir: Path, build: Path, conf: Path, listen: str = "", settings: dict[str, str] | None = None):
        self.host, self.port = split_listen(listen or f"{ports.HOST}:{ports.any_free()}")
        where = {"PENSTOCK_API_LISTEN": join_listen(self.host, self.port)}
        super().__init__(run_dir, build, "api", conf, {**(settings or {}), **where})
        reachable = {"0.0.0.0": ports.HOST, "::": "::1"}.get(self.host, self.host)
        self.url = f"http://{join_listen(reachable, self.port)}"

    def require_port(self) -> None:
        ports.require_free(self.port, "API", "PENSTOCK_API_LISTEN", self.host)

    def is_ready(self) -> bool:
        try:
            with _DIRECTLY.open(self.url + "/readyz", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False


def split_listen(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not port.isdigit() or not 0 < int(port) < 65536 or not host:
        raise Problem(f"PENSTOCK_API_LISTEN={listen} is no address:port")
    return host.strip("[]"), int(port)


def join_listen(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def connects(host: str, port: int, timeout: float = 1.0) -> bool:
    try:
        with socket.create_connection((host, port), timeout):
            return True
    except OSError:
        return False


def migrate(run_dir: Path, build: Path, conf: Path, admin_postgres_url: str, admin_redis_url: str,
            settings: dict[str, str] | None = None) -> None:
    """Creates or upgrades schemas, roles, Redis users and Functions."""
    log = Path(run_dir) / "log" / "migrate.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    env = {**clean_environment(), **(settings or {}), "PENSTOCK_CONFIG": str(conf),
           "PENSTOCK_ADMIN_POSTGRES_URL": admin_postgres_url, "PENSTOCK_ADMIN_REDIS_URL": admin_redis_url}
    try:
        with log.open("wb") as out:
            done = subprocess.run([str(Path(build) / "penstock"), "migrate"], cwd=run_dir, env=env, stdin=subprocess.DEVNULL,
                                  stdout=out, stderr=out, timeout=120, check=False)
    except OSError as e:
        raise Problem(f"cannot run {build}/penstock: {e.strerror}") from e
    except subprocess.TimeoutExpired as e:
        raise Problem(f"penstock migrate did not end within 120 s; its output is in {log}") from e
    if done.returncode != 0:
        raise Problem(f"{tail(log)}\npenstock migrate failed with {done.returncode}; its output is in {log}")
