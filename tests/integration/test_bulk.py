"""Many jobs by a filter, as a job: counted first, capped, paced, paused, stopped, audited, and going on after a crash."""
import contextlib
import os
import signal
import subprocess

import pytest

from penstock_ops import ports
from stack import WAIT_S, Client, Stack, new_key, problem


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    made = Stack(tmp_path_factory.mktemp("bulk"), {"worker.lease_ms": 3000})
    try:
        yield made.start(sql="UPDATE platform.desired_workers SET pinned = false WHERE queue = 'bulk'")
    finally:
        made.stop()


@pytest.fixture
def client(stack):
    yield Client(stack.api.url)
    stack.sql("DELETE FROM platform.dead_job")
    stack.sql("DELETE FROM platform.job WHERE state <> 'waiting'")


def kill_jobs(client, count: int, payload: dict | None = None) -> list[str]:
    ids = [client.enqueue("demo.fail", payload or {"permanent": True})["id"] for _ in range(count)]
    for job in ids:
        assert client.ended(job)["state"] == "dead"
    return ids


def bulk(client, op: str, key: str | None = None, **more):
    return client.post("/v1/bulk", {"op": op, "filter": {"type": "demo.fail"}, **more}, key)


def started(client, op: str, **more) -> str:
    answer = bulk(client, op, new_key(), **more)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def kill_workers(client) -> None:
    for process in (p for p in client.get("/v1/workers").json()["items"] if p.get("queue") == "bulk"):
        with contextlib.suppress(ProcessLookupError):  # one killed before is listed for a while
            os.kill(process["pid"], signal.SIGKILL)


def open_dead(stack) -> int:
    return stack.sql("SELECT count(*) FROM platform.dead_job WHERE type = 'demo.fail' AND replayed_at IS NULL AND discarded_at IS NULL")[0][0]


def test_bulk__without_expect_then_counted_and_nothing_is_touched(stack, client):
    ids = kill_jobs(client, 12)
    for op, more in ("retry", {}), ("discard", {}), ("edit", {"patch": {"until": 0}}):
        said = bulk(client, op, **more).json()
        assert said["matched"] == 12 and len(said["sample"]) == 10 and set(said["sample"]) <= set(ids)
    assert bulk(client, "retry", filter={"type": "demo.noop"}).json() == {"matched": 0, "sample": []}
    assert open_dead(stack) == 12


def test_bulk__retry_then_no_more_than_expected_are_run_again_and_it_says_so(stack, client):
    ids = kill_jobs(client, 8)
    job = started(client, "retry", expect=5, reason="fixed", rate_per_second=256)
    ended = client.ended(job)
    assert (ended["state"], ended["result"]) == ("done", {"done": 5, "confirmed": 5})
    assert stack.sql("SELECT count(*) FROM platform.job WHERE id = ANY(%s::uuid[]) AND generation = 1", ids) == [(5,)]
    told = stack.sql("SELECT author, detail FROM platform.audit WHERE action = 'job.replay' AND detail->>'bulk' = %s", job)
    assert sum(len(detail["jobs"]) for _, detail in told) == 5 and {(a, d["reason"]) for a, d in told} == {("local", "fixed")}
    for replayed in {i for _, detail in told for i in detail["jobs"]}:  # the same again, and dead again: once, since it died after the action began
        assert ports.wait_until(lambda: client.job(replayed)["state"] == "dead", WAIT_S)
    assert stack.sql("SELECT max(generation) FROM platform.job WHERE id = ANY(%s::uuid[])", ids) == [(1,)]


def test_bulk__discard_then_they_are_gone_from_the_list(stack, client):
    kill_jobs(client, 3)
    job = started(client, "discard", expect=100)
    assert client.ended(job)["result"] == {"done": 3, "confirmed": 100}
    assert open_dead(stack) == 0 and client.get("/v1/dlq?queue=default").json()["items"] == []


def test_bulk__paced_paused_killed_and_stopped_then_it_does_as_told(stack, client):
    kill_jobs(client, 12)
    job = started(client, "discard", expect=12, rate_per_second=2)
    assert ports.wait_until(lambda: open_dead(stack) <= 10, WAIT_S)
    assert client.post(f"/v1/bulk/{job}/pause", {"reason": "look"}).json()["paused"]
    at = open_dead(stack)
    assert at >= 4
    assert ports.wait_until(lambda: client.job(job).get("progress", {}).get("message") == f"{12 - open_dead(stack)} of 12", WAIT_S)
    still = open_dead(stack)
    kill_workers(client)
    assert not ports.wait_until(lambda: open_dead(stack) != still, 4)
    assert client.post(f"/v1/bulk/{job}/resume", {}).json() == {"id": job, "paused": False, "done": 12 - still}
    assert ports.wait_until(lambda: open_dead(stack) < still, WAIT_S)
    assert client.delete(f"/v1/jobs/{job}").status_code == 200
    assert client.ended(job)["state"] == "cancelled"
    rest = open_dead(stack)
    assert not ports.wait_until(lambda: open_dead(stack) != rest, 3)
    problem(client.post(f"/v1/bulk/{job}/pause", {}), 404, "not_found")


@pytest.mark.parametrize(("count", "rate"), [(9, 4), (100, 256)])  # the second: more than one statement may have
def test_bulk__cancel_then_open_jobs_end_and_others_stay(stack, client, count, rate):
    ids = [client.enqueue("demo.note", {"text": "later"}, delay_ms=3600000)["id"] for _ in range(count)]
    other = client.enqueue("demo.fail", {}, delay_ms=3600000)["id"]
    counted = bulk(client, "cancel", filter={"type": "demo.note", "queue": "default"}).json()
    assert counted["matched"] == count
    job = started(client, "cancel", filter={"type": "demo.note", "queue": "default"}, expect=counted["matched"], rate_per_second=rate)
    assert client.ended(job)["result"] == {"done": count, "confirmed": count}
    assert {client.job(i)["state"] for i in ids} == {"cancelled"}
    assert client.job(other)["state"] == "delayed"
    assert client.delete(f"/v1/jobs/{other}").status_code == 200


def kill_tallies(stack, client, count: int) -> list[str]:
    """Of class stream: each run leaves a note, and fails."""
    ids = [client.enqueue("demo.tally", {"fail": True})["id"] for _ in range(count)]
    assert ports.wait_until(lambda: stack.sql("SELECT count(*) FROM platform.dead_job WHERE id = ANY(%s::uuid[])", ids) == [(count,)], WAIT_S)
    return ids


def runs(stack, ids: list[str]) -> list[int]:
    return [stack.sql("SELECT count(*) FROM custom.note WHERE root_id = %s", i)[0][0] for i in ids]


def test_bulk__retry_of_class_stream_then_each_runs_once_more(stack, client):
    ids = kill_tallies(stack, client, 70)  # more than one call to Redis may have
    journal = kill_jobs(client, 3)
    before = runs(stack, ids)
    which = {"queue": "default"}
    assert bulk(client, "retry", filter=which).json()["matched"] == 73
    job = started(client, "retry", filter=which, expect=73, rate_per_second=256, reason="fixed")
    assert client.ended(job)["result"] == {"done": 73, "confirmed": 73}
    assert ports.wait_until(lambda: stack.sql("SELECT count(*) FROM platform.dead_job WHERE generation = 1 AND replayed_at IS NULL") == [(73,)], WAIT_S)
    assert runs(stack, ids) == [n + 1 for n in before]
    told = [i for detail, in stack.sql("SELECT detail FROM platform.audit WHERE action = 'job.replay' AND detail->>'bulk' = %s", job) for i in detail["jobs"]]
    assert sorted(told) == sorted(ids + journal)


def set_depth(stack, client, most: int) -> None:
    stack.sql("UPDATE platform.queue SET max_depth = %s WHERE name = 'default'", most)
    takes = most > 1000
    assert ports.wait_until(lambda: (client.post("/v1/jobs", {"type": "demo.noop", "payload": {}}, new_key()).status_code == 202) == takes, WAIT_S)


def test_bulk__shard_is_full_then_it_is_come_back_to(stack, client):
    for _ in range(3):
        client.enqueue("demo.tally", {}, delay_ms=3600000)

    def held() -> str | None:
        """An action of one job that does not end: the worker may hear of the limit late."""
        kill_tallies(stack, client, 1)
        set_depth(stack, client, 1)
        job = started(client, "retry", filter={"type": "demo.tally"}, expect=1)
        if not ports.wait_until(lambda: client.job(job)["state"] == "done", 4):
            return job
        set_depth(stack, client, 1000000)
        return None

    try:
        job = next(found for _ in range(10) if (found := held()))
        assert stack.sql("SELECT count(*) FROM platform.dead_job WHERE type = 'demo.tally' AND generation = 0 AND replayed_at IS NULL") == [(1,)]
    finally:
        set_depth(stack, client, 1000000)
    assert client.ended(job)["result"] == {"done": 1, "confirmed": 1}


MEND = {"permanent": None, "until": 0}


def test_bulk__edit_then_those_that_fit_run_with_the_patch_and_others_stay_dead(stack, client):
    ids = sorted(kill_jobs(client, 6))
    stack.sql("UPDATE platform.dead_job SET payload = convert_to('{\"permanent\":true,\"x\":1}', 'UTF8') WHERE id = %s", ids[1])
    stack.sql("INSERT INTO custom.effect (root_id, step, generation, outcome, status) VALUES (%s, 'half', 0, 'done', 0)", ids[4])
    counted = bulk(client, "edit", patch=MEND).json()
    assert (counted["matched"], counted["sample"]) == (6, ids)
    assert [(r["id"], "#/payload/x" in r["detail"]) for r in counted["refused"]] == [(ids[1], True)]
    assert open_dead(stack) == 6
    job = started(client, "edit", patch=MEND, expect=6, reason="typing error")
    assert stack.sql("SELECT type_version FROM platform.job WHERE id = %s", job) == [(2,)]  # workers that know no edit put it aside
    result = client.ended(job)["result"]
    assert (result["done"], result["confirmed"], {why: n["jobs"] for why, n in result["left"].items()}) == (4, 6, {"invalid": 1, "acted": 1})
    assert result["left"]["invalid"]["example"].startswith(f"{ids[1]}: #/x") and result["left"]["acted"]["example"] == ids[4]
    made = dict(stack.sql("SELECT replay_of::text, id::text FROM platform.job WHERE replay_of = ANY(%s::uuid[])", ids))
    assert sorted(made) == [i for i in ids if i not in (ids[1], ids[4])]
    assert {client.ended(i)["state"] for i in made.values()} == {"done"}
    assert {bytes(p) for p, in stack.sql("SELECT payload FROM platform.job WHERE id = ANY(%s::uuid[])", list(made.values()))} == {b'{"until":0}'}
    assert open_dead(stack) == 2
    told = stack.sql("SELECT target, author, detail FROM platform.audit WHERE action = 'job.edit' AND detail->>'bulk' = %s", job)
    assert {(t, a, d["reason"], d["job"]) for t, a, d in told} == {(old, "local", "typing error", new) for old, new in made.items()}


def test_bulk__edit_paced_killed_and_stopped_then_each_is_made_once(stack, client):
    ids = kill_jobs(client, 40)
    job = started(client, "edit", patch=MEND, expect=40, rate_per_second=10)
    for _ in range(2):
        at = open_dead(stack)
        assert ports.wait_until(lambda: open_dead(stack) < at, WAIT_S)
        kill_workers(client)
    assert client.ended(job)["result"] == {"done": 40, "confirmed": 40}
    assert stack.sql("SELECT count(*), count(DISTINCT replay_of) FROM platform.job WHERE replay_of = ANY(%s::uuid[])", ids) == [(40, 40)]


def test_bulk__edit_of_what_may_not_be_then_nothing(stack, client):
    kill_tallies(stack, client, 1)
    assert bulk(client, "edit", filter={"type": "demo.tally"}, patch=MEND).json()["matched"] == 0  # a new one is to be enqueued
    problem(bulk(client, "edit"), 422, "invalid")
    for patch in ({}, [], "x", None):
        problem(bulk(client, "edit", patch=patch), 422, "invalid")
    problem(bulk(client, "retry", patch=MEND), 422, "invalid")


def test_replay__with_a_patch_then_the_rest_of_the_payload_stays(stack, client):
    old, other = kill_jobs(client, 2, {"permanent": True, "until": 3})
    problem(client.post(f"/v1/jobs/{other}/replay", {"patch": {"until": "no"}}), 422, "invalid")
    problem(client.post(f"/v1/jobs/{other}/replay", {"patch": MEND, "payload": {}}), 422, "invalid")
    made = client.post(f"/v1/jobs/{old}/replay", {"patch": {"until": 0}}).json()["id"]
    assert stack.sql("SELECT payload FROM platform.job WHERE id = %s", made) == [(b'{"permanent":true,"until":0}',)]
    assert client.ended(made)["state"] == "done"
    problem(client.post(f"/v1/jobs/{old}/replay", {"patch": {"until": 0}}), 409, "job_not_dead")


def test_bulk__dead_then_it_cannot_be_edited_into_another(stack, client):
    """Its payload says whose jobs it may touch."""
    job = started(client, "discard", filter={"type": "nothing.such"}, expect=1)
    assert client.ended(job)["state"] == "done"
    stack.sql("UPDATE platform.job SET state = 'dead' WHERE id = %s", job)
    stack.sql("INSERT INTO platform.dead_job (id, root_id, generation, class, tenant, queue, type, type_version, payload, attempts, errors, fingerprint, "
              "traceparent) SELECT id, root_id, generation, 'journal', tenant, queue, type, type_version, payload, 3, '[]', 'x', traceparent "
              "FROM platform.job WHERE id = %s", job)
    problem(client.post(f"/v1/jobs/{job}/replay", {"payload": {}}, new_key()), 422, "internal_type")


def test_bulk__repeated_with_its_key_then_once(client):
    kill_jobs(client, 1)
    key = new_key()
    first, second = bulk(client, "discard", key=key, expect=1), bulk(client, "discard", key=key, expect=1)
    assert first.json()["id"] == second.json()["id"] and second.headers["Idempotency-Replayed"] == "true"


def test_bulk__malformed_or_without_key_then_refused(client):
    problem(bulk(client, "retry", expect=1), 400, "idempotency_key_missing")
    for body in ({"op": "purge"}, {"filter": {}}, {"expect": 0}, {"rate_per_second": 0}, {"rate_per_second": 257}, {"filter": {"type": "x", "age": 1}}):
        problem(client.post("/v1/bulk", {"op": "retry", "filter": {"type": "demo.fail"}, **body}, new_key()), 422, "invalid")


def test_cli__counts_and_then_does_it(stack, client):
    kill_jobs(client, 2)
    run = lambda *words: subprocess.run([stack.api.binary, *words], env={"PENSTOCK_URL": stack.api.url}, capture_output=True, text=True, check=True).stdout
    assert run("bulk", "discard", "--type", "demo.fail", "--no-headers").split()[0] == "2"
    assert open_dead(stack) == 2
    job = run("bulk", "discard", "--type", "demo.fail", "--expect", "2", "-q").strip()
    assert client.ended(job)["result"]["done"] == 2


def test_cli__edits_one_and_many(stack, client):
    one, *many = kill_jobs(client, 4)
    run = lambda *words: subprocess.run([stack.api.binary, *words], env={"PENSTOCK_URL": stack.api.url}, capture_output=True, text=True, check=False)
    assert run("job", "edit", one, "--patch", '{"permanent":null,"until":0}', "--dry-run").returncode == 2
    made = run("job", "edit", one, "--patch", '{"permanent":null,"until":0}', "--reason", "a typing error", "-q").stdout.strip()
    assert client.ended(made)["state"] == "done"
    assert run("job", "edit", one, "-d", '{"until":0}').returncode == 1  # dead no more
    assert run("job", "edit", many[0]).returncode == 64
    assert run("job", "edit", many[0], "-d", '{"until":"x"}').returncode == 65
    assert run("job", "edit", many[0], "-d", '{"until":').returncode == 65
    counted = run("bulk", "edit", "--type", "demo.fail", "--patch", '{"x":1}', "-o", "json")
    assert counted.returncode == 0 and '"matched":3' in counted.stdout and "#/payload/x" in counted.stdout
    job = run("bulk", "edit", "--type", "demo.fail", "--patch", '{"permanent":null,"until":0}', "--expect", "3", "-q").stdout.strip()
    assert client.ended(job)["result"] == {"done": 3, "confirmed": 3}
    assert run("bulk", "edit", "--type", "demo.fail").returncode == 64


def test_cli__limits(stack, client):
    run = lambda *words: subprocess.run([stack.api.binary, *words], env={"PENSTOCK_URL": stack.api.url}, capture_output=True, text=True, check=False)
    assert run("queue", "limit", "orders", "--slots", "7", "--max-drain", "2m").stdout == "queue/orders limited\n"
    assert stack.sql("SELECT slots, max_drain_s FROM platform.queue WHERE name = 'orders'") == [(7, 120)]
    assert run("limit", "set", "tenant:acme", "--rate", "2.5", "--burst", "4").stdout == "limit/tenant:acme set\n"
    assert run("limit", "list", "--no-headers").stdout.split()[:3] == ["tenant:acme", "2.5", "4"]
    assert run("limit", "delete", "tenant:acme").stdout == "limit/tenant:acme deleted\n"
    for words in (("queue", "limit", "orders"), ("queue", "limit", "orders", "--slots", "x"), ("limit", "set", "tenant:acme"), ("bulk", "retry", "--expect", "x")):
        assert run(*words).returncode == 64, words
