"""What a worker process held when it was killed: how long until it runs again, and whether anything is lost or done twice.

Half of its slots are taken by jobs of demo.tally (stream class), each of which notes its run in Postgres and sleeps; through the others go
journal jobs of demo.note. Amid them the process is killed. A job of the first kind must run a second time: its delay is the time from the
kill to the commit of its second note. One of the second kind must have its effect once."""
import os
import signal
import subprocess
import time
from collections import Counter

from penstock_ops import ports

from .effects import clear
from .figures import percentile
from .stage import TAG, WAIT_SECONDS, Stage, Worker

HELD, SLEEP_MS = 32, 6000
NOTES = 4000
NOTES_BEFORE = NOTES // 8  # have had their effect when the kill comes
PATIENCE_SECONDS = 30      # three leases: what has not run again until then is lost


def runs(stage: Stage, tally: bool) -> Counter:
    return Counter(dict(stage.rows("SELECT root_id, count(*) FROM custom.note WHERE (text = 'tally') = %s GROUP BY 1", tally)))


def hold(stage: Stage, user: list[str]) -> None:
    stage.tool("enqueue_bench", "bulk", *user, "--jobs", HELD, "--batch", HELD, "--type", "demo.tally",
               "--payload", f'{{"ms":{SLEEP_MS}}}')
    stage.wait(lambda: len(runs(stage, True)) == HELD, "the jobs to be started")


def kill_amid_notes(stage: Stage, worker: Worker, user: list[str]) -> float:
    """The wall clock's time of the kill."""
    pid = worker.pid_of("default")
    argv = stage.tool_argv("journal_fill", *user, "--postgres", stage.postgres.url, "--jobs", NOTES)
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as fill:
        stage.wait(lambda: runs(stage, False).total() >= NOTES_BEFORE, "journal jobs to be on their way")
        at = time.time()
        os.kill(pid, signal.SIGKILL)
        stage.must(fill.wait(WAIT_SECONDS) == 0, "journal_fill failed")
    return at


def is_over(stage: Stage) -> bool:
    """Everything that was held has run again and ended."""
    waiting = stage.rows("SELECT count(*) FROM platform.job WHERE state = 'waiting'")[0][0]
    return waiting == 0 and stage.redis.xlen(f"{TAG}:s") == 0


def delays(stage: Stage, killed_at: float) -> list[float]:
    """Of the second runs; seconds."""
    return [at - killed_at for (at,) in stage.rows(
        "SELECT at FROM (SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS at, "
        "row_number() OVER (PARTITION BY root_id ORDER BY at) AS run FROM custom.note WHERE text = 'tally') r WHERE run = 2 ORDER BY 1")]


def measure(stage: Stage) -> dict[str, tuple[float, float | None]]:
    user = stage.redis_arguments("penstock_api", stage.password)
    clear(stage)
    with stage.worker() as worker:
        hold(stage, user)
        killed_at = kill_amid_notes(stage, worker, user)
        ports.wait_until(lambda: is_over(stage), PATIENCE_SECONDS)  # the figures say whether it came true
        again, tally, notes = delays(stage, killed_at), runs(stage, True), runs(stage, False)
    clear(stage)
    lost = HELD - len(again) + NOTES - len(notes)
    doubled = sum(n > 2 for n in tally.values()) + sum(n > 1 for n in notes.values())
    return {"rerun_p99": (percentile(again, 99) if again else float("inf"), None), "rerun_lost": (lost, None),
            "rerun_doubled": (doubled, None)}
