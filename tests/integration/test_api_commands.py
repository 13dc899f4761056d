"""Orders, payments and notifications: jobs behind the scenes, answered by their results."""
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock_ops import ports
from stack import WAIT_S, new_key, order, problem


def placed(client, key=None, **members) -> dict:
    answer = client.post("/v1/orders", order(**members), key or new_key())
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_order__given_a_good_one_then_201_by_the_synchronous_path(client):
    answer = client.post("/v1/orders", order(), new_key())
    made = answer.json()
    assert answer.status_code == 201, answer.text
    assert set(made) >= {"order_id", "payment_id", "status", "version"}
    assert answer.headers["Location"] == f"/v1/orders/{made['order_id']}"
    shown = client.get(answer.headers["Location"])
    assert shown.json()["order_id"] == made["order_id"]
    assert shown.headers["ETag"] == f'"{shown.json()["version"]}"'
    same = client.get(answer.headers["Location"], headers={"If-None-Match": shown.headers["ETag"]})
    assert same.status_code == 304
    paid = client.get(f"/v1/payments/{made['payment_id']}").json()
    assert (paid["order_id"], paid["amount_minor"]) == (made["order_id"], 2500)


def test_order__given_the_same_key_again_then_the_same_bytes(client):
    key, body = new_key(), order(payment={"token": "tok_ok", "capture": True})
    first = client.post("/v1/orders", body, key)
    again = client.post("/v1/orders", body, key)
    assert (again.status_code, again.content, again.headers["Location"]) == (201, first.content, first.headers["Location"])
    assert again.headers["Idempotency-Replayed"] == "true" and "Idempotency-Replayed" not in first.headers
    problem(client.post("/v1/orders", order(currency="USD"), key), 422, "idempotency_key_reused")


def test_order__given_one_key_100_times_at_once_then_one_order_and_one_charge(stack, client):
    key = new_key()
    body = order(customer_id=key)
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: client.post("/v1/orders", body, key), range(100)))
    assert {a.status_code for a in answers} == {201}
    assert len({a.content for a in answers}) == 1
    assert stack.sql("SELECT count(*) FROM orders.orders WHERE customer_id = %s", key) == [(1,)]
    made = answers[0].json()
    assert stack.sql("SELECT count(*) FROM payments.payment_op WHERE payment_id = %s AND state = 'succeeded'", made["payment_id"]) == [(1,)]


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0"])
def test_order__given_respond_async_then_202_and_the_jobs_url(client, prefer):
    key, body = new_key(), order()
    answer = client.post("/v1/orders", body, key, headers={"Prefer": prefer})
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/v1/jobs/{answer.json()['id']}"
    done = client.ended(answer.json()["id"])
    assert (done["state"], done["status"]) == ("done", 201)
    attached = client.post("/v1/orders", body, key)
    assert (attached.status_code, attached.json()) == (201, done["result"])


def test_order__given_a_paused_queue_then_202_when_the_wait_is_over(client):
    client.post("/v1/queues/orders/pause")
    ports.wait_until(lambda: False, 2.5)
    try:
        key, body = new_key(), order()
        began = time.monotonic()
        answer = client.post("/v1/orders", body, key, headers={"Prefer": "wait=1"})
        assert answer.status_code == 202 and 0.9 < time.monotonic() - began < 6
        again = client.post("/v1/orders", body, key, headers={"Prefer": "wait=1"})
        assert (again.status_code, again.content) == (202, answer.content)
        assert again.headers["Idempotency-Replayed"] == "true"
    finally:
        client.post("/v1/queues/orders/resume")
    assert client.ended(answer.json()["id"])["status"] == 201


@pytest.mark.parametrize("change,pointer", [
    ({"currency": "euro"}, "#/currency"), ({"lines": []}, "#/lines"), ({"more": 1}, "#/more"),
    ({"lines": [{"sku": "a", "title": "b", "qty": 1.5, "unit_minor": 1}]}, "#/lines/0/qty"),
    ({"payment": {"token": "4111 1111 1111 1111"}}, "#/payment/token"),
])
def test_order__given_what_the_schema_refuses_then_422_with_the_place(client, change, pointer):
    said = problem(client.post("/v1/orders", order(**change), new_key()), 422, "invalid")
    assert pointer in [e["pointer"] for e in said["errors"]]


def test_order__given_a_declined_card_then_4xx_that_is_stored(client):
    key, body = new_key(), order(payment={"token": "tok_declined"})
    answer = client.post("/v1/orders", body, key)
    problem(answer, 402, "payment_declined")
    again = client.post("/v1/orders", body, key)
    assert (again.status_code, again.content) == (answer.status_code, answer.content)


def test_payment__given_captures_and_refunds_then_the_sums_follow(client):
    made = placed(client)
    path = f"/v1/payments/{made['payment_id']}"
    captured = client.post(path + "/capture", None, new_key())
    assert captured.status_code == 200, captured.text
    assert client.get(path).json()["captured_minor"] == 2500
    refund = client.post(path + "/refunds", {"amount_minor": 500, "reason": "damaged"}, new_key())
    assert refund.status_code in (200, 201), refund.text
    assert client.get(path).json()["refunded_minor"] == 500
    too_much = client.post(path + "/refunds", {"amount_minor": 2001}, new_key())
    assert 400 <= too_much.status_code < 500, too_much.text


def test_payment__given_a_stale_version_then_412(client):
    made = placed(client)
    path = f"/v1/payments/{made['payment_id']}"
    tag = client.get(path).headers["ETag"]
    stale = {"If-Match": f'"{int(tag.strip(chr(34))) + 7}"'}
    problem(client.post(path + "/void", None, new_key(), headers=stale), 412, "stale_version")
    for other in (f"W/{tag}", 'W/"x"', '"x"', '""', '"01"'):
        problem(client.post(path + "/void", None, new_key(), headers={"If-Match": other}), 412, "stale_version")
    for none in (f"{tag}, {tag}", tag.strip('"'), '"', "", "*, *", f"w/{tag}"):
        problem(client.post(path + "/void", None, new_key(), headers={"If-Match": none}), 400, "bad_parameter")
    voided = client.post(path + "/void", None, new_key(), headers={"If-Match": tag})
    assert voided.status_code == 200, voided.text
    assert client.get(path).json()["voided_minor"] == 2500


def test_payment__given_the_id_in_the_body_too_then_422(client):
    payment = new_key()
    said = problem(client.post(f"/v1/payments/{payment}/void", {"payment_id": payment}, new_key()), 422, "invalid")
    assert said["errors"][0]["pointer"] == "#/payment_id"
    problem(client.post("/v1/payments/x/void", None, new_key()), 404, "not_found")
    problem(client.post(f"/v1/payments/{payment}/void", None, new_key()), 404, "payment_not_found")


def test_order__given_a_cancel_then_its_money_is_given_back(client):
    made = placed(client)
    answer = client.post(f"/v1/orders/{made['order_id']}/cancel", None, new_key())
    assert answer.status_code in (200, 202), answer.text
    assert ports.wait_until(lambda: client.get(f"/v1/orders/{made['order_id']}").json()["status"] == "canceled", WAIT_S)
    paid = client.get(f"/v1/payments/{made['payment_id']}").json()
    assert paid["voided_minor"] == 2500


def test_views__given_an_unknown_id_then_404(client):
    for kind in ("orders", "payments", "notifications"):
        problem(client.get(f"/v1/{kind}/{new_key()}"), 404, "not_found")
        problem(client.get(f"/v1/{kind}/x"), 404, "not_found")


def test_notification__given_a_mail_then_it_is_sent(stack, client):
    key = new_key()
    body = {"channel": "email", "to": "customer@example.com", "subject": key, "text": "Hello"}
    answer = client.post("/v1/notifications", body, key)
    assert answer.status_code == 202, answer.text
    again = client.post("/v1/notifications", body, key)
    assert (again.status_code, again.content) == (202, answer.content)
    path = f"/v1/notifications/{answer.json()['id']}"
    assert client.get(path).json()["channel"] == "email"  # whether it has begun or not
    client.ended(answer.json()["id"])
    assert client.get(path).json()["status"] == "sent"
    problem(client.get(f"/v1/notifications/{client.enqueue('demo.note', {'text': 'n'})['id']}"), 404, "not_found")
    late = client.post("/v1/notifications", body, key)
    assert (late.status_code, late.content) == (202, answer.content)


def test_notification__given_a_wait_then_it_is_sent_when_the_answer_comes(client):
    key = new_key()
    body = {"channel": "email", "to": "customer@example.com", "subject": key, "text": "Hello"}
    answer = client.post("/v1/notifications", body, key, headers={"Prefer": "wait=20"})
    assert answer.status_code == 200, answer.text
    again = client.post("/v1/notifications", body, key, headers={"Prefer": "wait=20"})
    assert (again.status_code, again.content) == (200, answer.content)


@pytest.mark.parametrize("body,pointer", [
    ({"channel": "pigeon", "to": "a@b.c"}, "#/channel"), ({"to": "a@b.c"}, "#/channel"),
    ({"channel": "email", "to": "no address", "subject": "s", "text": "t"}, "#/to"),
    ({"channel": "webhook", "url": "ftp://x", "event_type": "a.b", "data": {}}, "#/url"),
])
def test_notification__given_bad_input_then_422_with_the_place(client, body, pointer):
    said = problem(client.post("/v1/notifications", body, new_key()), 422, "invalid")
    assert pointer in [e["pointer"] for e in said["errors"]]
