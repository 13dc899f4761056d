"""Schedules with ticks that were missed, a new one every now and then, for the scheduler to die at; and what must have come of them."""
import contextlib
import threading
import uuid
from datetime import datetime, timezone

import psycopg

from .check import Check
from .cluster import Cluster

CRON, HOUR, MINUTES = "0,20,40 3 1 1 *", 3, (0, 20, 40)  # three ticks on the first of January
INSERT = """INSERT INTO platform.schedule (id, tenant, name, cron, timezone, missed, queue, type, type_version, payload, next_at)
VALUES (%s, 'default', 'sweep-' || %s, %s, 'UTC', 'all', 'default', 'demo.note', 1, '{"text":"tick"}', %s) ON CONFLICT DO NOTHING"""


class Ticks:
    def __init__(self, cluster: Cluster, pause_s: float = 0.3):
        self.cluster, self.pause_s = cluster, pause_s
        self.made: list[str] = []
        self.year = datetime.now(timezone.utc).year
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.wait(self.pause_s):
            with contextlib.suppress(psycopg.Error), psycopg.connect(self.cluster.postgres.admin_url, connect_timeout=5) as db:
                made = str(uuid.uuid4())
                db.execute(INSERT, (made, made, CRON, datetime(self.year - 1, 1, 1, tzinfo=timezone.utc)))
                db.commit()
                self.made.append(made)

    def wanted(self) -> list[int]:
        times = [datetime(year, 1, 1, HOUR, minute, tzinfo=timezone.utc) for year in (self.year - 1, self.year) for minute in MINUTES]
        return [int(t.timestamp()) for t in times if t < datetime.now(timezone.utc)]

    def judge(self, check: Check) -> None:
        """Each tick is one job that has left one note."""
        found: dict[tuple[str, int], list[tuple[str, int]]] = {}
        for made, tick, state, notes in check.rows(
                "SELECT split_part(i.key, ':', 2), split_part(i.key, ':', 3)::bigint, j.state, (SELECT count(*) FROM custom.note n WHERE n.root_id = j.id) "
                "FROM platform.idempotency i JOIN platform.job j ON j.id = i.job_id WHERE i.tenant = '_system' AND i.key LIKE 'cron:%%'"):
            found.setdefault((made, tick), []).append((state, notes))
        wanted = {(made, tick) for made in self.made for tick in self.wanted()}
        lost = [key for key in wanted if found.get(key) != [("done", 1)]]
        jobs = check.rows("SELECT count(*) FROM platform.job WHERE type = 'demo.note' AND convert_from(payload, 'UTF8') = %s", '{"text":"tick"}')[0][0]
        known = sum(len(v) for v in found.values())
        check.verdict.figures |= {"ticks": len(wanted), "ticks lost": len(lost), "ticks doubled": jobs - known}
        check.verdict.want(not lost, f"{len(lost)} ticks are not one job with one effect, first: {[(k, found.get(k)) for k in lost[:3]]}")
        check.verdict.want(jobs == known, f"{jobs} jobs of ticks for {known} keys")
