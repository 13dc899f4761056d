"""One Penstock as shipped whose workers can do little, so that the load and not the machine is what is too much: every job of the load takes
SERVICE_MS at an HTTP handler, and each queue has SLOTS of them at once."""
import asyncio
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from penstock_client import Client as ProtocolClient
from penstock_client import Header, digest, new_job_id

from penstock_ops import ports
from penstock_ops.processes import children_of
from stack import BUILD, Client, Stack

SERVICE_MS, SLOTS = 100, 4
QUEUES = ("notifications", "orders", "payments")
# They are made beside the shipped ones and limited like them: there, types that call other servers leave each other a quarter of the slots.
NEW_QUEUE = """INSERT INTO platform.queue (name, number, slots, max_drain_s, max_fill_pct)
    SELECT 'load.' || name, number + 100, {slots}, {drain}, max_fill_pct FROM platform.queue WHERE name = '{queue}';
    INSERT INTO platform.desired_workers (queue, workers, pinned, reason, author) VALUES ('load.{queue}', 1, true, 'load', 'test');"""
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
CONNECTIONS = 64


class Handler:
    """Answers every attempt 200 after SERVICE_MS."""

    def __init__(self):
        self.port = ports.any_free()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.start_server(self._serve, ports.HOST, self.port))
        self.loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(length)
                await asyncio.sleep(SERVICE_MS / 1000)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


@dataclass(frozen=True)
class Answer:
    due: float       # when it was to be sent; seconds
    answered: float
    status: int
    retry_after: int

    @property
    def took(self) -> float:
        return self.answered - self.due


class Flow:
    """Requests for one queue, sent at their times whatever happens to those before."""

    def __init__(self, stage: "Stage", queue: str, rate: float, seconds: float, body: str = ""):
        self.queue = queue
        body = body or f'{{"type":"load.{queue}","payload":{{}}}}'
        self.process = subprocess.Popen(
            [stage.build / "tests" / "bench" / "http_load", "open", "--port", str(stage.stack.api.port), "--rate", str(round(rate)),
             "--requests", str(round(rate) * round(seconds)), "--connections", str(CONNECTIONS), "--body", body],
            stdout=subprocess.PIPE, text=True)

    def answers(self) -> list[Answer]:
        out, _ = self.process.communicate()
        assert self.process.returncode == 0, f"http_load for {self.queue} failed"
        rows = (line.split() for line in out.splitlines())
        return [Answer(int(due) / 1e6, int(answered) / 1e6, int(status), int(after)) for due, answered, status, after in rows]


class Stage:
    def __init__(self, folder: Path, max_drain_s: dict[str, int]):
        self.build = BUILD
        self.handler = Handler()
        types = folder / "types.conf"
        types.write_text("types = (" + ",".join(
            f'{{ name = "load.{q}"; queue = "load.{q}"; handler = "http://{ports.HOST}:{self.handler.port}/"; }}' for q in QUEUES) + ");")
        self.stack = Stack(folder / "stack", {"handler.types": str(types), "handler.secret": SECRET, "handler.allow_cidr": "127.0.0.0/8"})
        self.stack.start(sql="".join(NEW_QUEUE.format(queue=q, slots=SLOTS, drain=max_drain_s.get(q, 0)) for q in QUEUES))
        self.client = Client(self.stack.api.url)

    def stop(self) -> None:
        try:
            self.stack.stop()
        finally:
            self.handler.stop()

    def door(self, queue: str) -> dict:
        return self.client.get(f"/v1/queues/load.{queue}").json()["admission"]

    def waiting(self, queue: str) -> int:
        return self.client.get(f"/v1/queues/load.{queue}").json()["depth"]["waiting"]

    def ended(self, queue: str, since: float, until: float) -> int:
        """Jobs that ended between two times, by Postgres's rows."""
        return self.stack.sql("SELECT count(*) FROM platform.job WHERE queue = %s AND state = 'done' AND finished_at >= to_timestamp(%s) "
                              "AND finished_at < to_timestamp(%s)", f"load.{queue}", since, until)[0][0]

    def delay(self, count: int, due_ms: int) -> None:
        """So many demo.noop, straight into the shard of the queue default."""
        shard = ProtocolClient(self.stack.redis_client(), "default", 0)
        for at in range(0, count, 1000):
            ids = [new_job_id(0, 0) for _ in range(min(1000, count - at))]
            shard._call("enqueue", "s d dh n i:0 i:1", 10 * count,
                        *(part for job in ids for part in (b"", digest(job), due_ms, Header(job, "demo.noop").encode(), b"{}")))

    def delayed(self) -> int:
        return ProtocolClient(self.stack.redis_client(), "default", 0).depth()["delayed"]

    def roles(self) -> dict[str, int]:
        """Every process of ours: its name and id."""
        worker = self.stack.roles["worker"].pid
        workers = {f"worker {i}": pid for i, pid in enumerate(children_of(worker))}
        return {"api": self.stack.api.pid, "scheduler": self.stack.roles["scheduler"].pid, "supervisor": worker, **workers}


def rss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


class Watch:
    """The memory of every role, twice a second."""

    def __init__(self, stage: Stage):
        self.stage, self.rss = stage, []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        pids = self.stage.roles()
        while not self._over.wait(0.5):
            self.rss.append((time.time(), {name: rss_kib(pid) for name, pid in pids.items()}))

    def end(self) -> None:
        self._over.set()
        self._thread.join()
