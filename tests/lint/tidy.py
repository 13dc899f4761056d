"""clang-tidy over every C file of the dev build, on all cores. The compile commands are gcc's; what clang does not know of
them is left out. Arguments: files to look at instead of all."""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEV = ROOT / "build" / "dev" / "compile_commands.json"
SHALLOW = [f"--extra-arg={word}" for word in ("-Xclang", "-analyzer-config", "-Xclang", "mode=shallow")]  # a tenth of the time
KEPT = re.compile(r"^-(?:I|isystem|D|U|std=|include|W(?:all|extra)$)")


def for_clang(entry: dict) -> dict:
    words = entry.get("arguments") or shlex.split(entry["command"])
    kept = []
    for before, word in zip(words, [*words[1:], ""]):
        if before == "-isystem":
            kept += [before, word]
        elif KEPT.match(before) and before != "-isystem":
            kept.append(before)
    return {"directory": entry["directory"], "file": entry["file"], "arguments": ["clang", *kept, "-c", entry["file"]]}


def look(database: Path, source: str) -> tuple[str, str, float]:
    began = time.monotonic()
    done = subprocess.run(["clang-tidy", "--quiet", "-p", str(database), *SHALLOW, source], capture_output=True, text=True,
                          check=False)
    said = done.stdout.strip() or (done.stderr.strip() if done.returncode != 0 else "")
    return source, said, time.monotonic() - began


def main() -> int:
    if not DEV.exists():
        print(f"{DEV} is missing: ops/test tidy builds it")
        return 1
    entries = {e["file"]: e for e in json.loads(DEV.read_text(encoding="utf-8")) if e["file"].startswith(f"{ROOT}/")}
    chosen = [f for f in entries if not sys.argv[1:] or os.path.relpath(f, ROOT) in sys.argv[1:]]
    database = ROOT / "build" / "tidy"
    shutil.rmtree(database, ignore_errors=True)
    database.mkdir(parents=True)
    (database / "compile_commands.json").write_text(json.dumps([for_clang(entries[f]) for f in chosen]), encoding="utf-8")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda f: look(database, f), chosen))
    bad = [said for _, said, _ in results if said]
    print("\n".join(bad) if bad else f"{len(chosen)} files clean")
    slowest = max(results, key=lambda r: r[2], default=None)
    if slowest:
        print(f"slowest: {os.path.relpath(slowest[0], ROOT)}, {slowest[2]:.1f} s")
    return 1 if bad or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
