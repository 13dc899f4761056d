"""Jobs that end the process they run in: known by running them alone, dead after three such runs; their neighbours and whoever was held by
a machine that died live on."""
import os
import signal
import time

import pytest

from observe import log_lines, log_size
from penstock_ops import ports
from penstock_ops.penstock import Role
from penstock_ops.processes import children_of
from producer import Producer, enqueue_all
from stack import BUILD, Client, Stack, new_key

QUEUE = "default"
SHARD = f"pen:{{{QUEUE}:0}}"
LEASE_MS, DRAIN_MS = 3000, 2000
LONE_CRASHES = 3
END_S = 120
# Of a build with sanitizers, which catch signals and allow no limit of memory.
SANITIZER = ":".join(filter(None, [os.environ.get("ASAN_OPTIONS", ""), "handle_segv=0", "abort_on_error=1", "hard_rss_limit_mb=400"]))
SIGNATURES = {"abort": {"SIGABRT"}, "exit": {"exit 3"}, "stack": {"SIGSEGV"}, "memory": {"SIGABRT"}, "spin": {"SIGXCPU", "hung"}}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Without a supervisor: each test starts its own."""
    made = Stack(tmp_path_factory.mktemp("poison"), {"worker.lease_ms": LEASE_MS, "worker.drain_ms": DRAIN_MS})
    try:
        yield made.start(roles=("scheduler",))
    finally:
        made.stop()


@pytest.fixture
def client(stack):
    return Client(stack.api.url)


@pytest.fixture
def supervise(stack):
    """supervise(workers) starts a supervisor with so many processes for the queue, and none for the others."""
    started: list[Role] = []

    def start(workers: int) -> Role:
        stack.sql("UPDATE platform.desired_workers SET workers = CASE queue WHEN %s THEN %s ELSE 0 END, pinned = true", QUEUE, workers)
        role = stack.roles["worker"] = Role(stack.dir, BUILD, "worker", stack.conf, {"ASAN_OPTIONS": SANITIZER})
        started.append(role)
        role.start()
        return role

    yield start
    for role in started:
        assert role.stop()


def poison(how: str, journal: bool = False) -> dict:
    return {"type": "demo.crash_journal" if journal else "demo.crash", "payload": {"how": how}, "key": new_key()}


def tallies(count: int, ms: int) -> list[dict]:
    return [{"type": "demo.tally", "payload": {"ms": ms}, "key": new_key()} for _ in range(count)]


def dead(stack) -> dict[str, str]:
    """Job → the group it died in."""
    return dict(stack.sql("SELECT id::text, fingerprint FROM platform.dead_job"))


def queue_is_empty(stack) -> bool:
    r = stack.redis_client()
    return r.xlen(f"{SHARD}:s") == 0 and r.zcard(f"{SHARD}:d") == 0


def lone_crashes(role: Role, since: int) -> int:
    return sum(line["quarantine"] and line["crash"] != "" for line in log_lines(role.log, "worker.exited", since))


def begun(stack, ids: list[str]) -> dict[str, int]:
    return dict(stack.sql("SELECT root_id::text, count(*) FROM custom.note WHERE root_id = ANY(%s::uuid[]) GROUP BY 1", ids))


@pytest.mark.parametrize("journal", [False, True], ids=["stream", "journal"])
@pytest.mark.parametrize("how", SIGNATURES)
def test_poison__then_dead_after_three_lone_crashes_with_its_signature(stack, client, supervise, how, journal):
    role = supervise(1)
    since = log_size(role.log)
    (job,) = enqueue_all(client, [poison(how, journal)])
    assert ports.wait_until(lambda: job in dead(stack), END_S)
    kind = "demo.crash_journal" if journal else "demo.crash"
    assert dead(stack)[job] in {f"{kind}: crashed: {''.join('#' if c.isdigit() else c for c in name)} in # lone runs" for name in SIGNATURES[how]}
    crashes = [line for line in log_lines(role.log, "worker.exited", since) if line["crash"]]
    assert [line["quarantine"] for line in crashes] == [False] + [True] * LONE_CRASHES
    assert {line["crash"] for line in crashes} <= SIGNATURES[how]
    assert queue_is_empty(stack) and stack.redis_client().hlen(f"{SHARD}:c") == 0
