"""penstock-sim: its book survives kill -9, not_after holds, faults do what they say, webhooks are noted."""
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("TEST_BUILD", ROOT / "build" / "dev"))
SECRET = "simulated"
WAIT_S = 20


class Sim:
    """One process on a free port; start() again after kill() opens the same book."""

    def __init__(self, book: Path, *options: str):
        self.book, self.options = book, options

    def start(self) -> None:
        secret_file = self.book.with_name("secret")
        secret_file.write_text(SECRET + "\n", encoding="ascii")
        command = [BUILD / "penstock-sim", "--listen", "127.0.0.1:0", "--book", self.book, "--secret-file", secret_file, *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        said = self.process.stdout.readline()
        assert said.startswith("penstock-sim listening on "), said
        self.port = int(said.split()[3].rstrip(","))

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(WAIT_S)
        self.process.stdout.close()

    def ask(self, method: str, path: str, body: bytes = b"", headers: dict | None = None):
        """(status, body) or None when the connection was closed without an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            text = reply.read()
            self.headers = reply.headers
            return reply.status, json.loads(text) if text else None
        except (http.client.RemoteDisconnected, ConnectionResetError):
            return None
        finally:
            connection.close()

    def call(self, op: str, reference: str, secret: str = SECRET, **over):
        order = {"reference": reference, "amount": 100, "currency": "EUR", "not_after": now_ms() + 60000}
        order |= {"token": "tok_ok"} if op == "authorize" else {}
        body = json.dumps(order | over).encode()
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return self.ask("POST", f"/v1/{op}", body, {"Penstock-Signature": signature})

    def faults(self, *rules: dict, seed: int = 1) -> None:
        assert self.ask("POST", "/v1/faults", json.dumps({"rules": rules, "seed": seed}).encode())[0] == 200

    def found(self, reference: str) -> list:
        status, body = self.ask("GET", f"/v1/lookup?reference={reference}")
        assert status == 200 and body["found"] == ("entries" in body)
        return body.get("entries", [])

    def lines(self) -> list:
        return [json.loads(line) for line in self.book.read_text().splitlines()]


def now_ms() -> int:
    return time.time_ns() // 1000000


@contextlib.contextmanager
def running(*options: str):
    with tempfile.TemporaryDirectory() as folder:
        sim = Sim(Path(folder) / "book", *options)
        sim.start()
        try:
            yield sim
        finally:
            sim.kill()


def test_sim__killed_then_everything_answered_is_in_the_book():
    with running() as sim:
        answers = {f"r{i}": sim.call("authorize", f"r{i}", amount=100 + i) for i in range(20)}
        sim.kill()
        sim.start()
        for i, (reference, (status, body)) in enumerate(answers.items()):
            assert (status, body["outcome"], body["amount"]) == (200, "ok", 100 + i)
            (entry,) = sim.found(reference)
            assert entry["provider_ref"] == body["provider_ref"] and entry["amount"] == 100 + i
        assert sim.found("never") == []
        assert sim.call("capture", "c", parent=answers["r0"][1]["provider_ref"])[1]["provider_ref"] == "ch_21"
        assert [line["seq"] for line in sim.lines()] == list(range(1, 22))
        assert sim.lines()[20] | {"at_ms": 0} == {"seq": 21, "at_ms": 0, "op": "capture", "reference": "c", "provider_ref": "ch_21",
                                                  "parent": "ch_1", "amount": 100, "currency": "EUR"}


def test_sim__torn_last_line_then_it_is_cut_off():
    with running() as sim:
        sim.call("authorize", "whole")
        sim.kill()
        whole = sim.book.read_bytes()
        sim.book.write_bytes(whole + whole[:40])
        sim.start()
        assert sim.book.read_bytes() == whole
        assert sim.call("authorize", "next")[1]["provider_ref"] == "ch_2"
        assert [line["reference"] for line in sim.lines()] == ["whole", "next"]


def test_sim__broken_book_or_second_process_then_it_does_not_start():
    with running() as sim:
        sim.call("authorize", "a")
        command = [*sim.process.args[:2], "127.0.0.1:0", *sim.process.args[3:]]
        assert "another process" in subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S).stderr
        sim.kill()
        sim.book.write_bytes(sim.book.read_bytes() + b'{"seq":7}\n')
        assert subprocess.run(command, capture_output=True, timeout=WAIT_S).returncode == 1
        sim.book.write_bytes(b"")
        sim.start()


def test_sim__past_not_after_then_refused_and_not_booked():
    with running() as sim:
        assert sim.call("authorize", "late", not_after=now_ms() - 1) == (410, {"outcome": "too_late"})
        sim.faults({"op": "authorize", "action": "delay", "ms": 300})
        assert sim.call("authorize", "delayed", not_after=now_ms() + 100) == (410, {"outcome": "too_late"})
        assert sim.call("authorize", "in time", not_after=now_ms() + 60000)[0] == 200
        assert [line["reference"] for line in sim.lines()] == ["in time"]
    with running("--lateness-ms", "60000") as sim:
        assert sim.call("authorize", "late", not_after=now_ms() - 1)[0] == 200


def test_sim__the_client_gives_up_then_it_is_booked_all_the_same():
    with running() as sim:
        sim.faults({"action": "delay", "ms": 300})
        connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=0.1)
        body = json.dumps({"reference": "gone", "amount": 1, "currency": "EUR", "token": "t", "not_after": now_ms() + 60000}).encode()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        connection.request("POST", "/v1/authorize", body, {"Penstock-Signature": signature})
        connection.close()
        deadline = time.monotonic() + WAIT_S
        while not sim.found("gone"):
            assert time.monotonic() < deadline


def test_sim__dropped_then_the_book_knows_which_side_of_the_effect():
    with running() as sim:
        sim.faults({"op": "authorize", "action": "drop_before", "count": 1}, {"op": "authorize", "action": "drop_after", "count": 1})
        assert sim.call("authorize", "before") is None
        assert sim.call("authorize", "after") is None
        assert sim.call("authorize", "fine")[0] == 200
        assert sim.found("before") == [] and len(sim.found("after")) == 1
        assert [rule["hits"] for rule in sim.ask("GET", "/v1/faults")[1]["rules"]] == [1, 1]
        assert sim.ask("GET", "/v1/stats")[1]["dropped"] == 2


def test_sim__the_other_faults_then_answered_as_scripted():
    with running() as sim:
        sim.faults(*({"action": action, "count": 1} for action in ("decline", "error500", "wrong_amount")))
        assert sim.call("authorize", "a") == (402, {"outcome": "declined", "code": "card_declined"})
        assert sim.call("authorize", "b")[0] == 500
        assert sim.call("authorize", "c")[1]["amount"] == 99
        assert [(line["reference"], line["amount"]) for line in sim.lines()] == [("c", 100)]
        draws = []
        for _ in range(2):
            sim.faults({"action": "decline", "probability": 0.5}, seed=7)
            draws.append([sim.call("authorize", "p")[0] for _ in range(30)])
        assert draws[0] == draws[1] and {200, 402} == set(draws[0])
        for bad in ({"rules": [{"action": "melt"}]}, {"rules": [{"op": "x", "action": "decline"}]}, {"rules": 1}, {}):
            assert sim.ask("POST", "/v1/faults", json.dumps(bad).encode())[0] == 400


def test_sim__same_reference_twice_then_two_charges():
    with running() as sim:
        refs = [sim.call("authorize", "again")[1]["provider_ref"] for _ in range(2)]
        assert [entry["provider_ref"] for entry in sim.found("again")] == refs == ["ch_1", "ch_2"]


def test_sim__tokens_then_they_decide():
    with running() as sim:
        assert sim.call("authorize", "a", token="tok_declined")[0] == 402
        assert sim.call("authorize", "b", token="tok_wrong_amount")[1]["amount"] == 99
        began = time.monotonic()
        assert sim.call("authorize", "c", token="tok_slow")[0] == 200
        assert 1.9 < time.monotonic() - began < 10
        assert [line["reference"] for line in sim.lines()] == ["b", "c"]


def test_sim__more_than_there_is_then_declined():
    with running() as sim:
        parent = sim.call("authorize", "a")[1]["provider_ref"]
        for restart in (False, True):
            if restart:
                sim.kill()
                sim.start()
            cases = [("capture", {"amount": 101}, "amount_too_large"), ("refund", {"amount": 1 if not restart else 61}, "amount_too_large"),
                     ("capture", {"currency": "USD"}, "currency_mismatch"), ("capture", {"parent": "ch_9"}, "unknown_parent")]
            for op, over, code in cases:
                assert sim.call(op, "x", **{"parent": parent} | over) == (409, {"outcome": "declined", "code": code}), (op, over)
            if not restart:
                assert sim.call("capture", "c", parent=parent, amount=60)[0] == 200
        assert sim.call("capture", "c2", parent=parent, amount=41)[0] == 409
        assert sim.call("void", "v", parent=parent, amount=40)[0] == 200
        assert sim.call("void", "v2", parent=parent, amount=1)[0] == 409
        assert sim.call("refund", "r", parent=parent, amount=60)[0] == 200
        assert sim.call("refund", "r2", parent=parent, amount=1)[0] == 409
        assert sim.call("capture", "of a capture", parent="ch_2", amount=1)[0] == 409


def test_sim__bad_requests_then_nothing_is_booked():
    with running() as sim:
        assert sim.call("authorize", "a", secret="wrong")[0] == 401
        assert sim.ask("POST", "/v1/authorize", b"{}")[0] == 401
        for over in ({"amount": 0}, {"amount": -1}, {"amount": 1.5}, {"amount": "1"}, {"currency": "eur"}, {"currency": "EURO"},
                     {"not_after": None}, {"token": 1}, {"reference": ""}, {"reference": "r" * 256}):
            assert sim.call("authorize", over.pop("reference", "a"), **over)[0] == 400, over
        assert sim.call("capture", "a")[0] == 400
        assert sim.ask("GET", "/v1/lookup")[0] == 400
        assert sim.ask("GET", "/v1/nothing")[0] == 404
        assert sim.lines() == []


def test_sim__many_at_once_then_each_has_its_own_line():
    with running() as sim:
        threads = [threading.Thread(target=lambda n=n: [sim.call("authorize", f"{n}-{i}") for i in range(10)]) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
        assert [line["seq"] for line in sim.lines()] == list(range(1, 81))
        assert len({line["reference"] for line in sim.lines()}) == 80


def test_sim__webhooks_then_noted_before_the_scripted_answer():
    with running() as sim:
        headers = {"webhook-id": "msg_1", "webhook-timestamp": "1700000000", "webhook-signature": "v1,abc="}
        assert sim.ask("POST", "/hook/orders/1", b'{"a":1}', headers) == (200, None)
        script = {"status": 503, "retry_after": 1, "count": 1}
        assert sim.ask("POST", "/v1/hook-faults", json.dumps(script).encode())[0] == 200
        assert sim.ask("POST", "/hook/x", b"{}", headers)[0] == 503 and sim.headers["Retry-After"] == "1"
        assert sim.ask("POST", "/v1/hook-faults", b'{"action":"drop_after","count":1}')[0] == 200
        assert sim.ask("POST", "/hook/x", b"{}", headers) is None
        assert sim.ask("POST", "/hook/x", b"{}", headers)[0] == 200
        notes = [json.loads(line) for line in Path(f"{sim.book}.hooks").read_text().splitlines()]
        assert [note["status"] for note in notes] == [200, 503, 0, 200]
        assert abs(notes[0].pop("at_ms") - now_ms()) < WAIT_S * 1000
        assert notes[0] == {"path": "/hook/orders/1", "webhook_id": "msg_1", "webhook_timestamp": "1700000000",
                            "webhook_signature": "v1,abc=", "body_sha256": hashlib.sha256(b'{"a":1}').hexdigest(), "status": 200}
        assert sim.ask("GET", "/v1/stats")[1]["hooks"] == 4
