"""Faults, drawn by seed. Each returns what it did, for the report; Loss windows say when stream-class jobs may be lost by contract."""
import contextlib
import os
import random
import signal
import threading
import time
from dataclasses import dataclass

from .cluster import Cluster


@dataclass
class Window:
    """Stream-class jobs acknowledged in it may be gone: the tail of the AOF, or everything."""
    begin: float
    end: float


class Chaos:
    def __init__(self, cluster: Cluster, seed: int):
        self.cluster = cluster
        self.rng = random.Random(seed)
        self.lossy_since = 0.0  # monotonic; 0: Redis is killed, but neither wiped nor cut
        self.paused = threading.Event()
        self.done: dict[str, int] = {}
        self.windows: list[Window] = []
        self.kills: list[tuple[float, int]] = []  # of Redis: when, and what it held unwritten shortly before
        self._favoured: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)
        for proxy in self.cluster.proxies.values():
            proxy.say("pass")

    def favour(self, names: set[str]) -> None:
        """Faults without which the failpoints armed now are not met."""
        self._favoured = names

    def _count(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1

    def _run(self) -> None:
        faults = [(self.stop_worker, 4), (self.kill_worker, 5), (self.stop_role, 2), (self.kill_redis, 1), (self.stop_postgres, 1),
                  (self.swallow, 4), (self.stall, 1), (self.cut, 2), (self.sim_faults, 3), (self.mail_faults, 2), (self.kill_role, 1)]
        losses = [(self.cut_log, 1), (self.wipe, 1)]
        actions, weights = [f[0] for f in faults], [f[1] for f in faults]
        while not self._stop.wait(0.5 + self.rng.random()):
            if self.paused.is_set():
                continue
            if self.lossy_since and losses:
                actions += [f[0] for f in losses]
                weights += [f[1] for f in losses]
                losses = []
            favoured = [f for f in actions if f.__name__ in self._favoured]
            action = self.rng.choice(favoured) if favoured and self.rng.random() < 0.5 else self.rng.choices(actions, weights)[0]
            self._count(action.__name__)
            with contextlib.suppress(ProcessLookupError):
                action()

    def _one(self, pids: list[int]) -> int | None:
        return self.rng.choice(pids) if pids else None

    def stop_worker(self) -> None:
        """Longer than its lease: somebody else runs its jobs, then it wakes and goes on."""
        pid = self._one(self.cluster.worker_pids())
        if pid is not None:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.6 + self.rng.random())
            os.kill(pid, signal.SIGCONT)

    def kill_worker(self) -> None:
        pid = self._one(self.cluster.worker_pids())
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    def stop_role(self) -> None:
        role = self.cluster.roles[self.rng.choice(["api", "scheduler"])]
        if role.is_running():
            os.kill(role.pid, signal.SIGSTOP)
            time.sleep(0.3 + self.rng.random())
            os.kill(role.pid, signal.SIGCONT)

    def kill_role(self) -> None:
        self.cluster.kill_role(self.rng.choice(list(self.cluster.roles)))

    def kill_redis(self) -> None:
        """A kill costs nothing that was written; but while an fsync is slow Redis keeps what it has answered in its own memory, for up to two
        seconds (flushAppendOnlyFile in its aof.c), and says so in aof_buffer_length."""
        info = self.cluster.redis_do("INFO", "persistence")
        held = int(info.split("aof_buffer_length:")[1].split()[0])
        begin = time.monotonic() - 2
        self.cluster.redis.kill9()
        self.kills.append((round(time.monotonic(), 1), held))
        if held:
            self.windows.append(Window(begin, time.monotonic()))
        time.sleep(self.rng.random() * 0.5)
        self.cluster.redis.start()

    def stop_postgres(self) -> None:
        """Immediate: whatever was in mid-COMMIT is decided by what reached the log."""
        self.cluster.postgres.stop(signal.SIGQUIT)
        self.cluster.postgres.start()

    def swallow(self) -> None:
        proxy = self.cluster.proxies[self.rng.choice(list(self.cluster.proxies))]
        proxy.say("swallow")
        time.sleep(0.1 + self.rng.random() * 0.4)
        proxy.say("pass")
        proxy.say("cut")  # answers that were dropped must not be taken for those of later requests

    def stall(self) -> None:
        proxy = self.cluster.proxies[self.rng.choice(list(self.cluster.proxies))]
        proxy.say("stall")
        time.sleep(0.5 + self.rng.random() * 1.5)
        proxy.say("pass")

    def cut(self) -> None:
        self.cluster.proxies[self.rng.choice(list(self.cluster.proxies))].say("cut")

    def sim_faults(self) -> None:
        rules = [{"op": self.rng.choice(["authorize", "capture", "void", "refund"]),
                  "action": self.rng.choice(["drop_before", "drop_after", "drop_after", "delay", "error500"]),
                  "ms": self.rng.randrange(50, 2500), "probability": 0.5, "count": self.rng.randrange(1, 10)} for _ in range(3)]
        post_json(self.cluster.sim.url + "/v1/faults", {"rules": rules, "seed": self.rng.randrange(1 << 30)})

    def mail_faults(self) -> None:
        self.cluster.mail.misbehave(self.rng.choice(["451", "lost-before", "lost-after"]))
        time.sleep(0.3)
        self.cluster.mail.misbehave()

    def cut_log(self) -> None:
        begin = time.monotonic()
        self.cluster.cut_redis_log(self.rng)
        # Everything whose bytes were cut; at the sweep's rate 200 kB are some seconds.
        self.windows.append(Window(max(self.lossy_since, begin - 30), time.monotonic()))

    def wipe(self) -> None:
        self.cluster.redis_do("FLUSHALL")
        self.windows.append(Window(self.lossy_since, time.monotonic()))


def post_json(url: str, body: dict) -> None:
    import json
    import urllib.request
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5):
        pass
