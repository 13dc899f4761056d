"""Jobs in bulk, and a producer at a steady rate that repeats with the same key until it is answered, as producers should."""
import json
import threading
import time

import requests

from stack import WAIT_S, Client, new_key

BATCH = 100


def batch_lines(jobs: list[dict]) -> bytes:
    return "".join(json.dumps(job) + "\n" for job in jobs).encode()


def post_batch(client: Client, jobs: list[dict]) -> list[dict]:
    """The answer's lines. Each job has its key."""
    answer = client.ask("POST", "/v1/jobs:batch", data=batch_lines(jobs), headers={"Content-Type": "application/x-ndjson"})
    if answer.status_code != 200:
        return [{"status": answer.status_code}] * len(jobs)
    return [json.loads(line) for line in answer.text.splitlines()]


def job(job_type: str, delay_ms: int = 0) -> dict:
    key = new_key()
    payload = {"text": key} if job_type == "demo.note" else {}
    return {"type": job_type, "payload": payload, "key": key, **({"delay_ms": delay_ms} if delay_ms else {})}


def enqueue_all(client: Client, jobs: list[dict]) -> list[str]:
    """Their ids."""
    ids = []
    for at in range(0, len(jobs), BATCH):
        lines = post_batch(client, jobs[at : at + BATCH])
        assert {line["status"] for line in lines} == {202}, lines[:1]
        ids += [line["id"] for line in lines]
    return ids


class Producer(threading.Thread):
    """So many jobs a second of each of these types, in batches ten times a second."""

    def __init__(self, client: Client, per_second: int, types: tuple[str, ...]):
        super().__init__(daemon=True)
        self.client, self.per_second, self.types = client, per_second, types
        self.accepted: list[tuple[dict, str]] = []  # job, its id
        self._over = threading.Event()

    def keys(self, job_type: str) -> list[str]:
        return [made["key"] for made, _ in self.accepted if made["type"] == job_type]

    def ids(self, job_type: str) -> list[str]:
        return [job_id for made, job_id in self.accepted if made["type"] == job_type]

    def stop(self) -> None:
        self._over.set()
        self.join(WAIT_S)
        assert not self.is_alive()

    def run(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            self._send([job(t) for t in self.types for _ in range(self.per_second // 10)])
            due += 0.1
            self._over.wait(max(0.0, due - time.monotonic()))

    def _send(self, jobs: list[dict]) -> None:
        left = jobs
        while left:
            try:
                lines = post_batch(self.client, left)
            except requests.RequestException:
                continue
            self.accepted += [(made, line["id"]) for made, line in zip(left, lines) if line["status"] == 202]
            left = [made for made, line in zip(left, lines) if line["status"] != 202]
            if left:
                self._over.wait(0.2)
