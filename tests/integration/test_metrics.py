"""What an SRE sees: metrics that a linter accepts, that cost the same at any depth, that add up; one log line per request and per attempt."""
import re
import subprocess
import uuid

import pytest

from observe import attempts, log_lines, log_size
from penstock_client import Client as ProtocolClient
from penstock_client import Header, digest, new_job_id
from penstock_ops import ports
from penstock_ops.processes import children_of
from penstock_ops.prometheus_server import program
from stack import WAIT_S, new_key

QUEUE, NUMBER = "default", 0
AUDIT_S = 10         # scheduler.c; and the scheduler's heartbeat brings it to the API
BEAT_S = 2
DEEP = 20000
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}
NAMES = {
    "jobs_enqueued_total", "jobs_finished_total", "attempts_total", "queue_depth", "queue_oldest_age_seconds", "queue_drain_eta_seconds",
    "queue_admission", "job_duration_seconds", "job_queue_wait_seconds", "workers", "dlq_jobs", "idempotency_hits_total", "stale_refused_total",
    "duplicates_absorbed_total", "orphans_total", "conservation_gap", "http_server_request_duration_seconds",
    "job_overrun_ratio", "redis_memory_fill_ratio", "redis_writes", "redis_aof_ok", "scheduler_leads", "provider_circuit_state", "provider_window", "provider_retries_total", "provider_refused_total",
}
SAMPLE = re.compile(r'([a-z_]+)(\{(?:[a-z]+="(?:[^"\\]|\\.)*",?)+\})? (\S+)')
EXEMPLAR = re.compile(r' # \{trace_id="([0-9a-f]{32})"\} (\S+) \d+\.\d{3}$')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\]|\\.)*)"')


def scrape(client, headers: dict | None = None) -> str:
    answer = client.get("/metrics", headers=headers or {})
    assert answer.status_code == 200
    return answer.text


def samples(text: str) -> list[tuple[str, dict, float]]:
    found = []
    for line in text.splitlines():
        if not line.startswith("#"):
            name, labels, value = SAMPLE.fullmatch(line).groups()
            found.append((name, dict(LABEL.findall(labels or "")), float(value)))
    return found


def value(client, name: str, **labels: str) -> float | None:
    """Over all processes; None: there is no such series."""
    found = [v for n, have, v in samples(scrape(client)) if n == f"penstock_{name}" and labels.items() <= have.items()]
    return sum(found) if found else None


def families(text: str) -> dict[str, str]:
    return {m[0].removeprefix("penstock_"): m[1] for m in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)}


@pytest.fixture
def paused(stack, client):
    assert client.post(f"/v1/queues/{QUEUE}/pause", {"reason": "test"}).json()["paused"]

    def holds() -> bool:  # not what the API says counts, but what the worker does
        if waiting(stack) == 0:
            put(stack, 1)
        return waiting(stack) > 0

    assert ports.wait_until(holds, 5)
    yield
    client.post(f"/v1/queues/{QUEUE}/resume", {})
    assert ports.wait_until(lambda: stack.redis_client().xlen(f"pen:{{{QUEUE}:0}}:s") == 0, WAIT_S)


def put(stack, count: int) -> list[bytes]:
    """So many jobs of the stream class, straight into the shard."""
    client, ids = ProtocolClient(stack.redis_client(), QUEUE, NUMBER), [new_job_id(NUMBER, 0) for _ in range(count)]
    for at in range(0, count, 1000):
        args = [part for job in ids[at : at + 1000] for part in (b"", digest(job), 0, Header(job, "demo.noop").encode(), b"{}")]
        client._call("enqueue", "s d dh n i:0 i:1", 1000000, *args)
    return ids


def waiting(stack) -> int:
    return ProtocolClient(stack.redis_client(), QUEUE, NUMBER).depth()["waiting"]


# The exposition

@pytest.fixture
def busy(stack, client):
    """Something of everything has happened."""
    key, text = new_key(), {"text": "metrics"}
    made = client.enqueue("demo.note", text, key)
    client.enqueue("demo.note", text, key)
    client.enqueue("demo.echo")
    assert client.ended(made["id"])["state"] == "done"
    gone = client.enqueue("demo.fail", {"permanent": True})
    assert client.ended(gone["id"])["state"] == "dead"
    assert ports.wait_until(lambda: value(client, "conservation_gap", queue=QUEUE) is not None, AUDIT_S + 2 * BEAT_S)


def test_metrics__then_every_name_is_there_and_promtool_has_nothing_to_say(client, busy):
    assert ports.wait_until(lambda: NAMES <= set(families(scrape(client))), 2 * BEAT_S), NAMES - set(families(scrape(client)))
    text = scrape(client)
    told = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    for job_type, outcome in (("demo.note", "done"), ("demo.echo", "done"), ("demo.fail", "dead")):
        assert ports.wait_until(lambda: value(client, "jobs_finished_total", type=job_type, outcome=outcome), 2 * BEAT_S)
    assert value(client, "idempotency_hits_total") >= 1
    assert ports.wait_until(lambda: value(client, "dlq_jobs", queue=QUEUE) >= 1, WAIT_S)  # counted as often as it is cheap
    assert ports.wait_until(lambda: all(value(client, name) == 1 for name in ("redis_aof_ok", "redis_writes", "scheduler_leads")), AUDIT_S + 2 * BEAT_S)


def test_openmetrics__then_the_same_series_and_its_own_rules(client, busy):
    text = scrape(client, OPENMETRICS)
    types = families(text)
    assert text.endswith("\n# EOF\n")
    assert {name.removesuffix("_total") for name in families(scrape(client))} == set(types)
    current, closed = "", set()
    for line in text.splitlines()[:-1]:
        if line.startswith("# HELP "):  # a family's lines stand together
            closed.add(current)
            current = line.split()[2]
            assert current not in closed
            continue
        if line.startswith("# TYPE "):
            assert line.split()[2] == current
            continue
        name = SAMPLE.fullmatch(EXEMPLAR.sub("", line))[1]
        suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}[types[current.removeprefix("penstock_")]]
        assert name in {current + suffix for suffix in suffixes}, line


def test_exemplars__then_they_lead_to_what_is_in_the_logs(stack, client, busy):
    def found() -> dict[str, set]:
        shown: dict[str, set] = {}
        for line in scrape(client, OPENMETRICS).splitlines():
            if exemplar := EXEMPLAR.search(line):
                name, labels, _ = samples(line[: exemplar.start()])[0]
                assert float(exemplar[2]) <= float(labels["le"]), line
                shown.setdefault(name, set()).add(exemplar[1])
        return shown

    wanted = {f"penstock_{name}_seconds_bucket" for name in ("http_server_request_duration", "job_duration", "job_queue_wait")}
    assert ports.wait_until(lambda: wanted <= set(found()), 2 * BEAT_S), found()
    shown = found()
    known = {line["trace_id"] for log in (stack.api.log, stack.roles["worker"].log) for line in log_lines(log) if "trace_id" in line}
    assert shown["penstock_job_duration_seconds_bucket"] <= known
    assert shown["penstock_http_server_request_duration_seconds_bucket"] & known  # that of a probe is not logged
    assert not EXEMPLAR.search(scrape(client))


def test_histograms__then_buckets_add_up(client, busy):
    buckets: dict[tuple, list] = {}
    counts: dict[tuple, float] = {}
    for name, labels, v in samples(scrape(client)):
        le = labels.pop("le", None)
        series = (name.rsplit("_", 1)[0], *sorted(labels.items()))
        if name.endswith("_bucket"):
            buckets.setdefault(series, []).append((float(le), v))
        elif name.endswith("_count"):
            counts[series] = v
    assert buckets.keys() == counts.keys() and buckets
    for series, row in buckets.items():
        assert [le for le, _ in row] == sorted(le for le, _ in row) and row[-1][0] == float("inf")
        assert [v for _, v in row] == sorted(v for _, v in row) and row[-1][1] == counts[series]


def test_process__then_every_role_is_there(stack, client):
    supervisor = stack.roles["worker"].pid
    expected = {stack.api.pid, stack.roles["scheduler"].pid, supervisor, *children_of(supervisor)}

    def shown() -> set[int]:
        return {int(labels["process"].rpartition(":")[2]) for name, labels, _ in samples(scrape(client)) if name == "penstock_build_info"}

    assert ports.wait_until(lambda: expected <= shown(), WAIT_S), (expected, shown())


# The cost of looking

def commands_of_a_scrape(stack, client) -> dict[str, int]:
    """Redis commands of one scrape; what others send within the time is less than one for each."""
    r, scrapes = stack.redis_client(), 200
    r.config_resetstat()
    for _ in range(scrapes):
        scrape(client)
    calls = {name.removeprefix("cmdstat_"): stat["calls"] // scrapes for name, stat in r.info("commandstats").items()}
    return {name: n for name, n in calls.items() if n > 0}


def test_scrape__at_depth_then_it_costs_what_it_costs_when_empty(stack, client, paused):
    put(stack, 10)
    few = [commands_of_a_scrape(stack, client) for _ in range(3)]  # others come in between, the audit through the whole shard
    put(stack, DEEP)
    many = [commands_of_a_scrape(stack, client) for _ in range(3)]
    assert all(few) and any(one in many for one in few), (few, many)
    assert ports.wait_until(lambda: value(client, "queue_depth", queue=QUEUE, state="waiting") >= DEEP, WAIT_S)


# Do the numbers add up?

def test_gap__when_an_entry_vanishes_then_it_shows_within_two_audits(stack, client, paused):
    assert ports.wait_until(lambda: value(client, "conservation_gap", queue=QUEUE) == 0, AUDIT_S + 2 * BEAT_S)
    journal = client.enqueue("demo.note", {"text": "vanishes"})["id"]
    stream = str(uuid.UUID(bytes=put(stack, 1)[0]))
    r, shard = stack.redis_client(), f"pen:{{{QUEUE}:0}}"
    assert ports.wait_until(lambda: stack.sql("SELECT epoch IS NOT NULL FROM platform.job WHERE id = %s", journal) == [(True,)], WAIT_S)
    ids = {str(uuid.UUID(bytes=fields[b"h"][4:20])): entry for entry, fields in r.xrange(f"{shard}:s")}
    assert r.xdel(f"{shard}:s", ids[stream], ids[journal]) == 2
    since = log_size(stack.roles["scheduler"].log)
    assert ports.wait_until(lambda: value(client, "conservation_gap", queue=QUEUE) == 2, AUDIT_S + 2 * BEAT_S)
    # The counters know of both; that the journal's row is open and its entry gone, twice in a row, only the audit knows.
    assert ports.wait_until(lambda: value(client, "conservation_gap", queue=QUEUE) == 3, 2 * AUDIT_S + 2 * BEAT_S)
    line = log_lines(stack.roles["scheduler"].log, "conservation.gap", since)[-1]
    assert (line["queue"], line["stream"], line["journal"]) == (QUEUE, 2, 1)
    r.delete(f"{shard}:e")  # a new epoch places what the journal holds
    client.post(f"/v1/queues/{QUEUE}/resume", {})
    assert client.ended(journal)["state"] == "done"
    assert ports.wait_until(lambda: ProtocolClient(r, QUEUE, NUMBER).depth()["gap"] == 0, WAIT_S)


# Log lines

@pytest.mark.parametrize("job_type,keep", [("demo.note", {"text": "log"}), ("demo.echo", {})])
def test_log__then_one_line_for_the_request_and_one_for_the_attempt(stack, client, job_type, keep):
    trace = uuid.uuid4().hex
    api, worker = log_size(stack.api.log), log_size(stack.roles["worker"].log)
    answer = client.post("/v1/jobs", {"type": job_type, "payload": keep}, new_key(), headers={"traceparent": f"00-{trace}-{'cd' * 8}-01"})
    job_id = answer.json()["id"]

    def lines() -> tuple[list, list]:
        return ([line for line in log_lines(stack.api.log, "http.request", api) if line["trace_id"] == trace],
                [line for line in attempts(stack, worker) if line["trace_id"] == trace])

    assert ports.wait_until(lambda: all(lines()), WAIT_S)
    (request,), (attempt,) = lines()
    assert (request["tenant"], request["job"], request["method"], request["route"], request["status"]) == ("default", job_id, "POST", "/v1/jobs", 202)
    assert (attempt["tenant"], attempt["job"], attempt["root"], attempt["type"]) == ("default", job_id, job_id, job_type)
    assert (attempt["queue"], attempt["attempt"], attempt["outcome"]) == (QUEUE, 1, "done")
    assert request["ms"] >= 0 and attempt["ms"] >= 0 and {"ts", "level", "pid"} <= set(request) & set(attempt)
