"""Small changes that a test should notice, one at a time: comparisons and conditions turned round, whole numbers one off, signs, statements
left out. Works on text, so that one mutator does for C and for Lua; what does not compile is no mutant."""
import random
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lint"))

from tree import code_only  # noqa: E402

_LUA_SILENT = re.compile(r"""--[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*\"""")
_SWAPS = {
    "c": {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&", "true": "false", "false": "true",
          "+": "-", "-": "+", "++": "--"},
    "lua": {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "~=", "~=": "==", "and": "or", "or": "and", "true": "false", "false": "true",
            "+": "-", "-": "+", "not": ""},
}
_TOKEN = {
    # Pointers, arrows and template-like uses of < > and * are no operators; neither is a sign that begins a number.
    "c": re.compile(r"->|\+\+|(?<=[\w)\]] )(?:[<>=!]=|&&|\|\||[<>+-])(?= )|\b(?:true|false)\b|!(?=[\w(])|(?<![\w.])\d+(?![\w.])"),
    "lua": re.compile(r"(?<= )(?:[<>=~]=|[<>+-])(?= )|\b(?:and|or|not|true|false)\b|(?<![\w.])\d+(?![\w.])"),
}
_STATEMENT = {
    "c": re.compile(r"^ +(?:\(void\))?[\w>.\[\]*-]+ ?(?:\(.*\)|(?:[-+|]?=) .*|\+\+);$"),
    "lua": re.compile(r"^ +[\w.\[\]]+(?:\(.*\)| = .*)$"),
}
_NOT_DELETED = re.compile(r"^\s*(?:return|local|goto|break|continue|\(void\)\w+;)")


@dataclass(frozen=True)
class Mutant:
    path: str   # in the tree
    line: int   # from 1
    was: str    # the line, stripped
    now: str
    text: str   # of the whole file

    def __str__(self) -> str:
        return f"{self.path}:{self.line}  {self.was}  →  {self.now or '(left out)'}"


def _silent(text: str, language: str) -> str:
    if language == "c":
        return code_only(text)
    return _LUA_SILENT.sub(lambda m: " " * len(m[0]), text)


def _replacements(token: str, language: str) -> Iterator[str]:
    if token.isdigit():
        yield str(int(token) + 1)
        if int(token) > 0:
            yield str(int(token) - 1)
    elif token == "!":
        yield ""
    elif token in _SWAPS[language]:
        yield _SWAPS[language][token]


def _changes(line: str, code: str, language: str) -> Iterator[str]:
    if code.lstrip().startswith(("#", "static_assert", "_Static_assert")):
        return
    for m in _TOKEN[language].finditer(code):
        for new in _replacements(m[0], language):
            yield line[: m.start()] + new + line[m.end() :]
    balanced = code.count("(") == code.count(")") and code.count("{") == code.count("}")
    if _STATEMENT[language].match(line) and balanced and not _NOT_DELETED.match(line):
        yield re.match(r" *", line)[0] + ("(void)0;" if language == "c" else "")


def mutants(path: str) -> list[Mutant]:
    language = "lua" if path.endswith(".lua") else "c"
    text = (ROOT / path).read_text(encoding="utf-8")
    lines, silent = text.split("\n"), _silent(text, language).split("\n")
    found = []
    for i, (line, code) in enumerate(zip(lines, silent)):
        for new in _changes(line, code, language):
            now = "" if new.strip() in ("", "(void)0;") else new.strip()
            found.append(Mutant(path, i + 1, line.strip(), now, "\n".join([*lines[:i], new, *lines[i + 1 :]])))
    return found


def sample(all_of_them: list[Mutant], most: int, seed: int) -> list[Mutant]:
    if len(all_of_them) <= most:
        return all_of_them
    kept = set(random.Random(seed).sample(range(len(all_of_them)), most))
    return [m for i, m in enumerate(all_of_them) if i in kept]
