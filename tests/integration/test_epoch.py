"""Redis loses something, or everything: what the journal holds comes back, once."""
import shutil
import time

import pytest

from observe import log_lines, log_size
from penstock_ops import ports
from penstock_ops.penstock import Role
from producer import Producer, enqueue_all, job
from redis_log import cut_log
from stack import BUILD, WAIT_S, Stack

WAITING, DELAYED = 5000, 500
HEALED_PER_S = 5000
QUEUE = "default"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Without a worker, but for the tests that start one."""
    made = Stack(tmp_path_factory.mktemp("epoch"))
    try:
        made.start(roles=("scheduler",), sql="UPDATE platform.queue SET max_drain_s = 0")  # its depth is wanted
        assert ports.wait_until(lambda: healed(made, 0), WAIT_S)  # of the first epoch: not to be taken for that of a loss
        yield made
    finally:
        made.stop()


@pytest.fixture
def worker(stack):
    """start() it when the jobs are to run; it has ended with the test."""
    role = stack.roles.setdefault("worker", Role(stack.dir, BUILD, "worker", stack.conf))
    yield role
    role.stop()


def depth(stack) -> dict:
    r = stack.redis_client()
    tag = f"pen:{{{QUEUE}:0}}"
    return {"waiting": r.xlen(f"{tag}:s"), "delayed": r.zcard(f"{tag}:d")}


def healed(stack, since: int) -> list[dict]:
    return [line for line in log_lines(stack.roles["scheduler"].log, "epoch.ready", since) if line["queue"] == QUEUE]


def lose(stack, how) -> dict:
    """how() loses something; the line that says that the queue is whole again."""
    since = log_size(stack.roles["scheduler"].log)
    how()
    assert ports.wait_until(lambda: healed(stack, since), WAIT_S)
    return healed(stack, since)[-1]


def done_once(stack, keys: list[str]) -> None:
    left = "SELECT count(*) FROM platform.job WHERE state = 'waiting'"
    assert ports.wait_until(lambda: stack.sql(left) == [(0,)], 2 * WAIT_S), stack.sql(left)
    notes = "SELECT count(*), count(DISTINCT text) FROM custom.note WHERE text = ANY(%s)"
    assert stack.sql(notes, keys) == [(len(keys), len(keys))]
    assert stack.sql("SELECT count(*) FROM platform.dead_job") == [(0,)]


def restart_empty(stack) -> None:
    stack.redis.stop()
    shutil.rmtree(stack.redis.dir / "appendonlydir")
    stack.redis.start()


def drop_shard(stack) -> None:
    r = stack.redis_client()
    r.delete(*r.keys(f"pen:{{{QUEUE}:0}}:*"))


def cut_tail(stack) -> None:
    assert cut_log(stack.redis, 1500) > 0  # some jobs, and most likely in the midst of a step


def cut_everything(stack) -> None:
    assert cut_log(stack.redis, 1 << 30) > 0


def test_flushall__at_depth_then_all_is_placed_again_quickly(stack, client, worker):
    jobs = [job("demo.note") for _ in range(WAITING)] + [job("demo.note", delay_ms=4000) for _ in range(DELAYED)]
    enqueue_all(client, jobs)
    assert ports.wait_until(lambda: stack.sql("SELECT count(*) FROM platform.job WHERE epoch IS NULL") == [(0,)], WAIT_S)
    per_s = []
    for _ in range(3):  # a busy machine may spoil one or two
        line = lose(stack, stack.redis_client().flushall)
        assert line["placed"] == WAITING + DELAYED
        assert sum(depth(stack).values()) == WAITING + DELAYED
        per_s.append(line["placed"] * 1000 // line["ms"])
    print("healed per second:", per_s)
    assert max(per_s) >= HEALED_PER_S
    worker.start()
    done_once(stack, [made["key"] for made in jobs])


@pytest.mark.parametrize("how", [drop_shard, cut_tail, cut_everything, restart_empty])
def test_redis__loses_a_part_then_the_rest_is_placed_again(stack, client, worker, how):
    jobs = [job("demo.note") for _ in range(300)] + [job("demo.note", delay_ms=1500) for _ in range(50)]
    enqueue_all(client, jobs)
    lose(stack, lambda: how(stack))
    assert sum(depth(stack).values()) >= len(jobs)  # more: entries of jobs that have ended meanwhile may have come back
    worker.start()
    done_once(stack, [made["key"] for made in jobs])


@pytest.mark.parametrize("how", ["flushall", "kill", "functions"])
def test_redis__fails_under_load_then_nothing_is_lost_or_doubled(stack, client, worker, how):
    worker.start()
    producer = Producer(client, 100, ("demo.note",))
    producer.start()
    for _ in range(2):
        before = len(producer.accepted)
        assert ports.wait_until(lambda: len(producer.accepted) > before + 50, WAIT_S)
        if how == "flushall":
            lose(stack, stack.redis_client().flushall)
        elif how == "kill":
            lose(stack, lambda: (stack.redis.kill9(), stack.redis.start()))
        else:
            r = stack.redis_client()
            r.function_flush()
            assert ports.wait_until(lambda: len(r.function_list()) > 0, WAIT_S)
    producer.stop()
    done_once(stack, producer.keys("demo.note"))


def test_stream_class__lost_with_redis_then_it_is_counted(stack, client):
    def epochs() -> float:
        lines = client.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("penstock_stream_lost_epochs_total{") and f'"{QUEUE}"' in line)

    before = epochs()
    lose(stack, stack.redis_client().flushall)
    assert ports.wait_until(lambda: epochs() == before + 1, 10), (before, epochs())
