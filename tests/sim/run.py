"""The simulator (README.md): seeds until the steps are done, a short pass under ASan and UBSan, and each re-created bug, which must be found.

  tests/sim/run.py [--full] [--steps N] [--seed N] [--only NAME…] [--table]     NAME: seeds, sanitized, or a bug of bugs.def
"""
import argparse
import os
import re
import secrets
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILDS = {name: ROOT / "build" / name / "tests" / "sim" for name in ("fault", "dev")}
if "TEST_BUILD" in os.environ:
    BUILDS["fault"] = Path(os.environ["TEST_BUILD"]) / "tests" / "sim"
STEPS, STEPS_FULL, STEPS_SANITIZED, STEPS_BUG = 3_000_000, 300_000_000, 100_000, 4_000_000
FROM = {"drop_any_generation": 6760, "finish_any_generation": 104, "ids_come_again": 4742, "lone_kill_counted": 2529,
        "waiting_not_renewed": 254}  # rare: the seed to begin with
BUGS = re.findall(r"^(?:LUA|SWITCH|STORE|CODE)\((\w+)", (ROOT / "tests" / "sim" / "bugs.def").read_text(encoding="utf-8"), re.MULTILINE)
assert BUGS


def program(bug: str | None = None, build: str = "fault") -> Path:
    """A bug in C has a program of its own."""
    own = BUILDS[build] / f"sim_bug_{bug}"
    return own if own.exists() else BUILDS[build] / "sim_cluster"


def run(*words) -> tuple[int, str]:
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False, env=os.environ | {"ASAN_OPTIONS": "detect_leaks=1"})
    return done.returncode, done.stderr + done.stdout


def seeds(seed: int, steps: int, build: str = "fault") -> bool:
    status, said = run(program(build=build), "--seed", seed, "--steps", steps)
    last = (said.strip().splitlines() or ["nothing"])[-1]
    print(f"from seed {seed}{' (sanitized)' if build == 'dev' else ''}: {last}", flush=True)
    if status:
        print(f"{said}(sim_cluster is {program(build=build)})", flush=True)
    return status == 0


def bug(name: str) -> tuple[str, bool, str]:
    status, said = run(program(name), "--bug", name, "--seed", FROM.get(name, 1), "--steps", STEPS_BUG)
    found = re.match(r"seed (\d+), step \d+, [\d.]+ s: (.*)", said)
    steps = re.search(r"(\d+) steps: broken", said)
    if status != 1 or not found or not steps:
        return name, False, f"{name}: NOT FOUND: {said.strip()[-300:]}"
    own = program(name).name
    return name, True, f"| `{name}` | {int(steps[1]):,} | {found[2]} | `{own} --bug {name} --seed {found[1]} --trace` |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help=f"{STEPS_FULL:,} steps from a seed of chance")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, help="steps from this seed as well")
    parser.add_argument("--only", nargs="+", choices=("seeds", "sanitized", *BUGS))
    parser.add_argument("--table", action="store_true", help="print the rows of BUGS.md")
    arguments = parser.parse_args()
    wanted = arguments.only or ("seeds", "sanitized", *BUGS)
    steps = arguments.steps or (STEPS_FULL if arguments.full else STEPS)
    chance = arguments.seed if arguments.seed is not None else secrets.randbelow(10**12) + 10**6
    began = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        passes = []
        if "seeds" in wanted:  # the same ones each time; others where somebody looks at what they find
            passes.append(pool.submit(seeds, 1, min(steps, STEPS)))
            if arguments.full or arguments.seed is not None:
                passes.append(pool.submit(seeds, chance, steps))
        if "sanitized" in wanted:
            passes.append(pool.submit(seeds, 1, STEPS_SANITIZED, "dev"))
        ok = all([p.result() for p in passes])
        found = list(pool.map(bug, [b for b in BUGS if b in wanted]))
    for _, is_found, line in found:
        if arguments.table or not is_found:
            print(line)
    if found:
        print(f"{sum(f[1] for f in found)} of {len(found)} re-created bugs found")
    print(f"{time.monotonic() - began:.0f} s")
    return 0 if ok and all(f[1] for f in found) else 1


if __name__ == "__main__":
    sys.exit(main())
