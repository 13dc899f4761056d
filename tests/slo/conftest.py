"""Penstock with a Prometheus beside it, which scrapes it from its first second."""
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration"), str(HERE.parent / "lib")]

from penstock_ops.prometheus_server import Prometheus
from stack import Client, Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    made = Stack(tmp_path_factory.mktemp("stack"))
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture(scope="session")
def prometheus(stack):
    made = Prometheus(stack.dir, stack.api.url.removeprefix("http://"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def client(stack):
    return Client(stack.api.url)
