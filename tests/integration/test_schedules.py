"""Schedules as operators make them, and the jobs that come of them."""
import re
import time
from datetime import datetime, timedelta, timezone

import pytest

from penstock_ops import ports
from stack import WAIT_S, Client, new_key, problem

FAR = "0 0 1 1 *"  # not in a test's time, but for one day of the year


@pytest.fixture
def schedule(client, request):
    """schedule(**members) makes one with a name of its own; gone after the test."""
    made = []

    def make(status: int = 201, **members) -> dict:
        name = f"test-{len(made)}-{new_key()[:8]}"
        answer = client.post("/v1/schedules", {"name": name, "cron": FAR, "type": "demo.note", "payload": {"text": name}, **members})
        assert answer.status_code == status, answer.text
        made.append(answer.json()["id"])
        return answer.json()

    yield make
    for made_id in made:
        client.delete(f"/v1/schedules/{made_id}")


def ticks(stack, made: dict) -> list[int]:
    """Unix seconds of the ticks that have become jobs, each of which has its key, its row and, once run, its one effect."""
    rows = stack.sql("SELECT split_part(i.key, ':', 3)::bigint, j.tenant, j.type, convert_from(j.payload, 'UTF8') FROM platform.idempotency i "
                     "JOIN platform.job j ON j.id = i.job_id WHERE i.tenant = '_system' AND i.key LIKE %s ORDER BY 1",
                     f"cron:{made['id']}:%")
    assert all(row[1:] == ("default", made["type"], '{"text":"%s"}' % made["payload"]["text"]) for row in rows), rows
    return [row[0] for row in rows]


def effects(stack, made: dict) -> int:
    return stack.sql("SELECT count(*) FROM custom.note WHERE text = %s", made["payload"]["text"])[0][0]


def minutes_ago(*ago: int) -> tuple[str, list[int]]:
    """A cron expression that ticked so many minutes ago, and these ticks."""
    now = datetime.now(timezone.utc).replace(second=0, microsecond=0)
    times = [now - timedelta(minutes=m) for m in ago]
    return ",".join(str(t.minute) for t in times) + " * * * *", sorted(int(t.timestamp()) for t in times)


def make_late(stack, made: dict, minutes: int) -> None:
    stack.sql("UPDATE platform.schedule SET next_at = now() - make_interval(mins => %s) WHERE id = %s", minutes, made["id"])


def next_at(stack, made: dict) -> datetime:
    return stack.sql("SELECT next_at FROM platform.schedule WHERE id = %s", made["id"])[0][0]


@pytest.mark.parametrize("missed,made_up", [("skip", 0), ("once", 1), ("all", 3)])
def test_missed__ticks_are_made_up_for_by_policy_each_once(stack, schedule, missed, made_up):
    cron, times = minutes_ago(10, 20, 30)
    made = schedule(cron=cron, missed=missed)
    make_late(stack, made, 45)
    assert ports.wait_until(lambda: next_at(stack, made) > datetime.now(timezone.utc), WAIT_S)
    assert ticks(stack, made) == times[3 - made_up:]
    assert ports.wait_until(lambda: effects(stack, made) == made_up, WAIT_S)
    assert next_at(stack, made).timestamp() == times[0] + 3600


def test_missed__more_than_a_batch_are_all_made(stack, schedule):
    made = schedule(cron="* * * * *", missed="all")
    make_late(stack, made, 150)
    assert ports.wait_until(lambda: next_at(stack, made) > datetime.now(timezone.utc), WAIT_S)
    found = ticks(stack, made)
    assert len(found) in (150, 151, 152) and found == list(range(found[0], found[-1] + 60, 60))
    assert ports.wait_until(lambda: effects(stack, made) >= len(found), WAIT_S)


def test_repeated__a_schedule_set_back_then_its_ticks_stay_single(stack, schedule):
    cron, times = minutes_ago(10, 20)
    made = schedule(cron=cron, missed="all")
    for _ in range(3):
        make_late(stack, made, 30)
        assert ports.wait_until(lambda: next_at(stack, made) > datetime.now(timezone.utc), WAIT_S)
    assert ticks(stack, made) == times
    assert ports.wait_until(lambda: effects(stack, made) == 2, WAIT_S)


def test_tick__on_the_minute_then_on_time_and_counted(stack, client, schedule):
    made = schedule(cron="* * * * *")
    due = datetime.fromisoformat(made["next_at"])
    assert due.second == 0 and due > datetime.now(timezone.utc) - timedelta(seconds=1)
    assert ports.wait_until(lambda: ticks(stack, made), 75)
    late = stack.sql("SELECT extract(epoch FROM min(j.created_at)) FROM platform.job j JOIN platform.idempotency i ON i.job_id = j.id "
                     "WHERE i.key LIKE %s", f"cron:{made['id']}:%")[0][0] - int(due.timestamp())
    assert 0 <= late < 1, late
    assert client.get(f"/v1/schedules/{made['id']}").json()["last_at"] == made["next_at"]
    assert ports.wait_until(lambda: re.search(r'penstock_cron_ticks_total\{[^}]*outcome="made"[^}]*\} [1-9]', client.get("/metrics").text), 10)
    assert "penstock_cron_lateness_seconds_count" in client.get("/metrics").text


def test_broken__a_zone_that_is_gone_then_the_others_go_on(stack, schedule):
    cron, times = minutes_ago(5)
    broken, whole = [schedule(cron=cron, missed="all") for _ in range(2)]
    stack.sql("UPDATE platform.schedule SET timezone = 'Nowhere/City' WHERE id = %s", broken["id"])
    make_late(stack, broken, 40)
    make_late(stack, whole, 30)
    assert ports.wait_until(lambda: ticks(stack, whole) == times, WAIT_S)
    assert ticks(stack, broken) == []


def test_pause__its_ticks_are_left_out_and_the_next_is_made(stack, client, schedule):
    cron, _ = minutes_ago(5)
    made = schedule(cron=cron, missed="all")
    paused = client.post(f"/v1/schedules/{made['name']}/pause", {"reason": "why not"}).json()
    assert paused["paused"] and "next_at" not in paused and paused["version"] == made["version"] + 1
    make_late(stack, made, 30)
    time.sleep(2.5)
    assert ticks(stack, made) == []
    resumed = client.post(f"/v1/schedules/{made['name']}/resume").json()
    assert not resumed["paused"] and resumed["next_at"] == made["next_at"]
    assert ports.wait_until(lambda: next_at(stack, made).timestamp() == datetime.fromisoformat(made["next_at"]).timestamp(), 5)
    assert ticks(stack, made) == []
    rows = stack.sql("SELECT author, action, detail->>'reason' FROM platform.audit WHERE target = %s ORDER BY seq", made["name"])
    assert rows == [("local", "schedule.create", None), ("local", "schedule.pause", "why not"), ("local", "schedule.resume", "")]


def test_run__a_job_now_once_per_key(stack, client, schedule):
    made = schedule()
    key = new_key()
    first, again = [client.post(f"/v1/schedules/{made['id']}/run", key=key) for _ in range(2)]
    assert first.status_code == again.status_code == 202 and first.json()["id"] == again.json()["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert client.ended(first.json()["id"])["state"] == "done"
    assert effects(stack, made) == 1 and ticks(stack, made) == []
    problem(client.post(f"/v1/schedules/{made['id']}/run"), 400, "idempotency_key_missing")
    assert asked_to_run(stack, made) == [("local", {"key": key})]


def asked_to_run(stack, made: dict) -> list[tuple]:
    return stack.sql("SELECT author, detail FROM platform.audit WHERE action = 'schedule.run' AND target = %s", made["name"])


def test_run__noted_before_the_job_is_accepted(stack, client, schedule):
    """So that no crash comes between: what is refused was asked for, too."""
    made, keys = schedule(), []
    limit = "UPDATE platform.queue SET max_open = %s WHERE name = 'default'"
    (before,) = stack.sql("SELECT max_open FROM platform.queue WHERE name = 'default'")[0]
    later = client.post("/v1/jobs", {"type": "demo.note", "payload": {"text": "later"}, "delay_ms": 600000}, key=new_key()).json()["id"]

    def is_refused() -> bool:
        keys.append(new_key())
        return client.post(f"/v1/schedules/{made['id']}/run", key=keys[-1]).status_code == 503

    try:
        stack.sql(limit, 1)
        assert ports.wait_until(is_refused, WAIT_S)
    finally:
        stack.sql(limit, before)
        client.delete(f"/v1/jobs/{later}")
    assert asked_to_run(stack, made) == [("local", {"key": key}) for key in keys]


def test_create__the_same_again_then_the_one_that_is_there(client, schedule):
    made = schedule(timezone="Europe/Berlin", missed="skip")
    body = {k: made[k] for k in ("name", "cron", "timezone", "missed", "type", "payload")}
    again = client.post("/v1/schedules", body)
    assert (again.status_code, again.json()) == (200, made)
    assert again.headers["Location"] == f"/v1/schedules/{made['id']}"
    problem(client.post("/v1/schedules", {**body, "missed": "all"}), 409, "schedule_exists")
    assert client.get(f"/v1/schedules/{made['name']}").json() == client.get(f"/v1/schedules/{made['id']}").json() == made
    listed = next(item for item in client.get("/v1/schedules?limit=500").json()["items"] if item["id"] == made["id"])
    assert listed == {name: value for name, value in made.items() if name != "payload"}


def test_put__a_change_then_it_holds_and_its_name_stays(stack, client, schedule):
    made = schedule()
    body = {k: made[k] for k in ("name", "cron", "timezone", "missed", "type", "payload")}
    changed = client.ask("PUT", f"/v1/schedules/{made['id']}", json={**body, "payload": {"text": "other"}}).json()
    assert (changed["payload"], changed["version"], changed["next_at"]) == ({"text": "other"}, 2, made["next_at"])
    changed = client.ask("PUT", f"/v1/schedules/{made['id']}", json={**body, "timezone": "America/New_York"}).json()
    assert changed["next_at"].endswith("T05:00:00.000Z") and changed["version"] == 3
    problem(client.ask("PUT", f"/v1/schedules/{made['id']}", json={**body, "name": "another"}), 409, "schedule_exists")
    problem(client.ask("PUT", "/v1/schedules/nothing", json=body), 404, "not_found")
    assert stack.sql("SELECT count(*) FROM platform.audit WHERE target = %s AND action = 'schedule.update'", made["name"]) == [(2,)]


def test_delete__then_gone_and_audited(stack, client, schedule):
    made = schedule()
    assert client.delete(f"/v1/schedules/{made['name']}").json() == made
    for answer in (client.delete(f"/v1/schedules/{made['id']}"), client.get(f"/v1/schedules/{made['id']}"),
                   client.post(f"/v1/schedules/{made['id']}/pause"), client.post(f"/v1/schedules/{made['id']}/run", key=new_key())):
        problem(answer, 404, "not_found")
    assert stack.sql("SELECT detail->>'cron' FROM platform.audit WHERE target = %s AND action = 'schedule.delete'", made["name"]) == [(FAR,)]


@pytest.mark.parametrize("members,code,pointer", [
    ({"cron": "61 * * * *"}, "invalid", "#/cron"), ({"cron": "0 0 30 2 *"}, "invalid", "#/cron"), ({"cron": ""}, "invalid", "#/cron"),
    ({"timezone": "Europe/Nowhere"}, "invalid", "#/timezone"), ({"timezone": "../UTC"}, "invalid", "#/timezone"),
    ({"missed": "never"}, "invalid", "#/missed"), ({"payload": {"text": 7}}, "invalid", "#/payload/text"),
    ({"payload": {}}, "invalid", "#/payload"), ({"name": "a b"}, "invalid", "#/name"), ({"name": new_key()}, "invalid", "#/name"),
    ({"colour": "red"}, "invalid", None), ({"type": "demo.nothing"}, "unknown_type", None), ({"type": "payment.sync"}, "internal_type", None),
    ({"type": "demo.noop"}, "stream_type", None), ({"type_version": 9}, "unknown_version", None), ({"queue": "nope"}, "unknown_queue", None),
])
def test_create__what_cannot_be_then_422_that_says_why(client, members, code, pointer):
    said = problem(client.post("/v1/schedules", {"name": "bad", "cron": FAR, "type": "demo.note", "payload": {"text": "x"}, **members}), 422, code)
    assert pointer is None or said["errors"][0]["pointer"].startswith(pointer), said
    if "61" in members.get("cron", ""):
        assert "column 1: minute must be 0 to 59" in said["errors"][0]["detail"]


@pytest.fixture
def other(stack):
    """A client of another tenant, who may do everything there."""
    stack.sql("INSERT INTO platform.api_key (id, secret_hash, tenant, scopes, name) VALUES ('cronother', sha256('s3cret'), 'acme', '{admin}', 'x')")
    yield Client(stack.api.url, "pen_cronother_s3cret")
    stack.sql("DELETE FROM platform.api_key WHERE id = 'cronother'")


def test_tenants__see_and_change_their_own_alone(client, other, schedule):
    made = schedule()
    assert other.get("/v1/schedules").json()["items"] == []
    for answer in (other.get(f"/v1/schedules/{made['id']}"), other.post(f"/v1/schedules/{made['id']}/pause"),
                   other.delete(f"/v1/schedules/{made['id']}"), other.post(f"/v1/schedules/{made['id']}/run", key=new_key())):
        problem(answer, 404, "not_found")


def test_create__as_many_as_a_tenant_may_have_then_409(stack, other):
    body = {"name": "s-1", "cron": FAR, "type": "demo.note", "payload": {"text": "x"}}
    stack.sql("INSERT INTO platform.schedule (id, tenant, name, cron, timezone, missed, queue, type, type_version, payload, paused, next_at) "
              "SELECT gen_random_uuid(), 'acme', 's-' || i, %s, 'UTC', 'once', 'default', 'demo.note', 1, %s, true, now() "
              "FROM generate_series(1, 1000) i", FAR, b'{"text":"x"}')
    try:
        assert other.post("/v1/schedules", body).status_code == 200
        problem(other.post("/v1/schedules", {**body, "name": "one-more"}), 409, "too_many_schedules")
        stack.sql("UPDATE platform.schedule SET payload = convert_to(jsonb_build_object('text', repeat('x', 60000))::text, 'UTF8') "
                  "WHERE tenant = 'acme'")
        assert len(other.get("/v1/schedules?limit=500").content) < 500 * 1000  # payloads of 30 MB stay where they are
        seen, page = [], other.get("/v1/schedules?limit=400").json()
        while page["items"]:
            seen += [item["name"] for item in page["items"]]
            page = other.get(f"/v1/schedules?limit=400&cursor={page['next']}").json() if "next" in page else {"items": []}
        assert len(seen) == len(set(seen)) == 1000
    finally:
        stack.sql("DELETE FROM platform.schedule WHERE tenant = 'acme'")


@pytest.mark.parametrize("path", ["%ff", "%00", "%C3%A9", "a%20b", "x" * 200, "018f0000-0000-7000-8000-000000000000"])
def test_get__what_names_none_then_no_harm(client, path):
    answer = client.get(f"/v1/schedules/{path}")
    assert answer.status_code in (400, 404), answer.text
