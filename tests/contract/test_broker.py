"""Which broker these tests speak to: tests/brokers runs them on several."""
import os

from penstock_ops.redis_server import BINARY


def test_broker__is_the_program_that_was_named(redis_server):
    named = os.environ.get("TEST_REDIS_SERVER", BINARY)
    assert os.path.samefile(f"/proc/{redis_server.pid}/exe", named)
