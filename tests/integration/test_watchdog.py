"""A worker whose connections are there and bring nothing: within 15 s it claims again, or it has ended with a status that is not 0. One that has
none yet waits for them."""
import os
import subprocess
import time

import pytest

from observe import log_lines, log_size
from penstock_ops import ports
from penstock_ops.processes import clean_environment
from producer import enqueue_all
from proxied import ProxiedStack
from stack import BUILD, WAIT_S, Client, new_key

AGAIN_S = 15
ROUNDS = 100 if os.environ.get("TEST_FULL") else 1
BEATS_AT = 160  # in the slot table
SILENT_S = 3.0  # longer than a read may last: none of before brings the entry to nobody


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    made = ProxiedStack(tmp_path_factory.mktemp("watchdog"))
    try:
        yield made.start()
    finally:
        made.stop()


def begun(stack, job: str) -> int:
    return stack.sql("SELECT count(*) FROM custom.note WHERE root_id = %s", job)[0][0]


def accepted(client: Client) -> str:
    """A job that runs as soon as somebody claims. The API's connections were silent as well: until it has new ones it says 503."""
    found: list[str] = []

    def enqueue() -> bool:
        answer = client.post("/v1/jobs", {"type": "demo.tally", "payload": {}}, new_key())
        found.extend([answer.json()["id"]] if answer.status_code == 202 else [])
        return bool(found)

    assert ports.wait_until(enqueue, AGAIN_S)
    return found[0]


@pytest.mark.parametrize("way", ["swallow", "strand"])
def test_worker__its_connections_bring_nothing_then_it_claims_again_or_ends(stack, way):
    client, proxy = Client(stack.api.url), stack.proxies["redis"]
    enqueue_all(client, [{"type": "demo.tally", "payload": {}, "key": new_key()}])
    worker = stack.roles["worker"]
    took = []
    for _ in range(ROUNDS):
        since = log_size(worker.log)
        proxy.say(way)
        assert not ports.wait_until(lambda: False, SILENT_S)
        proxy.say("pass")
        start = time.monotonic()  # of a stranded connection nobody has been told yet
        job = accepted(client)

        def alive() -> bool:
            ended = [line for line in log_lines(worker.log, "worker.exited", since) if line["status"] != 0 or line["signal"] != 0]
            return begun(stack, job) > 0 or bool(ended)

        assert ports.wait_until(alive, AGAIN_S - (time.monotonic() - start))
        took.append(time.monotonic() - start)
    print(f"{way}: claims again after {max(took):.1f} s at most")


def test_worker__without_postgres_then_it_beats_and_waits_and_is_ready_when_that_is_back(stack, tmp_path):
    """What it beats is all that its supervisor sees: one that does not is ended after 15 s."""
    proxy, log, table = stack.proxies["postgres"], tmp_path / "waiting.log", os.memfd_create("slots")
    os.ftruncate(table, 1 << 20)
    beats = lambda: int.from_bytes(os.pread(table, 8, BEATS_AT), "little")
    proxy.close()
    with log.open("wb") as out:
        process = subprocess.Popen([str(BUILD / "penstock"), "worker-process", "--queue", "default", "--slot", "9", "--table-fd", str(table)],
                                   env={**clean_environment(), "PENSTOCK_CONFIG": str(stack.conf)}, pass_fds=(table,), stdout=out, stderr=out)
    try:
        assert ports.wait_until(lambda: log_lines(log, "worker.waiting"), WAIT_S)
        counted = beats()
        assert ports.wait_until(lambda: beats() > counted + 1, WAIT_S)
        assert process.poll() is None and not log_lines(log, "worker.ready")
    finally:
        proxy.open()
    try:
        assert ports.wait_until(lambda: log_lines(log, "worker.ready"), WAIT_S)
        assert len(log_lines(log, "worker.waiting")) == 1
    finally:
        process.terminate()
    assert process.wait(WAIT_S) == 0
