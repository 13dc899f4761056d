"""Jobs that end the process they run in: known by running them alone, dead after three such runs. Their neighbours, and whoever was running
when a process or a machine was killed, live on. TEST_FULL=1: more of each."""
import contextlib
import os
import re
import signal
import time
import uuid
from pathlib import Path

import pytest

from observe import log_lines, log_size
from penstock_ops import ROOT, ports
from penstock_ops.penstock import Role
from penstock_ops.processes import children_of
from producer import Producer, enqueue_all
from stack import BUILD, Stack, new_key, order

QUEUE = "default"
SHARD = f"pen:{{{QUEUE}:0}}"
LEASE_MS, DRAIN_MS = 4000, 1000
CALL_MS = 15000  # time to be killed in a call
LONE_CRASHES = 3
END_S = 120
FULL = os.environ.get("TEST_FULL") == "1"
PLAIN_BUILD = Path(os.environ.get("TEST_BUILD_FAULT", ROOT / "build" / "fault"))  # without sanitizers
# Of a build with sanitizers, which catch signals and allow no limit of memory.
SANITIZER = ":".join(filter(None, [os.environ.get("ASAN_OPTIONS", ""), "handle_segv=0", "abort_on_error=1", "hard_rss_limit_mb=400"]))
SIGNATURES = {"abort": {"SIGABRT"}, "exit": {"exit 3"}, "stack": {"SIGSEGV"}, "memory": {"SIGABRT"}, "nomem": {"out of memory"},
              "spin": {"SIGXCPU", "hung", "lost"}}  # lost: on a busy machine its lease may end first


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Without a supervisor: each test starts its own."""
    made = Stack(tmp_path_factory.mktemp("poison"), {"worker.lease_ms": LEASE_MS, "worker.drain_ms": DRAIN_MS, "payments.call_ms": CALL_MS})
    try:
        made.start(roles=("scheduler",))
        # Before, a job that is accepted may be put a second time, and its crashes are two entries'.
        assert ports.wait_until(lambda: (made.redis_client().get(f"{SHARD}:e") or b"").startswith(b"ready"), END_S)
        yield made
    finally:
        made.stop()


@pytest.fixture
def supervise(stack):
    """supervise(workers) starts a supervisor with so many processes for the queues, and none for the others."""
    started: list[Role] = []

    def start(workers: int, *queues: str, build: Path = BUILD, **settings: str) -> Role:
        stack.sql("UPDATE platform.desired_workers SET workers = CASE WHEN queue = ANY(%s) THEN %s ELSE 0 END, pinned = true",
                  list(queues or (QUEUE,)), workers)
        role = stack.roles["worker"] = Role(stack.dir, build, "worker", stack.conf, {"ASAN_OPTIONS": SANITIZER, **settings})
        started.append(role)
        role.start()
        return role

    yield start
    for role in started:
        assert role.stop()


def poison(how: str, journal: bool = False, after_ms: int = 0) -> dict:
    """after_ms: not at once, but in a callback of a later turn of the loop."""
    return {"type": "demo.crash_journal" if journal else "demo.crash", "payload": {"how": how, "after": after_ms}, "key": new_key()}


def tallies(count: int, ms: int) -> list[dict]:
    return [{"type": "demo.tally", "payload": {"ms": ms}, "key": new_key()} for _ in range(count)]


def groups(job: dict) -> set[str]:
    """Those of the dead that it may be in."""
    return {f"{job['type']}: crashed: {re.sub('[0-9]+', '#', name)} in # lone runs" for name in SIGNATURES[job["payload"]["how"]]}


def dead(stack) -> dict[str, str]:
    """Job → the group it died in."""
    return dict(stack.sql("SELECT id::text, fingerprint FROM platform.dead_job"))


def lone_crashes(role: Role, since: int) -> int:
    return sum(line["quarantine"] and line["crash"] != "" for line in log_lines(role.log, "worker.exited", since))


def begun(stack, ids: list[str]) -> dict[str, int]:
    return dict(stack.sql("SELECT root_id::text, count(*) FROM custom.note WHERE root_id = ANY(%s::uuid[]) GROUP BY 1", ids))


full_only = pytest.mark.skipif(not FULL, reason="each of them dies beside others in the short form; ops/test integration --full")


@full_only
@pytest.mark.parametrize("how,journal,after_ms", [("abort", True, 200), ("exit", False, 0), ("stack", False, 0)])
def test_poison__then_dead_after_three_lone_crashes_with_its_signature(stack, client, supervise, how, journal, after_ms):
    role = supervise(1)
    since = log_size(role.log)
    made = poison(how, journal, after_ms)
    (job,) = enqueue_all(client, [made])
    assert ports.wait_until(lambda: job in dead(stack), END_S)
    assert dead(stack)[job] in groups(made)
    crashes = [line for line in log_lines(role.log, "worker.exited", since) if line["crash"]]
    assert [line["quarantine"] for line in crashes] == [False] + [True] * LONE_CRASHES
    assert {line["crash"] for line in crashes} <= SIGNATURES[how]
    assert stack.is_empty(QUEUE) and stack.redis_client().hlen(f"{SHARD}:c") == 0


def data_limit(pid: int) -> str:
    return re.search(r"^Max data size +(\S+)", Path(f"/proc/{pid}/limits").read_text(encoding="utf-8"), re.M)[1]


def test_poison__that_takes_all_memory_then_it_meets_the_limit_of_its_process(stack, client, supervise):
    role = supervise(1, build=PLAIN_BUILD, PENSTOCK_WORKER_MEMORY_MB="64")
    since = log_size(role.log)
    assert ports.wait_until(lambda: [data_limit(pid) for pid in children_of(role.pid)] == [str(64 << 20)], END_S)
    ids = enqueue_all(client, [poison("memory"), *tallies(20 if FULL else 5, 500)])
    assert ports.wait_until(lambda: ids[0] in dead(stack) and stack.is_empty(QUEUE), END_S)
    assert dead(stack)[ids[0]] in groups(poison("memory")) and not set(ids[1:]) & set(dead(stack))
    crashes = [line for line in log_lines(role.log, "worker.exited", since) if line["crash"]]
    assert [line["quarantine"] for line in crashes] == [False] + [True] * LONE_CRASHES
    assert {line["crash"] for line in crashes} == {"SIGABRT"} and stack.redis_client().hlen(f"{SHARD}:c") == 0


def test_poison__that_spins_then_its_process_is_ended_and_it_can_be_cancelled(stack, client, supervise):
    role = supervise(1)
    since = log_size(role.log)
    (job,) = enqueue_all(client, [poison("spin")])
    assert ports.wait_until(lambda: processes_of(stack, role, QUEUE), END_S)
    assert client.delete(f"/v1/jobs/{job}").status_code == 202
    assert ports.wait_until(lambda: stack.is_empty(QUEUE), END_S)
    (crash,) = {line["crash"] for line in log_lines(role.log, "worker.exited", since)} - {""}
    assert crash in SIGNATURES["spin"] and stack.redis_client().hlen(f"{SHARD}:c") == 0
    assert job not in dead(stack)


@pytest.mark.parametrize("journal", [True, False] if FULL else [True])
def test_job__always_out_of_memory_then_dead_after_three_lone_runs(stack, client, supervise, journal):
    role = supervise(1)
    since = log_size(role.log)
    made = poison("nomem", journal)
    (job,) = enqueue_all(client, [made])
    assert ports.wait_until(lambda: job in dead(stack), END_S)
    assert dead(stack)[job] in groups(made)
    runs = [line for line in log_lines(role.log, "job.attempt", since) if line["job"] == job]
    assert len(runs) == 1 + LONE_CRASHES and {line["attempt"] for line in runs} == {1}
    assert {line["crash"] for line in log_lines(role.log, "worker.exited", since)} <= {""}
    assert stack.is_empty(QUEUE) and stack.redis_client().hlen(f"{SHARD}:c") == 0


def test_poison__one_in_a_hundred_then_it_alone_is_dead_and_the_others_go_on(stack, client, supervise):
    role = supervise(4)
    since = log_size(role.log)
    hows = ["stack", "exit", "nomem", "abort", *(["spin", "stack", "memory", "abort"] if FULL else [])]
    bad = [poison(how, journal=n % 2 == 1, after_ms=100 * (n // 4)) for n, how in enumerate(hows)]
    producer = Producer(client, 20, ("demo.note", "demo.tally"))
    producer.start()
    poisoned = []
    for job in bad:
        assert not ports.wait_until(lambda: False, 2.5 if FULL else 1)  # spread over the load
        poisoned += enqueue_all(client, [job])
    producer.stop()
    accepted = len(producer.accepted)
    settled = accepted - stack.redis_client().xlen(f"{SHARD}:s")
    print(f"{accepted} healthy jobs beside {len(bad)} poisoned ones; when the load ended {100 * settled // accepted} % were done")
    assert settled >= 0.8 * accepted
    assert ports.wait_until(lambda: set(poisoned) <= set(dead(stack)), END_S)
    assert ports.wait_until(lambda: stack.is_empty(QUEUE), END_S)
    found = dead(stack)
    for made, job in zip(bad, poisoned):
        assert found[job] in groups(made)
    assert not set(found) & {job for _, job in producer.accepted}
    crashes = [line for line in log_lines(role.log, "worker.exited", since) if line["crash"]]
    assert sum(line["alone"] for line in log_lines(role.log, "worker.reaped", since)) <= len(crashes)  # of none of them a neighbour is suspected
    lone = lone_crashes(role, since)
    spins = hows.count("spin")
    assert LONE_CRASHES * (len(bad) - 1 - spins) <= lone <= LONE_CRASHES * (len(bad) - 1)  # nomem ends none; of spin the lease may end first
    assert set(begun(stack, producer.ids("demo.tally"))) == set(producer.ids("demo.tally"))
    keys = producer.keys("demo.note")
    notes = "SELECT count(*), count(DISTINCT text) FROM custom.note WHERE text = ANY(%s)"
    assert stack.sql(notes, keys) == [(len(keys), len(keys))]
    series = [f'penstock_quarantined_total{{[^}}]*queue="{QUEUE}"', f'penstock_worker_crashes_total{{[^}}]*queue="{QUEUE}",signature="SIGABRT"']
    assert ports.wait_until(lambda: all(re.search(s, client.get("/metrics").text) for s in series), 5)


def test_handler__that_never_ends_then_it_meets_its_timeout(stack, client, supervise):
    role = supervise(1)
    since = log_size(role.log)
    (job,) = enqueue_all(client, [poison("hang", journal=True)])
    assert ports.wait_until(lambda: job in dead(stack), END_S)
    assert dead(stack)[job].startswith("demo.crash_journal: timeout: ")
    ended = [line for line in log_lines(role.log, "job.attempt", since) if line["job"] == job]
    assert {(line["attempt"], line["outcome"], line["error"]) for line in ended} == {(1, "retry", "timeout"), (2, "dead", "timeout")}
    assert {line["crash"] for line in log_lines(role.log, "worker.exited", since)} == {""}


def test_rolling_restart__under_load_then_no_innocent_is_suspected(stack, client, supervise):
    ids = enqueue_all(client, tallies(400, 300))
    for _ in range(3):
        role = supervise(2)
        since = log_size(role.log)
        assert ports.wait_until(lambda before=len(begun(stack, ids)): len(begun(stack, ids)) > before, END_S)
        assert role.stop() and role.exit_code() == 0
        assert [line["crash"] for line in log_lines(role.log, "worker.exited", since)] == ["", ""]
        assert stack.redis_client().hlen(f"{SHARD}:c") == 0
    supervise(2)
    assert ports.wait_until(lambda: stack.is_empty(QUEUE), END_S)
    assert set(begun(stack, ids)) == set(ids) and not set(ids) & set(dead(stack))


def test_rolling_restart__in_a_lone_run_then_it_is_not_counted(stack, client, supervise):
    (job,) = enqueue_all(client, tallies(1, 4 * DRAIN_MS))
    for n in range(LONE_CRASHES + 1 if FULL else 1):
        role = supervise(1)
        assert ports.wait_until(lambda before=n + 2 if n else 0: begun(stack, [job]).get(job, 0) > before, END_S)
        for times in (2, 3) if n == 0 else ():
            (victim,) = children_of(role.pid)
            os.kill(victim, signal.SIGABRT)
            assert ports.wait_until(lambda: begun(stack, [job])[job] == times, END_S)
        assert stack.redis_client().hvals(f"{SHARD}:c") == [b"1 SIGABRT"]
        assert role.stop() and role.exit_code() == 0  # its drain is shorter than the job
        assert stack.redis_client().hvals(f"{SHARD}:c") == [b"0 SIGABRT"]
    supervise(1)
    assert ports.wait_until(lambda: stack.is_empty(QUEUE), END_S)
    assert job not in dead(stack) and stack.redis_client().hlen(f"{SHARD}:c") == 0


def end(pids: list[int], how: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it was quicker
            os.kill(pid, how)


def name_of(pid: int) -> str:
    """The middle of its consumer's name: queue and slot."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
    except FileNotFoundError:
        return ""
    named = dict(zip(words, words[1:]))
    return f"{named.get('--queue')}-{'q' if '--quarantine' in words else ''}{named.get('--slot')}"


def processes_of(stack, role: Role, queue: str) -> list[int]:
    """Those that hold an entry."""
    held = stack.redis_client().xpending_range(f"pen:{{{queue}:0}}:s", "g", "-", "+", 100)
    holders = {row["consumer"].decode().split(":")[1] for row in held if row["consumer"].count(b":") == 2}
    return [pid for pid in children_of(role.pid) if name_of(pid) in holders]


def test_innocent__killed_from_outside_wherever_it_runs_then_it_does_not_die(stack, client, supervise):
    """By SIGKILL: twice beside others, then in lone runs, which do not count."""
    role = supervise(1)
    since = log_size(role.log)
    (job,) = enqueue_all(client, tallies(1, 2000))
    kills = 2 + (LONE_CRASHES + 1 if FULL else 1)
    for n in range(kills):
        assert ports.wait_until(lambda before=n: begun(stack, [job]).get(job, 0) > before and processes_of(stack, role, QUEUE), END_S)
        assert stack.redis_client().hvals(f"{SHARD}:c") == ([b"1 SIGKILL"] if n >= 2 else [])
        end(processes_of(stack, role, QUEUE), signal.SIGKILL)
    assert ports.wait_until(lambda: stack.is_empty(QUEUE), END_S)
    crashes = [line for line in log_lines(role.log, "worker.exited", since) if line["crash"]]
    assert [(line["crash"], line["quarantine"]) for line in crashes] == [("SIGKILL", False)] * 2 + [("SIGKILL", True)] * (kills - 2)
    assert job not in dead(stack) and stack.redis_client().hlen(f"{SHARD}:c") == 0


def test_machine__killed_in_the_middle_again_and_again_then_no_innocent_dies(stack, client, supervise):
    """Supervisor and all its processes, by SIGKILL: whatever they ran is run again, by and by alone."""
    ids = enqueue_all(client, tallies(200 if FULL else 40, 100))

    def runs() -> int:
        return sum(begun(stack, ids).values())

    for _ in range(2 if FULL else 1):
        role = supervise(2)
        assert ports.wait_until(lambda before=runs(): runs() > before, END_S)
        role.kill9()
        time.sleep(LEASE_MS / 1000)  # so that the next takes it over
    supervise(2)
    assert ports.wait_until(lambda: stack.is_empty(QUEUE), END_S)
    assert set(begun(stack, ids)) == set(ids) and not set(ids) & set(dead(stack))
    print(f"runs of {len(ids)} jobs: {runs()}")


def test_machine__killed_with_slow_jobs_then_the_next_takes_one_and_then_more_at_a_time(stack, client, supervise):
    jobs, run_s = 16, 0.6
    ids = enqueue_all(client, tallies(jobs, int(1000 * run_s)))
    role = supervise(1)
    assert ports.wait_until(lambda: len(begun(stack, ids)) == jobs, END_S)  # by one process, at once
    role.kill9()
    supervise(1)
    assert ports.wait_until(lambda: stack.is_empty(QUEUE), END_S)
    at = [float(at) for at, in stack.sql("SELECT extract(epoch FROM at) FROM custom.note WHERE root_id = ANY(%s::uuid[]) ORDER BY at OFFSET %s", ids, jobs)]
    at_once = [sum(t - run_s < other <= t for other in at) for t in at]
    assert len(at) == jobs and at_once[0] == 1 and at[1] >= at[0] + run_s and max(at_once) >= jobs // 4, at_once
    assert not set(ids) & set(dead(stack))


def crash_whoever_runs(stack, role: Role, queue: str) -> None:
    end(processes_of(stack, role, queue), signal.SIGABRT)


@full_only
def test_payment__its_jobs_crash_after_it_was_sent_then_somebody_asks_until_it_is_known(stack, client, supervise):
    role = supervise(1, "orders", "payments")
    placed = client.post("/v1/orders", order(), new_key())
    assert placed.status_code == 201, placed.text
    payment = placed.json()["payment_id"]

    def state() -> str:
        return (stack.sql("SELECT state FROM payments.payment_op WHERE payment_id = %s AND kind = 'capture'", payment) or [("",)])[0][0]

    def crashes_until(what) -> bool:
        return ports.wait_until(lambda: what() or crash_whoever_runs(stack, role, "payments"), END_S)

    since = log_size(role.log)
    os.kill(stack.sim.pid, signal.SIGSTOP)  # whoever calls waits
    try:
        made = client.post(f"/v1/payments/{payment}/capture", None, new_key(), headers={"Prefer": "respond-async"})
        assert made.status_code == 202, made.text
        assert ports.wait_until(lambda: state() == "sent", END_S)
        assert crashes_until(lambda: made.json()["id"] in dead(stack))
        assert dead(stack)[made.json()["id"]] == "payment.capture: crashed: SIGABRT in # lone runs"
        assert state() in ("sent", "unknown")
        assert crashes_until(lambda: log_lines(role.log, "job.crashes", since))
        (crashed,) = log_lines(role.log, "job.crashes", since)
    finally:
        os.kill(stack.sim.pid, signal.SIGCONT)
    assert crashed["type"] == "payment.sync" and crashed["job"] not in dead(stack)
    r, delayed = stack.redis_client(), "pen:{payments:0}:d"
    job = uuid.UUID(crashed["job"]).bytes
    assert ports.wait_until(lambda: r.zscore(delayed, job) is not None, END_S)
    assert r.zscore(delayed, job) > (time.time() + 60) * 1000  # seldom
    r.zadd(delayed, {job: 1})
    assert ports.wait_until(lambda: state() not in ("sent", "unknown"), END_S)
    assert ports.wait_until(lambda: client.job(crashed["job"])["state"] == "done", END_S)
    assert ports.wait_until(lambda: r.hlen("pen:{payments:0}:c") == 0, END_S)


def test_order__its_job_crashes_while_the_payment_is_sent_then_it_is_dead_and_somebody_asks(stack, client, supervise):
    role = supervise(1, "orders", "payments")
    os.kill(stack.sim.pid, signal.SIGSTOP)  # whoever calls waits
    try:
        made = client.post("/v1/orders", order(), new_key(), headers={"Prefer": "respond-async"})
        assert made.status_code == 202, made.text
        job = made.json()["id"]
        ops = "SELECT state FROM payments.payment_op o JOIN payments.payment p ON p.id = o.payment_id WHERE p.order_id = %s"
        syncs = "SELECT state FROM platform.job WHERE type = 'payment.sync' AND created_at > (SELECT created_at FROM platform.job WHERE id = %s)"
        assert ports.wait_until(lambda: stack.sql(ops, job) == [("sent",)], END_S)
        assert ports.wait_until(lambda: job in dead(stack) or crash_whoever_runs(stack, role, "orders"), END_S)
        assert dead(stack)[job] == "order.place: crashed: SIGABRT in # lone runs"
        assert stack.sql(ops, job) == [("unknown",)]
    finally:
        os.kill(stack.sim.pid, signal.SIGCONT)
    assert ports.wait_until(lambda: stack.sql(syncs, job) == [("done",)], END_S)
    assert stack.sql(ops, job)[0][0] not in ("sent", "unknown")
