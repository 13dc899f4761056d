"""Every row of the report, with its target and its floor, and the groups in which they are measured."""
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from . import begin, beside, deep, effects, http, killed, memory, stream, telemetry
from .peers import Peer
from .stage import Stage

Sample = tuple[float, float | None]  # ours, and the reference measured beside it


@dataclass(frozen=True)
class Bound:
    """For the value itself, or for its ratio to the reference."""
    of: str  # "value" or "ratio"
    at_most: bool
    limit: float

    def holds(self, figure: float) -> bool:
        return figure <= self.limit if self.at_most else figure >= self.limit

    def __str__(self) -> str:
        return f"{self.of} {'<=' if self.at_most else '>='} {self.limit:g}"


def ratio_at_least(limit: float) -> Bound:
    return Bound("ratio", False, limit)


def ratio_at_most(limit: float) -> Bound:
    return Bound("ratio", True, limit)


def at_most(limit: float) -> Bound:
    return Bound("value", True, limit)


@dataclass(frozen=True)
class Row:
    name: str
    what: str
    unit: str
    target: Bound | None = None
    floor: Bound | None = None


ROWS = (
    Row("drain", "drain, no-op handler; probe: consume", "jobs/s", ratio_at_least(0.8), ratio_at_least(0.4)),
    Row("cpu", "CPU per 100k jobs, worker and Redis; probe: client and Redis", "s", ratio_at_most(1.5), ratio_at_most(3)),
    Row("bulk", "enqueue, 50 a call; probe: XADD", "jobs/s", ratio_at_least(0.8), ratio_at_least(0.4)),
    Row("bulk_keyed", "enqueue with a key each, 50 a call; probe: XADD", "jobs/s", ratio_at_least(0.45), ratio_at_least(0.25)),
    Row("bulk_http", "enqueue by POST /v1/jobs:batch, 50 a call", "jobs/s"),
    Row("begin_p50", "stream class, to the handler at 1,000/s, p50; bare client", "ms", ratio_at_most(2), ratio_at_most(5)),
    Row("begin_p99", "the same, p99", "ms", ratio_at_most(2), ratio_at_most(5)),
    Row("commit_p50", "journal class, POST to committed effect at 500/s, p50; effect alone", "ms", at_most(2.5), at_most(10)),
    Row("commit_p99", "the same, p99", "ms", at_most(10), at_most(50)),
    Row("effects", "effects a second; probe: same statements, 64 a transaction", "jobs/s", ratio_at_least(0.7), ratio_at_least(0.3)),
    Row("bytes", "Redis memory of a queued job; probe: bare entry", "bytes", at_most(400), at_most(600)),
    Row("bytes_keyed", "the same with a key", "bytes", at_most(480), at_most(600)),
    Row("rerun_p99", "jobs of a killed worker run again, p99; lease 10 s", "s", at_most(12), at_most(15)),
    Row("rerun_lost", "of them lost", "jobs", at_most(0), at_most(0)),
    Row("rerun_doubled", "of them with an effect twice", "jobs", at_most(0), at_most(0)),
    Row("order_p50", "POST /v1/orders to its 201 at 50/s, p50", "ms"),
    Row("order_p99", "the same, p99", "ms"),
    Row("accept", "POST /v1/jobs, journal class, 32 connections", "requests/s"),
    Row("accept_cpu", "the API's CPU for it, stream class; bare llhttp and jansson server", "us", ratio_at_most(1.5), ratio_at_most(3)),
    Row("accept_cpu_journal", "the same, journal class", "us"),
    Row("deep_cpu", "CPU per 100k jobs, 1,000,000 queued; the same of a short queue", "s", ratio_at_most(1.1)),
    Row("deep_scrape", "GET /metrics, 1,000,000 queued; the same of a short queue", "ms", ratio_at_most(1.1)),
    Row("telemetry", "drain while a collector is told: 1 % of traces, metrics, logs; without", "jobs/s", ratio_at_least(0.9)),
    Row("late_p99", "delayed jobs at 1,000/s, from due to the handler, p99", "ms", at_most(10), at_most(100)),
    Row("memory_idle", "a worker process's own memory, idle", "MiB", at_most(6), at_most(12)),
    Row("memory_slots", "the same with 1,000 jobs running", "MiB", at_most(24), at_most(48)),
)


def row_of_peer(row: Row, peer: Peer) -> Row:
    return Row(f"{row.name}:{peer.name}", peer.what, row.unit)


@dataclass(frozen=True)
class Group:
    """Rows that one measurement gives; it measures the reference and ours one after the other. Some of the rows can be had of a peer."""
    rows: tuple[str, ...]
    measure: Callable[[Stage], dict[str, Sample]]
    measure_peer: Callable[[Stage, Peer], dict[str, Sample]] | None = None


GROUPS = (
    Group(("drain", "cpu", "bulk", "bulk_keyed", "bytes", "bytes_keyed"), stream.measure, beside.throughput),
    Group(("begin_p50", "begin_p99"), begin.measure, beside.latency),
    Group(("commit_p50", "commit_p99"), http.measure_commit),
    Group(("effects",), effects.measure),
    Group(("order_p50", "order_p99"), http.measure_orders),
    Group(("accept", "accept_cpu", "accept_cpu_journal", "bulk_http"), http.measure_accept),
    Group(("deep_cpu", "deep_scrape"), deep.measure),
    Group(("telemetry",), telemetry.measure),
    Group(("late_p99",), begin.measure_delayed),
    Group(("memory_idle", "memory_slots"), memory.measure),
    Group(("rerun_p99", "rerun_lost", "rerun_doubled"), killed.measure),
)


@dataclass
class Figures:
    """The samples of one row, one from each round."""
    row: Row
    samples: list[Sample] = field(default_factory=list)

    def values(self) -> list[float]:
        return [value for value, _ in self.samples]

    def value(self) -> float:
        """The median; where nothing at all is allowed, the worst."""
        zero = self.row.floor is not None and self.row.floor.limit == 0
        return max(self.values()) if zero else statistics.median(self.values())

    def reference(self) -> float | None:
        references = [reference for _, reference in self.samples if reference is not None]
        return statistics.median(references) if references else None

    def ratios(self) -> list[float]:
        """Each of one round: the machine's own swings touch both."""
        return [value / reference for value, reference in self.samples if reference]

    def ratio(self) -> float | None:
        return statistics.median(self.ratios()) if self.ratios() else None

    def meets(self, bound: Bound | None) -> bool | None:
        if bound is None:
            return None
        figure = self.value() if bound.of == "value" else self.ratio()
        return figure is not None and math.isfinite(figure) and bound.holds(figure)
