"""The stack of the soak: the sweep's cluster with the settings as shipped, a second API, a collector of telemetry, and types of jobs whose
handler does as the payload says."""
import os
import signal
from http.server import ThreadingHTTPServer

from collector import Collector
from sink import Sink, of
from sweep.cluster import HANDLER_SECRET, Cluster

from penstock_ops import ports
from penstock_ops.penstock import Api, Role

QUEUES = ("default", "orders", "payments", "notifications")
EXTRA = '{ name = "soak.extra"; handler = "http://127.0.0.1:1/"; }'
ThreadingHTTPServer.handle_error = lambda *_: None  # handler and collector: whose client was killed


class Ground(Cluster):
    """The role "api" lives as long as the soak, "api_restarted" does not."""

    def __init__(self, run_dir, build, seed):
        super().__init__(run_dir, build, seed)
        self.collector = Collector()
        self.sink = Sink()
        self.types += ["{ " + of(name, self.sink.url, f'class = "{kind}";') + " }" for name, kind in (("soak.ask", "journal"), ("soak.brief", "stream"))]

    def _make_roles(self) -> dict[str, Role]:
        return {"scheduler": Role(self.dir, self.build, "scheduler", self.conf), "worker": Role(self.dir, self.build, "worker", self.conf),
                "api": Api(self.dir, self.build, self.conf), "api_restarted": Api(self.dir, self.build, self.conf)}

    def _conf_text(self) -> str:
        secret = self.dir / "secrets" / "servers"
        return f"""
redis = {{ url = "redis://{ports.HOST}:{self.proxies['redis'].port}"; password_file = "{secret}"; }};
postgres = {{ url = "postgresql://{ports.HOST}:{self.proxies['postgres'].port}/penstock"; password_file = "{secret}"; }};
webhook = {{ secret = "whsec_c3dlZXAtc2VjcmV0LXN3ZWVwLXNlY3JldA=="; allow_cidr = "127.0.0.0/8"; }};
handler = {{ types = "{self.dir}/types.conf"; secret = "{HANDLER_SECRET}"; allow_cidr = "127.0.0.0/8"; }};
mail = {{ url = "{self.mail.url}"; }};
payments = {{ provider_url = "http://{ports.HOST}:{self.proxies['sim'].port}"; provider_secret = "sim-secret"; }};
otlp = {{ endpoint = "{self.collector.url}"; sample_per_million = 100000; }};
log = {{ level = "warn"; }};
"""

    def hup(self, *roles: str) -> None:
        for name in roles:
            if self.roles[name].is_running():
                os.kill(self.roles[name].pid, signal.SIGHUP)

    def close(self) -> None:
        super().close()
        self.collector.stop()
        for server in self.sink.servers:
            server.shutdown()
