"""Two versions beside each other in one Redis: each calls the Functions that it was built for, on the same keys; and headers of a version to come."""
import pytest

from conftest import library
from shard import VERSION, header, home, new_job, whole

NEWER = b"\x03"
LATER = b"of a later version"


def newer(job: bytes, attempt: int = 0, generation: int = 0) -> bytes:
    """As a later version might write it: up to the type like one of today."""
    return NEWER + header(job, attempt, generation)[1:] + LATER


@pytest.fixture
def beside(shard, admin):
    """The shard by the Functions of the version to come, which answer otherwise."""
    text = library(VERSION + 1)
    assert text.count("return {#ids, ") == 1
    admin.function_load(text.replace("return {#ids, ", "return {'moved', #ids, "))

    def call(name: str, keys: str, *args):
        names = [shard.key(end) for end in keys.split()]
        return admin.fcall(f"pen_{name}_{VERSION + 1}", len(names), *names, *args)

    yield call
    admin.function_delete(f"penstock_{VERSION + 1}")


def test_each_version_finds_its_own_functions(shard, admin, beside):
    names = {row[1] for row in admin.function_list("penstock_*")}
    assert names == {f"penstock_{VERSION}".encode(), f"penstock_{VERSION + 1}".encode()}
    for _ in range(2):
        shard.enqueue(new_job(), due=shard.now() + 1)
    assert beside("promote", "s d dh", 0)[0] == b"moved"
    assert isinstance(shard.call("promote", 1)[0], int)
    admin.function_load(library(), replace=True)  # a scheduler of ours sees to its own, and to no other
    assert beside("promote", "s d dh", 1)[0] == b"moved"


def test_both_versions_work_on_the_same_jobs_and_count_them(shard, beside):
    jobs = [new_job() for _ in range(200)]
    for i, job in enumerate(jobs):
        if i % 2:
            shard.enqueue(job)
        else:
            assert beside("enqueue", "s d dh n i:0 i:1", 1000, b"", b"", 0, header(job), b"{}") == [1, job]
    assert set(shard.entries()) == set(jobs)  # no id of an entry came twice
    ids = shard.claim()
    assert beside("retry", "s d dh r n", "c1", ids[0], 60000, header(jobs[0], 1)) == []
    beside("settle", "s r n o:0 o:1", 0, 1, 0, 0, 0, ids[1])
    shard.settle([ids[2]])
    whole(shard, entries=197, delayed=1, done=2)


def test_a_header_of_a_later_version_is_parked_until_somebody_knows_it(shard):
    job = new_job()
    shard.call("enqueue", 1000, b"", b"", 0, newer(job), b"p")
    assert shard.call("park", "c1", *shard.claim()) == []
    assert shard.call("unpark", "", 64, 2, "demo", 9) == [b"", 0]
    whole(shard, entries=0, parked=1)
    assert shard.call("unpark", "", 64, 3, "demo", 9) == [b"", 1]
    assert list(shard.entries()) == [job]


def test_of_two_parked_copies_the_newer_generation_stays_whatever_the_version(shard):
    job = new_job()
    for made, kept in ((newer(job, 1, 1), True), (header(job), False), (newer(job, 0, 1), False), (newer(job, 0, 2), True), (header(job, 1, 2), True)):
        shard.call("enqueue", 1000, b"", b"", 0, made, b"p")
        shard.call("park", "c1", *shard.claim())
        assert (shard.r.hget(shard.key("p"), job) == home(made, b"p")) == kept
    whole(shard, parked=1, merged=4)


def test_a_client_of_the_page_parks_what_it_does_not_know(shard, admin):
    from penstock_client import Client

    job, client = new_job(), Client(admin, "q", 1)
    shard.call("enqueue", 1000, b"", b"", 0, newer(job), b"p")
    assert client.claim() == [] and client.held == {}
    assert client.find(job)[0] == "parked"
