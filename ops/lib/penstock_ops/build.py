"""Configuring and building a preset."""
import json
from pathlib import Path

from . import ROOT, RUN, Problem
from .steps import run_logged


def folder(preset: str) -> Path:
    return ROOT / "build" if preset == "release" else ROOT / "build" / preset


def build(preset: str, targets: tuple[str, ...] = ()) -> Path:
    where = folder(preset)
    configure = ["cmake", "--preset", preset]
    if _made_elsewhere(where):
        configure.append("--fresh")
    run_logged(f"configure {preset}", configure, RUN / "log" / f"configure-{preset}.log", ROOT)
    compile_ = ["cmake", "--build", "--preset", preset, *(["--target", *targets] if targets else [])]
    run_logged(f"build {preset}", compile_, RUN / "log" / f"build-{preset}.log", ROOT)
    return where


def _made_elsewhere(where: Path) -> bool:
    """True for a build folder of a tree that was moved or copied: CMake refuses to go on with it."""
    cache = where / "CMakeCache.txt"
    return cache.exists() and f"CMAKE_HOME_DIRECTORY:INTERNAL={ROOT}\n" not in cache.read_text(encoding="utf-8")


def compile_commands(preset: str) -> list[dict]:
    path = folder(preset) / "compile_commands.json"
    if not path.exists():
        raise Problem(f"{path} is missing: build the preset {preset} first")
    return json.loads(path.read_text(encoding="utf-8"))
