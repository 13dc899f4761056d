"""Deadlines on their way: from the request through the queue to the calls of a handler."""
import json
from datetime import datetime, timedelta, timezone

import pytest

from penstock_ops import ports
from stack import new_key, order, problem


def from_now(seconds: float) -> str:
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@pytest.fixture
def held(client):
    """held(queue): nothing of it is claimed until held.let_go()."""
    paused = []

    def hold(queue: str) -> None:
        assert client.post(f"/v1/queues/{queue}/pause").json()["paused"]
        paused.append(queue)
        ports.wait_until(lambda: False, 2.5)  # "pause holds within 2 s": until then a claim may still come

    def let_go() -> None:
        while paused:
            client.post(f"/v1/queues/{paused.pop()}/resume")

    hold.let_go = let_go
    yield hold
    let_go()


@pytest.mark.parametrize("header_s,body_s,wanted_s", [(30, None, 30), (30, 10, 10), (10, 30, 10), (None, 10, 10)])
def test_request__then_the_earlier_deadline_is_the_jobs(client, header_s, body_s, wanted_s):
    headers = {"Penstock-Deadline": from_now(header_s)} if header_s else {}
    members = {"deadline_ms": body_s * 1000} if body_s else {}
    made = client.post("/v1/jobs", {"type": "demo.note", "payload": {"text": "x"}, "delay_ms": 5000, **members}, new_key(), headers=headers)
    left = datetime.fromisoformat(client.job(made.json()["id"])["deadline_at"]) - datetime.now(timezone.utc)
    assert wanted_s - 5 < left.total_seconds() <= wanted_s
    assert client.delete(f"/v1/jobs/{made.json()['id']}").status_code == 200


@pytest.mark.parametrize("value", ["tomorrow", "5000", "", "2126-01-01T00:00:00Z"])
def test_request__with_a_deadline_that_is_none_then_400(client, value):
    said = problem(client.post("/v1/orders", order(), new_key(), headers={"Penstock-Deadline": value}), 400, "bad_parameter")
    assert "Penstock-Deadline" in said["detail"]


def test_request__to_be_due_behind_its_deadline_then_422(client):
    body = {"type": "demo.note", "payload": {"text": "x"}, "due_at": from_now(60)}
    problem(client.post("/v1/jobs", body, new_key(), headers={"Penstock-Deadline": from_now(30)}), 422, "invalid")


def test_request__delayed_and_repeated_near_its_deadline_then_the_same_job(client):
    """What counts from now moves with each repetition; the deadline does not."""
    body, key, deadline = {"type": "demo.note", "payload": {"text": "x"}, "delay_ms": 1500}, new_key(), from_now(2)
    first = client.post("/v1/jobs", body, key, headers={"Penstock-Deadline": deadline})
    ports.wait_until(lambda: False, 1)
    again = client.post("/v1/jobs", body, key, headers={"Penstock-Deadline": deadline})
    assert (first.status_code, again.status_code) == (202, 202) and first.json()["id"] == again.json()["id"]


def test_batch__with_a_deadline_then_each_of_its_jobs_has_it(client, held):
    held("default")
    line = json.dumps({"type": "demo.note", "payload": {"text": "late"}, "key": new_key()})
    headers = {"Content-Type": "application/x-ndjson", "Penstock-Deadline": from_now(1)}
    made = client.ask("POST", "/v1/jobs:batch", data=line, headers=headers).json()
    ports.wait_until(lambda: False, 1)
    held.let_go()
    assert client.ended(made["id"])["state"] == "expired"


@pytest.mark.parametrize("queue,path,body", [
    ("orders", "/v1/orders", order()),
    ("notifications", "/v1/notifications", {"channel": "email", "to": "late@example.com", "subject": "Hello", "text": "late"}),
])
def test_queue__passed_in_it_then_expired_and_nothing_was_begun(stack, client, held, queue, path, body):
    held(queue)
    made = client.post(path, body, new_key(), headers={"Penstock-Deadline": from_now(1), "Prefer": "respond-async"}).json()
    ports.wait_until(lambda: False, 1.1)
    held.let_go()
    ended = client.ended(made["id"])
    assert (ended["state"], ended["status"], ended["result"]["code"]) == ("expired", 410, "expired")
    assert stack.sql("SELECT count(*) FROM orders.orders WHERE id = %s", made["id"]) == [(0,)]
    assert not any("late@example.com" in str(mail) for mail in stack.mail.mails())


def test_payment__asked_for_in_time_then_the_provider_may_not_book_it_behind_the_deadline(stack, client):
    """payments.call_ms is 5 s; the deadline is nearer."""
    made = client.post("/v1/orders", order(), new_key(), headers={"Penstock-Deadline": from_now(4)})
    assert made.status_code == 201, made.text
    (not_after, deadline), = stack.sql(
        "SELECT o.not_after, j.deadline_at FROM payments.payment_op o JOIN payments.payment p ON p.id = o.payment_id "
        "JOIN platform.job j ON j.root_id = p.order_id WHERE p.id = %s", made.json()["payment_id"])
    assert not_after < deadline
    free = client.post("/v1/orders", order(), new_key()).json()
    (began, not_after), = stack.sql("SELECT sent_at, not_after FROM payments.payment_op WHERE payment_id = %s", free["payment_id"])
    assert (not_after - began).total_seconds() > 4.5  # without one it has the whole of it
