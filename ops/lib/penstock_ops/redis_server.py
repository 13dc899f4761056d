"""A private Redis. It runs from redis-tools: redis-check-rdb is the server under another name, and that package brings no
service with it. Server and checker are one program, which goes by the name it is called."""
import hashlib
import os
import shutil
import socket
import subprocess
from pathlib import Path

from . import ROOT, Problem, ports
from .processes import Server, private_folder

BINARY = os.environ.get("TEST_REDIS_SERVER", "/usr/bin/redis-check-rdb")  # tests run it on other brokers as well
ADMIN = "admin"


def answers_ping(port: int, password: str, timeout: float = 1.0) -> bool:
    """False as well while it loads its data."""
    try:
        with socket.create_connection((ports.HOST, port), timeout) as s:
            s.sendall(f"AUTH {ADMIN} {password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2:
                part = s.recv(256)
                if not part:
                    return False
                answer += part
    except OSError:
        return False
    return answer == b"+OK\r\n+PONG\r\n"


class Redis(Server):
    """Data in <dir>/redis. The one user at first is "admin"; whoever migrates adds the others, which the ACL file keeps.
    settings: more lines for redis.conf, by name."""

    role = "redis"

    def __init__(self, run_dir: Path, port: int = 0, password: str = "admin", settings: dict[str, str] | None = None):
        super().__init__(run_dir)
        self.port = port or ports.any_free()
        self.password = password
        self.settings = settings or {}
        self.dir = self.run_dir / "redis"
        self.url = f"redis://{ports.HOST}:{self.port}"
        self.admin_url = f"redis://{ADMIN}:{password}@{ports.HOST}:{self.port}"

    def executable(self) -> str:
        return BINARY

    def argv(self) -> list[str]:
        return ["redis-server", str(self.dir / "redis.conf")]

    def require_port(self) -> None:
        ports.require_free(self.port, "Redis", "PENSTOCK_REDIS_PORT")

    def prepare(self) -> None:
        private_folder(self.dir)
        acl = self.dir / "users.acl"
        if not acl.exists():
            digest = hashlib.sha256(self.password.encode()).hexdigest()
            # Nobody can be "default", but Redis reads its log as that user: without its rights the MULTIs in it would be skipped.
            acl.write_text(f"user default off ~* &* +@all\nuser {ADMIN} on #{digest} ~* &* +@all\n", encoding="ascii")
            acl.chmod(0o600)
        own = {"port": str(self.port), "dir": f'"{self.dir}"', "aclfile": f'"{acl}"', **self.settings}
        shipped = (ROOT / "ops" / "redis.conf").read_text(encoding="utf-8")
        lines = "".join(f"{name} {value}\n" for name, value in own.items())
        (self.dir / "redis.conf").write_text(f"{shipped}\n# This server\n{lines}", encoding="utf-8")
        self._repair_log()

    def log_increments(self) -> list[Path]:
        """The files of the log that are written to one after the other, as they are read: only the last has a tail."""
        folder = self.dir / "appendonlydir"
        manifest = (folder / "appendonly.aof.manifest").read_text(encoding="utf-8")
        return [folder / line.split()[1] for line in manifest.splitlines() if " type i" in line]

    def _repair_log(self) -> None:
        """A log that ends inside a MULTI loads once, but then every write after it is lost at the load after that: cut it
        before the server appends to it. The file as it was is kept beside."""
        folder = self.dir / "appendonlydir"
        manifest = folder / "appendonly.aof.manifest"
        if not manifest.exists():
            return
        if self._check_log(manifest).returncode == 0:
            return
        increments = self.log_increments()
        if increments:
            shutil.copy2(increments[-1], self.dir / f"{increments[-1].name}.before-repair")
        if self._check_log(manifest, "--fix").returncode != 0:
            raise Problem(f"redis: {folder} is damaged beyond redis-check-aof --fix: restore or remove it")

    @staticmethod
    def _check_log(manifest: Path, *options: str) -> subprocess.CompletedProcess:
        return subprocess.run(["redis-check-aof", *options, manifest.name], executable=BINARY, cwd=manifest.parent, input=b"y\n",
                              capture_output=True, check=False)

    def is_ready(self) -> bool:
        return answers_ping(self.port, self.password)
