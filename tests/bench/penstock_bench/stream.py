"""Throughput, CPU and memory of stream-class jobs: demo.noop, 256 bytes of payload, against a bare client on the same server."""
from .drain import STREAM, drain
from .stage import Stage, Worker

JOBS = 50_000     # at a time
SLICES = 4        # in turn with the reference: the machine's swings then touch both alike
PROBE_BATCH = 64  # the knee of the probe's own curve
CALL_JOBS = 50    # in one call of a producer


def probe(stage: Stage) -> dict[str, float]:
    size = ("--jobs", JOBS, "--batch", PROBE_BATCH)
    stage.settle_down()
    enqueued = stage.probe("enqueue", *size)
    stage.settle_down()
    consumed = stage.probe("consume", *size)
    return {"enqueue": enqueued["wall"], "bytes": enqueued["bytes"] * JOBS, "consume": consumed["wall"],
            "cpu": consumed["cpu"] + consumed["server_cpu"]}


def enqueue(stage: Stage, jobs: int = JOBS, keyed: bool = False) -> dict[str, float]:
    stage.settle_down()
    before = stage.redis_bytes()
    made = stage.tool("enqueue_bench", "bulk", *stage.redis_arguments("penstock_api", stage.password), "--jobs", jobs,
                      "--batch", CALL_JOBS, "--keyed", int(keyed), row="bulk_keyed" if keyed else "bulk")
    return {"wall": made["wall"], "bytes": stage.redis_bytes() - before}


def slice_of_each(stage: Stage, worker: Worker) -> dict[str, float]:
    """Seconds, CPU seconds and bytes."""
    floor = probe(stage)
    plain = enqueue(stage)
    drained = drain(stage, worker, JOBS, STREAM, "drain")
    keyed = enqueue(stage, keyed=True)
    drain(stage, worker, JOBS, STREAM, "drain")
    stage.forget_keys()
    return {"drain": drained["wall"], "cpu": drained["cpu"], "bulk": plain["wall"], "bytes": plain["bytes"], "bulk_keyed": keyed["wall"],
            "bytes_keyed": keyed["bytes"], **{f"bare {name}": cost for name, cost in floor.items()}}


def measure(stage: Stage) -> dict[str, tuple[float, float]]:
    with stage.worker() as worker:
        worker.quiet()
        slices = [slice_of_each(stage, worker) for _ in range(SLICES)]
    per_job = {name: sum(costs[name] for costs in slices) / (SLICES * JOBS) for name in slices[0]}
    return {
        "drain": (1 / per_job["drain"], 1 / per_job["bare consume"]),
        "cpu": (per_job["cpu"] * 100_000, per_job["bare cpu"] * 100_000),
        "bulk": (1 / per_job["bulk"], 1 / per_job["bare enqueue"]),
        "bulk_keyed": (1 / per_job["bulk_keyed"], 1 / per_job["bare enqueue"]),
        "bytes": (per_job["bytes"], per_job["bare bytes"]),
        "bytes_keyed": (per_job["bytes_keyed"], per_job["bare bytes"]),
    }
