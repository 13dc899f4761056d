"""Throughput, CPU and memory of stream-class jobs: demo.noop, 256 bytes of payload, against a bare client on the same server."""
from .drain import STREAM, drain
from .stage import Stage

JOBS = 200_000
PROBE_BATCH = 64  # the knee of the probe's own curve
CALL_JOBS = 50    # in one call of a producer


def enqueue(stage: Stage, keyed: bool) -> dict[str, float]:
    stage.settle_down()
    before = stage.redis_bytes()
    made = stage.tool("enqueue_bench", "bulk", *stage.redis_arguments("penstock_api", stage.password), "--jobs", JOBS,
                      "--batch", CALL_JOBS, "--keyed", int(keyed))
    return {"rate": JOBS / made["wall"], "bytes": (stage.redis_bytes() - before) / JOBS}


def probe(stage: Stage) -> dict[str, float]:
    size = ("--jobs", JOBS, "--batch", PROBE_BATCH)
    stage.settle_down()
    enqueued = stage.probe("enqueue", *size)
    stage.settle_down()
    consumed = stage.probe("consume", *size)
    return {"enqueue": JOBS / enqueued["wall"], "bytes": enqueued["bytes"], "consume": JOBS / consumed["wall"],
            "cpu": consumed["cpu"] + consumed["server_cpu"]}


def measure(stage: Stage) -> dict[str, tuple[float, float]]:
    with stage.worker() as worker:
        worker.quiet()
        floor = probe(stage)
        plain = enqueue(stage, keyed=False)
        drained = drain(stage, worker, JOBS, STREAM)
        stage.forget_keys()
        keyed = enqueue(stage, keyed=True)
        drain(stage, worker, JOBS, STREAM)
        stage.forget_keys()
    per_100k = 100_000 / JOBS
    return {
        "drain": (drained["rate"], floor["consume"]),
        "cpu": (drained["cpu"] * per_100k, floor["cpu"] * per_100k),
        "bulk": (plain["rate"], floor["enqueue"]),
        "bulk_keyed": (keyed["rate"], floor["enqueue"]),
        "bytes": (plain["bytes"], floor["bytes"]),
        "bytes_keyed": (keyed["bytes"], floor["bytes"]),
    }
