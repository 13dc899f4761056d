"""What keeps a shard in order: hand-back, sweep, mending, cancelling, epochs, walking; and a model that counts along."""
import random
import time

import pytest
import redis

from conftest import library
from shard import HOUR_MS, Shard, header, header_1, home, new_job

MINUTE = 60000


@pytest.fixture
def shard(admin):
    s = Shard(admin)
    s.begin()
    return s


def depth_is(shard: Shard, **expected) -> None:
    d = shard.depth()
    assert d["gap"] == 0, d
    assert {k: d[k] for k in expected} == expected


def enqueue(shard: Shard, n: int) -> list[bytes]:
    jobs = [new_job() for _ in range(n)]
    for job in jobs:
        assert shard.enqueue(job)[0] == 1
    return jobs


def age(shard: Shard, ids: list[bytes], ms: int, consumer: str = "c1") -> None:
    """As if nobody had renewed them for ms."""
    shard.r.xclaim(shard.key("s"), "g", consumer, 0, ids, idle=ms, justid=True)


def let_sweep(shard: Shard) -> None:
    """As if a second had passed."""
    shard.r.hset(shard.key("l"), "until", 0)


# Hand-back and sweep


def test_what_is_handed_back_wakes_somebody_who_takes_it(shard):
    listener = shard.r.pubsub(ignore_subscribe_messages=True)
    listener.subscribe("pen:wake")
    listener.get_message(timeout=5)
    enqueue(shard, 3)
    ids = shard.claim("c1")
    assert shard.call("hand_back", "q", "c1", 0, *ids[:2]) == []
    assert listener.get_message(timeout=5)["data"] == b"q"
    assert shard.call("hand_back", "q", "c1", 0, ids[0]) == [ids[0]]
    assert listener.get_message(timeout=0.05) is None  # nothing to wake up for
    depth_is(shard, entries=3, pending=3, back=2)
    entries, orphans = shard.call("sweep", "c2", 1, 0)
    assert ([e[0] for e in entries], orphans) == ([ids[0]], 0)
    assert entries[0][1][0] == b"h" and entries[0][1][3].startswith(b"payload of ")
    assert [e[0] for e in shard.call("sweep", "c2", 10, 0)[0]] == [ids[1]]
    assert shard.call("sweep", "c2", 10, 0) == [[], 0]
    assert shard.pending("c1") == [ids[2]] and shard.pending("c2") == ids[:2]
    listener.close()


def test_a_sweep_takes_what_was_not_renewed_and_only_that(shard):
    enqueue(shard, 4)
    old, fresh = shard.claim("c1", 2), shard.claim("c2", 2)
    age(shard, old, 20000)
    assert shard.call("sweep", "c3", 10, 0) == [[], 0]  # without a lease nobody is robbed
    assert [e[0] for e in shard.call("sweep", "c3", 10, 10000)[0]] == old
    assert shard.pending("c2") == fresh


def test_one_sweep_a_second_for_all(shard):
    enqueue(shard, 2)
    ids = shard.claim("c1")
    age(shard, ids[:1], 20000)
    assert len(shard.call("sweep", "c2", 10, 10000)[0]) == 1
    age(shard, ids[1:], 20000)
    assert shard.call("sweep", "c3", 10, 10000) == [[], 0]
    until = int(shard.r.hget(shard.key("l"), "until"))
    assert 0 < until - shard.now() <= 1000
    let_sweep(shard)
    assert len(shard.call("sweep", "c3", 10, 10000)[0]) == 1


def test_after_a_full_sweep_anybody_goes_on(shard):
    enqueue(shard, 3)
    age(shard, shard.claim("c1"), 20000)
    assert [len(shard.call("sweep", c, 1, 10000)[0]) for c in ("c2", "c3", "c2", "c3")] == [1, 1, 1, 0]


def test_after_a_silence_holders_come_first(shard):
    enqueue(shard, 1)
    old = shard.claim("c1")
    age(shard, old, 20000)
    shard.r.hset(shard.key("l"), "at", shard.now() - 6000)  # Redis was away: nobody could renew
    assert shard.call("sweep", "c2", 10, 10000) == [[], 0]
    assert 3000 < int(shard.r.hget(shard.key("l"), "until")) - shard.now() <= 4000
    let_sweep(shard)
    assert [e[0] for e in shard.call("sweep", "c2", 10, 10000)[0]] == old


def test_a_sweep_lock_from_the_future_is_ignored(shard):
    enqueue(shard, 1)
    age(shard, shard.claim("c1"), 20000)
    shard.r.hset(shard.key("l"), "until", shard.now() + HOUR_MS)  # the clock went back
    assert len(shard.call("sweep", "c2", 10, 10000)[0]) == 1


def test_a_sweep_with_little_room_finds_the_one_behind_many(shard):
    enqueue(shard, 3000)
    ids = shard.claim("c1", 3000)
    age(shard, [ids[-1]], 20000)
    assert shard.call("sweep", "c2", 1, 10000) == [[], 0]  # looked at the first 2000
    assert shard.r.hget(shard.key("l"), "cursor") == ids[2000]
    let_sweep(shard)
    assert [e[0] for e in shard.call("sweep", "c2", 1, 10000)[0]] == [ids[-1]]


def test_a_sweep_drops_what_was_deleted_but_not_acknowledged(shard):
    enqueue(shard, 4)
    ids = shard.claim("c1")
    shard.call("hand_back", "q", "c1", 0, ids[0])
    shard.r.xdel(shard.key("s"), ids[0], ids[1])  # a settle torn before its XACK
    shard.r.hincrby(shard.key("n"), "base", -2)
    age(shard, [ids[2]], 20000)
    entries, orphans = shard.call("sweep", "c2", 10, 10000)
    assert ([e[0] for e in entries], orphans) == ([ids[2]], 2)
    depth_is(shard, entries=2, pending=2, back=0)


def test_an_entry_deleted_before_the_epoch_is_not_counted_when_it_is_settled_again(shard):
    enqueue(shard, 2)
    ids = shard.claim("c1")
    shard.r.xdel(shard.key("s"), ids[0])  # the tail of the log, from the XACK on, is lost
    shard.call("epoch", "ready run 7", "rebuilding 8")
    shard.settle(ids)
    depth_is(shard, entries=0, pending=0)
    assert shard.depth()["n"] == {"base": 1, "done": 1}


# Mending


def test_what_was_acknowledged_but_not_deleted_is_put_anew(shard):
    jobs = enqueue(shard, 5)
    ids = shard.claim("c1", 4)
    shard.r.xack(shard.key("s"), "g", ids[0], ids[2])
    assert shard.call("mend", "", 2) == [b"(" + ids[1], 1]
    assert shard.call("mend", b"(" + ids[1], 100) == [b"", 1]
    assert shard.call("mend", "", 100) == [b"", 0]
    entries = shard.entries()
    assert set(entries) == set(jobs)
    assert shard.pending("c1") == [ids[1], ids[3]]
    assert {entries[jobs[1]], entries[jobs[3]]} == {ids[1], ids[3]}
    depth_is(shard, entries=5, pending=2)
    assert len(shard.claim("c2")) == 3


def test_mending_goes_on_page_by_page_past_deleted_but_pending_ids(shard):
    enqueue(shard, 300)
    ids = shard.claim("c1", 300)
    shard.r.xdel(shard.key("s"), *ids[0:100])  # would fill a page of XPENDING
    shard.r.xack(shard.key("s"), "g", ids[150], ids[299])
    cursor, mended, pages = b"", 0, 0
    while True:
        cursor, n = shard.call("mend", cursor, 64)
        mended, pages = mended + n, pages + 1
        if cursor == b"":
            break
    assert (mended, pages) == (2, 4)
    assert len(shard.pending("c1")) == 298


# Cancelling, and running at once


def test_a_delayed_or_parked_job_is_removed(shard):
    [delayed, parked] = enqueue(shard, 2)
    e1, e2 = shard.claim()
    shard.call("retry", "c1", e1, MINUTE, header(delayed))
    shard.call("park", "c1", e2)
    assert shard.call("cancel", delayed, 1, b"cancelled 409 {}") == 1
    assert shard.call("cancel", parked, 1, b"") == 1
    assert [shard.r.exists(shard.key(k)) for k in ("d", "dh", "p", "x:0", "x:1")] == [0] * 5
    assert shard.call("find", delayed) == [1, 0, b"cancelled 409 {}"]
    assert shard.call("find", parked) == [0, 0, b""]
    depth_is(shard, delayed=0, parked=0)
    assert shard.depth()["n"]["cancelled"] == 2


def test_a_waiting_job_is_only_asked_to_stop_and_a_journal_job_not_even_that(shard):
    shard.steady_hour()
    [job] = enqueue(shard, 1)
    journal = new_job(False)
    shard.add(journal, due=shard.now() + MINUTE)
    assert shard.call("cancel", journal, 0, b"") == 1
    assert shard.depth()["n"]["jout"] == 1
    assert shard.call("cancel", journal, 0, b"") == 0
    assert shard.call("cancels", journal) == []
    assert shard.call("cancel", job, 1, b"cancelled 409 {}") == 0
    assert shard.call("find", job)[0] == 0
    assert shard.call("cancels", job) == [1]
    depth_is(shard, entries=1)


# Epochs


def test_an_epoch_is_set_by_one_of_two(shard):
    assert shard.call("epoch", "ready run 7", "rebuilding 8") == 1
    assert shard.call("epoch", "ready run 7", "rebuilding 9") == 0
    assert shard.call("epoch", "", "rebuilding 9") == 0
    assert shard.call("epoch", "rebuilding 8", "ready run 8") == 1
    assert shard.depth()["epoch"] == b"ready run 8"
    assert shard.add(new_job(False)) == b"8"


def test_a_new_epoch_counts_from_what_is_there(shard):
    jobs = enqueue(shard, 5)
    ids = shard.claim("c1", 4)
    shard.call("retry", "c1", ids[0], MINUTE, header(jobs[0]))
    shard.call("park", "c1", ids[1])
    shard.call("dead", "c1", ids[2], b"{}")
    shard.call("renew", "c1", ids[3], jobs[3], 5)
    shard.r.delete(shard.key("e"), shard.key("n"))  # what a lost tail looks like
    assert shard.call("epoch", "", "rebuilding 8") == 1
    d = shard.depth()
    assert d["n"] == {"base": 4} and d["gap"] == 0
    assert shard.r.exists(shard.key("r")) == 0  # the next renewal tells again who runs
    shard.settle([ids[3]])
    shard.add(new_job(False))
    depth_is(shard, entries=2, delayed=1, parked=1)


def test_after_a_wipe_nothing_enqueued_before_the_group_is_skipped(admin):
    s = Shard(admin)
    assert (s.depth()["entries"], s.depth()["epoch"]) == (0, b"")
    job = new_job()
    s.enqueue(job)
    assert s.call("group") == 1
    assert s.call("group") == 0
    assert len(s.claim()) == 1
    admin.xgroup_create(s.key("s"), "another", "$")
    admin.xgroup_destroy(s.key("s"), "g")
    with pytest.raises(redis.ResponseError, match="^NOGROUP"):
        s.depth()
    assert s.call("group") == 1
    assert s.depth()["entries"] == 1


# Looking


def test_ids_that_were_lost_do_not_come_again(shard, admin):
    """Redis loses the last entries, and its clock stands behind: who still holds one must not end another job by its id."""
    stream, ahead = shard.key("s"), shard.now() + HOUR_MS
    foreign = [admin.xadd(stream, {"h": header(new_job()), "p": b"{}"}, id=f"{ahead}-5")]
    kept = admin.dump(stream)
    shard.add(*[new_job() for _ in range(5)])
    lost = set(shard.entries().values())
    admin.restore(stream, 0, kept, replace=True)
    admin.function_load(library(), replace=True)  # what it remembers goes with the process
    shard.add(*[new_job() for _ in range(5)])
    shard.enqueue(new_job())
    found = shard.entries().values()
    assert len(found) == 7 and not (set(found) & lost) - set(foreign)


def test_ids_go_on_behind_what_another_library_put_in(shard, admin):
    shard.add(new_job())
    admin.xadd(shard.key("s"), {"h": header(new_job()), "p": b"{}"}, id=f"{shard.now() + 60000}-0")
    shard.add(new_job(), new_job())
    assert len(shard.entries()) == 4


@pytest.mark.parametrize("home", ["s", "d", "p"])
@pytest.mark.parametrize("n", [0, 1, 300])
def test_a_walk_names_every_job_of_a_home(shard, home, n):
    jobs = [new_job() for _ in range(n)]
    for job in jobs:
        shard.enqueue(job, due=shard.now() + MINUTE if home == "d" else 0)
    if home == "p" and n:
        ids = shard.claim("c1", n)
        shard.call("park", "c1", *ids)
    seen, cursor, calls = set(), b"", 0
    while True:
        cursor, *page = shard.call("walk", cursor, 64, keys=[shard.key(home)])
        seen.update(page)
        calls += 1
        if cursor == b"":
            break
        assert calls < 100
    assert seen == set(jobs)


def test_a_torn_delay_is_not_taken_for_a_delayed_job(shard):
    job = new_job(False)
    shard.r.hset(shard.key("dh"), job, b"\x00\x00")  # HSET without its ZADD
    assert shard.call("walk", "", 64, keys=[shard.key("d")]) == [b""]


def test_depth_says_since_when_the_oldest_waits(shard):
    assert shard.depth()["since"] == 0
    a, b = new_job(), new_job()
    began = shard.now()
    shard.enqueue(a)
    after = shard.now()
    while shard.now() == after:
        pass
    shard.enqueue(b)
    first, second = sorted(int(i.split(b"-")[0]) for i in shard.entries().values())
    assert began <= first < second <= shard.depth()["now"] <= shard.now()
    assert shard.depth()["since"] == first
    ids = shard.claim("c1", 1)
    assert shard.depth()["since"] == second
    ids += shard.claim("c1", 1)
    assert shard.depth()["since"] == 0
    shard.call("hand_back", "q", "c1", 0, ids[0])
    assert shard.depth()["since"] == first


def test_depth_counts_the_wait_of_a_job_from_when_it_could_run(shard):
    """However old it is, and whatever its producer's clock said."""
    began = shard.now()
    shard.call("enqueue", 100, b"", b"", 0, header_1(new_job()), b"p")
    parked = new_job()
    shard.r.hset(shard.key("p"), parked, home(header_1(parked), b"p"))
    shard.claim()
    shard.call("unpark", "", 10, 2, "demo", 1)
    assert shard.depth()["since"] >= began


def test_idle_consumers_are_forgotten_unless_they_hold_something(shard):
    enqueue(shard, 2)
    shard.claim("holds", 1)
    shard.claim("held", 1)
    shard.settle(shard.pending("held"))
    shard.call("hand_back", "q", "holds", 0, *shard.pending("holds"))
    shard.call("sweep", "holds", 10, 0)
    names = lambda: {c["name"] for c in shard.r.xinfo_consumers(shard.key("s"), "g")}  # noqa: E731
    assert names() == {b"holds", b"held", b"handback"}
    assert shard.call("collect", HOUR_MS) == 0
    while min(c["idle"] for c in shard.r.xinfo_consumers(shard.key("s"), "g")) < 1:
        pass
    assert shard.call("collect", 0) == 1
    assert names() == {b"holds", b"handback"}


# Everything at once, against a model


class Model:
    """Where each job should be. Every step goes to Redis and to the model; both must agree on all numbers."""

    def __init__(self, shard: Shard, seed: int):
        self.shard, self.rng = shard, random.Random(seed)
        self.waiting, self.held, self.back = [], {}, {}
        self.delayed, self.parked = set(), set()
        self.counts = dict.fromkeys(("accepted", "jin", "jout", "done", "cancelled", "expired", "dead"), 0)

    def enqueue(self):
        job = new_job()
        self.counts["accepted"] += 1
        if self.rng.random() < 0.3:
            self.shard.enqueue(job, due=self.shard.now() + HOUR_MS)
            self.delayed.add(job)
        else:
            self.shard.enqueue(job, job, b"b" * 16)
            assert self.shard.enqueue(job, job, b"b" * 16)[0] == 0
            self.waiting.append(job)

    def claim(self):
        ids = self.shard.claim("c1", self.rng.randint(1, 4))
        for job, e in zip(self.waiting, ids):
            self.held[job] = e
        self.waiting = self.waiting[len(ids):]

    def some(self, n=3):
        jobs = self.rng.sample(sorted(self.held), min(n, len(self.held)))
        return jobs, [self.held.pop(job) for job in jobs]

    def settle(self):
        jobs, ids = self.some()
        how, field = self.rng.choice([("journal", "jout"), ("done", "done"), ("expired", "expired"), ("cancelled", "cancelled")])
        self.shard.settle(ids, how)
        self.counts[field] += len(jobs)

    def retry(self):
        for job, e in zip(*self.some()):
            assert self.shard.call("retry", "c1", e, HOUR_MS, header(job)) == []
            self.delayed.add(job)

    def park(self):
        jobs, ids = self.some()
        if ids:
            assert self.shard.call("park", "c1", *ids) == []
        self.parked.update(jobs)

    def unpark(self):
        _, n = self.shard.call("unpark", "", 2, 2, "demo", 1)
        left = set(self.shard.r.hkeys(self.shard.key("p")))
        assert len(self.parked - left) == n
        self.waiting += [j for j in self.shard.entries() if j in self.parked - left]
        self.parked = left

    def bury(self):
        for _, e in zip(*self.some(1)):
            assert self.shard.call("dead", "c1", e, b"{}") == []
            self.counts["dead"] += 1

    def hand_back(self):
        jobs, ids = self.some()
        if ids:
            assert self.shard.call("hand_back", "q", "c1", 0, *ids) == []
        self.back.update(zip(jobs, ids))

    def sweep(self):
        let_sweep(self.shard)
        entries, orphans = self.shard.call("sweep", "c1", 100, HOUR_MS)
        assert {e[0] for e in entries} == set(self.back.values()) and orphans == 0
        self.held.update(self.back)
        self.back = {}

    def promote(self):
        for job in self.rng.sample(sorted(self.delayed), min(2, len(self.delayed))):
            self.shard.call("due_now", job)
            self.delayed.discard(job)
        self.shard.call("promote", 100)
        known = {*self.waiting, *self.held, *self.back}
        self.waiting += [j for j in self.shard.entries() if j not in known]

    def cancel(self):
        for job in self.rng.sample(sorted(self.delayed | self.parked), min(1, len(self.delayed | self.parked))):
            assert self.shard.call("cancel", job, 1, b"") == 1
            self.delayed.discard(job)
            self.parked.discard(job)
            self.counts["cancelled"] += 1

    def mend(self):
        assert self.shard.call("mend", "", 1000)[1] == 0

    def epoch(self):
        self.shard.call("epoch", self.shard.depth()["epoch"], f"rebuilding {self.rng.randint(1, 99)}")
        self.counts = dict.fromkeys(self.counts, 0)

    def check(self):
        d = self.shard.depth()
        assert d["gap"] == 0
        assert d["entries"] == len(self.waiting) + len(self.held) + len(self.back)
        assert (d["pending"], d["back"]) == (len(self.held) + len(self.back), len(self.back))
        assert (d["delayed"], d["parked"]) == (len(self.delayed), len(self.parked))
        assert {k: d["n"].get(k, 0) for k in self.counts} == self.counts


@pytest.mark.parametrize("seed", range(6))
def test_the_numbers_add_up_after_any_mix_of_steps(shard, seed):
    model = Model(shard, seed)
    steps = [model.enqueue] * 5 + [model.claim] * 3 + [
        model.settle, model.settle, model.retry, model.park, model.unpark, model.bury, model.hand_back, model.sweep,
        model.promote, model.cancel, model.mend]
    for i in range(300):
        model.rng.choice(steps)()
        if i % 100 == 99:
            model.epoch()
        model.check()


def test_consumers_that_were_not_heard_of_go_a_hundred_at_a_time(shard):
    for i in range(101):
        shard.r.xgroup_createconsumer(shard.key("s"), "g", f"old-{i}")
    shard.r.xgroup_delconsumer(shard.key("s"), "g", "c1")
    time.sleep(0.002)  # idle for more than 0 ms
    assert [shard.call("collect", 0) for _ in range(3)] == [100, 1, 0]
