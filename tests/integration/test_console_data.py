"""What the dashboard's pages read and do."""
import uuid
from urllib.parse import quote

import pytest

from penstock_ops import ports
from stack import WAIT_S, Client, new_key, order, problem

QUEUE = "notifications"


@pytest.fixture
def bury(stack):
    """Dead jobs of the stream class, of a type that is declared nowhere: nothing of them can run."""
    made = []

    def make(n: int, fingerprint: str, tenant: str = "default", age: str = "1 minute", queue: str = QUEUE) -> list[str]:
        rows = stack.sql(
            "INSERT INTO platform.dead_job (id, root_id, generation, class, tenant, queue, type, type_version, payload, attempts, errors, "
            "fingerprint, traceparent, died_at) SELECT id, id, 0, 'stream', %s, %s, 'test.dead', 1, '{}', 3, "
            "jsonb_build_array(jsonb_build_object('at_ms', 1, 'code', 'ERR', 'detail', 'no. ' || n)), %s, "
            "'00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', now() - %s::interval - n * interval '1 second' "
            "FROM (SELECT gen_random_uuid() AS id, n FROM generate_series(1, %s) AS n) s RETURNING id",
            tenant, queue, fingerprint, age, n)
        made.extend(str(row[0]) for row in rows)
        return [str(row[0]) for row in rows]

    yield make
    stack.sql("DELETE FROM platform.dead_job WHERE id = ANY(%s::uuid[])", made)


def groups(client: Client, queue: str = QUEUE) -> dict[str, dict]:
    answer = client.get(f"/v1/dlq/groups?queue={queue}")
    assert answer.status_code == 200, answer.text
    return {g["fingerprint"]: g for g in answer.json()["items"]}


def counts(client: Client, *fingerprints: str) -> list[int]:
    there = groups(client)
    return [there[f]["count"] if f in there else 0 for f in fingerprints]


def test_groups__given_dead_jobs_then_the_largest_first_with_an_example_and_a_trend(client, bury):
    few, many = f"test.dead: A: {uuid.uuid4()}", f"test.dead: B: \" ' {uuid.uuid4()}"
    bury(2, few, age="12 minutes")
    ids = bury(5, many)
    assert ports.wait_until(lambda: counts(client, few, many) == [2, 5], WAIT_S)
    ours = [f for f in groups(client) if f in (few, many)]
    assert ours == [many, few]
    group = groups(client)[many]
    assert (group["queue"], group["type"], group["message"]) == (QUEUE, "test.dead", "no. 1") and set(group["sample_ids"]) <= set(ids)
    assert sum(group["trend"]) == 5 and sum(groups(client)[few]["trend"][-3:-1]) == 2 and group["first_at"] < group["last_at"]
    listed = client.get(f"/v1/dlq?fingerprint={quote(many)}").json()["items"]
    assert {job["id"] for job in listed} == set(ids)


def test_discard__given_a_dry_run_then_nothing_is_done(client, bury):
    group = f"test.dead: {uuid.uuid4()}"
    ids = bury(3, group)
    answer = client.post(f"/v1/dlq/{QUEUE}/discard", {"fingerprint": group, "dry_run": True})
    assert answer.status_code == 200 and answer.json()["matched"] == 3 and set(answer.json()["sample"]) == set(ids)
    answer = client.post(f"/v1/dlq/{QUEUE}/retry", {"fingerprint": group, "dry_run": True})
    assert answer.status_code == 200 and answer.json()["matched"] == 3
    assert len(client.get(f"/v1/dlq?fingerprint={quote(group)}").json()["items"]) == 3


def test_discard__given_a_group_then_it_is_gone_until_it_is_taken_back(stack, client, bury):
    group, other = f"test.dead: {uuid.uuid4()}", f"test.dead: {uuid.uuid4()}"
    bury(3, group), bury(1, other)
    assert ports.wait_until(lambda: counts(client, group, other) == [3, 1], WAIT_S)
    answer = client.post(f"/v1/dlq/{QUEUE}/discard", {"fingerprint": group, "limit": 2, "reason": "canary"})
    assert answer.json() == {"discarded": 2, "left": 1}
    assert client.post(f"/v1/dlq/{QUEUE}/discard", {"fingerprint": group, "reason": "rest"}).json() == {"discarded": 1, "left": 0}
    assert ports.wait_until(lambda: counts(client, group, other) == [0, 1], WAIT_S)
    assert client.post(f"/v1/dlq/{QUEUE}/restore", {"fingerprint": group, "reason": "undo"}).json() == {"restored": 3, "left": 0}
    assert ports.wait_until(lambda: counts(client, group, other) == [3, 1], WAIT_S)
    rows = stack.sql("SELECT action, detail->>'reason', (detail->>'jobs')::int FROM platform.audit WHERE detail->>'fingerprint' = %s ORDER BY seq", group)
    assert rows == [("dlq.discard", "canary", 2), ("dlq.discard", "rest", 1), ("dlq.restore", "undo", 3)]


def test_discard__given_another_tenants_group_then_it_stays(stack, client, bury, make_key):
    group = f"test.dead: {uuid.uuid4()}"
    bury(2, group, tenant="acme"), bury(1, group)
    assert ports.wait_until(lambda: counts(client, group) == [3], WAIT_S)
    theirs = Client(stack.api.url, make_key("beta", "view", "replay"))
    own = Client(stack.api.url, make_key("acme", "view", "replay"))
    assert group not in groups(theirs) and groups(own)[group]["count"] == 2
    assert theirs.post(f"/v1/dlq/{QUEUE}/discard", {"fingerprint": group}).json()["discarded"] == 0
    assert own.post(f"/v1/dlq/{QUEUE}/discard", {"all": True}).json()["discarded"] == 2
    viewer = Client(stack.api.url, make_key("acme", "view"))
    problem(viewer.post(f"/v1/dlq/{QUEUE}/restore", {"all": True}), 403, "forbidden")


@pytest.mark.parametrize("body", [{}, {"all": True, "fingerprint": "x"}, {"fingerprint": ""}, {"all": True, "limit": 1001}, {"ids": ["x"]}])
def test_discard__given_a_body_that_is_unclear_then_422(client, body):
    problem(client.post(f"/v1/dlq/{QUEUE}/discard", body), 422, "invalid")


# ---- since which release ----

def killed(client, job_type: str, payload: dict) -> dict:
    """A job that has died, as the list of the dead has it."""
    job = client.enqueue(job_type, payload)["id"]

    def listed() -> list[dict]:
        return [d for d in client.get("/v1/dlq?queue=default&limit=500").json()["items"] if d["id"] == job]

    assert ports.wait_until(listed, WAIT_S)
    return listed()[0]


def releases(client, fingerprint: str) -> tuple:
    group = groups(client, "default").get(fingerprint, {})
    return group.get("first_release"), group.get("last_release")


def test_release__given_a_job_that_dies_again_on_a_later_one_then_its_group_has_both(stack, client):
    now = client.get("/v1/workers").json()["items"][0]["version"]
    stack.sql("UPDATE platform.dead_job SET discarded_at = now() WHERE type = 'demo.fail'")
    dead = killed(client, "demo.fail", {"permanent": True})
    assert dead["release"] == now and client.get(f"/v1/jobs/{dead['id']}/detail").json()["release"] == now
    assert ports.wait_until(lambda: releases(client, dead["fingerprint"]) == (now, now), WAIT_S)
    for group, first in ((dead["fingerprint"], "0.0.1"), ("what it died of then", now)):
        stack.sql("UPDATE platform.dead_job SET release = '0.0.1', first_release = '0.0.1', fingerprint = %s WHERE id = %s", group, dead["id"])
        assert client.post(f"/v1/jobs/{dead['id']}/retry").status_code == 202
        assert client.ended(dead["id"])["state"] == "dead"
        assert ports.wait_until(lambda expected=(first, now): releases(client, dead["fingerprint"]) == expected, WAIT_S)
    stack.sql("UPDATE platform.dead_job SET release = NULL, first_release = NULL WHERE id = %s", dead["id"])
    assert releases(client, dead["fingerprint"]) == (None, None)  # of before it was noted
    stack.sql("DELETE FROM platform.dead_job WHERE id = %s", dead["id"])


def test_dead__given_large_payloads_then_a_page_ends_before_it_keeps_others_waiting(stack, client):
    dead = killed(client, "demo.fail", {"permanent": True})["id"]
    copies = stack.sql("INSERT INTO platform.dead_job (id, root_id, generation, class, tenant, queue, type, type_version, attempts, errors, fingerprint, died_at, payload, traceparent) "
                       "SELECT gen_random_uuid(), root_id, generation, class, tenant, queue, type, type_version, attempts, errors, 'large', died_at, "
                       "convert_to('{\"a\":\"' || repeat('x', 60000) || '\"}', 'UTF8'), traceparent FROM platform.dead_job, generate_series(1, 20) WHERE id = %s RETURNING id::text", dead)
    found, pages, cursor = [], 0, ""
    while cursor is not None:
        answer = client.get(f"/v1/dlq?payload=true&fingerprint=large{cursor}")
        assert len(answer.content) < 1 << 20
        found += [item["id"] for item in answer.json()["items"]]
        pages, cursor = pages + 1, f"&cursor={answer.json()['next']}" if "next" in answer.json() else None
    assert sorted(found) == sorted(i for i, in copies) and pages == 3
    assert len(client.get("/v1/dlq?fingerprint=large").json()["items"]) == 20
    stack.sql("DELETE FROM platform.dead_job WHERE id = %s OR fingerprint = 'large'", dead)


# ---- jobs ----

def ids_of(client: Client, query: str) -> list[str]:
    """Of all pages."""
    found, cursor = [], ""
    while True:
        answer = client.get(f"/v1/jobs?{query}{cursor}")
        assert answer.status_code == 200, answer.text
        found += [job["id"] for job in answer.json()["items"]]
        if "next" not in answer.json():
            return found
        cursor = f"&cursor={answer.json()['next']}"


def test_jobs__given_qualifiers_then_those_jobs_newest_first(stack, client, make_key):
    key = new_key()
    first = client.enqueue("demo.note", {"text": "a"}, delay_ms=600000)["id"]
    second = client.enqueue("demo.note", {"text": "b"}, key=key, delay_ms=600000)["id"]
    stack.sql("UPDATE platform.job SET tenant = 'acme' WHERE id = %s", first)
    waiting = ids_of(client, "state=waiting&queue=default&limit=2")
    assert waiting.index(second) < waiting.index(first) and waiting == sorted(waiting, reverse=True)
    assert first in ids_of(client, "state=waiting") and first not in ids_of(client, "state=waiting&queue=orders")
    assert ids_of(client, f"key={key}") == [second] == ids_of(client, f"key={key}&tenant=default&state=waiting&type=demo.note")
    assert ids_of(client, f"key={key}&tenant=acme") == [] == ids_of(client, f"key={key}&state=dead")
    assert ids_of(client, "tenant=acme&state=waiting") == [first]
    assert ids_of(Client(stack.api.url, make_key("beta", "view")), f"key={key}") == []
    assert ids_of(client, "age=%3E1h&tenant=acme") == [] and first in ids_of(client, "age=0s&tenant=acme")
    assert ids_of(client, f"age=0s&cursor={second}&tenant=acme") == [first]
    for job_id in (first, second):
        client.delete(f"/v1/jobs/{job_id}")
    assert ids_of(client, "state=cancelled&tenant=acme") == [first]


def test_jobs__given_a_part_of_an_error_then_the_dead_with_it(stack, client, bury):
    job_id = client.enqueue("demo.note", {"text": "to die"})["id"]
    client.ended(job_id)
    stack.sql("UPDATE platform.job SET state = 'dead' WHERE id = %s", job_id)
    bury(1, "test.dead: PROVIDER: Timed Out")
    assert ids_of(client, "error=timed%20out") == []  # stream class: in /v1/dlq alone
    stack.sql("INSERT INTO platform.dead_job (id, root_id, generation, class, tenant, queue, type, type_version, payload, attempts, errors, "
              "fingerprint, traceparent) SELECT id, root_id, generation, 'journal', tenant, queue, type, type_version, payload, 1, '[]', "
              "'demo.note: PROVIDER: Timed Out', traceparent FROM platform.job WHERE id = %s", job_id)
    try:
        assert ids_of(client, "error=timed%20out") == [job_id] == ids_of(client, "error=PROVIDER&state=dead&queue=default")
        assert ids_of(client, "error=timed%25out") == [] and job_id in ids_of(client, "state=dead")
    finally:
        stack.sql("DELETE FROM platform.dead_job WHERE id = %s", job_id)


@pytest.mark.parametrize("query", ["age=5", "age=x", "age=-1m", "age=", "age=99999999d", "state=running", "key=a&error=b", "limit=0"])
def test_jobs__given_a_qualifier_that_is_none_then_400(client, query):
    problem(client.get(f"/v1/jobs?{query}"), 400, "bad_parameter")


# ---- queues, audit, settings ----

def test_queue__shows_how_long_its_jobs_waited_and_ran(client):
    client.ended(client.enqueue("demo.sleep", {"ms": 300})["id"])
    assert ports.wait_until(lambda: client.get("/v1/queues/default").json().get("run_seconds", {}).get("count", 0) > 0, WAIT_S)
    queue = client.get("/v1/queues/default").json()
    assert queue["processes"] == 1 and queue["wait_seconds"]["count"] > 0
    assert 0 <= queue["run_seconds"]["p50"] <= queue["run_seconds"]["p95"] <= queue["run_seconds"]["p99"]
    assert queue["run_seconds"]["p99"] > 0


def test_audit__given_qualifiers_then_those_entries_latest_first(stack, client, make_key):
    key = make_key("acme", "view", "operate")
    mine = Client(stack.api.url, key)
    for reason in ("a", "b", "c"):
        assert mine.post("/v1/queues/default/resume", {"reason": reason}).status_code == 200
    author = key.split("_")[1]
    page = client.get(f"/v1/audit?author={author}&limit=2").json()
    assert [e["detail"]["reason"] for e in page["items"]] == ["c", "b"] and page["items"][0]["action"] == "queue.resume"
    rest = client.get(f"/v1/audit?author={author}&limit=2&cursor={page['next']}").json()
    assert [e["detail"]["reason"] for e in rest["items"]] == ["a"] and "next" not in rest
    assert len(client.get(f"/v1/audit?target=default&action=queue.resume&author={author}").json()["items"]) == 3
    assert client.get(f"/v1/audit?target=orders&author={author}").json()["items"] == []
    assert {e["tenant"] for e in mine.get("/v1/audit").json()["items"]} == {"acme"}
    problem(client.get("/v1/audit?cursor=x"), 400, "bad_parameter")


def test_settings__given_secrets_then_stars_and_where_each_value_comes_from(stack, client, make_key):
    answer = client.get("/v1/settings")
    settings = {s["name"]: s for s in answer.json()["items"]}
    assert settings["redis.url"]["from"] == "file" and settings["worker.lease_ms"]["from"] == "default"
    assert settings["worker.lease_ms"]["value"] == settings["worker.lease_ms"]["default"] == 10000
    assert settings["webhook.secret"]["value"] == "***" and settings["handler.secret"]["value"] == ""
    for name in ("webhook", "provider", "redis", "postgres"):
        assert stack.secrets.value(name) not in answer.text
    problem(Client(stack.api.url, make_key("default", "view")).get("/v1/settings"), 403, "forbidden")


# ---- one job ----

def test_detail__given_an_order_then_what_it_carries_has_done_and_asked_for_with_secrets_hidden(client):
    key = new_key()
    placed = client.post("/v1/orders", order(notify={"email": "someone@example.com"}), key)
    assert placed.status_code == 201, placed.text
    answer = client.get(f"/v1/jobs/{placed.json()['order_id']}/detail")
    detail = answer.json()
    assert answer.status_code == 200 and (detail["type"], detail["key"], detail["errors"]) == ("order.place", key, [])
    assert detail["payload"]["payment"]["token"] == "***" == detail["payload"]["notify"]["email"]
    assert detail["payload"]["customer_id"] == "customer-1" and "tok_ok" not in answer.text and "someone" not in answer.text
    assert [(c["kind"], c["state"]) for c in detail["calls"]] == [("authorize", "succeeded")] and detail["calls"][0]["reference"]
    assert {"step": "", "outcome": "done"}.items() <= detail["effects"][-1].items()


def test_detail__given_a_dead_job_of_the_stream_class_then_why_it_died(client, bury):
    job_id = bury(1, "test.dead: why")[0]
    detail = client.get(f"/v1/jobs/{job_id}/detail").json()
    assert detail["attempts"] == 3 and detail["errors"][-1]["detail"] == "no. 1" and detail["fingerprint"] == "test.dead: why"
    assert detail["effects"] == detail["calls"] == detail["replays"] == [] and detail["payload"] is None  # of a type that nobody knows


def test_detail__given_another_tenants_job_or_none_then_404(stack, client, make_key):
    job_id = client.enqueue("demo.note", {"text": "mine"})["id"]
    assert client.get(f"/v1/jobs/{job_id}/detail").json()["payload"] == {"text": "mine"}
    problem(Client(stack.api.url, make_key("acme", "view")).get(f"/v1/jobs/{job_id}/detail"), 404, "not_found")
    problem(client.get(f"/v1/jobs/{uuid.uuid4()}/detail"), 404, "not_found")


# ---- edit and replay ----

@pytest.fixture
def dead_note(stack, client):
    """A journal job that died before it did anything."""
    def make(payload: str = '{"text": "wrong"}', job_type: str = "demo.note", queue: str = "default") -> str:
        job_id = str(stack.sql("SELECT platform.new_job_id(number, 1) FROM platform.queue WHERE name = %s", queue)[0][0])
        stack.sql("INSERT INTO platform.job (id, root_id, tenant, queue, shard, type, type_version, payload, traceparent, state, finished_at) "
                  "VALUES (%s, %s, 'default', %s, 0, %s, 1, %s, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'dead', now())",
                  job_id, job_id, queue, job_type, payload.encode())
        stack.sql("INSERT INTO platform.dead_job (id, root_id, generation, class, tenant, queue, type, type_version, payload, attempts, errors, "
                  "fingerprint, traceparent) SELECT id, root_id, 0, 'journal', tenant, queue, type, 1, payload, 1, '[]', 'x', traceparent "
                  "FROM platform.job WHERE id = %s", job_id)
        return job_id
    return make


def test_edit__given_a_dead_job_then_a_new_one_runs_and_both_know_of_each_other(stack, client, dead_note):
    old = dead_note()
    answer = client.post(f"/v1/jobs/{old}/replay", {"payload": {"text": "right"}, "reason": "typing"})
    assert answer.status_code == 202, answer.text
    new = answer.json()["id"]
    assert answer.json()["replay_of"] == old and client.ended(new)["state"] == "done"
    assert stack.sql("SELECT text FROM custom.note WHERE root_id = %s", new) == [("right",)]
    assert stack.sql("SELECT count(*) FROM custom.note WHERE root_id = %s", old) == [(0,)]
    assert client.get(f"/v1/jobs/{old}/detail").json()["replays"] == [new]
    assert client.get(f"/v1/jobs/{new}/detail").json()["replay_of"] == old
    assert stack.sql("SELECT action, detail->>'reason', detail->>'job' FROM platform.audit WHERE target = %s", old) == [("job.edit", "typing", new)]
    problem(client.post(f"/v1/jobs/{old}/replay", {"payload": {"text": "twice"}}), 409, "job_not_dead")
    problem(client.post(f"/v1/jobs/{old}/retry"), 409, "job_not_dead")


def test_edit__given_stars_then_what_was_there_stays(stack, client, dead_note):
    payload = '{"customer_id": "c", "currency": "EUR", "lines": [{"sku": "a", "title": "b", "qty": 1, "unit_minor": 0}], "payment": {"token": "tok_ok"}}'
    old = dead_note(payload, "order.place", "orders")
    shown = client.get(f"/v1/jobs/{old}/detail").json()["payload"]
    assert shown["payment"] == {"token": "***"}
    shown["lines"][0]["unit_minor"] = 500
    answer = client.post(f"/v1/jobs/{old}/replay", {"payload": shown})
    assert answer.status_code == 202, answer.text
    assert client.ended(answer.json()["id"])["status"] == 201


def test_edit__given_a_job_that_asked_the_provider_then_409_and_nothing_is_made(stack, client):
    order_id = client.post("/v1/orders", order(), new_key()).json()["order_id"]
    stack.sql("UPDATE platform.job SET state = 'dead' WHERE id = %s", order_id)
    stack.sql("INSERT INTO platform.dead_job (id, root_id, generation, class, tenant, queue, type, type_version, payload, attempts, errors, "
              "fingerprint, traceparent) SELECT id, root_id, 0, 'journal', tenant, queue, type, 1, payload, 1, '[]', 'x', traceparent "
              "FROM platform.job WHERE id = %s", order_id)
    stack.sql("DELETE FROM orders.effect WHERE root_id = %s", order_id)
    payload = client.get(f"/v1/jobs/{order_id}/detail").json()["payload"]
    problem(client.post(f"/v1/jobs/{order_id}/replay", {"payload": payload}), 409, "job_acted")
    assert stack.sql("SELECT count(*) FROM platform.job WHERE replay_of = %s", order_id) == [(0,)]
    stack.sql("DELETE FROM platform.dead_job WHERE id = %s", order_id)
    stack.sql("UPDATE platform.job SET state = 'done' WHERE id = %s", order_id)


def test_edit__given_a_wrong_payload_or_a_job_that_is_not_dead_then_nothing_is_made(stack, client, bury, dead_note, make_key):
    old, stream, done = dead_note(), bury(1, "test.dead: s")[0], client.enqueue("demo.note", {"text": "lives"})["id"]
    assert problem(client.post(f"/v1/jobs/{old}/replay", {"payload": {"text": 5}}), 422, "invalid")["errors"][0]["pointer"] == "#/payload/text"
    problem(client.post(f"/v1/jobs/{old}/replay", {}), 422, "invalid")
    problem(client.post(f"/v1/jobs/{done}/replay", {"payload": {"text": "x"}}), 409, "job_not_dead")
    assert client.post(f"/v1/jobs/{stream}/replay", {"payload": {}}).status_code == 422
    problem(client.post(f"/v1/jobs/{uuid.uuid4()}/replay", {"payload": {}}), 404, "not_found")
    problem(Client(stack.api.url, make_key("acme", "replay")).post(f"/v1/jobs/{old}/replay", {"payload": {"text": "x"}}), 404, "not_found")
    assert client.get(f"/v1/jobs/{old}/detail").json()["replays"] == []


# ---- timelines ----

def told(client: Client, path: str) -> list[str]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    items = answer.json()["items"]
    assert not any(a == b for i, a in enumerate(items) for b in items[:i])
    times = [item["at"] for item in items]
    assert times == sorted(times)
    return [f"{item['source']}: {item['what']}" for item in answer.json()["items"]]


def test_timeline__given_an_order_then_its_payment_events_jobs_and_what_it_sent(stack, client, make_key):
    placed = client.post("/v1/orders", order(notify={"email": "someone@example.com"}), new_key()).json()
    path = f"/v1/orders/{placed['order_id']}/timeline"
    wanted = {"orders: order placed", "payments: payment created", "payments: authorize succeeded", "orders: event order.confirmed",
              "jobs: job order.place done", "jobs: job notify.email done", "notifications: email sent", "orders: flow ended"}
    assert ports.wait_until(lambda: wanted <= set(told(client, path)), WAIT_S), (wanted - set(told(client, path)), told(client, path))
    assert "someone" not in client.get(path).text and "tok_ok" not in client.get(path).text
    assert client.post(f"/v1/payments/{placed['payment_id']}/capture", {}, new_key()).status_code == 200
    assert {"payments: capture succeeded", "jobs: job payment.capture done"} <= set(told(client, path))
    assert {"payments: capture succeeded", "payments: authorize succeeded", "jobs: job payment.capture done"} <= \
        set(told(client, f"/v1/payments/{placed['payment_id']}/timeline"))
    problem(Client(stack.api.url, make_key("acme", "view", "admin")).get(path), 404, "not_found")


def test_timeline__given_nothing_then_404(client):
    for noun in ("orders", "payments", "notifications"):
        problem(client.get(f"/v1/{noun}/{uuid.uuid4()}/timeline"), 404, "not_found")
