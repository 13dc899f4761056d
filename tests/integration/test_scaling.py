"""Worker processes come and go: by number, by signal, by force. Nothing is lost, nothing is charged, nothing runs twice that need not."""
import os
import signal
import time

import pytest

from observe import charged, log_lines, log_size
from penstock_ops import ports
from penstock_ops.penstock import Role
from penstock_ops.processes import children_of, is_ours
from producer import Producer, enqueue_all
from stack import BUILD, WAIT_S, Stack, new_key

QUEUE = "default"
LEASE_MS, DRAIN_MS = 3000, 4000
SLOTS = 64   # attempts at once in a process, as the queue is made; it claims as many again ahead
SHARD = f"pen:{{{QUEUE}:0}}"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Without a supervisor: each test starts its own."""
    made = Stack(tmp_path_factory.mktemp("scaling"), {"worker.lease_ms": LEASE_MS, "worker.drain_ms": DRAIN_MS})
    try:
        yield made.start(roles=("scheduler",))
    finally:
        made.stop()


@pytest.fixture
def supervise(stack, client):
    """supervise(**settings) starts a supervisor that has one worker process per queue."""
    scale(client, 1)
    stack.sql("UPDATE platform.desired_workers SET workers = 1")

    def start(**settings: int) -> Role:
        role = stack.roles["worker"] = Role(stack.dir, BUILD, "worker", stack.conf, {k: str(v) for k, v in settings.items()})
        role.start()
        assert ports.wait_until(lambda: len(ready(client, role)) == 1, WAIT_S)
        return role

    yield start
    if "worker" in stack.roles:
        assert stack.roles["worker"].stop()
    stack.sql("UPDATE platform.queue SET slots = %s, paused = false", SLOTS)


def scale(client, workers: int) -> None:
    answer = client.ask("PUT", f"/v1/scale/{QUEUE}", json={"workers": workers, "reason": "test"})
    assert answer.status_code == 200, answer.text


def ready(client, role: Role) -> list[int]:
    """The queue's worker processes that have said that they are there."""
    alive = set(children_of(role.pid))
    found = client.get("/v1/workers").json()["items"]
    return [p["pid"] for p in found if p["role"] == "worker" and p.get("queue") == QUEUE and p["pid"] in alive and not p["draining"]]


def tallies(count: int, ms: int) -> list[dict]:
    """Of the stream class; each run leaves a note at its begin, then sleeps."""
    return [{"type": "demo.tally", "payload": {"ms": ms}, "key": new_key()} for _ in range(count)]


def runs(stack, ids: list[str]) -> dict[str, list[float]]:
    """When each job was begun, in seconds of the epoch, the first time first."""
    begun: dict[str, list[float]] = {job: [] for job in ids}
    for job, at in stack.sql("SELECT root_id::text, extract(epoch FROM at)::float FROM custom.note WHERE root_id = ANY(%s::uuid[]) ORDER BY at", ids):
        begun[job].append(at)
    return begun


def begun(stack, ids: list[str], times: int = 1) -> int:
    return sum(len(at) >= times for at in runs(stack, ids).values())


def pending(stack) -> dict[str, int]:
    """Claimed entries by consumer."""
    found = stack.redis_client().xpending(f"{SHARD}:s", "g")
    return {c["name"].decode(): int(c["pending"]) for c in found["consumers"]}


def begin(stack, client, count: int, ms: int, running: int) -> list[str]:
    """So many long jobs, of which so many run, and as many again are claimed, if there are."""
    ids = enqueue_all(client, tallies(count, ms))
    claimed = min(count, running + SLOTS)
    assert ports.wait_until(lambda: begun(stack, ids) == running and sum(pending(stack).values()) == claimed, WAIT_S)
    return ids


def test_scale__1_8_2_under_load_then_nothing_is_lost_or_repeated(stack, client, supervise):
    asked = time.monotonic()
    role = supervise()
    one = time.monotonic() - asked  # what a supervisor and a process take on this machine now
    others = len(children_of(role.pid)) - 1
    since = log_size(role.log)
    producer = Producer(client, 250, ("demo.tally", "demo.note"))
    producer.start()
    assert ports.wait_until(lambda: len(producer.accepted) > 500, WAIT_S)
    scale(client, 8)
    asked = time.monotonic()
    assert ports.wait_until(lambda: len(ready(client, role)) == 8, WAIT_S)
    up = time.monotonic() - asked
    at_eight = len(producer.accepted)
    assert ports.wait_until(lambda: len(producer.accepted) > at_eight + 1000, WAIT_S)
    scale(client, 2)
    asked = time.monotonic()
    assert ports.wait_until(lambda: len(children_of(role.pid)) == others + 2, WAIT_S)
    down = time.monotonic() - asked
    at_two = len(producer.accepted)
    assert ports.wait_until(lambda: len(producer.accepted) > at_two + 500, WAIT_S)
    producer.stop()
    print(f"1 to 8 in {up:.2f} s, 8 to 2 in {down:.2f} s, {len(producer.accepted)} jobs")
    assert up <= 2 + one
    assert down <= DRAIN_MS / 1000 + 1
    assert ports.wait_until(lambda: stack.is_empty(QUEUE), WAIT_S)
    assert {len(at) for at in runs(stack, producer.ids("demo.tally")).values()} == {1}
    keys = producer.keys("demo.note")
    notes = "SELECT count(*), count(DISTINCT text) FROM custom.note WHERE text = ANY(%s)"
    assert stack.sql(notes, keys) == [(len(keys), len(keys))]
    assert charged(stack, since) == []


def test_signals__ttin_and_ttou_then_one_more_and_one_less_in_each_queue(stack, client, supervise):
    role = supervise()
    queues = len(stack.sql("SELECT name FROM platform.queue"))
    for sig, workers, reason in ((signal.SIGTTIN, 2, "TTIN"), (signal.SIGTTOU, 1, "TTOU"), (signal.SIGTTOU, 0, "TTOU"), (signal.SIGTTIN, 1, "TTIN")):
        os.kill(role.pid, sig)
        assert ports.wait_until(lambda: len(children_of(role.pid)) == workers * queues, DRAIN_MS / 1000 + 2)
        said = stack.sql("SELECT DISTINCT workers, reason, pinned FROM platform.desired_workers")
        assert said == [(workers, reason, True)]
        assert client.get(f"/v1/scale/{QUEUE}").json()["author"].endswith(f":{role.pid}")


def test_signals__tstp_then_nothing_is_begun_until_cont(stack, client, supervise):
    role = supervise()
    ids = begin(stack, client, 2 * SLOTS, 1500, SLOTS)
    os.kill(role.pid, signal.SIGTSTP)

    def quiet() -> list[int]:
        return [p["pid"] for p in client.get("/v1/workers").json()["items"] if p["pid"] in children_of(role.pid) and p["quiet"]]

    queues = len(children_of(role.pid))
    assert ports.wait_until(lambda: len(quiet()) == queues, 5)
    scale(client, 2)  # one that comes later is quiet as well
    assert ports.wait_until(lambda: len(quiet()) == queues + 1, 10)
    ids += enqueue_all(client, tallies(10, 0))
    assert ports.wait_until(lambda: sum(n for c, n in pending(stack).items() if c != "handback") == 0, WAIT_S)
    before = begun(stack, ids)
    assert not ports.wait_until(lambda: begun(stack, ids) > before, 2.2)  # longer than a read may last
    os.kill(role.pid, signal.SIGCONT)
    assert ports.wait_until(lambda: stack.is_empty(QUEUE), WAIT_S)
    assert {len(at) for at in runs(stack, ids).values()} == {1}


def test_signals__term_then_what_runs_ends_and_the_rest_stays(stack, client, supervise):
    role = supervise()
    since = log_size(role.log)
    ids = begin(stack, client, 2 * SLOTS, 1500, SLOTS)
    assert role.stop() and role.exit_code() == 0
    assert begun(stack, ids) == SLOTS
    assert {c: n for c, n in pending(stack).items() if n} == {"handback": SLOTS}
    supervise()
    assert ports.wait_until(lambda: stack.is_empty(QUEUE), WAIT_S)
    assert {len(at) for at in runs(stack, ids).values()} == {1}
    assert charged(stack, since) == []


def test_pause__under_load_then_it_holds_within_2_s(stack, client, supervise):
    supervise()
    ids = begin(stack, client, 2 * SLOTS, 2500, SLOTS)
    assert client.post(f"/v1/queues/{QUEUE}/pause", {"reason": "test"}).json()["paused"]
    (held_from,), = stack.sql("SELECT extract(epoch FROM now())::float + 2")
    later = enqueue_all(client, tallies(10, 0))  # a read that is on its way gets one of them, and hands it back
    assert ports.wait_until(lambda: sum(n for c, n in pending(stack).items() if c != "handback") == 0, WAIT_S)
    assert all(at <= held_from for job in runs(stack, ids).values() for at in job)
    assert not ports.wait_until(lambda: begun(stack, ids + later) > SLOTS, 1.5)
    assert client.post(f"/v1/queues/{QUEUE}/resume", {}).json()["paused"] is False
    assert ports.wait_until(lambda: stack.is_empty(QUEUE), WAIT_S)
    assert {len(at) for at in runs(stack, ids + later).values()} == {1}


def test_worker__killed_then_everything_comes_back_at_once_uncharged(stack, client, supervise):
    role = supervise()
    since = log_size(role.log)
    ids = begin(stack, client, 2 * SLOTS, 1500, SLOTS)
    (victim,) = ready(client, role)
    first = {job for job, at in runs(stack, ids).items() if at}
    os.kill(victim, signal.SIGKILL)
    (killed,), = stack.sql("SELECT extract(epoch FROM now())::float")
    assert ports.wait_until(lambda: log_lines(role.log, "worker.reaped", since), WAIT_S)
    line = log_lines(role.log, "worker.reaped", since)[0]
    assert (line["crash"], line["back"], line["again"], line["alone"]) == ("SIGKILL", SLOTS, SLOTS, 0)
    assert ports.wait_until(lambda: stack.is_empty(QUEUE), WAIT_S)
    at = runs(stack, ids)
    assert {len(n) for n in at.values()} == {1, 2} and {job for job, n in at.items() if len(n) == 2} == first
    again = sorted(at[job][1] - killed for job in first)
    print(f"begun before: run again after {again[0]:.2f} to {again[-1]:.2f} s, the lease is {LEASE_MS} ms")
    assert all(n[-1] - killed < 2 * LEASE_MS / 1000 for n in at.values())  # those that waited, after the others
    assert charged(stack, since) == []


def test_limit__more_wanted_than_can_be_started_then_those_that_run_have_all_of_it(stack, client, supervise):
    supervise(PENSTOCK_WORKER_MAX_PROCESSES=1, PENSTOCK_WORKER_QUEUES=QUEUE)
    scale(client, 2)
    assert client.ask("PUT", "/v1/limits/type:demo.tally", json={"concurrency": 1}).status_code == 200
    try:
        ids = enqueue_all(client, tallies(3, 50))
        assert ports.wait_until(lambda: begun(stack, ids) == 3, WAIT_S)
    finally:
        assert client.ask("DELETE", "/v1/limits/type:demo.tally").status_code == 200
    assert ports.wait_until(lambda: stack.is_empty(QUEUE), WAIT_S)


def test_supervisor__killed_then_its_processes_drain(stack, client, supervise):
    role = supervise()
    ids = begin(stack, client, 2 * SLOTS, 1500, SLOTS)
    children = children_of(role.pid)
    os.kill(role.pid, signal.SIGKILL)  # it alone: kill9() would end its group
    left = lambda: [pid for pid in children if is_ours(stack.dir, pid)]
    try:
        assert ports.wait_until(lambda: not role.is_running() and not left(), DRAIN_MS / 1000 + 1)
    finally:
        for pid in left():  # nobody else would
            os.kill(pid, signal.SIGKILL)
    assert begun(stack, ids) == SLOTS
    assert {c: n for c, n in pending(stack).items() if n} == {"handback": SLOTS}
    supervise()
    assert ports.wait_until(lambda: stack.is_empty(QUEUE), WAIT_S)
    assert {len(at) for at in runs(stack, ids).values()} == {1}


def test_drain__past_its_deadline_then_all_that_runs_is_handed_back_uncharged(stack, client, supervise):
    running = SLOTS + 36  # more than one batch
    stack.sql("UPDATE platform.queue SET slots = %s WHERE name = %s", running, QUEUE)
    role = supervise(PENSTOCK_WORKER_DRAIN_MS=1000)
    since = log_size(role.log)
    ids = begin(stack, client, running, 2500, running)
    assert role.stop() and role.exit_code() == 0
    assert {c: n for c, n in pending(stack).items() if n} == {"handback": running}
    supervise()
    assert ports.wait_until(lambda: stack.is_empty(QUEUE), WAIT_S)
    assert {len(at) for at in runs(stack, ids).values()} == {2}
    ended = [line for line in log_lines(role.log, "job.attempt", since) if line["job"] in ids]
    assert [(line["attempt"], line["outcome"]) for line in ended] == [(1, "released")] * running + [(1, "done")] * running
