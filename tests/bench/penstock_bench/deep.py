"""Does a job, or a look, cost more when many wait? The same jobs from a queue that holds little else, and from one that holds a million."""
import statistics
import time
import urllib.request

from .drain import STREAM, drain, settled
from .stage import Stage, Worker
from .stream import enqueue

JOBS, DEEP = 50_000, 1_000_000
SCRAPES = 20


def first_cpu(stage: Stage, worker: Worker) -> float:
    """CPU seconds of worker and Redis for a job, over about the first JOBS of what waits."""
    stage.settle_down()
    before, cpu, server = settled(stage, STREAM), worker.cpu_seconds(), stage.redis_cpu_seconds()
    worker.wake()
    stage.wait(lambda: settled(stage, STREAM) - before >= JOBS, "the first jobs")
    worker.quiet()
    return (worker.cpu_seconds() - cpu + stage.redis_cpu_seconds() - server) / (settled(stage, STREAM) - before)


def scrape_ms(stage: Stage) -> float:
    def once() -> float:
        began = time.monotonic()
        with urllib.request.urlopen(f"{stage.api.url}/metrics", timeout=10) as answer:
            answer.read()
        return (time.monotonic() - began) * 1000
    return statistics.median(once() for _ in range(SCRAPES))


def measure(stage: Stage) -> dict[str, tuple[float, float]]:
    with stage.worker() as worker:
        worker.quiet()
        enqueue(stage, JOBS + JOBS // 2)  # some are still there when it is told to stop
        few_scrape, few = scrape_ms(stage), first_cpu(stage, worker)
        enqueue(stage, DEEP)
        many_scrape, many = scrape_ms(stage), first_cpu(stage, worker)
        drain(stage, worker, stage.depth(), STREAM)
    return {"deep_cpu": (many * 1e5, few * 1e5), "deep_scrape": (many_scrape, few_scrape)}
