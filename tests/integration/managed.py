"""Roles as a service manager starts them: with a listening socket that stays its own, and a socket on which it hears what they tell."""
import contextlib
import socket
import subprocess
from pathlib import Path

from penstock_ops import ports
from penstock_ops.penstock import Api, Role

# LISTEN_PID is the process that execs, and the socket has to be its descriptor 3. bash: in dash descriptors above 9 have no number.
HAND_OVER = 'exec 3<&"$1"; shift; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'


class Manager:
    """The datagrams of its roles, in order."""

    def __init__(self, path: Path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.heard: list[dict[str, str]] = []

    def close(self) -> None:
        self.socket.close()
        self.path.unlink()

    def listen(self) -> list[dict[str, str]]:
        with contextlib.suppress(BlockingIOError):
            while True:
                message = self.socket.recv(4096, socket.MSG_DONTWAIT).decode()
                self.heard.append(dict(line.split("=", 1) for line in message.splitlines()))
        return self.heard

    def hears(self, seconds: float = 20, **wanted: str) -> bool:
        """A message with all of these; what came before it is forgotten."""
        def there() -> bool:
            for at, message in enumerate(self.listen()):
                if wanted.items() <= message.items():
                    del self.heard[:at + 1]
                    return True
            return False
        return ports.wait_until(there, seconds)


class ManagedRole(Role):
    def __init__(self, *args, manager: Manager, watchdog_ms: int = 3_000_000, **more):
        super().__init__(*args, **more)
        self.manager = manager
        self.watchdog_ms = watchdog_ms

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "NOTIFY_SOCKET": str(self.manager.path), "WATCHDOG_USEC": str(self.watchdog_ms * 1000)}


class HeldApi(Api):
    """`penstock api` on a socket of ours."""

    def __init__(self, *args, backlog: int = 4096, **more):
        super().__init__(*args, **more)
        self.socket = socket.create_server((self.host, self.port), backlog=backlog)

    def require_port(self) -> None:
        """It is taken: by us."""

    def environment(self) -> dict[str, str]:
        return {name: value for name, value in super().environment().items() if name != "PENSTOCK_API_LISTEN"}

    def _spawn(self) -> subprocess.Popen:
        fd = self.socket.fileno()
        with self.log.open("ab") as out:
            return subprocess.Popen(["bash", "-c", HAND_OVER, "bash", str(fd), *self.argv()], cwd=self.run_dir, env=self.environment(),
                                    pass_fds=(fd,), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)

