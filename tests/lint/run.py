"""Lints that fail the build: layout, banned functions, size and complexity caps, who may include and call what.
Each rule takes a path and its text and yields (line, message). The rules are tried on planted violations first: a lint that
has gone blind fails as well."""
import ast
import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tree import ROOT, code_only, files, without_comments

sys.path.append(str(ROOT / "ops" / "lib"))
from penstock_ops import monitoring

Found = Iterator[tuple[int, str]]

FILE_LINES, HEADER_LINES, FUNCTION_LINES, COMPLEXITY = 500, 150, 60, 15

BANNED = {
    "strcpy": "str or buf", "strcat": "buf", "strncpy": "str or buf", "strncat": "buf", "sprintf": "snprintf or buf_addf",
    "vsprintf": "vsnprintf", "gets": "fgets", "strtok": "str_cut", "atoi": "str_to_i64", "atol": "str_to_i64",
    "atoll": "str_to_i64", "atof": "json", "system": "nothing", "popen": "nothing", "gmtime": "gmtime_r",
    "localtime": "wall_text", "ctime": "wall_text", "asctime": "wall_text", "rand": "crypto", "srand": "crypto",
    "alloca": "the arena", "setjmp": "struct err", "longjmp": "struct err",
}
BANNED_IN_PRODUCT = {
    "strtol": "str_to_i64", "strtoll": "str_to_i64", "strtoul": "str_to_u64", "strtoull": "str_to_u64",
    "sleep": "a timer", "usleep": "a timer", "nanosleep": "a timer", "uv_sleep": "a timer",
}
CLOCKS = ("time", "clock", "clock_gettime", "gettimeofday", "timespec_get", "uv_now", "uv_hrtime", "uv_clock_gettime")
CLOCK_OWNER = "base/core/src/clock.c"
UV_OWNERS = ("base/io/", "worker/", "tests/unit/base_io/", "tests/lib/", "tests/fault/")
CLOCK_READERS = (CLOCK_OWNER, "tests/lib/")  # fixtures wait for other processes, with deadlines
AS_IT_CAME = ("tests/fuzz/corpus/", "api/dashboard/dist/")  # inputs and what a bundler wrote, not text of ours
OWN_RULES = ("tests/bench/",)  # probes and floor clients are bare on purpose


def matches(pattern: re.Pattern, text: str) -> Iterator[tuple[int, re.Match]]:
    for m in pattern.finditer(text):
        yield text.count("\n", 0, m.start()) + 1, m


_CALL = re.compile(r"(?<![\w.>])(" + "|".join(sorted({*BANNED, *BANNED_IN_PRODUCT, *CLOCKS}, key=len, reverse=True)) + r")\s*\(")


def calls(path: str, text: str) -> Found:
    if path.startswith(OWN_RULES) or not is_c(path):
        return
    banned = BANNED if path.startswith("tests/") else BANNED | BANNED_IN_PRODUCT
    for line, m in matches(_CALL, code_only(text)):
        if m[1] in banned:
            yield line, f"{m[1]}() is banned: use {banned[m[1]]}"
        elif m[1] in CLOCKS and not path.startswith(CLOCK_READERS):
            yield line, f"{m[1]}(): only {CLOCK_OWNER} asks for the time; take a struct clock, or ask the loop"


_UV = re.compile(r'^[ \t]*#[ \t]*include\s*[<"]uv\.h[>"]', re.MULTILINE)


def uv_include(path: str, text: str) -> Found:
    if is_c(path) and not path.startswith(UV_OWNERS + OWN_RULES):
        for line, _ in matches(_UV, without_comments(text)):
            yield line, f"<uv.h> outside {', '.join(UV_OWNERS)}"


def file_size(path: str, text: str) -> Found:
    limit = HEADER_LINES if path.endswith(".h") and not path.startswith("tests/") else FILE_LINES  # there, headers hold code
    lines = text.count("\n")
    if is_source(path, text) and lines > limit:
        yield limit + 1, f"{lines} lines, at most {limit}"


def python_functions(path: str, text: str) -> Found:
    if not path.endswith(".py"):
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno >= FUNCTION_LINES:
            yield node.lineno, f"{node.name}: {node.end_lineno - node.lineno + 1} lines, at most {FUNCTION_LINES}"


_MACHINE = re.compile(r"(?<![\w.])/(?:home|root|work|Users)/\w")
_UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME)\b")


def wording(path: str, text: str) -> Found:
    if path.startswith("tests/lint/"):
        return
    for line, m in matches(_MACHINE, text):
        yield line, f"{m[0]}…: a path of one machine"
    for line, m in matches(_UNFINISHED, text):
        yield line, f"{m[0]}: finish it, or leave it out"


def white_space(path: str, text: str) -> Found:
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip() or ("\t" in line and is_source(path, text)):
            yield number, "trailing white space or a tab"
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "no newline at the end"


def is_c(path: str) -> bool:
    return path.endswith((".c", ".h"))


def is_source(path: str, text: str) -> bool:
    return path.endswith((".c", ".h", ".def", ".py", ".lua", ".sql", ".cmake", "CMakeLists.txt")) or text.startswith("#!")


RULES: tuple[Callable[[str, str], Found], ...] = (calls, uv_include, file_size, python_functions, wording, white_space)

PLANTED = (
    ("a.c", "int f(void) {\n    return atoi(x);\n}\n", 2, "atoi() is banned"),
    ("a.c", "int f(void) { return time(NULL); }\n", 1, "only base/core/src/clock.c asks"),
    ("a.c", "void f(void) { nanosleep(&t, NULL); }\n", 1, "nanosleep() is banned"),
    ("queues/a.h", '/* uv */\n#include "uv.h"\n', 2, "<uv.h> outside"),
    ("a.h", "\n" * 151, 151, "at most 150"),
    ("a.py", "\n" * 501, 501, "at most 500"),
    ("a.py", "def f():\n" + "    x = 1\n" * 60, 1, "at most 60"),
    ("a.md", "see /home/" "me/notes\n", 1, "a path of one machine"),
    ("a.c", "/* TO" "DO */\n", 1, "finish it"),
    ("a.c", "int x; \n", 1, "trailing white space"),
)
INNOCENT = (
    ("a.c", '/* atoi() */ const char *s = "time(";\nint runtime(int x);\nint y = p->time(1) + a.clock(2);\n'),
    ("tests/unit/a.c", "long x = strtol(p, &end, 10);\n"),
    ("tests/unit/a.h", "\n" * 151),
    ("worker/a.c", "#include <uv.h>\n"),
)


def check(path: str, text: str) -> list[tuple[int, str]]:
    return [found for rule in RULES for found in rule(path, text)]


def blind() -> list[str]:
    missed = [f"{path}: missed '{message}'" for path, text, line, message in PLANTED
              if not any(at == line and message in said for at, said in check(path, text))]
    return missed + [f"{path}: false alarm {found}" for path, text in INNOCENT if (found := check(path, text))]


def rules(paths: list[str]) -> list[str]:
    said = []
    for path in paths:
        if path.startswith(AS_IT_CAME):
            continue
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        said += [f"{path}:{line}: {message}" for line, message in check(path, text)]
    return said


def functions(paths: list[str]) -> list[str]:
    """Length and cyclomatic complexity (a switch counts once) of C functions, by pmccabe."""
    sources = [p for p in paths if p.endswith(".c") and not p.startswith(OWN_RULES)]
    measured = subprocess.run(["pmccabe", *sources], cwd=ROOT, capture_output=True, text=True, check=False)
    said = measured.stderr.splitlines()
    for row in measured.stdout.splitlines():
        complexity, _, _, _, lines, where = row.split(maxsplit=5)
        if where.rpartition(" ")[2].isupper():
            continue  # a macro at file level, which is no function
        if int(lines) > FUNCTION_LINES:
            said.append(f"{where}: {lines} lines, at most {FUNCTION_LINES}")
        if int(complexity) > COMPLEXITY:
            said.append(f"{where}: complexity {complexity}, at most {COMPLEXITY}")
    return said if measured.stdout or not sources else [*said, "pmccabe measured nothing"]


def layout(paths: list[str]) -> list[str]:
    sources = [p for p in paths if is_c(p)]
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", "--ferror-limit=1", *sources], cwd=ROOT, capture_output=True,
                          text=True, check=False)
    bad = sorted({line.split(":")[0] for line in done.stderr.splitlines() if "[-Wclang-format-violations]" in line})
    if done.returncode and not bad:
        return done.stderr.splitlines()
    return [f"{path}: not laid out as .clang-format says: clang-format -i {path}" for path in bad]


_FOLDER_ROW = re.compile(r"^\| ([a-z_/, ]+) \|", re.MULTILINE)


def table_of_folders(table: str, folders: set[str], modules: set[str]) -> list[str]:
    """ARCHITECTURE.md's table against the tree: every module but those of modules.def and every folder at the top, and nothing that is not there."""
    named = {name for m in _FOLDER_ROW.finditer(table) for name in m[1].split(", ")} - {"folder"}
    tops = {name for name in folders if "/" not in name and not any(n.startswith(f"{name}/") for n in named)}
    return ([f"ARCHITECTURE.md: its table of folders lacks {name}" for name in sorted((modules | tops) - named)]
            + [f"ARCHITECTURE.md: there is no folder {name}" for name in sorted(named - folders)])


def architecture(paths: list[str]) -> list[str]:
    planted = table_of_folders("| folder | |\n| a/b, gone | |\n", {"a", "a/b", "a/c", "d"}, {"a/b", "a/c"})
    if [said.split()[-1] for said in planted] != ["a/c", "d", "gone"]:
        return [f"the table of folders: missed what was planted, said {planted}"]
    folders = {str(parent) for path in paths for parent in Path(path).parents if not path.startswith(".")} - {"."}
    listed = re.findall(r"^MODULE\((\w+)\)$", (ROOT / "jobs/include/jobs/modules.def").read_text(encoding="utf-8"), re.MULTILINE)
    made = [Path(path) for path in paths if path.endswith("/CMakeLists.txt") and Path(path).parent.name not in listed]
    modules = {str(p.parent) for p in made if re.search(r"^penstock_module\(", (ROOT / p).read_text(encoding="utf-8"), re.MULTILINE)}
    table = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("\n## Layers\n")[2].partition("\n## ")[0]
    return table_of_folders(table, folders, modules)


def lua_code(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if line.strip() and not line.lstrip().startswith(("--", "#!")))


def functions_version(code: str, header: str, table: str) -> list[str]:
    """The digests of queues/lua/VERSIONS: what goes by the name of a version is the same for ever."""
    rows = [line.split() for line in table.splitlines() if not line.startswith("#")]
    numbers, digests = [int(number) for number, _ in rows], [digest for _, digest in rows]
    now, before = (int(re.search(rf"define FUNCTIONS_{name} (\d+)", header)[1]) for name in ("VERSION", "BEFORE"))
    where = "queues/include/queues/version.h, queues/lua/VERSIONS"
    if numbers != sorted(set(numbers)) or len(set(digests)) != len(digests):
        return [f"{where}: two versions of the Functions with one number, or one digest"]
    if numbers[-1:] != [now] or before not in numbers[:-1]:
        return [f"{where}: the last line is this version's, and the one before has a line"]
    digest = hashlib.sha256(code.encode()).hexdigest()
    return [] if digests[-1] == digest else [f"{where}: the Functions changed: raise FUNCTIONS_VERSION, and add the line: {now + 1} {digest}"]


def functions_versions() -> list[str]:
    header = "#define FUNCTIONS_VERSION 3\n#define FUNCTIONS_BEFORE 1\n"
    good = hashlib.sha256(b"code").hexdigest()
    if functions_version("code", header, f"# what\n1 a\n2 b\n3 {good}\n") or not all(
            functions_version(code, header, f"1 a\n{table}\n") for code, table in
            (("Code", f"3 {good}"), ("code", f"2 {good}"), ("code", f"3 b\n3 {good}"), ("code", f"2 {good}\n3 {good}"), ("code", "3 b"))):
        return ["versions of the Functions: missed what was planted, or said something of what is right"]
    folder = ROOT / "queues"
    code = "".join(lua_code(f.read_text(encoding="utf-8")) for f in sorted((folder / "lua").glob("*.lua")))
    return functions_version(code, (folder / "include/queues/version.h").read_text(encoding="utf-8"), (folder / "lua/VERSIONS").read_text(encoding="utf-8"))


def generated() -> list[str]:
    return [f"{path}: not what ops/slo.def and the tables of ops/lib make now: python3 -m penstock_ops.monitoring" for path in monitoring.stale()]


def main() -> int:
    paths = files()
    said = [*blind(), *rules(paths), *functions(paths), *layout(paths), *architecture(paths), *functions_versions(), *generated()]
    print("\n".join(said) if said else f"{len(paths)} files clean")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
