"""What a machine gets: units, package, examples, guides. One stack for all tests that leave it as they found it."""
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration"), str(HERE.parent / "lib")]

from places import BUILD
from stack import Client, Stack


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
