"""The Python client against a real Redis, with no more rights than the roles have: the page says enough."""
import re

import pytest
import redis

from conftest import ROOT
from penstock_client import ACCEPTED, FULL, KNOWN, OTHER_BODY, Client, Header, Undecodable, new_job_id, pick_shard
from shard import Shard
from test_acl import log_in, selectors

PAGE = (ROOT / "queues" / "PROTOCOL.md").read_text(encoding="utf-8")


@pytest.fixture
def shard(admin):
    s = Shard(admin, "demo")
    s.begin()
    return s


@pytest.fixture
def producer(admin, shard):
    yield Client(log_in(admin, "api", selectors("api")), "demo", 3)
    admin.acl_deluser("api")


@pytest.fixture
def workers(admin, shard):
    r = log_in(admin, "worker", selectors("worker"))
    yield [Client(r, "demo", 3, slot=i) for i in range(2)]
    admin.acl_deluser("worker")


@pytest.fixture
def scheduler(admin, shard):
    yield Client(log_in(admin, "scheduler", selectors("scheduler")), "demo", 3)
    admin.acl_deluser("scheduler")


def dump_of_the_page() -> bytes:
    return bytes.fromhex("".join(re.findall(r"^    00[0-7]0  ([0-9a-f ]+?)  +\|", PAGE, re.M)))


def test_the_example_of_the_page_decodes_and_encodes():
    h = Header.decode(dump_of_the_page())
    assert (h.tenant, h.type, h.attempt, h.generation, h.schema_version) == ("acme", "demo.echo", 3, 1, 2)
    assert (h.deadline_ms, h.errors) == (1730406083291, b'["timeout"]')
    assert h.id.hex() == "0192e43c807b7123a018801122334455" and h.root.hex() == "0192e43c7c007001a01880aabbccddee"
    assert h.encode() == dump_of_the_page()
    assert new_job_id(3, 1)[8:10] == h.id[8:10] and new_job_id(3, 1)[10] & 0x80
    assert pick_shard(16, b"acme", b"order-1") == 5
    for n in range(len(h.encode()) - len(h.errors)):
        with pytest.raises(Undecodable):
            Header.decode(h.encode()[:n])


def test_the_bytes_of_the_page_are_those_of_the_c_test():
    c = (ROOT / "tests" / "unit" / "queues" / "test_envelope.c").read_text(encoding="utf-8")
    golden = c[c.index("golden[] = {") : c.index("};")]
    assert bytes(int(x, 16) for x in re.findall(r"0x([0-9a-f]{2})\b", golden)) == dump_of_the_page()


def test_from_enqueue_to_settle_with_a_retry_between(shard, producer, workers, scheduler):
    entered = producer.enqueue("demo.echo", b'{"n":1}', key="order-1")
    assert entered.verdict == ACCEPTED
    assert producer.enqueue("demo.echo", b'{"n":1}', key="order-1") == type(entered)(KNOWN, entered.id)
    assert producer.enqueue("demo.echo", b'{"n":2}', key="order-1").verdict == OTHER_BODY
    assert producer.enqueue("demo.echo", b'{"n":3}', depth_limit=1).verdict == FULL

    [entry] = workers[0].claim()
    assert (entry.job.id, entry.payload, entry.job.attempt) == (entered.id, b'{"n":1}', 0)
    assert workers[0].renew() == ([], [])
    workers[0].start(entry)
    entry.started_ms -= 5000
    assert workers[0].renew() == ([], [])
    assert producer.find(entered.id) == ("running", entry.started_ms, b"")
    assert workers[0].retry(entry, 1, "no answer") is True
    assert producer.find(entered.id)[0] == "delayed"
    assert producer.depth() == {"waiting": 0, "running": 0, "delayed": 1, "parked": 0, "dead": 0, "gap": 0}

    while scheduler.promote() == 0:
        pass
    [again] = workers[1].claim()
    assert (again.job.attempt, again.job.errors, again.payload) == (1, b'["no answer"]', b'{"n":1}')
    workers[1].settle(again, outcomes={again.job.id: b"done 200 {}"})
    assert producer.find(entered.id) == ("ended", 0, b"done 200 {}")
    assert producer.depth() == {"waiting": 0, "running": 0, "delayed": 0, "parked": 0, "dead": 0, "gap": 0}


def test_a_worker_that_lost_its_lease_cannot_end_the_job(shard, producer, workers):
    producer.enqueue("demo.echo", b"{}")
    [entry] = workers[0].claim()
    shard.r.xclaim(shard.key("s"), "g", workers[0].consumer, 0, [entry.id], idle=20000, justid=True)  # it slept for 20 s
    [taken] = workers[1].sweep()
    assert taken.id == entry.id
    assert workers[0].retry(entry, 0, "late") is False
    workers[0].held[entry.id] = entry
    assert workers[0].renew() == ([entry], [])
    workers[1].settle(taken)
    assert shard.depth()["gap"] == 0 and shard.depth()["entries"] == 0


def test_what_is_handed_back_is_taken_by_another(producer, workers):
    jobs = {producer.enqueue("demo.echo", b"{}").id for _ in range(3)}
    entries = workers[0].claim(10)
    assert workers[0].hand_back(*entries) == []
    assert {e.job.id for e in workers[1].sweep(lease_ms=0)} == jobs


def test_cancelled_expired_and_unreadable_entries_are_ended_before_they_run(shard, producer, workers):
    shard.steady_hour()
    cancelled = producer.enqueue("demo.echo", b"{}").id
    producer.enqueue("demo.echo", b"{}", deadline_ms=1)
    shard.r.xadd(shard.key("s"), {"h": b"\x02", "p": b"x"})
    wanted = producer.enqueue("demo.echo", b"{}").id
    delayed = producer.enqueue("demo.echo", b"{}", due_ms=shard.now() + 100000).id
    assert producer.cancel(cancelled) is False
    assert producer.cancel(delayed) is True
    assert [e.job.id for e in workers[0].claim(10)] == [wanted]
    n = shard.depth()["n"]
    assert (n["cancelled"], n["expired"], n["dead"]) == (2, 1, 1)
    assert shard.depth()["gap"] == -1  # the foreign entry was never put in by a Function
    [value] = shard.r.hvals(shard.key("dead"))
    assert b'"fingerprint": "undecodable"' in value


def test_a_parked_job_waits_for_a_worker_that_knows_it(shard, producer, workers):
    job = producer.enqueue("demo.echo", b"{}").id
    [entry] = workers[0].claim()
    assert workers[0].park(entry) == []
    assert producer.find(job)[0] == "parked"
    assert shard.call("unpark", "", 10, 2, "demo.note", 1) == [b"", 0]
    assert shard.call("unpark", "", 10, 2, "demo.echo", 1) == [b"", 1]
    assert [e.job.id for e in workers[1].claim()] == [job]


def test_the_keys_of_the_page_are_those_of_the_code():
    """Every row of functions.def stands on the page with the same keys in the same order."""
    from shard import FUNCTIONS

    for name, (_, keys) in FUNCTIONS.items():
        if name == "walk":  # takes one of three
            continue
        where = PAGE.index(f"**`pen_{name}`**")
        found = re.search(r"KEYS `([^`]*)`", PAGE[where:])
        assert found.group(1).split() == [f":{k}" for k in keys], name
    library = "".join(f.read_text(encoding="utf-8") for f in (ROOT / "queues" / "lua").glob("*.lua"))
    assert set(re.findall(r"define\{'(\w+)'", library)) == set(FUNCTIONS)


def test_a_full_redis_is_told_apart(admin, producer):
    admin.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.OutOfMemoryError):
            producer.enqueue("demo.echo", b"{}")
    finally:
        admin.config_set("maxmemory", "512mb")
