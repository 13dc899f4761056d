"""Ten times as much as the workers can do, from an open loop: what is refused, what is still done, and how soon it is over.

  tests/overload/run.py [--full] [--report FILE]

README.md says what each line means. Exit status 1: a line that counts on any machine is not as it should be.
"""
import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "ops" / "lib"), str(ROOT / "tests" / "integration"), str(ROOT / "tests" / "contract"), str(Path(__file__).parent)]

from stage import QUEUES, SERVICE_MS, SLOTS, Answer, Flow, Stage, Watch  # noqa: E402

from penstock_ops import RUN, ports  # noqa: E402
from penstock_ops.steps import run_logged  # noqa: E402

TIMES, PAYMENTS_SHARE = 10, 0.2
OPEN_AGAIN_S = 10
PROMOTED_PER_S = 5000  # scheduler/src/promote.c
NOTE, NOTES_PER_S = '{"type":"demo.note","payload":{"text":"herd"}}', 100


@dataclass(frozen=True)
class Form:
    seconds: int       # of load
    calm_seconds: int  # before it
    max_drain_s: dict[str, int]
    herd: int          # jobs that are due at once


# The short form has smaller limits, so that both queues meet theirs.
FORMS = {"short": Form(30, 6, {"notifications": 15, "orders": 40}, 20000),
         "full": Form(120, 30, {"notifications": 60, "orders": 300}, 100000)}


@dataclass(frozen=True)
class Row:
    what: str
    figure: str
    wanted: str
    ok: bool
    counts: bool = True  # on any machine


def percentile(values: list[float], p: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * p))] if values else float("nan")


def measure_capacity(stage: Stage) -> float:
    """Jobs a second that a queue ends while some wait all the time. The API, which has just begun, sees it too."""
    warm = [Flow(stage, "notifications", 100, 4), Flow(stage, "orders", 200, 4)]
    for flow in warm:
        flow.answers()
    began = time.time()
    assert ports.wait_until(lambda: stage.waiting("orders") < 40, 60)
    until = time.time()
    rate = stage.ended("orders", began, until) / (until - began)
    assert ports.wait_until(lambda: all(stage.waiting(q) == 0 for q in QUEUES), 60)
    return rate


def measure_calm(stage: Stage, capacity: float, seconds: float) -> list[Answer]:
    return Flow(stage, "orders", capacity / 2, seconds).answers()


def overload(stage: Stage, capacity: float, seconds: float) -> dict:
    watch = Watch(stage)
    began = time.time()
    rates = {q: capacity * (PAYMENTS_SHARE if q == "payments" else TIMES) for q in QUEUES}
    flows = [Flow(stage, q, rates[q], seconds) for q in QUEUES]
    answers = {flow.queue: flow.answers() for flow in flows}
    ended = time.time()
    opened = ports.wait_until(lambda: all(stage.door(q)["state"] == "open" for q in QUEUES), 60)
    open_after = time.time() - ended
    watch.end()
    done = {q: stage.ended(q, began + 1, ended - 1) / (ended - began - 2) for q in QUEUES}
    return {"answers": answers, "done": done, "open_after": open_after if opened else float("inf"), "watch": watch, "ended": ended}


def retry_after_errors(answers: list[Answer]) -> list[tuple[float, float]]:
    """For each refusal after which the door opened while the load lasted: what was told, and when the next request got in."""
    found, opened = [], None
    for a in reversed(answers):
        if a.status == 202:
            opened = a.due
        elif a.status == 503 and opened is not None:
            found.append((a.retry_after, opened - a.due))
    return found


def is_near(told: float, real: float) -> bool:
    """Within three tenths; the header counts whole seconds, and the door is moved once a second."""
    return abs(told - real) <= max(0.3 * real, 1)


def growth(watch: Watch, since: float) -> dict[str, float]:
    """By role, the larger of how far its memory rose above and fell below its median in the second half."""
    rows = [rss for when, rss in watch.rss if when >= since]
    out = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        middle = statistics.median(values)
        out[name] = max(max(values) / middle - 1, 1 - min(values) / middle)
    return out


def herd(stage: Stage, jobs: int) -> list[Row]:
    """Delayed jobs that are due at the same moment, and what others feel of it."""
    seconds = jobs // PROMOTED_PER_S
    calm = Flow(stage, "default", NOTES_PER_S, max(10, seconds), NOTE).answers()
    due = time.time() + 3 + jobs / 20000
    stage.delay(jobs, int(due * 1000))
    assert stage.delayed() == jobs and time.time() < due, "the jobs were due before all were there"
    time.sleep(due - time.time())
    flow = Flow(stage, "default", NOTES_PER_S, seconds, NOTE)
    assert ports.wait_until(lambda: stage.delayed() == 0, 120)
    moved = time.time() - due
    p99 = [percentile([a.took * 1000 for a in answers], 0.99) for answers in (flow.answers(), calm)]
    return [
        Row(f"{jobs} jobs due at once: all moved after, s", f"{moved:.1f}", f">= {0.9 * seconds:.1f}", moved >= 0.9 * seconds),
        Row("answers meanwhile p99, ms; in calm", f"{p99[0]:.2f}; {p99[1]:.2f}", "< 2 x", p99[0] < 2 * p99[1], False),
    ]


def judge(capacity: float, calm: list[Answer], run: dict, seconds: float) -> list[Row]:
    answers = run["answers"]
    first = {q: next((a.due for a in answers[q] if a.status == 503), float("inf")) for q in QUEUES}
    start = min(a.due for q in QUEUES for a in answers[q])
    paid = sum(a.status == 202 for a in answers["payments"]) / len(answers["payments"])
    odd = sorted({a.status for q in QUEUES for a in answers[q]} - {202, 503})
    refused = [a.took * 1000 for q in QUEUES for a in answers[q] if a.status == 503]
    admitted = [a.took * 1000 for q in QUEUES for a in answers[q] if a.status == 202]
    p99 = {name: percentile(values, 0.99) for name, values in (("refused", refused), ("admitted", admitted), ("calm", [a.took * 1000 for a in calm]))}
    told = [pair for q in ("notifications", "orders") for pair in retry_after_errors(answers[q])]
    near = sum(is_near(*pair) for pair in told) / len(told) if told else 0
    goodput = {q: run["done"][q] / capacity for q in ("notifications", "orders")}
    rss = growth(run["watch"], run["ended"] - seconds / 2)
    worst = max(rss, key=rss.get)
    return [
        *(Row(f"goodput of {q}, of capacity", f"{part:.2f}", ">= 0.90", part >= 0.9) for q, part in goodput.items()),
        Row("first refusal of notifications; of orders, s", f"{first['notifications'] - start:.1f}; {first['orders'] - start:.1f}", "in this order",
            first["notifications"] < first["orders"] < float("inf")),
        Row("payments accepted", f"{paid:.4f}", "1", paid == 1),
        Row("answers of another status than 202, 503", str(odd), "none", not odd),
        Row("refusals; admitted", f"{len(refused)}; {len(admitted)}", "", True),
        Row("refusals p99, ms", f"{p99['refused']:.2f}", "< 10", p99["refused"] < 10, False),
        Row("admitted p99, ms; in calm", f"{p99['admitted']:.2f}; {p99['calm']:.2f}", "<= 2 x", p99["admitted"] <= 2 * p99["calm"], False),
        Row("Retry-After as it came to be, of refusals", f"{near:.3f} of {len(told)}", ">= 0.95", near >= 0.95),
        Row("open again after, s", f"{run['open_after']:.1f}", f"<= {OPEN_AGAIN_S}", run["open_after"] <= OPEN_AGAIN_S),
        Row("memory in the second half, the worst role", f"{worst} {rss[worst]:.3f}", "+- 0.05", rss[worst] <= 0.05, False),
    ]


def measure(form: Form) -> tuple[float, list[Row]]:
    with tempfile.TemporaryDirectory(prefix="penstock-overload-") as folder:
        stage = Stage(Path(folder), form.max_drain_s)
        try:
            capacity = measure_capacity(stage)
            calm = measure_calm(stage, capacity, form.calm_seconds)
            rows = judge(capacity, calm, overload(stage, capacity, form.seconds), form.seconds)
            return capacity, rows + herd(stage, form.herd)
        finally:
            stage.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/overload/run.py")
    parser.add_argument("--full", action="store_true", help="120 s of load, the limits as shipped, 100,000 jobs due at once")
    parser.add_argument("--report", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    form = FORMS["full" if arguments.full else "short"]
    build = Path(os.environ.get("TEST_BUILD", ROOT / "build"))
    run_logged("configure the load", ["cmake", "-S", ROOT, "-B", build, "-DPENSTOCK_BENCH=ON"], RUN / "log" / "configure-overload.log", ROOT)
    run_logged("build the load", ["cmake", "--build", build, "--target", "http_load"], RUN / "log" / "build-overload.log", ROOT)
    capacity, rows = measure(form)
    print(f"capacity of a queue: {capacity:.1f} jobs/s ({SLOTS} at once, {SERVICE_MS} ms each); {TIMES} times that for {form.seconds} s")
    for row in rows:
        print(f"  {row.what:<46} {row.figure:>22}  {row.wanted:<14} {'ok' if row.ok else 'PROBLEM' if row.counts else 'missed here'}")
    if arguments.report:
        report = {"seconds": form.seconds, "max_drain_s": form.max_drain_s, "capacity": round(capacity, 1), "rows": [asdict(row) for row in rows]}
        arguments.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0 if all(row.ok for row in rows if row.counts) else 1


if __name__ == "__main__":
    sys.exit(main())
