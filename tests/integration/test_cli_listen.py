"""penstock listen: events of jobs as they happen, on the terminal and posted to an endpoint, signed."""
import base64
import contextlib
import hashlib
import hmac
import json
import re
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from penstock_ops import ports
from stack import BUILD, WAIT_S, enqueued
from test_cli_weather import answering

LATER = ("enqueue", "demo.note", "-d", '{"text":"x"}', "--delay", "1h")


class Listener:
    """Its lines, read by a thread of their own."""

    def __init__(self, cli, *words: str):
        self.process = subprocess.Popen([str(BUILD / "penstock"), "listen", *words], env=cli.env, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.out, self.err = [], []
        self.readers = [threading.Thread(target=lines.extend, args=(pipe,), daemon=True)
                        for lines, pipe in ((self.out, self.process.stdout), (self.err, self.process.stderr))]
        for reader in self.readers:
            reader.start()

    def events(self) -> list[tuple[str, str]]:
        return [(row["id"], row["event"]) for row in map(json.loads, self.out)]

    def end(self, code: int = -signal.SIGINT) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        assert self.process.wait(WAIT_S) == code
        for reader in self.readers:
            reader.join(WAIT_S)


@contextlib.contextmanager
def listening(cli, *words: str):
    """From when it hears: marks are made until one is told of."""
    listener = Listener(cli, *words)
    try:
        def hears() -> bool:
            enqueued(cli(*LATER))
            return ports.wait_until(lambda: listener.out, 2)
        assert ports.wait_until(hears, WAIT_S), listener.err
        yield listener
    finally:
        listener.process.kill()
        listener.process.wait()


def test_events_are_told_as_they_happen(cli):
    with listening(cli, "-o", "jsonl") as listener:
        job = enqueued(cli(*LATER))
        assert ports.wait_until(lambda: (job, "job.waiting") in listener.events(), WAIT_S)
        cli("job", "cancel", job)
        assert ports.wait_until(lambda: (job, "job.cancelled") in listener.events(), WAIT_S)
        assert len(listener.events()) == len(set(listener.events())), "each is told once"
        listener.end()
        assert listener.err == []


def test_only_the_events_that_are_wanted(cli):
    with listening(cli, "--events", "job.wait*,job.dead", "-o", "jsonl") as listener:
        job = enqueued(cli(*LATER))
        cli("job", "cancel", job)
        dead = enqueued(cli("enqueue", "demo.fail", "-d", '{"permanent":true}'))
        assert ports.wait_until(lambda: (dead, "job.dead") in listener.events(), WAIT_S)
        assert {event for _, event in listener.events()} <= {"job.waiting", "job.dead"}


@contextlib.contextmanager
def endpoint(status: int):
    got = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer((ports.HOST, 0), Hook)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://{ports.HOST}:{server.server_port}/hook", got
    finally:
        server.shutdown()
        server.server_close()


def test_events_are_forwarded_and_signed(cli):
    with endpoint(204) as (url, got), listening(cli, "--forward-to", url) as listener:
        job = enqueued(cli(*LATER))
        assert ports.wait_until(lambda: any(json.loads(body)["data"]["id"] == job for _, body in got), WAIT_S)
        secret = base64.b64decode(re.search(r"whsec_(\S+)", "".join(listener.err))[1])
        headers, body = next(one for one in got if json.loads(one[1])["data"]["id"] == job)
        signed = ".".join((headers["webhook-id"], headers["webhook-timestamp"], body.decode())).encode()
        assert headers["webhook-signature"] == "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
        assert json.loads(body)["type"] == "job.waiting" and headers["webhook-id"] == f"{job}.job.waiting"
        assert "Authorization" not in headers


def test_an_endpoint_that_refuses_is_told_and_the_rest_goes_on(cli):
    with endpoint(500) as (url, got), listening(cli, "--forward-to", url, "-o", "jsonl") as listener:
        job = enqueued(cli(*LATER))
        assert ports.wait_until(lambda: (job, "job.waiting") in listener.events() and any("with 500" in line for line in listener.err), WAIT_S)
        assert got


def test_an_api_that_goes_away_ends_nothing(cli, made):
    with listening(cli, "-o", "jsonl") as listener:
        made.api.restart()
        job = enqueued(cli(*LATER))
        assert ports.wait_until(lambda: (job, "job.waiting") in listener.events(), WAIT_S)
        assert len(listener.err) <= 2


def test_what_cannot_be(cli):
    cli("listen", "--forward-to", "ftp://x", code=64)
    cli("listen", code=69, PENSTOCK_URL=f"http://{ports.HOST}:{ports.any_free()}")
    with answering((403, b'{"title":"No"}')) as other:
        other("listen", code=77)
