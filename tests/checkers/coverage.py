"""Line coverage by module: builds the preset coverage, runs the unit tests, with --full the contract and integration tests too, and prints what
was reached. --lines MODULE: the lines that were not, by file."""
import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from penstock_ops import ROOT, RUN
from penstock_ops.build import build

PRESET = "coverage"


def tests(folder: Path, full: bool) -> None:
    """A failing one is said and changes nothing: what it reached counts."""
    subprocess.run(["ctest", "--test-dir", folder, "-Q", "-j", str(os.cpu_count() or 1)], check=False)
    for suite in ("contract", "integration") if full else ():
        subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={RUN / 'test' / 'coverage'}",
                        f"tests/{suite}"], cwd=ROOT, env=os.environ | {"TEST_BUILD": str(folder)}, check=False)


def reached(folder: Path) -> dict[str, dict[int, bool]]:
    """By file of the product: each line with code, and whether it has run. A header's lines are those of all that include it."""
    lines: dict[str, dict[int, bool]] = defaultdict(dict)
    notes = [p for p in folder.rglob("*.gcno") if "tests" not in p.relative_to(folder).parts]
    for at in range(0, len(notes), 50):
        said = subprocess.run(["gcov", "--json-format", "--stdout", *notes[at : at + 50]], cwd=folder, capture_output=True, text=True, check=True)
        for document in said.stdout.splitlines():
            for file in json.loads(document)["files"]:
                path = (folder / file["file"]).resolve()
                if path.is_relative_to(ROOT) and not path.is_relative_to(folder):
                    mine = lines[str(path.relative_to(ROOT))]
                    for line in file["lines"]:
                        mine[line["line_number"]] = mine.get(line["line_number"], False) or line["count"] > 0
    return lines


def module(path: str) -> str:
    """The folder that holds src/ and include/."""
    parts = Path(path).parts
    return "/".join(parts[: next((i for i, part in enumerate(parts) if part in ("src", "include")), len(parts) - 1)])


def report(lines: dict[str, dict[int, bool]]) -> None:
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for path, mine in lines.items():
        for name in (module(path), "all"):
            totals[name][0] += sum(mine.values())
            totals[name][1] += len(mine)
    print(f"{'module':<24}{'reached':>9}{'lines':>8}")
    for name, (hit, count) in sorted(totals.items(), key=lambda item: (item[0] == "all", item[0])):
        print(f"{name:<24}{100 * hit / count:8.1f}%{count:8}")


def missing(lines: dict[str, dict[int, bool]], of: str) -> None:
    for path, mine in sorted(lines.items()):
        if module(path) == of:
            print(f"{path}: {' '.join(str(n) for n, hit in sorted(mine.items()) if not hit)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--lines", metavar="MODULE")
    arguments = parser.parse_args()
    folder = build(PRESET)
    for counts in folder.rglob("*.gcda"):
        counts.unlink()
    tests(folder, arguments.full)
    lines = reached(folder)
    missing(lines, arguments.lines) if arguments.lines else report(lines)
    return 0 if lines else 1


if __name__ == "__main__":
    sys.exit(main())
