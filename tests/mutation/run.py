"""Mutation run over queues/, its Functions, retry and breaker: which small change does no test notice? By hand; the survivors are judged in
report.md. C: the preset dev, with the unit tests that link what was changed. Lua: tests/contract on a copy of the tree.

    PYTHONPATH=ops/lib .run/venv/bin/python tests/mutation/run.py [--only retry|breaker|queues|lua] [--sample N] [--seed N]"""
import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from mutants import ROOT, Mutant, mutants, sample
from penstock_ops.build import build, compile_commands

SECONDS = 60           # a mutant that makes a test hang is noticed
SAMPLE, SEED = 400, 1  # of each
ENVIRONMENT = os.environ | {"ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1"}
LATE = ("unit_worker_claim", "unit_scheduler_epoch", "unit_scheduler_promote", "unit_scheduler_audit", "unit_scheduler_dead")
CONTRACT = ("test_functions.py", "test_upkeep.py", "test_torn_steps.py", "test_acl.py")


@dataclass(frozen=True)
class Target:
    files: str
    tests: tuple[str, ...]  # programs, in the order in which they are tried; of Lua, files below tests/contract


TARGETS = {
    "retry": Target("jobs/src/retry.c", ("unit_jobs_retry",)),
    "breaker": Target("jobs/src/dependency.c", ("unit_jobs_dependency",)),
    "queues": Target("queues/src/*.c", ("unit_queues_calls", "unit_queues_replies", "unit_queues_envelope", "unit_queues_shard",
                                        "unit_queues_stream_id", "unit_queues_acl", *LATE)),
    "lua": Target("queues/lua/*.lua", CONTRACT),
}


def passes(command: list[str], where: Path) -> bool:
    try:
        return subprocess.run(command, cwd=where, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              timeout=SECONDS, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


class CTrial:
    """The changed object stands before the module's archive when a test is linked, so that the archive's own is left out."""

    def __init__(self, folder: Path, target: Target):
        self.folder, self.tests = folder, target.tests
        self.compile = {c["file"]: shlex.split(c["command"]) for c in compile_commands("dev")}
        self.link = {test: self._link_command(test) for test in target.tests}

    def _link_command(self, test: str) -> str:
        said = subprocess.run(["ninja", "-C", self.folder, "-t", "commands", test], capture_output=True, text=True, check=True)
        return said.stdout.splitlines()[-1]

    def __call__(self, mutant: Mutant, room: Path) -> str | None:
        source, changed, program = room / "changed.c", room / "changed.o", room / "program"
        source.write_text(mutant.text, encoding="utf-8")
        argv = self.compile[str(ROOT / mutant.path)]
        argv = [a for a in argv if a not in ("-MD", "-MT", "-MF") and not a.endswith((".o", ".o.d", ".c"))]
        argv = [a for a in argv if a not in ("-o", "-c", "ccache")] + ["-c", str(source), "-o", str(changed)]
        if not passes(argv, self.folder):
            return None
        for test in self.tests:
            link = self.link[test].replace(f"-o tests/unit/{test} ", f"-o {program} {changed} ", 1)
            if not passes(["sh", "-c", link], self.folder):
                return None
            if not passes([str(program)], room):
                return test
        return ""


class LuaTrial:
    def __init__(self, folder: Path, target: Target):
        self.folder, self.tests = folder, target.tests

    def __call__(self, mutant: Mutant, room: Path) -> str | None:
        if not (room / "tests").exists():
            for part in ("tests/contract", "tests/lib", "queues", "ops"):
                shutil.copytree(ROOT / part, room / part)
        changed = room / mutant.path
        was = changed.read_text(encoding="utf-8")
        changed.write_text(mutant.text, encoding="utf-8")
        try:
            command = ["env", f"PYTHONPATH={room}/ops/lib", f"TEST_BUILD={self.folder}", sys.executable, "-m", "pytest", "-q", "-x", "-p",
                       "no:cacheprovider", f"--basetemp={room}/run", "--deselect", "tests/contract/test_acl.py::test_nobody_connects_without_a_name",
                       *[f"tests/contract/{test}" for test in self.tests]]
            return "" if passes(command, room) else "tests/contract"
        finally:
            changed.write_text(was, encoding="utf-8")


def run(name: str, most: int, seed: int) -> None:
    target = TARGETS[name]
    everything = [m for path in sorted(ROOT.glob(target.files)) for m in mutants(str(path.relative_to(ROOT)))]
    chosen = sample(everything, most, seed)
    trial = (LuaTrial if name == "lua" else CTrial)(build("dev"), target)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="penstock-mutants-") as room:
        unchanged = chosen[0].path
        if trial(Mutant(unchanged, 0, "", "", (ROOT / unchanged).read_text(encoding="utf-8")), Path(room)) != "":
            raise SystemExit(f"{name}: its tests fail without a change")
    with tempfile.TemporaryDirectory(prefix="penstock-mutants-") as made:
        rooms: SimpleQueue[Path] = SimpleQueue()
        for i in range(os.cpu_count() or 1):
            (Path(made) / str(i)).mkdir()
            rooms.put(Path(made) / str(i))

        def judge(mutant: Mutant) -> str | None:
            room = rooms.get()
            try:
                return trial(mutant, room)
            finally:
                rooms.put(room)

        invalid = survived = 0
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for mutant, verdict in zip(chosen, pool.map(judge, chosen)):
                invalid += verdict is None
                survived += verdict == ""
                if verdict == "":
                    print(f"survived: {mutant}", flush=True)
    print(f"{name}: {len(everything)} mutants, {len(chosen)} tried, {invalid} do not compile, {len(chosen) - invalid - survived} noticed, "
          f"{survived} survived; {time.monotonic() - began:.0f} s", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=TARGETS)
    parser.add_argument("--sample", type=int, default=SAMPLE)
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    for name in TARGETS if arguments.only is None else (arguments.only,):
        run(name, arguments.sample, arguments.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
