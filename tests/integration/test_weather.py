"""Bad weather: each server refuses, resets, hangs, is slow, restarts, is full. Readiness names it, what the class of a job allows is
accepted, it is over soon after the server's return, and no job pays for it."""
import hashlib
import secrets
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from observe import attempts, charged, log_size
from penstock_ops import ports
from stack import WAIT_S, Client, new_key
from weather import (BACK_HALF_OPEN_S, BACK_S, DataFull, HalfOpen, Job, Journey, LogFull, OutOfMemory, ReadOnly, Refused, Replica, Reset, Restarted,
                     Slow, Weather, WeatherStack, can_mount, notes_of, post, send_mail)

needs_mount = pytest.mark.skipif(not can_mount(), reason="a full disk needs root")


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    made = WeatherStack(tmp_path_factory.mktemp("weather"), {"postgres.connect_ms": 1000})
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def client(stack):
    calm = Client(stack.api.url)
    assert ports.wait_until(lambda: is_calm(calm), BACK_HALF_OPEN_S), readiness(calm)
    return calm


def readiness(client) -> dict:
    return client.get("/readyz").json()


def is_calm(client) -> bool:
    said = readiness(client)
    return said["status"] == "ready" and said["accepts"] == {"journal": True, "stream": True}


def is_named(client, name: str) -> bool:
    return any(word.startswith(name) for word in readiness(client)["degraded"])


def accepted_again(client, within_s: float) -> None:
    """Both classes, and readiness says so."""
    began = time.monotonic()

    def both() -> bool:
        return is_calm(client) and all(post(client, Job(t, new_key())).status == 202 for t in ("demo.note", "demo.echo"))

    assert ports.wait_until(both, within_s), readiness(client)
    assert time.monotonic() - began <= within_s


def ride(stack, client, weather: Weather, server: str, meanwhile) -> None:
    """Jobs are on their way, the weather turns, readiness names the server; meanwhile(journey) posts; then it is over."""
    journey = Journey(stack, client)
    weather.begin()
    try:
        assert ports.wait_until(lambda: is_named(client, server), weather.named_s), readiness(client)
        assert client.get("/readyz").status_code == 200  # one class is still accepted
        assert client.get("/livez").status_code == 200
        meanwhile(journey)
    finally:
        weather.end()
    accepted_again(client, weather.back_s)
    journey.arrived()


def made_once(stack, client, job: Job) -> None:
    """However the first request ended, its repetition with the same key makes no second job."""
    assert job.status in (202, 503)
    assert post(client, job).status == 202
    assert client.ended(job.id)["state"] == "done"
    assert notes_of(stack, [job.key]) == [job.key]


@pytest.mark.parametrize("kind", [Refused, Reset, HalfOpen, Restarted, OutOfMemory, LogFull, Replica])
def test_redis__bad_weather_then_only_the_stream_class_waits(stack, client, kind):
    def meanwhile(journey: Journey) -> None:
        journey.jobs += [post(client, Job("demo.note", new_key())) for _ in range(3)]
        assert {job.status for job in journey.jobs[-3:]} == {202}
        assert post(client, Job("demo.echo", new_key())).status == 503
        assert readiness(client)["accepts"] == {"journal": True, "stream": False}

    ride(stack, client, kind(stack, "redis"), "redis", meanwhile)


@pytest.mark.parametrize("kind", [Refused, Reset, HalfOpen, Restarted])
def test_postgres__bad_weather_then_only_the_journal_class_waits(stack, client, kind):
    with ThreadPoolExecutor(1) as pool:
        waiting = []

        def meanwhile(journey: Journey) -> None:
            assert readiness(client)["accepts"] == {"journal": False, "stream": True}
            waiting.append(pool.submit(post, client, Job("demo.note", new_key())))
            journey.jobs += [post(client, Job("demo.echo", new_key())) for _ in range(3)]
            assert {job.status for job in journey.jobs[-3:]} == {202}

        ride(stack, client, kind(stack, "postgres"), "postgres", meanwhile)
        made_once(stack, client, waiting[0].result())


@pytest.mark.parametrize("kind", [ReadOnly, pytest.param(DataFull, marks=needs_mount)])
def test_postgres__refusing_writes_then_only_the_journal_class_waits(stack, client, kind):
    journey, weather, job = Journey(stack, client), kind(stack, "postgres"), Job("demo.note", new_key())
    with ThreadPoolExecutor(1) as pool:
        weather.begin()
        try:
            waiting = pool.submit(post, client, job)
            journey.jobs.append(post(client, Job("demo.echo", new_key())))
            assert journey.jobs[-1].status == 202
            assert ports.wait_until(lambda: any(a["outcome"] == "released" for a in attempts(stack, journey.since)), WAIT_S)
        finally:
            weather.end()
        accepted_again(client, BACK_S)
        journey.arrived()
        made_once(stack, client, waiting.result())


@pytest.mark.parametrize("server", ["redis", "postgres"])
def test_server__slow_then_both_classes_are_accepted(stack, client, server):
    journey, weather = Journey(stack, client), Slow(stack, server)
    weather.begin()
    try:
        for job_type in ("demo.note", "demo.echo"):
            journey.jobs.append(post(client, Job(job_type, new_key())))
            assert journey.jobs[-1].status == 202
    finally:
        weather.end()
    journey.arrived()


def test_postgres__hanging_then_a_key_in_use_opens_at_once(stack, client):
    key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
    stack.sql("INSERT INTO platform.api_key (id, secret_hash, tenant, scopes, name) VALUES (%s, %s, 'default', '{view}', 'test')", key_id,
              hashlib.sha256(secret.encode()).digest())
    keyed, weather = Client(stack.api.url, f"pen_{key_id}_{secret}"), HalfOpen(stack, "postgres")
    took, deadline = [], time.monotonic() + 12  # more than twice as long as a key is believed without asking

    def look() -> None:
        began = time.monotonic()
        assert keyed.get("/v1/queues").status_code == 200
        took.append(time.monotonic() - began)

    look()
    weather.begin()
    try:
        while time.monotonic() < deadline:
            look()
            time.sleep(0.2)
    finally:
        weather.end()
    assert max(took) < 1 and sum(took) / len(took) < 0.1, sorted(took)[-5:]


def test_both__away_then_not_ready_and_alive(stack, client):
    gone = [Refused(stack, "redis"), Refused(stack, "postgres")]
    for weather in gone:
        weather.begin()
    try:
        assert ports.wait_until(lambda: client.get("/readyz").status_code == 503, 5)
        assert {check["name"] for check in readiness(client)["checks"] if not check["ok"]} == {"redis", "postgres"}
        assert client.get("/livez").status_code == 200
    finally:
        for weather in gone:
            weather.end()
    accepted_again(client, BACK_S)


# The mail relay

def delivered(stack, ids: list[str]) -> bool:
    return {f"{i}@penstock" for i in ids} <= {mail["message_id"] for mail in stack.mail.mails()}


def mails_through(stack, client, weather: Weather, was_felt) -> None:
    since = log_size(stack.roles["worker"].log)
    weather.begin()
    try:
        ids = [send_mail(client) for _ in range(3)]
        assert ports.wait_until(lambda: was_felt(since), WAIT_S)
        note = post(client, Job("demo.note", new_key()))  # the others do not care
        assert client.ended(note.id)["state"] == "done"
        assert not delivered(stack, ids)
    finally:
        weather.end()
    assert ports.wait_until(lambda: delivered(stack, ids), weather.back_s)
    assert {client.ended(i)["state"] for i in ids} == {"done"}
    assert charged(stack, since) == []


@pytest.mark.parametrize("kind", [Refused, Reset, Restarted])
def test_mail__bad_weather_then_the_mails_wait(stack, client, kind):
    def was_felt(since: int) -> bool:
        return sum(a["type"] == "notify.email" and a["outcome"] == "released" for a in attempts(stack, since)) >= 3

    mails_through(stack, client, kind(stack, "mail"), was_felt)


def test_mail__half_open_then_the_mails_wait(stack, client):
    sending = "SELECT count(*) FROM notifications.notification WHERE status = 'sending' AND created_at > now() - interval '20 seconds'"
    mails_through(stack, client, HalfOpen(stack, "mail"), lambda _: stack.sql(sending) == [(3,)])


def test_mail__slow_then_the_mails_arrive(stack, client):
    since, weather = log_size(stack.roles["worker"].log), Slow(stack, "mail")
    weather.begin()
    try:
        ids = [send_mail(client) for _ in range(3)]
        assert ports.wait_until(lambda: delivered(stack, ids), WAIT_S)
    finally:
        weather.end()
    assert charged(stack, since) == []


def test_mail__full_then_the_mails_wait_and_none_is_dead(stack, client):
    stack.mail.misbehave("452")
    try:
        ids = [send_mail(client) for _ in range(3)]
        told = "SELECT count(*) FROM notifications.notification WHERE id = ANY(%s::uuid[]) AND last_error LIKE '%%452%%'"
        assert ports.wait_until(lambda: stack.sql(told, ids) == [(3,)], WAIT_S)
        assert ports.wait_until(lambda: not is_named(client, "mail"), 3)  # it answers
    finally:
        stack.mail.misbehave()
    assert ports.wait_until(lambda: delivered(stack, ids), BACK_HALF_OPEN_S)
    assert {client.ended(i)["state"] for i in ids} == {"done"}


@pytest.mark.parametrize("server,kind", [("postgres", ReadOnly), pytest.param("postgres", DataFull, marks=needs_mount),
                                         ("mail", Refused), ("mail", HalfOpen)])
def test_readyz__a_server_that_answers_but_does_not_serve_then_it_is_named(stack, client, server, kind):
    weather = kind(stack, server)
    weather.begin()
    try:
        if server == "mail":
            send_mail(client)
        if kind is DataFull:  # some pages have room left
            assert ports.wait_until(lambda: post(client, Job("demo.note", new_key())).status == 503, WAIT_S)
        assert ports.wait_until(lambda: is_named(client, server), 5 if kind is HalfOpen else 3)
    finally:
        weather.end()
