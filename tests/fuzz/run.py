"""Runs every libFuzzer target of the fuzz preset for 20 s, with --full for 15 minutes, and says how much each has tried.
The short runs begin with the same seed each time: whether a change passes is not to be luck. The long ones draw theirs.
New inputs are kept under .run/fuzz, so that later runs go on from them; the corpus in the tree is only read."""
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "fuzz"
BUILT = ROOT / "build" / "fuzz" / "tests" / "fuzz"
KEPT = ROOT / ".run" / "fuzz"
SECONDS, FULL_SECONDS = 20, 15 * 60
SEED = 1
LIMITS = ("-timeout=10", "-rss_limit_mb=1024", "-max_len=16384", "-print_final_stats=1")
# Not strict_string_checks: it wants a NUL behind what strndup() copies.
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=16", "UBSAN_OPTIONS": "print_stacktrace=1",
               "ASAN_SYMBOLIZER_PATH": "/usr/bin/llvm-symbolizer-14"}


@dataclass(frozen=True)
class Outcome:
    target: str
    executions: int
    coverage: int   # edges
    inputs: int     # that differ in what they reach
    log: str
    failed: bool


def last(pattern: str, text: str) -> int:
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def run(target: str, seconds: int, seed: int) -> Outcome:
    kept = KEPT / target
    kept.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([BUILT / f"fuzz_{target}", f"-max_total_time={seconds}", f"-seed={seed}", *LIMITS, f"-artifact_prefix={KEPT}/{target}-",
                           kept, HERE / "corpus" / target],
                          env=os.environ | ENVIRONMENT, capture_output=True, text=True, errors="replace", check=False)
    log = done.stderr
    executions = last(r"number_of_executed_units: (\d+)", log)
    return Outcome(target, executions, last(r" cov: (\d+)", log), last(r" corp: (\d+)", log), log, done.returncode != 0)


def explain(outcome: Outcome) -> None:
    print(f"\n{outcome.target}:\n" + "\n".join(outcome.log.splitlines()[-40:]))
    for path in re.findall(r"Test unit written to (\S+)", outcome.log):
        print(f"input:  {path}\nrepeat: {(BUILT / f'fuzz_{outcome.target}').relative_to(ROOT)} {path}")


def main() -> int:
    seconds, seed = (FULL_SECONDS, 0) if "--full" in sys.argv[1:] else (SECONDS, SEED)  # 0: libFuzzer draws one
    targets = sorted(path.stem for path in HERE.glob("*.c"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(lambda target: run(target, seconds, seed), targets))
    print(f"{'target':<12}{'executions':>12}{'edges':>8}{'inputs':>8}  result")
    for o in outcomes:
        print(f"{o.target:<12}{o.executions:12}{o.coverage:8}{o.inputs:8}  {'failed' if o.failed else 'passed'}")
    for o in outcomes:
        if o.failed:
            explain(o)
    return 1 if not outcomes or any(o.failed for o in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
