"""What ops/up and ops/test decide; servers stand in for the whole."""
import http.server
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from penstock_ops import Problem, down, first_order, ports, processes, suites, up
from penstock_ops.penstock import Api
from penstock_ops.redis_server import Redis

# ops/up, for which one Redis is everything.
SMALL_UP = """
import signal, sys
from pathlib import Path
from penstock_ops import up
from penstock_ops.redis_server import Redis
for sig in up.ENDINGS:  # whoever runs the tests in the background ignores some of them, and so would this
    signal.signal(sig, signal.default_int_handler if sig == signal.SIGINT else signal.SIG_DFL)
up.RUN = Path(sys.argv[1])
up.ADDRESSES = up.RUN / "addresses"
up.Plan = lambda: Redis(up.RUN)
up.bring_up = up.start
sys.exit(up.run(detach=False))
"""


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    tmp_path.chmod(0o700)
    run = tmp_path / "run"
    run.mkdir()
    for module in (up, down):
        monkeypatch.setattr(module, "RUN", run)
    monkeypatch.setattr(up, "ENV", run / "env")
    yield run
    for _, pid in processes.recorded(run):
        processes.end(run, pid, signal.SIGKILL, 5)


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_up__told_to_end_then_it_ends_its_servers(run_dir, sig):
    with subprocess.Popen([sys.executable, "-u", "-c", SMALL_UP, str(run_dir)], cwd=run_dir, stdout=subprocess.PIPE, text=True,
                          start_new_session=True) as child:
        for line in child.stdout:
            if line == "Ctrl-C ends it\n":
                break
        assert [role for role, _ in processes.recorded(run_dir)] == ["up", "redis"]
        os.kill(child.pid, sig)
        child.stdout.close()  # as a terminal that was closed: nobody reads on
        assert child.wait(20) == 0
    assert processes.recorded(run_dir) == []


def test_up__one_of_its_servers_is_gone_then_it_is_not_up_and_the_rest_is_ended(run_dir, monkeypatch):
    monkeypatch.setattr(up, "wanted", lambda: {"redis"})
    server = Redis(run_dir)
    server.start()
    assert up.is_up()
    monkeypatch.setattr(up, "wanted", lambda: {"redis", "mail"})
    assert not up.is_up()
    assert ports.wait_until(lambda: not server.is_running(), 5)


def test_up__wants_every_server_but_the_users_own(monkeypatch):
    ours = {"api", "scheduler", "worker", "redis", "postgres", "mail", "sim"}
    for kind in ("REDIS", "POSTGRES"):
        monkeypatch.delenv(f"PENSTOCK_{kind}_URL", raising=False)
    assert up.wanted() == ours
    monkeypatch.setenv("PENSTOCK_REDIS_URL", "redis://127.0.0.1:6379")
    assert up.wanted() == ours - {"redis"}


def test_up__first_order_does_not_run_then_it_stays_up_and_says_what_to_do(run_dir, monkeypatch, capsys):
    def place(*_):
        raise Problem("the first order still waits")

    monkeypatch.setattr(first_order, "place", place)
    up.place_first_order(SimpleNamespace(api=SimpleNamespace(url="", binary="penstock"), sim=SimpleNamespace(url="")))
    said = capsys.readouterr().err
    assert "still waits" in said and "queue resume" in said and str(run_dir / "env") in said


def test_up__environment_of_the_commands_is_private_and_for_a_shell(run_dir):
    odd = "postgresql://postgres:a'b$c d@127.0.0.1:1/x"
    plan = SimpleNamespace(conf=run_dir / "penstock.conf", api=SimpleNamespace(url="http://127.0.0.1:8080"),
                           postgres=SimpleNamespace(admin_url=odd), redis=SimpleNamespace(admin_url="redis://127.0.0.1"))
    up.Plan.write_env(plan)
    assert up.ENV.stat().st_mode & 0o777 == 0o600
    sourced = f". {shlex.quote(str(up.ENV))}; printf %s \"$PENSTOCK_ADMIN_POSTGRES_URL $PENSTOCK_URL\""
    assert subprocess.run(["sh", "-c", sourced], capture_output=True, text=True, check=True).stdout == f"{odd} {plan.api.url}"


class Yes(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # noqa: N802: the name is http.server's
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_) -> None:
        pass


@pytest.mark.parametrize("name", ["http_proxy", "ALL_PROXY"])
def test_proxy__is_not_asked_for_what_is_on_loopback(run_dir, monkeypatch, name):
    monkeypatch.setenv(name, f"http://{ports.HOST}:{ports.any_free()}")
    with http.server.ThreadingHTTPServer((ports.HOST, 0), Yes) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        listen = f"{ports.HOST}:{server.server_port}"
        assert Api(run_dir, run_dir, run_dir / "penstock.conf", listen).is_ready()
        assert first_order._curl([f"http://{listen}/"])[0] == 200  # noqa: SLF001: an order needs all of Penstock
        server.shutdown()
    assert not any(v.lower().endswith("_proxy") for v in suites.environment(suites.SUITES[0], [], Path(), False))


class Slow(Yes):
    """An API whose order is placed when its job has been asked for server.asks times; None: never."""

    def answer(self, status: int, body: dict) -> None:
        self.send_response(status)
        self.send_header("Location", "/v1/jobs/j")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def do_POST(self) -> None:  # noqa: N802
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(202, {"id": "j", "state": "waiting", "queue": "orders"})

    def do_GET(self) -> None:  # noqa: N802
        if self.path.startswith("/v1/orders/"):
            self.answer(200, {"order_id": "o", "timeline": []})
            return
        self.server.asked += 1
        placed = {"state": "done", "status": 201, "result": {"order_id": "o"}}
        self.answer(200, {"id": "j", "queue": "orders", **(placed if self.server.asked == self.server.asks else {"state": "waiting"})})


@pytest.mark.parametrize("asks", [3, None])
def test_first_order__slower_than_its_post_then_its_job_is_asked_until_the_deadline(monkeypatch, capsys, asks):
    monkeypatch.setattr(first_order, "SECONDS", 10 if asks else 1)
    with http.server.ThreadingHTTPServer((ports.HOST, 0), Slow) as server:
        server.asked, server.asks = 0, asks
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://{ports.HOST}:{server.server_port}"
        if asks:
            first_order.place(url, "http://sim")
            assert server.asked == asks and '"order_id": "o"' in capsys.readouterr().out
        else:
            with pytest.raises(Problem, match="still waits after 1 s, as job j of the queue orders"):
                first_order.place(url, "http://sim")
            assert server.asked > 1
        server.shutdown()


@pytest.mark.parametrize("path", ["tests/nothing", "tests/nothing.py"])
def test_suites__one_that_is_not_there_has_failed(path, capsys):
    result, _ = suites.judge(suites.Suite("nothing", "", path, 1, ()), Path(), False)
    assert suites.report({"lint": (suites.PASSED, 1), "nothing": (result, 0)}) == 1
