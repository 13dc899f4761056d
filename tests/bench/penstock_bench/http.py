"""Through the front door: how fast requests are accepted, and how long until what they asked for stands."""
import contextlib
import json
import subprocess
from collections.abc import Iterator

from .drain import JOURNAL, STREAM, drain
from .effects import clear, end_probe, make_rows, start_probe
from .figures import percentile
from .stage import WAIT_SECONDS, Stage, process_cpu_seconds

NOTE = json.dumps({"type": "demo.note", "payload": {"text": "bench"}})
NOOP = json.dumps({"type": "demo.noop", "payload": {"pad": "x" * 246}}, separators=(",", ":"))  # 256 bytes of payload
ORDER = json.dumps({"customer_id": "customer-1", "currency": "EUR",
                    "lines": [{"sku": "mug-blue", "title": "Blue mug", "qty": 2, "unit_minor": 1250}],
                    "payment": {"token": "tok_ok", "capture": False}})
COMMIT_RATE, COMMIT_JOBS = 500, 2000
ORDER_RATE, ORDERS = 50, 200
ACCEPTED, ACCEPT_CONNECTIONS = 10_000, 32
CALLS, CALL_JOBS = 1000, 50


def paced(stage: Stage, rate: int, requests: int, *arguments) -> list[tuple[int, int, str]]:
    """Microseconds of the intended time and of the answer, and the id in it."""
    argv = stage.tool_argv("http_load", "paced", "--port", stage.api.port, "--rate", rate, "--requests", requests, *arguments)
    said = subprocess.run(argv, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)
    stage.must(said.returncode == 0, f"http_load: {said.stderr}")
    return [(int(due), int(answered), job) for due, answered, job in map(str.split, said.stdout.splitlines())]


def closed(stage: Stage, row: str, server: tuple[int, int], requests: int, *arguments) -> tuple[float, float]:
    """Requests a second, and microseconds of CPU for each of the server with that port and process id."""
    port, pid = server
    before = process_cpu_seconds(pid)
    with stage.profiled(row, lambda: [pid]):
        done = stage.tool("http_load", "closed", "--port", port, "--requests", requests, *arguments)
    return requests / done["wall"], (process_cpu_seconds(pid) - before) * 1e6 / requests


def committed(stage: Stage) -> list[float]:
    """Milliseconds from the time at which a request was to be sent to the commit of its job's effect."""
    with stage.worker():
        sent = paced(stage, COMMIT_RATE, COMMIT_JOBS, "--path", "/v1/jobs", "--body", NOTE)
        stage.wait(lambda: stage.rows("SELECT count(*) FROM custom.note")[0][0] >= COMMIT_JOBS, "the effects")
    at = dict(stage.rows("SELECT root_id::text, (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint FROM custom.note"))
    return sorted((at[job] - due) / 1000 for due, _, job in sent)


def committed_bare(stage: Stage) -> list[float]:
    """The same without HTTP, journal and Redis: a client that sends the effect's statement."""
    said = end_probe(start_probe(stage, "paced", make_rows(stage, COMMIT_JOBS), "--rate", COMMIT_RATE))
    return sorted(int(us) / 1000 for us in said.splitlines())


def measure_commit(stage: Stage) -> dict[str, tuple[float, float]]:
    clear(stage)
    floor = committed_bare(stage)
    clear(stage)
    figures = committed(stage)
    clear(stage)
    return {f"commit_p{p}": (percentile(figures, p), percentile(floor, p)) for p in (50, 99)}


def measure_orders(stage: Stage) -> dict[str, tuple[float, None]]:
    with stage.worker():
        sent = paced(stage, ORDER_RATE, ORDERS, "--path", "/v1/orders", "--body", ORDER, "--status", 201)
    took = sorted((answered - due) / 1000 for due, answered, _ in sent)
    return {f"order_p{p}": (percentile(took, p), None) for p in (50, 99)}


@contextlib.contextmanager
def floor(stage: Stage) -> Iterator[tuple[int, int]]:
    """Port and process id of the bare server."""
    with subprocess.Popen(stage.tool_argv("http_floor"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield int(server.stdout.readline()), server.pid
        server.stdin.close()


def measure_accept(stage: Stage) -> dict[str, tuple[float, float | None]]:
    """The worker is quiet meanwhile: what is measured is the door."""
    clear(stage)
    single = ("--path", "/v1/jobs", "--connections", ACCEPT_CONNECTIONS, "--body")
    with stage.worker() as worker, floor(stage) as bare_server:
        worker.quiet()
        _, bare = closed(stage, "bare server", bare_server, ACCEPTED, *single, NOOP)
        api = (stage.api.port, stage.api.pid)
        _, stream = closed(stage, "accept_cpu", api, ACCEPTED, *single, NOOP)
        drain(stage, worker, ACCEPTED, STREAM)
        accepted, journal = closed(stage, "accept", api, ACCEPTED, *single, NOTE)
        drain(stage, worker, ACCEPTED, JOURNAL)
        lines = "".join(f"{NOOP}\n" for _ in range(CALL_JOBS))
        calls, _ = closed(stage, "bulk_http", api, CALLS, "--path", "/v1/jobs:batch", "--type", "application/x-ndjson", "--body", lines, "--status", 200,
                       "--connections", 1)
        drain(stage, worker, CALLS * CALL_JOBS, STREAM)
    clear(stage)
    return {"accept": (accepted, None), "accept_cpu": (stream, bare), "accept_cpu_journal": (journal, bare),
            "bulk_http": (calls * CALL_JOBS, None)}
