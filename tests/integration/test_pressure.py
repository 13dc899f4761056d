"""Admission: what a queue's door does as the drain rate changes, as tenants crowd it, as Redis fills; and delayed jobs that are due together."""
import hashlib
import json
import secrets
import threading
import time

import pytest

from penstock_client import Client as ProtocolClient
from penstock_client import Header, digest, new_job_id
from penstock_ops import ports
from stack import Client, Stack, WAIT_S, cli_of, new_key, order, problem
from test_metrics import value

QUEUE, NUMBER = "default", 0
SLEEP_MS = 100
PAD_BYTES = 48 << 20  # beside it, what Redis needs for itself is little
PROMOTED_PER_S = 5000  # scheduler/src/promote.c


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Its API has seen no rate yet, and one request alone may wait for a job."""
    made = Stack(tmp_path_factory.mktemp("pressure"), {"api.max_waiters": 1})
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def limit(stack, client):
    """limit(max_drain_s=…, slots=…) of the queue, until the end of the test."""
    def change(**values: int) -> None:
        stack.sql("UPDATE platform.queue SET " + ", ".join(f"{name} = {v}" for name, v in values.items()) + " WHERE name = %s", QUEUE)
        assert ports.wait_until(lambda: queue(client)["slots"] == values.get("slots", queue(client)["slots"]), 5)

    yield change
    change(max_drain_s=300, slots=64)
    assert ports.wait_until(lambda: depth(stack)["waiting"] == 0, WAIT_S)


def queue(client, name: str = QUEUE) -> dict:
    return client.get(f"/v1/queues/{name}").json()


def door(client, name: str = QUEUE) -> tuple[str, str]:
    admission = queue(client, name)["admission"]
    return admission["state"], admission["reason"]


def depth(stack) -> dict[str, int]:
    return ProtocolClient(stack.redis_client(), QUEUE, NUMBER).depth()


def put(shard: ProtocolClient, count: int, job_type: str, payload: bytes, due_ms: int = 0) -> None:
    """So many jobs of the stream class, straight into the shard."""
    for at in range(0, count, 1000):
        ids = [new_job_id(NUMBER, 0) for _ in range(min(1000, count - at))]
        args = [part for job in ids for part in (b"", digest(job), due_ms, Header(job, job_type).encode(), payload)]
        shard._call("enqueue", "s d dh n i:0 i:1", 1000000, *args)


class Level:
    """Keeps so many jobs waiting, whatever the workers do."""

    def __init__(self, stack, jobs: int):
        self.shard, self.jobs = ProtocolClient(stack.redis_client(), QUEUE, NUMBER), jobs
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.wait(0.02):
            missing = self.jobs - self.shard.depth()["waiting"]
            if missing > 0:
                put(self.shard, missing, "demo.sleep", f'{{"ms":{SLEEP_MS}}}'.encode())

    def __enter__(self) -> "Level":
        epoch = f"pen:{{{QUEUE}:0}}:e"  # ready: there is a group
        assert ports.wait_until(lambda: (self.shard.r.get(epoch) or b"").startswith(b"ready"), WAIT_S)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        self._thread.join()


def test_door__when_the_drain_rate_alone_changes_then_the_verdict_does(stack, client, limit):
    limit(max_drain_s=20, slots=2)  # 20 jobs a second at most
    with Level(stack, 600):
        assert ports.wait_until(lambda: door(client) == ("closed", "drain_time"), WAIT_S), json.dumps(queue(client))
        slow = queue(client)
        refused = problem(client.post("/v1/jobs", {"type": "demo.noop", "payload": {}}), 503, "queue_full")
        assert "to drain" in refused["detail"] and refused["retry_after_seconds"] >= 5
        shown = cli_of(stack)("queue", "get", QUEUE).out
        assert "closed" in shown and "drain_time" in shown
        assert value(client, "queue_admission", queue=QUEUE) == 2 and value(client, "queue_shed_total", queue=QUEUE, reason="drain_time") >= 1
        limit(slots=32)
        assert ports.wait_until(lambda: door(client) == ("open", "none"), WAIT_S), queue(client)
        fast = queue(client)
        assert client.post("/v1/jobs", {"type": "demo.noop", "payload": {}}).status_code == 202
    for seen in (slow, fast):
        assert abs(seen["depth"]["waiting"] - 600) <= 60, seen
    assert fast["done_per_second"] > 1.5 * slow["done_per_second"]


@pytest.fixture
def tenant(stack):
    """tenant("a"): a client of this tenant."""
    made = []

    def make(name: str) -> Client:
        key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
        stack.sql("INSERT INTO platform.api_key (id, secret_hash, tenant, scopes, name) VALUES (%s, %s, %s, '{enqueue}', 'test')", key_id,
                  hashlib.sha256(secret.encode()).digest(), name)
        made.append(key_id)
        return Client(stack.api.url, f"pen_{key_id}_{secret}")

    yield make
    for key_id in made:
        stack.sql("DELETE FROM platform.api_key WHERE id = %s", key_id)


def post_sleeps(client, count: int) -> list[dict]:
    line = json.dumps({"type": "demo.sleep", "payload": {"ms": SLEEP_MS}})
    answer = client.ask("POST", "/v1/jobs:batch", data="\n".join([line] * count), headers={"Content-Type": "application/x-ndjson"})
    assert answer.status_code == 200, answer.text
    return [json.loads(text) for text in answer.text.splitlines()]


def test_door__when_tenants_crowd_it_then_the_larger_one_is_refused_first(client, limit, tenant):
    limit(max_drain_s=10, slots=8)  # room for 800 jobs at most
    large, small = tenant("large"), tenant("small")
    post_sleeps(large, 100)  # so that the rate is known
    assert ports.wait_until(lambda: queue(client)["depth"]["waiting"] == 0, WAIT_S)

    refused = []
    deadline = time.monotonic() + WAIT_S
    while not refused and time.monotonic() < deadline:  # alone it may use all
        refused = [line["problem"] for line in post_sleeps(large, 40) if "problem" in line]
    assert "to drain" in refused[-1]["detail"] and door(client) == ("closed", "drain_time")

    def let_in(who: Client) -> bool:
        return all("problem" not in line for line in post_sleeps(who, 1))

    assert ports.wait_until(lambda: let_in(small), WAIT_S)  # the door is open again, and there are two
    refused = []
    deadline = time.monotonic() + WAIT_S
    while not refused and time.monotonic() < deadline:
        refused = [line["problem"] for line in post_sleeps(large, 10) if "problem" in line]
        assert let_in(small)
    assert refused[-1]["code"] == "queue_full" and "yours" in refused[-1]["detail"]
    assert door(client) == ("shedding", "tenant_share") and queue(client)["admission"]["tenants"] == 2
    assert value(client, "queue_shed_total", queue=QUEUE, reason="tenant_share") >= 1


def asked_by_refusals(stack, client, requests: int = 200) -> tuple[dict[str, int], int]:
    """Redis commands and Postgres transactions for each refusal; what else is going on is less than one."""
    redis, transactions = stack.redis_client(), "SELECT pg_stat_clear_snapshot(), sum(xact_commit) FROM pg_stat_database"
    redis.config_resetstat()
    before = stack.sql(transactions)[0][1]
    for i in range(requests):
        path, body = ("/v1/orders", order()) if i % 2 else ("/v1/jobs", {"type": "demo.note", "payload": {"text": "x"}})
        assert client.post(path, body, new_key()).status_code == 503
    asked = stack.sql(transactions)[0][1] - before
    calls = {name.removeprefix("cmdstat_"): stat["calls"] // requests for name, stat in redis.info("commandstats").items()}
    return {name: n for name, n in calls.items() if n > 0}, int(asked) // requests


def test_door__when_redis_fills_then_who_matters_less_is_refused_first(stack, client):
    redis = stack.redis_client()
    redis.setrange("pad", PAD_BYTES, b"x")

    def fill(part: float) -> None:
        redis.config_set("maxmemory", int(redis.info("memory")["used_memory"] / part))

    def accepted() -> list[str]:
        return [q for q in ("notifications", "default", "orders", "payments")
                if client.post("/v1/jobs", {"type": "demo.noop", "payload": {}, "queue": q}).status_code == 202]

    try:
        for part, expected in ((0.5, ["notifications", "default", "orders", "payments"]), (0.725, ["default", "orders", "payments"]),
                               (0.81, ["orders", "payments"]), (0.92, ["payments"]), (0.97, [])):
            fill(part)
            assert ports.wait_until(lambda: accepted() == expected, 5), (part, accepted())
        assert door(client, "payments") == ("closed", "memory")
        assert "full" in problem(client.post("/v1/orders", {}, new_key()), 503, "queue_full")["detail"]  # by the head alone
        assert asked_by_refusals(stack, client) == ({}, 0)
    finally:
        redis.config_set("maxmemory", "512mb")
        redis.delete("pad")
    assert ports.wait_until(lambda: len(accepted()) == 4, 5)


def test_orders__when_as_many_requests_wait_as_may_then_the_next_is_accepted_without_waiting(client):
    job = client.post("/v1/jobs", {"type": "demo.sleep", "payload": {}, "delay_ms": 60000}).json()
    waiting = threading.Thread(target=client.get, args=(f"/v1/jobs/{job['id']}?wait=30s",))
    waiting.start()
    assert ports.wait_until(lambda: client.get("/v1/health").json()["requests_waiting"] == 1, 5)
    key = new_key()
    first, again = (client.post("/v1/orders", order(), key) for _ in range(2))
    assert first.status_code == 202 and again.status_code in (201, 202)
    client.delete(f"/v1/jobs/{job['id']}")
    waiting.join(WAIT_S)
    assert client.post("/v1/orders", order(), key).status_code == 201


def test_promotion__when_many_are_due_at_once_then_they_are_moved_at_the_cap(stack):
    shard, jobs = ProtocolClient(stack.redis_client(), QUEUE, NUMBER), 10000
    due_ms = int(time.time() * 1000) + 8000
    put(shard, jobs, "demo.noop", b"{}", due_ms)
    assert shard.depth()["delayed"] == jobs and time.time() * 1000 < due_ms
    assert ports.wait_until(lambda: shard.depth()["delayed"] == 0, WAIT_S)
    assert time.time() - due_ms / 1000 >= 0.9 * jobs / PROMOTED_PER_S
    assert ports.wait_until(lambda: shard.depth()["waiting"] == 0, 60)
