"""A private Redis for the contract tests, with the shipped settings and the Functions library; empty for each test."""
import sys
from pathlib import Path

import pytest
import redis

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "ops" / "lib"))

from penstock_ops.redis_server import Redis  # noqa: E402
from shard import VERSION, Shard  # noqa: E402


def library(version: int = VERSION) -> str:
    """As queues/src/library.c puts it together."""
    return f"#!lua name=penstock_{version}\nlocal VERSION = '{version}'\n" + "".join(f.read_text(encoding="utf-8") for f in sorted((ROOT / "queues" / "lua").glob("*.lua")))


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    server = Redis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def admin(redis_server):
    r = redis.Redis.from_url(redis_server.admin_url, protocol=2)
    r.flushall()
    r.function_load(library(), replace=True)
    yield r
    r.close()


@pytest.fixture
def shard(admin):
    s = Shard(admin)
    s.begin()
    return s
