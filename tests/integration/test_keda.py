"""The ScaledObjects of ops/keda ask for what there is: each by what KEDA does with it, against a Penstock that runs."""
import hashlib
import re
import secrets
from pathlib import Path

import jsonschema
import pytest
import requests
import yaml

from penstock_ops import ROOT, RUN, ports
from penstock_ops.processes import Server
from producer import enqueue_all
from stack import WAIT_S, Client, Stack, new_key

KEDA = ROOT / "ops" / "keda"
QUEUE = "orders"
NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
NUMBER = {"type": "string", "pattern": r"^\d+(\.\d+)?$"}  # metadata is strings alone


def closed(required: list[str], **properties) -> dict:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


TRIGGERS = {
    "metrics-api": closed(["url", "valueLocation", "targetValue"], url={"type": "string", "format": "uri"}, format={"const": "json"},
                          valueLocation={"type": "string"}, targetValue=NUMBER, activationTargetValue=NUMBER, authMode={"const": "bearer"}),
    "prometheus": closed(["serverAddress", "query", "threshold"], serverAddress={"type": "string", "format": "uri"}, query={"type": "string"},
                         threshold=NUMBER, activationThreshold=NUMBER, ignoreNullValues={"enum": ["true", "false"]}),
}
SCALED_OBJECT = closed(
    ["apiVersion", "kind", "metadata", "spec"], apiVersion={"const": "keda.sh/v1alpha1"}, kind={"const": "ScaledObject"}, metadata=closed(["name"], name=NAME),
    spec=closed(["scaleTargetRef", "triggers"], scaleTargetRef=closed(["name"], name=NAME), pollingInterval={"type": "integer", "minimum": 1},
                cooldownPeriod={"type": "integer", "minimum": 0}, minReplicaCount={"type": "integer", "minimum": 0}, maxReplicaCount={"type": "integer", "minimum": 1},
                fallback=closed(["failureThreshold", "replicas"], failureThreshold={"type": "integer"}, replicas={"type": "integer"},
                                behavior={"enum": ["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"]}),
                advanced={"type": "object"},
                triggers={"type": "array", "minItems": 1, "items": closed(["type", "metadata"], type={"enum": list(TRIGGERS)}, metadata={"type": "object"},
                          metricType={"enum": ["AverageValue", "Value"]}, authenticationRef=closed(["name"], name=NAME))}))
AUTHENTICATION = closed(
    ["apiVersion", "kind", "metadata", "spec"], apiVersion={"const": "keda.sh/v1alpha1"}, kind={"const": "TriggerAuthentication"},
    metadata=closed(["name"], name=NAME),
    spec=closed(["secretTargetRef"], secretTargetRef={"type": "array", "items": closed(["parameter", "name", "key"], parameter={"const": "token"},
                                                                                      name=NAME, key={"type": "string"})}))


def documents() -> list[dict]:
    return [document for path in sorted(KEDA.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


def triggers(kind: str) -> list[dict]:
    return [t["metadata"] for d in documents() if d["kind"] == "ScaledObject" for t in d["spec"]["triggers"] if t["type"] == kind]


class Prometheus(Server):
    """Scrapes the API once a second."""

    role = "prometheus"

    def __init__(self, run_dir: Path, target: str):
        super().__init__(run_dir)
        self.port = ports.any_free()
        self.url = f"http://{ports.HOST}:{self.port}"
        self.config = self.run_dir / "prometheus.yml"
        self.config.write_text(f"global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: penstock, static_configs: [{{targets: ['{target}']}}]}}]\n",
                               encoding="utf-8")

    def argv(self) -> list[str]:
        installed = Path("/usr/bin/prometheus")
        binary = installed if installed.exists() else RUN / "pkg" / "prometheus" / "usr" / "bin" / "prometheus"
        return [str(binary), f"--config.file={self.config}", f"--storage.tsdb.path={self.run_dir / 'tsdb'}", f"--web.listen-address={ports.HOST}:{self.port}"]

    def is_ready(self) -> bool:
        try:
            return requests.get(self.url + "/-/ready", timeout=2).status_code == 200
        except requests.ConnectionError:
            return False

    def ask(self, query: str) -> list[dict]:
        answer = requests.get(self.url + "/api/v1/query", {"query": query}, timeout=5).json()
        assert answer["status"] == "success", answer
        return answer["data"]["result"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    made = Stack(tmp_path_factory.mktemp("keda"), {"worker.drain_ms": 1000})
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture(scope="module")
def client(stack):
    return Client(stack.api.url)


def test_files__are_what_keda_reads():
    kinds = [d["kind"] for d in documents()]
    assert kinds.count("ScaledObject") == len(list(KEDA.glob("*.yaml"))) == 2
    for document in documents():
        jsonschema.validate(document, SCALED_OBJECT if document["kind"] == "ScaledObject" else AUTHENTICATION)
    for kind, schema in TRIGGERS.items():
        assert triggers(kind)
        for metadata in triggers(kind):
            jsonschema.validate(metadata, schema)
    wanted = {t["authenticationRef"]["name"] for d in documents() if d["kind"] == "ScaledObject" for t in d["spec"]["triggers"] if "authenticationRef" in t}
    assert wanted == {d["metadata"]["name"] for d in documents() if d["kind"] == "TriggerAuthentication"}


def test_metrics_api__asks_a_route_of_ours_and_finds_the_number_there(stack, client):
    key = secrets.token_hex(32)
    stack.sql("INSERT INTO platform.api_key (id, secret_hash, tenant, scopes, name) VALUES ('keda', %s, 'default', '{view}', '')",
              hashlib.sha256(key.encode()).digest())
    for metadata in triggers("metrics-api"):
        path = re.sub(r"^http://[^/]+", "", metadata["url"])
        assert client.ask("PUT", path, json={"workers": 7}).status_code == 200
        value = Client(stack.api.url, f"pen_keda_{key}").get(path).json()
        for member in metadata["valueLocation"].split("."):
            value = value[member]
        assert value == 7 and type(value) is int
    assert client.get("/v1/scale").json()["workers"] >= 7


def test_prometheus__its_query_is_the_sum_of_what_is_wanted(stack, client, tmp_path):
    (metadata,) = triggers("prometheus")
    client.ask("PUT", f"/v1/scale/{QUEUE}", json={"workers": 3})
    wanted = client.get("/v1/scale").json()["workers"]
    prometheus = Prometheus(tmp_path, stack.api.url.removeprefix("http://"))
    prometheus.start()
    try:
        found = lambda: [float(r["value"][1]) for r in prometheus.ask(metadata["query"])]
        assert ports.wait_until(lambda: found() == [wanted], WAIT_S), found()
    finally:
        prometheus.stop()


def test_lag__of_redis_is_0_while_jobs_wait(stack, client):
    """Why ops/keda has no redis-streams trigger."""
    client.ask("PUT", "/v1/scale/default", json={"workers": 1})
    enqueue_all(client, [{"type": "demo.tally", "payload": {"ms": 20000}, "key": new_key()} for _ in range(10)])
    group = lambda: stack.redis_client().xinfo_groups("pen:{default:0}:s")[0]
    assert ports.wait_until(lambda: group()["pending"] == 10, WAIT_S)
    client.ask("PUT", "/v1/scale/default", json={"workers": 0})
    depth = lambda: client.get("/v1/queues/default").json()["depth"]
    assert ports.wait_until(lambda: (depth()["waiting"], depth()["running"]) == (10, 0), WAIT_S)
    assert group()["lag"] == 0
