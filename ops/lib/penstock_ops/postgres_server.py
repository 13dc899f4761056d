"""A private Postgres 15, installed or unpacked below .run/pkg; it also runs for root, under another account, and below a home
directory that others cannot enter."""
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
from pathlib import Path

from . import RUN, Problem, ports
from .ports import wait_until
from .processes import Server, children_of, clean_environment, is_ours
from .steps import tail

INSTALLED = Path("/usr/lib/postgresql/15/bin")
UNPACKED = RUN / "pkg" / "postgresql-15" / "usr" / "lib" / "postgresql" / "15" / "bin"
ADMIN = "postgres"
DATABASE = "penstock"

SETTINGS = {
    "listen_addresses": ports.HOST,
    "unix_socket_directories": "",  # its path may be longer than a socket's name can be
    "max_connections": "300",       # processes x roles x postgres.pool
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "jit": "off",                   # its library is not among the packages, and the statements are short
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def bin_dir() -> Path:
    forced = os.environ.get("PENSTOCK_FORCE_UNPACK") == "1"
    for path in ([] if forced else [INSTALLED]) + [UNPACKED]:
        if (path / "postgres").exists():
            return path
    raise Problem("Postgres 15 is neither installed nor unpacked: run ops/setup")


def accepts(port: int, timeout: float = 1.0) -> bool:
    """True when the server asks for a password; until then it refuses, or says that it is starting."""
    body = struct.pack("!I", 196608) + f"user\0{ADMIN}\0database\0{DATABASE}\0\0".encode()
    try:
        with socket.create_connection((ports.HOST, port), timeout) as s:
            s.sendall(struct.pack("!I", len(body) + 4) + body)
            return s.recv(1) == b"R"
    except OSError:
        return False


class Account:
    """Who runs it. Postgres refuses root; as root another account is taken, which gets the capability to pass closed
    directories only where it cannot reach the files otherwise."""

    def __init__(self, parent: Path, program: Path):
        self.prefix: list[str] = []
        self.ids: tuple[int, int] | None = None
        self.passes_closed_doors = False
        if os.geteuid() != 0:
            return
        entry = next(filter(None, map(_account, ("postgres", "nobody"))), None)
        if entry is None:
            raise Problem("Postgres does not run as root, and there is no account 'postgres' or 'nobody': be an ordinary user")
        self.ids = entry.pw_uid, entry.pw_gid
        plain = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
        reaches = [*plain, "--", "sh", "-c", 'test -x "$1" && test -x "$2"', "sh", str(program), str(parent)]
        tried = subprocess.run(reaches, env=clean_environment(), capture_output=True, check=False)
        self.passes_closed_doors = tried.returncode != 0
        # no_setuid_fixup: access(2), by which initdb looks for its programs, takes capabilities from ordinary users otherwise.
        passing = ["--securebits=+no_setuid_fixup", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
        self.prefix = [*plain, *(passing if self.passes_closed_doors else []), "--"]

    def give(self, path: Path) -> None:
        if self.ids is not None:
            os.chown(path, *self.ids)


def _account(name: str):
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


class Postgres(Server):
    """Data in <dir>/postgres, with an empty database "penstock". stop(signal.SIGQUIT) is the immediate stop: as if the
    power had gone, but for the page cache."""

    role = "postgres"
    stop_signal = signal.SIGINT
    ready_seconds = 60.0  # recovery after a crash

    def __init__(self, run_dir: Path, port: int = 0, password: str = "admin", settings: dict[str, str] | None = None):
        super().__init__(run_dir)
        self.port = port or ports.any_free()
        self.password = password
        self.settings = {**SETTINGS, "port": str(self.port), **(settings or {})}
        self.bin = bin_dir()
        self.data = self.run_dir / "postgres" / "data"
        self.url = f"postgresql://{ports.HOST}:{self.port}/{DATABASE}"
        self.admin_url = f"postgresql://{ADMIN}:{password}@{ports.HOST}:{self.port}/{DATABASE}"
        self._account: Account | None = None

    def argv(self) -> list[str]:
        settings = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        return [*self._account.prefix, str(self.bin / "postgres"), "-D", str(self.data), *settings]

    def require_port(self) -> None:
        ports.require_free(self.port, "Postgres", "PENSTOCK_POSTGRES_PORT")

    def prepare(self) -> None:
        self.data.parent.mkdir(parents=True, exist_ok=True)
        self._account = Account(self.data.parent, self.bin / "postgres")
        self._account.give(self.data.parent)
        if not self.data.exists():
            self._create()

    def _create(self) -> None:
        """Into a folder beside, renamed at the end: an interrupted start leaves no half-made cluster."""
        fresh = self.data.with_name("data.new")
        shutil.rmtree(fresh, ignore_errors=True)
        secret = self.data.with_name("password")
        secret.touch(0o600)
        secret.write_text(self.password + "\n", encoding="ascii")
        self._account.give(secret)
        self._run([self.bin / "initdb", "-D", fresh, "-U", ADMIN, "--pwfile", secret, "--auth=scram-sha-256",
                   "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
        secret.unlink()
        self._run([self.bin / "postgres", "--single", "-D", fresh, "postgres"], f"CREATE DATABASE {DATABASE};\n")
        fresh.rename(self.data)

    def _run(self, argv: list, text: str = "") -> None:
        with self.log.open("ab") as out:
            made = subprocess.run([*self._account.prefix, *map(str, argv)], cwd=self.run_dir, env=self.environment(),
                                  input=text.encode(), stdout=out, stderr=out, check=False)
        if made.returncode != 0:
            said = tail(self.log, 5)
            raise Problem(f"{said}\npostgres: {Path(argv[0]).name} failed with {made.returncode}; its log is {self.log}")

    def is_ready(self) -> bool:
        return accepts(self.port)

    def all_pids(self) -> list[int]:
        return [self.pid, *children_of(self.pid)]

    def kill9(self) -> None:
        """Returns when the backends have noticed: until then the next start would refuse the shared memory."""
        backends = children_of(self.pid) if self.is_running() else []
        super().kill9()
        wait_until(lambda: not any(is_ours(self.run_dir, pid) for pid in backends), 10)
