"""Jobs over HTTP: accepted once per key, shown, waited for, cancelled, run again."""
import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import psycopg
import pytest

from penstock_ops import ports
from stack import WAIT_S, Client, new_key, order, problem

START = datetime.now(timezone.utc)


@pytest.fixture
def paused(stack, client):
    """While it lasts nothing of the queue "default" is claimed."""
    assert client.post("/v1/queues/default/pause", {"reason": "test"}).json()["paused"]
    assert ports.wait_until(lambda: client.get("/v1/queues/default").json()["paused"], 5)
    ports.wait_until(lambda: False, 2.5)  # "pause holds within 2 s": until then a claim may still come
    yield
    client.post("/v1/queues/default/resume")


@pytest.fixture
def paused_orders(client):
    assert client.post("/v1/queues/orders/pause").json()["paused"]
    ports.wait_until(lambda: False, 2.5)
    yield
    client.post("/v1/queues/orders/resume")


def test_post__given_a_job_then_202_says_where_it_is(client):
    answer = client.post("/v1/jobs", {"type": "demo.note", "payload": {"text": "a"}}, new_key(),
                         headers={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == job["links"]["self"] == f"/v1/jobs/{job['id']}"
    assert (job["state"], job["queue"], job["durability"], job["trace_id"]) == ("waiting", "default", "journal", "ab" * 16)
    done = client.ended(job["id"])
    assert (done["state"], done["status"], done["result"], done["trace_id"]) == ("done", 200, {"noted": True}, "ab" * 16)


def test_post__given_606_point_0_then_the_job_gets_606(client):
    job = client.post("/v1/jobs", data='{"type":"demo.echo","payload":{"n":606.0,"m":606.5}}',
                      headers={"Content-Type": "application/json"}).json()
    assert json.dumps(client.ended(job["id"])["result"]) == '{"n": 606, "m": 606.5}'


@pytest.mark.parametrize("job_type", ["demo.note", "demo.echo"])
def test_post__given_the_same_key_again_then_the_same_job(client, job_type):
    key, body = new_key(), {"type": job_type, "payload": {"text": "a"}}
    first, quoted, third = (client.post("/v1/jobs", body, k) for k in (key, f'"{key}"', key))
    client.ended(first.json()["id"])
    late = client.post("/v1/jobs", body, key)
    assert "Idempotency-Replayed" not in first.headers
    for again in (quoted, third, late):
        assert again.status_code == 202
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.headers["Location"] == first.headers["Location"]
        if job_type == "demo.note":  # the row keeps all that the body is made of
            assert again.content == first.content
    problem(client.post("/v1/jobs", {**body, "payload": {"text": "b"}}, key), 422, "idempotency_key_reused")


def test_post__given_one_key_100_times_at_once_then_one_job(stack, client):
    key = new_key()
    body = {"type": "demo.note", "payload": {"text": key}}
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: client.post("/v1/jobs", body, key), range(100)))
    assert {a.status_code for a in answers} == {202}
    assert len({a.content for a in answers}) == 1
    assert sum("Idempotency-Replayed" not in a.headers for a in answers) == 1
    assert stack.sql("SELECT count(*) FROM platform.idempotency WHERE key = %s", key) == [(1,)]
    client.ended(answers[0].json()["id"])
    assert stack.sql("SELECT count(*) FROM custom.note WHERE text = %s", key) == [(1,)]


def test_post__given_many_keys_at_once_then_as_many_jobs(stack, client):
    mark = new_key()
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda i: client.enqueue("demo.note", {"text": f"{mark}"}, f"{mark}-{i % 50}"), range(200)))
    assert len({a["id"] for a in answers}) == 50
    for job in answers:
        client.ended(job["id"])
    assert stack.sql("SELECT count(*) FROM custom.note WHERE text = %s", mark) == [(50,)]


@pytest.mark.parametrize("held", [1, 30])
def test_post__given_keys_that_another_transaction_holds_then_only_they_wait(stack, client, held):
    mark = new_key()
    body = {"type": "demo.note", "payload": {"text": mark}}
    keys = [f"{mark}-{i}" for i in range(held + 20)]  # the held ones go first
    with psycopg.connect(stack.postgres.admin_url) as db, ThreadPoolExecutor(64) as pool:
        for key in keys[:held]:
            db.execute("INSERT INTO platform.idempotency (tenant, key, fingerprint, job_id) VALUES ('default', %s, '', gen_random_uuid())", (key,))
        posts = {key: pool.submit(client.post, "/v1/jobs", body, key) for key in keys}
        assert ports.wait_until(lambda: sum(post.done() for post in posts.values()) >= 4, 5)
        later = client.post("/v1/jobs", body, f"{mark}-later")  # the held ones are still being tried
        answers = {key: post.result() for key, post in posts.items()}
        for key in keys[:held]:
            assert int(answers[key].headers["Retry-After"]) >= 1
            assert problem(answers[key], 503, "unavailable")["retryable"]
        for answer in [later] + [answers[key] for key in keys[held:]]:
            assert answer.status_code == 202 and answer.elapsed.total_seconds() < (3 if held == 1 else 7), answer.text
        assert later.elapsed.total_seconds() < 1.5
        db.rollback()
    for key in keys[:held]:
        assert client.post("/v1/jobs", body, key).status_code == 202
    assert ports.wait_until(lambda: stack.sql("SELECT count(*) FROM custom.note WHERE text = %s", mark) == [(held + 21,)], WAIT_S)


BAD = [
    ("", 400, "malformed", None),
    ("{", 400, "malformed", None),
    ("[]", 422, "invalid", "#"),
    ('"x"', 400, "malformed", None),
    ('{"type":"demo.note","type":"demo.note","payload":{}}', 400, "malformed", None),
    ("[" * 33 + "]" * 33, 400, "malformed", None),
    ('{"type":"demo.note","payload":{"text":"\ud800"}}'.encode("utf-8", "surrogatepass"), 400, "malformed", None),
    ('{"type":"demo.note","payload":{"text":"\\u0000"}}', 400, "malformed", None),
    ('{"type":"demo.note"}', 422, "invalid", "#"),
    ('{"type":"demo.note","payload":[]}', 422, "invalid", "#/payload"),
    ('{"type":7,"payload":{}}', 422, "invalid", "#/type"),
    ('{"type":"demo.note","payload":{"text":5}}', 422, "invalid", "#/payload/text"),
    ('{"type":"demo.note","payload":{"text":"a","more":1}}', 422, "invalid", "#/payload/more"),
    ('{"type":"demo.note","payload":{"text":"a"},"more":1}', 422, "invalid", "#/more"),
    ('{"type":"demo.sleep","payload":{"ms":606.5}}', 422, "invalid", "#/payload/ms"),
    ('{"type":"demo.sleep","payload":{"ms":1e400}}', 400, "malformed", None),
    ('{"type":"demo.sleep","payload":{"ms":"1"}}', 422, "invalid", "#/payload/ms"),
    ('{"type":"demo.nop","payload":{}}', 422, "unknown_type", None),
    ('{"type":"demo.noop","type_version":9,"payload":{}}', 422, "unknown_version", None),
    ('{"type":"event.deliver","payload":{}}', 422, "internal_type", None),
    ('{"type":"demo.noop","payload":{},"queue":"nowhere"}', 422, "unknown_queue", None),
    ('{"type":"demo.noop","payload":{},"due_at":"tomorrow"}', 422, "invalid", "#/due_at"),
    ('{"type":"demo.noop","payload":{},"due_at":"2126-01-01T00:00:00Z"}', 422, "invalid", "#/due_at"),
    ('{"type":"demo.noop","payload":{},"due_at":"2026-01-01T00:00:00Z","delay_ms":5}', 422, "invalid", "#/delay_ms"),
    ('{"type":"demo.noop","payload":{},"delay_ms":-1}', 422, "invalid", "#/delay_ms"),
    ('{"type":"demo.noop","payload":{},"delay_ms":5000,"deadline_ms":5000}', 422, "invalid", "#/deadline_ms"),
    ('{"type":"demo.noop","payload":{"x":"' + "a" * 70000 + '"}}', 413, "too_large", None),
]


@pytest.mark.parametrize("body,status,code,pointer", BAD, ids=[f"{b[:40]!r}" for b, *_ in BAD])
def test_post__given_bad_input_then_4xx_and_nothing_is_enqueued(stack, client, body, status, code, pointer):
    before = stack.sql("SELECT count(*) FROM platform.job")
    answer = client.ask("POST", "/v1/jobs", data=body, headers={"Content-Type": "application/json", "Idempotency-Key": new_key()})
    said = problem(answer, status, code)
    assert said["detail"] and said["hint"] and said["instance"] == "/v1/jobs"
    if pointer is not None:
        assert pointer in [e["pointer"] for e in said["errors"]]
    assert stack.sql("SELECT count(*) FROM platform.job") == before


def test_post__given_an_unknown_type_then_the_nearest_is_named(client):
    said = problem(client.post("/v1/jobs", {"type": "demo.nop", "payload": {}}), 422, "unknown_type")
    assert "demo.noop" in said["detail"]


@pytest.mark.parametrize("media", ["text/plain", "application/json; charset=latin1", "application/x-www-form-urlencoded", None])
def test_post__given_another_media_type_then_415(client, media):
    headers = {"Content-Type": media} if media else {}
    problem(client.ask("POST", "/v1/jobs", data=b'{"type":"demo.noop","payload":{}}', headers=headers), 415,
            "unsupported_media_type")


@pytest.mark.parametrize("key", ["", '""', '"a', "k" * 256, "caf\u00e9".encode("latin1")])
def test_post__given_a_malformed_key_then_400(client, key):
    problem(client.post("/v1/jobs", {"type": "demo.noop", "payload": {}}, key), 400, "idempotency_key_malformed")


def test_post__given_no_key_where_one_is_required_then_400(client):
    for body in ({"type": "payment.void", "payload": {"payment_id": new_key()}}, {"type": "demo.note", "payload": {"text": "a"}},
                 {"type": "demo.fail", "payload": {}}):
        problem(client.post("/v1/jobs", body), 400, "idempotency_key_missing")
    problem(client.post("/v1/orders", {}), 400, "idempotency_key_missing")


@pytest.mark.parametrize("path,media", [("/v1/jobs", "application/json"), ("/v1/jobs:batch", "application/x-ndjson")])
def test_post__given_two_keys_or_one_for_all_lines_then_400(stack, path, media):
    keys = "Idempotency-Key: a\r\n" * (1 if "batch" in path else 2)
    body = '{"type":"demo.noop","payload":{}}'
    with socket.create_connection((stack.api.host, stack.api.port), 10) as s:
        s.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {media}\r\n{keys}"
                  f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        answer = b""
        while part := s.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 400 ") and b'"bad_parameter"' in answer


def test_body__given_more_than_a_mebibyte_then_413(client):
    problem(client.ask("POST", "/v1/jobs", data=b" " * (1024 * 1024 + 1), headers={"Content-Type": "application/json"}), 413, "too_large")


@pytest.mark.parametrize("sent,status,code", [
    (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_request"), (b"nonsense\r\n\r\n", 400, "bad_request"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 17000 + b"\r\n\r\n", 431, "head_too_large"),
])
def test_http__given_what_is_no_request_then_a_problem_all_the_same(stack, sent, status, code):
    with socket.create_connection((stack.api.host, stack.api.port), 10) as s:
        s.sendall(sent)
        answer = b""
        while part := s.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status) and b"application/problem+json" in head
    assert json.loads(body)["code"] == code


@pytest.mark.parametrize("method,path,status,code", [
    ("PATCH", "/v1/jobs", 405, "method_not_allowed"), ("GET", "/v1/nothing", 404, "no_route"), ("GET", "/v1/jobs/", 404, "no_route"),
    ("GET", "/v1/jobs/x", 404, "not_found"), ("GET", "/v1/queues/nowhere", 404, "not_found"),
    ("GET", "/v1/jobs?limit=0", 400, "bad_parameter"), ("GET", "/v1/jobs?state=running", 400, "bad_parameter"),
    ("GET", "/v1/jobs?cursor=x", 400, "bad_parameter"), ("GET", "/v1/jobs?type=%ff", 400, "bad_parameter"),
    ("GET", "/v1/jobs?%ff=1", 400, "bad_parameter"),
    ("GET", "/v1/jobs?statte=done", 400, "bad_parameter"), ("GET", "/v1/jobs?limit=1&limit=2", 400, "bad_parameter"),
    ("GET", "/v1/dlq?state=dead", 400, "bad_parameter"), ("GET", "/livez?x", 400, "bad_parameter"),
    ("GET", "/v1/jobs/01a2243d-89d2-73f2-8000-767926a69b7a", 404, "not_found"),
    ("GET", "/v1/jobs/01a2243d-89d2-73f2-8000-767926a69b7a?wait=x", 400, "bad_parameter"),
    ("DELETE", "/v1/jobs/01a2243d-89d2-73f2-8000-767926a69b7a", 404, "not_found"),
    ("POST", "/v1/jobs/01a2243d-89d2-73f2-8000-767926a69b7a/retry", 404, "not_found"),
])
def test_paths__given_what_is_not_there_then_a_problem(client, method, path, status, code):
    answer = client.ask(method, path)
    problem(answer, status, code)
    if status == 405:
        assert answer.headers["Allow"] == "POST, GET, HEAD"


def test_batch__given_lines_then_each_is_answered_by_its_own(client):
    key = new_key()
    lines = [
        json.dumps({"type": "demo.note", "payload": {"text": "1"}, "key": key}),
        json.dumps({"type": "demo.note", "payload": {"text": "1"}, "key": key}),
        json.dumps({"type": "demo.note", "payload": {"text": "2"}, "key": key}),
        json.dumps({"type": "demo.echo", "payload": {}, "delay_ms": 60000}),
        "{", "",
        json.dumps({"type": "demo.note", "payload": {"text": 1}, "key": new_key()}),
        json.dumps({"type": "payment.void", "payload": {"payment_id": key}}),
    ]
    answer = client.ask("POST", "/v1/jobs:batch", data="\n".join(lines), headers={"Content-Type": "application/x-ndjson"})
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/x-ndjson"
    said = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["line"] for line in said] == list(range(1, len(lines) + 1))
    assert sorted(line["status"] for line in said[:3]) in ([202, 202, 422], [202, 422, 422])
    assert said[3]["state"] == "delayed"
    assert [(line["status"], line["problem"]["code"]) for line in said[4:]] == [
        (400, "malformed"), (400, "malformed"), (422, "invalid"), (400, "idempotency_key_missing")]
    assert said[6]["problem"]["errors"][0]["pointer"] == "#/payload/text"
    again = client.ask("POST", "/v1/jobs:batch", data=lines[0], headers={"Content-Type": "application/x-ndjson"}).json()
    assert again["status"] in (202, 422)


def test_get__given_a_wait_then_the_answer_comes_when_the_job_ends(client):
    job = client.enqueue("demo.note", {"text": "w"}, delay_ms=1500)
    assert client.job(job["id"])["state"] == "delayed"
    done = client.get(f"/v1/jobs/{job['id']}", headers={"Prefer": "wait=20"})
    assert done.json()["state"] == "done" and 0.5 < done.elapsed.total_seconds() < 10
    still = client.enqueue("demo.note", {"text": "w"}, delay_ms=60000)
    unchanged = client.get(f"/v1/jobs/{still['id']}?wait=1s")
    assert unchanged.json()["state"] == "delayed" and 0.9 < unchanged.elapsed.total_seconds() < 5


def test_get__given_the_etag_then_304_until_it_changes(client):
    job = client.enqueue("demo.note", {"text": "e"}, delay_ms=1500)
    first = client.get(f"/v1/jobs/{job['id']}")
    tag = {"If-None-Match": first.headers["ETag"]}
    same = client.get(f"/v1/jobs/{job['id']}", headers=tag)
    assert same.status_code == 304 and not same.content
    client.ended(job["id"])
    assert client.get(f"/v1/jobs/{job['id']}", headers=tag).status_code == 200
    head = client.ask("HEAD", f"/v1/jobs/{job['id']}")
    assert head.status_code == 200 and not head.content and int(head.headers["Content-Length"]) > 100


def test_get__given_a_stream_job_without_outcome_then_it_is_not_tracked_after_its_end(client):
    job = client.enqueue("demo.noop")
    assert job["durability"] == "stream"
    assert ports.wait_until(lambda: client.job(job["id"])["tracked"] is False, WAIT_S)
    assert "state" not in client.job(job["id"])


def test_get__given_a_stream_job_that_dies_while_it_is_waited_for_then_the_answer_comes(client):
    job = client.enqueue("demo.tally", {"fail": True}, delay_ms=1500)
    dead = client.get(f"/v1/jobs/{job['id']}?wait=20s")
    assert dead.json()["state"] == "dead" and 0.5 < dead.elapsed.total_seconds() < 10
    assert client.job(job["id"], "20s")["state"] == "dead"


def test_get__given_a_dead_stream_job_that_runs_again_then_it_is_not_dead(client, paused):
    client.post("/v1/queues/default/resume")
    job = client.enqueue("demo.tally", {"fail": True})
    assert client.ended(job["id"])["state"] == "dead"
    client.post("/v1/queues/default/pause")
    ports.wait_until(lambda: False, 2.5)
    retry = lambda: client.post(f"/v1/jobs/{job['id']}/retry").status_code
    assert ports.wait_until(lambda: retry() == 202, WAIT_S)  # Postgres has it soon
    assert client.job(job["id"])["state"] == client.job(job["id"], "1s")["state"] == "waiting"
    client.post("/v1/queues/default/resume")
    assert client.ended(job["id"])["state"] == "dead"
    assert ports.wait_until(lambda: retry() == 202, WAIT_S)  # in its newer generation


def test_get__given_an_expired_job_then_it_was_not_run(client, paused):
    job = client.enqueue("demo.note", {"text": "late"}, deadline_ms=500)
    ports.wait_until(lambda: False, 0.6)
    client.post("/v1/queues/default/resume")
    assert client.ended(job["id"])["state"] == "expired"
    problem(client.delete(f"/v1/jobs/{job['id']}"), 409, "job_terminal")


@pytest.mark.parametrize("job_type", ["demo.note", "demo.echo"])
def test_delete__given_a_delayed_job_then_it_is_gone(stack, client, job_type):
    job = client.enqueue(job_type, {"text": "x"}, delay_ms=60000)
    said = client.delete(f"/v1/jobs/{job['id']}")
    assert (said.status_code, said.json()) == (200, {"id": job["id"], "state": "cancelled"})
    assert not stack.redis_client().zscore("pen:{default:0}:d", bytes.fromhex(job["id"].replace("-", "")))
    told = client.job(job["id"])
    assert (told["state"], told["status"], told["result"]["code"]) == ("cancelled", 409, "job_cancelled")
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 200  # a repeat after a lost answer


def test_delete__given_a_job_that_must_come_to_its_end_then_409(client, paused_orders):
    job = client.post("/v1/orders/01a2243d-89d2-73f2-8000-767926a69b7a/cancel", None, new_key(), headers={"Prefer": "respond-async"}).json()
    said = problem(client.delete(f"/v1/jobs/{job['id']}"), 409, "job_not_cancellable")
    assert "order.cancel" in said["detail"]
    placing = client.post("/v1/orders", order(), new_key(), headers={"Prefer": "respond-async"}).json()
    assert client.delete(f"/v1/jobs/{placing['id']}").status_code == 202
    client.post("/v1/queues/orders/resume")
    assert client.ended(placing["id"])["status"] >= 400
    problem(client.delete(f"/v1/jobs/{job['id']}"), 409, "job_terminal")


def cancelled(client, job_type: str) -> float:
    """How many jobs were, by the metric."""
    found = re.findall(rf'penstock_jobs_finished_total\{{[^}}]*type="{job_type}"[^}}]*outcome="cancelled"[^}}]*\}} (\S+)', client.get("/metrics").text)
    return sum(map(float, found))


def test_delete__given_one_job_many_times_at_once_then_it_ends_once(stack, client):
    job, before = client.enqueue("demo.note", {"text": "once"}, delay_ms=60000), cancelled(client, "demo.note")
    with ThreadPoolExecutor(20) as pool:
        assert {said.status_code for said in pool.map(lambda _: client.delete(f"/v1/jobs/{job['id']}"), range(20))} == {200}
    assert cancelled(client, "demo.note") - before == 1


@pytest.mark.parametrize("job_type", ["demo.note", "demo.echo"])
def test_delete__given_a_delayed_job_then_it_is_announced_and_counted_once(stack, client, job_type):
    job, before = client.enqueue(job_type, {"text": "x"}, delay_ms=60000), cancelled(client, job_type)
    done = stack.redis_client().pubsub(ignore_subscribe_messages=True)
    done.subscribe("pen:done")
    announced = []

    def is_announced() -> bool:
        message = done.get_message(timeout=0.1)
        announced.extend([message["data"].hex()] if message else [])
        return job["id"].replace("-", "") in announced

    done.get_message(timeout=WAIT_S)  # the subscription
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.job, job["id"], "20s")
        for _ in range(2):
            assert client.delete(f"/v1/jobs/{job['id']}").status_code == 200
        assert waiting.result()["state"] == "cancelled"
    assert ports.wait_until(is_announced, 5)
    assert cancelled(client, job_type) - before == 1


def test_delete__given_a_waiting_job_then_it_never_runs(stack, client, paused):
    mark = new_key()
    journal = client.enqueue("demo.note", {"text": mark})
    stream = client.enqueue("demo.echo", {"text": mark})
    assert client.job(journal["id"])["state"] == client.job(stream["id"])["state"] == "waiting"
    assert client.delete(f"/v1/jobs/{journal['id']}").status_code == 200
    assert client.delete(f"/v1/jobs/{stream['id']}").status_code == 202
    client.post("/v1/queues/default/resume")
    assert client.ended(stream["id"])["state"] == "cancelled"
    assert client.job(journal["id"])["state"] == "cancelled"
    assert stack.sql("SELECT count(*) FROM custom.note WHERE text = %s", mark) == [(0,)]


def test_delete__given_a_running_job_then_it_is_asked_to_stop(client):
    job = client.enqueue("demo.sleep", {"ms": 60000})
    client.until(job["id"], "running")
    said = client.delete(f"/v1/jobs/{job['id']}")
    assert (said.status_code, said.json()["state"]) == (202, "cancel_requested")
    assert client.ended(job["id"])["state"] == "cancelled"


def test_delete__given_an_ended_job_then_409(client):
    for job_type, payload, state in (("demo.note", {"text": "d"}, "done"), ("demo.echo", {}, "done"), ("demo.fail", {"permanent": True}, "dead")):
        job = client.enqueue(job_type, payload)
        assert client.ended(job["id"])["state"] == state
        said = problem(client.delete(f"/v1/jobs/{job['id']}"), 409, "job_terminal")
        assert state in said["detail"]


def test_delete__given_a_dead_stream_job_that_postgres_has_then_its_replay_is_not_cancelled(stack, client):
    job = client.enqueue("demo.tally", {"fail": True})
    dead = lambda: stack.sql("SELECT count(*) FROM platform.dead_job WHERE id = %s", job["id"]) == [(1,)]
    assert ports.wait_until(dead, WAIT_S)
    left = lambda: any(bytes.fromhex(job["id"].replace("-", "")) in stack.redis_client().hkeys(key) for key in stack.redis_client().keys("pen:{*}:dead"))
    assert ports.wait_until(lambda: not left(), WAIT_S)
    assert "dead" in problem(client.delete(f"/v1/jobs/{job['id']}"), 409, "job_terminal")["detail"]
    assert client.post(f"/v1/jobs/{job['id']}/retry").status_code == 202
    assert client.ended(job["id"])["state"] == "dead"


def test_retry__given_a_dead_job_then_it_waits_again_in_a_newer_generation(stack, client):
    job = client.enqueue("demo.fail", {"permanent": True})
    assert client.ended(job["id"])["state"] == "dead"
    listed = client.get("/v1/dlq?queue=default&limit=500").json()["items"]
    assert [d["errors"][0]["code"] for d in listed if d["id"] == job["id"]] == ["refused"]
    said = client.post(f"/v1/jobs/{job['id']}/retry")
    assert (said.status_code, said.json()) == (202, {"id": job["id"], "state": "waiting", "generation": 1})
    assert client.ended(job["id"])["generation"] == 1
    assert stack.sql("SELECT count(*) FROM platform.audit WHERE action = 'job.replay' AND detail->'jobs' ? %s", job["id"]) == [(1,)]
    alive = client.enqueue("demo.note", {"text": "r"})
    client.ended(alive["id"])
    problem(client.post(f"/v1/jobs/{alive['id']}/retry"), 409, "job_not_dead")


def test_list__given_pages_then_every_job_is_on_one(client):
    key = new_key()
    made = [client.enqueue("demo.note", {"text": key})["id"] for _ in range(7)]
    found, cursor = [], ""
    while len(found) < 7:
        page = client.get(f"/v1/jobs?type=demo.note&queue=default&limit=3{cursor}").json()
        assert len(page["items"]) <= 3
        found += [job["id"] for job in page["items"] if job["id"] in made]
        cursor = f"&cursor={page['next']}"
    assert found == made[::-1]


# ---- snooze ----


def later(days: int) -> str:
    """The same for a whole test run."""
    return (START + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def snooze(client, job: str, **body):
    return client.post(f"/v1/jobs/{job}/snooze", body)


@pytest.mark.parametrize("job_type", ["demo.note", "demo.echo"])  # one of each class
def test_snooze__delayed_then_it_is_due_at_the_other_time(stack, client, job_type):
    job = client.enqueue(job_type, {"text": "x"}, delay_ms=60_000)["id"]
    client.until(job, "delayed")
    said = snooze(client, job, due_at=later(3), reason="not now")
    assert said.status_code == 200, said.text
    assert said.json() == {"id": job, "state": "delayed", "due_at": later(3)}
    assert client.job(job)["state"] == "delayed"
    if job_type == "demo.note":  # a Redis that has lost it is told by the row
        assert client.job(job)["due_at"] == later(3)
    assert snooze(client, job, delay_ms=0).status_code == 200
    assert client.ended(job)["state"] == "done"
    told = stack.sql("SELECT author, detail->>'reason' FROM platform.audit WHERE action = 'job.snooze' AND target = %s ORDER BY seq", job)
    assert told == [("local", "not now"), ("local", "")]


def test_snooze__what_a_worker_may_have_or_had_then_it_stays(client, paused):
    for job_type in "demo.note", "demo.echo":
        job = client.enqueue(job_type, {"text": "x"})["id"]
        problem(snooze(client, job, delay_ms=1000), 409, "job_not_delayed")
        assert client.job(job)["state"] == "waiting"
        client.delete(f"/v1/jobs/{job}").raise_for_status()
        code = "job_terminal" if job_type == "demo.note" else "job_not_delayed"
        problem(snooze(client, job, delay_ms=1000), 409, code)


def test_snooze__what_cannot_be_then_nothing_is_changed(stack, client, make_key):
    job = client.enqueue("demo.note", {"text": "x"}, delay_ms=60_000, deadline_ms=3_600_000)["id"]
    due = client.job(job)["due_at"]
    problem(snooze(client, job, delay_ms=3_700_000), 422, "invalid")  # behind its deadline
    problem(snooze(client, job, due_at=later(25)), 422, "invalid")
    for body in ({}, {"delay_ms": -1}, {"due_at": "tomorrow"}, {"delay_ms": 1, "due_at": later(1)}):
        problem(snooze(client, job, **body), 422, "invalid")
    problem(snooze(Client(stack.api.url, make_key("acme", "enqueue")), job, delay_ms=1000), 404, "not_found")
    problem(snooze(Client(stack.api.url, make_key("default", "view")), job, delay_ms=1000), 403, "forbidden")
    problem(snooze(client, new_key(), delay_ms=1000), 404, "not_found")
    assert client.job(job)["due_at"] == due
    old = client.enqueue("demo.note", {"text": "x"}, delay_ms=60_000)["id"]
    stack.sql("UPDATE platform.job SET root_id = overlay(root_id::text PLACING '01900000' FROM 1 FOR 8)::uuid WHERE id = %s", old)  # of 2024
    problem(snooze(client, old, delay_ms=1000), 422, "invalid")
    for one in job, old:
        assert client.delete(f"/v1/jobs/{one}").status_code == 200


def test_snooze__what_gives_money_back_then_it_may_be_due_now_but_not_later(stack, client):
    job = client.enqueue("demo.note", {"text": "x"}, delay_ms=60_000)["id"]
    client.until(job, "delayed")
    stack.sql("UPDATE platform.job SET type = 'payment.sync' WHERE id = %s", job)
    problem(snooze(client, job, due_at=later(3)), 409, "job_not_cancellable")
    assert snooze(client, job, delay_ms=0).status_code == 200 and client.ended(job)["state"] == "done"
    stack.sql("UPDATE platform.job SET type = 'demo.note' WHERE id = %s", job)
