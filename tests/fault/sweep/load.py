"""Producers: threads that post jobs over HTTP and repeat with the same key until they are answered, as the README tells producers to.
What was acknowledged is remembered; nothing else counts as accepted."""
import http.client
import json
import random
import threading
import time
import uuid
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from .cluster import example_handlers


@dataclass
class Sent:
    kind: str
    key: str
    body: dict
    acked_at: float = 0.0      # monotonic; 0: never acknowledged
    begun_at: float = 0.0
    status: int = 0
    answer: dict = field(default_factory=dict)
    tries: int = 0
    repeats: list = field(default_factory=list)  # answers to deliberate repetitions of an acknowledged request
    steps: list = field(default_factory=list)  # what was asked for afterwards, of the same order


# kind: (path, Prefer, makes the body, share of the load)
def order_body(rng: random.Random, sim_url: str, capture: bool, token: str = "tok_ok") -> dict:
    lines = [{"sku": f"sku-{rng.randrange(100)}", "title": "Thing", "qty": rng.randrange(1, 5), "unit_minor": rng.randrange(1, 5000)}
             for _ in range(rng.randrange(1, 4))]
    tag = uuid.UUID(int=rng.getrandbits(128)).hex
    return {"customer_id": f"c-{tag}", "currency": "EUR", "lines": lines, "payment": {"token": token, "capture": capture},
            "notify": {"email": f"{tag}@example.com", "webhook_url": f"{sim_url}/hook/{tag}"}}


def kinds(sim_url: str):
    job = "/v1/jobs"
    return {
        "note": (job, "", lambda r: {"type": "demo.note", "payload": {"text": "sweep"}}, 30),
        "order": ("/v1/orders", "wait=5", lambda r: order_body(r, sim_url, False), 14),
        "order_capture": ("/v1/orders", "respond-async", lambda r: order_body(r, sim_url, True), 14),
        "order_cancel": ("/v1/orders", "respond-async", lambda r: order_body(r, sim_url, False), 5),
        "order_capture_cancel": ("/v1/orders", "respond-async", lambda r: order_body(r, sim_url, True), 5),
        "order_refund": ("/v1/orders", "wait=5", lambda r: order_body(r, sim_url, False), 3),
        "order_refund_cancel": ("/v1/orders", "wait=5", lambda r: order_body(r, sim_url, False), 4),
        "order_declined": ("/v1/orders", "wait=5", lambda r: order_body(r, sim_url, False, "tok_declined"), 3),
        "tally": (job, "", lambda r: {"type": "demo.tally", "payload": {"ms": 0}}, 15),
        "slow": (job, "", lambda r: {"type": "demo.tally", "payload": {"ms": 1500}}, 2),
        "delayed": (job, "", lambda r: {"type": "demo.note", "payload": {"text": "later"}, "delay_ms": r.randrange(100, 3000)}, 8),
        "retried": (job, "", lambda r: {"type": "demo.fail", "payload": {"until": 2}}, 5),
        "dead": (job, "", lambda r: {"type": "demo.fail", "payload": {"permanent": True}}, 3),
        "dead_stream": (job, "", lambda r: {"type": "demo.tally", "payload": {"fail": True}}, 3),
        "webhook": ("/v1/notifications", "respond-async",
                    lambda r: {"channel": "webhook", "url": f"{sim_url}/hook/own", "event_type": "sweep.ping", "data": {"n": r.randrange(1000)}}, 5),
        **{f"handled_{name}": (job, "", lambda r, name=name: {"type": f"count.{name}", "payload": {"text": "one two three"}}, 4)
           for name in example_handlers()},
        "email": ("/v1/notifications", "respond-async", lambda r: {"channel": "email", "to": "own@example.com", "subject": "sweep", "text": "hello"}, 4),
    }


class Load:
    """threads producers with a pause between requests; kinds: the ones to use, all by default."""

    def __init__(self, api_url: str, sim_url: str, seed: int, threads: int, pause_s: float, only: set[str] | None = None):
        self.api = urlsplit(api_url)
        self.kinds = {name: k for name, k in kinds(sim_url).items() if only is None or name in only}
        self.sent: list[Sent] = []
        self.paused_kinds: set[str] = set()
        self._stop = threading.Event()
        self._give_up = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(seed * 1000 + i, pause_s), daemon=True) for i in range(threads)]

    def start(self) -> None:
        for t in self._threads:
            t.start()

    def stop(self, patience_s: float) -> None:
        """No new requests; those begun go on until they are answered, for so long at the most."""
        self._stop.set()
        end = time.monotonic() + patience_s
        for t in self._threads:
            t.join(max(0.0, end - time.monotonic()))
        self._give_up.set()
        for t in self._threads:
            t.join(20)

    def _run(self, seed: int, pause_s: float) -> None:
        producer = Producer(self, seed)
        rng = producer.rng
        names, weights = list(self.kinds), [k[3] for k in self.kinds.values()]
        while not self._stop.is_set():
            name = rng.choices(names, weights)[0]
            if name in self.paused_kinds:
                time.sleep(0.05)
                continue
            path, prefer, make, _ = self.kinds[name]
            sent = producer.send(name, path, prefer, make(rng))
            if sent.acked_at and sent.status < 300 and name in FLOWS:
                FLOWS[name](producer, sent)
            time.sleep(pause_s * rng.random() * 2)

    def is_given_up(self) -> bool:
        return self._give_up.is_set()


class Producer:
    """One thread's connection; whatever it asks for is asked until it is answered."""

    def __init__(self, load: Load, seed: int):
        self.load = load
        self.rng = random.Random(seed)
        self._connection: http.client.HTTPConnection | None = None

    def send(self, kind: str, path: str, prefer: str, body: dict) -> Sent:
        """A request with a key of its own; now and then repeated when it has been answered."""
        sent = Sent(kind, str(uuid.UUID(int=self.rng.getrandbits(128))), body, begun_at=time.monotonic())
        self.load.sent.append(sent)
        self._until_answered(sent, path, prefer)
        if sent.acked_at and self.rng.random() < 0.15:
            again = Sent(kind, sent.key, body)
            self._until_answered(again, path, prefer)
            if again.acked_at:
                sent.repeats.append((again.status, again.answer))
        return sent

    def look(self, path: str, condition) -> dict | None:
        """What is at the path, when it is there and so; None: given up."""
        while not self.load.is_given_up():
            status, answer = self._exchange("GET", path)
            if status == 200 and condition(answer):
                return answer
            time.sleep(0.1)
        return None

    def _until_answered(self, sent: Sent, path: str, prefer: str) -> None:
        headers = {"Content-Type": "application/json", "Idempotency-Key": sent.key} | ({"Prefer": prefer} if prefer else {})
        while not self.load.is_given_up():
            sent.tries += 1
            status, answer = self._exchange("POST", path, json.dumps(sent.body), headers)
            undecided = status == 409 and answer.get("code") == "acceptance_undecided"
            if 0 < status < 500 and status not in (408, 429) and not undecided:
                sent.status, sent.answer, sent.acked_at = status, answer, time.monotonic()
                return
            time.sleep(0.1 if status else 0.05)

    def _exchange(self, method: str, path: str, body: str | None = None, headers: dict | None = None) -> tuple[int, dict]:
        """Status and answer; 0: there was none."""
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self.load.api.hostname, self.load.api.port, timeout=15)
            self._connection.request(method, path, body, headers or {})
            answer = self._connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            return 0, {}


# What is done with an order after it was accepted. Each step is in the order's steps once it was answered, or given up.
def order_id(sent: Sent) -> str:
    return sent.answer.get("order_id") or sent.answer["id"]


def paid(producer: Producer, order: str, status: str) -> dict | None:
    """The order's payment, when it is so."""
    placed = producer.look(f"/v1/orders/{order}", lambda o: o.get("payment_id"))
    return placed and producer.look(f"/v1/payments/{placed['payment_id']}", lambda p: p["status"] == status)


def cancel(producer: Producer, sent: Sent) -> None:
    prefer = producer.rng.choice(["respond-async", "wait=5"])
    sent.steps.append(producer.send("cancel", f"/v1/orders/{order_id(sent)}/cancel", prefer, {}))


def cancel_soon(producer: Producer, sent: Sent) -> None:
    """While it is placed, paid for, captured, or after it: as soon as there is an order, or a little later."""
    if producer.look(f"/v1/orders/{order_id(sent)}", lambda o: True):
        time.sleep(producer.rng.choice([0, 0, 0.02, 0.3]))
        cancel(producer, sent)


def cancel_captured(producer: Producer, sent: Sent) -> None:
    if producer.rng.random() < 0.5:
        cancel_soon(producer, sent)
    elif paid(producer, order_id(sent), "captured"):
        cancel(producer, sent)


def capture_and_refund(producer: Producer, sent: Sent, kind: str, prefer: str) -> bool:
    payment = paid(producer, order_id(sent), "authorized")
    if payment is None:
        return False
    path = f"/v1/payments/{payment['payment_id']}"
    sent.steps.append(producer.send("capture", f"{path}/capture", "wait=5", {}))
    if paid(producer, order_id(sent), "captured") is None:
        return False
    part = producer.rng.randrange(1, payment["amount_minor"] + 1)
    sent.steps.append(producer.send(kind, f"{path}/refunds", prefer, {"amount_minor": part, "reason": "sweep"}))
    return True


def refund(producer: Producer, sent: Sent) -> None:
    capture_and_refund(producer, sent, "refund", "wait=5")


def refund_and_cancel(producer: Producer, sent: Sent) -> None:
    """The refund is under way when the rest of the money is given back, or in its way."""
    if capture_and_refund(producer, sent, "refund_raced", "respond-async"):
        cancel(producer, sent)


FLOWS = {"order_cancel": cancel_soon, "order_capture_cancel": cancel_captured, "order_refund": refund,
         "order_refund_cancel": refund_and_cancel}
