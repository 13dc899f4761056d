"""One stack for all tests that leave it as they found it; a module with others brings its own."""
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]
sys.path.append(str(HERE.parent / "contract"))  # the protocol client

from stack import Client, Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    made = Stack(tmp_path_factory.mktemp("stack"))
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def client(stack):
    return Client(stack.api.url)
