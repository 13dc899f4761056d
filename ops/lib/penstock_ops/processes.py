"""Processes of one run directory: each is recorded in <dir>/pids ("role pid" a line) and ended by that id, nothing by name.
All of them run with a working directory below the run directory, which tells a recorded process from a stranger that got
its id later."""
import contextlib
import fcntl
import os
import re
import signal
import subprocess
from pathlib import Path

from . import Problem
from .ports import wait_until
from .steps import tail


@contextlib.contextmanager
def _pid_file(run_dir: Path):
    """The lines of <dir>/pids as a list to change. The file is replaced as a whole, so the lock is the directory's."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        folder = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            before = _read_pids(run_dir / "pids")
            lines = list(before)
            yield lines
            if lines != before:
                fresh = run_dir / "pids.new"
                fresh.write_text("".join(f"{role} {pid}\n" for role, pid in lines), encoding="ascii")
                fresh.rename(run_dir / "pids")
        finally:
            os.close(folder)
    except PermissionError as e:
        raise Problem(f"{run_dir} belongs to another user: be that user, or root") from e


def _read_pids(path: Path) -> list[tuple[str, int]]:
    """A line that is none of ours names no process."""
    text = path.read_text(encoding="ascii", errors="ignore") if path.exists() else ""
    words = [line.split() for line in text.splitlines()]
    return [(w[0], int(w[1])) for w in words if len(w) == 2 and re.fullmatch("[1-9][0-9]{0,8}", w[1])]


def recorded(run_dir: Path) -> list[tuple[str, int]]:
    """(role, pid) of the recorded processes that are alive, in the order of their start."""
    if not run_dir.is_dir():
        return []
    with _pid_file(run_dir) as lines:
        lines[:] = [(role, pid) for role, pid in lines if is_ours(run_dir, pid)]
        return list(lines)


def record(run_dir: Path, role: str, pid: int) -> None:
    with _pid_file(run_dir) as lines:
        lines.append((role, pid))


def forget(run_dir: Path, pid: int) -> None:
    with _pid_file(run_dir) as lines:
        lines[:] = [line for line in lines if line[1] != pid]


def is_ours(run_dir: Path, pid: int) -> bool:
    try:
        cwd = Path(os.readlink(f"/proc/{pid}/cwd"))  # fails for a zombie as well
    except OSError:
        return False
    return cwd.is_relative_to(run_dir.resolve())


def private_folder(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)


def children_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if int(_stat(int(entry.name))[1]) == pid:
                    found.append(int(entry.name))
    return found


def _stat(pid: int) -> list[str]:
    """Of /proc/PID/stat what stands behind the name: state, parent …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _is_stopped(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return _stat(pid)[0] == "T"
    return False


def end(run_dir: Path, pid: int, sig: int, seconds: float) -> bool:
    """Ends a recorded process, by SIGKILL when the signal was not enough in time (False), and forgets it."""
    gently = True
    if is_ours(run_dir, pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sig)
            if _is_stopped(pid):  # to others it could mean something: a leak check at their end stops them by SIGSTOP, which it would undo
                os.kill(pid, signal.SIGCONT)
        if not wait_until(lambda: not is_ours(run_dir, pid), seconds):
            gently = False
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not is_ours(run_dir, pid), 5)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)  # each leads a group of its own; what it left behind goes with it
    forget(run_dir, pid)
    return gently


class Server:
    """A program with one main process. A subclass says how it is started and when it answers."""

    role = "server"
    stop_signal = signal.SIGTERM
    stop_seconds = 10.0
    ready_seconds = 20.0

    def __init__(self, run_dir: Path):
        self.run_dir = Path(run_dir).resolve()
        self.log = self.run_dir / "log" / f"{self.role}.log"
        self._child: subprocess.Popen | None = None

    # What a subclass says.
    def argv(self) -> list[str]:
        raise NotImplementedError

    def executable(self) -> str | None:
        """The file to run when it is not argv[0]."""
        return None

    def environment(self) -> dict[str, str]:
        return clean_environment()

    def require_port(self) -> None:
        """A Problem when somebody else listens where it is to."""

    def prepare(self) -> None:
        """Before each start: directories, configuration, repairs."""

    def is_ready(self) -> bool:
        raise NotImplementedError

    # What a user does with it.
    @property
    def pid(self) -> int:
        if self._child is None:
            raise Problem(f"{self.role} was not started")
        return self._child.pid

    def exit_code(self) -> int | None:
        """None while it runs, or before it was started."""
        return self._child.poll() if self._child is not None else None

    def is_running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Returns when it answers."""
        if self.is_running():
            return
        private_folder(self.log.parent)
        self.require_port()
        self.prepare()
        self._child = self._spawn()
        record(self.run_dir, self.role, self._child.pid)
        try:
            self._await_ready()
        except BaseException:
            self.kill9()
            forget(self.run_dir, self._child.pid)
            raise

    def _spawn(self) -> subprocess.Popen:
        argv, executable = self.argv(), self.executable()
        try:
            with self.log.open("ab") as out:
                return subprocess.Popen(argv, executable=executable, cwd=self.run_dir, env=self.environment(),
                                        stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        except OSError as e:
            raise Problem(f"{self.role}: cannot run {executable or argv[0]}: {e.strerror}; run ops/setup, or build it") from e

    def _await_ready(self) -> None:
        ready = wait_until(lambda: not self.is_running() or self.is_ready(), self.ready_seconds)
        if not self.is_running():
            raise Problem(f"{tail(self.log)}\n{self.role} ended with {self.exit_code()} at its start; its log is {self.log}")
        if not ready:
            within = f"within {self.ready_seconds:.0f} s"
            raise Problem(f"{tail(self.log)}\n{self.role} did not answer {within}; its log is {self.log}")

    def stop(self, sig: int | None = None) -> bool:
        """True when the signal was enough."""
        if self._child is None:
            return True
        if self._child.poll() is not None:
            forget(self.run_dir, self._child.pid)
            return True
        return self._end(sig or self.stop_signal, self.stop_seconds)

    def kill9(self) -> None:
        if self.is_running():
            self._end(signal.SIGKILL, 5)

    def _end(self, sig: int, seconds: float) -> bool:
        gently = end(self.run_dir, self.pid, sig, seconds)
        self._child.wait()
        return gently

    def restart(self) -> None:
        self.stop()
        self.start()

    def all_pids(self) -> list[int]:
        """Those that pause() stops."""
        return [self.pid]

    def pause(self) -> None:
        for pid in self.all_pids():
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in self.all_pids():
            os.kill(pid, signal.SIGCONT)


def clean_environment() -> dict[str, str]:
    """What every server may see of ours."""
    names = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    kept["PATH"] = kept.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"  # setpriv and friends, also for ordinary users
    return kept
