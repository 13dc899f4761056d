"""A real Prometheus fed by our /metrics: every expression of every dashboard and rule gives a series; and what the API and the command line say
of the objectives is what happened."""
import csv
import datetime
import io
import json
import re
import signal
import subprocess

import pytest

from penstock_ops import ROOT, ports
from penstock_ops.monitoring import objectives
from stack import BUILD, WAIT_S, Client, new_key, order

DASHBOARDS = sorted((ROOT / "ops" / "grafana").glob("*.json"))
TRAFFIC = "http_server_request_duration_seconds_count"
KEPT_S = 5 + 10  # jobs/src/slo_keep.c, api/src/slo.c
ALARMS = {"PenstockDown", "PaymentDead", "NoWorkers", "SchedulerNoLeader", "ConservationGap", "RedisAofFailing", "RedisNotWriting", "DependencyDown"}
VARIABLES = {"$queue": ".*", "$type": ".*", "$__rate_interval": "1m"}


@pytest.fixture(scope="session")
def load(stack, prometheus):
    """Something of everything, twice: a rate wants two readings of a series that was there before."""
    client = Client(stack.api.url)
    for _ in range(2):
        placed = client.post("/v1/orders", order(), new_key()).json()
        assert client.post(f"/v1/payments/{placed['payment_id']}/capture", {}, new_key()).status_code in (200, 202)
        ended = [client.ended(client.enqueue(t, p)["id"]) for t, p in
                 (("demo.note", {"text": "load"}), ("demo.echo", {}), ("demo.fail", {"permanent": True}))]
        assert [job["state"] for job in ended] == ["done", "done", "dead"]
        client.post("/v1/notifications", {"channel": "email", "to": "c@example.com", "subject": "s", "text": "t"}, new_key())
        client.post("/v1/queues/default/resume", {})
        client.get("/v1/queues")
        client.get("/v1/nothing")
        key = new_key()
        assert [client.post("/v1/jobs", {"type": "demo.note", "payload": {"text": t}}, key).status_code for t in "aab"] == [202, 202, 422]
        count = f'sum(penstock_{TRAFFIC}{{code="422"}})'
        before = prometheus.query(count)
        assert ports.wait_until(lambda: prometheus.query(count) not in ([], before), WAIT_S)
    return client


def targets(dashboard) -> list[tuple[str, bool]]:
    panels = json.loads(dashboard.read_text(encoding="utf-8"))["panels"]
    return [(t["expr"], t.get("mayBeEmpty", False)) for panel in panels for t in panel.get("targets", ())]


def filled_in(expr: str) -> str:
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    assert "$" not in expr
    return expr


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboard__then_every_expression_gives_a_series(prometheus, load, dashboard):
    assert len(targets(dashboard)) >= 10
    for expr, may_be_empty in targets(dashboard):
        query = filled_in(expr)
        prometheus.query(query)  # a Problem, if it is none
        assert may_be_empty or ports.wait_until(lambda: prometheus.query(query), WAIT_S), expr


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboard__then_its_variables_have_values_and_its_metrics_are_ours(prometheus, load, dashboard):
    known = set(prometheus.ask("label/__name__/values"))
    for expr, may_be_empty in targets(dashboard):
        assert may_be_empty or set(re.findall(r"\b(?:penstock_|slo:|queue:)[a-z0-9_:]+", expr)) <= known, expr
    for variable in json.loads(dashboard.read_text(encoding="utf-8"))["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]).groups()
            assert prometheus.ask(f"label/{label}/values", **{"match[]": filled_in(selector)})


def firing(prometheus) -> set[str]:
    return {alert["labels"]["alertname"] for alert in prometheus.ask("alerts")["alerts"] if alert["state"] == "firing"}


def test_rules__then_they_are_evaluated_without_an_error(prometheus, load):
    def groups() -> list[dict]:
        return prometheus.ask("rules")["groups"]

    def all_well() -> bool:
        return all(rule["health"] == "ok" for group in groups() for rule in group["rules"])

    assert ports.wait_until(all_well, WAIT_S), [rule for group in groups() for rule in group["rules"] if rule["health"] != "ok"]
    assert ports.wait_until(lambda: not firing(prometheus) & ALARMS, WAIT_S), firing(prometheus)


def test_objectives__then_every_recorded_one_has_seen_events(prometheus, load):
    wanted = {o.name for o in objectives()} - {"notifications-completion"}
    assert ports.wait_until(lambda: wanted <= {row["metric"]["slo"] for row in prometheus.query("slo:error_ratio:5m >= 0")}, WAIT_S)
    rows = {row["metric"]["slo"]: float(row["value"][1]) for row in prometheus.query("slo:error_ratio:5m")}
    assert rows["default-completion"] > 0.1  # demo.fail
    assert rows["produce-availability"] == 0 and rows["orders-completion"] == 0


def test_requests__then_each_is_of_its_route_and_class(prometheus, load):
    for labels in ('route="POST /v1/orders",class="command",code="201"', 'route="POST /v1/jobs",class="produce",code="202"',
                   'route="GET /v1/jobs/{id}",class="watch",code="200"', 'route="GET /v1/queues",class="read",code="200"',
                   'route="POST /v1/queues/{queue}/resume",class="operate"', 'route="GET /metrics",class="probe"', 'route="none",class="none",code="404"'):
        assert ports.wait_until(lambda: prometheus.query(f"penstock_{TRAFFIC}{{{labels}}}"), WAIT_S), labels


def test_exemplars__then_prometheus_keeps_traces(prometheus, load):
    for family in ("http_server_request_duration", "job_duration", "job_queue_wait", "event_delivery_duration"):
        query = f"penstock_{family}_seconds_bucket"
        ours = ports.wait_until(lambda: prometheus.ask("query_exemplars", query=query, start="0", end="4102444800"), WAIT_S)
        assert ours, family
        found = prometheus.ask("query_exemplars", query=query, start="0", end="4102444800")
        assert all(re.fullmatch("[0-9a-f]{32}", e["labels"]["trace_id"]) for row in found for e in row["exemplars"])


def test_overrun__then_the_longest_running_attempt_shows(client, prometheus, load):
    job = client.enqueue("demo.sleep", {"ms": 6000})
    ours = 'max(penstock_job_overrun_ratio{queue="default"}) > 0.01'
    assert ports.wait_until(lambda: prometheus.query(ours), WAIT_S)
    assert client.ended(job["id"])["state"] == "done"


# The API's own account

def cli(stack, *words: str) -> str:
    done = subprocess.run([BUILD / "penstock", *words], env={"PENSTOCK_URL": stack.api.url}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def kept(client, name: str) -> dict:
    answer = client.get("/v1/slo")
    return {} if answer.status_code == 503 else {row["name"]: row for row in answer.json()["items"]}[name]


def test_account__then_it_is_what_happened(stack, client, load):
    assert ports.wait_until(lambda: kept(client, "default-completion").get("total", 0) >= 6, KEPT_S + WAIT_S)
    answer = client.get("/v1/slo").json()
    assert [row["name"] for row in answer["items"]] == [o.name for o in objectives()]
    today = datetime.datetime.now(datetime.timezone.utc).date()
    assert answer["window"]["days"] == 30 and today - datetime.date.fromisoformat(answer["window"]["since"]) <= datetime.timedelta(days=1)
    for row in answer["items"]:
        n = row["total"]
        assert 0 <= row["good"] <= n and row["attained"] == (pytest.approx(row["good"] / n, abs=1e-5) if n else None)
        assert row["budget_left"] == (pytest.approx(1 - (n - row["good"]) / n / (1 - row["target"]), rel=1e-3, abs=1e-3) if n else None)
    completion = kept(client, "default-completion")
    assert completion["total"] - completion["good"] == stack.sql("SELECT count(*) FROM platform.dead_job WHERE queue = 'default'")[0][0]
    assert kept(client, "orders-completion")["attained"] == 1
    assert ports.wait_until(lambda: kept(client, "read-latency")["per_second"] is not None, KEPT_S)


def test_commands__then_a_table_and_csv(stack, client, load):
    rows = [line.split() for line in cli(stack, "slo").splitlines()]
    assert rows[0] == ["NAME", "WITHIN", "TARGET", "ATTAINED", "BUDGET", "TOTAL", "RPS"]
    assert [row[0] for row in rows[1:]] == [o.name for o in objectives()] and rows[1][1:3] == ["5", "99%"]
    assert {row[0]: row[1] for row in rows}["read-latency"] == "0.25"
    month = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m")
    report = list(csv.DictReader(io.StringIO(cli(stack, "slo", "report", "--month", month))))
    by_name = {row["name"]: row for row in report}
    assert list(by_name) == [o.name for o in objectives()] and {row["month"] for row in report} == {month}
    dead = by_name["default-completion"]
    assert (dead["kind"], dead["of"], dead["within_seconds"], dead["target"]) == ("completion", "default", "", "0.99")
    assert float(dead["attained"]) == pytest.approx(int(dead["good"]) / int(dead["total"]), abs=1e-5)
    empty = list(csv.DictReader(io.StringIO(cli(stack, "slo", "report", "--month", "2001-02"))))
    assert {(row["total"], row["attained"], row["budget_left"]) for row in empty} == {("0", "", "")}
    for bad in ("2026-13", "2026-1", "november", "26-11-01"):
        assert client.get(f"/v1/slo/report?month={bad}").status_code == 400
    stack.sql("INSERT INTO platform.slo_day VALUES ('2001-02-01', 'payments-start', 1, 2), ('2001-02-28', 'payments-start', 3, 3), "
              "('2001-03-01', 'payments-start', 0, 9)")
    sum_of = {row["name"]: (row["good"], row["total"]) for row in client.get("/v1/slo/report?month=2001-02").json()["items"]}
    assert sum_of["payments-start"] == (4, 5)


def counted(stack, name: str) -> int:
    return sum(n for (n,) in stack.sql("SELECT total FROM platform.slo_day WHERE slo = %s AND day > '2002-01-01'", name))


def test_restarts__then_alerts_say_so_and_no_count_is_lost(stack, client, prometheus, load):
    """Roles that end in peace say the rest; one that is killed has said what is older than five seconds; nobody says anything twice."""
    def ended() -> int:
        journal = stack.sql("SELECT count(*) FROM platform.job WHERE queue = 'default' AND state <> 'waiting'")[0][0]
        return journal + int(stack.redis_client().hget("pen:{default:0}:n", "done") or 0)  # and class stream

    for _ in range(7):
        assert client.ended(client.enqueue("demo.note", {"text": "restart"})["id"])["state"] == "done"
    posts = re.findall(rf'^penstock_{TRAFFIC}{{[^}}]*class="produce"[^}}]*}} (\d+)$', client.get("/metrics").text, re.M)
    assert stack.roles["worker"].stop() and stack.api.stop()  # at once: not all of that can have been said by the clock alone
    assert counted(stack, "default-completion") == ended()
    assert counted(stack, "produce-availability") == sum(map(int, posts)) > 7
    assert ports.wait_until(lambda: "PenstockDown" in firing(prometheus), WAIT_S)
    stack.api.start()
    waits = client.enqueue("demo.note", {"text": "killed"})["id"]
    assert ports.wait_until(lambda: {"NoWorkers"} <= firing(prometheus) and "PenstockDown" not in firing(prometheus), WAIT_S), firing(prometheus)
    stack.roles["worker"].start()
    assert client.ended(waits)["state"] == "done"
    assert ports.wait_until(lambda: not firing(prometheus) & ALARMS, WAIT_S), firing(prometheus)
    assert ports.wait_until(lambda: counted(stack, "default-completion") == ended(), KEPT_S)
    stack.roles["worker"].stop(signal.SIGKILL)
    stack.roles["worker"].start()
    assert client.ended(client.enqueue("demo.note", {"text": "after"})["id"])["state"] == "done"
    assert ports.wait_until(lambda: counted(stack, "default-completion") == ended(), KEPT_S)


def test_looking__then_fifty_looks_are_one_reading(client, load):
    assert len({client.get("/v1/slo").json()["read_at"] for _ in range(50)}) <= 2
