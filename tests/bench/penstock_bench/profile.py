"""Where the processors' time goes while a row is measured: samples of the whole machine by Linux' perf, of which those of the measured
processes count."""
import contextlib
import os
import re
import shutil
import subprocess
from collections import Counter, defaultdict
from pathlib import Path

from penstock_ops import Problem

HZ = 4999
SAMPLE = re.compile(r"\s*\S.*?\s+(\d+)\s+(?:\S+)\s+(.*?)(?:\+0x[0-9a-f]+)? \((.*)\)$")
TOP = 12


def kind_of(role: str, dso: str) -> str:
    """server, kernel, ours, libraries."""
    if dso.startswith("["):
        return "kernel"
    if role == "server":
        return "server"
    return "ours" if Path(dso).name.startswith(("penstock", "enqueue_bench", "memfd:")) else "libraries"


class Profile:
    def __init__(self, folder: Path):
        if shutil.which("perf") is None:
            raise Problem("--profile needs perf: install linux-perf")
        self.folder = folder
        self.shares: dict[str, Counter] = defaultdict(Counter)
        self.symbols: dict[str, Counter] = defaultdict(Counter)

    @contextlib.contextmanager
    def of(self, row: str, roles):
        """roles(): the process ids of "server" and of "ours", asked when the measured part has ended."""
        data, control, answer = (self.folder / f"perf.{name}" for name in ("data", "control", "answer"))
        for fifo in control, answer:
            with contextlib.suppress(FileExistsError):
                os.mkfifo(fifo)
        argv = ["perf", "record", "-q", "-a", "-F", str(HZ), "-D", "-1", "-o", data, f"--control=fifo:{control},{answer}"]
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as perf:
            with control.open("w") as say, answer.open("rb", buffering=0) as hear:
                self._tell(say, hear, "enable")
                try:
                    yield
                finally:
                    pids = {pid: role for role, some in roles().items() for pid in some}
                    self._tell(say, hear, "disable")
                    self._tell(say, hear, "stop")
        self._count(row, data, pids)

    @staticmethod
    def _tell(say, hear, word: str) -> None:
        say.write(f"{word}\n")
        say.flush()
        if b"ack" not in hear.read(8):
            raise Problem("perf does not answer")

    def _count(self, row: str, data: Path, pids: dict[int, str]) -> None:
        argv = ["perf", "script", "-i", data, "-F", "comm,pid,ip,sym,dso"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as script:
            for line in script.stdout:
                found = SAMPLE.match(line)
                if found and int(found[1]) in pids:
                    role = pids[int(found[1])]
                    kind = kind_of(role, found[3])
                    self.shares[row][role, kind] += 1
                    if kind == "ours":
                        self.symbols[row][found[2]] += 1

    def text(self) -> str:
        lines = ["row           server: itself  kernel    ours: kernel  libraries  own code    inside server or kernel"]
        for row, shares in self.shares.items():
            total = sum(shares.values())
            part = [100 * shares[key] / total for key in (("server", "server"), ("server", "kernel"), ("ours", "kernel"), ("ours", "libraries"),
                                                          ("ours", "ours"))]
            lines.append(f"{row:12}  {part[0]:13.0f}%  {part[1]:5.0f}%  {part[2]:13.0f}%  {part[3]:8.0f}%  {part[4]:7.0f}%  {sum(part[:3]):21.0f}%")
            top = ", ".join(f"{name} {100 * n / total:.1f}" for name, n in self.symbols[row].most_common(TOP))
            lines.append(f"{'':14}own code, % of all: {top}")
        return "\n".join(lines)
