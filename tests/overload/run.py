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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "ops" / "lib"), str(ROOT / "tests" / "integration"), str(Path(__file__).parent)]

from stage import QUEUES, SERVICE_MS, SLOTS, Answer, Flow, Stage, Watch  # noqa: E402

from penstock_ops import RUN, ports  # noqa: E402
from penstock_ops.steps import run_logged  # noqa: E402

TIMES, PAYMENTS_SHARE = 10, 0.2
OPEN_AGAIN_S = 10
# name: seconds of load, of calm before it; limits of drain time. The short form has smaller limits, so that both queues meet theirs.
FORMS = {"short": (30, 6, {"notifications": 15, "orders": 40}), "full": (120, 30, {"notifications": 60, "orders": 300})}


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


def judge(capacity: float, calm: list[Answer], run: dict, seconds: float) -> list[tuple[str, str, str, bool, bool]]:
    """Rows of the table: what, figure, what it should be, is it, does it count on any machine."""
    answers = run["answers"]
    first = {q: next((a.due for a in answers[q] if a.status == 503), float("inf")) for q in QUEUES}
    start = min(a.due for q in QUEUES for a in answers[q])
    paid = sum(a.status == 202 for a in answers["payments"]) / len(answers["payments"])
    odd = sorted({a.status for q in QUEUES for a in answers[q]} - {202, 503})
    refused = [a.took * 1000 for q in QUEUES for a in answers[q] if a.status == 503]
    admitted = [a.took * 1000 for q in QUEUES for a in answers[q] if a.status == 202]
    told = [pair for q in ("notifications", "orders") for pair in retry_after_errors(answers[q])]
    near = sum(is_near(*pair) for pair in told) / len(told) if told else 0
    goodput = {q: run["done"][q] / capacity for q in ("notifications", "orders")}
    calm_p99 = percentile([a.took * 1000 for a in calm], 0.99)
    rss = growth(run["watch"], run["ended"] - seconds / 2)
    worst = max(rss, key=rss.get)
    return [
        ("goodput of notifications, of capacity", f"{goodput['notifications']:.2f}", ">= 0.90", goodput["notifications"] >= 0.9, True),
        ("goodput of orders, of capacity", f"{goodput['orders']:.2f}", ">= 0.90", goodput["orders"] >= 0.9, True),
        ("first refusal of notifications; of orders, s", f"{first['notifications'] - start:.1f}; {first['orders'] - start:.1f}",
         "in this order", first["notifications"] < first["orders"] < float("inf"), True),
        ("payments accepted", f"{paid:.4f}", "1", paid == 1, True),
        ("answers of another status than 202, 503", str(odd), "none", not odd, True),
        ("refusals; admitted", f"{len(refused)}; {len(admitted)}", "", True, False),
        ("refusals p99, ms", f"{percentile(refused, 0.99):.2f}", "< 10", percentile(refused, 0.99) < 10, False),
        ("admitted p99, ms; in calm", f"{percentile(admitted, 0.99):.2f}; {calm_p99:.2f}", "<= 2 x", percentile(admitted, 0.99) <= 2 * calm_p99,
         False),
        ("Retry-After as it came to be, of refusals", f"{near:.3f} of {len(told)}", ">= 0.95", near >= 0.95, True),
        ("open again after, s", f"{run['open_after']:.1f}", f"<= {OPEN_AGAIN_S}", run["open_after"] <= OPEN_AGAIN_S, True),
        ("memory in the second half, the worst role", f"{worst} {rss[worst]:.3f}", "+- 0.05", rss[worst] <= 0.05, False),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/overload/run.py")
    parser.add_argument("--full", action="store_true", help="120 s of load, the limits as shipped")
    parser.add_argument("--report", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    form = "full" if arguments.full else "short"
    seconds, calm_seconds, limits = FORMS[form]
    build = Path(os.environ.get("TEST_BUILD", ROOT / "build"))
    run_logged("configure the load", ["cmake", "-S", ROOT, "-B", build, "-DPENSTOCK_BENCH=ON"], RUN / "log" / "configure-overload.log", ROOT)
    run_logged("build the load", ["cmake", "--build", build, "--target", "http_load"], RUN / "log" / "build-overload.log", ROOT)
    with tempfile.TemporaryDirectory(prefix="penstock-overload-") as folder:
        stage = Stage(Path(folder), limits)
        try:
            capacity = measure_capacity(stage)
            calm = measure_calm(stage, capacity, calm_seconds)
            rows = judge(capacity, calm, overload(stage, capacity, seconds), seconds)
        finally:
            stage.stop()
    print(f"capacity of a queue: {capacity:.1f} jobs/s ({SLOTS} at once, {SERVICE_MS} ms each); {TIMES} times that for {seconds} s")
    for what, figure, wanted, ok, counts in rows:
        print(f"  {what:<46} {figure:>22}  {wanted:<14} {'ok' if ok else 'PROBLEM' if counts else 'missed here'}")
    if arguments.report:
        report = {"form": form, "capacity": round(capacity, 1), "rows": [{"what": w, "figure": f, "wanted": n, "ok": ok} for w, f, n, ok, _ in rows]}
        arguments.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0 if all(ok for *_, ok, counts in rows if counts) else 1


if __name__ == "__main__":
    sys.exit(main())
