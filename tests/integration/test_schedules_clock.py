"""Schedulers under a clock of ours. Through both changes of the clocks of three zones; and three of them, of which the active one is killed at every tick: before the tick's commit, behind it, and behind its place in Redis. Each
tick is one job, with one effect. TEST_FULL=1: 200 ticks instead of 20."""
import os
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

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
INSERT INTO sim.clock VALUES (now());
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
        made.start(roles=("worker",)).sql(CLOCK)
        yield made
    finally:
        made.stop()


def ticked(stack, made: dict) -> list[int]:
    return [row[0] for row in stack.sql("SELECT split_part(key, ':', 3)::bigint FROM platform.idempotency WHERE key LIKE %s ORDER BY 1",
                                        f"cron:{made['id']}:%")]


# Zone, day of the change, cron's time of day, and what clocks show when it ticks on that day (of two times that are equal, the first).
CHANGES = [("Europe/Berlin", (2040, 3, 25), "30 2", (3, 0)), ("Europe/Berlin", (2040, 10, 28), "30 2", (2, 30)),
           ("America/New_York", (2040, 3, 11), "15 2", (3, 0)), ("America/New_York", (2040, 11, 4), "15 1", (1, 15)),
           ("Australia/Lord_Howe", (2040, 10, 7), "10 2", (2, 30)), ("Australia/Lord_Howe", (2040, 4, 1), "45 1", (1, 45))]


def test_clocks_change__a_time_that_is_skipped_or_shown_twice_then_one_tick(stack):
    """The day before, the day itself, and the day behind."""
    client, scheduler, wanted = Client(stack.api.url), Role(stack.dir, BUILD, "scheduler", stack.conf), {}
    for i, (zone, day, time_of_day, shown) in enumerate(CHANGES):
        made = client.post("/v1/schedules", {"name": f"change-{i}", "cron": f"{time_of_day} * * *", "timezone": zone, "missed": "all",
                                             "type": "demo.note", "payload": {"text": "change"}}).json()
        minute, hour = map(int, time_of_day.split())
        noon = datetime(*day, 12, tzinfo=ZoneInfo(zone))
        days = [(noon - timedelta(days=1)).replace(hour=hour, minute=minute), noon.replace(hour=shown[0], minute=shown[1]),
                (noon + timedelta(days=1)).replace(hour=hour, minute=minute)]
        wanted[made["id"]] = [int(d.timestamp()) for d in days]
        stack.sql("UPDATE platform.schedule SET next_at = %s, paused = true WHERE id = %s", days[0] - timedelta(hours=3), made["id"])
    try:
        scheduler.start()
        for (made_id, ticks), (_, day, _, _) in zip(wanted.items(), CHANGES):
            stack.sql("UPDATE sim.clock SET at = to_timestamp(%s)", ticks[2] + 3600)
            stack.sql("UPDATE platform.schedule SET paused = false WHERE id = %s", made_id)
            assert ports.wait_until(lambda: ticked(stack, {"id": made_id}) == ticks, WAIT_S), (day, ticked(stack, {"id": made_id}), ticks)
            stack.sql("UPDATE platform.schedule SET paused = true WHERE id = %s", made_id)
    finally:
        assert scheduler.stop()


def test_ticks__given_the_active_of_three_killed_at_each_then_each_exactly_once(stack):
    client, schedulers = Client(stack.api.url), Schedulers(stack)
    made = client.post("/v1/schedules", {"name": "killed", "cron": "* * * * *", "missed": "all", "type": "demo.note",
                                         "payload": {"text": "killed"}}).json()
    stack.sql("UPDATE sim.clock SET at = date_trunc('minute', now()) + interval '1 day'")
    stack.sql("UPDATE platform.schedule SET next_at = at + interval '1 minute' FROM sim.clock WHERE id = %s", made["id"])
    wanted: list[int] = []

    def jobs() -> list[tuple]:
        return stack.sql("SELECT j.state, count(n.*) FROM platform.job j LEFT JOIN custom.note n ON n.root_id = j.root_id "
                         "WHERE convert_from(j.payload, 'UTF8') LIKE '%%killed%%' GROUP BY j.id, j.state")

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
            assert ports.wait_until(lambda: ticked(stack, made) == wanted, WAIT_S), (i, ticked(stack, made), wanted)
        assert ports.wait_until(lambda: [state for state, _ in jobs()] == ["done"] * TICKS, WAIT_S), jobs()
        assert jobs() == [("done", 1)] * TICKS
        print(f"{TICKS} ticks, {len(schedulers.kills())} kills: " + ", ".join(f"{schedulers.kills().count(p)} {p}" for p in POINTS))
    finally:
        schedulers.stop()
