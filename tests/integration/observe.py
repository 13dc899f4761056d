"""What the roles said: their logs are JSON lines, among which a sanitizer may have its say."""
import json
from pathlib import Path

CHARGED = ("retry", "dead")


def log_size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def log_lines(log: Path, event: str = "", since: int = 0) -> list[dict]:
    """The lines behind the byte since, of one event or of all."""
    found = []
    with log.open("rb") as f:
        f.seek(since)
        for line in f:
            if line.startswith(b"{") and line.endswith(b"}\n") and (not event or f'"event":"{event}"'.encode() in line):
                found.append(json.loads(line))
    return found


def attempts(stack, since: int = 0) -> list[dict]:
    """The canonical line of every attempt that ended."""
    return log_lines(stack.roles["worker"].log, "job.attempt", since)


def charged(stack, since: int = 0) -> list[dict]:
    return [line for line in attempts(stack, since) if line["outcome"] in CHARGED]
