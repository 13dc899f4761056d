"""What goes wrong around the soak, and what is done to its processes: drawn by seed, one thing at a time."""
import contextlib
import os
import signal
import threading
import time

from ground import EXTRA, Ground
from sweep.chaos import Chaos

from penstock_ops import ports


class Trouble(Chaos):
    """Until settle() every process may be ended; from then on those that are to be watched are spared."""

    def __init__(self, ground: Ground, seed: int, pause_s: float):
        super().__init__(ground, seed)
        self.ground, self.pause_s = ground, pause_s
        self.spared: set[int] = set()
        self.odd: list[str] = []
        self._busy = threading.Lock()

    def settle(self, spared: set[int]) -> None:
        with self._busy:
            self.spared = spared

    def _run(self) -> None:
        actions = [(self.cut, 4), (self.swallow, 2), (self.stall, 2), (self.provider_away, 2), (self.sim_faults, 2), (self.mail_faults, 1),
                   (self.collector_away, 1), (self.term_worker, 2), (self.kill_worker, 2), (self.restart_api, 2), (self.kill_api, 1),
                   (self.hup_same, 1), (self.hup_other, 1), (self.hup_refused, 1)]
        while not self._stop.wait(self.pause_s * (0.5 + self.rng.random())):
            action = self.rng.choices([a for a, _ in actions], [w for _, w in actions])[0]
            self._count(action.__name__)
            try:
                with self._busy, contextlib.suppress(ProcessLookupError):
                    action()
            except Exception as e:  # noqa: BLE001: judged at the end
                self.odd.append(f"{action.__name__}: {e!r}")

    def provider_away(self) -> None:
        proxy = self.ground.proxies["sim"]
        proxy.close()
        self._stop.wait(2 + 6 * self.rng.random())
        proxy.open()

    def collector_away(self) -> None:
        self.ground.collector.stop()
        self._stop.wait(2 + 8 * self.rng.random())
        self.ground.collector.serve()

    def _end_worker(self, sig: int) -> None:
        pid = self._one([pid for pid in self.ground.worker_pids() if pid not in self.spared])
        if pid is not None:
            os.kill(pid, sig)

    def term_worker(self) -> None:
        self._end_worker(signal.SIGTERM)

    def kill_worker(self) -> None:
        self._end_worker(signal.SIGKILL)

    def _end_api(self, sig: int) -> None:
        """Its clients keep their connections; who keeps the roles starts it again."""
        role = self.ground.roles["api_restarted"]
        before = role.pid
        os.kill(before, sig)
        if not ports.wait_until(lambda: role.pid != before and role.is_running() and role.is_ready(), 60):
            raise RuntimeError("the API did not come back within 60 s")

    def restart_api(self) -> None:
        self._end_api(signal.SIGTERM)

    def kill_api(self) -> None:
        self._end_api(signal.SIGKILL)

    def hup_same(self) -> None:
        self.ground.hup("api", "api_restarted", "worker")

    def hup_other(self) -> None:
        """Other types, for a while. Worker processes leave for them: once some are watched the supervisor is not told."""
        told = ("api", "api_restarted") if self.spared else ("api", "api_restarted", "worker")
        self.ground.declare(EXTRA)
        self.ground.hup(*told)
        self._stop.wait(2 + 3 * self.rng.random())
        self.ground.declare()
        self.ground.hup(*told)
        time.sleep(0.5)  # the next thing may be another HUP

    def hup_refused(self) -> None:
        self.ground.declare("name = ")
        self.ground.hup("api", "api_restarted", "worker")
        time.sleep(0.5)
        self.ground.declare()
        self.hup_same()
