"""Telemetry as a collector sees it: one order from its client's traceparent to the mail and the webhook that it leads to."""
import secrets

import pytest

from collector import Collector
from penstock_ops import ports
from stack import WAIT_S, Client, Stack, new_key, order

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5


@pytest.fixture(scope="module")
def collector():
    made = Collector()
    try:
        yield made
    finally:
        made.stop()
        assert not made.faults, made.faults


@pytest.fixture(scope="module")
def stack(tmp_path_factory, collector):
    made = Stack(tmp_path_factory.mktemp("stack"), {"otlp.endpoint": collector.url, "otlp.sample_per_million": 0})
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def client(stack):
    return Client(stack.api.url)


def begin(sampled: bool = True) -> tuple[str, dict]:
    """A trace id, and the header of a client that has begun it."""
    trace = secrets.token_hex(16)
    return trace, {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-0{int(sampled)}"}


def until(collector, trace: str, *names: str) -> list:
    assert ports.wait_until(lambda: {*names} <= {s.name for s in collector.of_trace(trace)}, WAIT_S), \
        sorted(s.name for s in collector.of_trace(trace))
    return collector.of_trace(trace)


def one(spans: list, name: str, **attributes):
    found = [s for s in spans if s.name == name and all(s.attributes.get(k.replace("__", ".")) == v for k, v in attributes.items())]
    assert len(found) == 1, f"{len(found)} of {name} {attributes}: {found}"
    return found[0]


def check_tree(spans: list, root_parent: str) -> None:
    """Every parent is there, but for the client's own span; nothing begins before what it is part of."""
    by_id = {s.id: s for s in spans}
    assert len(by_id) == len(spans), "a span came twice"
    for s in spans:
        if s.parent == root_parent:
            continue
        assert s.parent in by_id, f"{s.name}: its parent {s.parent} is nowhere"
        assert s.begin >= by_id[s.parent].begin - 2_000_000, f"{s.name} begins before {by_id[s.parent].name}"


def test_tracing__a_job_then_request_send_and_process_are_one_tree(stack, client, collector):
    trace, headers = begin()
    job = client.post("/v1/jobs", {"type": "demo.note", "payload": {"text": "traced"}}, new_key(), headers=headers).json()
    assert job["trace_id"] == trace and client.ended(job["id"])["state"] == "done"
    spans = until(collector, trace, "POST /v1/jobs", "send default", "process default", "ack default")
    check_tree(spans, headers["traceparent"].split("-")[2])
    server, send, process = (one(spans, name) for name in ("POST /v1/jobs", "send default", "process default"))
    assert (server.kind, send.kind, process.kind) == (SERVER, PRODUCER, CONSUMER)
    assert (send.parent, process.parent) == (server.id, send.id)
    assert server.attributes["http.request.method"] == "POST" and server.attributes["http.route"] == "/v1/jobs"
    assert server.attributes["http.response.status_code"] == 202
    assert process.attributes["messaging.message.id"] == job["id"] == send.attributes["messaging.message.id"]
    assert process.attributes["penstock.outcome"] == "done" and not process.error and not process.links
