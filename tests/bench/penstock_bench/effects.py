"""Effects a second: journal jobs of demo.note, from a full queue to finished rows, against a bare client that sends the same statements."""
import json
import os
import subprocess
import time
import uuid
from datetime import UTC, datetime, timedelta

from .drain import JOURNAL, drain
from .stage import Stage

JOBS = 20_000
PROBE_BATCH = 64
PROBES = 4  # one connection each: as many as the worker has for a module's effects (postgres.pool)


def clear(stage: Stage) -> None:
    stage.db.execute("TRUNCATE custom.note, custom.effect, platform.job, platform.idempotency")


def job_ids(n: int) -> list[str]:
    """Ids as jobs have them (base/ids.h), of queue 0 and shard 0: rising, since that decides what an index costs."""
    ms = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(5))
    return [str(uuid.UUID(int=(ms + i // 4096) << 80 | 7 << 76 | (i % 4096) << 64 | 2 << 62 | random)) for i in range(n)]


def make_rows(stage: Stage, n: int) -> list[str]:
    """Rows of the journal that the relay takes for placed, and the auditor for too young to miss; their ids."""
    ids, tomorrow = job_ids(n), datetime.now(UTC) + timedelta(days=1)
    with stage.db.cursor() as cursor, cursor.copy(
            "COPY platform.job (id, root_id, tenant, queue, shard, type, type_version, payload, traceparent, epoch, created_at) FROM STDIN") as copy:
        for job in ids:
            copy.write_row((job, job, "default", "default", 0, "demo.note", 1, '{"text":"bench"}',
                            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 1, tomorrow))
    return ids


def start_probe(stage: Stage, mode: str, ids: list[str], *arguments) -> subprocess.Popen:
    argv = stage.tool_argv("pg_probe", mode, "--url", stage.postgres.admin_url, "--jobs", len(ids), *arguments)
    probe = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    probe.stdin.write("".join(f"{job}\n" for job in ids))
    probe.stdin.close()
    return probe


def end_probe(probe: subprocess.Popen) -> str:
    with probe:
        said = probe.stdout.read()
    Stage.must(probe.returncode == 0, "pg_probe failed")
    return said


def bare(stage: Stage) -> float:
    ids = make_rows(stage, JOBS)
    stage.checkpoint()
    probes = [start_probe(stage, "batch", ids[i::PROBES], "--batch", PROBE_BATCH) for i in range(PROBES)]
    return JOBS / max(json.loads(end_probe(probe))["wall"] for probe in probes)


def ours(stage: Stage) -> float:
    with stage.worker() as worker:
        worker.quiet()
        stage.tool("journal_fill", *stage.redis_arguments("penstock_api", stage.password), "--postgres", stage.postgres.url, "--jobs", JOBS)
        stage.checkpoint()
        wall = drain(stage, worker, JOBS, JOURNAL, "effects")["wall"]
    done = stage.rows("SELECT count(*) FROM platform.job WHERE state = 'done'")[0][0]
    notes = stage.rows("SELECT count(*) FROM custom.note")[0][0]
    stage.must(done == notes == JOBS, f"{JOBS} jobs: {done} done, {notes} effects")
    return JOBS / wall


def measure(stage: Stage) -> dict[str, tuple[float, float]]:
    clear(stage)
    floor = bare(stage)
    clear(stage)
    figure = ours(stage)
    clear(stage)
    return {"effects": (figure, floor)}
