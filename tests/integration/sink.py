"""A handler of declared types, and the file that declares them."""
import json
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from penstock_ops import ports


class Sink:
    """A handler that notes what it is sent. What it answers is in the payload: {"answers": [[status, headers, body], …]}, one for each
    attempt, the last one for all that follow."""

    def __init__(self):
        self.seen = defaultdict(list)
        self.at_once, self.most_at_once = defaultdict(int), defaultdict(int)  # by type
        self.lock = threading.Lock()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                job_type = self.headers["penstock-type"]
                with sink.lock:
                    sink.at_once[job_type] += 1
                    sink.most_at_once[job_type] = max(sink.most_at_once[job_type], sink.at_once[job_type])
                    seen = sink.seen[self.headers["webhook-id"]]
                    seen.append((time.time(), dict(self.headers), body))
                payload = json.loads(body)
                time.sleep(payload.get("sleep", 0))
                with sink.lock:
                    sink.at_once[job_type] -= 1
                answers = payload.get("answers", [[200, {}, "{}"]])
                status, headers, text = answers[min(len(seen), len(answers)) - 1]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(text.encode() * payload.get("times", 1))
                except OSError:
                    pass  # an attempt that was given up

            def log_message(self, *args):
                pass

        self.handler, self.servers = Handler, []
        self.url = self.another_url()

    def another_url(self) -> str:
        """Of a server of its own: what fails there is held against no other."""
        server = ThreadingHTTPServer((ports.HOST, 0), self.handler)
        self.servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://{ports.HOST}:{server.server_port}/handle"


def declare(path: Path, *types: str) -> None:
    path.write_text("types = (" + ",\n".join("{ " + t + " }" for t in types) + ");\n", encoding="utf-8")


def of(name: str, url: str, more: str = "") -> str:
    return f'name = "{name}"; handler = "{url}"; retry_base_ms = 50; retry_cap_ms = 2000; {more}'
