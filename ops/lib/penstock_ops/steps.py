"""Progress: one line per step, with its seconds; a long build also says how far it is."""
import contextlib
import re
import subprocess
import sys
import time
from pathlib import Path

from . import Problem

QUIET_SECONDS = 15  # a step that prints nothing for longer looks stuck


def say(text: str, end: str = "\n") -> None:
    with contextlib.suppress(OSError):  # nobody reads on, but what was begun has to be ended in order
        print(text, end=end, flush=True)


def _show(text: str, seconds: float, end: str = "\n") -> None:
    say(f"{seconds:4.0f}s  {text}", end)


@contextlib.contextmanager
def step(text: str):
    began = time.monotonic()
    on_terminal = sys.stdout.isatty()
    if on_terminal:
        say(f"   …  {text}", end="\r")
    try:
        yield
    except BaseException:
        if on_terminal:
            say("")
        raise
    _show(text, time.monotonic() - began)


class _Meter:
    """Shows ninja's [done/all] on the current line of a terminal, or now and then on a line of its own."""

    def __init__(self, text: str):
        self.text, self.began, self.shown = text, time.monotonic(), time.monotonic()

    def see(self, line: str) -> None:
        count = re.match(r"\[\d+/\d+\]", line)
        now = time.monotonic()
        if count is None:
            return
        if sys.stdout.isatty():
            _show(f"{self.text} {count[0]}", now - self.began, end="\r")
        elif now - self.shown >= QUIET_SECONDS:
            self.shown = now
            _show(f"{self.text} {count[0]} …", now - self.began)


def run_logged(text: str, argv: list, log: Path, cwd: Path, env: dict | None = None) -> None:
    """Runs a command as one step; its output goes to the log, whose end is shown when the command fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with step(text), log.open("w", encoding="utf-8") as out:
        meter = _Meter(text)
        with subprocess.Popen([str(a) for a in argv], cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, text=True, errors="replace") as child:
            try:
                for line in child.stdout:
                    out.write(line)
                    meter.see(line)
            except BaseException:
                child.terminate()
                raise
        out.flush()
        if child.returncode != 0:
            raise Problem(f"{tail(log)}\n{text} failed with {child.returncode}; the whole output is in {log}")


def tail(log: Path, lines: int = 20) -> str:
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
