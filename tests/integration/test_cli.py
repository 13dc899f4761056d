"""The operators' commands against a whole Penstock of their own: what they print, and their exit codes."""
import hashlib
import json
import re
import subprocess
import uuid

import pytest

from penstock_ops import ports
from stack import BUILD, UUID, Cli, Client, Said, enqueued, kill_one

LISTS = (("job", "list"), ("queue", "list"), ("dlq", "list"), ("worker", "list"), ("key", "list"), ("health",))


@pytest.fixture
def client(made) -> Client:
    return Client(made.api.url)


# ---- without a server ----


def bare(*words: str, code: int = 0, **env: str) -> Said:
    return Cli({"PENSTOCK_URL": f"http://{ports.HOST}:{ports.any_free()}"})(*words, code=code, **env)


def test_help_lists_every_command_and_exit_code():
    page = bare("help").out
    assert page == bare("--help").out
    commands = re.findall(r"^  ([a-z-]+(?: [a-z]+)?)", page, re.M)
    for command in ("enqueue", "job list", "queue pause", "dlq retry", "worker list", "scale", "doctor", "key create", "api"):
        assert any(c.startswith(command) for c in commands), command
    for code in (1, 2, 64, 65, 66, 69, 70, 74, 75, 76, 77, 78, 124):
        assert re.search(rf"^ +{code}  \S", page, re.M), code


def test_help_of_each_command():
    lines = re.findall(r"^  (\S+)(?: ([a-z]+))?(?: [^ ]+)*? {2,}\S|^  (worker-process)", bare("help").out, re.M)
    nouns = {noun or other for noun, _, other in lines if not (noun or other).isdigit()}
    for noun in nouns:
        said = bare(noun, "--help")
        assert said.out.startswith("usage:"), said.out
    said = bare("enqueue", "--help").out
    assert "--key KEY" in said and "--no-headers" in said and "--tenant" not in said


def test_version():
    assert re.fullmatch(r"penstock \d+\.\d+\.\d+\n", bare("version").out)
    assert set(bare("version", "-o", "json").json) == {"version"}
    assert bare("--version").out == bare("version").out


@pytest.mark.parametrize("words", [
    (), ("frob",), ("job",), ("job", "frob"), ("job", "get"), ("job", "get", "a", "b"), ("job", "list", "x"), ("job", "list", "--frob"),
    ("job", "list", "-o", "yaml"), ("job", "list", "--timeout", "soon"), ("job", "list", "--state"), ("enqueue",),
    ("enqueue", "demo.note", "--wait", "soon"), ("enqueue", "demo.note", "--at", "2030-01-01T00:00:00Z", "--delay", "5s"),
    ("scale", "default=x"), ("scale", "default="), ("scale", "default=1025"), ("scale", "=3"), ("scale", "a b"), ("scale", "default=-1"),
    ("dlq", "retry"), ("dlq", "retry", "--all"), ("dlq", "retry", "--queue", "default"), ("dlq", "retry", "id", "--limit", "3"),
    ("dlq", "retry", "--queue", "default", "--limit", "0"), ("dlq", "retry", "--queue", "default", "--all", "--limit", "1"),
    ("queue", "pause"), ("doctor", "x"), ("key", "revoke"), ("api", "x"), ("worker", "frob"),
])
def test_usage(words):
    done = subprocess.run([str(BUILD / "penstock"), *words], env=Cli({}).env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 64, done
    assert done.stdout == "" and done.stderr != ""


def test_nobody_listens():
    for words in LISTS[:4] + (("health",), ("job", "get", str(uuid.uuid4())), ("scale", "default=1")):
        said = bare(*words, code=69)
        assert "no answer from http://" in said.err and "PENSTOCK_URL" in said.err
    said = bare("enqueue", "demo.note", code=69)
    assert re.search(rf"repeat it with --key {UUID}\n$", said.err)
    assert "--key mine\n" in bare("enqueue", "demo.note", "--key", "mine", code=69).err


def test_environment_is_wrong():
    for url in ("ftp://127.0.0.1", "127.0.0.1", "http://", "http://a b"):
        assert "PENSTOCK_URL" in bare("queue", "list", code=78, PENSTOCK_URL=url).err
    for key in ("a b", "a\nX: y", "ü"):
        assert "PENSTOCK_KEY" in bare("queue", "list", code=78, PENSTOCK_KEY=key).err
    bare("key", "list", code=78, PENSTOCK_CONFIG="/nonexistent/penstock.conf")
    bare("key", "list", code=78, PENSTOCK_POSTGRES_URK="x")


def test_standard_output_is_full():
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([str(BUILD / "penstock"), "version"], stdout=full, stderr=subprocess.PIPE, env=Cli({}).env, timeout=30,
                              check=False)
    assert done.returncode == 74 and b"standard output" in done.stderr


# ---- the forms of output ----


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_output_forms(cli, words):
    cli("enqueue", "demo.note", "-d", '{"text":"form"}', "--wait", "30s")
    cli("key", "create", "--name", "form")
    kill_one(cli)
    table = cli(*words)
    assert table.rows[0][0] == "NAME" and table.rows[0][-1] == "AGE", table.out
    assert len(table.rows) > 1, table.out
    assert all(len(line) <= 80 for line in table.out.splitlines()), table.out
    assert all(re.fullmatch(r"\d+[smhd]", row[-1]) for row in table.rows[1:]), table.out
    bare_rows = cli(*words, "--no-headers").rows
    assert [row[0] for row in bare_rows] == [row[0] for row in table.rows[1:]]
    assert cli(*words, "-q").out.split() == [row[0] for row in bare_rows]
    answer = cli(*words, "-o", "json").json
    assert len(answer.get("items", [answer])) == len(bare_rows)


def test_json_is_the_answer_of_the_api(cli, client):
    assert cli("scale", "default", "-o", "json").out == client.get("/v1/scale/default").text + "\n"


# ---- enqueue ----


def test_enqueue_takes_its_payload_from_anywhere(cli, client, tmp_path):
    file = tmp_path / "payload.json"
    file.write_text('{"text": "from a file"}\n', encoding="utf-8")
    for words, stdin in ((("-d", '{"text":"here"}'), ""), (("-d", f"@{file}"), ""), (("-d", "-"), '{"text":"piped"}')):
        job = client.ended(enqueued(cli("enqueue", "demo.note", *words, stdin=stdin)))
        assert (job["state"], job["result"]) == ("done", {"noted": True})
    job = cli("enqueue", "demo.echo", "-d", '{"a":606.0,"b":[]}', "--wait", "30s", "-o", "json").json
    assert job["result"] == {"a": 606, "b": []}
    assert enqueued(cli("enqueue", "demo.noop"))


def test_enqueue_options_reach_the_job(cli, client):
    job = client.job(enqueued(cli("enqueue", "demo.note", "-d", '{"text":"x"}', "--delay", "2h", "--queue", "notifications")))
    assert (job["state"], job["queue"]) == ("delayed", "notifications")
    job = client.job(enqueued(cli("enqueue", "demo.note", "-d", '{"text":"x"}', "--at", "2026-01-01T00:00:00Z")))
    assert "due_at" not in job
    first, second = (enqueued(cli("enqueue", "demo.note", "-d", '{"text":"x"}', "--key", "cli-key")) for _ in range(2))
    assert first == second
    third = cli("enqueue", "demo.note", "-d", '{"text":"x"}', "-q").out
    assert re.fullmatch(UUID + "\n", third) and third.strip() != first


def test_enqueue_waits_for_the_end(cli):
    assert re.fullmatch(rf"job/{UUID} done\n", cli("enqueue", "demo.note", "-d", '{"text":"x"}', "--wait", "30s").out)
    assert cli("enqueue", "demo.sleep", "-d", '{"ms":10}', "--wait", "30s", "-o", "json").json["state"] == "done"
    dead = cli("enqueue", "demo.fail", "-d", '{"permanent":true}', "--wait", "30s", code=1)
    assert "the job is dead: refused" in dead.err and dead.err.count("\n") == 1
    slow = cli("enqueue", "demo.sleep", "-d", '{"ms":20000}', "--wait", "200ms", code=124)
    assert f"penstock job get {enqueued(slow)}" in slow.err
    untold = cli("enqueue", "demo.noop", "--wait", "30s")
    assert untold.out.endswith(" ended\n") and "keep no outcome" in untold.err


@pytest.mark.parametrize(("words", "why"), [
    (("demo.note", "-d", "{"), "line 1"),
    (("demo.note", "-d", "3"), "the payload"),
    (("demo.note", "-d", '{"text":"a","text":"b"}'), "the payload"),
    (("demo.note", "-d", '{"text":1e400}'), "the payload"),
    (("demo.note", "-d", '{"text":"a"},"queue":"default"'), "the payload"),
    (("demo.note", "-d", "[]"), "#/payload"),
    (("demo.note",), "#/payload"),
    (("demo.nope",), "demo.no"),
    (("order.place", "-d", "{}"), "; "),
    (("demo.noop", "--queue", "nope"), "nope"),
    (("demo.noop", "--at", "tomorrow"), "due_at"),
    (("demo.noop", "--delay", "999d"), "delay_ms"),
    (("demo.noop", "--key", "a b"), "--key"),
    (("demo.noop", "--key", ""), "--key"),
    (("demo.note", "-d", json.dumps({"text": "x" * 70000})), "; "),
])
def test_enqueue_is_refused(cli, words, why):
    said = cli("enqueue", *words, code=65)
    assert why in said.err and "repeat it" not in said.err and said.out == ""


def test_enqueue_refuses_what_it_cannot_read(cli, tmp_path):
    assert "No such file" in cli("enqueue", "demo.note", "-d", f"@{tmp_path}/none", code=66).err
    assert "larger" in cli("enqueue", "demo.note", "-d", "-", code=65, stdin="x" * 3_000_000).err
    cli("enqueue", "demo.note", "-d", f"@{tmp_path}", code=66)


# ---- job, queue, dlq, worker, scale, health ----


def test_job_list_filters_and_pages(cli):
    ids = [cli("enqueue", "demo.note", "-d", '{"text":"x"}', "--delay", "1h", "-q").out.strip() for _ in range(3)]
    page = cli("job", "list", "--state", "waiting", "--type", "demo.note", "--queue", "default", "--limit", "2")
    assert [row[0] for row in page.rows[1:]] == ids[:0:-1]
    cursor = re.fullmatch(rf"there is more: --cursor ({UUID})\n", page.err)[1]
    assert cli("job", "list", "--limit", "1", "--cursor", cursor, "--no-headers").rows[0][0] == ids[0]
    assert cli("job", "list", "--queue", "payments", "-q").out == ""
    cli("job", "list", "--state", "frob", code=65)
    cli("job", "list", "--limit", "x", code=65)
    for job in ids:
        assert cli("job", "cancel", job).out == f"job/{job} cancelled\n"


def test_job_get_and_cancel(cli):
    job = enqueued(cli("enqueue", "demo.note", "-d", '{"text":"x"}', "--delay", "1h"))
    assert cli("job", "get", job).rows[1][:4] == [job, "demo.note", "default", "delayed"]
    assert cli("job", "cancel", job, "-o", "json").json == {"id": job, "state": "cancelled"}
    assert cli("job", "get", job, "-o", "json").json["state"] == "cancelled"
    done = cli("enqueue", "demo.note", "-d", '{"text":"x"}', "--wait", "30s", "-q").out.strip()
    assert "done" in cli("job", "cancel", done, code=1).err
    for verb in ("get", "cancel", "retry"):
        cli("job", verb, str(uuid.uuid4()), code=66)
        cli("job", verb, "../queues", code=66)


def test_job_retry(cli, client):
    job = kill_one(cli)
    assert cli("job", "retry", job).out == f"job/{job} retried\n"
    assert client.ended(job)["generation"] == 1
    waiting = enqueued(cli("enqueue", "demo.note", "-d", '{"text":"x"}', "--delay", "1h"))
    assert "not dead" in cli("job", "retry", waiting, code=1).err


def test_queue(cli):
    assert {row[0] for row in cli("queue", "list").rows[1:]} >= {"default", "orders", "payments", "notifications"}
    assert cli("queue", "pause", "payments", "--reason", "test").out == "queue/payments paused\n"
    assert ports.wait_until(lambda: cli("queue", "get", "payments").rows[1][:2] == ["payments", "true"], 10)
    assert cli("queue", "resume", "payments", "-o", "json").json["paused"] is False
    assert ports.wait_until(lambda: cli("queue", "get", "payments", "-o", "json").json["paused"] is False, 10)
    for verb in ("get", "pause", "resume"):
        assert "nope" in cli("queue", verb, "nope", code=66).err
    cli("queue", "pause", "payments", "--reason", "x" * 300, code=65)
    cli("queue", "pause", "payments", "--reason", "x" * 5000, code=65)


def test_dlq(cli, made):
    job = kill_one(cli)
    assert job in cli("dlq", "list", "--queue", "default", "-q").out.split()
    assert job not in cli("dlq", "list", "--queue", "orders", "-q").out.split()
    row = cli("dlq", "get", job.upper()).rows[1]
    assert row[:4] == [job, "demo.fail", "1", "refused"]
    assert cli("dlq", "get", job, "-o", "json").json["errors"][-1]["code"] == "refused"
    assert cli("dlq", "retry", job).out == f"job/{job} retried\n"
    for missing in (str(uuid.uuid4()), "frob"):
        cli("dlq", "get", missing, code=66)
        cli("dlq", "retry", missing, code=66)


def test_dlq_retries_a_queue_once_each(cli, client):
    lines = "".join(json.dumps({"type": "demo.fail", "payload": {"permanent": True}, "key": f"dlq-{i}"}) + "\n" for i in range(70))
    client.ask("POST", "/v1/jobs:batch", data=lines, headers={"Content-Type": "application/x-ndjson"}).raise_for_status()

    def dead() -> set[str]:
        return set(cli("dlq", "list", "--queue", "default", "--limit", "500", "-q").out.split())

    assert ports.wait_until(lambda: len(dead()) >= 70, 30)
    cli("queue", "pause", "default")
    try:
        assert ports.wait_until(lambda: cli("queue", "get", "default", "-o", "json").json["depth"]["running"] == 0, 30)
        before = dead()
        few = cli("dlq", "retry", "--queue", "default", "--limit", "3", "-q").out.split()
        rest = cli("dlq", "retry", "--queue", "default", "--all", "--reason", "test").rows
        assert len(few) == 3
        assert sorted(few + [row[0].removeprefix("job/") for row in rest]) == sorted(before)
        assert cli("dlq", "retry", "--queue", "default", "--all").out == ""
    finally:
        cli("queue", "resume", "default")
    cli("dlq", "retry", "--queue", "nope", "--all", code=66)


def test_schedule(cli):
    nightly = ("schedule", "create", "nightly", "demo.note", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "-d", '{"text":"x"}')
    assert cli(*nightly).out == "schedule/nightly created\n"
    assert cli(*nightly, "-o", "json").json["missed"] == "once"
    cli(*nightly, "--missed", "all", code=1)  # another one of this name
    assert cli("schedule", "list", "-q").out == "nightly\n"
    header, row = cli("schedule", "list").out.splitlines()
    assert header.split() == ["NAME", "TYPE", "CRON", "TIMEZONE", "PAUSED", "NEXT", "AGE"] and max(len(header), len(row)) <= 80
    assert row.startswith("nightly") and row.endswith(" -") and "T0" in row
    assert cli("schedule", "pause", "nightly", "--reason", "test").out == "schedule/nightly paused\n"
    assert cli("schedule", "get", "nightly", "-o", "json").json["paused"] is True
    assert cli("schedule", "resume", "nightly").out == "schedule/nightly resumed\n"
    ran = cli("schedule", "run", "nightly", "--key", "cli-run").out
    assert re.fullmatch(rf"job/{UUID} enqueued\n", ran) and cli("schedule", "run", "nightly", "--key", "cli-run").out == ran
    assert cli("schedule", "delete", "nightly").out == "schedule/nightly deleted\n"
    cli("schedule", "get", "nightly", code=66)
    cli("schedule", "create", "nightly", "demo.note", code=64)
    said = cli("schedule", "create", "bad", "demo.note", "--cron", "61 * * * *", "-d", '{"text":"x"}', code=65)
    assert "column 1: minute must be 0 to 59, not 61" in said.err


def test_worker_list_shows_roles_and_queues(cli):
    def seen() -> set[tuple[str, str]]:
        return {(row[1], row[2]) for row in cli("worker", "list", "--no-headers").rows}

    wanted = {("worker", "default"), ("worker", "orders"), ("scheduler", "-"), ("worker", "-")}
    assert ports.wait_until(lambda: seen() >= wanted, 10), seen()


def test_scale(cli):
    assert cli("scale", "notifications=2", "--reason", "red\x1b[31m").out == "queue/notifications scaled to 2\n"
    assert cli("scale", "notifications").rows[1][:5] == ["notifications", "2", "true", "local", "red?[31m"]
    assert cli("scale", "notifications=auto", "-o", "json").json["pinned"] is False
    cli("scale", "notifications=1", "-q")
    cli("scale", "nope=1", code=66)


def test_health(cli):
    row = cli("health", "--no-headers").rows[0]
    assert row[1:4] == ["ready", "true", "true"]


# ---- key ----


def test_key_is_shown_once_and_opens_what_its_scopes_say(cli, made):
    said = cli("key", "create", "--scopes", "view,enqueue", "--tenant", "acme", "--name", "for the shop")
    key = said.out.strip()
    _, key_id, secret = key.split("_", 2)
    assert re.fullmatch(r"pen_[0-9a-f]{16}_[A-Za-z0-9_-]{43}\n", said.out) and key not in said.err
    stored = made.sql("SELECT secret_hash, tenant, scopes, name FROM platform.api_key WHERE id = %s", key_id)
    assert stored == [(hashlib.sha256(secret.encode()).digest(), "acme", ["view", "enqueue"], "for the shop")]
    assert secret not in cli("key", "list", "-o", "json").out
    cli("queue", "list", PENSTOCK_KEY=key)
    job = cli("enqueue", "demo.note", "-d", '{"text":"x"}', "--wait", "30s", "-o", "json", PENSTOCK_KEY=key).json
    assert job["tenant"] == "acme"
    said = cli("queue", "pause", "default", code=77, PENSTOCK_KEY=key)
    assert "operate" in said.err and secret not in said.err
    cli("queue", "list", code=77, PENSTOCK_KEY=f"pen_{key_id}_{secret[:-1]}")
    cli("queue", "list", code=77, PENSTOCK_KEY="pen_0_0")
    assert cli("key", "revoke", key_id).out == f"key/{key_id} revoked\n"
    assert cli("key", "revoke", key_id, "-q").out == f"{key_id}\n"
    assert ports.wait_until(lambda: Client(made.api.url, key).get("/v1/queues").status_code == 401, 8)
    audit = made.sql("SELECT action, tenant FROM platform.audit WHERE target = %s ORDER BY seq", key_id)
    assert audit == [("key.create", "acme"), ("key.revoke", "acme"), ("key.revoke", "acme")]


def test_key_rotated_then_both_secrets_open_until_the_old_ones_time_is_up(cli, made):
    opens = lambda key: Client(made.api.url, key).get("/v1/queues").status_code == 200
    first = cli("key", "create", "--scopes", "view").out.strip()
    key_id = first.split("_")[1]
    assert opens(first)
    second = cli("key", "rotate", key_id).out.strip()
    assert second.split("_")[1] == key_id and second != first
    assert ports.wait_until(lambda: opens(second), 8) and opens(first)
    assert second.split("_", 2)[2] not in cli("key", "list", "-o", "json").out
    third = cli("key", "rotate", key_id, "--overlap", "1s").out.strip()  # two are live at most
    assert ports.wait_until(lambda: opens(third) and not opens(first) and not opens(second), 10)
    assert opens(third)
    cli("key", "revoke", key_id)
    assert ports.wait_until(lambda: not opens(third), 8)
    cli("key", "rotate", key_id, code=66)
    cli("key", "rotate", "nope", code=66)
    cli("key", "rotate", key_id, "--overlap", "31d", code=64)
    audit = made.sql("SELECT action FROM platform.audit WHERE target = %s ORDER BY seq", key_id)
    assert audit == [("key.create",), ("key.rotate",), ("key.rotate",), ("key.revoke",)]


def test_key_json_and_refusals(cli, made):
    made_key = cli("key", "create", "-o", "json").json
    assert (made_key["tenant"], made_key["scopes"]) == ("default", ["view", "enqueue"]) and made_key["key"].startswith("pen_")
    for words in (("--tenant", "_system"), ("--tenant", "a b"), ("--tenant", ""), ("--scopes", "frob"), ("--scopes", ""),
                  ("--scopes", "view,"), ("--scopes", "view,,admin"), ("--name", "x" * 201)):
        before = made.sql("SELECT count(*) FROM platform.api_key")
        cli("key", "create", *words, code=65)
        assert made.sql("SELECT count(*) FROM platform.api_key") == before
    cli("key", "revoke", "nope", code=66)


def test_key_when_postgres_refuses(cli, made):
    admin = made.postgres.admin_url
    nobody = f"postgresql://{ports.HOST}:{ports.any_free()}/penstock"
    wrong = admin.replace(":admin@", ":wrong@")
    empty = admin.replace("/penstock", "/postgres")
    worker = admin.replace("postgres:admin@", f"penstock_worker:{made.secrets.value('postgres')}@")
    for url, code in ((nobody, 69), (wrong, 77), (empty, 78), (worker, 77)):
        said = cli("key", "list", code=code, PENSTOCK_ADMIN_POSTGRES_URL=url)
        assert "wrong" not in said.err and made.secrets.value("postgres") not in said.err
