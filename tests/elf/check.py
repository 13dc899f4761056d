"""The gate over the release binaries: hardened as cmake/Flags.cmake asks, and without a trace of failpoints.
Arguments: binaries to look at instead of build/penstock and build/penstock-sim."""
import platform
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARIES = ("build/penstock", "build/penstock-sim")


def tool(*argv) -> str:
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, errors="replace", check=True).stdout


def fault_names() -> list[str]:
    """Of failpoints and of the switches of the negative controls."""
    folder = ROOT / "base" / "core" / "include" / "base"
    listed = (folder / "fault.def").read_text(encoding="utf-8") + (folder / "fault_switch.def").read_text(encoding="utf-8")
    return re.findall(r'^[FS]\(\w+, "([^"]+)"', listed, re.MULTILINE)


def checks(binary: Path) -> dict[str, bool]:
    header, dynamic, segments = (tool("readelf", "-W", option, binary) for option in ("-h", "-d", "-l"))
    called = set(re.findall(r"\bUND (\w+)", tool("readelf", "-W", "--dyn-syms", binary)))
    defined = set(re.findall(r"(\w+)$", tool("readelf", "-W", "--syms", binary), re.MULTILINE))
    content = binary.read_bytes()
    found = {
        "position independent executable": "DYN (" in header and "PIE" in dynamic,
        "relocations read-only (RELRO)": "GNU_RELRO" in segments,
        "bound at start (BIND_NOW)": "BIND_NOW" in dynamic,
        "no executable stack": re.search(r"GNU_STACK.* RW +0x", segments) is not None,
        "no segment writable and executable": re.search(r"LOAD.* RWE ", segments) is None,
        "no search path for libraries": "RPATH" not in dynamic and "RUNPATH" not in dynamic,
        "stack protector": "__stack_chk_fail" in called,
        "fortified calls": any(name.endswith("_chk") and name != "__stack_chk_fail" for name in called),
        "no sanitizer": not any(name.startswith(("__asan", "__ubsan")) for name in called | defined),
        "no failpoint function": not defined & {"fault_hit", "fault_setup", "fault_switch", "fault_list"},
        "no failpoint name": not any(b"\0" + name.encode() + b"\0" in content for name in fault_names()),
        "no failpoint variable": b"PENSTOCK_FAULT" not in content,
    }
    if platform.machine() == "x86_64":  # the property note is no proof: Debian's start files lack it, and it is an AND over all
        main = tool("objdump", "-d", "--no-show-raw-insn", "--disassemble=main", binary)
        found["indirect calls land on endbr64 (CET)"] = re.search(r"<main>:\n\s*[0-9a-f]+:\s+endbr64", main) is not None
    return found


def main() -> int:
    names = fault_names()
    failed = 0 if names else 1
    for binary in [Path(a) for a in sys.argv[1:]] or [ROOT / name for name in BINARIES]:
        if not binary.exists():
            print(f"{binary.name}: missing; it comes with the preset release")
            failed += 1
            continue
        result = checks(binary)
        bad = [what for what, good in result.items() if not good]
        failed += len(bad)
        for what in bad or [f"{len(result)} checks passed, {len(names)} failpoints and switches looked for"]:
            print(f"{binary.name}: {'FAILED  ' if bad else ''}{what}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
