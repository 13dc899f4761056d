"""The files of the tree as the lints see them: tracked and new ones, without what git ignores."""
import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def files() -> list[str]:
    """Paths relative to the root. Without git (an unpacked archive) everything but hidden and build folders."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True,
                            check=False)
    if listed.returncode == 0:
        return sorted({name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()})
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [f for f in folders if f not in (".git", ".run", "__pycache__") and Path(folder, f) != ROOT / "build"]
        found += [str(Path(folder, name).relative_to(ROOT)) for name in names]
    return sorted(found)


_COMMENT_OR_LITERAL = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def without_comments(text: str) -> str:
    return _COMMENT_OR_LITERAL.sub(lambda m: _blank(m[0]) if m[0][0] == "/" else m[0], text)


def code_only(text: str) -> str:
    """C text with comments and literals blanked; lines and columns stay."""
    return _COMMENT_OR_LITERAL.sub(lambda m: _blank(m[0]), text)
