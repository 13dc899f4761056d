"""Suspects: counted before each lone run, whoever dies; taken by nobody who runs them beside others; innocent once they came to an end."""
import pytest

from shard import Shard, header, new_job
from test_upkeep import age, depth_is, let_sweep

LEASE_MS = 10000


@pytest.fixture
def shard(admin):
    s = Shard(admin)
    s.begin()
    return s


def claimed(shard: Shard, n: int) -> tuple[list[bytes], list[bytes]]:
    jobs = [new_job() for _ in range(n)]
    for job in jobs:
        shard.enqueue(job)
    return jobs, shard.claim("c1")


def noted(shard: Shard, job: bytes) -> bytes | None:
    return shard.r.hget(shard.key("c"), job)


def alone(shard: Shard, consumer: str) -> tuple[list[bytes], int, bytes]:
    entries, runs, why = shard.call("lone", consumer)
    return [e[0] for e in entries], runs, why


def test_suspects_wait_for_a_lone_run_and_for_nothing_else(shard):
    jobs, ids = claimed(shard, 2)
    assert shard.call("suspect", "c1", "SIGSEGV", *ids) == []
    assert shard.pending("quarantine") == ids
    assert [noted(shard, job) for job in jobs] == [b"0 SIGSEGV"] * 2
    age(shard, ids, 20000, "quarantine")
    assert shard.call("sweep", "c2", 10, LEASE_MS) == [[], 0]
    assert shard.call("sweep", "c2", 10, 0) == [[], 0]
    assert shard.pending("quarantine") == ids
    depth_is(shard, entries=2, pending=2, back=0)
    assert shard.call("collect", 0) > 0 and b"quarantine" in [c["name"] for c in shard.r.xinfo_consumers(shard.key("s"), "g")]


def test_a_lone_run_is_counted_before_it_and_the_last_death_is_told(shard):
    (job,), ids = claimed(shard, 1)
    shard.call("suspect", "c1", "SIGSEGV", *ids)
    for n, why in enumerate((b"SIGSEGV", b"SIGABRT", b"hung")):
        assert alone(shard, f"q{n}") == (ids, n, why)
        assert noted(shard, job) == b"%d %s" % (n + 1, why)
        died = (b"SIGABRT", b"hung", b"exit 3")[n]
        assert shard.call("suspect", f"q{n}", died, *ids) == []
        assert noted(shard, job) == b"%d %s" % (n + 1, died)
    assert alone(shard, "q3") == (ids, 3, b"exit 3")
    assert alone(shard, "q4") == ([], 0, b"")
    assert 0 < shard.r.pttl(shard.key("c")) <= 24 * 3600 * 1000


def test_a_lone_run_whose_answer_was_lost_is_counted_once(shard):
    (job, _), ids = claimed(shard, 2)
    shard.call("suspect", "c1", "SIGSEGV", *ids)
    assert alone(shard, "q0") == ([ids[0]], 0, b"SIGSEGV")
    assert alone(shard, "q0") == ([ids[0]], 0, b"SIGSEGV")
    assert noted(shard, job) == b"1 SIGSEGV"


def test_a_lone_run_that_was_not_brought_to_an_end_is_not_counted(shard):
    (job,), ids = claimed(shard, 1)
    shard.call("suspect", "c1", "SIGSEGV", *ids)
    alone(shard, "q0")
    assert shard.call("suspect", "q0", "", *ids) == []
    assert shard.call("suspect", "q0", "", *ids) == ids  # said again
    assert noted(shard, job) == b"0 SIGSEGV"
    assert alone(shard, "q1") == (ids, 0, b"SIGSEGV")


def test_a_lone_run_whose_supervisor_died_too_stays_counted_and_comes_back_to_quarantine(shard):
    (job,), ids = claimed(shard, 1)
    shard.call("suspect", "c1", "SIGSEGV", *ids)
    alone(shard, "q0")
    age(shard, ids, 20000, "q0")
    assert shard.call("sweep", "c2", 10, LEASE_MS) == [[], 0]
    assert alone(shard, "q1") == (ids, 1, b"SIGSEGV")
    assert noted(shard, job) == b"2 SIGSEGV"


def test_what_another_consumer_holds_is_not_suspected(shard):
    (job,), ids = claimed(shard, 1)
    assert shard.call("suspect", "c9", "SIGSEGV", *ids) == ids
    assert noted(shard, job) is None
    shard.settle(ids)
    assert shard.call("suspect", "c1", "SIGSEGV", *ids) == ids


def test_what_is_reclaimed_once_runs_and_twice_is_to_run_alone(shard):
    """Machines died: nobody saw of what. The second time it is a suspect, without a count."""
    (job, _), ids = claimed(shard, 2)
    age(shard, ids[:1], 20000)
    assert [e[0] for e in shard.call("sweep", "c2", 10, LEASE_MS)[0]] == ids[:1]
    let_sweep(shard)
    age(shard, ids[:1], 20000, "c2")
    assert shard.call("sweep", "c3", 10, LEASE_MS) == [[], 0]
    assert noted(shard, job) == b"0 lost"
    assert alone(shard, "q0") == (ids[:1], 0, b"lost")


def test_handing_back_is_no_sign_of_guilt(shard):
    """A rolling restart, whatever its length, and then a machine that dies."""
    (job,), ids = claimed(shard, 1)
    holder = "c1"
    for n in range(5):
        shard.call("hand_back", "q", holder, 0, *ids)
        holder = f"r{n}"
        assert [e[0] for e in shard.call("sweep", holder, 10, 0)[0]] == ids
    age(shard, ids, 20000, holder)
    assert [e[0] for e in shard.call("sweep", "c2", 10, LEASE_MS)[0]] == ids
    assert noted(shard, job) is None


def deliveries(shard: Shard, consumer: str) -> list[int]:
    return [row["times_delivered"] for row in shard.r.xpending_range(shard.key("s"), "g", "-", "+", 1000, consumer)]


def test_a_delivery_counts_when_the_consumer_died_and_not_when_it_gave_the_entry_back(shard):
    jobs, ids = claimed(shard, 2)
    assert shard.call("hand_back", "q", "c1", 1, ids[0]) == []
    assert shard.call("hand_back", "q", "c1", 0, ids[1]) == []
    assert [e[0] for e in shard.call("sweep", "c2", 10, 0)[0]] == ids
    assert deliveries(shard, "c2") == [2, 1]
    for holder, died, next_one in (("c2", 0, "c3"), ("c3", 0, "c4"), ("c4", 1, "c5")):
        assert shard.call("hand_back", "q", holder, died, *ids) == []
        shard.call("sweep", next_one, 10, 0)
    assert deliveries(shard, "c5") == [3, 2]
    assert [noted(shard, job) for job in jobs] == [None, None]
    assert shard.call("retry", "c5", ids[0], 0, header(jobs[0])) == []  # it ended: nothing is left of it
    shard.call("promote", 10)
    shard.claim("c6")
    assert deliveries(shard, "c6") == [1]


def test_a_crash_and_a_silent_machine_make_two(shard):
    (job,), ids = claimed(shard, 1)
    shard.call("hand_back", "q", "c1", 1, *ids)
    shard.call("sweep", "c2", 10, 0)
    age(shard, ids, 20000, "c2")
    assert shard.call("sweep", "c3", 10, LEASE_MS) == [[], 0]
    assert noted(shard, job) == b"0 lost"


def test_a_sweep_looks_behind_the_suspects(shard):
    jobs, ids = claimed(shard, 90)
    shard.call("suspect", "c1", "SIGSEGV", *ids[:89])
    age(shard, ids[:89], 20000, "quarantine")
    age(shard, ids[89:], 20000)
    assert [e[0] for e in shard.call("sweep", "c2", 1, LEASE_MS)[0]] == ids[89:]
    assert len(shard.pending("quarantine")) == 89


def test_a_suspect_that_nobody_can_read_is_run_alone_too(shard):
    shard.r.xadd(shard.key("s"), {"x": "y"})
    ids = shard.claim("c1")
    assert shard.call("suspect", "c1", "SIGSEGV", *ids) == []
    assert alone(shard, "q0") == (ids, 0, b"SIGSEGV")
    [job] = shard.r.hkeys(shard.key("c"))
    assert len(job) == 16


def test_a_suspect_that_was_deleted_is_forgotten(shard):
    jobs, ids = claimed(shard, 2)
    shard.call("suspect", "c1", "SIGSEGV", *ids)
    shard.r.xdel(shard.key("s"), ids[0])  # a settle torn before its XACK
    shard.r.hincrby(shard.key("n"), "base", -1)
    assert alone(shard, "q0") == ([], 0, b"")
    assert alone(shard, "q0") == ([ids[1]], 0, b"SIGSEGV")
    assert shard.call("retry", "q0", ids[1], 1000, header(jobs[1])) == []
    assert shard.r.hdel(shard.key("c"), *jobs) == 2
    depth_is(shard, entries=0, pending=0, delayed=1)
