"""What a machine gets: units, package, examples, guides. TEST_BUILD is the release build."""
import os
import sys
from pathlib import Path

import pytest

from penstock_ops import ROOT, RUN

sys.path[:0] = [str(ROOT / "tests" / "integration"), str(ROOT / "tests" / "lib")]
os.environ.setdefault("TEST_BUILD", str(ROOT / "build"))
BUILD = Path(os.environ["TEST_BUILD"])

from stack import Client, Stack


def program(package: str, path: str) -> Path:
    """Of a package that brings a service, and so is unpacked (ops/setup test)."""
    unpacked = RUN / "pkg" / package / path.lstrip("/")
    return unpacked if unpacked.exists() else Path(path)


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    made = Stack(tmp_path_factory.mktemp("stack"), build=BUILD)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def client(stack):
    return Client(stack.api.url)
