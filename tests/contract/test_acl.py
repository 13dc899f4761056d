"""The table of Redis rights (queues/include/queues/acl.def): each role can do its work, nothing in the table is superfluous, and
what is not in it is refused."""
import re

import pytest
import redis

from conftest import ROOT, library
from shard import VERSION, Shard, header, new_job

TABLE = ROOT / "queues" / "include" / "queues" / "acl.def"
MINUTE = 60000


def selectors(role: str) -> list[str]:
    rows = re.findall(r'^R\((\w+), "[^"]*",\s*((?:(?:FCALL\(|FCALL_RO\()?"[^"]*"\)?\s*)+)\)$', TABLE.read_text(encoding="utf-8"), re.M)
    assert len(rows) == TABLE.read_text(encoding="utf-8").count("\nR(")
    return ["".join(words(text)) for who, text in rows if who in (role.upper(), "EVERY")]


def words(text: str) -> list[str]:
    """Of one row's text; of the Functions, those of this version: the tests load no other."""
    found = re.findall(r'(?:(FCALL|FCALL_RO)\()?"([^"]*)"', text)
    return [f"+{kind.lower()}|pen_{word}_{VERSION} " if kind else word for kind, word in found]


def log_in(admin, role: str, rules: list[str]) -> redis.Redis:
    admin.acl_deluser(role)
    admin.execute_command("ACL", "SETUSER", role, "on", ">secret", "resetkeys", "resetchannels", "-@all", "clearselectors",
                          *[f"({rule})" for rule in rules])
    server = admin.get_connection_kwargs()
    return redis.Redis(host=server["host"], port=server["port"], username=role, password="secret", protocol=2, client_name="x")


def process(r: redis.Redis) -> None:
    """What every process does."""
    r.ping()
    r.set("pen:w:host:1", "{}", ex=10)
    r.zadd("pen:w", {"host:1": 1})


def listen(r: redis.Redis, channel: str) -> None:
    p = r.pubsub()
    p.subscribe(channel)
    p.get_message(timeout=5)
    p.unsubscribe(channel)
    p.get_message(timeout=5)
    p.close()


class Stage:
    """A shard with something of everything in it, set up by the administrator."""

    def __init__(self, admin):
        admin.flushall()
        self.admin, self.all = admin, Shard(admin)
        self.all.begin()
        self.jobs = [new_job() for _ in range(12)]
        for job in self.jobs:
            self.all.enqueue(job, due=self.all.now() + 5 * MINUTE if job in self.jobs[8:] else 0)
        self.ids = self.all.claim("c1", 6)
        self.all.call("park", "c1", self.ids[0])
        self.all.call("dead", "c1", self.ids[1], b"{}")
        self.all.call("hand_back", "q", "c1", 0, self.ids[5])
        hour = self.all.steady_hour()
        for k in "iox":  # of two hours ago, still there: has to be emptied by whoever comes first
            admin.hset(self.all.key(f"{k}:{hour % 2}"), "@", hour - 2)
        last = int(admin.xinfo_stream(self.all.key("s"))["last-generated-id"].split(b"-")[0])
        admin.xadd(self.all.key("s"), {"h": header(new_job()), "p": b"{}"}, id=f"{last + MINUTE}-0")  # whoever adds must look how far it is


def api(stage: Stage, r: redis.Redis) -> None:
    s, due = Shard(r), stage.all.now() + 2 * MINUTE
    process(r)
    s.add(new_job(False))
    s.add(new_job(False), due=due)
    s.enqueue(new_job(), b"k" * 16, b"b" * 16)
    s.enqueue(new_job(), b"k" * 16, b"b" * 16)
    s.enqueue(new_job(), due=due - 1)
    s.call("due_now", stage.jobs[10])
    s.call("snooze", stage.jobs[11], 1)
    s.call("cancel", stage.jobs[8], 1, b"cancelled 409 {}")
    s.call("cancel", stage.jobs[3], 1, b"cancelled 409 {}")
    s.call("depth")
    for job in stage.jobs:
        s.call("find", job)
    r.publish("pen:done", b"x")
    r.publish("pen:ask", b"x")
    listen(r, "pen:done")
    r.zrangebyscore("pen:w", 0, 1)
    r.mget("pen:w:host:1", "pen:w:host:2")
    r.info("memory")


def worker(stage: Stage, r: redis.Redis) -> None:
    s, ids, jobs = Shard(r), stage.ids, stage.jobs
    process(r)
    s.add(new_job(False))
    s.add(new_job(False), due=stage.all.now() + MINUTE)
    s.enqueue(new_job(), b"k" * 16, b"b" * 16)  # a bulk action runs a dead one again
    stage.all.call("cancel", jobs[2], 1, b"")
    hour = stage.all.now() // 3600000
    stage.admin.hset(s.key(f"x:{hour % 2}"), jobs[3], 1)
    s.call("cancels", *jobs)
    s.call("renew", "c1", ids[2], jobs[2], 5, ids[3], jobs[3], 0)
    s.call("sweep", "c2", 10, 100000)
    more = s.claim("c1", 2)
    s.call("suspect", "c1", "SIGSEGV", more[0])
    s.call("lone", "c3")
    r.hdel(s.key("c"), jobs[6])
    s.call("retry", "c1", ids[2], MINUTE // 2, header(jobs[2]))
    s.call("park", "c1", ids[3])
    s.call("unpark", "", 10, 2, "demo", 1)
    s.call("dead", "c1", ids[4], b"{}")
    s.call("hand_back", "q", "c2", 0, ids[5])
    s.pending("handback")
    s.settle([ids[5]], long=[jobs[5]], outcomes={jobs[5]: b"x"})
    r.publish("pen:done", b"x")
    listen(r, "pen:wake")
    listen(r, "pen:ask")


def scheduler(stage: Stage, r: redis.Redis) -> None:
    s, a = Shard(r), stage.admin
    process(r)
    r.function_load(library(), replace=True)
    try:
        r.execute_command("BGREWRITEAOF")
    except redis.exceptions.ResponseError as e:
        if "already in progress" not in str(e):  # of the play before
            raise
    r.info("server")
    s.call("epoch", "ready run 7", "rebuilding 8")
    r.get(s.key("e"))
    s.call("group")
    a.xgroup_destroy("pen:{q:0}:s", "g")
    s.call("group")
    a.xack("pen:{q:0}:s", "g", *Shard(a).claim("c9", 2))
    s.call("mend", "", 10)
    while s.call("collect", 0) == 0 and a.xinfo_consumers("pen:{q:0}:s", "g"):
        pass
    for home in "sdp":
        s.call("walk", "", 10, keys=[s.key(home)])
    s.add(new_job(False))
    s.add(new_job(False), due=stage.all.now() + MINUTE)
    a.zadd(s.key("d"), {stage.jobs[8]: 1})
    s.call("promote", 10)
    s.call("depth")
    assert r.execute_command("HRANDFIELD", s.key("dead"), 10, "WITHVALUES")
    s.call("drop", stage.jobs[1], 0)
    r.publish("pen:done", b"x")
    listen(r, "pen:due")
    r.zremrangebyscore("pen:w", 0, 1)


ROLES = {"api": api, "worker": worker, "scheduler": scheduler}


def play(admin, role: str, rules: list[str]) -> str | None:
    """What was refused, if anything."""
    stage = Stage(admin)
    r = log_in(admin, role, rules)
    try:
        ROLES[role](stage, r)
    except redis.exceptions.NoPermissionError as e:
        return str(e)
    except redis.exceptions.ResponseError as e:
        if "The user executing the script can't" in str(e) or "ACL failure in script" in str(e):  # by 7.0, and by later ones
            return str(e)
        raise
    finally:
        r.close()
    return None


@pytest.fixture
def nobody(admin):
    yield admin
    for role in ROLES:
        admin.acl_deluser(role)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_can_do_its_work(nobody, role):
    assert play(nobody, role, selectors(role)) is None


@pytest.mark.parametrize("role", ROLES)
def test_nothing_in_the_table_is_superfluous(nobody, role):
    rules = selectors(role)
    needless = []
    for i, rule in enumerate(rules):
        for word in rule.split():
            others = " ".join(w for w in rule.split() if w != word)
            if word[0] in "+&" and play(nobody, role, [*rules[:i], others, *rules[i + 1 :]]) is None:
                needless.append((rule, word))
            if word[0] == "~":  # would reading be enough?
                reading = others + " %R" + word
                if play(nobody, role, [*rules[:i], reading, *rules[i + 1 :]]) is None:
                    needless.append((rule, "write on " + word))
            if word[0] in "~%" and others.count("pen:") and play(nobody, role, [*rules[:i], others, *rules[i + 1 :]]) is None:
                needless.append((rule, word))
    assert needless == []


REFUSED = {
    "api": [f"FCALL pen_settle_{VERSION} 0", f"FCALL pen_promote_{VERSION} 0", "XDEL pen:{q:0}:s 1-1", "XREADGROUP GROUP g c STREAMS pen:{q:0}:s >",
            "SET pen:{q:0}:e x", "XACK pen:{q:0}:s g 1-1", "FUNCTION LOAD x", "PUBLISH pen:wake q", "HDEL pen:{q:0}:dead x",
            "SUBSCRIBE pen:due", "ZREM pen:w x", "INFO", "INFO clients"],
    "worker": [f"FCALL pen_due_now_{VERSION} 0", f"FCALL pen_epoch_{VERSION} 0", f"FCALL pen_cancel_{VERSION} 0", "XGROUP DELCONSUMER pen:{q:0}:s g c",
               "XGROUP DESTROY pen:{q:0}:s g", "SET pen:{q:0}:e x", "HDEL pen:{q:0}:dead x", "FUNCTION LOAD x", "BGREWRITEAOF",
               "GET pen:w:host:1", "SUBSCRIBE pen:done"],
    "scheduler": [f"FCALL pen_settle_{VERSION} 0", f"FCALL pen_enqueue_{VERSION} 0", "XREADGROUP GROUP g c STREAMS pen:{q:0}:s >",
                  "XGROUP DESTROY pen:{q:0}:s g", f"FUNCTION DELETE penstock_{VERSION}", "FUNCTION FLUSH", "HSET pen:{q:0}:dead x y",
                  "SUBSCRIBE pen:done"],
    "anybody": ["EVAL return 0", "SCRIPT LOAD x", "CONFIG GET *", "CONFIG SET maxmemory 1", "KEYS *", "SCAN 0", "FLUSHALL",
                "FLUSHDB", "XTRIM pen:{q:0}:s MAXLEN 0", "RESTORE k 0 x", "ACL LIST", "SHUTDOWN", "DEL pen:{q:0}:s",
                "GET other", "SET other x", "XADD other:s * h x", "HSET other:q x y", "PUBLISH other x", "PSUBSCRIBE *",
                "MONITOR", "CLIENT KILL TYPE normal", "XGROUP SETID pen:{q:0}:s g 0", "RENAME pen:{q:0}:s x", "UNLINK pen:{q:0}:s",
                "MIGRATE h 1 k 0 1", "SAVE", f"FCALL pen_add_{VERSION} 5 a b c d e", "REPLICAOF NO ONE", "SLAVEOF NO ONE"],
}


@pytest.mark.parametrize("role", ROLES)
def test_what_is_not_in_the_table_is_refused(nobody, role):
    Stage(nobody)
    r = log_in(nobody, role, selectors(role))
    for command in REFUSED[role] + REFUSED["anybody"]:
        with pytest.raises(redis.exceptions.NoPermissionError):
            r.execute_command(*command.split())
            pytest.fail(f"{role} may {command}")
    r.close()


def test_nobody_connects_without_a_name(redis_server):
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(host="127.0.0.1", port=redis_server.port).ping()
