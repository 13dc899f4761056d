"""The model of a job's life (lease.pml), checked by spin: every reachable state of the whole one, then the same without each safeguard, which
must go wrong. README.md says what is in the model.

  tests/model/run.py [--full] [--only NAME…] [--keep FOLDER]     NAME: lease, or one of CONTROLS
"""
import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODEL = Path(__file__).with_name("lease.pml")
SECONDS, MEMORY_MB, DEPTH = 150, 1000, 300000

# Each is a -D of lease.pml. WITNESS shows that far states are reached. FOUND is what the code did before this model told; their trails are
# long, so they are left to --full.
CONTROLS = ("NO_FENCE", "NO_GATE", "NO_GENERATION", "NO_REOPEN_CHECK", "NO_RELAY", "NO_PASS", "SETTLE_BEFORE_FINISH", "WITNESS")
FOUND = ("OLD_MERGE", "OLD_PRESENCE")


class Broken(Exception):
    """A tool failed, or ended without a verdict."""


def call(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as e:
        raise Broken(f"{words[0]} did not end within {SECONDS} s") from e
    except FileNotFoundError as e:
        raise Broken(f"there is no {words[0]}: ops/setup test") from e
    if done.returncode:
        raise Broken(f"{' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def check(folder: Path, name: str) -> tuple[int, int]:
    """Errors and states. Controls are searched breadth first, for the shortest way to the error."""
    (folder / MODEL.name).write_text(MODEL.read_text(encoding="utf-8"), encoding="utf-8")
    whole = name == "lease"
    call(folder, "spin", *([] if whole else [f"-D{name}"]), "-a", MODEL.name)
    call(folder, "gcc", *(["-O2"] if whole else ["-O1", "-DBFS"]), "-w", "-DSAFETY", "-DNOFAIR", f"-DMEMLIM={MEMORY_MB}",
         "-o", "pan", "pan.c")
    said = call(folder, "./pan", *([f"-m{DEPTH}"] if whole else []))
    states, errors = re.search(r"(\d+) states, stored", said), re.search(r"errors: (\d+)", said)
    if not states or not errors or "Search not completed" in said and errors[1] == "0" or "max search depth too small" in said:
        raise Broken(f"no verdict: {said[-2000:]}")
    return int(errors[1]), int(states[1])


def steps(folder: Path, name: str) -> list[str]:
    """The trail, by the comments of its lines. The same worker may go by another number after each step (tidy)."""
    source = MODEL.read_text(encoding="utf-8").splitlines()
    said = call(folder, "spin", *([] if name == "lease" else [f"-D{name}"]), "-t", "-p", MODEL.name)
    found, before = [], 0
    for m in re.finditer(r"proc +\d+ \((\w+):\d+\) lease\.pml:(\d+) \(state \d+\)\t\[(.*)\]", said):
        text = source[int(m[2]) - 1]
        guard = re.search(r"(?:at|row|delayed|restarted)\b\)?[^=]*(?:==|&&|!=)|!\(restarted\)", m[3])
        if int(m[2]) != before and "CLAIM(0)" in text:
            found.append("worker: claim" if ".st==1" in m[3] else "worker: sweep")
        elif int(m[2]) != before and guard and (comment := re.search(r"d_step .*/\* (.*) \*/", text)):
            found.append("worker: " + comment[1] if m[1] == "Works" else comment[1])
        before = int(m[2])
    return [*found, "-> " + re.findall(r"text of failed assertion: (.*)", said)[-1]]


def judge(name: str, keep: Path | None) -> bool:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="penstock-model-") as made:
        folder = keep / name if keep else Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            errors, states = check(folder, name)
            ok = (errors == 0) == (name == "lease")
            way = steps(folder, name) if errors else []
        except Broken as e:
            print(f"{name}: {e}", flush=True)
            return False
    verdict = f"goes wrong after {len(way) - 1} steps" if errors else "every promise holds"
    print(f"{name:<22}{states:>9} states{time.monotonic() - began:7.1f} s  {verdict}{'' if ok else ': WRONG'}", flush=True)
    if not ok or keep:
        print("\n".join(f"    {step}" for step in way), flush=True)
    return ok


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="with the mistakes that were found")
    parser.add_argument("--only", nargs="+", choices=("lease", *CONTROLS, *FOUND))
    parser.add_argument("--keep", type=Path, help="leave spin's files there, by name, and print the steps of each trail")
    arguments = parser.parse_args()
    names = arguments.only or ("lease", *CONTROLS, *(FOUND if arguments.full else ()))
    return 0 if all([judge(name, arguments.keep) for name in names]) else 1


if __name__ == "__main__":
    sys.exit(main())
