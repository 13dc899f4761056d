"""One shard of a queue, spoken to by raw calls: the Functions by name, with the keys that queues/src/functions.def says they
take, so that the tests check that table against the library too. Replies are as Redis gives them."""
import re
import struct
import time
import uuid
from pathlib import Path

import redis

ROOT = Path(__file__).resolve().parents[2]
SUFFIX = {
    "KEY_STREAM": "s", "KEY_DELAYED": "d", "KEY_DELAYED_HOME": "dh", "KEY_PARKED": "p", "KEY_CANCEL_0": "x:0",
    "KEY_CANCEL_1": "x:1", "KEY_DEDUPE_0": "i:0", "KEY_DEDUPE_1": "i:1", "KEY_RUNNING": "r", "KEY_OUTCOME_0": "o:0", "KEY_OUTCOME_1": "o:1",
    "KEY_COUNTERS": "n", "KEY_EPOCH": "e", "KEY_SWEEP": "l", "KEY_CRASHES": "c", "KEY_DEAD": "dead",
}
HOUR_MS = 3600000
VERSION = int(re.search(r"define FUNCTIONS_VERSION (\d+)", (ROOT / "queues" / "include" / "queues" / "version.h").read_text(encoding="utf-8"))[1])


def functions() -> dict[str, tuple[bool, list[str]]]:
    """step → (it only reads, the suffixes of its keys)."""
    text = (ROOT / "queues" / "src" / "functions.def").read_text(encoding="utf-8")
    rows = re.findall(r'^F\(\w+, "(\w+)", (true|false), ([^)]*)\)', text, re.M)
    return {name: (reads == "true", [SUFFIX[k.strip()] for k in keys.split(",")]) for name, reads, keys in rows}


FUNCTIONS = functions()


def new_job(stream_class: bool = True) -> bytes:
    b = bytearray(uuid.uuid4().bytes)
    b[8] = 0x80 | (0x20 if stream_class else 0)
    return bytes(b)


TENANT_AND_TYPE, TRACE = b"\x04acme\x04demo", b"t" * 16 + b"s" * 8 + b"\x01"


def header(job: bytes, attempt: int = 0, generation: int = 0) -> bytes:
    tried = struct.pack("<II", generation, attempt) if attempt or generation else b""
    return struct.pack("<BBH16s", 2, 16 | (2 if tried else 0), 1, job) + tried + TENANT_AND_TYPE + TRACE


def header_1(job: bytes, attempt: int = 0, generation: int = 0) -> bytes:
    """Of version 1, as it may still lie in a stream."""
    return struct.pack("<BBH16s16sIIqq", 1, 0, 1, job, job, generation, attempt, 1000, 0) + TRACE + TENANT_AND_TYPE


def home(h: bytes, p: bytes) -> bytes:
    return struct.pack("<H", len(h)) + h + p


class Shard:
    def __init__(self, r: redis.Redis, queue: str = "q", number: int = 0):
        self.r = r
        self.queue = queue
        self.tag = f"pen:{{{queue}:{number}}}"

    def key(self, suffix: str) -> str:
        return f"{self.tag}:{suffix}"

    def call(self, name: str, *args, keys: list[str] | None = None):
        full = f"pen_{name}_{VERSION}"
        reads, suffixes = FUNCTIONS[name]
        keys = keys if keys is not None else [self.key(s) for s in suffixes]
        return self.r.execute_command("FCALL_RO" if reads else "FCALL", full, len(keys), *keys, *args)

    def begin(self) -> None:
        assert self.call("group") == 1
        assert self.call("epoch", "", "rebuilding 7") == 1
        assert self.call("epoch", "rebuilding 7", "ready run 7") == 1

    def now(self) -> int:
        s, us = self.r.time()
        return s * 1000 + us // 1000

    def steady_hour(self) -> int:
        """The hour, at least 20 seconds before its end: what rotates hourly stays put during a test."""
        while self.now() % HOUR_MS > HOUR_MS - 20000:
            time.sleep(0.5)
        return self.now() // HOUR_MS

    def add(self, *jobs: bytes, due: int = 0) -> bytes:
        args = []
        for job in jobs:
            args += [due, header(job), b"payload of " + job.hex().encode()]
        return self.call("add", *args)

    def enqueue(self, job: bytes, key: bytes = b"", body: bytes = b"", due: int = 0, limit: int = 1000000) -> list:
        return self.call("enqueue", limit, key, body, due, header(job), b"payload of " + job.hex().encode())

    def claim(self, consumer: str = "c1", count: int = 100) -> list[bytes]:
        """Entry ids."""
        found = self.r.xreadgroup("g", consumer, {self.key("s"): ">"}, count=count)
        return [entry_id for _, entries in found for entry_id, _ in entries]

    def pending(self, consumer: str) -> list[bytes]:
        return [row["message_id"] for row in self.r.xpending_range(self.key("s"), "g", "-", "+", 1000, consumer)]

    def entries(self) -> dict[bytes, bytes]:
        """Job → entry id of what is in the stream."""
        return {fields[b"h"][4:20]: entry_id for entry_id, fields in self.r.xrange(self.key("s"))}

    def settle(self, ids: list[bytes], how: str = "done", long: list[bytes] = (), outcomes: dict[bytes, bytes] | None = None):
        ends = ["journal", "done", "cancelled", "expired"]
        counts = [len(ids) if e == how else 0 for e in ends]
        kept = [part for pair in (outcomes or {}).items() for part in pair]
        return self.call("settle", *counts, len(long), *ids, *long, *kept)

    def depth(self) -> dict:
        names = ["entries", "pending", "back", "delayed", "parked", "dead", "since", "due", "now", "epoch"]
        reply = self.call("depth")
        d = dict(zip(names, reply))
        n = {k.decode(): int(v) for k, v in zip(reply[10][::2], reply[10][1::2])}
        there = d["entries"] + d["delayed"] + d["parked"]
        came = sum(n.get(k, 0) for k in ("base", "jin", "accepted"))
        went = sum(n.get(k, 0) for k in ("jout", "done", "cancelled", "expired", "dead", "merged"))
        return {**d, "n": n, "gap": came - went - there}


def whole(shard: Shard, **expected) -> None:
    """The depth has these values, and nothing is missing."""
    d = shard.depth()
    assert d["gap"] == 0, d
    assert {k: d[k] if k in d else d["n"].get(k, 0) for k in expected} == expected
