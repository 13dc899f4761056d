"""Commands over what the dashboard's routes tell: groups of the dead, orders and payments, audit, demo events."""
import json
import re

import pytest

from penstock_ops import ports
from stack import Client, UUID, WAIT_S, kill_one
from test_cli_weather import answering


@pytest.fixture
def client(made) -> Client:
    return Client(made.api.url)


# ---- the dead ----


def group_of(cli, job: str) -> str:
    return next(row["fingerprint"] for row in cli("dlq", "list", "--limit", "500", "-o", "json").json["items"] if row["id"] == job)


def test_dead_jobs_by_group(cli):
    job = kill_one(cli)
    group = group_of(cli, job)
    assert ports.wait_until(lambda: group in cli("dlq", "groups", "-q").out.splitlines(), WAIT_S)
    row = next(row for row in cli("dlq", "groups", "-o", "json").json["items"] if row["fingerprint"] == group)
    header, *rows = cli("dlq", "groups", "--queue", "default").out.splitlines()
    assert header.split() == ["NAME", "QUEUE", "TYPE", "COUNT", "TREND", "SINCE", "AGE"] and all(len(line) <= 80 for line in rows)
    assert row["type"] == "demo.fail" and cli("dlq", "groups", "--queue", "orders", "-q").out == ""
    assert job in cli("dlq", "show", group, "-q").out.split()
    assert job in cli("dlq", "list", "--fingerprint", group, "-q").out.split()
    assert cli("dlq", "show", "no such group", "-q").out == ""
    code = cli("job", "logs", job, "--field", ".code").out.split()
    assert code == ["refused"] and cli("job", "logs", job).rows[0] == ["NAME", "CLASS", "ATTEMPT", "DETAIL", "AGE"]


def test_a_group_is_discarded_restored_and_retried(cli):
    jobs = {kill_one(cli) for _ in range(2)}
    group = group_of(cli, next(iter(jobs)))
    n = len(cli("dlq", "show", group, "-q").out.split())
    of = ("--queue", "default", "--fingerprint", group)
    assert cli("dlq", "discard", *of, "--dry-run", code=2).out == f"queue/default: {n} dead jobs discarded (dry run)\n"
    assert len(cli("dlq", "show", group, "-q").out.split()) == n
    assert cli("dlq", "discard", *of, "--reason", "test").out == f"queue/default: {n} dead jobs discarded\n"
    assert cli("dlq", "show", group, "-q").out == ""
    cli("dlq", "discard", *of, "--dry-run", code=0)
    assert cli("dlq", "restore", *of).out == f"queue/default: {n} dead jobs restored\n"
    assert set(cli("dlq", "show", group, "-q").out.split()) >= jobs
    one, other = jobs
    assert cli("dlq", "discard", one, "--queue", "default", "-o", "json").json["discarded"] == 1
    assert cli("dlq", "retry", other, "--queue", "default", "-q").out == f"{other}\n"
    assert set(cli("dlq", "restore", "--queue", "default", "--all", "-o", "jsonl").json) == {"restored", "left"}
    audit = cli("audit", "list", "--action", "dlq.discard", "-o", "json").json["items"]
    assert audit and cli("audit", "list", "--action", "dlq.discard").rows[0] == ["NAME", "ACTION", "AUTHOR", "REASON", "AGE"]


def test_dead_jobs_are_exported(cli):
    jobs = {kill_one(cli) for _ in range(3)}
    said = cli("dlq", "export", "--queue", "default")
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert {row["id"] for row in rows} >= jobs and all(row["queue"] == "default" for row in rows) and said.err == ""
    assert len({row["id"] for row in rows}) == len(rows)
    assert cli("dlq", "export", "--queue", "orders").out == ""


@pytest.mark.parametrize("words", [
    ("discard", "x"), ("discard", "--queue", "default"), ("restore", "--all"), ("discard", "--queue", "default", "--all", "--fingerprint", "x"),
    ("discard", "--queue", "default", "x", "--all"),
])
def test_which_dead_jobs_must_be_clear(cli, words):
    assert "wants --queue with either" in cli("dlq", *words, code=64).err


# ---- business ----


def test_what_is_triggered_happens_and_shows(cli, client):
    order = re.fullmatch(rf"order/({UUID}) confirmed\n", cli("trigger", "order.paid").out)[1]
    assert cli("order", "get", order).rows[1][:2] == [order, "confirmed"]
    payment = cli("order", "get", order, "--field", ".payment_id").out.strip()
    assert ports.wait_until(lambda: cli("payment", "get", payment, "--field", ".captured_minor").out == "2500\n", WAIT_S)
    assert cli("payment", "get", payment).rows[0] == ["NAME", "STATUS", "AMOUNT", "CURRENCY", "AGE"]
    for noun, thing in (("order", order), ("payment", payment)):
        header, *rows = cli(noun, "timeline", thing).rows
        assert header == ["NAME", "SOURCE", "STATE", "TIME", "AGE"] and len(rows) > 1
    cli("order", "get", payment, code=66)


@pytest.mark.parametrize(("event", "said"), [
    ("order.confirmed", rf"order/{UUID} confirmed\n"), ("order.declined", r"order/\S+ declined\n"),
    ("order.canceled", rf"order/{UUID} confirmed\norder/{UUID} \w+\n"), ("payment.refunded", rf"order/{UUID} confirmed\npayment/{UUID} \w+\n"),
    ("payment.voided", rf"order/{UUID} confirmed\npayment/{UUID} \w+\n"), ("job.done", rf"job/{UUID} waiting\n"),
    ("job.dead", rf"job/{UUID} waiting\n"),
])
def test_each_event_can_be_triggered(cli, event, said):
    out = cli("trigger", event).out
    assert re.fullmatch(said, out), out


def test_trigger_asks_before_it_acts_elsewhere(cli):
    assert "order.paid" in cli("trigger", "order.lost", code=64).err
    assert "--yes" in cli("trigger", "job.done", code=64, PENSTOCK_URL="http://192.0.2.1").err


def test_a_notification_shows(cli, client):
    job = client.post("/v1/notifications", {"channel": "email", "to": "a@example.com", "subject": "s", "text": "t"}, "cli-mail").json()["id"]
    client.ended(job)
    assert cli("notification", "get", job).rows[1][:2] == [job, "email"]
    assert cli("notification", "timeline", job).rows[0][0] == "NAME"


def test_a_server_without_a_route_says_so():
    with answering((404, b'{"title":"No such route","code":"no_route"}')) as cli:
        assert "No such route" in cli("dlq", "groups", code=66).err
