"""Clocks that jump by an hour and back, of workers and of Redis: no job is lost, none is delivered more than once too often."""
import struct
import threading
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest

from observe import CHARGED, attempts
from penstock_ops import ports
from penstock_ops.penstock import Role
from penstock_ops.redis_server import Redis
from stack import PLAIN_BUILD, Client, Stack, new_key

DRAIN_S = 30
# Each jump has so many seconds to do its harm: more than a renewal, a sweep and the leases of what is held.
JUMPS = (("worker", 3600, 3), ("worker", 0, 1), ("worker", -3600, 3), ("worker", 0, 1),
         ("redis", 3600, 6), ("redis", 0, 2), ("redis", -3600, 5), ("redis", 0, 1))


class Clock:
    """What its processes take for the time: the real one and an offset that can be changed."""

    def __init__(self, file: Path):
        self.file = file
        file.write_bytes(bytes(8))

    def jump_to(self, ahead_s: int) -> None:
        with self.file.open("r+b") as f:
            f.write(struct.pack("=q", ahead_s))

    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(PLAIN_BUILD / "clock_jump.so"), "CLOCK_JUMP_FILE": str(self.file)}


class JumpingRedis(Redis):
    clock: Clock

    def environment(self) -> dict[str, str]:
        return super().environment() | self.clock.environment()


@pytest.fixture(scope="module")
def clocks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clocks")
    return {name: Clock(folder / name) for name in ("worker", "redis")}


@pytest.fixture(scope="module")
def stack(tmp_path_factory, clocks):
    made = Stack(tmp_path_factory.mktemp("stack"), build=PLAIN_BUILD)
    made.redis = JumpingRedis(made.dir)
    made.redis.clock = clocks["redis"]
    try:
        made.start(roles=("scheduler",))
        made.roles["worker"] = Role(made.dir, PLAIN_BUILD, "worker", made.conf, clocks["worker"].environment())
        made.roles["worker"].start()
        yield made
    finally:
        made.stop()


class Load:
    """Jobs of every kind of life, without a pause: at once, slow (held over a jump), delayed, and failing once."""

    KINDS = (("demo.note", {"text": "clock"}, {}), ("demo.tally", {"ms": 10}, {}), ("demo.tally", {"ms": 2500}, {}),
             ("demo.note", {"text": "clock"}, {"delay_ms": 1500}), ("demo.tally", {"ms": 10}, {"delay_ms": 2500}), ("demo.fail", {"until": 1}, {}))

    def __init__(self, stack: Stack):
        self.client = Client(stack.api.url)
        self.jobs: dict[str, str] = {}  # id → type
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        while not self.stop.wait(0.02):
            job_type, payload, members = self.KINDS[len(self.jobs) % len(self.KINDS)]
            answer = self.client.post("/v1/jobs", {"type": job_type, "payload": payload, **members}, new_key())
            if answer.status_code == 202:
                self.jobs[answer.json()["id"]] = job_type

    def end(self) -> dict[str, str]:
        self.stop.set()
        self.thread.join()
        return self.jobs


def unfinished(stack, jobs: dict[str, str]) -> set[str]:
    journal = {str(job) for job, in stack.sql("SELECT id FROM platform.job WHERE state = 'done'")}
    tallied = {str(root) for root, in stack.sql("SELECT root_id FROM custom.note WHERE text = 'tally'")}
    return set(jobs) - journal - tallied


def due_in_s(stack, job: str) -> float:
    """By Redis's clock; 0: it is not delayed."""
    with stack.redis_client() as r:
        score = r.zscore("pen:{default:0}:d", uuid.UUID(job).bytes)
        return score / 1000 - r.time()[0] if score else 0


def wall_of(stack) -> int:
    with stack.redis_client() as r:
        return r.time()[0]


def runs(stack) -> Counter:
    return Counter(a["job"] for a in attempts(stack))


def jump(stack, clocks, load: Load) -> int:
    """All of JUMPS. How many jobs came while Redis was an hour ahead."""
    meanwhile = 0
    for name, ahead_s, seconds in JUMPS:
        before = len(load.jobs)
        clocks[name].jump_to(ahead_s)
        if name == "redis":
            assert abs(wall_of(stack) - time.time() - ahead_s) < 5  # it jumps indeed
        ports.wait_until(lambda: False, seconds)
        meanwhile += len(load.jobs) - before if (name, ahead_s) == ("redis", 3600) else 0
    return meanwhile


def test_clock__of_workers_or_redis_jumps_then_nothing_is_lost_and_one_extra_delivery_at_most(stack, clocks):
    load = Load(stack)
    try:
        assert ports.wait_until(lambda: load.jobs and not unfinished(stack, dict(list(load.jobs.items())[:1])), DRAIN_S)
        meanwhile = jump(stack, clocks, load)
    finally:
        jobs = load.end()
    # A delay that began at the wrong hour, just before that ended, is off by it; but what came due by the wrong clock was run by it.
    wrong = [job for job in unfinished(stack, jobs) if due_in_s(stack, job) > 1800]
    assert all(jobs[job] == "demo.fail" for job in wrong) and len(wrong) < meanwhile / len(Load.KINDS) / 2
    clocks["redis"].jump_to(3600)  # the hour passes
    assert ports.wait_until(lambda: not unfinished(stack, jobs), DRAIN_S), Counter(jobs[j] for j in unfinished(stack, jobs))
    wanted = {job: 2 if job_type == "demo.fail" else 1 for job, job_type in jobs.items()}
    assert ports.wait_until(lambda: not [job for job in jobs if runs(stack)[job] < wanted[job]], DRAIN_S)
    extra = {job: n - wanted[job] for job, n in runs(stack).items() if job in jobs}
    print(f"{len(jobs)} jobs, {len(wrong)} with a delay of the wrong hour, {sum(extra.values())} extra deliveries")
    assert max(extra.values()) <= 1, Counter(jobs[j] for j, n in extra.items() if n > 1)
    charged = {a["job"] for a in attempts(stack) if a["outcome"] in CHARGED}
    assert charged == {job for job, job_type in jobs.items() if job_type == "demo.fail"}  # no attempt was ended by the clock
    assert stack.sql("SELECT root_id FROM custom.note WHERE text = 'clock' GROUP BY root_id HAVING count(*) > 1") == []
