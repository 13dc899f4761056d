"""Three schedulers, of which the active one is killed at every tick: before the tick's commit, behind it, and behind its place in Redis. Each
tick is one job, with one effect. TEST_FULL=1: 200 ticks instead of 20."""
import os

import pytest

from penstock_ops import ports
from penstock_ops.penstock import Role
from stack import BUILD, WAIT_S, Client, Stack

TICKS = 200 if os.environ.get("TEST_FULL") else 20
POINTS = ("cron.before_commit", "cron.after_commit", "cron.after_place")
# The schedulers see a clock of ours: their now() is the one that their search_path finds first. A day ahead, so that no row is from the future.
CLOCK = """
CREATE SCHEMA sim;
CREATE TABLE sim.clock (at timestamptz NOT NULL);
INSERT INTO sim.clock VALUES (date_trunc('minute', now()) + interval '1 day');
CREATE FUNCTION sim.now() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT at FROM sim.clock';
GRANT USAGE ON SCHEMA sim TO penstock_scheduler;
GRANT SELECT ON sim.clock TO penstock_scheduler;
ALTER ROLE penstock_scheduler SET search_path = sim, pg_catalog;
"""


class Schedulers:
    """Three of them; whoever died is started again."""

    def __init__(self, stack: Stack):
        self.spec, self.hits = stack.dir / "faults", stack.dir / "hits"
        self.arm("")
        armed = {"PENSTOCK_FAULT": f"@{self.spec}", "PENSTOCK_FAULT_LOG": str(self.hits)}
        self.roles = [Role(stack.dir / f"scheduler{i}", BUILD, "scheduler", stack.conf, armed) for i in range(3)]

    def arm(self, spec: str) -> None:
        fresh = self.spec.with_name("faults.new")
        fresh.write_text(f"seed:1;{spec}\n", encoding="ascii")
        fresh.rename(self.spec)

    def kills(self) -> list[str]:
        return [line.split()[0] for line in self.hits.read_text().splitlines()] if self.hits.exists() else []

    def start_the_dead(self) -> None:
        for role in self.roles:
            if not role.is_running():
                role.run_dir.mkdir(exist_ok=True)
                role.start()

    def stop(self) -> None:
        self.arm("")
        for role in self.roles:
            if role.is_running():
                assert role.stop()


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    made = Stack(tmp_path_factory.mktemp("killed"))
    try:
        yield made.start(roles=("worker",))
    finally:
        made.stop()


def test_ticks__given_the_active_of_three_killed_at_each_then_each_exactly_once(stack):
    client, schedulers = Client(stack.api.url), Schedulers(stack)
    made = client.post("/v1/schedules", {"name": "killed", "cron": "* * * * *", "missed": "all", "type": "demo.note",
                                         "payload": {"text": "killed"}}).json()
    stack.sql(CLOCK)
    stack.sql("UPDATE platform.schedule SET next_at = at + interval '1 minute' FROM sim.clock WHERE id = %s", made["id"])
    wanted: list[int] = []

    def ticked() -> list[int]:
        return [row[0] for row in stack.sql("SELECT split_part(key, ':', 3)::bigint FROM platform.idempotency WHERE key LIKE %s ORDER BY 1",
                                            f"cron:{made['id']}:%")]

    def jobs() -> list[tuple]:
        return stack.sql("SELECT j.state, count(n.*) FROM platform.job j LEFT JOIN custom.note n ON n.root_id = j.root_id "
                         "WHERE j.type = 'demo.note' GROUP BY j.id, j.state")

    try:
        schedulers.start_the_dead()
        for i in range(TICKS):
            before = len(schedulers.kills())
            schedulers.arm(f"{POINTS[i % len(POINTS)]}=kill@1")
            stack.sql("UPDATE sim.clock SET at = at + interval '1 minute'")
            wanted.append(int(stack.sql("SELECT extract(epoch FROM at)::bigint FROM sim.clock")[0][0]))
            assert ports.wait_until(lambda: len(schedulers.kills()) > before, WAIT_S), f"nobody was killed at tick {i}"
            schedulers.arm("")
            schedulers.start_the_dead()
            assert ports.wait_until(lambda: ticked() == wanted, WAIT_S), (i, ticked(), wanted)
        assert ports.wait_until(lambda: [state for state, _ in jobs()] == ["done"] * TICKS, WAIT_S), jobs()
        assert jobs() == [("done", 1)] * TICKS
        print(f"{TICKS} ticks, {len(schedulers.kills())} kills: " + ", ".join(f"{schedulers.kills().count(p)} {p}" for p in POINTS))
    finally:
        schedulers.stop()
