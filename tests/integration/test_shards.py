"""A queue of several shards: every one of them is read, promoted, swept and handed back."""
import json
import os
import signal

import pytest

from penstock_ops import ports
from penstock_ops.processes import children_of
from stack import WAIT_S, Stack, new_key

SHARDS, JOBS = 4, 48


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    made = Stack(tmp_path_factory.mktemp("shards"), {"worker.lease_ms": 2000})
    try:
        yield made.start(sql=f"UPDATE platform.queue SET shards = {SHARDS}, slots = 64 WHERE name = 'default'")
    finally:
        made.stop()


def lengths(stack) -> list[int]:
    redis = stack.redis_client()
    return [redis.xlen(f"pen:{{default:{i}}}:s") for i in range(SHARDS)]


def process_of(client, queue: str) -> dict | None:
    items = client.get("/v1/workers").json()["items"]
    return next((p for p in items if p.get("queue") == queue and "slots" in p), None)


@pytest.mark.parametrize("job_type,payload", [("demo.note", {"text": "s"}), ("demo.echo", {})])
def test_shards__given_jobs_in_each_then_all_run_now_and_later(stack, client, job_type, payload):
    jobs = [client.enqueue(job_type, payload, key=new_key(), delay_ms=700 * (i % 2))["id"] for i in range(24)]
    for job_id in jobs:
        assert client.ended(job_id)["state"] == "done"


def test_shards__given_a_killed_worker_then_what_it_held_in_each_runs_again(stack, client):
    assert ports.wait_until(lambda: process_of(client, "default"), WAIT_S)
    lines = "".join(json.dumps({"type": "demo.sleep", "payload": {"ms": 1500}, "key": new_key()}) + "\n" for _ in range(JOBS))
    said = client.ask("POST", "/v1/jobs:batch", data=lines, headers={"Content-Type": "application/x-ndjson"}).text.splitlines()
    jobs = [json.loads(line)["id"] for line in said]
    assert all(lengths(stack)), lengths(stack)
    assert ports.wait_until(lambda: process_of(client, "default")["busy"] >= JOBS // 3, WAIT_S)
    victim = process_of(client, "default")["pid"]
    assert victim in children_of(stack.roles["worker"].pid)
    os.kill(victim, signal.SIGKILL)
    for job_id in jobs:
        assert client.ended(job_id)["state"] == "done"
    assert ports.wait_until(lambda: not any(lengths(stack)), WAIT_S), lengths(stack)
