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
        "order_declined": ("/v1/orders", "wait=5", lambda r: order_body(r, sim_url, False, "tok_declined"), 3),
        "tally": (job, "", lambda r: {"type": "demo.tally", "payload": {"ms": 0}}, 15),
        "slow": (job, "", lambda r: {"type": "demo.tally", "payload": {"ms": 1500}}, 2),
        "delayed": (job, "", lambda r: {"type": "demo.note", "payload": {"text": "later"}, "delay_ms": r.randrange(100, 3000)}, 8),
        "retried": (job, "", lambda r: {"type": "demo.fail", "payload": {"until": 2}}, 5),
        "dead": (job, "", lambda r: {"type": "demo.fail", "payload": {"permanent": True}}, 3),
        "dead_stream": (job, "", lambda r: {"type": "demo.tally", "payload": {"fail": True}}, 3),
        "webhook": ("/v1/notifications", "respond-async",
                    lambda r: {"channel": "webhook", "url": f"{sim_url}/hook/own", "event_type": "sweep.ping", "data": {"n": r.randrange(1000)}}, 5),
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
        rng = random.Random(seed)
        names, weights = list(self.kinds), [k[3] for k in self.kinds.values()]
        connection: http.client.HTTPConnection | None = None
        while not self._stop.is_set():
            name = rng.choices(names, weights)[0]
            if name in self.paused_kinds:
                time.sleep(0.05)
                continue
            path, prefer, make, _ = self.kinds[name]
            sent = Sent(name, str(uuid.UUID(int=rng.getrandbits(128))), make(rng), begun_at=time.monotonic())
            self.sent.append(sent)
            connection = self._until_answered(connection, sent, path, prefer)
            if sent.acked_at and rng.random() < 0.15:
                again = Sent(name, sent.key, sent.body)
                connection = self._until_answered(connection, again, path, prefer)
                if again.acked_at:
                    sent.repeats.append((again.status, again.answer))
            time.sleep(pause_s * rng.random() * 2)

    def _until_answered(self, connection, sent: Sent, path: str, prefer: str):
        body = json.dumps(sent.body)
        headers = {"Content-Type": "application/json", "Idempotency-Key": sent.key}
        if prefer:
            headers["Prefer"] = prefer
        while not self._give_up.is_set():
            sent.tries += 1
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(self.api.hostname, self.api.port, timeout=15)
                connection.request("POST", path, body, headers)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status < 500 and answer.status not in (408, 409, 429):
                    sent.status, sent.answer, sent.acked_at = answer.status, json.loads(text), time.monotonic()
                    return connection
                retry = 0.1
            except (OSError, http.client.HTTPException, ValueError):
                if connection is not None:
                    connection.close()
                connection = None
                retry = 0.05
            time.sleep(retry)
        return connection
