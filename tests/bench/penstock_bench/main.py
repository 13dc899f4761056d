"""tests/bench/run: builds the preset release, starts private servers, measures round after round, says which floors hold."""
import argparse
import os
import sys
import tempfile
from pathlib import Path

from penstock_ops import ROOT, RUN, Problem
from penstock_ops.build import build as build_preset
from penstock_ops.build import folder
from penstock_ops.steps import run_logged, step

from . import report
from .profile import Profile
from .rows import GROUPS, ROWS, Figures, Group
from .stage import Stage

TOOLS = ("redis_probe", "pg_probe", "line_clock", "http_load", "enqueue_bench", "journal_fill", "http_floor")


def build() -> Path:
    build_preset("release")
    run_logged("configure the bench", ["cmake", "--preset", "release", "-DPENSTOCK_BENCH=ON"], RUN / "log" / "configure-bench.log", ROOT)
    run_logged("build the bench", ["cmake", "--build", folder("release"), "--target", *TOOLS], RUN / "log" / "build-bench.log", ROOT)
    return folder("release")


def measure(groups: list[Group], rounds: int, binaries: Path, profiled: bool) -> dict[str, Figures]:
    figures = {row.name: Figures(row) for row in ROWS}
    with tempfile.TemporaryDirectory(prefix="penstock-bench-", ignore_cleanup_errors=True) as run_dir:
        os.chmod(run_dir, 0o755)  # Postgres may have to run under another account
        profile = Profile(Path(run_dir)) if profiled else None
        with Stage(Path(run_dir), binaries, profile) as stage:
            for number in range(1, rounds + 1):
                for group in groups:
                    with step(f"round {number} of {rounds}: {', '.join(group.rows)}"):
                        samples = group.measure(stage)
                    for name, sample in samples.items():
                        figures[name].samples.append(sample)
    if profile is not None:
        print("\n" + profile.text())
    return figures


def chosen(only: str | None) -> set[str]:
    names = {row.name for row in ROWS}
    wanted = set(only.split(",")) if only else names
    if wanted - names:
        raise Problem(f"no row {', '.join(sorted(wanted - names))}; there are {', '.join(row.name for row in ROWS)}")
    return wanted


def run(arguments: argparse.Namespace) -> int:
    wanted = chosen(arguments.only)
    binaries = arguments.build.resolve() if arguments.build else build()
    figures = measure([group for group in GROUPS if wanted & set(group.rows)], arguments.rounds, binaries, arguments.profile)
    shown = [f for f in figures.values() if f.row.name in wanted and f.samples]
    print("\n" + report.table(shown))
    if arguments.json:
        report.write_json(arguments.json, shown)
    below = [f.row.name for f in shown if f.meets(f.row.floor) is False]
    missed = [f.row.name for f in shown if f.meets(f.row.target) is False]
    print(f"\ntargets missed: {', '.join(missed) or 'none'}\nfloors missed: {', '.join(below) or 'none'}")
    return 1 if below else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as well")
    parser.add_argument("--rounds", type=int, default=3, help="each row once a round; the medians count (default 3)")
    parser.add_argument("--only", metavar="ROW,…", help=f"of {', '.join(row.name for row in ROWS)}")
    parser.add_argument("--build", type=Path, metavar="DIR", help="measure this build folder as it is")
    parser.add_argument("--profile", action="store_true", help="say too where the time of rows of throughput goes; by perf, as root")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    return run(arguments)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Problem as problem:
        print(f"tests/bench/run: {problem}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
