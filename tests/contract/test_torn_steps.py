"""A step that reached the disk only in part. Redis writes what a Function did as one MULTI into its log; a power cut may leave a
beginning of it. Each Function is run, its writes are read back from the log, and every beginning of them is played on an empty
server: no job may be without a home, and the shard must heal by what the scheduler and the workers do anyway."""
import shutil

import pytest
import redis
from penstock_ops.redis_server import Redis

from conftest import library
from shard import Shard, header, new_job

MINUTE = 60000


def read_log(data: bytes) -> list[list[bytes]]:
    """The commands of a piece of append-only file."""
    commands, at = [], 0

    def line() -> bytes:
        nonlocal at
        end = data.index(b"\r\n", at)
        text, at = data[at:end], end + 2
        return text

    while at < len(data):
        words = []
        for _ in range(int(line()[1:])):
            n = int(line()[1:])
            words.append(data[at : at + n])
            at += n + 2
        commands.append(words)
    return commands


class Log:
    def __init__(self, server: Redis):
        [self.path] = server.log_increments()

    def size(self) -> int:
        return self.path.stat().st_size

    def since(self, offset: int) -> list[list[bytes]]:
        with self.path.open("rb") as f:
            f.seek(offset)
            return [c for c in read_log(f.read()) if c[0].upper() not in (b"MULTI", b"EXEC", b"SELECT", b"FLUSHALL")]


class Scene:
    """What was there before the step. fresh jobs come with the step and may be lost with it; the others may not."""

    def __init__(self, shard: Shard):
        self.shard = shard
        self.jobs = [new_job() for _ in range(3)]
        self.fresh: list[bytes] = []
        self.ids: list[bytes] = []

    def claimed(self) -> list[bytes]:
        for job in self.jobs:
            self.shard.enqueue(job)
        self.ids = self.shard.claim("c1")
        return self.ids


def claimed(scene):
    scene.claimed()


def parked(scene):
    scene.shard.call("park", "c1", *scene.claimed())


def delayed(scene):
    for job in scene.jobs:
        scene.shard.enqueue(job, due=scene.shard.now() + MINUTE)
    for job in scene.jobs:
        scene.shard.r.zadd(scene.shard.key("d"), {job: 1})


def far(scene):
    for job in scene.jobs:
        scene.shard.enqueue(job, due=scene.shard.now() + MINUTE)


def handed_back(scene):
    scene.shard.call("hand_back", "q", "c1", 0, *scene.claimed())


def in_quarantine(scene):
    scene.shard.call("suspect", "c1", "SIGSEGV", *scene.claimed())


def orphaned(scene):
    scene.shard.r.xack(scene.shard.key("s"), "g", *scene.claimed())


def nothing(scene):
    scene.jobs, scene.fresh = [], scene.jobs


def per_id(scene, *more):
    return [part for e, job in zip(scene.ids, scene.jobs) for part in (e, *(m(job) if callable(m) else m for m in more))]


def add(scene):
    due = scene.shard.now() + MINUTE
    a, b, c = scene.fresh
    scene.shard.call("add", 0, header(a), b"p", due, header(b), b"p", 0, header(c), b"p")


def enqueue(scene):
    due = scene.shard.now() + MINUTE
    scene.shard.call("enqueue", 100, *[part for i, job in enumerate(scene.fresh)
                                       for part in (job, b"b" * 16, due if i == 1 else 0, header(job), b"p")])


STEPS = {
    "add": (nothing, add),
    "enqueue": (nothing, enqueue),
    "retry": (claimed, lambda s: s.shard.call("retry", "c1", *per_id(s, MINUTE, header))),
    "dead": (claimed, lambda s: s.shard.call("dead", "c1", *per_id(s, b"{}"))),
    "park": (claimed, lambda s: s.shard.call("park", "c1", *s.ids)),
    "unpark": (parked, lambda s: s.shard.call("unpark", "", 100, 2, "demo", 1)),
    "promote": (delayed, lambda s: s.shard.call("promote", 100)),
    "due_now": (far, lambda s: s.shard.call("due_now", s.jobs[0])),
    "snooze": (far, lambda s: s.shard.call("snooze", s.jobs[0], 1)),
    "suspect": (claimed, lambda s: s.shard.call("suspect", "c1", "SIGSEGV", *s.ids)),
    "lone": (in_quarantine, lambda s: s.shard.call("lone", "c2")),
    "hand_back": (claimed, lambda s: s.shard.call("hand_back", "q", "c1", 0, *s.ids)),
    "sweep": (handed_back, lambda s: s.shard.call("sweep", "c2", 100, MINUTE)),
    "renew": (claimed, lambda s: s.shard.call("renew", "c1", *per_id(s, lambda job: job, 5))),
    "mend": (orphaned, lambda s: s.shard.call("mend", "", 100)),
    "epoch": (claimed, lambda s: s.shard.call("epoch", "ready run 7", "rebuilding 8")),
    "settle": (claimed, lambda s: s.shard.settle(s.ids, long=s.jobs, outcomes={job: b"o" for job in s.jobs})),
}


def homes(shard: Shard) -> set[bytes]:
    r = shard.r
    at_home = set(r.zrange(shard.key("d"), 0, -1)) & set(r.hkeys(shard.key("dh")))
    kept = {job for k in ("o:0", "o:1") for job in r.hkeys(shard.key(k))} - {b"@"}
    return at_home | set(shard.entries()) | set(r.hkeys(shard.key("p"))) | set(r.hkeys(shard.key("dead"))) | kept


def heal(shard: Shard) -> None:
    shard.call("group")
    assert shard.call("epoch", shard.depth()["epoch"], "rebuilding 99") == 1
    cursor = b""
    while True:
        cursor, _ = shard.call("mend", cursor, 100)
        if cursor == b"":
            break
    before = shard.now()
    while shard.now() <= before + 1:
        pass
    shard.r.delete(shard.key("l"))
    shard.call("sweep", "healer", 1000, 1)


@pytest.fixture
def log(redis_server, admin):
    """What was answered is in the file: with everysec Redis may write up to two seconds late, when the disk is slow."""
    admin.config_set("appendfsync", "always")
    yield Log(redis_server)
    admin.config_set("appendfsync", "everysec")


@pytest.mark.parametrize("name", STEPS)
def test_every_beginning_of_a_step_leaves_every_job_a_home(admin, log, name):
    setup, step = STEPS[name]
    shard = Shard(admin)
    start = log.size()
    shard.begin()
    scene = Scene(shard)
    setup(scene)
    middle = log.size()
    step(scene)
    writes = log.since(middle)
    before = log.since(start)[: -len(writes)]
    assert writes
    for n in range(len(writes) + 1):
        admin.flushall()
        for command in before + writes[:n]:
            admin.execute_command(*command)
        there = homes(shard)
        missing = set(scene.jobs) - there
        assert not missing, (name, n, writes[:n])
        remembered = {k for i in ("i:0", "i:1") for k in admin.hkeys(shard.key(i))} - {b"@"}
        assert remembered <= there  # a key of a job that is not there would swallow its repetition
        if n == len(writes):
            assert set(scene.fresh) <= there
        assert set(admin.zrange(shard.key("d"), 0, -1)) <= set(admin.hkeys(shard.key("dh")))  # a walk names what is there
        if name != "mend":
            assert shard.call("mend", "", 100)[1] == 0  # nothing acknowledged is left undeleted
        heal(shard)
        assert set(scene.jobs) <= homes(shard), (name, n)
        d = shard.depth()
        assert d["gap"] == 0
        assert d["entries"] - d["pending"] == len(shard.claim("reader", 1000))  # nothing waits that nobody can read
        assert shard.depth()["pending"] == admin.xlen(shard.key("s"))  # and nothing is held that is not there


def test_a_log_cut_inside_a_step_loses_that_step_alone(tmp_path):
    """With redis-check-aof --fix before the start (ops does it), also at the second start."""
    server = Redis(tmp_path / "redis-home", settings={"appendfsync": "always"})
    server.start()
    r = redis.Redis.from_url(server.admin_url, protocol=2)
    r.function_load(library())
    shard, job = Shard(r), new_job()
    shard.begin()
    shard.enqueue(job)
    [e] = shard.claim("c1")
    log = Log(server)
    before = log.size()
    shard.call("retry", "c1", e, MINUTE, header(job))
    after = log.size()
    server.kill9()
    kept = tmp_path / "kept"
    shutil.copytree(server.dir, kept)
    for cut in range(before + 5, after, max(1, (after - before) // 5)):
        shutil.rmtree(server.dir)
        shutil.copytree(kept, server.dir)
        with log.path.open("rb+") as f:
            f.truncate(cut)
        server.start()
        assert shard.pending("c1") == [e] and shard.r.zcard(shard.key("d")) == 0
        later = new_job()
        shard.enqueue(later)
        server.kill9()
        server.start()
        assert set(shard.entries()) == {job, later}
        server.kill9()
