"""Functions that set entries aside, parked, dead or delayed, and that bring them back or drop them."""
from shard import HOUR_MS, header, header_1, home, new_job, whole


def test_parked_jobs_come_back(shard):
    jobs = [new_job() for _ in range(3)]
    for job, made in zip(jobs, (header(new_job()), header(new_job(), attempt=1), header_1(new_job()))):
        h = made[:4] + job + made[20:]
        shard.call("enqueue", 1000, b"", b"", 0, h, b"p")
    assert shard.call("park", "c1", *shard.claim()) == []
    whole(shard, entries=0, parked=3)
    assert shard.call("find", jobs[0]) == [4, 0, b""]
    for others in (), ("other", 9), ("demo", 0), ("dem", 9):
        assert shard.call("unpark", "", 64, 2, *others) == [b"", 0]
    assert shard.call("unpark", "", 64, 2, "other", 1, "demo", 2) == [b"", 3]
    assert shard.call("unpark", "", 64, 2, "demo", 1) == [b"", 0]
    assert set(shard.entries()) == set(jobs)
    whole(shard, entries=3, parked=0)


def test_many_parked_jobs_come_back_page_by_page(shard):
    jobs = {new_job() for _ in range(1500)}
    strange = {shard.key("p"): {b"none": b"", b"short": home(b"x" * 60, b"p"), b"cut": home(header(new_job())[:26], b"p"), b"cut1": home(header_1(new_job())[:88], b"p")}}
    for key, values in strange.items():
        shard.r.hset(key, mapping={**{job: home(header(job), b"p") for job in jobs}, **values})
    cursor, moved, pages = b"", 0, 0
    while pages == 0 or cursor:
        cursor, n = shard.call("unpark", cursor, 200, 2, "demo", 1)
        assert n <= 1000
        moved, pages = moved + n, pages + 1
    assert (moved, pages > 3) == (1500, True)
    assert set(shard.entries()) == jobs and set(shard.r.hkeys(shard.key("p"))) == set(strange[shard.key("p")])


def test_one_job_parked_twice_is_one_job(shard):
    job = new_job(False)
    shard.add(job, job)
    shard.call("park", "c1", *shard.claim())
    whole(shard, entries=0, parked=1, merged=1)


def test_what_ran_for_long_before_it_is_parked_is_not_said_to_run(shard):
    """On a newer worker, which died: the older one that parks it is the last to know that it may be listed."""
    job = new_job()
    shard.enqueue(job)
    (entry,) = shard.claim("c1")
    shard.call("renew", "c1", entry, job, 5)
    assert shard.call("find", job)[0] == 2
    shard.call("park", "c1", entry)
    assert shard.call("find", job)[0] == 4 and not shard.r.exists(shard.key("r"))


def test_the_dead_are_dropped_in_the_generation_that_was_handed_over(shard):
    """Replayed between the row and the drop, a job may have died again: nobody has handed that over."""
    handed, again = new_job(), new_job()
    for job, generation in ((handed, 0), (again, 1)):
        shard.call("enqueue", 100, b"", b"", 0, header(job, generation=generation), b"{}")
        shard.call("dead", "c1", shard.claim("c1")[0], b"{}")
    shard.r.hset(shard.key("dead"), b"x" * 16, b"\xff\xffnot ours")
    assert shard.call("drop", handed, 0, again, 0, b"x" * 16, 0, new_job(), 0) == 2
    assert shard.r.hkeys(shard.key("dead")) == [again]
    assert shard.call("drop", again, 1) == 1


def test_the_dead_wait_to_be_handed_over(shard):
    job = new_job()
    shard.enqueue(job)
    assert shard.call("dead", "c1", shard.claim()[0], b'{"code":"x"}') == []
    value = shard.r.hget(shard.key("dead"), job)
    assert value == b'\x0c\x00{"code":"x"}' + home(header(job), b"payload of " + job.hex().encode())
    assert shard.call("find", job) == [5, 0, b""]
    whole(shard, entries=0, dead=1)
    assert shard.depth()["n"]["dead"] == 1


def test_a_foreign_entry_can_be_buried_and_stops_nothing(shard):
    job = new_job()
    shard.r.xadd(shard.key("s"), {"foreign": "x"}, id="1-5")
    shard.r.xadd(shard.key("s"), {"h": ""}, id="1-6")
    shard.r.xadd(shard.key("s"), {"h": b"\xff" * 60, "p": "x"}, id="1-7")
    shard.enqueue(job)
    for _ in range(3):
        assert shard.call("depth")[6] == 1
        shard.claim("c1", 1)
    assert shard.call("walk", "", 10, keys=[shard.key("s")])[1:] == [b"\xff" * 16, job]
    ids = [*shard.pending("c1"), *shard.claim()]
    assert shard.call("retry", "c1", ids[3], 0, header(job)) == []
    assert shard.call("dead", "c1", ids[0], b"{}", ids[1], b"{}", ids[2], b"{}") == []
    made_up = [b"\0\0\0\0\0\x01\x80\0\xa0\0\0\0\0\0\0" + n for n in (b"\x05", b"\x06")]
    assert sorted(shard.r.hkeys(shard.key("dead"))) == [*made_up, b"\xff" * 16]


def test_a_header_that_ends_behind_its_id_is_enough_for_it(shard):
    shard.r.xadd(shard.key("s"), {"h": b"\xee" * 20}, id="1-5")
    shard.r.xadd(shard.key("s"), {"h": b"\xee" * 19}, id="1-6")
    ids = shard.claim()
    assert shard.call("dead", "c1", ids[0], b"{}", ids[1], b"{}") == []
    assert sorted(shard.r.hkeys(shard.key("dead"))) == [b"\0\0\0\0\0\x01\x80\0\xa0\0\0\0\0\0\0\x06", b"\xee" * 16]


def test_a_long_reason_is_cut(shard):
    job = new_job()
    shard.enqueue(job)
    shard.call("dead", "c1", shard.claim()[0], b"r" * 70000)
    value = shard.r.hget(shard.key("dead"), job)
    assert value[:2] == b"\xff\xff" and value[2 + 65535 :] == home(header(job), b"payload of " + job.hex().encode())


def test_a_delayed_job_is_made_due_now(shard):
    listener = shard.r.pubsub(ignore_subscribe_messages=True)
    listener.subscribe("pen:due")
    listener.get_message(timeout=5)
    job, before = new_job(False), shard.now()
    assert shard.call("due_now", job) == 0
    shard.add(job, due=before + HOUR_MS)
    listener.get_message(timeout=5)
    assert shard.call("due_now", job) == 1
    assert listener.get_message(timeout=5)["data"].startswith(shard.key("d").encode())
    assert shard.call("promote", 1)[0] == 1
    [(_, fields)] = shard.r.xrange(shard.key("s"))
    assert shard.depth()["since"] >= before
    assert fields[b"p"] == b"payload of " + job.hex().encode()
    whole(shard, entries=1, delayed=0)
    listener.close()


def test_a_delayed_job_is_put_off_and_brought_forward(shard):
    listener = shard.r.pubsub(ignore_subscribe_messages=True)
    listener.subscribe("pen:due")
    listener.get_message(timeout=5)
    job, other, now = new_job(False), new_job(False), shard.now()
    assert shard.call("snooze", job, now) == 0  # it is not there
    whole(shard, entries=0, delayed=0)
    shard.add(job, due=now + HOUR_MS)
    listener.get_message(timeout=5)
    shard.add(other, due=now + HOUR_MS + 1)
    assert shard.call("snooze", job, now + 2 * HOUR_MS) == 1
    assert [int(score) for _, score in shard.r.zrange(shard.key("d"), 0, -1, withscores=True)] == [now + HOUR_MS + 1, now + 2 * HOUR_MS]
    assert listener.get_message(timeout=0.1) is None  # the head is as it was
    assert shard.call("snooze", job, now - 1) == 1
    assert listener.get_message(timeout=5)["data"] == shard.key("d").encode() + b" %d" % (now - 1)
    assert shard.call("promote", 10)[0] == 1
    assert shard.call("snooze", job, now + HOUR_MS) == 0  # a worker may have it
    whole(shard, entries=1, delayed=1)
    listener.close()
