"""Unit tests under TSan and under valgrind's memcheck. In the short form those of modules that use threads, and those of queues and of base/core
that are not hours of arithmetic; --full: all."""
import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from penstock_ops import ROOT
from penstock_ops.build import build

SLOW = ("cron", "zone", "schema", "fault", "metrics")  # of base/core: a minute of arithmetic each; they are in the full form
MEMCHECK = ["valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect", "--num-callers=25"]


@dataclass(frozen=True)
class Checker:
    preset: str
    tests: tuple[str, ...]                # of the short form: module.unit, or module.*
    wrapper: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)


CHECKERS = {
    # The blocking pool and what runs on it, the crypto that it shares with the loop, peers on threads of their own.
    "tsan": Checker("tsan", ("base_io.mail", "base_io.http_client", "base_io.loop", "base_core.crypto"),
                    environment={"TSAN_OPTIONS": "second_deadlock_stack=1"}),
    "valgrind": Checker("valgrind", ("queues.*", "base_core.*", "jobs.retry"), MEMCHECK, {"TEST_VALGRIND": "1"}),
}


def chosen(checker: Checker, full: bool) -> list[str]:
    """module.unit of the tests there are."""
    there = sorted(f"{p.parent.name}.{p.stem.removeprefix('test_')}" for p in (ROOT / "tests" / "unit").glob("*/test_*.c"))
    if full:
        return there
    return [t for t in there if (t in checker.tests or f"{t.split('.')[0]}.*" in checker.tests) and t.split(".")[1] not in SLOW]


def program(folder: Path, test: str) -> Path:
    return folder / "tests" / "unit" / f"unit_{test.replace('.', '_')}"


def run(checker: Checker, folder: Path, test: str) -> bool:
    done = subprocess.run([*checker.wrapper, program(folder, test)], cwd=folder, env=os.environ | checker.environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if done.returncode != 0:
        print(f"{test}: exit {done.returncode}\n" + "\n".join(done.stdout.splitlines()[-80:]), flush=True)
    return done.returncode == 0


def starts(name: str, checker: Checker, folder: Path, test: str) -> bool:
    """gcc's TSan knows no address space as random as newer kernels make it: then it is told to be less so, where that is allowed."""
    if name != "tsan":
        return True
    for prefix in [], ["setarch", "-R"]:
        words = [*prefix, program(folder, test)]
        done = subprocess.run(words, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
        if "unexpected memory mapping" not in done.stderr and "failed to set personality" not in done.stderr:
            checker.wrapper[:] = prefix
            return True
    return False


def judge(name: str, full: bool) -> bool:
    checker = CHECKERS[name]
    tests = chosen(checker, full)
    folder = build(checker.preset, tuple(f"unit_{test.replace('.', '_')}" for test in tests))
    if not starts(name, checker, folder, tests[0]):
        print("tsan: SKIPPED: its programs do not start on this kernel (vm.mmap_rnd_bits above 28, and setarch -R is not allowed)", flush=True)
        return True
    began = time.monotonic()
    bad = [test for test in tests if not run(checker, folder, test)]
    print(f"{name}: {len(tests) - len(bad)} of {len(tests)} clean, {time.monotonic() - began:.0f} s", flush=True)
    return bool(tests) and not bad


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", choices=CHECKERS)
    arguments = parser.parse_args()
    return 0 if all([judge(name, arguments.full) for name in CHECKERS if arguments.only in (None, name)]) else 1


if __name__ == "__main__":
    sys.exit(main())
