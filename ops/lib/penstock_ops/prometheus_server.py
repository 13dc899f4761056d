"""A private Prometheus, installed or unpacked below .run/pkg, with the configuration that ships: for tests, which want it faster."""
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from . import ROOT, RUN, Problem, ports
from .processes import Server, private_folder

SHIPPED = ROOT / "ops" / "prometheus"
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def program(name: str, package: str = "prometheus") -> Path:
    """promtool, prometheus; amtool of prometheus-alertmanager."""
    for path in (Path("/usr/bin") / name, RUN / "pkg" / package / "usr" / "bin" / name):
        if path.exists():
            return path
    raise Problem(f"{name} is neither installed nor unpacked: run ops/setup test")


class Prometheus(Server):
    """Scrapes the API at address: as_shipped, or once a second, evaluates every group of rules as often, and gives alerts a second instead of
    their minutes."""

    role = "prometheus"

    def __init__(self, run_dir: Path, address: str, as_shipped: bool = False):
        super().__init__(run_dir)
        self.address, self.as_shipped = address, as_shipped
        self.port = ports.any_free()
        self.folder = self.run_dir / "prometheus"
        self.url = f"http://{ports.HOST}:{self.port}"

    def argv(self) -> list[str]:
        return [str(program("prometheus")), f"--config.file={self.folder / 'prometheus.yml'}", f"--storage.tsdb.path={self.folder / 'data'}",
                f"--web.listen-address={ports.HOST}:{self.port}", "--enable-feature=exemplar-storage", "--log.level=warn"]

    def prepare(self) -> None:
        private_folder(self.folder)
        for rules in SHIPPED.glob("*.rules.yml"):
            text = rules.read_text(encoding="utf-8")
            hurried = re.sub(r"^( +)(interval: |for: )\w+$", r"\1\g<2>1s", text, flags=re.M)
            (self.folder / rules.name).write_text(text if self.as_shipped else hurried, encoding="utf-8")
        text = (SHIPPED / "prometheus.yml").read_text(encoding="utf-8")
        pace = () if self.as_shipped else (("scrape_interval: 15s", "scrape_interval: 1s"), ("evaluation_interval: 30s", "evaluation_interval: 1s"))
        for shipped, ours in (("127.0.0.1:8080", self.address), *pace):
            if shipped not in text:
                raise Problem(f"ops/prometheus/prometheus.yml has no {shipped} any more")
            text = text.replace(shipped, ours)
        (self.folder / "prometheus.yml").write_text(text, encoding="utf-8")

    def is_ready(self) -> bool:
        try:
            with _DIRECTLY.open(self.url + "/-/ready", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def ask(self, path: str, **query: str):
        """What /api/v1/<path> has as data. A refusal is a Problem with its reason."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with _DIRECTLY.open(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as e:
            raise Problem(f"{query}: {json.load(e).get('error')}") from e

    def query(self, expr: str) -> list[dict]:
        return self.ask("query", query=expr)["result"]
