"""One number of worker processes for all supervisors, and who changes it."""
import os
import signal

import pytest

from penstock_ops import ports
from penstock_ops.penstock import Role
from penstock_ops.processes import children_of
from producer import enqueue_all
from stack import BUILD, WAIT_S, Stack, new_key, problem

QUEUE = "default"
AWAY_S = 5  # a supervisor that has not been heard of for so long is gone


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Without a supervisor: each test starts its own."""
    made = Stack(tmp_path_factory.mktemp("autoscale"), {"worker.lease_ms": 3000, "worker.drain_ms": 4000})
    try:
        yield made.start(roles=("scheduler",), sql="UPDATE platform.desired_workers SET workers = (queue = 'default')::int")
    finally:
        made.stop()


@pytest.fixture
def supervise(stack):
    """supervise("a", **settings) starts a supervisor."""
    started: list[Role] = []

    def start(name: str, **settings: str) -> Role:
        folder = stack.dir / name
        folder.mkdir(exist_ok=True)
        role = Role(folder, BUILD, "worker", stack.conf, settings)
        started.append(role)
        role.start()
        return role

    yield start
    for role in started:
        if role.is_running():
            assert role.stop() and role.exit_code() == 0
    stack.sql("UPDATE platform.queue SET slots = 64, min_workers = 1, max_workers = NULL, target_age_s = 5, paused = false")
    stack.sql("UPDATE platform.desired_workers SET pinned = true, workers = (queue = %s)::int", QUEUE)


def put(client, **body) -> dict:
    answer = client.ask("PUT", f"/v1/scale/{QUEUE}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def counts(client, *roles: Role, queue: str = QUEUE) -> list[int]:
    """Of each supervisor, the worker processes that have said that they are there and that do not drain."""
    beats = [p["pid"] for p in client.get("/v1/workers").json()["items"] if p["role"] == "worker" and p.get("queue") == queue and not p["draining"]]
    return [len(set(beats) & set(children_of(role.pid))) for role in roles]


def test_supervisors__two_then_the_number_is_divided_and_one_takes_over_from_the_other(client, supervise):
    first, second = supervise("first"), supervise("second")
    put(client, workers=4)
    assert ports.wait_until(lambda: counts(client, first, second) == [2, 2], WAIT_S)
    put(client, workers=3)
    assert ports.wait_until(lambda: sorted(counts(client, first, second)) == [1, 2], WAIT_S)
    second.kill9()
    assert ports.wait_until(lambda: counts(client, first) == [3], AWAY_S + WAIT_S)
    second = supervise("second")
    assert ports.wait_until(lambda: sorted(counts(client, first, second)) == [1, 2], WAIT_S)
    assert first.stop() and first.exit_code() == 0
    assert ports.wait_until(lambda: counts(client, second) == [3], AWAY_S)  # not only when it is missed


def test_supervisors__ttin_at_one_then_one_more_in_all(stack, client, supervise):
    first, second = supervise("first"), supervise("second")
    put(client, workers=2)
    assert ports.wait_until(lambda: counts(client, first, second) == [1, 1], WAIT_S)
    os.kill(second.pid, signal.SIGTTIN)
    assert ports.wait_until(lambda: sum(counts(client, first, second)) == 3, WAIT_S)
    said = client.get(f"/v1/scale/{QUEUE}").json()
    assert (said["workers"], said["pinned"], said["reason"]) == (3, True, "TTIN")
    assert said["author"].endswith(f":{second.pid}") and said["changes"][0]["author"] == said["author"]


def test_supervisors__one_stands_still_then_the_other_takes_over_and_gives_back(client, supervise):
    first, second = supervise("first"), supervise("second")
    put(client, workers=2)
    assert ports.wait_until(lambda: counts(client, first, second) == [1, 1], WAIT_S)
    os.kill(second.pid, signal.SIGSTOP)  # its process goes on: nobody has told it to leave
    assert ports.wait_until(lambda: counts(client, first) == [2], AWAY_S + WAIT_S)
    os.kill(second.pid, signal.SIGCONT)
    assert ports.wait_until(lambda: counts(client, first, second) == [1, 1], WAIT_S)


def test_supervisors__that_run_some_queues_then_those_alone_divide_them(client, supervise):
    first, second = supervise("first", PENSTOCK_WORKER_QUEUES="orders,default"), supervise("second", PENSTOCK_WORKER_QUEUES="orders")
    put(client, workers=2)
    assert ports.wait_until(lambda: counts(client, first, second) == [2, 0], WAIT_S)
    assert client.ask("PUT", "/v1/scale/orders", json={"workers": 2}).status_code == 200
    assert ports.wait_until(lambda: counts(client, first, second, queue="orders") == [1, 1], WAIT_S)
    client.ask("PUT", "/v1/scale/orders", json={"workers": 0})


def test_autoscaler__more_comes_than_the_slots_take_then_more_workers_and_it_says_why(stack, client, supervise):
    stack.sql("UPDATE platform.queue SET slots = 4 WHERE name = %s", QUEUE)
    role = supervise("first")
    assert ports.wait_until(lambda: counts(client, role) == [1], WAIT_S)
    said = put(client, workers="auto", min_workers=1, max_workers=3, target_age_seconds=1)
    assert (said["workers"], said["pinned"], said["max_workers"], said["target_age_seconds"]) == (1, False, 3, 1)
    ids = enqueue_all(client, [{"type": "demo.tally", "payload": {"ms": 500}, "key": new_key()} for _ in range(300)])
    assert ports.wait_until(lambda: client.get(f"/v1/scale/{QUEUE}").json()["workers"] == 3, 2 * WAIT_S)
    said = client.get(f"/v1/scale/{QUEUE}").json()
    assert (said["author"], said["pinned"]) == ("autoscaler", False)
    assert said["reason"].startswith("need ") and "/s x " in said["reason"] and " s > 1.0 s" in said["reason"]
    assert [c["author"] for c in said["changes"]][0] == "autoscaler" and said["changes"][0]["before"] < 3 == said["changes"][0]["workers"]
    assert said["desired_slots"] == 12
    assert ports.wait_until(lambda: counts(client, role) == [3], WAIT_S)
    runs = "SELECT count(*), count(DISTINCT root_id) FROM custom.note WHERE root_id = ANY(%s::uuid[])"
    assert ports.wait_until(lambda: stack.sql(runs, ids)[0][0] >= len(ids), WAIT_S)
    assert stack.sql(runs, ids) == [(len(ids), len(ids))]


def test_autoscaler__pinned_or_paused_then_as_it_was(stack, client, supervise):
    stack.sql("UPDATE platform.queue SET slots = 1, target_age_s = 1 WHERE name = %s", QUEUE)
    role = supervise("first")
    put(client, workers=1)
    jobs = [{"type": "demo.tally", "payload": {"ms": 300}, "key": new_key()} for _ in range(30)]
    enqueue_all(client, jobs)
    empty = lambda: client.get(f"/v1/queues/{QUEUE}").json()["depth"]["waiting"] == 0
    assert ports.wait_until(lambda: empty() and counts(client, role) == [1], WAIT_S)
    assert client.get(f"/v1/scale/{QUEUE}").json()["workers"] == 1
    assert client.post(f"/v1/queues/{QUEUE}/pause", {}).status_code == 200
    put(client, workers="auto")
    enqueue_all(client, [{**job, "key": new_key()} for job in jobs[:10]])
    assert not ports.wait_until(lambda: client.get(f"/v1/scale/{QUEUE}").json()["workers"] != 1, 5)


def test_bounds__that_contradict_then_422_and_nothing_is_changed(stack, client):
    before = client.get(f"/v1/scale/{QUEUE}").json()
    for body in ({"min_workers": 5, "max_workers": 4}, {"min_workers": -1}, {"max_workers": 1025}, {"max_workers": "all"}, {"target_age_seconds": 0}):
        problem(client.ask("PUT", f"/v1/scale/{QUEUE}", json={"workers": "auto", **body}), 422, "invalid")
    assert client.get(f"/v1/scale/{QUEUE}").json() == before
    assert put(client, workers="auto", min_workers=3, max_workers=4)["workers"] == 3
    problem(client.ask("PUT", f"/v1/scale/{QUEUE}", json={"workers": "auto", "max_workers": 2}), 422, "invalid")
    assert put(client, workers="auto", min_workers=0, max_workers=None)["max_workers"] is None


def test_scale__without_a_queue_then_all_and_their_sum(client):
    said = client.get("/v1/scale").json()
    assert {s["queue"] for s in said["items"]} >= {"default", "orders", "payments", "notifications"}
    assert said["workers"] == sum(s["workers"] for s in said["items"])
