"""The fault sweep and its negative controls.

One loaded run with a 500 ms lease: failpoints at every step of the protocol kill processes, by seed, until each has had its hits, among stopped
processes, killed and wiped Redis, cut logs, Postgres stopped in mid-COMMIT and proxies that swallow answers. Then an independent checker
compares what producers were told with the tables, Redis, the provider's book, the webhooks and the mails.

The controls run the same with one safeguard switched off; each must fail.

  tests/fault/run.py [--seed N] [--full] [--only sweep|NAME…] [--report FILE]
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "ops" / "lib"), str(ROOT / "tests" / "lib"), str(Path(__file__).parent)]

from sweep.chaos import Chaos, post_json  # noqa: E402
from sweep.check import STREAM, Check, Verdict, stream_jobs_left  # noqa: E402
from sweep.cluster import Cluster  # noqa: E402
from sweep.load import Load  # noqa: E402
from sweep.ticks import Ticks  # noqa: E402

QUICK_HITS, FULL_HITS = 20, 200
QUICK_SECONDS, FULL_SECONDS = 480, 4 * 3600
CONTROL_SECONDS = 90

# What each control needs to be caught: kinds of load, failpoints armed, other faults.
CONTROLS = {
    "no_arbiter": ({"note"}, "effect.after=kill@0.02;finish.after=kill@0.02", False),
    "no_dedupe": ({"note"}, "accept.after_commit=kill@0.02", False),
    "no_relay": ({"note"}, "accept.after_commit=kill@0.03", False),
    "no_renewal": ({"slow"}, "", False),
    "no_call_gate": ({"order"}, "provider.after_call=kill@0.03", True),
}


def failpoints(build: Path) -> list[str]:
    out = subprocess.run([str(build / "penstock"), "failpoints"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in out.splitlines()]


class Armoury:
    """Arms a few of the failpoints that still need hits, other ones every two seconds: with all of them armed nothing would get far enough to
    meet the later ones. What was armed in vain gets a higher chance, what was hit often a lower one."""

    AT_ONCE = 6

    def __init__(self, cluster: Cluster, names: list[str], wanted: int, rng: random.Random):
        self.cluster, self.wanted, self.rng = cluster, wanted, rng
        self.chance = {name: 0.05 for name in names}
        self.armed: list[str] = []
        self.before: dict[str, int] = {}

    def missing(self) -> list[str]:
        hits = self.cluster.hit_counts()
        return [name for name in self.chance if hits.get(name, 0) < self.wanted]

    def rearm(self) -> list[str]:
        hits = self.cluster.hit_counts()
        for name in self.armed:
            new = hits.get(name, 0) - self.before.get(name, 0)
            factor = 2.0 if new == 0 else 0.5 if new > 4 else 1.0
            self.chance[name] = min(1.0, max(0.002, self.chance[name] * factor))
        self.before = hits
        missing = self.missing()
        self.armed = self.rng.sample(missing, min(self.AT_ONCE, len(missing)))
        self.cluster.arm(";".join(f"{name}=kill@{self.chance[name]:.4f}" for name in self.armed))
        return missing


def progress(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def sweep(build: Path, seed: int, hits: int, seconds: float) -> tuple[Verdict, dict]:
    names = failpoints(build)
    with tempfile.TemporaryDirectory(prefix="penstock-sweep-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        cluster = Cluster(Path(folder), build, seed)
        try:
            cluster.start()
            armoury = Armoury(cluster, names, hits, random.Random(seed))
            load = Load(cluster.api_url, cluster.sim.url, seed, threads=24, pause_s=0.05)
            chaos = Chaos(cluster, seed)
            ticks = Ticks(cluster)
            armoury.rearm()
            load.start()
            ticks.start()
            chaos.start()
            began = time.monotonic()
            said = 0.0
            while time.monotonic() - began < seconds and (armoury.missing() or not chaos.lossy_since):
                time.sleep(2)
                if not chaos.lossy_since and time.monotonic() - began > seconds / 8:
                    end_lossless_part(cluster, load, chaos)
                missing = armoury.rearm()
                chaos.favour({"wipe"} if any(name.startswith("epoch.") for name in armoury.armed) else set())
                if time.monotonic() - said > 20:
                    said = time.monotonic()
                    acked = sum(1 for s in load.sent if s.acked_at)
                    progress(f"{said - began:4.0f} s  {acked} acknowledged, {sum(cluster.hit_counts().values())} kills, "
                             f"{len(missing)} of {len(names)} failpoints want more: {' '.join(missing[:6])}")
            return finish(cluster, load, chaos, ticks, names, hits, time.monotonic() - began)
        finally:
            cluster.close()


def end_lossless_part(cluster: Cluster, load: Load, chaos: Chaos) -> None:
    """Up to here Redis was only killed. Every stream-class job so far must run; from here on those that a wiped or cut Redis held are excused."""
    load.paused_kinds = set(STREAM)
    chaos.paused.set()
    cluster.arm("")  # until they have run: with a failpoint at every step one worker gets nowhere
    end = time.monotonic() + 60
    while (left := stream_jobs_left(cluster, load.sent)) and time.monotonic() < end:
        time.sleep(0.2)
    if left:
        raise RuntimeError(f"{left} stream-class jobs did not run within 60 s after the last fault")
    chaos.lossy_since = time.monotonic()
    progress("from here on Redis is wiped and its log cut as well")
    chaos.paused.clear()
    load.paused_kinds = set()


def finish(cluster: Cluster, load: Load, chaos: Chaos, ticks: Ticks, names: list[str], hits: int, ran: float) -> tuple[Verdict, dict]:
    chaos.stop()
    ticks.stop()
    post_json(cluster.sim.url + "/v1/faults", {"rules": [], "seed": 0})
    cluster.disarm_and_restart()
    progress("faults end; waiting for quiet")
    load.stop(patience_s=40)
    counts = cluster.hit_counts()
    check = Check(cluster, load.sent, chaos.windows, sum(counts.values()) + sum(chaos.done.values()))
    quiet = check.await_quiet(150)
    ticks.judge(check)
    verdict = check.run()
    if verdict.problems:
        print(f"Redis was killed at {chaos.kills}")
    short = {name: counts.get(name, 0) for name in names if counts.get(name, 0) < hits}
    verdict.want(not short, f"failpoints with fewer than {hits} hits: {short}")
    verdict.figures |= {"seconds of faults": round(ran), "seconds to quiet": round(quiet, 1)}
    return verdict, {"failpoints": {name: counts.get(name, 0) for name in names}, "faults": chaos.done, "restarts": cluster.deaths}


def control(build: Path, name: str, seed: int) -> tuple[bool, str, float]:
    """True when the safeguard's absence was noticed."""
    only, spec, provider_faults = CONTROLS[name]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="penstock-control-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        cluster = Cluster(Path(folder), build, seed)
        try:
            cluster.start()
            cluster.pin(2)  # who does not renew must have somebody to lose to
            switch = f"switch:{name};"
            cluster.arm(switch + spec)
            for role in cluster.roles:
                cluster.kill_role(role)
            if provider_faults:
                rules = [{"op": "authorize", "action": "drop_after", "ms": 0, "probability": 0.3, "count": 1000}]
                post_json(cluster.sim.url + "/v1/faults", {"rules": rules, "seed": seed})
            # Long jobs must leave slots free: who takes one over must be able to begin it while the other is at it.
            load = Load(cluster.api_url, cluster.sim.url, seed, threads=8, pause_s=0.5 if "slow" in only else 0.05, only=only)
            load.start()
            time.sleep(20)
            cluster.arm(switch)  # the safeguard stays off; the kills end
            for role in cluster.roles:
                cluster.kill_role(role)
            post_json(cluster.sim.url + "/v1/faults", {"rules": [], "seed": 0})
            load.stop(patience_s=10)
            check = Check(cluster, load.sent, [], 0 if name == "no_renewal" else 1)
            check.await_quiet(20)
            verdict = check.run()
        finally:
            cluster.close()
    return bool(verdict.problems), verdict.problems[0] if verdict.problems else "nothing was noticed", time.monotonic() - began


def print_report(verdict: Verdict, details: dict) -> None:
    print(f"\n{'failpoint':<28}{'kills':>6}")
    for name, n in details["failpoints"].items():
        print(f"{name:<28}{n:>6}")
    print(f"\nother faults: {details['faults']}\nrestarts: {details['restarts']}\n")
    for name, value in verdict.figures.items():
        print(f"{name:<28}{value!s:>10}")
    for problem in verdict.problems:
        print(f"PROBLEM: {problem}")
    print(f"\nsweep: {'FAILED' if verdict.problems else 'nothing lost, nothing doubled'}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="The fault sweep and its negative controls.")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--full", action="store_true", help=f"{FULL_HITS} hits of each failpoint")
    parser.add_argument("--only", nargs="*", default=["sweep", *CONTROLS])
    parser.add_argument("--seconds", type=float, help="end of the sweep, whatever is missing")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "fault", help="folder of the fault preset's build")
    parser.add_argument("--report", type=Path, help="write the figures as JSON")
    a = parser.parse_args()
    build = a.build
    print(f"seed {a.seed}", flush=True)
    failed, report = [], {"seed": a.seed}
    if "sweep" in a.only:
        verdict, details = sweep(build, a.seed, FULL_HITS if a.full else QUICK_HITS,
                                 a.seconds or (FULL_SECONDS if a.full else QUICK_SECONDS))
        print_report(verdict, details)
        report |= {"figures": verdict.figures, "problems": verdict.problems, **details}
        failed += ["sweep"] if verdict.problems else []
    chosen = [n for n in CONTROLS if n in a.only]
    with ThreadPoolExecutor(2) as beside:  # they wait more than they work
        outcomes = list(beside.map(lambda name: control(build, name, a.seed), chosen))
    for name, (noticed, text, took) in zip(chosen, outcomes):
        noticed = noticed and took <= CONTROL_SECONDS
        print(f"control {name:<14} {'noticed' if noticed else 'NOT NOTICED':<12} {took:4.0f} s  {text[:160]}", flush=True)
        report.setdefault("controls", {})[name] = {"noticed": noticed, "seconds": round(took), "by": text}
        failed += [] if noticed else [name]
    if a.report:
        a.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print("failed: " + ", ".join(failed) if failed else "all as it should be")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
