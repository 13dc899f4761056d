"""Servers that jobs call are away or slow: jobs wait uncharged, others go on, afterwards everything is done, and nothing twice.
Ten minutes of it, and how much of what, are in virtual time: tests/unit/jobs/test_outage.c."""
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from observe import attempts, charged, log_lines, log_size
from penstock_ops import ports
from stack import Stack, WAIT_S, cli_of, new_key, order
from test_metrics import samples, scrape

SLOTS = 64
HANDLER_PORT = ports.any_free()
PROBES = 2  # in vain: the circuit was open for 1 and 2 s, and is for 4


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    types = tmp_path_factory.mktemp("types") / "types.conf"
    types.write_text(f'types = ( {{ name = "t.away"; handler = "http://{ports.HOST}:{HANDLER_PORT}/"; retry_base_ms = 50; }} );', encoding="utf-8")
    made = Stack(tmp_path_factory.mktemp("stack"), {"handler.types": str(types), "handler.secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                                                    "handler.allow_cidr": "127.0.0.0/8"})
    try:
        yield made.start()
    finally:
        made.stop()


def place(client, count: int) -> list[str]:
    """Orders that are captured at once; their ids."""
    made = [client.post("/v1/orders", order(customer_id=new_key(), payment={"token": "tok_ok", "capture": True}), new_key(),
                        headers={"Prefer": "respond-async"}) for _ in range(count)]
    assert {answer.status_code for answer in made} == {202}
    return [answer.json()["id"] for answer in made]


def ended(client, ids: list[str]) -> list[dict]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(client.ended, ids))


def charges(stack, orders: list[str]) -> dict[str, list[str]]:
    """What the provider has booked for each order."""
    booked = {}
    for line in stack.sim.book.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        booked.setdefault(entry["reference"], []).append(entry["op"])
    made = {i: [] for i in orders}
    for order_id, op in stack.sql("SELECT p.order_id::text, o.id::text FROM payments.payment_op o JOIN payments.payment p ON p.id = o.payment_id "
                                  "WHERE p.order_id::text = ANY(%s)", orders):
        made[order_id] += booked.get(op, [])
    return {i: sorted(ops) for i, ops in made.items()}


def circuits(stack, name: str, state: str, since: int = 0) -> int:
    lines = log_lines(stack.roles["worker"].log, "dependency.circuit", since)
    return sum(line["dependency"] == name and line["state"] == state for line in lines)


def shown(client, metric: str, **labels: str) -> list[float]:
    return [v for name, have, v in samples(scrape(client)) if name == f"penstock_{metric}" and labels.items() <= have.items()]


def notes_go_through(client) -> None:
    assert {job["state"] for job in ended(client, [client.enqueue("demo.note", {"text": "."})["id"] for _ in range(10)])} == {"done"}


def test_provider__away_then_its_jobs_wait_uncharged_and_all_are_paid_once(stack, client):
    began = log_size(stack.roles["worker"].log)
    stack.sim.stop()
    try:
        orders = place(client, 20)
        assert ports.wait_until(lambda: circuits(stack, "payments", "open", began) > 0, WAIT_S)
        since = log_size(stack.roles["worker"].log)
        orders += place(client, 20)
        assert ports.wait_until(lambda: 2 in shown(client, "provider_circuit_state", provider="payments"), WAIT_S)
        why = [p["circuit_why"]["payments"] for p in client.get("/v1/workers").json()["items"] if "circuit_why" in p]
        assert why and all("refused" in text.lower() or "connect" in text.lower() for text in why), why
        assert any(p.get("circuit_open") == "payments" for p in client.get("/v1/workers").json()["items"] if p.get("queue") == "orders")
        told = cli_of(stack)("doctor", code=None).out
        assert any("worker.orders" in line and "payments does not answer" in line for line in told.splitlines()), told
        notes_go_through(client)
        assert ports.wait_until(lambda: circuits(stack, "payments", "open", since) >= PROBES, WAIT_S)
        assert charged(stack, since) == []
        tried = sum(a["type"] == "order.place" for a in attempts(stack, since))
        assert tried <= circuits(stack, "payments", "open", since) + 1, tried  # its queue is not read, but for who tries
    finally:
        stack.sim.start()
    done = ended(client, orders)
    assert {(job["state"], job["status"]) for job in done} == {("done", 201)}
    assert ports.wait_until(lambda: set(map(tuple, charges(stack, orders).values())) == {("authorize", "capture")}, WAIT_S), charges(stack, orders)
    assert len(charged(stack, began)) <= SLOTS  # those that failed before it was known
    assert ports.wait_until(lambda: set(shown(client, "provider_circuit_state", provider="payments")) == {0}, WAIT_S)
    log = stack.roles["worker"].log  # who claims nothing because its circuit is open is as alive as any
    assert not log_lines(log, "worker.hung", began) and not log_lines(log, "worker.exited", began)


def test_provider__slow_then_the_window_falls_and_none_is_charged_twice(stack, client):
    def misbehave(*rules: dict) -> None:
        requests.post(stack.sim.url + "/v1/faults", json={"rules": list(rules)}, timeout=5).raise_for_status()

    assert ended(client, place(client, 20))  # so that it is known how fast it is
    since, before = log_size(stack.roles["worker"].log), min(shown(client, "provider_window", provider="payments"))
    misbehave({"op": "authorize", "action": "delay", "ms": 3000})
    try:
        orders = place(client, SLOTS)
        assert ports.wait_until(lambda: min(shown(client, "provider_window", provider="payments")) <= before / 4, WAIT_S)
        notes_go_through(client)
    finally:
        misbehave()
    assert {job["state"] for job in ended(client, orders)} == {"done"}
    assert ports.wait_until(lambda: set(map(tuple, charges(stack, orders).values())) == {("authorize", "capture")}, WAIT_S), charges(stack, orders)
    assert charged(stack, since) == []


class Answers(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args):
        pass


def test_handler__its_host_is_away_then_its_jobs_are_delayed_and_the_queue_goes_on(stack, client):
    host = f"http://{ports.HOST}:{HANDLER_PORT}"
    began = log_size(stack.roles["worker"].log)
    jobs = [client.enqueue("t.away", {})["id"] for _ in range(20)]
    assert ports.wait_until(lambda: circuits(stack, host, "open", began) > 0, WAIT_S)
    since = log_size(stack.roles["worker"].log)
    jobs += [client.enqueue("t.away", {})["id"] for _ in range(20)]
    notes_go_through(client)
    assert ports.wait_until(lambda: sum(a["outcome"] == "released" and "does not answer" in a["detail"] for a in attempts(stack, since)) >= 20, WAIT_S)
    assert ports.wait_until(lambda: circuits(stack, host, "open", since) >= PROBES, WAIT_S)
    assert charged(stack, since) == []
    assert sum(shown(client, "provider_refused_total", provider=host, reason="circuit")) > 0
    server = ThreadingHTTPServer((ports.HOST, HANDLER_PORT), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert {job["state"] for job in ended(client, jobs)} == {"done"}
    finally:
        server.shutdown()
