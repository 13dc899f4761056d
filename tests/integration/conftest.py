"""One stack for all tests that leave it as they found it; a module with others brings its own."""
import hashlib
import secrets
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]
sys.path.append(str(HERE.parent / "contract"))  # the protocol client

from stack import Cli, Client, Stack, cli_of


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    made = Stack(tmp_path_factory.mktemp("stack"))
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture(scope="module")
def made(request, tmp_path_factory):
    """A stack of one module's own, for tests that do not leave it as they found it."""
    own = Stack(tmp_path_factory.mktemp(request.module.__name__))
    try:
        yield own.start()
    finally:
        own.stop()


@pytest.fixture
def cli(made) -> Cli:
    return cli_of(made)


@pytest.fixture
def client(stack):
    return Client(stack.api.url)


@pytest.fixture
def make_key(stack):
    """API keys, for this test."""
    made = []

    def make(tenant: str = "default", *scopes: str) -> str:
        key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
        stack.sql("INSERT INTO platform.api_key (id, secret_hash, tenant, scopes, name) VALUES (%s, %s, %s, %s, 'test')", key_id,
                  hashlib.sha256(secret.encode()).digest(), tenant, list(scopes))
        made.append(key_id)
        return f"pen_{key_id}_{secret}"

    yield make
    for key_id in made:
        stack.sql("DELETE FROM platform.api_key WHERE id = %s", key_id)
