"""Stream class, from the moment at which a job was to be enqueued to its handler, at a steady rate. Producer and worker are processes of
their own on both sides; when a job began is read off the worker's standard error by the same program (line_clock.c)."""
import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator

from .drain import STREAM, settled
from .figures import percentile
from .stage import WAIT_SECONDS, Stage, limited

RATE, SECONDS, DELAY_MS = 1000, 4, 2000
JOBS = RATE * SECONDS


@contextlib.contextmanager
def line_clock(stage: Stage) -> Iterator[tuple[int, list[str]]]:
    """The descriptor for standard error, and the lines that are there when nobody holds it any more."""
    read_end, write_end = os.pipe()
    lines: list[str] = []
    with subprocess.Popen(stage.tool_argv("line_clock"), stdin=read_end, stdout=subprocess.PIPE, text=True) as clock:
        os.close(read_end)
        try:
            yield write_end, lines
        finally:
            os.close(write_end)
            lines += clock.communicate(timeout=WAIT_SECONDS)[0].splitlines()


def latencies(sent: list[str], begun: list[str]) -> list[float]:
    """Milliseconds; each line is "<us> <job>"."""
    began_at = {job: int(us) for us, job in (line.split() for line in reversed(begun))}
    return sorted((began_at[job] - int(us)) / 1000 for us, job in (line.split() for line in sent))


def produce(stage: Stage, argv: list[str]) -> list[str]:
    made = subprocess.run(argv, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)
    stage.must(made.returncode == 0, f"the producer failed: {made.stderr}")
    return made.stdout.splitlines()


def ours(stage: Stage, *arguments) -> list[float]:
    before = settled(stage, STREAM)
    with line_clock(stage) as (write_end, begun), stage.worker(log_to=write_end):
        sent = produce(stage, stage.tool_argv("enqueue_bench", "paced", *stage.redis_arguments("penstock_api", stage.password),
                                              "--jobs", JOBS, "--rate", RATE, *arguments))
        stage.wait(lambda: settled(stage, STREAM) - before >= JOBS, "the paced jobs")
    return latencies(sent, begun)


def tell(program: subprocess.Popen) -> None:
    """It may begin."""
    program.stdin.write("\n")
    program.stdin.flush()


def through(stage: Stage, argv: Callable[..., list[str]], warm: int = 0) -> list[float]:
    """By the programs argv("work", …) and argv("produce", …); the first jobs, warm, are not counted."""
    with line_clock(stage) as (write_end, begun):
        with limited(argv("work", "--jobs", JOBS), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=write_end) as worker:
            stage.must(worker.stdout.readline() == "ready\n", "the worker did not get ready")
            tell(worker)
            sent = produce(stage, argv("produce", "--jobs", JOBS, "--rate", RATE))
            worker.communicate(timeout=WAIT_SECONDS)
    stage.must(worker.returncode == 0, "the worker failed")
    return latencies(sent[warm:], begun)


def bare(stage: Stage) -> list[float]:
    return through(stage, lambda mode, *arguments: stage.tool_argv("redis_probe", mode, *stage.redis_arguments(), *arguments))


def measure(stage: Stage) -> dict[str, tuple[float, float]]:
    stage.settle_down()
    floor, figures = bare(stage), ours(stage)
    return {f"begin_p{p}": (percentile(figures, p), percentile(floor, p)) for p in (50, 99)}


def measure_delayed(stage: Stage) -> dict[str, tuple[float, None]]:
    """From the time at which a job is due. All are accepted before the last is due, so promoting and claiming are what is measured."""
    stage.settle_down()
    return {"late_p99": (percentile(ours(stage, "--delay", DELAY_MS), 99), None)}
