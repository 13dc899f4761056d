"""What telemetry costs: a queue drained by a worker that tells a collector, and by one that does not, in turn. Of a hundred traces one is
recorded; metrics and log lines leave, too."""
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from penstock_ops import ports

from .drain import STREAM, drain
from .stage import Stage
from .stream import CALL_JOBS, JOBS

TURNS = 4  # even: each is the first as often
SAMPLED = 10  # of a thousand


class Sink:
    """A collector that takes everything."""

    def __init__(self):
        sink = self
        self.requests = dict.fromkeys(("/v1/traces", "/v1/metrics", "/v1/logs"), 0)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                sink.requests[self.path] += 1
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer((ports.HOST, 0), Handler)
        self.url = f"http://{ports.HOST}:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def turn(stage: Stage, settings: dict[str, str]) -> float:
    """Seconds."""
    with stage.worker(settings=settings) as worker:
        worker.quiet()
        stage.settle_down()
        stage.tool("enqueue_bench", "bulk", *stage.redis_arguments("penstock_api", stage.password), "--jobs", JOBS, "--batch", CALL_JOBS,
                   "--sampled", SAMPLED)
        return drain(stage, worker, JOBS, STREAM)["wall"]


def measure(stage: Stage) -> dict[str, tuple[float, float]]:
    sink = Sink()
    try:
        telling = {"PENSTOCK_OTLP_ENDPOINT": sink.url}
        seconds = {False: 0.0, True: 0.0}
        for on in (False, True, True, False) * (TURNS // 2):
            seconds[on] += turn(stage, telling if on else {})
    finally:
        sink.stop()
    stage.must(all(sink.requests.values()), f"the collector was told {sink.requests}")
    return {"telemetry": (TURNS * JOBS / seconds[True], TURNS * JOBS / seconds[False])}
