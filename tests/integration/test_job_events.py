"""GET /v1/jobs/{id}/events: a job as it changes."""
import contextlib
import json
import socket
import threading
import time
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


class Raw:
    """A follower of which a test can have hundreds, and which reads when it is told to."""

    def __init__(self, made, job: str, room: int = 1 << 16):
        self.sock = socket.socket()
        self.sock.settimeout(WAIT_S)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.sock.connect((ports.HOST, made.api.port))
        self.sock.sendall(f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self.got = ""

    def until(self, text: str, behind: int = 0) -> "Raw":
        deadline = time.monotonic() + WAIT_S  # comments keep it open
        while text not in self.got[behind:]:
            part = self.sock.recv(65536)
            assert part and time.monotonic() < deadline, self.got
            self.got += part.decode()
        return self


def test_who_follows_what_does_not_change_costs_next_to_nothing(client, made):
    """All together some statements and calls a second, each alone none; and still hears of a change within moments."""
    count, seconds = 200, 4
    types = ("demo.note", {"text": "x"}), ("demo.noop", {})
    jobs = [client.enqueue(*types[i % 2], delay_ms=3_600_000)["id"] for i in range(count)]

    def load() -> tuple[int, int]:
        began, before = time.monotonic(), looked()
        while time.monotonic() - began < seconds:
            time.sleep(0.1)
        return tuple(after - was for after, was in zip(looked(), before))

    def looked() -> tuple[int, int]:
        sql = "SELECT pg_stat_clear_snapshot(), xact_commit FROM pg_stat_database WHERE datname = current_database()"
        return made.redis_client().info("commandstats")["cmdstat_fcall_ro"]["calls"], made.sql(sql)[0][1]

    with contextlib.ExitStack() as open_:
        nobody = load()
        followers = [Raw(made, job) for job in jobs]
        for follower in followers:
            open_.callback(follower.sock.close)
            follower.until("event: delayed")
        load()  # each is looked at once more when it is first looked at for all
        all_of_them = load()
        print(f"in {seconds} s: {nobody} for nobody, {all_of_them} for {count} followers")
        for few, many in zip(nobody, all_of_them):
            assert many - few < count * seconds / 10, (nobody, all_of_them)
        client.post(f"/v1/jobs/{jobs[0]}/progress", {"percent": 40}).raise_for_status()
        began = time.monotonic()
        followers[0].until('"percent": 40')
        print(f"progress after {time.monotonic() - began:.2f} s")
        for job in jobs:
            client.delete(f"/v1/jobs/{job}").raise_for_status()
        for follower in followers:
            follower.until("event: cancelled")


def test_who_reads_slowly_gets_the_last_event_whole(client, made):
    """It is larger than what the kernel takes for a client that does not read yet."""
    text = "x" * 65000
    job = client.enqueue("demo.echo", {"text": text})["id"]
    client.ended(job)
    slow = Raw(made, job, 8192)
    assert ports.wait_until(lambda: f"/v1/jobs/{job}/events" in made.api.log.read_text(), WAIT_S), "it has ended"
    slow.until("\ndata: ").until("\n\n", slow.got.index("\ndata: "))
    data = slow.got.partition("\ndata: ")[2]
    assert json.loads(data)["result"]["text"] == text and slow.sock.recv(1) == b""
    slow.sock.close()


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
