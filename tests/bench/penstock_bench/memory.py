"""What a worker process takes for itself: pages that it has written and shares with nobody."""
import re
from pathlib import Path

from .drain import STREAM, settled
from .stage import TAG, Stage

SLOTS, SLEEP_MS = 1000, 8000


def private_mib(pid: int) -> float:
    kib = re.search(r"^Private_Dirty:\s+(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii"), re.MULTILINE)
    return int(kib[1]) / 1024


def measure(stage: Stage) -> dict[str, tuple[float, None]]:
    """Idle, then with every slot taken by a job that waits."""
    user = stage.redis_arguments("penstock_api", stage.password)
    slots = stage.rows("SELECT slots FROM platform.queue WHERE name = 'default'")[0][0]
    stage.rows("UPDATE platform.queue SET slots = %s WHERE name = 'default' RETURNING name", SLOTS)
    try:
        with stage.worker() as worker:
            pid, before = worker.pid_of("default"), settled(stage, STREAM)
            idle = private_mib(pid)
            stage.tool("enqueue_bench", "bulk", *user, "--jobs", SLOTS, "--type", "demo.sleep", "--payload", f'{{"ms":{SLEEP_MS}}}')
            stage.wait(lambda: stage.redis.hlen(f"{TAG}:r") >= SLOTS, "the slots to be taken")  # by jobs that a renewal saw running
            taken = private_mib(pid)
            stage.wait(lambda: settled(stage, STREAM) - before >= SLOTS, "the jobs to end")
    finally:
        stage.rows("UPDATE platform.queue SET slots = %s WHERE name = 'default' RETURNING name", slots)
    return {"memory_idle": (idle, None), "memory_slots": (taken, None)}
