"""Everything at random for an hour, gently, on one Penstock as shipped; then whether anything was lost or doubled, and whether anything grew.

  tests/soak/run.py [--minutes 60] [--seed N] [--build DIR] [--report FILE] [--rows FILE]

README.md says what each line means. Exit status 1: a promise was broken.
"""
import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "ops" / "lib"), *(str(ROOT / "tests" / name) for name in ("lib", "fault", "integration", "soak"))]

from crowd import Crowd  # noqa: E402
from gauge import Gauge  # noqa: E402
from ground import QUEUES, Ground  # noqa: E402
from stack import Client  # noqa: E402
from sweep.chaos import post_json  # noqa: E402
from sweep.check import Check, Verdict  # noqa: E402
from sweep.load import Load  # noqa: E402
from sweep.ticks import Ticks  # noqa: E402
from trouble import Trouble  # noqa: E402

DRAIN_S = 30
CALM_S = 45  # from the last fault to the end of the load: what failed for a fault comes again meanwhile
EVERY_S = 10


def progress(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Soak:
    def __init__(self, ground: Ground, seed: int, seconds: float):
        self.ground, self.seconds = ground, seconds
        self.loads = [Load(ground.roles[role].url, ground.sim.url, seed + i, threads=3, pause_s=0.35) for i, role in enumerate(("api", "api_restarted"))]
        self.crowd = Crowd(ground, seed)
        self.trouble = Trouble(ground, seed, pause_s=7)
        self.ticks = Ticks(ground, pause_s=8)
        self.gauge = Gauge(ground, min(EVERY_S, seconds / 60))

    @property
    def sent(self) -> list:
        return [s for load in self.loads for s in load.sent]

    def run(self) -> None:
        """A third of the time for everything to take what it takes, of which what is watched in the other two may be ended in the first three quarters."""
        client = Client(self.ground.api_url)
        for queue in QUEUES:
            self.crowd.scale(client, queue, 2)
        for part in (*self.loads, self.crowd, self.ticks, self.gauge, self.trouble):
            part.start()
        end, said, settled = time.monotonic() + self.seconds, 0.0, False
        while time.monotonic() < end - CALM_S:
            time.sleep(1)
            at = time.monotonic() - self.gauge.began
            if not settled and at >= self.seconds / 4:
                self.trouble.settle(self.gauge.to_be_spared())
                settled = True
            if time.monotonic() - said > 60:
                said = time.monotonic()
                progress(f"{at:5.0f} s  {sum(1 for s in self.sent if s.acked_at)} acknowledged, others {len(self.crowd.promises)}; {self.trouble.done}")
        self.trouble.stop()
        self.crowd.stop_operators()
        post_json(self.ground.sim.url + "/v1/faults", {"rules": [], "seed": 0})
        progress("no more faults")
        time.sleep(max(0.0, end - time.monotonic()))

    def finish(self) -> tuple[Verdict, dict]:
        until = time.monotonic() - self.gauge.began
        self.gauge.stop()
        self.ticks.stop()
        self.crowd.stop()
        for load in self.loads:
            load.stop(patience_s=40)
        progress("no more load")
        check = Check(self.ground, self.sent, [], sum(self.trouble.done.values()))
        quiet = check.await_quiet(120)
        check.verdict.want(quiet <= DRAIN_S, f"{quiet:.1f} s from the end of the load until all was done")
        jobs = check.rows("SELECT (SELECT count(*) FROM platform.job) + (SELECT count(*) FROM custom.note WHERE text = 'tally')")[0][0]
        self.ticks.judge(check)
        self.crowd.judge(check)
        check.verdict.want(not self.ground.collector.faults, f"telemetry that no collector understands: {self.ground.collector.faults[:2]}")
        check.verdict.want(not self.trouble.odd, f"what should have been done and could not: {self.trouble.odd[:2]}")
        verdict = check.run()
        verdict.figures |= {"seconds to quiet": round(quiet, 1), "jobs a second": round(jobs / self.seconds, 1)}
        table = self.gauge.judge(until - self.seconds * 2 / 3, until, verdict, long=self.seconds >= 1800)
        return verdict, {"processes": table, "servers": self.gauge.summary(), "faults": self.trouble.done, "others": dict(self.crowd.done),
                         "restarts": self.ground.deaths}


def print_report(verdict: Verdict, details: dict) -> None:
    for name, value in verdict.figures.items():
        print(f"{name:<28}{value!s:>12}")
    print(f"\nfaults: {details['faults']}\nothers: {details['others']}\nrestarts: {details['restarts']}\n")
    print(f"{'medians of the 2nd and 3rd third':<34}{'age, s':>8}{'RSS, kB':>18}{'an hour':>9}{'dirty, kB':>18}{'an hour':>9}{'fixed':>9}{'connections':>13}{'threads':>9}")
    for p in details["processes"]:
        pairs = {of: f"{p[of][0]} {p[of][1]}" for of in ("rss_kb", "dirty_kb", "fixed", "connections", "threads")}
        print(f"{p['name']:<34}{p['age_s']:>8}{pairs['rss_kb']:>18}{p['rss_kb_per_hour']:>9}{pairs['dirty_kb']:>18}{p['dirty_kb_per_hour']:>9}"
              f"{pairs['fixed']:>9}{pairs['connections']:>13}{pairs['threads']:>9}")
    for name, values in details["servers"].items():
        print(f"{name:<46}{values}")
    for problem in verdict.problems:
        print(f"PROBLEM: {problem}")
    print(f"\nsoak: {'FAILED' if verdict.problems else 'nothing lost, nothing doubled, nothing grown'}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/soak/run.py")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "fault", help="folder of the fault preset's build")
    parser.add_argument("--report", type=Path, help="write the figures as JSON")
    parser.add_argument("--rows", type=Path, help="write every measure of every process as CSV")
    a = parser.parse_args()
    progress(f"seed {a.seed}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended too
    with tempfile.TemporaryDirectory(prefix="penstock-soak-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        ground = Ground(Path(folder), a.build, a.seed)
        try:
            ground.start()
            soak = Soak(ground, a.seed, a.minutes * 60)
            soak.run()
            if a.rows:
                soak.gauge.write_rows(a.rows)
            verdict, details = soak.finish()
        finally:
            ground.close()
    print_report(verdict, details)
    if a.report:
        report = {"seed": a.seed, "minutes": a.minutes, "figures": verdict.figures, "problems": verdict.problems, **details}
        a.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 1 if verdict.problems else 0


if __name__ == "__main__":
    sys.exit(main())
