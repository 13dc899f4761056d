"""Emptying the queue: what the rows of throughput have in common."""
import contextlib
import time

from .stage import TAG, Stage, Worker

STREAM, JOURNAL = "done", "jout"  # counters of the shard: jobs of each class that were settled


def settled(stage: Stage, kind: str) -> int:
    return int(stage.redis.hget(f"{TAG}:n", kind) or 0)


def drain(stage: Stage, worker: Worker, jobs: int, kind: str, row: str | None = None) -> dict[str, float]:
    """From the moment on at which a quiet worker is woken until Redis has seen the last of the jobs settled: seconds, and CPU
    seconds of worker and Redis. With a row it is what is measured."""
    stage.settle_down()
    before, cpu, server = settled(stage, kind), worker.cpu_seconds(), stage.redis_cpu_seconds()
    began = time.monotonic()
    with stage.profiled(row, worker.pids) if row else contextlib.nullcontext():
        worker.wake()
        stage.wait(lambda: settled(stage, kind) - before >= jobs, "the queue to be empty")
        wall = time.monotonic() - began
    cost = worker.cpu_seconds() - cpu + stage.redis_cpu_seconds() - server
    worker.quiet()
    return {"wall": wall, "cpu": cost}
