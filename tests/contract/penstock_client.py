"""A client of the queue protocol, written from queues/PROTOCOL.md alone (the numbers below are its sections). It enqueues,
claims, renews, retries and settles stream-class jobs beside Penstock's own workers; the contract tests run it so."""
import hashlib
import json
import os
import socket
import struct
import time
import uuid
from dataclasses import dataclass, field, replace

import redis

FUNCTIONS, HEADER, STREAM_CLASS = 2, 2, 1
ACCEPTED, KNOWN, OTHER_BODY, FULL = 1, 0, 2, -1
LEASE_MS, RENEW_EVERY_S, BLOCK_MS, BATCH = 10000, 3.0, 2000, 64
PLACES = ["nowhere", "ended", "running", "delayed", "parked", "dead"]


class Undecodable(ValueError):
    """Not a header of version 2, nor of version 1 (3)."""


@dataclass(frozen=True)
class Header:
    id: bytes
    type: str
    tenant: str = "default"
    root: bytes = b""
    schema_version: int = 1
    generation: int = 0
    attempt: int = 0
    deadline_ms: int = 0
    trace_id: bytes = field(default_factory=lambda: os.urandom(16))
    span_id: bytes = field(default_factory=lambda: os.urandom(8))
    trace_flags: int = 1
    errors: bytes = b""

    FIXED, FIXED_1 = struct.Struct("<BBH16s"), struct.Struct("<BBH16s16sIIqq16s8sB")
    TRIED, ROOT, DEADLINE, TRACE = 2, 4, 8, 16

    def encode(self) -> bytes:
        root = self.root or self.id
        trace = self.trace_id + self.span_id + bytes([self.trace_flags])
        parts = [  # flag, bytes, whether they are there
            (self.TRIED, struct.pack("<II", self.generation, self.attempt), self.generation or self.attempt),
            (0, b"".join(bytes([len(n)]) + n for n in (self.tenant.encode(), self.type.encode())), True),
            (self.ROOT, root, root != self.id),
            (self.DEADLINE, struct.pack("<q", self.deadline_ms), self.deadline_ms),
            (self.TRACE, trace, any(trace)),
        ]
        flags = sum(flag for flag, _, there in parts if there)
        return self.FIXED.pack(HEADER, flags, self.schema_version, self.id) + b"".join(b for _, b, there in parts if there) + self.errors

    @classmethod
    def decode(cls, h: bytes) -> "Header":
        try:
            return {1: cls.decode_1, 2: cls.decode_2}[h[0]](h)
        except (IndexError, KeyError, struct.error) as e:
            raise Undecodable(f"{len(h)} bytes, version {h[:1].hex()}") from e

    @classmethod
    def decode_2(cls, h: bytes) -> "Header":
        _, flags, schema, job = cls.FIXED.unpack_from(h)
        at = cls.FIXED.size

        def take(layout: str, flag: int, absent: tuple) -> tuple:
            nonlocal at
            values = struct.unpack_from(layout, h, at) if flags & flag else absent
            at += struct.calcsize(layout) if flags & flag else 0
            return values

        generation, attempt = take("<II", cls.TRIED, (0, 0))
        tenant, kind, at = cls.names(h, at)
        (root,) = take("16s", cls.ROOT, (job,))
        (deadline,) = take("<q", cls.DEADLINE, (0,))
        trace = take("<16s8sB", cls.TRACE, (bytes(16), bytes(8), 0))
        return cls(job, kind, tenant, root, schema, generation, attempt, deadline, *trace, h[at:])

    @classmethod
    def decode_1(cls, h: bytes) -> "Header":
        _, _, schema, job, root, generation, attempt, _, deadline, trace, span, flags = cls.FIXED_1.unpack_from(h)
        tenant, kind, at = cls.names(h, cls.FIXED_1.size)
        if h[at:] and (len(h) < at + 2 or struct.unpack_from("<H", h, at)[0] != len(h) - at - 2):
            raise Undecodable("errors")
        return cls(job, kind, tenant, root, schema, generation, attempt, deadline, trace, span, flags, h[at + 2 :])

    @staticmethod
    def names(h: bytes, at: int) -> tuple[str, str, int]:
        found = []
        for _ in range(2):
            n = h[at] if at < len(h) else 0
            if n == 0 or at + 1 + n > len(h):
                raise Undecodable("names")
            found.append(h[at + 1 : at + 1 + n].decode())
            at += 1 + n
        return found[0], found[1], at


def new_job_id(queue_number: int, shard: int, stream_class: int = STREAM_CLASS) -> bytes:
    b = bytearray(int(time.time() * 1000).to_bytes(6, "big") + os.urandom(10))
    b[6] = 0x70 | b[6] & 0x0F
    b[8] = 0x80 | stream_class << 5 | queue_number >> 5
    b[9] = (queue_number & 31) << 3 | shard >> 1
    b[10] = (shard & 1) << 7 | b[10] & 0x7F
    return bytes(b)


def pick_shard(n: int, a: bytes, b: bytes = b"") -> int:
    h = 14695981039346656037
    for byte in a + b"\0" + b:
        h = (h ^ byte) * 1099511628211 % 2**64
    return h % n


def digest(*parts: bytes) -> bytes:
    return hashlib.sha256(b"\0".join(parts)).digest()[:16]


@dataclass
class Entry:
    id: bytes
    header: bytes
    payload: bytes
    started_ms: int = 0
    listed: bool = False  # may stand in :r

    @property
    def job(self) -> Header:
        return Header.decode(self.header)


@dataclass
class Entered:
    verdict: int
    id: bytes


class Client:
    """One shard of one queue. Not for several threads: the blocking read has a connection of its own, the rest share another."""

    def __init__(self, r: redis.Redis, queue: str, number: int, shard: int = 0, slot: int = 0):
        self.r, self.queue, self.number, self.shard = r, queue, number, shard
        self.consumer = f"{socket.gethostname()}:{slot}:{os.getpid()}-{uuid.uuid4().hex[:12]}"  # never used again
        self.held: dict[bytes, Entry] = {}

    def key(self, end: str) -> str:
        return f"pen:{{{self.queue}:{self.shard}}}:{end}"

    def _call(self, step: str, ends: str, *args, reads: bool = False):
        keys = [self.key(e) for e in ends.split()]
        return self.r.execute_command("FCALL_RO" if reads else "FCALL", f"pen_{step}_{FUNCTIONS}", len(keys), *keys, *args)

    # 4. Putting in

    def enqueue(self, type: str, payload: bytes, *, tenant: str = "default", key: str = "", due_ms: int = 0, deadline_ms: int = 0,
                depth_limit: int = 100000) -> Entered:
        h = Header(new_job_id(self.number, self.shard), type, tenant, deadline_ms=deadline_ms)
        key_hash = digest(tenant.encode(), key.encode()) if key else b""
        body_hash = digest(type.encode(), payload)
        reply = self._call("enqueue", "s d dh n i:0 i:1", depth_limit, key_hash, body_hash, due_ms, h.encode(), payload)
        return Entered(*reply)

    # 5. Claiming

    def claim(self, count: int = 1, block_ms: int = BLOCK_MS) -> list[Entry]:
        reply = self.r.execute_command("XREADGROUP", "GROUP", "g", self.consumer, "COUNT", count, "BLOCK", block_ms, "STREAMS",
                                       self.key("s"), ">")
        return self._hold([e for _, entries in reply or [] for e in entries])

    def sweep(self, room: int = BATCH, lease_ms: int = LEASE_MS) -> list[Entry]:
        entries, _ = self._call("sweep", "s l c", self.consumer, room, lease_ms)
        new = [e for e in entries if e[0] not in self.held]
        return self._hold(new, listed=True)

    def _hold(self, entries: list, listed: bool = False) -> list[Entry]:
        """Of what came in, what may be run: the rest is ended at once, as section 5 says."""
        found = []
        for entry_id, fields in entries:
            parts = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2]))
            entry = Entry(entry_id, parts.get(b"h", b""), parts.get(b"p", b""), listed=listed)
            self.held[entry_id] = entry
            if len(entry.header) > 20 and entry.header[0] > HEADER:
                self.park(entry)
                continue
            try:
                found.append((entry, entry.job))
            except Undecodable as e:
                self.bury(entry, "undecodable", str(e))
        now = int(time.time() * 1000)
        late = [e for e, job in found if job.deadline_ms and job.deadline_ms < now]
        self.settle(*late, how="expired")
        found = [(e, job) for e, job in found if e not in late]
        wanted = self._call("cancels", "x:0 x:1", *[job.id for _, job in found], reads=True) if found else []
        cancelled = [e for (e, _), w in zip(found, wanted) if w]
        self.settle(*cancelled, how="cancelled")
        return [e for e, _ in found if e not in cancelled]

    def start(self, entry: Entry) -> None:
        entry.started_ms = int(time.time() * 1000)

    def renew(self) -> tuple[list[Entry], list[Entry]]:
        """Everything held; (lost, to be cancelled). What is lost is not held any more."""
        now, lost, cancel = int(time.time() * 1000), [], []
        held = list(self.held.values())
        for i in range(0, len(held), BATCH):
            args = []
            for e in held[i : i + BATCH]:
                long = e.started_ms and now - e.started_ms > 1000
                e.listed = e.listed or bool(long)
                args += [e.id, e.job.id, e.started_ms if long else 0]
            gone, wanted = self._call("renew", "s r x:0 x:1 l", self.consumer, *args)
            lost += [self.held.pop(x) for x in gone]
            cancel += [self.held[x] for x in wanted]
        return lost, cancel

    def hand_back(self, *entries: Entry) -> list[bytes]:
        return self._end(entries, self._call("hand_back", "s", self.queue, self.consumer, 0, *[e.id for e in entries]))

    # 6. Ending

    def settle(self, *entries: Entry, how: str = "done", outcomes: dict[bytes, bytes] | None = None) -> None:
        if not entries:
            return
        counts = [len(entries) if how == h else 0 for h in ("journal", "done", "cancelled", "expired")]
        running = [e.job.id for e in entries if e.listed]
        kept = [x for pair in (outcomes or {}).items() for x in pair]
        self._call("settle", "s r n o:0 o:1", *counts, len(running), *[e.id for e in entries], *running, *kept)
        self._end(entries, [])

    def retry(self, entry: Entry, delay_ms: int, error: str = "", charge: bool = True) -> bool:
        """False: the entry was lost, and the attempt does not count."""
        job = entry.job
        if charge:
            errors = (json.loads(job.errors or b"[]") + [error])[-5:]
            job = replace(job, attempt=job.attempt + 1, errors=json.dumps(errors).encode())
        return not self._end([entry], self._call("retry", "s d dh r n", self.consumer, entry.id, delay_ms, job.encode()))

    def park(self, *entries: Entry) -> list[bytes]:
        return self._end(entries, self._call("park", "s p r n", self.consumer, *[e.id for e in entries]))

    def _end(self, entries, lost: list[bytes]) -> list[bytes]:
        for e in entries:
            self.held.pop(e.id, None)
        return lost

    # 7. Dead

    def bury(self, entry: Entry, code: str, detail: str) -> bool:
        try:
            attempts = entry.job.attempt
        except Undecodable:
            attempts = 0
        reason = {"attempts": attempts, "fingerprint": code, "errors": [{"code": code, "detail": detail}]}
        return not self._end([entry], self._call("dead", "s dead r n", self.consumer, entry.id, json.dumps(reason)))

    # 8, 9. The rest

    def promote(self, limit: int = 100) -> int:
        return self._call("promote", "s d dh", limit)[0]

    def cancel(self, job: bytes) -> bool:
        """True: it was delayed or parked and is gone. Otherwise the request stands."""
        return bool(self._call("cancel", "d dh p x:0 x:1 n o:0 o:1", job, STREAM_CLASS, b"cancelled 409 {}"))

    def find(self, job: bytes) -> tuple[str, int, bytes]:
        place, ms, outcome = self._call("find", "o:0 o:1 r d p dead", job, reads=True)
        return PLACES[place], ms, outcome

    def depth(self) -> dict[str, int]:
        entries, pending, back, delayed, parked, dead, _, _, _, _, n = self._call("depth", "s d p dead n e", reads=True)
        n = {k.decode(): int(v) for k, v in zip(n[::2], n[1::2])}
        came = sum(n.get(k, 0) for k in ("base", "jin", "accepted"))
        went = sum(n.get(k, 0) for k in ("jout", "done", "cancelled", "expired", "dead", "merged"))
        return {"waiting": entries - pending + back, "running": pending - back, "delayed": delayed, "parked": parked,
                "dead": dead, "gap": came - went - entries - delayed - parked}
