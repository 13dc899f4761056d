"""Everybody else who is there: producers of what the sweep's load has not, operators, and those who only look. Each is a thread that does the
next thing after a pause; an API that goes away is nothing to them, they come again."""
import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass

import requests
from ground import QUEUES, Ground
from stack import Client, new_key

FAR = "0 0 1 1 *"
LOOKS = ("/v1/jobs?limit=50", "/v1/jobs?state=dead", "/v1/dlq?limit=20", "/v1/dlq/groups", "/v1/queues", "/v1/workers", "/v1/scale", "/v1/audit?limit=20",
         "/v1/schedules?limit=20", "/v1/health", "/v1/slo", "/v1/live/history", "/readyz", "/ui/", "/openapi.json")


@dataclass(frozen=True)
class Promise:
    """An accepted job of class journal, and how it may end."""
    job: str
    what: str
    ends: tuple[str, ...]


class Crowd:
    def __init__(self, ground: Ground, seed: int):
        self.ground = ground
        self.promises: list[Promise] = []
        self.done: Counter = Counter()
        self.odd: list[str] = []  # answers that nobody should get
        self._stop = threading.Event()
        self._operators_stop = threading.Event()
        roles = ("api", "api_restarted")
        rng = random.Random(seed)
        steady = [(self.ask, role, 0.3, self._stop) for role in roles] + [(self.look, role, 2, self._stop) for role in roles]
        steady += [(self.follow, role, 1, self._stop) for role in roles] + [(self.live, role, 1, self._stop) for role in roles]
        steady += [(self.scrape, role, 5, self._stop) for role in roles] + [(self.operate, "api", 8, self._operators_stop)]
        self._threads = [(threading.Thread(target=self._run, args=(*each, random.Random(rng.getrandbits(64))), daemon=True), each[3]) for each in steady]

    def start(self) -> None:
        for thread, _ in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._join(self._stop)

    def stop_operators(self) -> None:
        self._operators_stop.set()
        self._join(self._operators_stop)
        client = Client(self.ground.api_url)
        for queue in QUEUES:
            client.post(f"/v1/queues/{queue}/resume", {"reason": "the end"}).raise_for_status()
            self.scale(client, queue, "auto", min_workers=2, max_workers=3)

    def _join(self, event: threading.Event) -> None:
        for thread, its in self._threads:
            if its is event:
                thread.join(60)

    def _run(self, act, role: str, pause_s: float, stop: threading.Event, rng: random.Random) -> None:
        client = Client(self.ground.roles[role].url)
        while not stop.wait(pause_s * (0.5 + rng.random())):
            try:
                act(client, rng)
                self.done[act.__name__] += 1
            except (requests.RequestException, ValueError):
                self.done[f"{act.__name__} cut off"] += 1
            except Exception as e:  # noqa: BLE001: judged at the end
                self.odd.append(f"{act.__name__}: {e!r}")

    def _accepted(self, answer: requests.Response) -> str | None:
        """The job's id; None: refused for now."""
        if answer.status_code == 202:
            return answer.json()["id"]
        if answer.status_code not in (429, 503):
            self.odd.append(f"{answer.status_code} {answer.text[:300]}")
        return None

    # Producers
    def ask(self, client: Client, rng: random.Random) -> None:
        rng.choices([self.echo, self.handled, self.snoozed, self.batch, self.cancelled], [3, 3, 2, 1, 2])[0](client, rng)

    def echo(self, client: Client, rng: random.Random) -> None:
        """Of class stream, without a key."""
        self._accepted(client.post("/v1/jobs", {"type": "demo.echo", "payload": {"n": rng.randrange(100)}}))

    def _post_ask(self, client: Client, rng: random.Random, what: str, payload: dict) -> None:
        """Of class journal with a key, or of class stream without one."""
        if rng.random() < 0.3:
            self._accepted(client.post("/v1/jobs", {"type": "soak.brief", "payload": payload}))
        elif job := self._accepted(client.post("/v1/jobs", {"type": "soak.ask", "payload": payload}, new_key())):
            self.promises.append(Promise(job, what, ("done",)))

    def handled(self, client: Client, rng: random.Random) -> None:
        self._post_ask(client, rng, "handled", {"answers": [[500, {}, ""]] * rng.randrange(2) + [[200, {}, '{"n":1}']]})

    def snoozed(self, client: Client, rng: random.Random) -> None:
        self._post_ask(client, rng, "snoozed", {"answers": [[202, {"Retry-After": str(rng.randrange(1, 4))}, ""], [200, {}, "{}"]]})

    def batch(self, client: Client, rng: random.Random) -> None:
        lines = [json.dumps({"type": "demo.note", "payload": {"text": "line"}, "key": new_key()}) for _ in range(rng.randrange(1, 20))]
        answer = client.ask("POST", "/v1/jobs:batch", data="\n".join(lines) + "\n", headers={"Content-Type": "application/x-ndjson"})
        for line in answer.text.splitlines() if answer.status_code == 200 else []:
            told = json.loads(line)
            if "id" in told:
                self.promises.append(Promise(told["id"], "line", ("done",)))

    def cancelled(self, client: Client, rng: random.Random) -> None:
        delay = rng.choice([0, 0, 200, 5000])
        body = {"type": "demo.note", "payload": {"text": "perhaps"}} | ({"delay_ms": delay} if delay else {})
        job = self._accepted(client.post("/v1/jobs", body, new_key()))
        if job:
            self.promises.append(Promise(job, "cancelled", ("cancelled", "done")))
            time.sleep(rng.choice([0, 0.05, 0.2]))
            client.delete(f"/v1/jobs/{job}")

    # Those who look
    def look(self, client: Client, rng: random.Random) -> None:
        answer = client.get(rng.choice(LOOKS))
        if answer.status_code >= 500 and answer.status_code != 503:
            self.odd.append(f"{answer.url}: {answer.status_code} {answer.text[:300]}")

    def scrape(self, client: Client, rng: random.Random) -> None:
        client.get("/metrics", headers=rng.choice([{}, {"Accept": "application/openmetrics-text; version=1.0.0"}]))

    def follow(self, client: Client, rng: random.Random) -> None:
        """A job's events to its end."""
        body = {"type": "demo.note", "payload": {"text": "followed"}, "delay_ms": rng.randrange(200, 4000)}
        job = self._accepted(client.post("/v1/jobs", body, new_key()))
        if job is None:
            return
        self.promises.append(Promise(job, "followed", ("done",)))
        names = [line for line in self._lines(client, f"/v1/jobs/{job}/events", 60, self._stop) if line.startswith("event: ")]
        if names and names[-1] == "event: done":
            self.done["followed to the end"] += 1

    def live(self, client: Client, rng: random.Random) -> None:
        """The dashboard's stream, which somebody leaves open for a while."""
        self.done["snapshots"] += sum(line.startswith("data: ") for line in self._lines(client, "/v1/live", rng.randrange(20, 90), self._stop))

    @staticmethod
    def _lines(client: Client, path: str, seconds: float, stop: threading.Event):
        end = time.monotonic() + seconds
        with client.get(path, stream=True, headers={"Accept": "text/event-stream"}, timeout=30) as answer:
            for line in answer.iter_lines(chunk_size=1):
                yield line.decode()
                if stop.is_set() or time.monotonic() > end:
                    return

    # Operators
    def operate(self, client: Client, rng: random.Random) -> None:
        act = rng.choices([self.pause, self.rescale, self.retry_dead, self.retry_one_queue, self.schedule, self.quiet], [2, 4, 2, 1, 3, 1])[0]
        act(client, rng)
        self.done[act.__name__] += 1

    def pause(self, client: Client, rng: random.Random) -> None:
        queue = rng.choice(QUEUES)
        client.post(f"/v1/queues/{queue}/pause", {"reason": "soak"})
        self._operators_stop.wait(2 + 5 * rng.random())
        while client.post(f"/v1/queues/{queue}/resume", {"reason": "soak"}).status_code != 200:
            time.sleep(0.5)

    @staticmethod
    def scale(client: Client, queue: str, workers: int | str, **bounds: int) -> None:
        client.ask("PUT", f"/v1/scale/{queue}", json={"workers": workers, "reason": "soak", **bounds})

    def rescale(self, client: Client, rng: random.Random) -> None:
        if rng.random() < 0.3:
            self.scale(client, rng.choice(QUEUES), "auto", min_workers=rng.randrange(1, 3), max_workers=3)
        else:
            self.scale(client, rng.choice(QUEUES), rng.randrange(1, 4))

    def retry_dead(self, client: Client, rng: random.Random) -> None:
        """They die again: they were made to."""
        found = client.post("/v1/bulk", {"op": "retry", "filter": {"type": "demo.fail"}}).json().get("matched", 0)
        if found:
            job = self._accepted(client.post("/v1/bulk", {"op": "retry", "filter": {"type": "demo.fail"}, "expect": min(found, 20), "reason": "soak"}, new_key()))
            if job:
                self.promises.append(Promise(job, "bulk", ("done",)))

    def retry_one_queue(self, client: Client, _rng: random.Random) -> None:
        client.post("/v1/dlq/default/retry", {"all": True, "limit": 5, "reason": "soak"})

    def schedule(self, client: Client, rng: random.Random) -> None:
        made = client.post("/v1/schedules", {"name": f"soak-{new_key()}", "cron": rng.choice([FAR, "* * * * *"]), "type": "demo.note", "payload": {"text": "at its time"}})
        if made.status_code != 201:
            return
        path = f"/v1/schedules/{made.json()['id']}"
        job = self._accepted(client.post(f"{path}/run", key=new_key()))
        if job:
            self.promises.append(Promise(job, "run now", ("done",)))
        while client.delete(path).status_code not in (200, 404):
            time.sleep(0.5)

    def quiet(self, client: Client, rng: random.Random) -> None:
        """A process begins nothing for a while."""
        workers = [p for p in client.get("/v1/workers").json()["items"] if p["role"] == "worker"]
        if workers:
            path = f"/v1/workers/{rng.choice(workers)['process']}"
            client.post(f"{path}/quiet", {"reason": "soak"})
            self._operators_stop.wait(2 + 3 * rng.random())
            client.post(f"{path}/resume", {"reason": "soak"})

    # What must have come of it
    def judge(self, check) -> None:
        states = dict(check.rows("SELECT id::text, state FROM platform.job"))
        notes = dict(check.rows("SELECT root_id::text, count(*) FROM custom.note GROUP BY 1"))
        lost = [(p.what, p.job, states.get(p.job)) for p in self.promises if states.get(p.job) not in p.ends]
        wrong = [(p.what, p.job) for p in self.promises if p.what in ("line", "followed", "cancelled", "run now")
                 and notes.get(p.job, 0) != (states.get(p.job) == "done")]
        kinds = Counter(p.what for p in self.promises)
        check.verdict.figures |= {f"others: {what}": n for what, n in sorted(kinds.items())} | {"others lost": len(lost), "others' effects wrong": len(wrong)}
        check.verdict.want(not lost, f"{len(lost)} jobs of others did not end as they should, first: {lost[:3]}")
        check.verdict.want(not wrong, f"{len(wrong)} jobs of others do not have the effect of their state, first: {wrong[:3]}")
        check.verdict.want(not self.odd, f"{len(self.odd)} answers that nobody should get, first: {self.odd[:2]}")
