"""Servers that go away: what is promised holds, what cannot be done is said, and it goes on when they are back."""
import concurrent.futures
import time

import pytest

from penstock_ops import ports
from stack import WAIT_S, Client, Stack, new_key, order, problem


@pytest.fixture(scope="module")
def storm(tmp_path_factory):
    """A stack that loses its servers."""
    made = Stack(tmp_path_factory.mktemp("storm"))
    try:
        yield made.start()
    finally:
        made.redis.start()
        made.postgres.start()
        made.stop()


@pytest.fixture
def client(storm):
    return Client(storm.api.url)


def ready(client) -> dict:
    return client.get("/readyz").json()


def is_whole(client) -> bool:
    return ready(client)["status"] == "ready"


def test_redis_killed__journal_jobs_are_accepted_stream_jobs_are_not(storm, client):
    storm.redis.kill9()
    assert ports.wait_until(lambda: ready(client)["status"] == "degraded", 5)
    said = ready(client)
    assert (said["accepts"], said["degraded"]) == ({"journal": True, "stream": False}, ["redis"])
    assert client.get("/readyz").status_code == 200
    assert [check for check in said["checks"] if not check["ok"]] == [{"name": "redis", "ok": False, "detail": "cannot be reached"}]
    key = new_key()
    began = time.monotonic()
    job = client.enqueue("demo.note", {"text": key}, key)
    assert time.monotonic() - began < 2
    assert client.job(job["id"])["state"] == "waiting"
    began, order_key = time.monotonic(), new_key()
    placed = client.post("/v1/orders", order(), order_key)
    assert placed.status_code == 202 and time.monotonic() - began < 2  # nothing will come of waiting
    stream = client.post("/v1/jobs", {"type": "demo.noop", "payload": {}})
    assert problem(stream, 503, "unavailable")["retryable"] and "Retry-After" in stream.headers
    assert client.get("/metrics").status_code == 200
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.get, f"/v1/jobs/{job['id']}?wait=30s")
        storm.redis.start()
        assert ports.wait_until(lambda: is_whole(client), 5)
        assert waiting.result().json()["state"] == "done"
    assert client.post("/v1/orders", order(), order_key).status_code == 201
    assert client.enqueue("demo.noop")["durability"] == "stream"
    assert storm.sql("SELECT count(*) FROM custom.note WHERE text = %s", key) == [(1,)]


def test_redis_wiped__what_was_accepted_is_done(storm, client):
    client.post("/v1/queues/default/pause")
    ports.wait_until(lambda: False, 2.5)
    mark = new_key()
    jobs = [client.enqueue("demo.note", {"text": mark}) for _ in range(20)]
    storm.redis_client().flushall()
    client.post("/v1/queues/default/resume")
    for job in jobs:
        assert client.ended(job["id"])["state"] == "done"
    assert storm.sql("SELECT count(*) FROM custom.note WHERE text = %s", mark) == [(20,)]


def test_redis_paused__requests_do_not_hang(storm, client):
    storm.redis.pause()
    try:
        began = time.monotonic()
        client.enqueue("demo.note", {"text": "p"})
        assert time.monotonic() - began < 5
        problem(client.post("/v1/jobs", {"type": "demo.noop", "payload": {}}), 503, "unavailable")
        assert ports.wait_until(lambda: "redis" in ready(client)["degraded"], 5)
    finally:
        storm.redis.resume()
    assert ports.wait_until(lambda: is_whole(client), 15)
    client.ended(client.enqueue("demo.note", {"text": "q"})["id"])


def test_redis_full__stream_jobs_are_refused_and_readiness_names_it(storm, client):
    redis = storm.redis_client()
    redis.config_set("maxmemory-clients", "0")  # or it would throw its clients out
    redis.config_set("maxmemory", "1mb")
    try:
        assert ports.wait_until(lambda: ready(client)["degraded"] == ["redis_full"], 10)
        problem(client.post("/v1/jobs", {"type": "demo.noop", "payload": {}}), 503, "unavailable")
        job = client.enqueue("demo.note", {"text": "f"})
    finally:
        redis.config_set("maxmemory", "0")
    assert ports.wait_until(lambda: is_whole(client), 10)
    assert client.ended(job["id"])["state"] == "done"


def test_postgres_restarted__requests_under_way_are_accepted_once(storm, client):
    mark = new_key()
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = [pool.submit(client.post, "/v1/jobs", {"type": "demo.note", "payload": {"text": mark}}, f"{mark}-{i}") for i in range(400)]
        ports.wait_until(lambda: False, 0.3)
        storm.postgres.kill9()
        storm.postgres.start()
        statuses = [a.result().status_code for a in answers]
    assert set(statuses) <= {202, 503}
    assert statuses.count(202) > 300
    for i, status in enumerate(statuses):  # a client repeats what was not accepted, with the same key
        if status == 503:
            client.enqueue("demo.note", {"text": mark}, f"{mark}-{i}")
    assert storm.sql("SELECT count(*) FROM platform.idempotency WHERE key LIKE %s", mark + "-%") == [(400,)]
    assert ports.wait_until(lambda: storm.sql("SELECT count(*) FROM custom.note WHERE text = %s", mark) == [(400,)], WAIT_S)


@pytest.fixture
def refuse(storm):
    """The next statements over these rows, so many, are refused as by a full disk; those over none as long as it says."""
    storm.sql("CREATE TABLE public.refusal (empty boolean)")
    storm.sql("INSERT INTO public.refusal VALUES (false)")
    storm.sql("CREATE SEQUENCE public.refused MINVALUE -10")
    full = "RAISE EXCEPTION 'full' USING ERRCODE = '53100'; END IF;"
    for name, row, when, result in (("rows", "ROW", "NEW.type = 'demo.note' AND nextval('public.refused') <= 0", "NEW"), ("none", "STATEMENT", "(SELECT empty FROM public.refusal)", "NULL")):
        storm.sql(f"CREATE FUNCTION public.refuse_{name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS "
                  f"$$ BEGIN IF {when} THEN {full} RETURN {result}; END $$")
        storm.sql(f"CREATE TRIGGER refuse_{name} BEFORE INSERT ON platform.job FOR EACH {row} EXECUTE FUNCTION public.refuse_{name}()")

    def say(rows: int = 0, empty: bool = False) -> None:
        storm.sql("UPDATE public.refusal SET empty = %s", empty)
        storm.sql("SELECT setval('public.refused', %s, false)", 1 - rows)

    yield say
    storm.sql("DROP FUNCTION public.refuse_rows, public.refuse_none CASCADE")
    storm.sql("DROP SEQUENCE public.refused")
    storm.sql("DROP TABLE public.refusal")


def test_postgres_refusing_once__a_request_is_repeated_before_it_is_refused(client, refuse):
    note = lambda: client.post("/v1/jobs", {"type": "demo.note", "payload": {"text": "once"}}, new_key())
    refuse(empty=True)
    assert ports.wait_until(lambda: ready(client)["degraded"] == ["postgres"], 5)
    refuse(rows=1)
    assert note().status_code == 202  # what the probe found is no reason to try it once only
    refuse(rows=2)
    problem(note(), 503, "unavailable")
    ports.wait_until(lambda: False, 3.2)
    refuse(rows=1)
    assert note().status_code == 202  # the refusal before is an old one


def test_postgres_away__journal_jobs_get_503_and_stream_jobs_go_on(storm, client):
    storm.postgres.stop()
    try:
        assert ports.wait_until(lambda: ready(client)["degraded"] == ["postgres"], 10)
        assert client.get("/readyz").status_code == 200
        began = time.monotonic()
        key = new_key()
        refused = client.post("/v1/jobs", {"type": "demo.note", "payload": {"text": key}}, key)
        said = problem(refused, 503, "unavailable")
        assert said["retryable"] and "same Idempotency-Key" in said["hint"] and time.monotonic() - began < 14
        job = client.enqueue("demo.echo", {"x": 1})
        assert client.ended(job["id"])["state"] == "done"
        assert client.get("/livez").status_code == 200 and client.get("/metrics").status_code == 200
    finally:
        storm.postgres.start()
    assert ports.wait_until(lambda: is_whole(client), 5)
    accepted = client.enqueue("demo.note", {"text": key}, key)
    assert client.ended(accepted["id"])["state"] == "done"


def test_both_away__not_ready_and_back_again(storm, client):
    storm.postgres.stop()
    storm.redis.kill9()
    try:
        assert ports.wait_until(lambda: client.get("/readyz").status_code == 503, 10)
        assert ready(client)["status"] == "not_ready"
        assert client.get("/livez").status_code == 200
    finally:
        storm.redis.start()
        storm.postgres.start()
    assert ports.wait_until(lambda: is_whole(client), 5)
    client.ended(client.enqueue("demo.note", {"text": "b"})["id"])
