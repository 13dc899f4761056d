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

from . import beside, report
from .peers import PEERS, Peer
from .profile import Profile
from .rows import GROUPS, ROWS, Figures, Group, Sample, row_of_peer
from .stage import Stage

TOOLS = ("redis_probe", "pg_probe", "line_clock", "http_load", "enqueue_bench", "journal_fill", "http_floor", "beanstalkd_peer")


def build() -> Path:
    build_preset("release")
    run_logged("configure the bench", ["cmake", "--preset", "release", "-DPENSTOCK_BENCH=ON"], RUN / "log" / "configure-bench.log", ROOT)
    run_logged("build the bench", ["cmake", "--build", folder("release"), "--target", *TOOLS], RUN / "log" / "build-bench.log", ROOT)
    return folder("release")


class Measurement:
    """Round after round: a group of ours, then the peers that have its rows. A peer that fails is not in peers any more."""

    def __init__(self, groups: list[Group], peers: list[Peer]):
        self.groups, self.peers = groups, peers
        self.figures: dict[str, Figures] = {}

    def run_round(self, stage: Stage, text: str) -> None:
        for group in self.groups:
            with step(f"{text}: {', '.join(group.rows)}"):
                self._keep(group.measure(stage))
            for peer in list(self.peers) if group.measure_peer else []:
                with beside.leaving_out(peer, self.peers), step(f"{text}: {peer.name}"):
                    self._keep(group.measure_peer(stage, peer), peer)

    def _keep(self, samples: dict[str, Sample], peer: Peer | None = None) -> None:
        for row in ROWS:
            if row.name in samples:
                row_shown = row_of_peer(row, peer) if peer else row
                self.figures.setdefault(row_shown.name, Figures(row_shown)).samples.append(samples[row.name])

    def shown(self, wanted: set[str]) -> list[Figures]:
        """Each row of ours, and those of the peers behind it."""
        rows = [shown for row in ROWS if row.name in wanted for shown in (row, *(row_of_peer(row, peer) for peer in self.peers))]
        return [self.figures[row.name] for row in rows if row.name in self.figures]


def measure(measurement: Measurement, rounds: int, binaries: Path, profiled: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="penstock-bench-", ignore_cleanup_errors=True) as run_dir:
        os.chmod(run_dir, 0o755)  # Postgres may have to run under another account
        profile = Profile(Path(run_dir)) if profiled else None
        with Stage(Path(run_dir), binaries, profile) as stage:
            for number in range(1, rounds + 1):
                measurement.run_round(stage, f"round {number} of {rounds}")
    if profile is not None:
        print("\n" + profile.text())


def chosen(names: str | None, what: str, known: list[str]) -> set[str]:
    """Of the known ones; without names, all."""
    wanted = set(names.split(",")) if names else set(known)
    if wanted - set(known):
        raise Problem(f"no {what} {', '.join(sorted(wanted - set(known)))}; there are {', '.join(known)}")
    return wanted


def run(arguments: argparse.Namespace) -> int:
    wanted = chosen(arguments.only, "row", [row.name for row in ROWS])
    beside_us = chosen(arguments.peers, "peer", [peer.name for peer in PEERS]) if arguments.peers is not None else set()
    binaries = arguments.build.resolve() if arguments.build else build()
    measurement = Measurement([group for group in GROUPS if wanted & set(group.rows)], [peer for peer in PEERS if peer.name in beside_us])
    beside.install(measurement.peers)
    measure(measurement, arguments.rounds, binaries, arguments.profile)
    shown = measurement.shown(wanted)
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
    parser.add_argument("--peers", nargs="?", const="", metavar="NAME,…", help=f"beside ours; of {', '.join(peer.name for peer in PEERS)}")
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
