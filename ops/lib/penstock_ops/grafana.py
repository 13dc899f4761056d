"""The dashboards as tables: rows of panels, each with its expressions. Variables: $queue, $type. In an expression ONCE(x) is x of all processes, once
however many API processes are scraped."""
import json
import re
from dataclasses import dataclass

SHORT, SECONDS, PERCENT, PER_S, NONE = "short", "s", "percentunit", "reqps", "none"


@dataclass(frozen=True)
class Panel:
    title: str
    unit: str
    targets: tuple[tuple[str, str], ...]   # (legend, expression); a legend that ends with "?": no series while nothing has gone wrong
    width: int = 8
    kind: str = "timeseries"
    thresholds: tuple[float, ...] = ()     # green below, yellow, red


def quantiles(family: str, by: str, selector: str = "") -> tuple[tuple[str, str], ...]:
    legend = " ".join("{{" + label + "}}" for label in by.split(", "))
    return tuple((f"p{round(q * 100)} {legend}",
                  f"histogram_quantile({q}, sum by (le, {by}) (ONCE(rate(penstock_{family}_bucket{{{selector}}}[$__rate_interval]))))")
                 for q in (0.5, 0.95, 0.99))


QUEUE = 'queue=~"$queue"'
TYPE = 'queue=~"$queue",type=~"$type"'

OVERVIEW = (
    ("Objectives", (
        Panel("Budget left, 30 days", PERCENT, (("{{slo}}", "slo:budget_left:30d"),), 12, "bargauge", (0.0, 0.25)),
        Panel("Burn rate, 1 h (1 uses the budget up in 30 days)", NONE, (("{{slo}}", "slo:error_ratio:1h / slo:error_budget:ratio"),), 12),
        Panel("Events per second", PER_S, (("{{slo}}", "slo:events:rate5m"),), 12),
        Panel("Bad events per second", PER_S, (("{{slo}}", "slo:errors:rate5m"),), 12),
    )),
    ("Queues", (
        Panel("Oldest waiting job", SECONDS, (("{{queue}}", "max by (queue) (penstock_queue_oldest_age_seconds)"),
                                              ("{{queue}} objective", "slo:start_within:seconds"))),
        Panel("Backlog", SHORT, (("{{queue}}", 'max by (queue) (penstock_queue_depth{state="waiting"})'),)),
        Panel("Time to drain", SECONDS, (("{{queue}}", "max by (queue) (penstock_queue_drain_eta_seconds)"),)),
        Panel("Jobs in", PER_S, (("{{queue}}", "queue:jobs_enqueued:rate5m"),)),
        Panel("Jobs out", PER_S, (("{{queue}}", "queue:jobs_finished:rate5m"),)),
        Panel("Dead jobs", SHORT, (("{{queue}}", "max by (queue) (penstock_dlq_jobs)"),)),
        Panel("Worker processes", SHORT, (("{{queue}} {{state}}", 'max by (queue, state) (penstock_workers{state=~"desired|running|busy"})'),)),
        Panel("Admission: 0 open, 1 shedding, 2 closed", NONE, (("{{queue}}", "max by (queue) (penstock_queue_admission)"),)),
        Panel("Refused at the door", PER_S, (("{{queue}} {{reason}}?", "sum by (queue, reason) (ONCE(rate(penstock_queue_shed_total[$__rate_interval])))"),)),
    )),
    ("Servers", (
        Panel("Dependencies: 1 up", NONE, (("{{dependency}}", "min by (dependency) (penstock_dependency_up)"),)),
        Panel("Redis memory", PERCENT, (("used", "max(penstock_redis_memory_fill_ratio)"),)),
        Panel("Circuits: 0 closed, 1 half-open, 2 open", NONE, (("{{provider}}", "max by (provider) (penstock_provider_circuit_state)"),)),
        Panel("Leading schedulers", NONE, (("leads", "count(max without (instance) (penstock_scheduler_leads) == 1)"),)),
        Panel("Conservation gap (0, or an alarm)", SHORT, (("{{queue}}", "max by (queue) (penstock_conservation_gap)"),)),
        Panel("Event loops' lag, p99", SECONDS,
              (("{{process}}", "histogram_quantile(0.99, sum by (le, process) (ONCE(rate(penstock_loop_lag_seconds_bucket[$__rate_interval]))))"),)),
    )),
)

JOBS = (
    ("Jobs by type", (
        Panel("Attempts by outcome", PER_S, (("{{type}} {{outcome}}", f"sum by (type, outcome) (ONCE(rate(penstock_attempts_total{{{TYPE}}}[$__rate_interval])))"),), 12),
        Panel("Ended", PER_S, (("{{type}} {{outcome}}", f"sum by (type, outcome) (ONCE(rate(penstock_jobs_finished_total{{{TYPE}}}[$__rate_interval])))"),), 12),
        Panel("Run time", SECONDS, quantiles("job_duration_seconds", "type", TYPE), 12),
        Panel("Wait in the queue", SECONDS, quantiles("job_queue_wait_seconds", "type", TYPE), 12),
        Panel("Accepted by source", PER_S, (("{{type}} {{source}}", f"sum by (type, source) (ONCE(rate(penstock_jobs_enqueued_total{{{TYPE}}}[$__rate_interval])))"),), 12),
        Panel("Depth by state", SHORT, (("{{queue}} {{state}}", f"max by (queue, state) (penstock_queue_depth{{{QUEUE}}})"),), 12),
    )),
    ("Trouble", (
        Panel("Longest running attempt over its timeout", NONE, (("{{queue}}", f"max by (queue) (penstock_job_overrun_ratio{{{QUEUE}}})"),)),
        Panel("Worker crashes", SHORT, (("{{queue}} {{signature}}?", f"sum by (queue, signature) (ONCE(increase(penstock_worker_crashes_total{{{QUEUE}}}[1h])))"),)),
        Panel("Sent to quarantine", SHORT, (("{{queue}}?", f"sum by (queue) (ONCE(increase(penstock_quarantined_total{{{QUEUE}}}[1h])))"),)),
        Panel("Duplicates absorbed, stale outcomes refused", PER_S, (
            ("{{queue}} absorbed", f"sum by (queue) (ONCE(rate(penstock_duplicates_absorbed_total{{{QUEUE}}}[$__rate_interval])))"),
            ("{{queue}} refused", f"sum by (queue) (ONCE(rate(penstock_stale_refused_total{{{QUEUE}}}[$__rate_interval])))"))),
        Panel("Known keys met again", PER_S, (("{{result}}", "sum by (result) (ONCE(rate(penstock_idempotency_hits_total[$__rate_interval])))"),)),
        Panel("Parked", PER_S, (("{{queue}} {{type}}?", f"sum by (queue, type) (ONCE(rate(penstock_jobs_parked_total{{{TYPE}}}[$__rate_interval])))"),)),
    )),
    ("Events and schedules", (
        Panel("Events delivered", PER_S, (("{{consumer}} {{outcome}}", "sum by (consumer, outcome) (ONCE(rate(penstock_events_delivered_total[$__rate_interval])))"),)),
        Panel("Time of a delivery", SECONDS, quantiles("event_delivery_duration_seconds", "consumer, event")),
        Panel("Ticks of schedules", PER_S, (("{{outcome}}?", "sum by (outcome) (ONCE(rate(penstock_cron_ticks_total[$__rate_interval])))"),)),
    )),
    ("Calls", (
        Panel("Payment provider", PER_S, (("{{op}} {{outcome}}", "sum by (op, outcome) (ONCE(rate(penstock_provider_calls_total[$__rate_interval])))"),)),
        Panel("Windows", SHORT, (("{{provider}}", "min by (provider) (penstock_provider_window)"),)),
        Panel("Put off instead of calling", PER_S, (("{{provider}} {{reason}}", "sum by (provider, reason) (ONCE(rate(penstock_provider_refused_total[$__rate_interval])))"),)),
    )),
)

HTTP = "http_server_request_duration_seconds"
API = (
    ("Requests", (
        Panel("Requests by class", PER_S, (("{{class}}", f"sum by (class) (ONCE(rate(penstock_{HTTP}_count[$__rate_interval])))"),)),
        Panel("Errors (5xx) by class", PERCENT, (
            ("{{class}}?", f'sum by (class) (ONCE(rate(penstock_{HTTP}_count{{code=~"5.."}}[$__rate_interval])))'
                           f" / sum by (class) (ONCE(rate(penstock_{HTTP}_count[$__rate_interval])))"),)),
        Panel("Open connections", SHORT, (("{{process}}", "max by (process) (penstock_http_connections)"),)),
        Panel("Latency by class", SECONDS, quantiles(HTTP, "class"), 12),
        Panel("Requests by code", PER_S, (("{{code}}", f"sum by (code) (ONCE(rate(penstock_{HTTP}_count[$__rate_interval])))"),), 12),
    )),
    ("Routes", (
        Panel("Requests", PER_S, (("{{route}}", f"sum by (route) (ONCE(rate(penstock_{HTTP}_count[$__rate_interval])))"),), 12),
        Panel("p99", SECONDS, (("{{route}}", f"histogram_quantile(0.99, sum by (le, route) (ONCE(rate(penstock_{HTTP}_bucket[$__rate_interval]))))"),), 12),
        Panel("Errors (4xx, 5xx)", PER_S, (("{{route}} {{code}}", f'sum by (route, code) (ONCE(rate(penstock_{HTTP}_count{{code=~"[45].."}}[$__rate_interval])))'),), 12),
        Panel("Answered slower than 1 s", PER_S, (
            ("{{route}}", f"sum by (route) (ONCE(rate(penstock_{HTTP}_count[$__rate_interval])))"
                          f' - sum by (route) (ONCE(rate(penstock_{HTTP}_bucket{{le="1.0"}}[$__rate_interval])))'),), 12),
    )),
)

DASHBOARDS = {"overview": ("Penstock: overview", OVERVIEW, ()), "jobs": ("Penstock: jobs", JOBS, ("queue", "type")), "api": ("Penstock: API", API, ())}
VARIABLES = {"queue": "label_values(penstock_queue_depth, queue)", "type": 'label_values(penstock_attempts_total{queue=~"$queue"}, type)'}


def _expand(expr: str) -> str:
    return re.sub(r"\bONCE\(", "max without (instance) (", expr)


def _target(index: int, legend: str, expr: str) -> dict:
    made = {"refId": chr(ord("A") + index), "datasource": {"type": "prometheus", "uid": "$datasource"}, "expr": _expand(expr),
            "legendFormat": legend.removesuffix("?"), "exemplar": "_bucket" in expr}
    return made | ({"mayBeEmpty": True} if legend.endswith("?") else {})


def _field(panel: Panel) -> dict:
    defaults: dict = {"unit": panel.unit, "min": None if panel.kind == "bargauge" else 0}
    if panel.thresholds:
        red, yellow = panel.thresholds
        defaults["thresholds"] = {"mode": "absolute", "steps": [
            {"color": "red", "value": None}, {"color": "yellow", "value": red}, {"color": "green", "value": yellow}]}
    return {"defaults": defaults, "overrides": []}


def _panel(number: int, panel: Panel, x: int, y: int) -> dict:
    return {"id": number, "type": panel.kind, "title": panel.title, "gridPos": {"h": 8, "w": panel.width, "x": x, "y": y},
            "datasource": {"type": "prometheus", "uid": "$datasource"}, "fieldConfig": _field(panel),
            "options": {"legend": {"displayMode": "list", "placement": "bottom"}} if panel.kind == "timeseries" else {"displayMode": "basic", "orientation": "horizontal"},
            "targets": [_target(i, *target) for i, target in enumerate(panel.targets)]}


def _panels(rows: tuple) -> list[dict]:
    made, y = [], 0
    for title, panels in rows:
        made.append({"id": len(made) + 1, "type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"h": 1, "w": 24, "x": 0, "y": y}})
        x, y = 0, y + 1
        for panel in panels:
            if x + panel.width > 24:
                x, y = 0, y + 8
            made.append(_panel(len(made) + 1, panel, x, y))
            x += panel.width
        y += 8
    return made


def _variables(names: tuple[str, ...]) -> list[dict]:
    datasource = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}
    return [datasource] + [{"name": name, "type": "query", "query": VARIABLES[name], "datasource": {"type": "prometheus", "uid": "$datasource"},
                            "includeAll": True, "multi": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}, "refresh": 2} for name in names]


def dashboards() -> dict[str, str]:
    """File name → text, ready to be imported or provisioned."""
    made = {}
    for name, (title, rows, variables) in DASHBOARDS.items():
        made[f"{name}.json"] = json.dumps({
            "uid": f"penstock-{name}", "title": title, "tags": ["penstock"], "schemaVersion": 38, "editable": True, "refresh": "10s",
            "time": {"from": "now-1h", "to": "now"}, "templating": {"list": _variables(variables)}, "panels": _panels(rows)}, indent=1) + "\n"
    return made
