"""An OpenTelemetry collector for tests: takes OTLP/HTTP as gzipped JSON, and refuses to understand what protobuf's own reader does not."""
import base64
import contextlib
import gzip
import json
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from penstock_ops import ports

KINDS = {"/v1/traces": ExportTraceServiceRequest, "/v1/metrics": ExportMetricsServiceRequest, "/v1/logs": ExportLogsServiceRequest}


IDS = {"traceId": 32, "spanId": 16, "parentSpanId": 16}


def with_bytes(json_value):
    """Ids are hex in OTLP's JSON, against protobuf's rule for bytes: turned into what protobuf reads."""
    if isinstance(json_value, list):
        return [with_bytes(v) for v in json_value]
    if not isinstance(json_value, dict):
        return json_value
    for name in IDS.keys() & json_value.keys():
        assert re.fullmatch(f"[0-9a-f]{{{IDS[name]}}}", json_value[name]), json_value
    return {name: base64.b64encode(bytes.fromhex(v)).decode() if name in IDS else with_bytes(v) for name, v in json_value.items()}


def value_of(value):
    return getattr(value, value.WhichOneof("value"))


def attributes(of) -> dict:
    return {a.key: value_of(a.value) for a in of}


@dataclass
class Span:
    role: str
    process: str
    name: str
    kind: int
    trace: str
    id: str
    parent: str
    begin: int
    end: int
    error: bool
    message: str
    attributes: dict
    links: list  # (trace, span)


@dataclass
class Record:
    role: str
    event: str
    severity: int
    trace: str
    span: str
    attributes: dict


@dataclass
class Seen:
    at: float
    path: str
    headers: dict
    body: bytes
    records: int
    answered: int


@dataclass
class Collector:
    """answers: (status, headers, body) given to the next requests of a path, in order; then 200 {}."""

    port: int = 0
    spans: list = field(default_factory=list)
    logs: list = field(default_factory=list)
    metrics: dict = field(default_factory=dict)  # (process, name) → the metric as it came last
    faults: list = field(default_factory=list)
    answers: dict = field(default_factory=lambda: {path: [] for path in KINDS})
    seen: list = field(default_factory=list)  # Seen

    def __post_init__(self):
        self.lock = threading.Lock()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                collector.connections.append(self.connection)

            def do_POST(self):
                status, headers, body = collector.take(self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.handler = Handler
        self.serve()
        self.url = f"http://{ports.HOST}:{self.port}"

    def serve(self):
        self.connections = []
        self.server = ThreadingHTTPServer((ports.HOST, self.port), self.handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def take(self, path, headers, body):
        with self.lock:
            status, more, answer = self.answers[path].pop(0) if self.answers.get(path) else (200, {}, b"{}")
            try:
                assert headers["Content-Type"] == "application/json" and headers["Content-Encoding"] == "gzip", headers
                request = ParseDict(with_bytes(json.loads(gzip.decompress(body))), KINDS[path]())
                n = len(getattr(self, "read_" + path[4:])(request, status == 200))
            except Exception as e:  # noqa: BLE001: the test shows it
                self.faults.append(f"{path}: {e!r}")
                n = -1
            self.seen.append(Seen(time.monotonic(), path, headers, body, n, status))
            return status, more, answer

    def read_traces(self, request, keep):
        found = []
        for resource in request.resource_spans:
            who = attributes(resource.resource.attributes)
            assert who["service.name"] == "penstock" and who["service.version"], who
            for s in (s for scope in resource.scope_spans for s in scope.spans):
                assert len(s.trace_id) == 16 and len(s.span_id) == 8 and len(s.parent_span_id) in (0, 8), s
                assert 0 < s.start_time_unix_nano <= s.end_time_unix_nano, s
                found.append(Span(who["penstock.role"], who["service.instance.id"], s.name, s.kind, s.trace_id.hex(), s.span_id.hex(),
                                  s.parent_span_id.hex(), s.start_time_unix_nano, s.end_time_unix_nano, s.status.code == 2, s.status.message,
                                  attributes(s.attributes), [(link.trace_id.hex(), link.span_id.hex()) for link in s.links]))
        self.spans += found if keep else []
        return found

    def read_logs(self, request, keep):
        found = []
        for resource in request.resource_logs:
            role = attributes(resource.resource.attributes)["penstock.role"]
            for r in (r for scope in resource.scope_logs for r in scope.log_records):
                assert r.time_unix_nano > 0 and r.severity_text and r.event_name == r.body.string_value, r
                found.append(Record(role, r.event_name, r.severity_number, r.trace_id.hex(), r.span_id.hex(), attributes(r.attributes)))
        self.logs += found if keep else []
        return found

    def read_metrics(self, request, keep):
        found = []
        for resource in request.resource_metrics:
            process = attributes(resource.resource.attributes)["service.instance.id"]
            for m in (m for scope in resource.scope_metrics for m in scope.metrics):
                points = getattr(m, m.WhichOneof("data")).data_points
                assert points, m
                for p in points:
                    if hasattr(p, "bucket_counts"):
                        assert sum(p.bucket_counts) == p.count and len(p.bucket_counts) == len(p.explicit_bounds) + 1, m
                found.append(m)
                if keep:
                    self.metrics[process, m.name] = m
        return found

    def requests(self, path: str, since: float = 0) -> list:
        with self.lock:
            return [s for s in self.seen if s.path == path and s.at >= since]

    def of_trace(self, trace: str) -> list:
        with self.lock:
            return [s for s in self.spans if s.trace == trace]
