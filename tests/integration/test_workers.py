"""One worker process, seen and steered: what it runs, and that it begins nothing, goes on, or makes room, while the others do as before."""
import contextlib
import os
import signal
import time
from urllib.parse import quote

import pytest

from observe import charged, log_lines, log_size
from penstock_ops import ports
from stack import WAIT_S, Client, Stack, cli_of, new_key, problem
from stack import order as order_body

QUEUE = "default"
SLOTS = 2  # attempts at once in a process
WAITERS = 2  # requests at once that may wait


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Two processes of the queue, which claim nothing ahead: its jobs are slow."""
    made = Stack(tmp_path_factory.mktemp("workers"), {"worker.lease_ms": 3000, "worker.drain_ms": 20000, "api.max_waiters": WAITERS})
    try:
        made.start(sql=f"UPDATE platform.queue SET slots = {SLOTS} WHERE name = '{QUEUE}'; "
                       f"UPDATE platform.desired_workers SET workers = CASE queue WHEN '{QUEUE}' THEN 2 ELSE 0 END")
        yield made
    finally:
        made.stop()


def fleet(client, queue: str = QUEUE) -> list[dict]:
    """The queue's processes that are alive and stay, as they say."""
    alive = [p for p in client.get("/v1/workers").json()["items"] if p["role"] == "worker" and p.get("queue") == queue and not p["draining"]]
    return [p for p in alive if os.path.exists(f"/proc/{p['pid']}")]


@pytest.fixture
def two(stack, client) -> list[dict]:
    assert ports.wait_until(lambda: len(fleet(client)) == 2 and not any(p["quiet"] or p["busy"] for p in fleet(client)), WAIT_S), fleet(client)
    return fleet(client)


def path(process: dict, verb: str = "") -> str:
    return f"/v1/workers/{quote(process['process'], safe='')}" + (f"/{verb}" if verb else "")


def order(client, process: dict, verb: str, **body):
    return client.post(path(process, verb), {"reason": "a test", **body})


def jobs_of(client, process: dict) -> dict:
    answer = client.get(path(process, "jobs"))
    assert answer.status_code == 200, answer.text
    return answer.json()


def begin(client, count: int, ms: int) -> list[str]:
    return [client.enqueue("demo.tally", {"ms": ms})["id"] for _ in range(count)]


def runs(stack, ids: list[str]) -> list[int]:
    """How often each was begun."""
    found = dict(stack.sql("SELECT root_id::text, count(*) FROM custom.note WHERE root_id = ANY(%s::uuid[]) GROUP BY 1", ids))
    return [found.get(job, 0) for job in ids]


def where(client, processes: list[dict]) -> dict[str, str]:
    """{job: the process that runs it}"""
    return {job["id"]: p["process"] for p in processes for job in jobs_of(client, p)["items"]}


def audit(client, process: dict) -> list[tuple]:
    found = client.get(f"/v1/audit?target={quote(process['process'], safe='')}").json()["items"]
    return [(line["action"], line["detail"]["reason"]) for line in found]


def test_quiet__given_one_of_two_then_it_begins_no_job_until_it_resumes(stack, client, two):
    one, other = two
    ids = begin(client, 4 * SLOTS, 3000)  # some run, the others are claimed ahead
    assert ports.wait_until(lambda: len(where(client, two)) == 2 * SLOTS, WAIT_S)
    answer = order(client, one, "quiet", consumer=one["consumer"])
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"process": one["process"], "consumer": one["consumer"], "queue": QUEUE, "supervisor": one["supervisor"], "order": "quiet"}
    assert order(client, one, "quiet").status_code == 200  # safe to repeat
    assert ports.wait_until(lambda: jobs_of(client, one)["waiting"] == 0, WAIT_S)
    kept = set(where(client, [one]))
    ids += begin(client, 4 * SLOTS, 300)
    begun: set[str] = set()

    def all_ended() -> bool:
        begun.update(where(client, [one]))
        return runs(stack, ids) == [1] * len(ids) and stack.is_empty(QUEUE)

    assert ports.wait_until(all_ended, 2 * WAIT_S)
    assert kept and begun <= kept
    assert ports.wait_until(lambda: [p["quiet"] for p in fleet(client)] == [True, False], WAIT_S)

    assert order(client, one, "resume").status_code == 200
    more = begin(client, 4 * SLOTS, 1000)
    assert ports.wait_until(lambda: set(where(client, two).values()) == {one["process"], other["process"]}, WAIT_S)
    assert ports.wait_until(lambda: runs(stack, more) == [1] * len(more) and stack.is_empty(QUEUE), WAIT_S)
    assert audit(client, one) == [("worker.resume", "a test"), ("worker.quiet", "a test"), ("worker.quiet", "a test")]
    assert audit(client, other) == []


def test_stop__then_what_it_runs_ends_once_and_another_takes_its_place(stack, client, two):
    one, other = two
    since = log_size(stack.roles["worker"].log)
    ids = begin(client, 4 * SLOTS, 3000)
    assert ports.wait_until(lambda: len(where(client, two)) == 2 * SLOTS, WAIT_S)
    assert order(client, one, "stop").status_code == 200
    assert order(client, one, "stop").status_code == 200  # it is at it already
    problem(order(client, one, "quiet"), 409, "worker_leaving")
    new = ports.wait_until(lambda: {p["process"] for p in fleet(client)} - {one["process"], other["process"]}, WAIT_S)
    assert new, fleet(client)
    assert ports.wait_until(lambda: not os.path.exists(f"/proc/{one['pid']}"), WAIT_S)
    assert ports.wait_until(lambda: stack.is_empty(QUEUE), WAIT_S)
    assert runs(stack, ids) == [1] * len(ids)
    assert charged(stack, since) == []
    assert log_lines(stack.roles["worker"].log, "worker.exited", since)[0]["crash"] == ""
    said = problem(order(client, one, "stop"), 404, "not_found")  # its heartbeat outlives it by ten seconds
    assert one["process"] in said["detail"]


def test_jobs__given_a_running_one_then_they_name_it_and_what_it_is_about(stack, client, two):
    before = time.time()
    job = client.enqueue("demo.sleep", {"ms": 3000})["id"]
    assert ports.wait_until(lambda: job in where(client, two), WAIT_S)
    process = next(p for p in two if p["process"] == where(client, [p]).get(job))
    found = jobs_of(client, process)
    assert (found["process"], found["consumer"], found["queue"], found["others"]) == (process["process"], process["consumer"], QUEUE, 0)
    [item] = found["items"]
    assert (item["id"], item["type"], item["attempt"], item["stopping"]) == (job, "demo.sleep", 1, False)
    assert 0 <= item["run_seconds"] < time.time() - before + 1
    assert process["rss_bytes"] > 1 << 20
    client.ended(job)


def test_attempt__given_a_job_that_runs_then_it_says_where_and_which(stack, client, two, make_key):
    job = client.enqueue("demo.sleep", {"ms": 3000})["id"]
    assert ports.wait_until(lambda: job in where(client, two), WAIT_S)
    answer = client.get(f"/v1/jobs/{job}/attempt")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    [process] = [p for p in two if p["process"] == where(client, two)[job]]
    assert (found["id"], found["process"], found["consumer"], found["attempt"]) == (job, process["process"], process["consumer"], 1)
    problem(Client(stack.api.url, make_key("other", "view")).get(f"/v1/jobs/{job}/attempt"), 404, "not_found")
    client.ended(job)
    problem(client.get(f"/v1/jobs/{job}/attempt"), 404, "not_found")


def test_jobs__given_a_call_on_its_way_then_they_say_what_is_waited_for(stack, client):
    """The provider stands still: the job waits for its answer."""
    stack.sql("UPDATE platform.desired_workers SET workers = 1 WHERE queue = 'orders'")
    assert ports.wait_until(lambda: len(fleet(client, "orders")) == 1, WAIT_S)
    [process] = fleet(client, "orders")
    os.kill(stack.sim.pid, signal.SIGSTOP)
    try:
        assert client.post("/v1/orders", order_body(), new_key(), headers={"Prefer": "respond-async"}).status_code == 202
        assert ports.wait_until(lambda: [i.get("waits_for") for i in jobs_of(client, process)["items"]] == ["an answer by HTTP"], 8)
        [item] = jobs_of(client, process)["items"]
        assert item["type"] == "order.place"
        assert client.get(f"/v1/jobs/{item['id']}/attempt").json()["process"] == process["process"]
    finally:
        os.kill(stack.sim.pid, signal.SIGCONT)
    assert ports.wait_until(lambda: jobs_of(client, process)["items"] == [], WAIT_S)


def test_jobs__given_another_tenants_key_then_they_are_counted_alone(stack, client, two, make_key):
    job = client.enqueue("demo.sleep", {"ms": 2000})["id"]
    assert ports.wait_until(lambda: job in where(client, two), WAIT_S)
    process = next(p for p in two if job in where(client, [p]))
    found = jobs_of(Client(stack.api.url, make_key("other", "view")), process)
    assert (found["items"], found["others"]) == ([], 1)
    client.ended(job)


def test_order__given_no_scope_or_no_such_process_then_it_says_so_and_does_nothing(stack, client, two, make_key):
    one = two[0]
    viewer = Client(stack.api.url, make_key("default", "view", "enqueue", "replay"))
    for verb in ("quiet", "resume", "stop"):
        problem(order(viewer, one, verb), 403, "forbidden")
        problem(client.post(f"/v1/workers/nobody:1/{verb}", {}), 404, "not_found")
        problem(client.post(f"/v1/workers/down:mail/{verb}", {}), 404, "not_found")
        problem(order(client, one, verb, consumer="an:earlier-0:1"), 409, "worker_replaced")
        problem(client.post(path(one, verb), {"reason": 7}), 422, "invalid")
    for role in ("api", "scheduler"):
        other = next(p for p in client.get("/v1/workers").json()["items"] if p["role"] == role)
        problem(order(client, other, "stop"), 409, "no_worker")
        problem(client.get(path(other, "jobs")), 409, "no_worker")
        assert client.get(path(other)).json()["role"] == role
    problem(client.get("/v1/workers/nobody:1/jobs"), 404, "not_found")
    assert stack.sql("SELECT count(*) FROM platform.audit WHERE target = 'nobody:1'") == [(0,)]
    assert fleet(client) and not any(p["quiet"] for p in fleet(client))


def test_order__given_a_supervisor_that_stands_still_then_it_is_taken_back(stack, client, two):
    one = two[0]
    supervisor = stack.roles["worker"].pid
    os.kill(supervisor, signal.SIGSTOP)
    try:
        said = problem(order(client, one, "stop"), 503, "supervisor_away")  # still believed to be there
        assert "nothing was done" in said["detail"]
        assert audit(client, one)[0] == ("worker.withdraw", f"not taken by {one['supervisor']}")
        assert ports.wait_until(lambda: stack.sql("SELECT now() - seen_at > interval '5 s' FROM platform.supervisor") == [(True,)], WAIT_S)
        problem(order(client, one, "stop"), 503, "supervisor_away")
        assert stack.sql("SELECT count(*) FROM platform.worker_order WHERE outcome IS NULL") == [(0,)]
    finally:
        os.kill(supervisor, signal.SIGCONT)
    assert ports.wait_until(lambda: len(fleet(client)) == 2, WAIT_S)
    assert ports.wait_until(lambda: order(client, one, "quiet").status_code == 200, WAIT_S)  # and it is there again
    assert order(client, one, "resume").status_code == 200
    assert one["process"] in {p["process"] for p in fleet(client)}


def test_order__given_that_as_many_wait_as_may_then_it_holds_or_was_taken_back(stack, client, two):
    one = two[0]
    job = client.enqueue("demo.note", {"text": "x"}, delay_ms=3_600_000)["id"]
    with contextlib.ExitStack() as streams:
        for _ in range(WAITERS):
            stream = streams.enter_context(contextlib.closing(client.get(f"/v1/jobs/{job}/events", stream=True)))
            assert stream.status_code == 200
        said = order(client, one, "quiet")
        assert said.status_code == 200 or problem(said, 503, "supervisor_away"), said.text
        assert stack.sql("SELECT count(*) FROM platform.worker_order WHERE outcome IS NULL") == [(0,)]
    if said.status_code == 200:
        assert order(client, one, "resume").status_code == 200
    assert client.delete(f"/v1/jobs/{job}").status_code == 200


def test_jobs__given_a_process_that_stands_still_then_it_says_so(stack, client, two):
    one = two[0]
    os.kill(one["pid"], signal.SIGSTOP)
    try:
        said = problem(client.get(path(one, "jobs")), 503, "worker_silent")
        assert "last heard of" in said["detail"]
    finally:
        os.kill(one["pid"], signal.SIGCONT)
    assert ports.wait_until(lambda: client.get(path(one, "jobs")).status_code == 200, WAIT_S)


def test_quiet__given_the_supervisor_quiet_and_awake_then_the_one_stays_as_it_was_told(stack, client, two):
    one, other = two
    supervisor = stack.roles["worker"].pid
    assert order(client, one, "quiet").status_code == 200
    for sig, quiet in ((signal.SIGTSTP, [True, True]), (signal.SIGCONT, [True, False])):
        os.kill(supervisor, sig)
        assert ports.wait_until(lambda: [p["quiet"] for p in fleet(client)] == quiet, WAIT_S), fleet(client)
    assert order(client, one, "resume").status_code == 200


def test_quiet__given_a_type_that_one_alone_may_run_then_the_other_may(stack, client, two):
    """Of a limit of 1 one process has all: while that one is quiet the other has it."""
    assert client.ask("PUT", "/v1/limits/type:demo.echo", json={"concurrency": 1}).status_code == 200
    quiet = max(two, key=lambda p: p["slot"])
    try:
        assert order(client, quiet, "quiet").status_code == 200
        assert client.ended(client.enqueue("demo.echo", {"a": 1})["id"])["state"] == "done"
    finally:
        assert client.delete("/v1/limits/type:demo.echo").status_code == 200
        assert order(client, quiet, "resume").status_code == 200


def test_cli__given_one_process_then_the_commands_steer_and_show_it(stack, client, two):
    cli, one, before = cli_of(stack), two[0]["process"], audit(client, two[0])
    assert cli("worker", "quiet", one, "--dry-run", code=2).out == f"worker/{one} quiet (dry run)\n"
    assert audit(client, two[0]) == before
    assert cli("worker", "quiet", one, "--reason", "a look").out == f"worker/{one} quiet\n"
    assert audit(client, two[0])[0] == ("worker.quiet", "a look")
    assert cli("worker", "resume", one, "-o", "json").json["order"] == "resume"
    assert cli("worker", "get", one, "--field", ".queue").out == f"{QUEUE}\n"
    job = client.enqueue("demo.sleep", {"ms": 3000})["id"]
    assert ports.wait_until(lambda: job in where(client, two), WAIT_S)
    process = where(client, two)[job]
    rows = cli("worker", "dump", process).rows
    assert rows[0][:3] == ["NAME", "TYPE", "ATTEMPT"] and rows[1][:3] == [job, "demo.sleep", "1"]
    assert cli("worker", "dump", process, "-q").out == f"{job}\n"
    assert cli("worker", "stop", process, "-o", "name").out == f"worker/{process}\n"
    assert client.ended(job)["state"] == "done"
    for verb in ("quiet", "dump", "get"):
        assert "No process" in cli("worker", verb, "nobody:1", code=66).err
    assert cli("worker", "stop", code=64).err
