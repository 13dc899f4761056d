"""Thousands of connections that are held open by slow and malformed requests: probes are answered as before, and nothing of them is left."""
import http.client
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from penstock_ops import ports
from stack import WAIT_S, Client, Stack

FULL = os.environ.get("TEST_FULL") == "1"
CONNECTIONS = 5000 if FULL else 500
HEADER_MS = 1000
PROBES = 300
HELD_S = 30 if FULL else 4  # several times the time for a head
P99_S, TIMES_IDLE = 0.05, 5


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    made = Stack(tmp_path_factory.mktemp("slow"), {"api.header_ms": HEADER_MS})
    try:
        yield made.start(roles=())
    finally:
        made.stop()


def probe_s(port: int) -> float:
    """One as a service manager makes it, on a connection of its own."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    connection.request("GET", "/livez")
    assert connection.getresponse().status == 200
    connection.close()
    return time.monotonic() - began


def p99_s(port: int, at_least_s: float = 0) -> float:
    taken, end = [], time.monotonic() + at_least_s
    while len(taken) < PROBES or time.monotonic() < end:
        taken.append(probe_s(port))
    return statistics.quantiles(taken, n=100)[98]


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < CONNECTIONS + 200, reason="too few descriptors allowed")
def test_slow_clients__hold_what_they_can_then_probes_are_answered_as_before(stack):
    api = stack.api
    idle = p99_s(api.port)
    before = descriptors(api.pid)
    command = [sys.executable, str(Path(__file__).with_name("slow_clients.py")), str(api.port), str(CONNECTIONS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as clients:
        assert clients.stdout.readline() == "ready\n"
        assert ports.wait_until(lambda: descriptors(api.pid) > before + CONNECTIONS // 3, WAIT_S)
        held = p99_s(api.port, HELD_S)
        assert Client(api.url).get("/readyz").status_code in (200, 503)
        said, _ = clients.communicate()
    assert int(said) > CONNECTIONS // 3  # they are thrown out, not only waited for
    servers = 4  # a connection to Postgres may have been opened meanwhile
    assert ports.wait_until(lambda: descriptors(api.pid) <= before + servers, WAIT_S), (before, descriptors(api.pid))
    idle = max(idle, p99_s(api.port))
    print(f"p99 {held * 1000:.1f} ms with {CONNECTIONS} connections, {idle * 1000:.1f} ms without; thrown out {said.strip()}")
    assert held <= max(P99_S, TIMES_IDLE * idle)
