"""fault_proxy: a server's port that misbehaves on command."""
import subprocess
import threading
from pathlib import Path

from penstock_ops import ports


class Proxy:
    """Between a port of its own and a server's. Commands are those of tests/fault/fault_proxy.c."""

    def __init__(self, build: Path, target_port: int):
        self.port = ports.any_free()
        self._argv = [str(build / "tests" / "fault" / "fault_proxy"), str(self.port), str(target_port)]
        self._lock = threading.Lock()
        self.open()

    def open(self) -> None:
        self._process = subprocess.Popen(self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("fault_proxy did not start")

    def say(self, command: str) -> None:
        with self._lock:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
            if self._process.stdout.readline() != "ok\n":
                raise RuntimeError(f"fault_proxy refused {command}")

    def close(self) -> None:
        """Every connection is gone, and the port refuses new ones until open()."""
        self._process.stdin.close()
        self._process.wait(5)
        self._process.stdout.close()
