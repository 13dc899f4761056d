"""A peer's rows, each with the bare client of ours measured right before. Its programs (tests/bench/peers) take the command line of
redis_probe; enqueue and consume are told when to begin and say when they have done, so no start of a process is in a figure."""
import contextlib
import subprocess
import sys
import time
from functools import partial

from penstock_ops import Problem
from penstock_ops.steps import tail

from . import begin, stream
from .figures import percentile
from .peers import Home, Peer
from .stage import Stage, limited, process_cpu_seconds

WARM = begin.RATE  # jobs of the first second: some of the peers compile while they run


def argv_of(peer: Peer, stage: Stage, home: Home, mode: str, *arguments) -> list[str]:
    return [*map(str, peer.program(stage)), mode, *home.arguments, *map(str, arguments)]


def told(peer: Peer, stage: Stage, home: Home, mode: str) -> tuple[float, float]:
    """Seconds, and CPU seconds of program and server, from the word to begin to the word that all is done."""
    stage.settle_down()
    log = stage.dir / "log" / f"peer-{peer.name}.log"

    def hear(word: str) -> None:
        stage.must(program.stdout.readline() == word + "\n", f"{mode}: {tail(log, 1) or 'it ended, or took too long'}")

    def cpu_seconds() -> float:
        return process_cpu_seconds(program.pid) + home.cpu_seconds()

    argv = argv_of(peer, stage, home, mode, "--jobs", peer.jobs)
    with log.open("wb") as complaints, limited(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints) as program:
        hear("ready")
        cpu, began = cpu_seconds(), time.monotonic()
        begin.tell(program)
        hear("done")
        return time.monotonic() - began, cpu_seconds() - cpu


def throughput(stage: Stage, peer: Peer) -> dict[str, tuple[float, float]]:
    floor = stream.probe(stage)
    with peer.home(stage) as home:
        enqueued, _ = told(peer, stage, home, "enqueue")
        consumed, cpu = told(peer, stage, home, "consume")
    return {
        "drain": (peer.jobs / consumed, stream.JOBS / floor["consume"]),
        "cpu": (cpu * 1e5 / peer.jobs, floor["cpu"] * 1e5 / stream.JOBS),
        "bulk": (peer.jobs / enqueued, stream.JOBS / floor["enqueue"]),
    }


def latency(stage: Stage, peer: Peer) -> dict[str, tuple[float, float]]:
    stage.settle_down()
    floor = begin.bare(stage)
    with peer.home(stage) as home:
        figures = begin.through(stage, partial(argv_of, peer, stage, home), WARM)
    return {f"begin_p{p}": (percentile(figures, p), percentile(floor, p)) for p in (50, 99)}


@contextlib.contextmanager
def leaving_out(peer: Peer, peers: list[Peer]):
    """A peer that fails is one line on standard error; it is not measured again, and its rows are absent."""
    try:
        yield
    except Exception as problem:  # whatever it is, it is the peer's
        peers.remove(peer)
        said = str(problem) if isinstance(problem, Problem) else f"{type(problem).__name__}: {problem}"
        print(f"tests/bench/run: without {peer.name}: {said.splitlines()[-1]}", file=sys.stderr, flush=True)


def install(peers: list[Peer]) -> None:
    for peer in list(peers):
        with leaving_out(peer, peers):
            peer.folder.mkdir(parents=True, exist_ok=True)
            peer.install(peer)
