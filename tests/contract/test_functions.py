"""Every Function against a real Redis: what it does, and what it leaves alone."""
import pytest
import redis

from penstock_client import Header
from shard import HOUR_MS, Shard, header, header_1, home, new_job, whole

KEY, BODY, OTHER = b"k" * 16, b"b" * 16, b"o" * 16
MINUTE = 60000


# In


def test_added_jobs_are_claimed_in_order_and_settled(shard):
    jobs = [new_job(False) for _ in range(5)]
    assert shard.add(*jobs) == b"7"
    whole(shard, entries=5, pending=0, jin=5)
    assert list(shard.entries()) == jobs
    ids = shard.claim()
    whole(shard, entries=5, pending=5)
    shard.settle(ids, "journal")
    whole(shard, entries=0, pending=0, jout=5)


def test_without_an_epoch_an_add_says_so(admin):
    assert Shard(admin).add(new_job(False)) == b""


def test_a_key_is_remembered_with_its_body(shard):
    first, again = new_job(), new_job()
    assert shard.enqueue(first, KEY, BODY) == [1, first]
    assert shard.enqueue(again, KEY, BODY) == [0, first]
    assert shard.enqueue(again, KEY, OTHER) == [2, first]
    assert shard.enqueue(again) == [1, again]  # no key, no memory
    assert shard.enqueue(again) == [1, again]
    whole(shard, entries=3, accepted=3)


def test_a_key_twice_in_one_call_is_one_job(shard):
    a, b = new_job(), new_job()
    args = [1000, KEY, BODY, 0, header(a), b"p", KEY, BODY, 0, header(b), b"p", KEY, OTHER, 0, header(b), b"p"]
    assert shard.call("enqueue", *args) == [1, a, 0, a, 2, a]
    whole(shard, entries=1, accepted=1)


def test_keys_are_remembered_for_one_to_two_hours(shard):
    hour = shard.steady_hour()
    this, last = shard.key(f"i:{hour % 2}"), shard.key(f"i:{(hour - 1) % 2}")
    job = new_job()
    shard.enqueue(job, KEY, BODY)
    assert shard.r.hget(this, "@") == str(hour).encode()
    assert shard.r.pexpiretime(this) == (hour + 2) * HOUR_MS
    shard.r.rename(this, last)  # an hour later …
    shard.r.hset(last, "@", hour - 1)
    assert shard.enqueue(new_job(), KEY, BODY) == [0, job]
    shard.r.hset(last, "@", hour - 3)  # … and one more: it is the current one's turn again, with two hours old content
    shard.r.rename(last, this)
    second = new_job()
    shard.r.hset(this, "@", hour - 2)
    assert shard.enqueue(second, KEY, BODY) == [1, second]
    assert shard.r.hgetall(this) == {b"@": str(hour).encode(), KEY: second + BODY}


def test_a_full_shard_takes_nothing_new_but_knows_its_keys(shard):
    first, due = new_job(), shard.now() + MINUTE
    assert shard.enqueue(first, KEY, BODY, limit=2) == [1, first]
    assert shard.enqueue(new_job(), due=due, limit=2)[0] == 1  # the delayed count as well
    assert shard.enqueue(new_job(), limit=2) == [-1, b""]
    assert shard.enqueue(new_job(), OTHER, BODY, limit=2) == [-1, b""]
    assert shard.enqueue(new_job(), KEY, BODY, limit=2) == [0, first]
    a, b, c = new_job(), new_job(), new_job()
    args = [part for job in (a, b, c) for part in (b"", b"", 0, header(job), b"p")]
    assert shard.call("enqueue", 4, *args) == [1, a, 1, b, -1, b""]
    whole(shard, entries=3, delayed=1, accepted=4)


def test_delayed_jobs_wait_for_their_time_and_announce_a_new_head(shard):
    listener = shard.r.pubsub(ignore_subscribe_messages=True)
    listener.subscribe("pen:due")
    listener.get_message(timeout=5)
    now = shard.now()
    late, early = new_job(False), new_job()
    shard.add(late, due=now + 2 * MINUTE)
    shard.add(new_job(False), due=now + 3 * MINUTE)  # not the head: nobody needs to wake up
    shard.enqueue(early, due=now + MINUTE)
    heard = [listener.get_message(timeout=5)["data"].decode() for _ in range(2)]
    assert heard == [f"{shard.key('d')} {now + 2 * MINUTE}", f"{shard.key('d')} {now + MINUTE}"]
    assert listener.get_message(timeout=0.05) is None
    assert shard.call("promote", 10)[:2] == [0, now + MINUTE]
    whole(shard, delayed=3, due=now + MINUTE, entries=0)
    listener.close()


def test_promotion_moves_what_is_due_and_no_more_than_the_limit(shard):
    jobs, now = [new_job() for _ in range(5)], shard.now()
    for i, job in enumerate(jobs):
        shard.enqueue(job, due=now + MINUTE + i)
    for i, job in enumerate(jobs[:4]):
        shard.r.zadd(shard.key("d"), {job: now - 10 + i})  # their time has come
    assert shard.call("promote", 3)[:2] == [3, now - 7]
    moved, due, said_now = shard.call("promote", 3)
    assert (moved, due) == (1, now + MINUTE + 4)
    assert now <= said_now <= shard.now()
    assert list(shard.entries()) == jobs[:4]
    assert shard.r.xrange(shard.key("s"))[0][1][b"p"] == b"payload of " + jobs[0].hex().encode()
    assert shard.r.hkeys(shard.key("dh")) == [jobs[4]]
    whole(shard, entries=4, delayed=1)


def test_a_damaged_home_does_not_stop_promotion(shard):
    job, bad, gone = new_job(), new_job(), new_job()
    shard.r.hset(shard.key("dh"), bad, b"x")
    shard.r.zadd(shard.key("d"), {bad: 1, gone: 2})
    shard.enqueue(job, due=shard.now() + MINUTE)
    shard.r.zadd(shard.key("d"), {job: 3})
    assert shard.call("promote", 10)[:2] == [3, 0]
    assert job in shard.entries()
    assert len(shard.entries()) == 2  # the damaged one is there to be buried


def test_one_job_delayed_twice_is_one_job(shard):
    job, now = new_job(False), shard.now()
    shard.add(job, due=now + MINUTE)
    shard.add(job, due=now + 2 * MINUTE)
    whole(shard, delayed=1, merged=1, due=now + 2 * MINUTE)


@pytest.mark.parametrize("first, second, stays", [
    ((0, 0), (1, 1), 1), ((1, 0), (0, 1), 0), ((1, 0), (1, 1), 1), ((1, 5), (1, 1), 0), ((0, 7), (0, 7), 1), ((2, 0), (1, 9), 0)])
def test_of_two_copies_the_newer_one_stays_with_its_time(shard, first, second, stays):
    """A copy from before a replay takes no other's place: with that one the replayed job would be gone. Nor does one that begins to count anew."""
    for step, key, *makes in ("retry", "dh", header, header), ("park", "p", header, header), ("retry", "dh", header_1, header), ("park", "p", header, header_1):
        job = new_job(False)
        headers = [make(job, generation=generation, attempt=attempt) for make, (generation, attempt) in zip(makes, (first, second))]
        shard.call("add", *(x for h in headers for x in (0, h, b"p")))
        began = shard.now()
        for i, (entry, h) in enumerate(zip(shard.claim(), headers, strict=True)):
            assert shard.call(step, "c1", entry, *([(i + 1) * MINUTE, h] if step == "retry" else [])) == []
        kept = Header.decode(shard.r.hget(shard.key(key), job)[2:-1])
        assert (kept.generation, kept.attempt) == (first, second)[stays]
        if step == "retry":
            assert 0 <= shard.r.zscore(shard.key("d"), job) - began - (stays + 1) * MINUTE < MINUTE
    whole(shard, entries=0, delayed=2, parked=2, merged=4)


def test_a_copy_that_a_torn_step_left_without_its_time_gets_one_from_an_older(shard):
    job = new_job(False)
    shard.add(job, due=shard.now() + MINUTE)
    kept = home(header(job, generation=1), b"p")
    shard.r.hset(shard.key("dh"), job, kept)
    shard.r.zrem(shard.key("d"), job)
    shard.add(job, due=shard.now() + MINUTE)
    assert shard.r.hget(shard.key("dh"), job) == kept
    assert shard.r.zscore(shard.key("d"), job)


# Attempts


def test_a_renewal_keeps_what_is_ours_and_names_what_is_not(shard):
    jobs = [new_job() for _ in range(3)]
    for job in jobs:
        shard.enqueue(job)
    mine, theirs = shard.claim("c1", 2), shard.claim("c2", 1)
    shard.r.xclaim(shard.key("s"), "g", "c1", 0, mine, idle=5000)
    unknown = b"1-1"
    args = [part for i, e in enumerate([*mine, *theirs, unknown]) for part in (e, jobs[min(i, 2)], 0)]
    assert shard.call("renew", "c1", *args) == [[*theirs, unknown], []]
    rows = shard.r.xpending_range(shard.key("s"), "g", "-", "+", 10, "c1")
    assert all(row["time_since_delivered"] < 5000 and row["times_delivered"] == 2 for row in rows)
    assert shard.pending("c2") == theirs


def test_a_renewal_of_an_entry_deleted_meanwhile_says_lost(shard):
    job = new_job()
    shard.enqueue(job)
    [e] = shard.claim()
    shard.r.xdel(shard.key("s"), e)
    assert shard.call("renew", "c1", e, job, 0) == [[e], []]
    assert shard.pending("c1") == []


def test_a_renewal_lists_long_running_jobs_and_brings_cancel_requests(shard):
    shard.steady_hour()
    a, b = new_job(), new_job()
    shard.enqueue(a)
    shard.enqueue(b)
    [ea, eb] = shard.claim()
    assert shard.call("cancel", b, 1, b"") == 0
    assert shard.call("renew", "c1", ea, a, 0, eb, b, 123456) == [[], [eb]]
    assert shard.r.hgetall(shard.key("r")) == {b: b"123456"}
    assert shard.call("find", b) == [2, 123456, b""]
    shard.settle([ea, eb], long=[b])
    assert shard.r.exists(shard.key("r")) == 0


def test_cancel_requests_are_seen_before_a_job_runs(shard):
    shard.steady_hour()
    a, b = new_job(), new_job()
    assert shard.call("cancels", a, b) == []
    shard.call("cancel", b, 1, b"")
    assert shard.call("cancels", a, b) == [0, 1]
    this = next(k for k in (shard.key("x:0"), shard.key("x:1")) if shard.r.exists(k))
    shard.r.rename(this, shard.key("x:1") if this.endswith("0") else shard.key("x:0"))  # of the hour before
    assert shard.call("cancels", a, b) == [0, 1]


def test_settling_counts_each_end_once(shard):
    jobs = [new_job() for _ in range(8)]
    for job in jobs:
        shard.enqueue(job)
    ids = shard.claim()
    assert shard.call("settle", 1, 3, 2, 1, 0, *ids[:7]) == 1
    whole(shard, entries=1, pending=1, jout=1, done=3, cancelled=2, expired=1)
    shard.settle(ids)  # again, by somebody who did not hear the answer
    whole(shard, entries=0, pending=0, done=4)
    shard.settle([b"1-1"])
    whole(shard, done=4)


@pytest.mark.parametrize("how", ["journal", "done", "cancelled", "expired"])
def test_settled_however_then_their_outcome_is_kept_and_they_no_longer_run(shard, how):
    jobs = [new_job(), new_job()]
    for job in jobs:
        shard.enqueue(job)
    ids = shard.claim()
    for e, job in zip(ids, jobs):
        shard.call("renew", "c1", e, job, 5)
    shard.settle(ids, how, long=jobs, outcomes={jobs[0]: b"a", jobs[1]: b"b"})
    assert [shard.call("find", job) for job in jobs] == [[1, 0, b"a"], [1, 0, b"b"]]
    assert shard.call("find", jobs[0], new_job(), jobs[1]) == [1, 0, b"a", 0, 0, b"", 1, 0, b"b"]
    assert shard.r.hlen(shard.key("r")) == 0


def test_a_retry_that_is_the_next_to_be_due_is_announced(shard):
    listener = shard.r.pubsub(ignore_subscribe_messages=True)
    listener.subscribe("pen:due")
    listener.get_message(timeout=5)
    job = new_job()
    shard.enqueue(job)
    assert shard.call("retry", "c1", shard.claim()[0], MINUTE, header(job)) == []
    due = int(shard.r.zscore(shard.key("d"), job))
    assert listener.get_message(timeout=5)["data"].decode() == f"{shard.key('d')} {due}"
    listener.close()


def test_outcomes_are_kept_and_found(shard):
    hour = shard.steady_hour()
    job, other = new_job(), new_job()
    shard.enqueue(job)
    [e] = shard.claim()
    shard.settle([e], outcomes={job: b'{"ok":true}'})
    assert shard.call("find", job) == [1, 0, b'{"ok":true}']
    assert shard.call("find", other) == [0, 0, b""]
    assert shard.r.pexpiretime(shard.key(f"o:{hour % 2}")) == (hour + 2) * HOUR_MS


def test_a_retry_delays_with_the_new_header(shard):
    job = new_job()
    shard.enqueue(job)
    [e] = shard.claim()
    shard.call("renew", "c1", e, job, 99)
    before = shard.now()
    assert shard.call("retry", "c1", e, 1500, header(job, attempt=1)) == []
    due = int(shard.r.zscore(shard.key("d"), job))
    assert before + 1500 <= due <= shard.now() + 1500
    value = shard.r.hget(shard.key("dh"), job)
    assert value == home(header(job, attempt=1), b"payload of " + job.hex().encode())
    assert shard.call("find", job) == [3, due, b""]
    whole(shard, entries=0, pending=0, delayed=1, due=due)
    assert shard.r.exists(shard.key("r")) == 0


@pytest.mark.parametrize("step", ["retry", "dead", "park", "hand_back"])
def test_who_does_not_hold_an_entry_cannot_end_it(shard, step):
    job = new_job()
    shard.enqueue(job)
    [e] = shard.claim("c1")
    shard.enqueue(new_job())  # never delivered

    def attempt(consumer, entry_id):
        more = {"retry": [0, header(job, attempt=9)], "dead": [b"{}"], "park": [], "hand_back": []}[step]
        first = [b"q", consumer, 0] if step == "hand_back" else [consumer]
        return shard.call(step, *first, entry_id, *more)

    undelivered = list(shard.entries().values())[1]
    for consumer, entry_id in (("c2", e), ("c1", b"1-1"), ("c1", undelivered), ("", e)):
        assert attempt(consumer, entry_id) == [entry_id]
    whole(shard, entries=2, pending=1, delayed=0, parked=0, dead=0)
    assert attempt("c1", e) == []
    assert attempt("c1", e) == [e]  # and only once
    whole(shard, pending=1 if step == "hand_back" else 0)


def test_a_batch_ends_what_is_ours_and_leaves_the_rest(shard):
    jobs = [new_job() for _ in range(3)]
    for job in jobs:
        shard.enqueue(job)
    a, b, c = shard.claim("c1", 1)[0], shard.claim("c2", 1)[0], shard.claim("c1", 1)[0]
    args = [part for e, job in zip((a, b, c), jobs) for part in (e, 0, header(job))]
    assert shard.call("retry", "c1", *args) == [b]
    assert shard.entries() == {jobs[1]: b}
    whole(shard, entries=1, delayed=2)


def test_a_retry_without_delay_is_due_at_once(shard):
    job = new_job()
    shard.enqueue(job)
    shard.call("retry", "c1", shard.claim()[0], 0, header(job, attempt=1))
    assert shard.call("promote", 10)[0] == 1
    [(_, fields)] = shard.r.xrange(shard.key("s"))
    assert fields[b"h"] == header(job, attempt=1)


# Refused calls


@pytest.mark.parametrize(
    "name, args",
    [
        ("add", [b"x", header(new_job()), b"p"]),
        ("add", [0, header(new_job())]),
        ("add", [0, header(new_job())[:23], b"p"]),
        ("add", [-1, header(new_job()), b"p"]),
        ("add", [b"nan", header(new_job()), b"p"]),
        ("add", [b"inf", header(new_job()), b"p"]),
        ("add", [0, header(new_job()), b"p"] * 1001),
        ("add", [0, header(new_job()), b"p", b"x", header(new_job()), b"p"]),
        ("enqueue", []),
        ("enqueue", [b"x", b"", b"", 0, header(new_job()), b"p"]),
        ("enqueue", [1, b"", b"", 0, b"short", b"p"]),
        ("renew", ["c", b"1-1", b"job"]),
        ("retry", ["c", b"1-1", 0, b"short"]),
        ("retry", ["c", b"1-1", b"1.5", header(new_job())]),
        ("settle", [0, 0, 0, b"x", 0]),
        ("cancel", [new_job(), 1, b"", b"more"]),
        ("group", [b"more"]),
        ("find", []),
        ("settle", [1, 0, 0, 0, 0]),
        ("settle", [0, 0, 0, 0, 1]),
        ("settle", [0, 0, 0, 0]),
        ("settle", [2**60, 0, 0, 0, 0, b"1-1"]),
        ("settle", [0, 0, 0, 0, 0, b"odd"]),
        ("dead", ["c", b"1-1"]),
        ("hand_back", ["q", "c"]),
        ("hand_back", ["q", "c", "x", "1-1"]),
        ("sweep", ["c", b"x", 0]),
        ("sweep", ["c", 1]),
        ("promote", [b"x"]),
        ("promote", []),
        ("cancel", [b"j"]),
        ("epoch", [b""]),
        ("mend", [b"", b"x"]),
        ("walk", [b""]),
        ("depth", [b"x"]),
    ],
)
def test_a_call_of_the_wrong_shape_changes_nothing(shard, name, args):
    before = {k: shard.r.dump(k) for k in shard.r.keys("*")}
    with pytest.raises(redis.ResponseError, match="wrong keys or arguments"):
        shard.call(name, *args)
    with pytest.raises(redis.ResponseError, match="wrong keys or arguments"):
        shard.call(name, *args, keys=["pen:{q:0}:s"] * 7)
    assert {k: shard.r.dump(k) for k in shard.r.keys("*")} == before


def test_without_a_group_a_step_says_so_and_writes_nothing(admin):
    s = Shard(admin)
    job = new_job()
    s.enqueue(job)
    before = {k: admin.dump(k) for k in admin.keys("*")}
    for name, args in [("renew", ["c", "1-1", job, 0]), ("retry", ["c", "1-1", 0, header(job)]), ("dead", ["c", "1-1", b"{}"]),
                       ("sweep", ["c", 10, 1000]), ("hand_back", ["q", "c", 0, "1-1"]), ("park", ["c", "1-1"])]:
        with pytest.raises(redis.ResponseError, match="^NOGROUP"):
            s.call(name, *args)
    assert s.call("mend", "", 10) == [b"", 0]
    assert s.call("collect", 0) == 0
    with pytest.raises(redis.ResponseError, match="^NOGROUP"):
        s.depth()
    assert {k: admin.dump(k) for k in admin.keys("*")} == before


# A full server


def test_a_full_server_takes_nothing_new_and_drains(shard):
    jobs = [new_job() for _ in range(6)]
    for job in jobs:
        shard.enqueue(job)
    shard.enqueue(new_job(), due=shard.now() + 60)
    ids = shard.claim("c1", 5)
    used = shard.r.info("memory")["used_memory"]
    before = shard.r.config_get("maxmemory")["maxmemory"]
    shard.r.config_set("maxmemory", used // 2)
    try:
        for refused in (lambda: shard.add(new_job(False)), lambda: shard.enqueue(new_job())):
            with pytest.raises(redis.OutOfMemoryError):
                refused()
        assert shard.claim("c1") != []
        assert shard.call("renew", "c1", ids[0], jobs[0], 5) == [[], []]
        assert shard.call("retry", "c1", ids[0], 0, header(jobs[0])) == []
        assert shard.call("park", "c1", ids[1]) == []
        assert shard.call("dead", "c1", ids[2], b"{}") == []
        assert shard.call("hand_back", "q", "c1", 0, ids[3]) == []
        assert len(shard.call("sweep", "c2", 10, 1)[0]) >= 1
        assert shard.settle([ids[3], ids[4]], outcomes={jobs[4]: b"x"}) == 1
        assert shard.call("unpark", "", 10, 2, "demo", 1) == [b"", 1]
        assert shard.call("cancel", jobs[5], 1, b"") == 0
        assert shard.call("promote", 10)[0] >= 1
        assert shard.call("group") == 0
        assert shard.call("epoch", "ready run 7", "rebuilding 8") == 1
        assert shard.call("mend", "", 10)[1] == 0
        assert shard.depth()["gap"] == 0
    finally:
        shard.r.config_set("maxmemory", before)
