"""A client written from the protocol page alone, beside Penstock's own workers on the same queue."""
import struct
import threading
import time
import uuid

import pytest
import redis

from observe import attempts, log_size
from penstock_client import ACCEPTED, Client
from penstock_ops import ports
from penstock_ops.ports import HOST
from stack import WAIT_S, new_key

QUEUE, NUMBER = "default", 0
JOBS = 400
SLOTS = 16  # of the foreign worker


def as_worker(stack, role: str) -> Client:
    """Under the rights that the role has."""
    r = redis.Redis(host=HOST, port=stack.redis.port, username=f"penstock_{role}", password=stack.secrets.value("redis"), protocol=2)
    return Client(r, QUEUE, NUMBER)


class ForeignWorker(threading.Thread):
    """Claims, sweeps, renews and ends jobs of type demo.tally: it writes the note that such a job leaves, once in four times only after a
    retry. Renews what it holds before every batch, as the page asks."""

    def __init__(self, stack):
        super().__init__(daemon=True)
        self.stack = stack
        self.client = as_worker(stack, "worker")
        self.ended: list[uuid.UUID] = []
        self.retried = 0
        self.problems: list[str] = []
        self._over = threading.Event()

    def stop(self) -> None:
        self._over.set()
        self.join(WAIT_S)
        assert not self.is_alive()

    def run(self) -> None:
        renewed = swept = time.monotonic()
        while not self._over.is_set() or self.client.held:
            entries = [] if self._over.is_set() else self._claim()
            if time.monotonic() - swept > 1:
                swept = time.monotonic()
                entries += self.client.sweep(SLOTS)
            for entry in entries:
                self.client.start(entry)
            lost, cancel = self.client.renew()
            if lost or cancel:
                self.problems.append(f"lost {lost}, to be cancelled {cancel}")
            for entry in entries:
                self._attempt(entry)

    def _claim(self) -> list:
        try:
            return self.client.claim(SLOTS, block_ms=100)
        except redis.ResponseError as e:
            if not str(e).startswith("NOGROUP"):
                raise
            self._over.wait(0.2)  # the scheduler makes it within seconds
            return []

    def _attempt(self, entry) -> None:
        job = entry.job
        if job.id[-1] % 4 == 0 and job.attempt == 0:
            if self.client.retry(entry, 50, "not yet"):
                self.retried += 1
            return
        self.stack.sql("INSERT INTO custom.note (root_id, text) VALUES (%s, 'foreign')", str(uuid.UUID(bytes=job.root)))
        self.client.settle(entry)
        self.ended.append(uuid.UUID(bytes=job.id))


@pytest.fixture
def foreign(stack):
    worker = ForeignWorker(stack)
    worker.start()
    yield worker
    worker.stop()


def test_protocol__a_client_of_the_page_beside_c_workers_then_every_job_runs(stack, client, foreign):
    since = log_size(stack.roles["worker"].log)
    producer = as_worker(stack, "api")
    ids = []
    for i in range(JOBS):
        if i % 2:
            entered = producer.enqueue("demo.tally", b'{"ms":300}', key=new_key())
            assert entered.verdict == ACCEPTED
            ids.append(str(uuid.UUID(bytes=entered.id)))
        else:
            ids.append(client.enqueue("demo.tally", {"ms": 300})["id"])

    def noted() -> int:
        return stack.sql("SELECT count(DISTINCT root_id) FROM custom.note WHERE root_id = ANY(%s::uuid[])", ids)[0][0]

    assert ports.wait_until(lambda: noted() == JOBS, WAIT_S), noted()
    assert ports.wait_until(lambda: producer.depth() | {"dead": 0} == {"waiting": 0, "running": 0, "delayed": 0, "parked": 0, "dead": 0, "gap": 0},
                            WAIT_S), producer.depth()
    foreign.stop()
    theirs = {str(job) for job in foreign.ended}
    ours = {a["job"] for a in attempts(stack, since) if a["outcome"] == "done"}
    print(f"{len(theirs)} by the foreign worker after {foreign.retried} retries, {len(ours & set(ids))} by ours")
    assert theirs | (ours & set(ids)) == set(ids) and len(theirs) + len(ours & set(ids)) == JOBS
    assert theirs and ours & set(ids) and foreign.retried  # both had their share
    assert foreign.problems == []
    # Nobody died, no lease was lost: each ran to its end once.
    assert stack.sql("SELECT count(*) FROM custom.note WHERE root_id = ANY(%s::uuid[])", ids) == [(JOBS,)]
    charged = [a for a in attempts(stack, since) if a["job"] in ids and a["attempt"] == 2]
    assert all(a["outcome"] == "done" for a in charged)  # one of theirs, retried, ran here


def test_protocol__a_foreign_worker_that_vanishes_then_ours_take_over_after_the_lease(stack, client):
    producer, vanishing = as_worker(stack, "api"), as_worker(stack, "worker")
    assert client.post(f"/v1/queues/{QUEUE}/pause", {"reason": "test"}).status_code == 200
    claimed = []

    def all_claimed() -> bool:
        if len(claimed) < 5:
            producer.enqueue("demo.tally", b"{}")
            claimed.extend(vanishing.claim(1, block_ms=10))
        return len(claimed) == 5

    assert ports.wait_until(all_claimed, WAIT_S)
    stack.redis_client().xclaim(vanishing.key("s"), "g", vanishing.consumer, 0, [entry.id for entry in claimed], idle=20000)  # so long ago
    client.post(f"/v1/queues/{QUEUE}/resume", {})
    ids = [str(uuid.UUID(bytes=entry.job.id)) for entry in claimed]
    runs = "SELECT count(*) FROM custom.note WHERE root_id = ANY(%s::uuid[])"
    assert ports.wait_until(lambda: stack.sql(runs, ids) == [(5,)], WAIT_S)
    lost, _ = vanishing.renew()
    assert {entry.id for entry in lost} == {entry.id for entry in claimed}
