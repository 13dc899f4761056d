"""Where things are: TEST_BUILD is the release build."""
import os
from pathlib import Path

from penstock_ops import ROOT, RUN

BUILD = Path(os.environ.setdefault("TEST_BUILD", str(ROOT / "build")))


def program(package: str, path: str) -> Path:
    """Of a package that brings a service, and so is unpacked (ops/setup test)."""
    unpacked = RUN / "pkg" / package / path.lstrip("/")
    return unpacked if unpacked.exists() else Path(path)
