"""What the processes and servers take, every few seconds, and whether it grows."""
import contextlib
import os
import statistics
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import redis
from ground import QUEUES, Ground

GROWTH_KB, GROWTH_SHARE = 1024, 0.02  # an hour: the larger is allowed
SIZES = """SELECT n.nspname || '.' || c.relname, pg_total_relation_size(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg_%' AND n.nspname <> 'information_schema'"""


@dataclass(frozen=True)
class Row:
    at: float  # seconds since the begin
    rss_kb: int
    dirty_kb: int  # private
    fixed: int  # descriptors but for connections, and for the supervisor's of its worker processes
    connections: int
    threads: int


def fields(path: Path, *names: str) -> dict[str, int]:
    found = {}
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if name in names:
            found[name] = int(value.split()[0])
    return found


def connections() -> set[str]:
    """Of the machine's TCP sockets those that have or had a peer, as /proc/PID/fd names them."""
    words = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {f"socket:[{w[9]}]" for w in words if w[3] != "0A"}  # LISTEN


def measure(pid: int, at: float, connected: set[str]) -> Row:
    proc = Path(f"/proc/{pid}")
    status = fields(proc / "status", "VmRSS", "Threads")
    dirty = fields(proc / "smaps_rollup", "Private_Dirty")["Private_Dirty"]
    links = []
    for fd in (proc / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(fd))
    n = sum(link in connected for link in links)
    return Row(at, status["VmRSS"], dirty, len(links) - n, n, status["Threads"])


class Gauge:
    def __init__(self, ground: Ground, every_s: float):
        self.ground, self.every_s = ground, every_s
        self.began = time.monotonic()
        self.rows: dict[tuple[str, int], list[Row]] = defaultdict(list)  # by name and pid
        self.servers: list[dict] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.wait(self.every_s):
            self.look()

    def processes(self) -> list[tuple[str, int]]:
        """(name, pid) of all that are alive; a worker process is named by its queue and slot."""
        found = [("supervisor" if name == "worker" else name, role.pid) for name, role in self.ground.roles.items()]
        for pid in self.ground.worker_pids():
            with contextlib.suppress(OSError, ValueError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
                found.append((f"worker {words[words.index('--queue') + 1]}/{words[words.index('--slot') + 1]}", pid))
        return found

    def to_be_spared(self) -> set[int]:
        """The process of each queue that is the last to leave when the queue is scaled down."""
        return {pid for name, pid in self.processes() if name.endswith("/0")}

    def look(self) -> None:
        at, connected = time.monotonic() - self.began, connections()
        found = self.processes()
        workers = sum(name.startswith("worker ") for name, _ in found)
        for name, pid in found:
            with contextlib.suppress(OSError, KeyError):  # it has ended
                row = measure(pid, at, connected)
                self.rows[name, pid].append(replace(row, fixed=row.fixed - workers) if name == "supervisor" else row)  # a table of each is its own
        info = redis.Redis.from_url(self.ground.redis.admin_url, socket_timeout=10).info()
        with psycopg.connect(self.ground.postgres.admin_url, autocommit=True) as db:
            tables = dict(db.execute(SIZES).fetchall())
            sessions = db.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'").fetchone()[0]
        self.servers.append({"at": round(at), "redis bytes": info["used_memory"], "redis clients": info["connected_clients"],
                             "postgres bytes": sum(tables.values()), "postgres sessions": sessions, "tables": tables})
        for kept in (self.ground.collector.spans, self.ground.collector.logs, self.ground.collector.seen):
            kept.clear()

    def summary(self) -> dict:
        """Of the servers: at the begin, after each third, at the end."""
        chosen = [self.servers[round(i * (len(self.servers) - 1) / 3)] for i in range(4)]
        largest = sorted(chosen[-1]["tables"], key=chosen[-1]["tables"].get)[-8:]
        return {name: [row[name] for row in chosen] for name in chosen[0] if name != "tables"} | {
            f"bytes of {table}": [row["tables"].get(table, 0) for row in chosen] for table in reversed(largest)}

    def judge(self, since: float, until: float, verdict, long: bool) -> list[dict]:
        """Those that were there from since until until, which are the last two thirds of the run."""
        table = []
        wanted = {"api", "scheduler", "supervisor", *(f"worker {queue}/0" for queue in QUEUES)}
        for (name, pid), rows in sorted(self.rows.items()):
            if rows[0].at > since + self.every_s or rows[-1].at < until - 2 * self.every_s:
                continue
            middle = (since + until) / 2
            halves = [r for r in rows if since <= r.at < middle], [r for r in rows if middle <= r.at <= until]
            line = {"name": name, "pid": pid, "age_s": round(until - rows[0].at)} | compare(*halves, (until - since) / 2)
            table.append(line)
            fixed, (upper, lower) = line["fixed"], line["connections"]
            verdict.want(fixed[0] == fixed[1], f"{name} ({pid}) had {fixed[0]} descriptors beside its connections, then {fixed[1]}")
            if long:
                verdict.want(lower <= upper, f"{name} ({pid}) mostly had no more than {upper} connections, then mostly no less than {lower}")
                allowed = max(GROWTH_KB, GROWTH_SHARE * line["rss_kb"][0])
                for of in ("rss_kb", "dirty_kb"):
                    grows = line[f"{of}_per_hour"]
                    verdict.want(grows <= allowed, f"{of} of {name} ({pid}) grows by {grows} an hour, {allowed:.0f} may be")
        missing = wanted - {line["name"] for line in table}
        verdict.want(not missing, f"not there all the time: {sorted(missing)}")
        return table

    def write_rows(self, path: Path) -> None:
        lines = [(round(r.at), name, pid, r.rss_kb, r.dirty_kb, r.fixed, r.connections, r.threads) for (name, pid), rows in self.rows.items() for r in rows]
        head = ["at_s,name,pid,rss_kb,dirty_kb,fixed,connections,threads"]
        path.write_text("\n".join(head + [",".join(map(str, line)) for line in lines]) + "\n", encoding="utf-8")


def compare(before: list[Row], after: list[Row], apart_s: float) -> dict:
    """Medians of both, apart_s seconds between their middles. Connections come and go, in pools that have bounds: of them the upper quartile
    before and the lower one after."""
    both = {of: [statistics.median_low(getattr(r, of) for r in rows) for rows in (before, after)] for of in ("rss_kb", "dirty_kb", "fixed", "threads")}
    earlier, later = (sorted(r.connections for r in rows) for rows in (before, after))
    both["connections"] = [earlier[len(earlier) * 3 // 4], later[len(later) // 4]]
    return both | {f"{of}_per_hour": round((both[of][1] - both[of][0]) * 3600 / apart_s) for of in ("rss_kb", "dirty_kb")}
