"""GET /v1/jobs/{id}/events: a job as it changes."""
import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock_ops import ports
from stack import Client, Stack, TERMINAL, WAIT_S, cli_of, new_key, problem


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    stack = Stack(tmp_path_factory.mktemp("events"))
    try:
        yield stack.start()
    finally:
        stack.stop()


@pytest.fixture
def client(made) -> Client:
    return Client(made.api.url)


class Follower:
    """Reads a stream; events are (name, id, data)."""

    def __init__(self, client: Client, job: str, last: str = ""):
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        self.answer = client.get(f"/v1/jobs/{job}/events", stream=True, headers=headers)
        self.status = self.answer.status_code
        self.events = self._read()

    def _read(self):
        event = {}
        for line in self.answer.iter_lines(chunk_size=1):
            name, _, value = line.decode().partition(": ")
            if line and name:
                event[name] = value
            elif "data" in event:
                yield event["event"], event["id"], json.loads(event["data"])
                event = {}

    def until(self, state: str):
        return next((event for event in self.events if event[0] == state), None)

    def states(self) -> list[str]:
        return [name for name, _, _ in self.events]


def test_a_job_is_followed_to_its_end(client):
    client.post("/v1/queues/default/pause", {}).raise_for_status()
    try:
        assert ports.wait_until(lambda: client.get("/v1/queues/default").json()["depth"]["running"] == 0, WAIT_S)
        job = client.enqueue("demo.note", {"text": "x"})["id"]
        follower = Follower(client, job)
        first = next(follower.events)
    finally:
        client.post("/v1/queues/default/resume", {}).raise_for_status()
    events = [first, *follower.events]
    states = [name for name, _, _ in events]
    assert (states[0], states[-1]) == ("waiting", "done") and len({i for _, i, _ in events}) == len(events), states
    assert events[-1][2] == client.job(job) and all(data["id"] == job and data["state"] == name for name, _, data in events)


def test_a_job_that_runs_is_shown_running(client):
    """As Redis knows it: from the first renewal of its lease on."""
    assert Follower(client, client.enqueue("demo.sleep", {"ms": 7000})["id"]).states()[-2:] == ["running", "done"]


def test_changes_are_told_as_they_happen(client):
    job = client.enqueue("demo.note", {"text": "x"}, delay_ms=3_600_000)["id"]
    follower = Follower(client, job)
    assert follower.status == 200 and follower.answer.headers["Content-Type"] == "text/event-stream"
    assert follower.until("delayed")[2]["due_at"]
    client.delete(f"/v1/jobs/{job}").raise_for_status()
    assert follower.states() == ["cancelled"]


def test_who_comes_back_is_told_what_is_new(client):
    job = client.enqueue("demo.note", {"text": "x"}, delay_ms=3_600_000)["id"]
    first = Follower(client, job)
    seen = first.until("delayed")[1]
    first.answer.close()
    client.delete(f"/v1/jobs/{job}").raise_for_status()
    (name, last, data), = Follower(client, job, seen).events
    assert name == data["state"] == "cancelled"
    assert Follower(client, job, last).status == 204, "EventSource must not come back"
    assert Follower(client, job, "x" * 500).states() == ["cancelled"]


def test_who_comes_back_too_early_waits_for_news(client):
    job = client.enqueue("demo.note", {"text": "x"}, delay_ms=3_600_000)["id"]
    seen = Follower(client, job).until("delayed")[1]
    again = Follower(client, job, seen)
    told = []
    reader = threading.Thread(target=lambda: told.extend(again.states()))
    reader.start()
    client.delete(f"/v1/jobs/{job}").raise_for_status()
    reader.join(WAIT_S)
    assert told == ["cancelled"]


@pytest.mark.parametrize(("job_type", "last"), [("demo.noop", "ended"), ("demo.echo", "done")])
def test_stream_class(client, job_type, last):
    job = client.enqueue(job_type, {})["id"]
    events = list(Follower(client, job).events)
    assert events[-1][0] in (last, "done"), events


def test_what_there_is_not_is_not_followed(client, made):
    problem(client.get(f"/v1/jobs/{new_key()}/events"), 404, "not_found")
    problem(client.get("/v1/jobs/x/events"), 404, "not_found")
    cli = cli_of(made)
    key = cli("key", "create", "--tenant", "acme", "--scopes", "view").out.strip()
    job = client.enqueue("demo.note", {"text": "x"})["id"]
    problem(Client(made.api.url, key).get(f"/v1/jobs/{job}/events"), 404, "not_found")
    key = cli("key", "create", "--tenant", "acme", "--scopes", "enqueue").out.strip()
    problem(Client(made.api.url, key).get(f"/v1/jobs/{job}/events"), 403, "forbidden")


@pytest.mark.parametrize("what", ["a job", "all"])
def test_a_key_that_takes_its_share_of_the_places_leaves_the_others(client, made, what):
    share, more = 64, 6
    mine = Client(made.api.url, cli_of(made)("key", "create", "--scopes", "view,enqueue").out.strip())
    job = mine.enqueue("demo.note", {"text": "x"}, delay_ms=3_600_000)["id"]
    path = f"/v1/jobs/{job}/events" if what == "a job" else "/v1/live"
    with contextlib.ExitStack() as streams, ThreadPoolExecutor(share + more) as pool:
        answers = list(pool.map(lambda _: mine.get(path, stream=True), range(share + more)))  # at once: none is counted too late
        for answer in answers:
            streams.enter_context(contextlib.closing(answer))
        assert sorted(a.status_code for a in answers) == [200] * share + [429] * more
        problem(next(a for a in answers if a.status_code == 429), 429, "too_many_viewers")
        with contextlib.closing(client.get(path, stream=True)) as other:
            assert other.status_code == 200
    with contextlib.closing(client.get(path, stream=True)) as other:
        assert other.status_code == 200

    def is_let_in() -> bool:
        with contextlib.closing(mine.get(path, stream=True)) as again:
            return again.status_code == 200
    assert ports.wait_until(is_let_in, WAIT_S)  # those who went have left their places
    mine.delete(f"/v1/jobs/{job}").raise_for_status()


def test_a_revoked_key_ends_its_streams(client, made):
    cli = cli_of(made)
    key = cli("key", "create", "--scopes", "view,enqueue").out.strip()
    mine = Client(made.api.url, key)
    job = mine.enqueue("demo.note", {"text": "x"}, delay_ms=3_600_000)["id"]
    follower = Follower(mine, job)
    assert follower.until("delayed")
    cli("key", "revoke", key.split("_")[1])
    assert follower.states() == []


def test_a_stream_outlives_postgres_and_redis_and_ends_with_the_api(client, made):
    job = client.enqueue("demo.note", {"text": "x"}, delay_ms=3_600_000)["id"]
    follower = Follower(client, job)
    assert follower.until("delayed")
    made.postgres.stop()
    made.postgres.start()
    assert ports.wait_until(made.api.is_ready, WAIT_S)
    other = client.enqueue("demo.note", {"text": "x"}, delay_ms=3_600_000)["id"]
    second = Follower(client, other)
    assert second.until("delayed")
    assert ports.wait_until(lambda: client.delete(f"/v1/jobs/{job}").status_code == 200, WAIT_S)
    assert follower.states()[-1] == "cancelled"
    made.api.restart()
    assert [s for s in second.states() if s in TERMINAL] == []
    with contextlib.closing(Client(made.api.url).get(f"/v1/jobs/{other}/events", stream=True)) as back:
        assert back.status_code == 200
    Client(made.api.url).delete(f"/v1/jobs/{other}").raise_for_status()
