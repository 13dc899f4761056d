"""penstock.enqueue(type, payload, key) inside an application's own transaction."""
import threading
import time

import psycopg
import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from stack import WAIT_S, new_key, problem


@pytest.fixture(scope="module")
def shop(stack):
    """An application's table and role in the same database."""
    stack.sql("DROP SCHEMA IF EXISTS shop CASCADE")
    stack.sql("CREATE SCHEMA shop")
    stack.sql("CREATE TABLE shop.sale (id text PRIMARY KEY)")
    stack.sql("DO $$BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'shop_app') THEN CREATE ROLE shop_app LOGIN PASSWORD 'app'; END IF; END$$")
    stack.sql("GRANT USAGE ON SCHEMA shop TO shop_app")
    stack.sql("GRANT ALL ON shop.sale TO shop_app")
    stack.sql("GRANT penstock_producer TO shop_app")
    return stack


@pytest.fixture
def app(shop):
    """app(): a connection of the application."""
    opened = []

    def connect(user: str = "shop_app", password: str = "app") -> psycopg.Connection:
        opened.append(psycopg.connect(shop.postgres.url, user=user, password=password))
        return opened[-1]

    yield connect
    for db in opened:
        db.close()


def enqueue(db, job_type: str, payload, key: str | None = None) -> str:
    return str(db.execute("SELECT penstock.enqueue(%s, %s, %s)", (job_type, Jsonb(payload), key)).fetchone()[0])


def notes(stack, text: str) -> int:
    return stack.sql("SELECT count(*) FROM custom.note WHERE text = %s", text)[0][0]


def test_enqueue__committed_then_it_runs_once_and_before_it_does_not(stack, client, app):
    text, db = new_key(), app()
    db.execute("INSERT INTO shop.sale VALUES (%s)", (text,))
    job_id = enqueue(db, "demo.note", {"text": text})
    time.sleep(1.5)  # the relay has come by several times
    assert client.get(f"/v1/jobs/{job_id}").status_code == 404 and notes(stack, text) == 0
    committed = time.monotonic()
    db.commit()
    assert client.ended(job_id)["state"] == "done"
    print(f"done {(time.monotonic() - committed) * 1000:.0f} ms after the commit")
    job = client.job(job_id)
    assert (job["type"], job["tenant"], job["queue"], job["durability"]) == ("demo.note", "default", "default", "journal")
    assert notes(stack, text) == 1
    assert stack.sql("SELECT count(*) FROM shop.sale WHERE id = %s", text) == [(1,)]


def test_enqueue__soon_after_the_commit_then_done_within_a_second(client, app):
    db, took = app(), []
    for _ in range(10):
        job_id = enqueue(db, "demo.note", {"text": "soon"})
        began = time.monotonic()
        db.commit()
        assert client.ended(job_id)["state"] == "done"
        took.append(time.monotonic() - began)
    print(f"median {sorted(took)[5] * 1000:.0f} ms")
    assert sorted(took)[5] < 1


@pytest.mark.parametrize("how", ["ROLLBACK", "lost"])
def test_enqueue__not_committed_then_nothing(stack, app, how):
    text, db, key = new_key(), app(), new_key()
    job_id = enqueue(db, "demo.note", {"text": text}, key)
    if how == "lost":
        stack.sql("SELECT pg_terminate_backend(%s)", db.info.backend_pid)
    else:
        db.rollback()
    time.sleep(1)
    assert stack.sql("SELECT count(*) FROM platform.job WHERE id = %s", job_id) == [(0,)] and notes(stack, text) == 0
    other = app()
    again = enqueue(other, "demo.note", {"text": text}, key)  # the key is free
    other.commit()
    assert again != job_id


def test_enqueue__in_a_savepoint_that_is_rolled_back_then_nothing_of_it(stack, client, app):
    kept, dropped, db = new_key(), new_key(), app()
    job_id = enqueue(db, "demo.note", {"text": kept})
    db.execute("SAVEPOINT s")
    enqueue(db, "demo.note", {"text": dropped})
    db.execute("ROLLBACK TO s")
    db.commit()
    assert client.ended(job_id)["state"] == "done"
    assert (notes(stack, kept), notes(stack, dropped)) == (1, 0)


# Keys

def test_key__twice_then_one_job_with_one_id(stack, client, app):
    text, key, db = new_key(), new_key(), app()
    first = enqueue(db, "demo.note", {"text": text}, key)
    assert enqueue(db, "demo.note", {"text": text}, key) == first  # in the same transaction
    db.commit()
    assert enqueue(db, "demo.note", {"text": text}, key) == first  # in another
    db.commit()
    assert client.ended(first)["state"] == "done"
    assert enqueue(db, "demo.note", {"text": text}, key) == first  # after its end
    db.commit()
    assert notes(stack, text) == 1


@pytest.mark.parametrize("job_type,payload", [("demo.note", {"text": "b"}), ("demo.fail", {"text": "a"})])
def test_key__with_another_job_then_refused_with_a_hint(app, job_type, payload):
    key, db = new_key(), app()
    first = enqueue(db, "demo.note", {"text": "a"}, key)
    db.commit()
    with pytest.raises(errors.UniqueViolation, match=first) as refused:
        enqueue(db, job_type, payload, key)
    assert refused.value.sqlstate == "23505" and refused.value.diag.message_hint.startswith("Use a new key")


def test_key__in_two_open_transactions_then_the_second_waits_and_finds_the_firsts_job(app):
    key, one, two, found = new_key(), app(), app(), []
    first = enqueue(one, "demo.note", {"text": "a"}, key)
    waiting = threading.Thread(target=lambda: found.append(enqueue(two, "demo.note", {"text": "a"}, key)))
    waiting.start()
    time.sleep(0.3)
    assert not found
    one.commit()
    waiting.join(WAIT_S)
    two.commit()
    assert found == [first]


def test_key__used_over_http_then_it_is_one_key(client, app):
    key, db = new_key(), app()
    enqueue(db, "demo.note", {"text": "a"}, key)
    db.commit()
    problem(client.post("/v1/jobs", {"type": "demo.note", "payload": {"text": "a"}}, key), 422, "idempotency_key_reused")
    key = new_key()
    client.enqueue("demo.note", {"text": "a"}, key)
    with pytest.raises(errors.UniqueViolation):
        enqueue(db, "demo.note", {"text": "a"}, key)


# What is refused

@pytest.mark.parametrize("job_type,payload,key,state,hint", [
    ("demo.nothing", {}, None, "22023", "demo.note"), ("demo.noop", {}, None, "22023", "demo.note"),  # stream class
    ("event.deliver", {}, None, "22023", "demo.note"), ("demo.note", [1], None, "22023", "jsonb_build_object"),
    ("demo.note", {"text": "x" * 65536}, None, "54000", "table of yours"), ("demo.note", {}, "", "22023", "printable"),
    ("demo.note", {}, "a\tb", "22023", "printable"), ("demo.note", {}, "k" * 256, "22023", "printable")])
def test_enqueue__what_cannot_be_then_refused_with_sqlstate_and_hint(app, job_type, payload, key, state, hint):
    with pytest.raises(psycopg.Error) as refused:
        enqueue(app(), job_type, payload, key)
    assert refused.value.sqlstate == state and hint in refused.value.diag.message_hint


def test_enqueue__a_payload_against_its_schema_then_the_job_is_dead(stack, client, app):
    db = app()
    job_id = enqueue(db, "demo.note", {"txet": "a"})
    db.commit()
    assert client.ended(job_id)["state"] == "dead"
    (errors_,), = stack.sql("SELECT errors FROM platform.dead_job WHERE id = %s", job_id)
    assert errors_[0]["code"] == "invalid" and "text" in errors_[0]["detail"]


# Ids

def test_new_job_id__then_it_carries_its_place(stack):
    for number, shards in (0, 1), (1023, 16), (37, 3):
        ids = [row[0] for row in stack.sql("SELECT platform.new_job_id(%s, %s) FROM generate_series(1, 200)", number, shards)]
        assert len(set(ids)) == 200 and {i.version for i in ids} == {7}
        places = [((i.bytes[8] >> 5) & 1, (i.bytes[8] & 31) << 5 | i.bytes[9] >> 3, (i.bytes[9] & 7) << 1 | i.bytes[10] >> 7) for i in ids]
        assert {(c, q) for c, q, _ in places} == {(0, number)} and {s for *_, s in places} == set(range(shards))
        assert all(abs(int.from_bytes(i.bytes[:6], "big") / 1000 - time.time()) < 60 for i in ids)
