"""ops/down: ends what ops/up started. Runs without the venv."""
import argparse
import shutil
import signal
import sys

from . import RUN, Problem, processes
from .steps import step

SECONDS = 40      # the worker's drain, and some
UP_SECONDS = 120  # ops/up ends all the others first


def end(role: str, pid: int) -> None:
    with step(f"end {role}"):
        sig = signal.SIGINT if role == "postgres" else signal.SIGTERM
        processes.end(RUN, pid, sig, UP_SECONDS if role == "up" else SECONDS)


def take_down(purge: bool) -> int:
    alive = processes.recorded(RUN)
    if not alive:
        print("nothing is up")
    for role, pid in alive:
        if role == "up":
            end(role, pid)
    for role, pid in reversed(processes.recorded(RUN)):
        end(role, pid)
    if purge:
        with step("remove .run"):
            shutil.rmtree(RUN, ignore_errors=True)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="ops/down", description="Ends what ops/up started.")
    parser.add_argument("--purge", action="store_true", help="and removes .run/: data, secrets, logs, unpacked packages")
    arguments = parser.parse_args()
    try:
        return take_down(arguments.purge)
    except Problem as problem:
        print(f"ops/down: {problem}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
