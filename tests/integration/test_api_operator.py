"""What operators and SREs see and steer."""
import json
import re
import socket
import struct
import threading
import time

import pytest

from penstock_ops import ports
from penstock_ops.penstock import Api
from stack import BUILD, WAIT_S, Client, new_key, problem


def test_queues__given_a_pause_then_it_holds_and_is_audited(stack, client):
    answer = client.post("/v1/queues/default/pause", {"reason": "why not"})
    assert answer.json() == {"name": "default", "paused": True, "version": answer.json()["version"]}
    assert ports.wait_until(lambda: client.get("/v1/queues/default").json()["paused"], 3)
    ports.wait_until(lambda: False, 2.5)
    job = client.enqueue("demo.note", {"text": "p"})
    assert client.job(job["id"], "2s")["state"] == "waiting"
    assert client.post("/v1/queues/default/resume").json()["paused"] is False
    assert client.ended(job["id"])["state"] == "done"
    rows = stack.sql("SELECT author, action, detail->>'reason' FROM platform.audit WHERE target = 'default' ORDER BY seq DESC LIMIT 2")
    assert rows == [("local", "queue.resume", ""), ("local", "queue.pause", "why not")]


def test_queues__given_slow_jobs_before_the_pause_then_they_are_taken_up_again(client):
    slow = [client.enqueue("demo.sleep", {"ms": 1500}, key=new_key())["id"] for _ in range(20)]  # no look-ahead any more
    for job_id in slow:
        assert client.ended(job_id)["state"] == "done"
    client.post("/v1/queues/default/pause")
    assert ports.wait_until(lambda: client.get("/v1/queues/default").json()["paused"], 3)
    ports.wait_until(lambda: False, 2.5)  # the read that was on its way is over
    assert client.post("/v1/queues/default/resume").json()["paused"] is False
    assert client.ended(client.enqueue("demo.note", {"text": "again"})["id"])["state"] == "done"


def test_queues__given_jobs_then_the_depth_shows_them(client):
    ids = [client.enqueue("demo.note", {"text": "d"}, delay_ms=60000)["id"] for _ in range(3)]
    assert ports.wait_until(lambda: client.get("/v1/queues/default").json()["depth"]["delayed"] >= 3, 5)
    assert "next_due_at" in client.get("/v1/queues/default").json()
    for job_id in ids:
        client.delete(f"/v1/jobs/{job_id}")
    names = [q["name"] for q in client.get("/v1/queues").json()["items"]]
    assert set(names) >= {"default", "orders", "payments", "notifications"}


@pytest.fixture
def limit(stack, client):
    """Changes a limit of a queue for this test, and returns when the API has read it."""
    before = {name: values for name, *values in stack.sql("SELECT name, max_depth, max_open, max_drain_s FROM platform.queue")}
    names = {"max_depth": "max_depth", "max_open": "max_open", "max_drain_s": "max_drain_seconds"}

    def change(queue: str, column: str, value: int) -> None:
        stack.sql(f"UPDATE platform.queue SET {column} = %s WHERE name = %s", value, queue)
        assert ports.wait_until(lambda: client.get(f"/v1/queues/{queue}").json()["limits"][names[column]] == value, 5)

    yield change
    for queue, values in before.items():
        for column, value in zip(names, values):
            change(queue, column, value)


def full(client) -> int:
    depth = client.get("/v1/queues/default").json()["depth"]
    return sum(depth[state] for state in ("waiting", "running", "delayed", "parked"))


@pytest.mark.parametrize("column,job_type", [("max_depth", "demo.note"), ("max_open", "demo.note"), ("max_depth", "demo.noop")])
def test_admission__given_a_limit_then_503_with_retry_after_until_there_is_room(client, limit, column, job_type):
    ports.wait_until(lambda: False, 1.5)  # the reading is of now
    most = full(client) + 3
    limit("default", column, most)
    ids, refused = [], None
    for _ in range(5):
        answer = client.post("/v1/jobs", {"type": job_type, "payload": {"text": "x"}, "delay_ms": 60000}, new_key())
        if answer.status_code == 202:
            ids.append(answer.json()["id"])
        else:
            refused = refused or answer
    assert len(ids) >= 3 and refused is not None  # more when one of other tests has ended meanwhile
    ports.wait_until(lambda: False, 1.5)
    assert full(client) <= most
    said = problem(refused, 503, "queue_full")
    assert said["retryable"] and 1 <= int(refused.headers["Retry-After"]) == said["retry_after_seconds"] <= 300
    for _ in range(5):  # jobs of other tests may have ended meanwhile
        line = json.dumps({"type": job_type, "payload": {"text": "x"}, "delay_ms": 60000, "key": new_key()})
        batch = client.ask("POST", "/v1/jobs:batch", data=line, headers={"Content-Type": "application/x-ndjson"})
        if "problem" in batch.json():
            break
        ids.append(batch.json()["id"])
    assert (batch.status_code, batch.json()["problem"]["code"]) == (200, "queue_full")
    for job_id in ids:
        assert client.delete(f"/v1/jobs/{job_id}").status_code == 200
    assert ports.wait_until(lambda: client.post("/v1/jobs", {"type": job_type, "payload": {"text": "x"}}, new_key()).status_code == 202, 5)


def test_admission__given_a_long_drain_time_then_503_until_it_is_short(client, limit):
    limit("notifications", "max_drain_s", 1)
    client.ask("PUT", "/v1/scale/notifications", json={"workers": 0, "reason": "test"})
    try:
        assert ports.wait_until(lambda: not workers_of(client, "notifications"), WAIT_S)
        answers = [client.post("/v1/jobs", {"type": "demo.noop", "payload": {}, "queue": "notifications"}) for _ in range(100)]
        taken = [a.json() for a in answers if a.status_code == 202]
        assert 20 <= len(taken) <= 65 and taken[0]["estimated_start_seconds"] < taken[-1]["estimated_start_seconds"] <= 1.2
        refused = problem(answers[-1], 503, "queue_full")
        assert "to drain" in refused["detail"] and int(answers[-1].headers["Retry-After"]) >= 1
        admission = client.get("/v1/queues/notifications").json()["admission"]
        assert (admission["state"], admission["reason"]) == ("closed", "drain_time") and "to drain" in admission["detail"]
        body = {"channel": "email", "to": "a@example.com", "subject": "s", "text": "t"}
        problem(client.post("/v1/notifications", body, new_key()), 503, "queue_full")
    finally:
        client.ask("PUT", "/v1/scale/notifications", json={"workers": 1})
        client.ask("PUT", "/v1/scale/notifications", json={"workers": "auto"})
    assert ports.wait_until(lambda: client.post("/v1/jobs", {"type": "demo.noop", "payload": {}, "queue": "notifications"}).status_code == 202,
                            WAIT_S)


def workers_of(client, queue: str) -> list[dict]:
    return [p for p in client.get("/v1/workers").json()["items"] if p["role"] == "worker" and p.get("queue") == queue]


def test_scale__given_a_number_then_it_is_pinned_and_followed(stack, client):
    before = client.get("/v1/scale/default").json()
    try:
        said = client.ask("PUT", "/v1/scale/default", json={"workers": 2, "reason": "test"}).json()
        assert (said["workers"], said["pinned"], said["reason"], said["author"]) == (2, True, "test", "local")
        assert ports.wait_until(lambda: len(workers_of(client, "default")) == 2, WAIT_S)
        assert re.search(r'penstock_workers\{[^}]*queue="default",state="running"\} 2', client.get("/metrics").text)
    finally:
        said = client.ask("PUT", "/v1/scale/default", json={"workers": before["workers"]}).json()
        said = client.ask("PUT", "/v1/scale/default", json={"workers": "auto"}).json()
    assert (said["workers"], said["pinned"]) == (before["workers"], False)
    assert stack.sql("SELECT count(*) > 0 FROM platform.audit WHERE action = 'queue.scale' AND target = 'default'") == [(True,)]


@pytest.mark.parametrize("body", [{"workers": -1}, {"workers": 1025}, {"workers": "many"}, {"workers": 1.5}, {}, {"workers": 1, "x": 1}])
def test_scale__given_what_is_no_number_then_422(client, body):
    problem(client.ask("PUT", "/v1/scale/default", json=body), 422, "invalid")


def test_dlq__given_dead_jobs_then_all_or_some_run_again(client):
    dead = [client.enqueue("demo.fail", {"permanent": True})["id"] for _ in range(3)]
    for job_id in dead:
        assert client.ended(job_id)["state"] == "dead"
    one = client.post("/v1/dlq/default/retry", {"ids": dead[:1]}).json()
    assert one["retried"] == dead[:1]
    some = client.post("/v1/dlq/default/retry", {"all": True, "limit": 1}).json()
    assert len(some["retried"]) == 1
    problem(client.post("/v1/dlq/default/retry", {}), 422, "invalid")
    problem(client.post("/v1/dlq/default/retry", {"all": True, "ids": dead}), 422, "invalid")
    for job_id in dead:
        client.ended(job_id)


def test_metrics__given_both_formats_then_every_process_is_in_them(client):
    client.ended(client.enqueue("demo.note", {"text": "m"})["id"])
    text = client.get("/metrics")
    assert text.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    roles = {p["process"]: p["role"] for p in client.get("/v1/workers").json()["items"]}
    assert ports.wait_until(lambda: set(roles) <= set(re.findall(r'process="([^"]+)"', client.get("/metrics").text)), 10)
    for name in ("jobs_enqueued_total", "queue_depth", "queue_oldest_age_seconds", "queue_drain_eta_seconds", "queue_paused", "workers",
                 "dlq_jobs", "http_server_request_duration_seconds_count", "jobs_finished_total", "build_info"):
        assert f"\npenstock_{name}{{" in text.text, name
    openmetrics = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert openmetrics.headers["Content-Type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")


def test_log__given_a_request_then_one_line_says_it_all(stack, client):
    key = new_key()
    job = client.post("/v1/jobs", {"type": "demo.note", "payload": {"text": "l"}}, key).json()

    def lines() -> list[dict]:
        records = (json.loads(line) for line in stack.api.log.read_text().splitlines() if line.startswith("{"))
        return [r for r in records if r["event"] == "http.request" and r.get("job") == job["id"]]

    assert ports.wait_until(lambda: len(lines()) == 1, 5)
    line = lines()[0]
    assert (line["method"], line["route"], line["status"], line["tenant"], line["key"]) == ("POST", "/v1/jobs", 202, "default", True)
    assert line["root"] == job["id"]
    assert line["trace_id"] == job["trace_id"] and line["ms"] > 0 and line["bytes"] > 100
    assert key not in json.dumps(line)


def test_log__given_a_client_that_went_away_then_its_line_says_so(stack, client):
    job = client.enqueue("demo.note", {"text": "g"}, delay_ms=60000)
    with socket.create_connection((stack.api.host, stack.api.port), 10) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, as a killed client sends it
        s.sendall(f"GET /v1/jobs/{job['id']}?wait=30s HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        ports.wait_until(lambda: False, 0.5)

    def gone() -> bool:
        records = (json.loads(line) for line in stack.api.log.read_text().splitlines() if line.startswith("{"))
        return any(r.get("job") == job["id"] and r.get("status") == 499 for r in records)

    assert ports.wait_until(gone, 5)
    client.delete(f"/v1/jobs/{job['id']}")


def test_term__given_a_request_that_waits_then_it_is_answered_and_the_exit_is_0(stack, tmp_path):
    api = Api(tmp_path, BUILD, stack.conf)
    api.start()
    client, answers = Client(api.url), []
    job = client.enqueue("demo.note", {"text": "t"}, delay_ms=1500)
    waiting = threading.Thread(target=lambda: answers.append(client.get(f"/v1/jobs/{job['id']}?wait=20s")))
    waiting.start()
    time.sleep(0.5)
    assert api.stop()
    waiting.join(WAIT_S)
    assert api.exit_code() == 0
    assert answers[0].status_code == 200 and answers[0].json()["state"] == "done"
    assert answers[0].headers["Connection"] == "close"
