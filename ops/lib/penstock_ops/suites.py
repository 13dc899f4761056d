"""ops/test: builds what a suite needs, runs it, and says at the end what passed."""
import argparse
import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from . import ROOT, RUN, Problem
from .build import build
from .postgres_server import Account, bin_dir

PASSED, FAILED = "passed", "failed"
PYTHON = [sys.executable, "-u"]


@dataclass(frozen=True)
class Suite:
    name: str
    what: str
    path: str                  # what it runs, in the tree
    seconds: int               # it is ended after this long
    presets: tuple[str, ...]   # built first; the first one's folder is TEST_BUILD, another's TEST_BUILD_<PRESET>

    def command(self, full: bool) -> list[str]:
        if self.path.endswith(".py"):
            return [*PYTHON, self.path, *(["--full"] if full else [])]
        if self.name == "unit":
            return ["ctest", "--test-dir", "build/dev", "--no-tests=error", "--output-on-failure", "-j", str(os.cpu_count() or 1)]
        # Its tests wait more than they work; a module, and the stack it starts, stays with one process.
        beside = ["-n", str((os.cpu_count() or 1) + 1), "--dist", "loadfile"] if self.name == "integration" else []
        return [*PYTHON, "-m", "pytest", "-q", "-rs", *beside, "-p", "no:cacheprovider", f"--basetemp={RUN / 'test' / self.name}",
                self.path]


SUITES = (
    Suite("lint", "format, banned functions, size caps", "tests/lint/run.py", 120, ()),
    Suite("wall", "each violation of the module wall must break the build", "tests/wall/run.py", 600, ()),
    Suite("unit", "cmocka under ASan and UBSan", "tests/unit", 600, ("dev",)),
    Suite("checkers", "unit tests under TSan and valgrind", "tests/checkers/run.py", 900, ()),
    Suite("model", "every state of the protocol's model, and what goes wrong without its safeguards", "tests/model/run.py", 300, ()),
    Suite("sim", "a cluster in virtual time, with the real code in it", "tests/sim/run.py", 300, ("fault", "dev")),
    Suite("elf", "hardening of the release binaries", "tests/elf/check.py", 60, ("release",)),
    Suite("ops", "the private servers", "tests/ops", 300, ()),
    Suite("pack", "units, package, examples and guides", "tests/pack", 300, ("release",)),
    Suite("contract", "schemas, OpenAPI, the protocol page", "tests/contract", 600, ("dev",)),
    Suite("integration", "real servers, sanitized binaries", "tests/integration", 1200, ("dev", "fault")),
    Suite("slo", "objectives, alerts, runbooks, dashboards: on a real Prometheus", "tests/slo", 300, ("dev",)),
    Suite("browser", "the dashboard in Chromium: every page and action, accessibility, security policy", "tests/browser/run.py", 300, ("release",)),
    Suite("overload", "ten times what the workers can do", "tests/overload/run.py", 300, ("release",)),
    Suite("brokers", "contract and life of a job on Valkey 8 and Redis 8.2", "tests/brokers/run.py", 900, ("dev",)),
    Suite("fuzz", "libFuzzer: what comes from outside", "tests/fuzz/run.py", 600, ("fuzz",)),
    Suite("tidy", "clang-tidy", "tests/lint/tidy.py", 400, ("dev",)),
    Suite("fault", "the fault sweep and its negative controls", "tests/fault/run.py", 1800, ("fault",)),
)


@functools.cache
def built(preset: str) -> Path | Problem:
    """The folder, or why there is none: several suites may ask."""
    try:
        return build(preset)
    except Problem as problem:
        return problem


def is_absent(suite: Suite) -> bool:
    path = ROOT / suite.path
    return not path.exists() or (path.is_dir() and next(path.rglob("*test_*"), None) is None)


@contextlib.contextmanager
def reachable_postgres():
    """The programs' folder for tests that run them under another account; a copy where that could not enter ours."""
    where = bin_dir()
    if os.geteuid() != 0 or not Account(RUN, where / "postgres").passes_closed_doors:
        yield where
        return
    with tempfile.TemporaryDirectory(prefix="penstock-postgres-") as folder:
        os.chmod(folder, 0o755)
        shutil.copytree(where.parents[3], folder, symlinks=True, dirs_exist_ok=True)  # …/usr
        yield Path(folder) / where.relative_to(where.parents[3])


def environment(suite: Suite, folders: list[Path], postgres: Path, full: bool) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items()
           if (not name.startswith("PENSTOCK_") or name == "PENSTOCK_FORCE_UNPACK")
           and not name.lower().endswith("_proxy")}  # all that is asked is on loopback
    if suite.name in ("unit", "checkers", "brokers"):  # the C fixtures'; the others would hand it on to programs that refuse unknown variables
        env["TEST_POSTGRES_BIN"] = str(postgres)
    env |= {"ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
    for preset, folder in zip(suite.presets, folders):
        env["TEST_BUILD" if folder == folders[0] else f"TEST_BUILD_{preset.upper()}"] = str(folder)
    return env | ({"TEST_FULL": "1"} if full else {})


def run(suite: Suite, postgres: Path, full: bool) -> bool:
    folders = [built(preset) for preset in suite.presets]
    for problem in folders:
        if isinstance(problem, Problem):
            print(problem, flush=True)
            return False
    (RUN / "test").mkdir(parents=True, exist_ok=True)
    child = subprocess.Popen(suite.command(full), cwd=ROOT, env=environment(suite, folders, postgres, full),
                             stdin=subprocess.DEVNULL, start_new_session=True)
    limit = None if full else suite.seconds
    try:
        return child.wait(limit) == 0
    except subprocess.TimeoutExpired:
        print(f"{suite.name} did not end within {limit} s", flush=True)
        return False
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)


def judge(suite: Suite, postgres: Path, full: bool) -> tuple[str, float]:
    began = time.monotonic()
    print(f"\n== {suite.name}: {suite.what}", flush=True)
    if is_absent(suite):
        print(f"there is no test at {suite.path}", flush=True)
        return FAILED, 0
    ok = run(suite, postgres, full)
    return (PASSED if ok else FAILED), time.monotonic() - began


def report(results: dict[str, tuple[str, float]]) -> int:
    print(f"\n{'suite':<14}{'seconds':>8}  result")
    for name, (result, seconds) in results.items():
        print(f"{name:<14}{seconds:8.0f}  {result}")
    outcomes = [result for result, _ in results.values()]
    print(f"{'all':<14}{sum(seconds for _, seconds in results.values()):8.0f}\n")
    print(f"{outcomes.count(PASSED)} passed, {outcomes.count(FAILED)} failed")
    return 1 if FAILED in outcomes else 0


def main() -> int:
    listed = "\n".join(f"  {s.name:<12} {s.what}" for s in SUITES)
    parser = argparse.ArgumentParser(prog="ops/test", description="Builds and tests.", epilog=f"suites:\n{listed}",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="those to run; all by default")
    parser.add_argument("--full", action="store_true", help="the long forms, without time limits")
    arguments = parser.parse_args()
    unknown = set(arguments.suites) - {s.name for s in SUITES}
    if unknown:
        parser.error(f"no suite {', '.join(sorted(unknown))}; there are {', '.join(s.name for s in SUITES)}")
    chosen = [s for s in SUITES if not arguments.suites or s.name in arguments.suites]
    with reachable_postgres() as postgres:
        return report({suite.name: judge(suite, postgres, arguments.full) for suite in chosen})


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
