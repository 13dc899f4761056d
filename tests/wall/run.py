"""The module wall: builds a copy of the tree with every module linked against what it declares alone, then plants one violation
after the other, and requires that the build refuses each with the message that names it."""
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lint"))
from tree import ROOT, files  # noqa: E402

PROBE = "src/wall_probe.c"


@dataclass(frozen=True)
class Violation:
    what: str
    path: str       # the file it is planted in; a new one, or an existing CMakeLists.txt that is appended to
    text: str
    target: str     # what to build; "" when configuring must fail already
    refused: str    # the message, as a regular expression


def private_header(module: str) -> str:
    return min(p.name for p in (ROOT / module / "src").glob("*.h"))


def violations() -> tuple[Violation, ...]:
    private = private_header("base/core")
    return (
        Violation("a header of a module that is not declared", f"base/core/{PROBE}", "#include <io/loop.h>\n",
                  "base_core_closed", r"io/loop\.h: No such file"),
        Violation("a private header of another module", f"base/io/{PROBE}", f'#include "{private}"\n',
                  "base_io_closed", re.escape(private) + ": No such file"),
        Violation("a symbol of a module that is not declared, by an own extern", f"queues/{PROBE}",
                  "struct loop;\nvoid loop_stop(struct loop *l);\nvoid wall_probe(struct loop *l);\n"
                  "void wall_probe(struct loop *l) { loop_stop(l); }\n",
                  "queues_closed", "undefined reference to `loop_stop'"),
        Violation("a symbol of a library that only a dependency declares", f"queues/{PROBE}",
                  "int RAND_bytes(unsigned char *to, int n);\nint wall_probe(void);\n"
                  "int wall_probe(void) { return RAND_bytes(0, 0); }\n",
                  "queues_closed", "undefined reference to (symbol )?[`']RAND_bytes"),
        Violation("an edge within a layer", "CMakeLists.txt", "penstock_module(wall_probe LAYER 1 DEPS base_io)\n",
                  "", r"wall_probe \(layer 1\) must not depend on base_io \(layer 1\)"),
        Violation("an edge upwards", "base/core/CMakeLists.txt", "penstock_module(wall_probe LAYER 0 DEPS queues)\n",
                  "", r"wall_probe: unknown module queues"),
        Violation("<uv.h> in queues", f"queues/{PROBE}", "#include <uv.h>\n", "queues_closed", "<uv.h> needs lib::uv"),
        Violation("<libpq-fe.h> in queues", f"queues/{PROBE}", "#include <libpq-fe.h>\n",
                  "queues_closed", "<libpq-fe.h> needs lib::pq"),
    )


class Copy:
    def __init__(self, folder: Path):
        self.tree, self.build = folder / "tree", folder / "build"
        for name in files():
            to = self.tree / name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to)

    def configure(self) -> tuple[bool, str]:
        return run("cmake", "-S", self.tree, "-B", self.build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug",
                   "-DPENSTOCK_CLOSED_LINK=ON")

    def make(self, *targets: str) -> tuple[bool, str]:
        return run("ninja", "-C", self.build, *targets)

    def closed_modules(self) -> list[str]:
        _, listed = self.make("-t", "targets", "all")
        return sorted(set(re.findall(r"^(\w+_closed): phony$", listed, re.MULTILINE)))

    def refuses(self, violation: Violation) -> tuple[bool, str]:
        path = self.tree / violation.path
        before = path.read_text(encoding="utf-8") if path.exists() else None
        path.write_text((before or "") + violation.text, encoding="utf-8")
        try:
            built, said = self.make(violation.target) if violation.target else self.configure()
        finally:
            if before is None:
                path.unlink()
            else:
                path.write_text(before, encoding="utf-8")
        named = re.search(violation.refused, " ".join(said.split()))
        return not built and named is not None, said


def run(*argv) -> tuple[bool, str]:
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, errors="replace", check=False)
    return done.returncode == 0, done.stdout + done.stderr


def show(good: bool, what: str, began: float, said: str) -> bool:
    print(f"{time.monotonic() - began:4.0f}s  {'ok    ' if good else 'FAILED'}  {what}", flush=True)
    if not good:
        print("\n".join(said.splitlines()[-40:]), flush=True)
    return good


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="wall-") as folder:
        began = time.monotonic()
        copy = Copy(Path(folder))
        good, said = copy.configure()
        modules = copy.closed_modules() if good else []
        if good:
            good, said = copy.make(*modules)
        if not show(good and bool(modules), f"nothing planted: {len(modules)} modules link on their own", began, said):
            return 1
        failed = 0
        for violation in violations():
            began = time.monotonic()
            good, said = copy.refuses(violation)
            failed += not show(good, f"refused: {violation.what}", began, said)
        good, said = copy.make(*modules)
        failed += not show(good, "all taken away again", time.monotonic(), said)
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
