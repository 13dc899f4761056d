"""A worked incident: tests/browser/incident.py [--shots FOLDER]. Orders come in, the payment provider begins to fail, an operator finds out why.

Prometheus scrapes and judges as it is shipped (15 s, 30 s, for: 1m), so the seconds are those of an installation. Prints what happened when;
exits with 1 when an alert, a click or a figure is not what docs/guides/incident.md tells. About five minutes.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "ops" / "lib"), str(ROOT / "tests" / "integration")]

import requests  # noqa: E402

from penstock_ops import RUN, Problem, ports  # noqa: E402
from penstock_ops.prometheus_server import Prometheus  # noqa: E402
from run import NODE  # noqa: E402
from stack import Client, Stack, new_key, order  # noqa: E402

RATE, CALM_S, ALERT_S, DRAIN_S = 5, 30, 300, 120
REFUSED = (503,)
BUILD = Path(os.environ.get("TEST_BUILD", ROOT / "build"))


class Orders:
    """Comes in at RATE a second until it is stopped."""

    def __init__(self, url: str):
        self.client, self.answers, self.over = Client(url), [], threading.Event()
        self.refused_at, self.why = 0.0, ""
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        while not self.over.wait(1 / RATE):
            answer = self.client.post("/v1/orders", order(), new_key(), headers={"Prefer": "respond-async"})
            self.answers.append((answer.status_code, answer.json().get("id", "")))
            if answer.status_code in REFUSED and not self.refused_at:
                self.refused_at, self.why = time.monotonic(), f'{answer.json()["detail"]} (Retry-After: {answer.headers["Retry-After"]})'

    def stop(self) -> list[tuple[int, str]]:
        self.over.set()
        self.thread.join()
        return self.answers


class Incident:
    def __init__(self, folder: Path, shots: str):
        self.stack, self.shots, self.began = Stack(folder, build=BUILD), shots, 0.0
        self.said: list[str] = []

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:7.1f} s  {text}" if self.began else f"          {text}", flush=True)

    def until(self, what: str, condition, seconds: float):
        if not ports.wait_until(condition, seconds):
            raise Problem(f"never: {what}")
        self.say(what)

    def provider(self, *rules: dict) -> None:
        requests.post(self.stack.sim.url + "/v1/faults", json={"rules": rules}, timeout=5).raise_for_status()

    def penstock(self, *arguments: str) -> str:
        done = subprocess.run([str(BUILD / "penstock"), *arguments], capture_output=True, text=True, check=False,
                              env={**os.environ, "PENSTOCK_CONFIG": str(self.stack.conf), "PENSTOCK_URL": self.stack.api.url})
        self.say(f"$ penstock {' '.join(arguments)}")
        print("".join(f"           | {line}\n" for line in (done.stdout + done.stderr).splitlines() if "orders" in line or "NAME" in line), end="", flush=True)
        return done.stdout

    def browse(self, part: str, job: str = "") -> None:
        """What the operator does in the browser, with the clicks and seconds it took."""
        scene = {"url": self.stack.api.url, "shots": self.shots, "part": part, "job": job}
        done = subprocess.run([NODE, str(ROOT / "tests" / "browser" / "incident.mjs")], env={**os.environ, "SCENE": json.dumps(scene)},
                              capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            self.say(line)
        if done.returncode != 0:
            raise Problem(f"the browser, {part}: {done.stderr[-2000:]}")

    def firing(self, prometheus: Prometheus) -> set[str]:
        return {alert["labels"]["alertname"] for alert in prometheus.ask("alerts")["alerts"] if alert["state"] == "firing"}

    def is_open(self, client: Client) -> bool:
        return any("payments" in process.get("circuit_why", {}) for process in client.get("/v1/workers").json()["items"])

    def run(self) -> None:
        stack = self.stack.start()
        prometheus = Prometheus(stack.dir, stack.api.url.removeprefix("http://"), as_shipped=True)
        prometheus.start()
        orders = Orders(stack.api.url)
        try:
            time.sleep(CALM_S)
            self.say(f"{len(orders.answers)} orders so far, {RATE} a second; alerts firing: {sorted(self.firing(prometheus))}")
            self.began = time.monotonic()
            self.provider({"action": "error500"})
            self.say("the payment provider answers every call with 500")
            client = Client(stack.api.url)
            self.until("its circuit opens: jobs that need it wait", lambda: self.is_open(client), ALERT_S)
            self.until("alert CircuitOpen fires", lambda: "CircuitOpen" in self.firing(prometheus), ALERT_S)
            if orders.refused_at:
                self.say(f"(since second {orders.refused_at - self.began:.0f} orders are refused: {orders.why})")
            self.browse("cause")
            self.penstock("worker", "list", "-o", "wide")
            self.penstock("doctor")
            self.penstock("queue", "get", "orders")
            self.say(f"alerts firing: {sorted(self.firing(prometheus))}")
            self.provider()
            mended = time.monotonic()
            self.say("the provider is mended")
            self.until("the circuit is closed", lambda: not self.is_open(client), DRAIN_S)
            answers = orders.stop()
            ids = [job for status, job in answers if status == 202]
            refused = sum(status in REFUSED for status, _ in answers)
            if len(ids) + refused != len(answers):
                raise Problem(f"answers: {sorted({status for status, _ in answers})}")
            self.say(f"{len(answers)} orders were asked for, {refused} of them refused with Retry-After while the queue was too long")
            self.until(f"the other {len(ids)} are done",
                       lambda: stack.sql("SELECT count(*) FROM platform.job WHERE type = 'order.place' AND state <> 'done'")[0][0] == 0, DRAIN_S)
            self.say(f"{time.monotonic() - mended:.1f} s after it was mended")
            self.until("alert CircuitOpen is over", lambda: "CircuitOpen" not in self.firing(prometheus), ALERT_S)
            self.browse("after")
            self.penstock("dlq", "groups")
            booked = [json.loads(line) for line in stack.sim.book.read_text(encoding="utf-8").splitlines()]
            charged = [line["reference"] for line in booked if line["op"] == "authorize"]
            if len(charged) != len(set(charged)) or len(charged) != len(ids):
                raise Problem(f"{len(charged)} authorizations of {len(set(charged))} payments for {len(ids)} orders")
            self.say(f"{len(charged)} authorizations in the provider's book, one for each order")
        finally:
            orders.stop()
            prometheus.stop()
            stack.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shots", default="", help="folder for pictures")
    shots = parser.parse_args().shots
    (RUN / "test").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RUN / "test", prefix="incident-") as folder:
        try:
            Incident(Path(folder), shots).run()
        except Problem as e:
            print(f"incident: {e}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
