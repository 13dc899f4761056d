"""The simulator's Redis (tests/sim/mini_*.c) beside a real one: the same random calls, and after each of them the same replies and the same
data. What the simulator proves it proves with this Redis, so it must be one."""
import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from conftest import library
from shard import VERSION, header

KEYS = {end: f"pen:{{q:0}}:{end}" for end in ("s", "d", "dh", "p", "x:0", "x:1", "i:0", "i:1", "o:0", "o:1", "r", "n", "e", "l", "c", "dead")}
CALLS = 150
AN_HOUR_AGO = 3600_000


class Sim:
    """sim_cluster --redis, spoken to in Redis's protocol."""

    def __init__(self):
        program = Path(os.environ["TEST_BUILD"]) / "tests" / "sim" / "sim_cluster"
        self.process = subprocess.Popen([program, "--redis"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def execute_command(self, *words):
        data = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.process.stdin.write(b"*%d\r\n" % len(data) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in data))
        self.process.stdin.flush()
        return self.read()

    def read(self):
        out = self.process.stdout
        line = out.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"*":
            return [self.read() for _ in range(int(rest))]
        if kind == b"$":
            return None if rest == b"-1" else out.read(int(rest) + 2)[:-2]
        assert kind in b":+-", f"the simulator's Redis ended: {line!r}"
        return int(rest) if kind == b":" else rest

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(10) == 0


@pytest.fixture
def sim():
    s = Sim()
    assert s.execute_command("FUNCTION", "LOAD", "REPLACE", library()) == f"penstock_{VERSION}".encode()
    yield s
    s.close()


class Side:
    """One of the two: its own ids of entries, in the order in which they came."""

    def __init__(self, ask):
        self.ask, self.ids = ask, []

    def note_entries(self):
        for entry_id, _ in self.ask("XRANGE", KEYS["s"], "-", "+"):
            if entry_id not in self.ids:
                self.ids.append(entry_id)

    def plain(self, value):
        """Without what may differ: ids by number, times by their kind."""
        if isinstance(value, list):
            return [self.plain(v) for v in value]
        if value in self.ids:
            return f"#{self.ids.index(value)}"
        if isinstance(value, int) and value > 10**12 or isinstance(value, bytes) and value.isdigit() and len(value) > 12:
            return "a time"
        return value

    def state(self):
        self.note_entries()
        pending = [[p[0], p[1], p[3]] for p in self.ask("XPENDING", KEYS["s"], "g", "-", "+", 1000)]
        consumers = sorted((c[c.index(b"name") + 1], c[c.index(b"pending") + 1]) for c in self.ask("XINFO", "CONSUMERS", KEYS["s"], "g"))
        hashes = {}
        for end in ("dh", "p", "r", "n", "c", "dead", "x:0", "x:1", "i:0", "i:1", "o:0", "o:1"):
            flat = self.ask("HGETALL", KEYS[end])
            hashes[end] = sorted((flat[i], self.plain(flat[i + 1])) for i in range(0, len(flat), 2))
        delayed = self.ask("ZRANGEBYSCORE", KEYS["d"], "-inf", 2**52, "LIMIT", 0, 1000)
        return self.plain(self.ask("XRANGE", KEYS["s"], "-", "+")), self.plain(pending), consumers, hashes, delayed, self.ask("GET", KEYS["e"])


class Calls:
    """Random ones, the same for both sides; entries are named by their number."""

    def __init__(self, seed: int):
        self.random, self.entries, self.parked = random.Random(seed), 0, 0
        self.jobs = [bytes([self.random.randrange(256) for _ in range(16)]) for _ in range(12)]

    def head(self) -> bytes:
        return header(self.random.choice(self.jobs), attempt=self.random.randrange(3), generation=self.random.randrange(2))

    def due(self, now: int) -> int:
        return self.random.choice([0, now - 1, now + AN_HOUR_AGO, now + 2 * AN_HOUR_AGO])

    def some(self) -> list[int]:
        return [self.random.randrange(max(self.entries, 1)) for _ in range(self.random.randint(1, 3))] if self.entries else []

    def fcall(self, name: str, keys: str, *rest, reads: bool = False):
        names = [KEYS[end] for end in keys.split()]
        return ["FCALL_RO" if reads else "FCALL", f"pen_{name}_{VERSION}", len(names), *names, *rest]

    def next(self, now: int):
        r, consumer, job = self.random, f"c{self.random.randrange(3)}", self.random.choice(self.jobs)
        ids = self.some()
        choices = [
            lambda: self.fcall("add", "s d dh n e", self.due(now), self.head(), b"{}", self.due(now), self.head(), b"p"),
            lambda: self.fcall("enqueue", "s d dh n i:0 i:1", 20, r.choice([b"", b"k" * 16, b"l" * 16]), r.choice([b"b" * 16, b"c" * 16]),
                               self.due(now), self.head(), b"{}"),
            lambda: ["XREADGROUP", "GROUP", "g", consumer, "COUNT", r.randint(1, 3), "STREAMS", KEYS["s"], ">"],
            lambda: self.fcall("renew", "s r x:0 x:1 l", consumer, *[v for i in ids for v in (i, job, r.choice([0, now - 5000]))]),
            lambda: self.fcall("settle", "s r n o:0 o:1", len(ids), 0, 0, 0, 1, *ids, job, *r.choice([[], [job, b"done 200 {}"]])),
            lambda: self.fcall("retry", "s d dh r n", consumer, *[v for i in ids for v in (i, AN_HOUR_AGO, self.head())]),
            lambda: self.fcall("dead", "s dead r n", consumer, *[v for i in ids for v in (i, b"{}")]),
            lambda: self.fcall("park", "s p r n", consumer, *ids),
            lambda: self.fcall("hand_back", "s", "q", consumer, r.randrange(2), *ids),
            lambda: self.fcall("suspect", "s c", consumer, r.choice([b"", b"SIGSEGV"]), *ids),
            lambda: self.fcall("sweep", "s l c", consumer, r.randint(1, 5), r.choice([0, 1, AN_HOUR_AGO])),
            lambda: self.fcall("lone", "s c", r.choice([consumer, "q0", "q1"])),
            lambda: self.fcall("promote", "s d dh", r.randint(1, 5)),
            lambda: self.fcall("cancel", "d dh p x:0 x:1 n o:0 o:1", job, r.randrange(2), r.choice([b"", b"cancelled 409 {}"])),
            lambda: self.fcall("due_now", "d", job),
            lambda: self.fcall("snooze", "d", job, r.choice([1, AN_HOUR_AGO])),
            lambda: self.fcall("epoch", "e n s d p r", b"", b"rebuilding 7"),
            lambda: self.fcall("mend", "s", b"", 10),
            lambda: self.fcall("cancels", "x:0 x:1", *self.jobs[:3], reads=True),
            lambda: self.fcall("find", "o:0 o:1 r d p dead", job, reads=True),
            lambda: self.fcall("depth", "s d p dead n e", reads=True),
            lambda: ["XPENDING", KEYS["s"], "g"],
            lambda: ["XACK", KEYS["s"], "g", *ids],
            lambda: ["XDEL", KEYS["s"], *ids],
            lambda: ["EXISTS", *KEYS.values()],
        ]
        if self.parked <= 1:  # of several, Redis takes one by chance
            choices.append(lambda: self.fcall("unpark", "s p", b"", 10, 2, b"demo", r.randrange(2)))
        wanted = r.choice(choices)
        needs_ids = wanted in choices[3:10] or wanted in choices[22:24]
        return self.next(now) if needs_ids and not ids else wanted()


def numbered(side: Side, words: list) -> list:
    """Numbers of entries become the side's ids: they stand where no other small integer may be."""
    out, first = list(words), 0
    name = words[1].removesuffix(f"_{VERSION}") if words[0].startswith("FCALL") else words[0]
    groups = {"pen_renew": (9, 3), "pen_retry": (9, 3), "pen_dead": (8, 2), "pen_park": (8, 1), "pen_hand_back": (7, 1),
              "pen_suspect": (7, 1), "XACK": (3, 1), "XDEL": (2, 1)}
    if name == "pen_settle":
        out[13:13 + words[8]] = [side.ids[i] for i in words[13:13 + words[8]]]
    elif name in groups:
        first, step = groups[name]
        for at in range(first, len(words), step):
            out[at] = side.ids[words[at]]
    return out


@pytest.mark.parametrize("seed", range(4))
def test_random_calls__then_the_simulators_redis_does_what_redis_does(sim, admin, seed):
    if not admin.info("server")["redis_version"].startswith("7.0."):
        pytest.skip("the simulator's Redis is 7.0: later ones list consumers that never held an entry")
    real, mini = Side(lambda *w: raw(admin, *w)), Side(sim.execute_command)
    calls, said = Calls(seed), []
    for side in (real, mini):
        side.ask(*calls.fcall("group", "s"))
    for _ in range(CALLS):
        time.sleep(0.002)  # so that what was not renewed is idle for more than a millisecond
        seconds, micros = admin.time()
        now = seconds * 1000 + micros // 1000
        sim.execute_command("CLOCK", now)
        words = calls.next(now)
        said.append(words)
        if words[1] == f"pen_sweep_{VERSION}":
            for side in (real, mini):
                side.ask("DEL", KEYS["l"])
        one, two = [side.plain(side.ask(*numbered(side, words))) for side in (real, mini)]
        states = [side.state() for side in (real, mini)]
        # Who made the call first knows the entries that it added.
        assert one == two or words[0] == "XREADGROUP", f"{said[-3:]}: {one} is not {two}"
        for a, b in zip(*states, strict=True):
            assert a == b, f"after {said[-3:]}"
        calls.entries, calls.parked = len(real.ids), len(states[0][3]["p"])


def raw(admin, *words):
    """A reply as it is on the wire, without the client's conversions; errors as their text."""
    connection = admin.connection_pool.get_connection()
    try:
        connection.send_command(*words)
        return unwrapped(connection.read_response())
    except Exception as e:  # an error reply
        return str(e).encode()
    finally:
        admin.connection_pool.release(connection)


def unwrapped(value):
    return [unwrapped(v) for v in value] if isinstance(value, list) else value
