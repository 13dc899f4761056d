"""ops/prometheus/slo.rules.yml and ops/grafana/*.json, made of ops/slo.def and of the tables here and in grafana.py. By hand, after a change:
    PYTHONPATH=ops/lib python3 -m penstock_ops.monitoring            # writes them
    PYTHONPATH=ops/lib python3 -m penstock_ops.monitoring --check    # 1: they are not current (ops/test lint asks)"""
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from . import ROOT, grafana

WINDOWS = ("5m", "30m", "1h", "2h", "6h")
LONG_WINDOWS = ("1d", "3d", "30d")
# How many times faster than the budget allows, over a long and a short window: of 30 days' budget 2 % in an hour, 5 % in six hours; 10 % in
# a day, 10 % in three.
BURNS = {"SLOBurnPage": ("page", ((14.4, "1h", "5m"), (6, "6h", "30m"))), "SLOBurnTicket": ("ticket", ((3, "1d", "2h"), (1, "3d", "6h")))}


@dataclass(frozen=True)
class Objective:
    kind: str       # start, completion, availability, latency
    of: str         # queue, or class of requests
    within: str     # a bound of the buckets, as the metrics say it; "": it does not matter
    target: float   # percent

    @property
    def name(self) -> str:
        return f"{self.of}-{self.kind}"

    @property
    def budget(self) -> float:
        return round(1 - self.target / 100, 10)

    @property
    def events(self) -> str:
        return rate(*self._counted())

    @property
    def errors(self) -> str:
        family, labels = self._counted()
        if self.within:
            good = rate(family.removesuffix("_count") + "_bucket", f'{labels},le="{self.within}"')
            return f"{self.events} - {good}"
        bad = 'outcome="dead"' if self.kind == "completion" else 'code=~"5.."'
        return f"{rate(family, f'{labels},{bad}')} or 0 * {self.events}"

    def _counted(self) -> tuple[str, str]:
        return {"start": ("job_queue_wait_seconds_count", f'queue="{self.of}"'),
                "completion": ("jobs_finished_total", f'queue="{self.of}"'),
                "availability": ("http_server_request_duration_seconds_count", f'class="{self.of}"'),
                "latency": ("http_server_request_duration_seconds_count", f'class="{self.of}",code!~"5.."')}[self.kind]


def rate(family: str, labels: str) -> str:
    """Every API process shows the series of all processes: who scrapes several of them has each several times."""
    return f"sum(max without (instance) (rate(penstock_{family}{{{labels}}}[5m])))"


def bounds() -> dict[float, str]:
    """The bounds of the buckets, and how they are printed."""
    text = (ROOT / "base/core/src/metrics.c").read_text(encoding="utf-8")
    return {float(v): printed for v, printed in re.findall(r'\{([0-9.]+),\s*"([0-9.]+)"\}', text)}


def table() -> str:
    return (ROOT / "ops/slo.def").read_text(encoding="utf-8")


def burn_floor() -> int:
    (events,) = re.findall(r"^BURN_FLOOR\(([0-9]+)\)$", table(), re.M)
    return int(events)


def objectives() -> list[Objective]:
    printed = bounds()
    found = []
    for kind, rest in re.findall(r"^([A-Z]+)\((.*)\)$", table(), re.M):
        of, *times, target = rest.replace(" ", "").split(",")
        found.append(Objective(kind.lower(), of, printed[float(times[0])] if times else "", float(target)))
    return found


# Rules

def record(name: str, expr: str, labels: dict[str, str] | None = None) -> str:
    said = f"      - record: {name}\n        expr: {expr}\n"
    return said + (f"        labels: {{{', '.join(f'{k}: {v}' for k, v in labels.items())}}}\n" if labels else "")


def group(name: str, rules: list[str], interval: str = "") -> str:
    return f"  - name: {name}\n" + (f"    interval: {interval}\n" if interval else "") + "    rules:\n" + "".join(rules)


def ratio(window: str) -> str:
    return record(f"slo:error_ratio:{window}", f"sum_over_time(slo:errors:rate5m[{window}]) / sum_over_time(slo:events:rate5m[{window}])")


def failed(window: str) -> str:
    """How many: the rates of all evaluations, times what lies between two, whatever Prometheus is set to and however long it has run."""
    at = f"slo:evaluated:seconds[{window}]"
    between = f"scalar((max_over_time({at}) - min_over_time({at})) / (count_over_time({at}) - 1))"
    return record(f"slo:errors:increase{window}", f"sum_over_time(slo:errors:rate5m[{window}]) * {between}")


def burn(alert: str) -> str:
    severity, pairs = BURNS[alert]
    exprs = [f"(slo:error_ratio:{long} > {factor} * slo:error_budget:ratio and slo:error_ratio:{short} > {factor} * slo:error_budget:ratio "
             f"and slo:errors:increase{long} >= {burn_floor()})"
             for factor, long, short in pairs]
    return (f"      - alert: {alert}\n        expr: >-\n          " + "\n          or ".join(exprs) + "\n"
            f"        labels: {{severity: {severity}}}\n        annotations:\n"
            "          summary: '{{ $labels.slo }} burns its error budget too fast: {{ $value | humanizePercentage }} errors'\n"
            f"          runbook_url: ops/runbooks/{alert}.md\n")


def rules_text() -> str:
    events, errors, fixed = [], [], [record("slo:evaluated:seconds", "vector(time())")]
    longer = [long for _, pairs in BURNS.values() for _, long, _ in pairs]
    for o in objectives():
        labels = {"slo": o.name, "kind": o.kind, "of": o.of}
        events.append(record("slo:events:rate5m", o.events, labels))
        errors.append(record("slo:errors:rate5m", o.errors, labels))
        fixed.append(record("slo:error_budget:ratio", f"vector({o.budget:g})", labels))
        if o.kind == "start":
            fixed.append(record("slo:start_within:seconds", f"vector({float(o.within):g})", {"queue": o.of}))
    long = [ratio(w) for w in LONG_WINDOWS] + [failed(w) for w in longer if w in LONG_WINDOWS] + [record("slo:budget_left:30d", "1 - slo:error_ratio:30d / slo:error_budget:ratio")]
    return ("# Made of ops/slo.def by python3 -m penstock_ops.monitoring: change it there. Ratios are weighed by traffic.\ngroups:\n"
            + group("penstock-slo", fixed + events + errors + [ratio(w) for w in WINDOWS] + [failed(w) for w in longer if w in WINDOWS])
            + group("penstock-slo-long", long, "5m")
            + group("penstock-slo-burn", [burn(alert) for alert in BURNS]))


# Files

def made() -> dict[Path, str]:
    return {ROOT / "ops/prometheus/slo.rules.yml": rules_text()} | {
        ROOT / "ops/grafana" / name: text for name, text in grafana.dashboards().items()}


def stale() -> list[str]:
    """The committed files that are not what would be made now."""
    wanted = made()
    extra = {p for p in (ROOT / "ops/grafana").glob("*.json") if p not in wanted}
    return sorted(str(p.relative_to(ROOT)) for p in [p for p, text in wanted.items() if not p.exists() or p.read_text(encoding="utf-8") != text] + [*extra])


def main(argv: list[str]) -> int:
    if argv == ["--check"]:
        said = stale()
        print("\n".join(f"{path} is not current: python3 -m penstock_ops.monitoring" for path in said) or "current")
        return 1 if said else 0
    for path, text in made().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
