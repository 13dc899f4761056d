"""Telemetry as a collector sees it: one order from its client's traceparent to the mail and the webhook that it leads to."""
import re
import secrets
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from collector import Collector
from observe import log_lines
from penstock_ops import ports
from stack import WAIT_S, Stack, new_key, order
from test_metrics import value

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
    made = Stack(tmp_path_factory.mktemp("stack"), {"otlp.endpoint": collector.url, "otlp.sample_per_million": 1000000})
    try:
        yield made.start()
    finally:
        made.stop()


def begin(sampled: bool = True) -> tuple[str, dict]:
    """A trace id, and the header of a client that has begun it."""
    trace = secrets.token_hex(16)
    return trace, {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-0{int(sampled)}"}


def broken(spans: list, names: Counter, root: str) -> str:
    """Empty when these spans, and perhaps others, are a tree below the client's own span: each parent is there, and began before."""
    by_id = {s.id: s for s in spans}
    missing = names - Counter(s.name for s in spans)
    if missing or len(by_id) < len(spans):
        return f"missing: {dict(missing)}, or a span came twice"
    for s in spans:
        if s.parent != root and (s.parent not in by_id or s.begin < by_id[s.parent].begin - 2_000_000):
            return f"{s.name} of {s.role}: its parent {s.parent} is nowhere, or began later"
    return ""


def tree(collector, headers: dict, *names: str) -> list:
    """The spans of a trace, whole, with these names among them. They come from several processes, each in its own time."""
    _, trace, root, _ = headers["traceparent"].split("-")
    assert ports.wait_until(lambda: not broken(collector.of_trace(trace), Counter(names), root), WAIT_S), \
        broken(collector.of_trace(trace), Counter(names), root)
    return collector.of_trace(trace)


def until(collector, trace: str, *names: str) -> list:
    assert ports.wait_until(lambda: {*names} <= {s.name for s in collector.of_trace(trace)}, WAIT_S), \
        sorted(s.name for s in collector.of_trace(trace))
    return collector.of_trace(trace)


def one(spans: list, name: str, **attributes):
    found = [s for s in spans if s.name == name and all(s.attributes.get(k.replace("__", ".")) == v for k, v in attributes.items())]
    assert len(found) == 1, f"{len(found)} of {name} {attributes}: {found}"
    return found[0]


def function(stack, step: str) -> str:
    """The step as the processes call it: Redis has no other."""
    (name,) = set(re.findall(rf"pen_{step}_\d+", repr(stack.redis_client().function_list())))
    return name


def test_tracing__a_job_then_request_send_and_process_are_one_tree(stack, client, collector):
    note(client, begin()[1])  # the queue has an epoch from here on: it takes a job with the first call
    trace, headers = begin()
    job = client.post("/v1/jobs", {"type": "demo.note", "payload": {"text": "traced"}}, new_key(), headers=headers).json()
    assert job["trace_id"] == trace and client.ended(job["id"])["state"] == "done"
    name = function(stack, "add")
    spans = tree(collector, headers, "POST /v1/jobs", "send default", f"FCALL {name}", "process default", "ack default")
    server, send, add = one(spans, "POST /v1/jobs"), one(spans, "send default"), one(spans, f"FCALL {name}")
    process = one(spans, "process default", penstock__outcome="done")
    assert (server.kind, send.kind, process.kind) == (SERVER, PRODUCER, CONSUMER)
    assert (send.parent, process.parent) == (server.id, send.id)
    assert server.attributes["http.request.method"] == "POST" and server.attributes["http.route"] == "/v1/jobs"
    assert server.attributes["http.response.status_code"] == 202
    assert process.attributes["messaging.message.id"] == job["id"] == send.attributes["messaging.message.id"]
    assert not process.error and not process.links
    assert (add.kind, add.parent) == (CLIENT, send.id) and send.begin <= add.begin <= add.end <= process.end
    assert {k: add.attributes[k] for k in ("db.system.name", "db.operation.name", "db.stored_procedure.name")} == {
        "db.system.name": "redis", "db.operation.name": "FCALL", "db.stored_procedure.name": name}
    receive = received(collector, trace, send.id)
    assert (receive.name, receive.kind, receive.parent, receive.role) == ("receive default", CLIENT, "", "worker") and receive.trace != trace
    assert receive.attributes["messaging.operation.type"] == "receive" and receive.attributes["messaging.batch.message_count"] >= 1
    assert receive.end <= process.end


def received(collector, trace: str, send: str):
    """The span of the read that brought the job to its worker: the only one that is linked to its sending."""
    linked = lambda: [s for s in list(collector.spans) if s.name.startswith("receive ") and (trace, send) in s.links]
    assert ports.wait_until(linked, WAIT_S)
    (found,) = linked()
    return found


def test_tracing__a_job_of_the_stream_class_then_its_only_call_is_there(stack, client, collector):
    trace, headers = begin()
    answer = client.post("/v1/jobs", {"type": "demo.tally", "payload": {}}, new_key(), headers=headers)
    assert answer.status_code == 202, answer.text
    name = f"FCALL {function(stack, 'enqueue')}"
    spans = tree(collector, headers, "POST /v1/jobs", "send default", name, "process default", "ack default")
    send, call = one(spans, "send default"), one(spans, name)
    assert call.parent == send.id and one(spans, "process default").parent == send.id
    assert received(collector, trace, send.id).attributes["messaging.destination.name"] == "default"


def note(client, headers: dict) -> dict:
    job = client.post("/v1/jobs", {"type": "demo.note", "payload": {"text": "x"}}, new_key(), headers=headers).json()
    return client.ended(job["id"])


class Hooks:
    """A receiver of webhooks: keeps their heads, and answers by the list first."""

    def __init__(self):
        self.heads, self.answers = [], []
        hooks = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                hooks.heads.append(dict(self.headers))
                self.send_response(hooks.answers.pop(0) if hooks.answers else 204)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer((ports.HOST, 0), Handler)
        self.url = f"http://{ports.HOST}:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def hooks():
    made = Hooks()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_tracing__an_order_then_one_trace_from_its_client_to_mail_and_webhook(stack, client, collector, hooks):
    trace, headers = begin()
    answer = client.post("/v1/orders", order(notify={"email": "c1@example.com", "webhook_url": f"{hooks.url}/secret/path?token=1"}), new_key(),
                         headers=headers)
    assert answer.status_code == 201, answer.text
    spans = tree(collector, headers, "send mail", "ack orders", *["POST", "send notifications", "process notifications"] * 2)
    ids = {s.id: s for s in spans}

    def path(span) -> list:
        found = [span.name]
        while span.parent in ids:
            span = ids[span.parent]
            found.append(span.name)
        return found[::-1]

    to_place = ["POST /v1/orders", "send orders", "process orders"]
    to_notify = [*to_place, "process order.confirmed", "send notifications", "process notifications"]
    assert path(one(spans, "send mail")) == [*to_notify, "send mail"]
    calls = [s for s in spans if s.name == "POST"]
    authorize = one(calls, "POST", server__port=stack.sim.port)
    assert path(authorize) == [*to_place, "POST"] and authorize.attributes["url.full"] == f"{stack.sim.url}/v1/authorize"
    hook = one(calls, "POST", server__port=hooks.server.server_port)
    assert path(hook) == [*to_notify, "POST"] and hook.attributes["http.response.status_code"] == 204
    assert hook.attributes["url.full"] == f"{hooks.url}/REDACTED"  # who knows it may be let in
    assert [h["traceparent"] for h in hooks.heads] == [f"00-{trace}-{hook.id}-01"]
    place = one(spans, "process orders")
    statements = {s.attributes["db.query.summary"] for s in spans if s.parent == place.id and "db.system.name" in s.attributes}
    assert {"orders.insert", "payments.gate", "orders.confirm"} <= statements, statements
    assert {s.role for s in spans} == {"api", "worker", "scheduler"}


def test_tracing__a_callback_then_part_of_what_sent_its_job(client, collector, hooks):
    trace, headers = begin()
    job = {"type": "demo.note", "payload": {"text": "x"}, "callback_url": hooks.url}
    client.post("/v1/jobs", job, new_key(), headers=headers).raise_for_status()
    spans = tree(collector, headers, "process default", "send notifications", "process notifications", "POST")
    told, send = one(spans, "send notifications"), one(spans, "send default")
    assert told.parent == send.id and one(spans, "process notifications").parent == told.id


def test_tracing__a_failed_attempt_then_the_next_is_linked_to_it(stack, client, collector, hooks):
    hooks.answers = [503]
    trace, headers = begin()
    payload = {"channel": "webhook", "url": hooks.url, "event_type": "a.b", "data": {}}
    job = client.post("/v1/notifications", payload, new_key(), headers=headers).json()
    assert client.ended(job["id"])["state"] == "done" and len(hooks.heads) == 2
    spans = tree(collector, headers, *["process notifications", "POST"] * 2)
    first = one(spans, "process notifications", penstock__attempt=1)
    second = one(spans, "process notifications", penstock__attempt=2)
    send = one(spans, "send notifications")
    assert first.parent == second.parent == send.id
    assert first.error and first.attributes["error.type"] == "transient" and "503" in first.message and not first.links
    assert not second.error and second.links == [(trace, first.id)]
    assert [s.attributes["http.response.status_code"] for s in spans if s.name == "POST"] == [503, 204]
    assert [h["traceparent"].split("-")[2] for h in hooks.heads] == [s.id for s in sorted(spans, key=lambda s: s.begin) if s.name == "POST"]


def test_tracing__a_dead_job_is_run_again_then_in_its_trace_or_linked_to_it(stack, client, collector):
    """As it is, it goes on in its trace. With another payload it comes of the request that asks for that, and is linked to the attempt that it died in."""
    trace, headers = begin()
    job = client.post("/v1/jobs", {"type": "demo.fail", "payload": {"permanent": True}}, new_key(), headers=headers).json()["id"]
    assert client.ended(job)["state"] == "dead"
    assert client.post(f"/v1/jobs/{job}/retry").status_code == 202
    runs = lambda: [s for s in collector.of_trace(trace) if s.name == "process default"]
    assert ports.wait_until(lambda: len(runs()) == 2, WAIT_S) and client.until(job, "dead")
    send = one(collector.of_trace(trace), "send default")
    assert {s.parent for s in runs()} == {send.id}
    last = max(runs(), key=lambda s: s.begin)
    again, headers = begin()
    answer = client.post(f"/v1/jobs/{job}/replay", {"payload": {"until": 0}}, headers=headers)
    assert answer.status_code == 202, answer.text
    assert client.ended(answer.json()["id"])["trace_id"] == again
    spans = tree(collector, headers, "POST /v1/jobs/{id}/replay", "send default", "process default")
    sent = one(spans, "send default")
    assert sent.parent == one(spans, "POST /v1/jobs/{id}/replay").id and sent.links == [(trace, last.id)]
    assert sent.attributes["messaging.message.id"] == answer.json()["id"] and one(spans, "process default").parent == sent.id


def test_tracing__not_sampled_then_only_what_failed_is_recorded(client, collector, hooks):
    hooks.answers = [500]
    trace, headers = begin(sampled=False)
    payload = {"channel": "webhook", "url": hooks.url, "event_type": "a.b", "data": {}}
    failing = client.post("/v1/notifications", payload, new_key(), headers=headers).json()
    none, headers = begin(sampled=False)
    note(client, headers)
    assert client.ended(failing["id"])["state"] == "done"
    spans = until(collector, trace, "process notifications")
    process = one(spans, "process notifications")
    assert process.error and process.attributes["penstock.attempt"] == 1
    assert {s.name for s in spans if s.parent == process.id} >= {"POST"}
    later, headers = begin()
    note(client, headers)
    until(collector, later, "process default", "POST /v1/jobs")  # whatever came before it is there
    assert not collector.of_trace(none) and not logs_of(collector, none)
    assert [s for s in collector.of_trace(trace) if s.name in ("POST /v1/notifications", "send notifications")] == []
    assert hooks.heads[-1]["traceparent"].endswith("-00")


def test_tracing__made_in_sql_then_the_trace_begins_with_the_sending(stack, client, collector):
    [(job,)] = stack.sql("SELECT penstock.enqueue('demo.note', '{\"text\": \"sql\"}')::text")
    spans = tree(collector, {"traceparent": f"00-{client.ended(job)['trace_id']}--01"}, "send default", "process default", "ack default")
    send, process = one(spans, "send default"), one(spans, "process default", penstock__outcome="done")
    assert (send.parent, send.role, process.parent) == ("", "scheduler", send.id)


def test_tracing__jobs_of_one_batch_then_their_statement_is_linked_to_all_of_them(client, collector):
    began = [begin() for _ in range(24)]
    with ThreadPoolExecutor(24) as pool:
        made = list(pool.map(lambda b: client.post("/v1/jobs", {"type": "demo.note", "payload": {"text": "x"}}, new_key(), headers=b[1]).json(), began))
    for job in made:
        client.ended(job["id"])
    for trace, _ in began:
        until(collector, trace, "send default", "process default", "POST /v1/jobs")
    traces = {trace for trace, _ in began}
    assert ports.wait_until(lambda: covered(collector, "api.accept", "send default", traces), WAIT_S)
    assert ports.wait_until(lambda: covered(collector, "journal.finish", "process default", traces), WAIT_S)


def covered(collector, name: str, member: str, traces: set) -> bool:
    """Each member has the shared span above or before it exactly once: as its child, or by a link."""
    with collector.lock:
        spans = list(collector.spans)
    members = {(s.trace, s.id) for s in spans if s.name == member and s.trace in traces}
    told = [pair for s in spans if s.name == name and s.trace in traces for pair in ((s.trace, s.parent), *s.links) if pair in members]
    shared = [s for s in spans if s.name == name and s.trace in traces]
    assert all(s.attributes.get("db.operation.batch.size", 1) >= 1 + len(s.links) for s in shared)
    return sorted(told) == sorted(members)


def test_tracing__logs_and_metrics_then_they_name_the_span(stack, client, collector):
    trace, headers = begin()
    job = note(client, headers)
    spans = until(collector, trace, "process default", "POST /v1/jobs")
    assert ports.wait_until(lambda: {r.event for r in logs_of(collector, trace)} >= {"http.request", "job.attempt"}, WAIT_S)
    said = {r.event: r for r in logs_of(collector, trace)}
    assert said["job.attempt"].span in {s.id for s in spans if s.name == "process default"} and said["job.attempt"].attributes["messaging.message.id"] == job["id"]
    assert said["http.request"].span in {s.id for s in spans if s.kind == SERVER} and said["http.request"].severity == 9
    line = next(x for x in log_lines(stack.roles["worker"].log, "job.attempt") if x["job"] == job["id"])
    assert (line["trace_id"], line["span_id"]) == (trace, said["job.attempt"].span)
    assert ports.wait_until(lambda: any(name == "penstock.job_duration" for _, name in list(collector.metrics)), WAIT_S)
    duration = next(m for (_, name), m in list(collector.metrics.items()) if name == "penstock.job_duration")
    assert duration.unit == "s" and duration.histogram.aggregation_temporality == 2
    assert {a.key for a in duration.histogram.data_points[0].attributes} == {"queue", "type"}
    enqueued = next(m for (_, name), m in list(collector.metrics.items()) if name == "penstock.jobs_enqueued")
    assert enqueued.sum.is_monotonic and enqueued.sum.data_points[0].as_double >= 1


def logs_of(collector, trace: str) -> list:
    with collector.lock:
        return [r for r in collector.logs if r.trace == trace]


def dropped(client, reason: str) -> float:
    return value(client, "telemetry_dropped_total", signal="traces", reason=reason) or 0


def test_tracing__told_to_wait_then_the_same_comes_again_and_nothing_before(client, collector):
    since = time.monotonic()
    collector.answers["/v1/traces"] = [(429, {"Retry-After": "3"}, b"")]
    trace, headers = begin()
    note(client, headers)
    until(collector, trace, "POST /v1/jobs", "process default")
    first = next(s for s in collector.requests("/v1/traces", since) if s.answered == 429)
    again = next(s for s in collector.requests("/v1/traces", since) if s.body == first.body and s.answered == 200)
    assert again.at - first.at >= 2.9


def test_tracing__refused_for_good_then_dropped_and_counted(client, collector):
    before = {reason: dropped(client, reason) for reason in ("refused", "rejected", "unsent")}
    answers = [(400, {}, b"no"), (200, {}, b'{"partialSuccess":{"rejectedSpans":"1","errorMessage":"one is bad"}}'),
               *[(503, {"Retry-After": "0"}, b"")] * 20]  # five for one of the processes
    since = time.monotonic()
    collector.answers["/v1/traces"] = list(answers)
    while collector.answers["/v1/traces"]:  # each must find something to answer
        note(client, begin()[1])
    seen = collector.requests("/v1/traces", since)[:len(answers)]
    times = Counter(s.body for s in seen)
    records = {s.body: s.records for s in seen}
    lost = {"refused": seen[0].records, "rejected": 1, "unsent": sum(records[body] for body, n in times.items() if n == 5)}
    assert ports.wait_until(lambda: {reason: dropped(client, reason) - n for reason, n in before.items()} == lost, WAIT_S)
    assert max(times.values()) == 5 and times[seen[0].body] == times[seen[1].body] == 1


def test_tracing__dead_collector_then_jobs_go_on_and_the_next_one_is_spoken_to(client, collector):
    collector.stop()
    with socket.create_server((ports.HOST, collector.port)) as deaf:  # hangs up on everybody
        deaf.settimeout(WAIT_S)
        trace, headers = begin()
        assert note(client, headers)["state"] == "done"
        deaf.accept()[0].close()
    collector.serve()
    until(collector, trace, "POST /v1/jobs", "process default")  # what waited has come


def test_tracing__a_worker_ends_then_what_it_did_last_is_there(stack, client, collector):
    trace, headers = begin()
    note(client, headers)
    assert stack.roles["worker"].stop()
    try:
        assert {"process default", "ack default"} <= {s.name for s in collector.of_trace(trace)}
    finally:
        stack.roles["worker"].start()
