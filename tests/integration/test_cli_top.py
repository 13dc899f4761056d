"""What the commands do in a terminal, penstock top above all: a pseudo-terminal, and pyte to see what a person would see."""
import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyte
import pytest

from observe import log_lines
from penstock_ops import ports
from stack import BUILD, Cli, Stack, cli_of, kill_one
from test_cli_weather import answering

WAIT_S = 20


@pytest.fixture(scope="module")
def cli(tmp_path_factory):
    stack = Stack(tmp_path_factory.mktemp("top"))
    try:
        yield cli_of(stack.start())
    finally:
        stack.stop()


class Terminal:
    """A program in a terminal of so many rows and columns."""

    def __init__(self, cli: Cli, *words: str, program: str = str(BUILD / "penstock"), rows: int = 24, columns: int = 100, **env: str):
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns, tell=False)
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen([program, *words], stdin=self.slave, stdout=self.slave, stderr=self.slave,
                                        env=cli.env | {"TERM": "xterm"} | env, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, rows: int, columns: int, tell: bool = True) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            self.screen.resize(rows, columns)

    def read(self, seconds: float = 0.05) -> None:
        while select.select([self.master], [], [], seconds)[0]:
            data = os.read(self.master, 65536)
            self.raw += data
            self.stream.feed(data)

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)

    def row(self, name: str) -> str:
        return next((line for line in self.screen.display if line.startswith(f"{name} ")), "")

    def selected(self) -> str:
        return next(("".join(self.screen.buffer[y][x].data for x in range(self.screen.columns)).split()[0]
                     for y in range(self.screen.lines) if self.screen.buffer[y][0].reverse), "")

    def shows(self, what) -> bool:
        def look() -> bool:
            self.read()
            return bool(what())
        return ports.wait_until(look, WAIT_S)

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def ended(self) -> int:
        deadline = time.monotonic() + WAIT_S
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read()
        self.read()
        return self.process.wait(1)

    def is_restored(self) -> bool:
        """The first screen, the cursor, and the mode of the line are back."""
        return termios.tcgetattr(self.slave) == self.before and self.raw.rstrip().endswith(b"\x1b[0m\x1b[?25h\x1b[?1049l")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@contextlib.contextmanager
def top(cli: Cli, **more):
    terminal = Terminal(cli, "top", **more)
    try:
        assert terminal.shows(lambda: terminal.row("default")), terminal.text
        yield terminal
    finally:
        terminal.close()


def test_top_shows_queues_and_leaves_the_terminal_as_it_was(cli):
    kill_one(cli)
    with top(cli) as t:
        assert t.raw.startswith(b"\x1b[?1049h\x1b[?25l")
        assert t.shows(lambda: t.row("default").split()[5] != "0" and t.row("default").split()[-1] == "1/1"), t.text
        assert {"NAME", "STATE", "WAITING", "WORKERS"} <= set(t.screen.display[2].split())
        assert t.screen.display[0].startswith("penstock ready  http://") and "q quit" in t.screen.display[-1]
        t.type("q")
        assert t.ended() == 0 and t.is_restored()


def test_top_selects_sorts_pauses_and_scales(cli):
    with top(cli) as t:
        first = t.selected()
        t.type("\x1b[B")
        assert t.shows(lambda: t.selected() not in ("", first)), t.text
        t.type("\x1bOA")
        assert t.shows(lambda: t.selected() == first), t.text
        for order in ("age", "waiting", "dead", "name"):
            t.type("s")
            assert t.shows(lambda: f"sort ({order})" in t.text), t.text
        while t.selected() != "notifications":
            before = t.selected()
            t.type("j")
            assert t.shows(lambda: t.selected() != before), t.text
        t.type("p")
        assert t.shows(lambda: "queue/notifications paused" in t.text and " paused " in t.row("notifications")), t.text
        assert cli("queue", "get", "notifications", "--field", ".paused").out == "true\n"
        t.type("p")
        assert t.shows(lambda: "queue/notifications resumed" in t.text and " open " in t.row("notifications")), t.text
        t.type("+")
        assert t.shows(lambda: "scaled to 2" in t.text and t.row("notifications").split()[-1] == "2/2"), t.text
        t.type("-")
        assert t.shows(lambda: "scaled to 1" in t.text and t.row("notifications").split()[-1] == "1/1"), t.text
        t.type("q")
        assert t.ended() == 0 and t.is_restored()
    assert cli("scale", "notifications", "--field", ".reason").out == "penstock top\n"


def test_top_follows_the_size_of_the_terminal(cli):
    with top(cli, rows=12, columns=90) as t:
        for rows, columns in ((30, 140), (6, 40), (2, 10), (24, 80)):
            t.resize(rows, columns)
            os.kill(t.process.pid, signal.SIGWINCH)
            wanted = "q quit" if rows > 3 else "penstock"
            assert t.shows(lambda: wanted in (t.screen.display[-1] if rows > 3 else t.screen.display[0])), (rows, columns, t.text)
        t.type("q")
        assert t.ended() == 0 and t.is_restored()


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGSEGV])
def test_top_restores_the_terminal_when_it_is_ended(cli, sig):
    with top(cli) as t:
        if sig == signal.SIGINT:
            t.type("\x03")
        else:
            os.kill(t.process.pid, sig)
        assert t.ended() == -sig and t.is_restored(), t.raw[-200:]


def test_top_is_stopped_and_goes_on(cli):
    """By Ctrl-Z, as a job of a shell."""
    t = Terminal(cli, "--norc", "-mc", f"{BUILD}/penstock top; echo STOPPED; read -r; fg > /dev/null", program="bash")
    try:
        assert t.shows(lambda: t.row("default")), t.text
        t.type("\x1a")
        assert t.shows(lambda: t.raw.endswith(b"STOPPED\r\n")), t.raw[-300:]
        assert termios.tcgetattr(t.slave) == t.before and b"\x1b[?25h\x1b[?1049l" in t.raw
        t.screen.reset()
        t.type("\n")
        assert t.shows(lambda: t.row("default")), t.text
        t.type("q")
        assert t.ended() == 0 and t.is_restored()
    finally:
        t.close()


def test_top_outlives_an_api_that_goes_away(cli):
    queue = {"name": "default", "paused": False, "depth": {"waiting": 3}, "state": "open", "workers": {"desired": 1, "running": 1}}
    snapshot = json.dumps({"ready": True, "degraded": [], "queues": [queue]}).encode()
    with contextlib.ExitStack() as stack:
        with answering((200, b"event: snapshot\ndata: " + snapshot + b"\n\n")) as fake:
            t = stack.enter_context(top(fake))
            assert t.shows(lambda: "has ended; it is asked for again" in t.screen.display[1] and t.row("default")), t.text
        assert t.shows(lambda: "no answer from http://" in t.screen.display[1] and t.row("default")), t.text
        t.type("q")
        assert t.ended() == 0 and t.is_restored()


def test_top_is_one_request_and_comes_back(tmp_path):
    """Over a restart of the API: the stream is asked for again, and the line that said so goes."""
    stack = Stack(tmp_path)
    try:
        with top(cli_of(stack.start(roles=()))) as t:
            time.sleep(3)  # three snapshots
            stack.api.restart()
            assert t.shows(lambda: b"asked for again" in t.raw or b"no answer from" in t.raw), t.text
            assert t.shows(lambda: not t.screen.display[1].strip() and t.row("default")), t.text
            t.type("q")
            assert t.ended() == 0 and t.is_restored()
        asked = [line["path"] for line in log_lines(stack.api.log, "http.request") if line["path"].startswith("/v1/")]
        assert set(asked) == {"/v1/live"} and len(asked) == 2, asked
    finally:
        stack.stop()


def test_top_needs_an_api_at_first():
    t = Terminal(Cli({"PENSTOCK_URL": f"http://{ports.HOST}:{ports.any_free()}"}), "top")
    assert t.ended() == 69 and "no answer" in t.text and b"\x1b[?1049h" not in t.raw
    t.close()


def test_top_without_color_and_without_a_terminal(cli):
    with top(cli, NO_COLOR="1") as t:
        assert b"\x1b[3" not in t.raw and b"\x1b[1m" not in t.raw and b"\x1b[7m" in t.raw
        t.type("q")
        assert t.ended() == 0
    assert "wants a terminal" in cli("top", code=64).err


# ---- bulk work: a question first, then how far it is ----


class Dead(BaseHTTPRequestHandler):
    """A queue with 300 dead jobs, of which each request moves 20, slowly enough to be seen."""

    left, batch_s = 300, 0.12

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked.get("dry_run"):
            said = {"dry_run": True, "matched": Dead.left, "sample": []}
        else:
            time.sleep(Dead.batch_s)
            Dead.left -= 20
            said = {"discarded": 20, "left": Dead.left}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def dead():
    Dead.left, Dead.batch_s = 300, 0.12
    server = ThreadingHTTPServer((ports.HOST, 0), Dead)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield Cli({"PENSTOCK_URL": f"http://{ports.HOST}:{server.server_port}"})
    finally:
        server.shutdown()
        server.server_close()


DISCARD = ("dlq", "discard", "--queue", "default", "--all")


def test_bulk_work_asks_for_its_number_and_shows_a_bar(dead):
    t = Terminal(dead, *DISCARD)
    try:
        assert t.shows(lambda: "300 dead jobs of default would be put away; type the number to go on:" in t.text), t.text
        t.type("300\n")
        assert t.shows(lambda: b"] " in t.raw and b"/300" in t.raw and b"% " in t.raw), t.raw
        assert t.ended() == 0 and Dead.left == 0
        assert t.text.count("queue/default: 20 dead jobs discarded") >= 15 and "[#" not in t.text, "the bar is gone at the end"
    finally:
        t.close()


@pytest.mark.parametrize("answer", ["30\n", "\n", "y\n", "\x04"])
def test_bulk_work_that_is_not_confirmed_is_not_done(dead, answer):
    t = Terminal(dead, *DISCARD)
    try:
        assert t.shows(lambda: "type the number" in t.text), t.text
        t.type(answer)
        assert t.ended() == 64 and Dead.left == 300
    finally:
        t.close()


def test_bulk_work_without_a_terminal_shows_no_bar(dead):
    said = dead(*DISCARD, "--yes")
    assert said.err == "" and "\x1b" not in said.out and Dead.left == 0


def test_bulk_work_says_how_far_it_is_every_five_seconds(dead):
    """To programs, as a line on standard error."""
    Dead.batch_s = 0.5
    said = dead(*DISCARD, "--yes", "-o", "jsonl")
    assert sum(json.loads(line)["discarded"] for line in said.out.splitlines()) == 300
    (line,) = said.err.splitlines()
    assert json.loads(line) | {"done": 0} == {"progress": "discarded", "done": 0, "total": 300} and 0 < json.loads(line)["done"] < 300
