"""Under a service manager: what the roles tell it, the watchdog, and an API that restarts on a socket that its parent holds."""
import http.client
import os
import random
import select
import signal
import socket
import threading

import pytest

from managed import HeldApi, ManagedRole, Manager
from penstock_ops import ports
from penstock_ops.ports import wait_until
from stack import BUILD, PLAIN_BUILD, Client, Stack, new_key

REQUESTS = 10_000
CLIENTS = 16
RESTARTS_LEAST = 3


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Without sanitizers: the load is what this is about."""
    made = Stack(tmp_path_factory.mktemp("stack"), build=PLAIN_BUILD)
    try:
        # Nobody works here: paused, so that the API does not refuse what would not be run in time.
        yield made.start(roles=(), sql="UPDATE platform.queue SET paused = true WHERE name = 'default'")
    finally:
        made.stop()


@pytest.fixture
def manager(tmp_path):
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


@pytest.fixture
def held(stack):
    made = HeldApi(stack.dir / "held", PLAIN_BUILD, stack.conf)
    yield made
    made.stop()
    made.socket.close()


# ---- what is told ----

@pytest.mark.parametrize("name, ready", [("scheduler", "leads"), ("worker", "worker processes")])
def test_role__tells_its_states_and_feeds_the_watchdog(stack, manager, tmp_path, name, ready):
    role = ManagedRole(tmp_path, BUILD, name, stack.conf, manager=manager, watchdog_ms=900)
    role.start()
    try:
        assert manager.hears(READY="1")
        assert wait_until(lambda: any(ready in m.get("STATUS", "") for m in manager.listen()), 20), manager.heard
        manager.heard.clear()
        assert all(manager.hears(WATCHDOG="1") for _ in range(3))
        if name == "worker":
            os.kill(role.pid, signal.SIGHUP)
            assert manager.hears(RELOADING="1") and manager.hears(READY="1")
        environments = [open(f"/proc/{pid}/environ", "rb").read() for pid in children(role.pid)]
        assert not any(b"NOTIFY_SOCKET" in text for text in environments)  # a child must not speak for it
    finally:
        assert role.stop()
    assert manager.hears(STOPPING="1")


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(child) for child in f.read().split()]


def test_role__without_postgres_ready_and_says_what_it_waits_for(stack, manager, tmp_path):
    """Else a machine whose Postgres comes up late would start it again and again."""
    nowhere = {"PENSTOCK_POSTGRES_URL": f"postgresql://{ports.HOST}:1/penstock"}
    role = ManagedRole(tmp_path, BUILD, "scheduler", stack.conf, nowhere, manager=manager)
    role.start()
    try:
        assert manager.hears(READY="1", STATUS="waits for Postgres")
    finally:
        assert role.stop()


def test_role__that_stands_still_is_silent(stack, manager, tmp_path):
    role = ManagedRole(tmp_path, BUILD, "scheduler", stack.conf, manager=manager, watchdog_ms=300)
    role.start()
    try:
        assert manager.hears(WATCHDOG="1")
        role.pause()
        manager.listen()
        manager.heard.clear()
        assert not manager.hears(seconds=2, WATCHDOG="1")
    finally:
        role.resume()
        assert role.stop()


# ---- sockets ----

def test_api__on_an_inherited_socket_beyond_loopback_asks_for_a_key_whatever_the_setting_says(stack, tmp_path):
    """api.listen is not what it listens on: the socket's address decides who comes in without a key."""
    api = HeldApi(tmp_path, PLAIN_BUILD, stack.conf, listen=f"0.0.0.0:{ports.any_free()}")
    env = {**api.environment(), "PENSTOCK_API_LISTEN": f"{ports.HOST}:{api.port}"}
    api.environment = lambda: env
    try:
        api.run_dir.joinpath("log").mkdir(exist_ok=True)
        child = api._spawn()
        assert child.wait(30) == 78  # no key at all: as beyond loopback
    finally:
        api.socket.close()


def test_api__given_no_socket_where_one_is_promised_then_it_does_not_start(stack, tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wrong:
        api = HeldApi(tmp_path, PLAIN_BUILD, stack.conf)
        api.socket.close()
        api.socket = wrong
        api.log.parent.mkdir(exist_ok=True)
        assert api._spawn().wait(30) == 1
        assert "one listening TCP socket" in api.log.read_text(encoding="utf-8")


# ---- a restart under load ----

class Load:
    """Clients that never repeat a request: each must be answered. Half of them keep their connections, as a pool does: one that has ended is
    not used again."""

    def __init__(self, port: int):
        self.port = port
        self.left = REQUESTS
        self.lock = threading.Lock()
        self.bad: list[str] = []
        self.answered = self.reused = self.told_to_close = 0
        self.threads = [threading.Thread(target=self.run, args=(i % 2 == 0,)) for i in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def take(self) -> bool:
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def run(self, keeps: bool) -> None:
        connection = None
        while self.take():
            if connection is not None and select.select([connection.sock], [], [], 0)[0]:
                connection.close()
                connection = None
            reused = connection is not None
            connection = connection or http.client.HTTPConnection(ports.HOST, self.port, timeout=60)
            try:
                status, closes, body = self.ask(connection, keeps)
            except OSError as e:
                self.note(f"{type(e).__name__} {e}, reused {reused}", reused, False)
                connection = None
                continue
            self.note("" if status in (200, 202) else f"{status} {body}", reused, closes)
            if closes or not keeps:
                connection.close()
                connection = None

    def ask(self, connection: http.client.HTTPConnection, keeps: bool) -> tuple[int, bool, bytes]:
        headers = {} if keeps else {"Connection": "close"}
        if random.random() < 0.1:
            headers |= {"Content-Type": "application/json", "Idempotency-Key": new_key()}
            connection.request("POST", "/v1/jobs", '{"type":"demo.note","payload":{"text":"x"}}', headers)
        else:
            connection.request("GET", "/v1/queues/default", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Connection") == "close", answer.read()

    def note(self, bad: str, reused: bool, closes: bool) -> None:
        with self.lock:
            self.answered += not bad
            self.reused += reused
            self.told_to_close += closes
            if bad:
                self.bad.append(bad)

    def is_over(self) -> bool:
        return not any(thread.is_alive() for thread in self.threads)


def test_api__restarts_under_load_and_refuses_no_request(held):
    held.start()
    load = Load(held.port)
    restarts = 0
    while not load.is_over():
        before = load.left
        wait_until(lambda: load.is_over() or load.left < before - REQUESTS // 20, 60)
        if not load.is_over():
            assert held.stop() and held.exit_code() == 0
            held.start()
            restarts += 1
    assert load.bad == []
    assert load.answered == REQUESTS and restarts >= RESTARTS_LEAST, (load.answered, restarts)
    assert load.reused > REQUESTS // 10 and load.told_to_close > 0  # kept connections were there, and were ended by an answer
    print(f"{restarts} restarts, {load.answered} answers, {load.reused} on kept connections")


def test_api__restarted_without_a_held_socket_refuses(stack, tmp_path):
    """The control: who comes between two processes finds nobody."""
    api = HeldApi(tmp_path, PLAIN_BUILD, stack.conf)
    api.start()
    api.socket.close()
    api.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((ports.HOST, api.port), 5)


def test_api__draining_answers_the_one_who_waits(stack, held):
    held.start()
    client = Client(held.url)
    job = client.enqueue("demo.note", {"text": "nobody runs it"})
    found = []
    waiter = threading.Thread(target=lambda: found.append(Client(held.url).get(f"/v1/jobs/{job['id']}?wait=60s")))
    waiter.start()
    assert wait_until(lambda: client.get("/v1/health").json()["requests_waiting"] == 1, 20)
    os.kill(held.pid, signal.SIGTERM)
    waiter.join(30)
    assert found[0].status_code == 200 and found[0].json()["state"] == "waiting"
    assert wait_until(lambda: not held.is_running(), 20) and held.exit_code() == 0
