"""Global options of the commands: forms of output, --field, --watch, --dry-run, --yes, profiles and which of them wins."""
import json
import os
import re
import signal
import subprocess
import uuid

import pytest

from penstock_ops import ports
from stack import BUILD, Cli, Said, enqueued

NOTE = ("demo.note", "-d", '{"text":"x"}')


# ---- output ----


def test_rows_as_lines_names_and_fields(cli):
    queues = cli("queue", "list", "-o", "json").json["items"]
    names = [q["name"] for q in queues]
    assert [json.loads(line)["name"] for line in cli("queue", "list", "-o", "jsonl").out.splitlines()] == names
    assert cli("queue", "list", "-o", "name").out.split() == [f"queue/{name}" for name in names]
    assert cli("queue", "list", "--field", ".name").out.split() == names
    assert cli("queue", "get", "default", "--field", ".limits.max_depth").out.strip() == str(queues[0]["limits"]["max_depth"])
    assert json.loads(cli("queue", "get", "default", "--field", ".depth").out)["parked"] == 0
    assert cli("queue", "get", "default", "--field", ".nope").out == "\n"
    assert all(re.fullmatch(rf"job/[0-9a-f-]{{36}}", line) for line in cli("job", "list", "-o", "name").out.split())


def test_wide_has_more_columns_and_cuts_nothing(cli):
    wide, narrow = (cli("queue", "list", "-o", form).out.splitlines()[0].split() for form in ("wide", "table"))
    assert set(wide) > set(narrow) and (wide[0], wide[-1]) == ("NAME", "AGE")
    for words in (("job", "list"), ("worker", "list"), ("dlq", "list")):
        assert len(cli(*words, "-o", "wide").rows[0]) > len(cli(*words).rows[0])


def test_changes_have_the_same_forms(cli):
    assert re.fullmatch(r"job/[0-9a-f-]{36}\n", cli("enqueue", *NOTE, "-o", "name").out)
    assert cli("enqueue", *NOTE, "--field", ".state").out == "waiting\n"
    assert cli("scale", "default=1", "--field", ".workers").out == "1\n"


# ---- watch ----


def test_watch_shows_what_changes(cli):
    job = enqueued(cli("enqueue", *NOTE, "--delay", "1h"))
    watch = subprocess.Popen([str(BUILD / "penstock"), "job", "get", job, "-w"], env=cli.env, stdout=subprocess.PIPE, text=True)
    try:
        assert watch.stdout.readline().split()[0] == "NAME"
        assert watch.stdout.readline().split()[:4] == [job, "demo.note", "default", "delayed"]
        cli("job", "cancel", job)
        assert watch.stdout.readline().split()[:4] == [job, "demo.note", "default", "cancelled"]
        assert watch.poll() is None
    finally:
        watch.send_signal(signal.SIGINT)
        assert watch.wait(20) == -signal.SIGINT


def test_watch_ends_with_its_reader_and_with_the_first_failure(cli):
    cli("job", "get", str(uuid.uuid4()), "-w", code=66)
    watch = subprocess.Popen([str(BUILD / "penstock"), "queue", "list", "-w", "--field", ".depth"], env=cli.env,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert json.loads(watch.stdout.readline())
    watch.stdout.close()
    cli("enqueue", *NOTE, "--delay", "1h")
    assert watch.wait(30) == 74
    watch.stderr.close()


# ---- dry run, yes ----


def test_dry_run_changes_nothing(cli):
    job = enqueued(cli("enqueue", *NOTE, "--delay", "1h"))
    before = cli("job", "list", "-o", "json").json
    assert cli("job", "cancel", job, "--dry-run", code=2).out == f"job/{job} cancelled (dry run)\n"
    assert cli("enqueue", *NOTE, "--dry-run", code=2).out == "type/demo.note enqueued (dry run)\n"
    request = cli("enqueue", *NOTE, "--dry-run", "-o", "json", code=2).json
    assert (request["method"], request["path"], request["body"]["payload"]) == ("POST", "/v1/jobs", {"text": "x"})
    assert cli("queue", "pause", "default", "--dry-run", code=2).out == "queue/default paused (dry run)\n"
    assert cli("scale", "default=7", "--dry-run", code=2).out == "queue/default scaled to 7 (dry run)\n"
    cli("queue", "pause", "nope", "--dry-run", code=66)
    cli("job", "cancel", str(uuid.uuid4()), "--dry-run", code=66)
    assert "delayed" in cli("job", "retry", job, "--dry-run", code=1).err
    assert cli("job", "list", "-o", "json").json == before
    assert cli("queue", "get", "default", "--field", ".paused").out == "false\n"
    cli("job", "cancel", job)
    assert "cancelled" in cli("job", "cancel", job, "--dry-run", code=1).err


def test_bulk_asks_first(cli):
    lines = "".join(json.dumps({"type": "demo.fail", "payload": {"permanent": True}, "key": f"bulk-{i}"}) + "\n" for i in range(101))
    url = cli("config", "get", "url").out.strip()
    subprocess.run(["curl", "-sf", "-o", os.devnull, "-H", "Content-Type: application/x-ndjson", "--data-binary", "@-",
                    f"{url}/v1/jobs:batch"], input=lines, text=True, check=True)

    def dead() -> int:
        return int(cli("queue", "get", "default", "--field", ".depth.dead").out)

    assert ports.wait_until(lambda: dead() > 100, 60)
    n = dead()
    assert cli("dlq", "retry", "--queue", "default", "--all", "--dry-run", code=2).out == \
        f"queue/default: {n} dead jobs retried (dry run)\n"
    assert "--yes" in cli("dlq", "retry", "--queue", "default", "--all", code=64).err
    assert dead() == n
    rows = cli("dlq", "retry", "--queue", "default", "--all", "--yes", "-o", "jsonl").out.splitlines()
    assert sum(len(json.loads(row)["retried"]) for row in rows) >= 101


# ---- profiles ----


@pytest.fixture
def home(tmp_path):
    """Commands without a server, with a home of their own."""
    run = Cli({"XDG_CONFIG_HOME": str(tmp_path), "HOME": "/nonexistent"})
    run.file = tmp_path / "penstock" / "config"
    return run


def in_force(said: Said) -> dict[str, tuple[str, str]]:
    return {row["name"]: (row["value"], row["from"]) for row in said.json["items"]}


def test_profile_is_kept_for_its_owner_alone(home):
    key = "pen_12_" + "s" * 40
    assert home("config", "set", "url", "https://a.example").out == "profile/default set\n"
    home("config", "set", "key", "-", stdin=key + "\n")
    assert home.file.stat().st_mode & 0o777 == 0o600 and home.file.parent.stat().st_mode & 0o777 == 0o700
    said = home("config", "get")
    assert key not in said.out and "pen_12_***" in said.out
    assert home("config", "get", "key").out == key + "\n"
    home.file.chmod(0o640)
    assert "chmod 600" in home("config", "get", code=78).err
    assert "chmod 600" in home("version", code=78).err


def test_profile_is_chosen_and_the_nearest_word_wins(home):
    for profile in ("staging", "prod"):
        home("config", "set", "url", f"https://{profile}.example", "--profile", profile)
    home("config", "set", "output", "wide", "--profile", "prod")
    assert in_force(home("config", "get", "-o", "json"))["url"] == ("http://127.0.0.1:8080", "default")
    assert home("config", "use", "prod").out == "profile/prod used\n"
    assert in_force(home("config", "get", "-o", "json"))["url"] == ("https://prod.example", "profile:prod")
    said = in_force(home("config", "get", "-o", "json", PENSTOCK_PROFILE="staging"))
    assert said["url"] == ("https://staging.example", "profile:staging") and said["output"] == ("json", "--output")
    said = in_force(home("config", "get", "-o", "json", "--profile", "prod", PENSTOCK_PROFILE="staging", PENSTOCK_TIMEOUT="3s"))
    assert said["url"] == ("https://prod.example", "profile:prod") and said["timeout"] == ("3s", "PENSTOCK_TIMEOUT")
    assert home("config", "get", "url", PENSTOCK_URL="http://here").out == "http://here\n"
    assert in_force(home("config", "get", "-o", "json", PENSTOCK_OUTPUT="table"))["output"] == ("json", "--output")
    assert json.loads(home("version", PENSTOCK_OUTPUT="json").out)
    home("config", "set", "output", "", "--profile", "prod")
    assert in_force(home("config", "get", "-o", "json"))["url"][1] == "profile:prod"
    assert "https://prod.example" in home("queue", "list", "--timeout", "100ms", code=None).err


@pytest.mark.parametrize(("words", "code"), [
    (("set", "frob", "x"), 66), (("get", "frob"), 66), (("get", "key"), 66), (("set", "url", "ftp://x"), 65), (("set", "key", "a b"), 65),
    (("set", "output", "yaml"), 65), (("set", "timeout", "soon"), 65), (("use", "nope"), 66), (("set", "url"), 64),
    (("set", "url", "http://x", "--profile", "a b"), 78), (("set", "key", "-"), 66),
])
def test_profile_refuses(home, words, code):
    home("config", *words, code=code)
    assert not home.file.exists()


def test_profile_that_is_not_there_or_broken(home):
    assert "no profile nope" in home("queue", "list", "--profile", "nope", code=78).err
    home("config", "set", "url", "https://a.example")
    home.file.write_text("[default]\nfrob\n", encoding="utf-8")
    assert "line 2" in home("queue", "list", code=78).err
    assert home("queue", "list", "--help").out.startswith("usage:")


# ---- snooze ----


def test_a_delayed_job_is_snoozed(cli):
    job = enqueued(cli("enqueue", *NOTE, "--delay", "1h"))
    assert ports.wait_until(lambda: cli("job", "get", job, "--field", ".state").out == "delayed\n", 20)
    assert cli("job", "snooze", job, "--for", "2h", "--dry-run", code=2).out == f"job/{job} snoozed (dry run)\n"
    assert cli("job", "snooze", job, "--until", "2099-01-01T00:00:00Z", code=65).err
    due = cli("job", "snooze", job, "--for", "2h", "--reason", "later", "-o", "json").json["due_at"]
    assert cli("job", "get", job, "--field", ".due_at").out.strip() == due
    assert cli("job", "snooze", job, "--for", "0s").out == f"job/{job} snoozed\n"
    assert ports.wait_until(lambda: cli("job", "get", job, "--field", ".state").out == "done\n", 20)
    cli("job", "snooze", job, "--for", "1h", code=1)
    for words in ((), ("--for", "x"), ("--for", "1h", "--until", "2026-12-01T00:00:00Z")):
        cli("job", "snooze", job, *words, code=64)
