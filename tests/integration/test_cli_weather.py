"""The operators' commands when servers are ill: what an API may answer, and what penstock doctor finds."""
import contextlib
import json
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from penstock_ops import ports
from stack import Cli, Said, Stack, UUID, cli_of


class Answer(BaseHTTPRequestHandler):
    """Answers everything in one way, server.answer: (status, body), or None to close at once."""

    def handle_one(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.answer is None:
            self.close_connection = True
            return
        status, body = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = handle_one

    def log_message(self, *_) -> None:
        pass


@contextlib.contextmanager
def answering(answer):
    server = ThreadingHTTPServer((ports.HOST, 0), Answer)
    server.answer = answer
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield Cli({"PENSTOCK_URL": f"http://{ports.HOST}:{server.server_port}/"})
    finally:
        server.shutdown()
        server.server_close()


def problem(status: int, **members) -> tuple[int, bytes]:
    return status, json.dumps({"title": "Bad weather", "status": status, "code": "weather", "detail": "line 1\nline 2",
                               "hint": "wait", **members}).encode()


@pytest.mark.parametrize(("answer", "code"), [
    (problem(400), 65), (problem(413), 65), (problem(415), 65), (problem(422), 65), (problem(401), 77), (problem(403), 77),
    (problem(404), 66), (problem(408), 75), (problem(409), 1), (problem(409, retryable=True), 75), (problem(412), 1),
    (problem(429), 75), (problem(500), 70), (problem(500, retryable=True), 75), (problem(503), 75),
    ((200, b"<html>hello</html>"), 76), ((200, b""), 76), ((404, b"not here"), 76), ((302, b""), 76), ((500, b"oops"), 76),
    ((401, b"who?"), 77), ((502, b"bad gateway"), 75), ((503, b""), 75), (None, 75),
])
def test_each_answer_has_its_exit_code(answer, code):
    with answering(answer) as cli:
        said = cli("queue", "list", code=code)
        assert said.out == "" and said.err.count("\n") == 1
        if answer and b"Bad weather" in answer[1]:
            assert "Bad weather: line 1 line 2; wait" in said.err
        said = cli("enqueue", "demo.note", code=code)
        assert bool(re.search(rf"repeat it with --key {UUID}\n$", said.err)) == (code in (70, 75, 76))


def test_retry_after_and_trace_are_shown():
    with answering(problem(503, retry_after_seconds=17, trace_id="0af7651916cd43dd8448eb211c80319c")) as cli:
        said = cli("job", "get", "x", code=75)
        assert "Retry-After: 17 s" in said.err and "trace 0af7651916cd43dd8448eb211c80319c" in said.err


def test_an_acceptance_without_an_id_is_none():
    with answering((202, b"{}")) as cli:
        assert "has no id" in cli("enqueue", "demo.note", code=76).err


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
def test_no_proxy_is_asked(name):
    """It could read the key."""
    with answering((200, b'{"items":[]}')) as cli:
        cli("queue", "list", **{name: f"http://{ports.HOST}:{ports.any_free()}"})


def test_a_silent_server_is_a_timeout():
    with socket.create_server((ports.HOST, 0)) as silent:
        cli = Cli({"PENSTOCK_URL": f"http://{ports.HOST}:{silent.getsockname()[1]}"})
        cli("queue", "list", "--timeout", "300ms", code=75)


def test_health_of_an_api_that_takes_no_work():
    body = {"status": "not_ready", "process": "h:1", "accepts": {"journal": False, "stream": False},
            "degraded": ["postgres", "redis"], "checks": [], "version": "0", "uptime_seconds": 90}
    with answering((200, json.dumps(body).encode())) as cli:
        said = cli("health", code=75)
        assert said.rows[1] == ["h:1", "not_ready", "false", "false", "postgres,redis", "0", "90s"]


# ---- doctor ----


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """With all roles."""
    made = Stack(tmp_path_factory.mktemp("whole"))
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """With an API alone. What its tests do to it grows worse; the last leaves it broken."""
    made = Stack(tmp_path_factory.mktemp("bare"))
    try:
        yield made.start(roles=())
    finally:
        made.stop()


def finds(cli: Cli, code: int, **env: str) -> dict[str, str]:
    """State by name, from the lines as well as from the JSON; each finding says what to do, or why."""
    lines = [line.split(maxsplit=2) for line in cli("doctor", code=code, **env).out.splitlines()]
    answer = cli("doctor", "-o", "json", code=code, **env).json
    assert answer["ok"] == (code == 0)
    found = {name: state for state, name, _ in lines}
    assert list(found) == [item["name"] for item in answer["items"]]
    quiet = [line.split()[1] for line in cli("doctor", "-q", code=code, **env).out.splitlines()]
    assert set(quiet) <= set(found)
    return found


def bad(found: dict[str, str], state: str = "FAIL") -> set[str]:
    return {name for name, s in found.items() if s == state}


def failing(cli: Cli, **env: str) -> set[str]:
    """The same, by one call."""
    return {item["name"] for item in cli("doctor", "-o", "json", code=1, **env).json["items"] if item["state"] == "FAIL"}


def test_doctor_finds_a_healthy_penstock_healthy(whole):
    cli = cli_of(whole)
    assert ports.wait_until(lambda: cli("doctor", "-q", code=None) == Said(0, "", ""), 20), cli("doctor").out
    found = finds(cli, 0)
    wanted = {"settings", "postgres.api", "postgres.worker", "postgres.scheduler", "postgres.clock", "postgres.orders",
              "postgres.payments", "postgres.notifications", "postgres.custom", "redis.scheduler", "redis.version", "redis.memory",
              "redis.appendonly", "redis.clock", "redis.api", "redis.functions", "redis.epoch", "redis.worker", "scheduler", "worker",
              "worker.default", "api.ready", "api.key"}
    assert set(found) >= wanted and not bad(found) and not bad(found, "WARN")


def test_doctor_when_servers_are_away(bare):
    cli = cli_of(bare)
    bare.redis.stop()
    found = finds(cli, 1)
    assert "redis.scheduler" in bad(found) and "postgres.api" not in bad(found)
    bare.postgres.stop()
    assert {"postgres.server", "redis.scheduler"} <= failing(cli)
    found = finds(cli, 78, PENSTOCK_REDIS_URK="x")
    assert found == {"settings": "FAIL"}
    bare.postgres.start()
    bare.redis.start()
    assert ports.wait_until(bare.api.is_ready, 10)


def test_doctor_names_what_is_wrong(bare):
    cli, redis = cli_of(bare), bare.redis_client()
    silent = {"scheduler", "worker", "worker.default", "worker.orders", "worker.payments", "worker.notifications"}
    found = finds(cli, 1)
    assert bad(found) == silent and "redis.epoch" in bad(found, "WARN")
    for name, value, check in (("maxmemory-policy", "allkeys-lru", "redis.memory"), ("appendonly", "no", "redis.appendonly")):
        before = redis.config_get(name)[name]
        redis.config_set(name, value)
        assert check in failing(cli)
        redis.config_set(name, before)
    bare.sql("ALTER ROLE penstock_api SET synchronous_commit = off")
    assert "postgres.durability" in failing(cli)
    bare.sql("ALTER ROLE penstock_api RESET ALL")
    redis.function_flush()
    assert "redis.functions" in failing(cli)
    bare.sql("REVOKE SELECT ON platform.job FROM penstock_worker")
    bare.sql("DROP TABLE orders.inbox CASCADE")
    found = finds(cli, 1)
    assert "postgres.worker" in bad(found) and "postgres.orders" not in found, "one line is enough where migrate is needed"
    bare.sql("GRANT SELECT ON platform.job TO penstock_worker")
    assert "postgres.orders" in failing(cli)
    bare.sql("ALTER ROLE penstock_payments PASSWORD 'other'")
    redis.acl_deluser("penstock_worker")
    assert {"postgres.payments", "redis.worker"} <= failing(cli)
    assert "api.ready" in failing(cli, PENSTOCK_URL=f"http://{ports.HOST}:{ports.any_free()}")


# ---- a wait ----


def test_a_wait_outlives_the_api(whole):
    """The job was accepted; that the API is away for a moment changes nothing."""
    cli = cli_of(whole)
    whole.roles["worker"].stop()
    done = []
    waiting = threading.Thread(target=lambda: done.append(cli("enqueue", "demo.note", "-d", '{"text":"x"}', "--wait", "60s")))
    waiting.start()
    assert ports.wait_until(lambda: whole.sql("SELECT id FROM platform.job WHERE state = 'waiting'"), 20)
    whole.api.restart()
    whole.roles["worker"].start()
    waiting.join(70)
    assert done and re.fullmatch(rf"job/{UUID} done\n", done[0].out)
