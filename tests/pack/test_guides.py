"""docs/guides: what they name is there, and what they show runs."""
import json
import re
import subprocess

import pytest

from penstock_ops import ROOT
from penstock_ops.ports import wait_until
from penstock_ops.processes import clean_environment
from places import BUILD

GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
ONLY_IF_AWAY = {"postgres.server", "redis.info"}
MODULES = set(re.findall(r"^MODULE\((\w+)\)", (ROOT / "jobs/include/jobs/modules.def").read_text(encoding="utf-8"), re.M))


def text_of(name: str) -> str:
    return (ROOT / "docs" / "guides" / name).read_text(encoding="utf-8")


def checklist() -> list[str]:
    rows = re.findall(r"^\| (`.*?`) \| ", text_of("production.md"), re.M)
    return [name for row in rows for name in re.findall("`([^`]+)`", row)]


@pytest.fixture(scope="module")
def doctor(stack) -> list[dict]:
    env = {**clean_environment(), "PENSTOCK_CONFIG": str(stack.conf), "PENSTOCK_URL": stack.api.url}
    said = {}

    def healthy() -> bool:
        done = subprocess.run([str(BUILD / "penstock"), "doctor", "-o", "json"], env=env, capture_output=True, text=True, timeout=60, check=False)
        said["items"] = json.loads(done.stdout)["items"]
        return done.returncode == 0
    assert wait_until(healthy, 30), said
    return said["items"]


def general(name: str, queues: set[str]) -> str:
    """As the table has it: modules and queues have no names there."""
    server, _, what = name.partition(".")
    if server == "postgres" and what in MODULES:
        return "postgres.<module>"
    return "worker.<queue>" if server == "worker" and what in queues else name


def test_checklist__is_what_doctor_checks(doctor, stack):
    listed = checklist()
    assert len(listed) == len(set(listed))
    queues = {name for name, in stack.sql("SELECT name FROM platform.queue")}
    seen = {general(item["name"], queues) for item in doctor}
    assert seen == set(listed) - ONLY_IF_AWAY
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "ops" / "cli").glob("doctor*.c"))
    said = set(re.findall(r'doctor_say\(d, [^;"]*?"([a-z][a-z._]+)"', source))
    assert ONLY_IF_AWAY <= said <= set(listed), said - set(listed)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_guide__its_links_lead_somewhere(guide):
    for target in re.findall(r"\]\(([^)#:]+)\)", guide.read_text(encoding="utf-8")):
        assert (guide.parent / target).exists(), target


def test_readme__its_first_minute(stack):
    """As it stands, but for the places; ops/up has made them there, the stack here."""
    found = re.findall(r"^```sh first\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    assert len(found) == 1
    lines = [line for line in found[0].splitlines() if ".run/env" not in line and "doctor" not in line]  # doctor: the fixture's
    script = "\n".join(lines).replace("build/penstock", str(BUILD / "penstock")).replace(".run/pids", str(stack.dir / "pids"))
    env = {**clean_environment(), "PENSTOCK_CONFIG": str(stack.conf), "PENSTOCK_URL": stack.api.url}
    done = subprocess.run(["bash", "-e", "-c", script], env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"^job/\S+ done$", done.stdout, re.M)) == 2 and "notifications" in done.stdout


def test_capacity__its_statements_run_and_its_rows_are_measured(stack, client):
    client.ended(client.enqueue("demo.note", {"text": "x"})["id"])
    statements = re.findall(r"^```sql\n(.*?)^```$", text_of("capacity.md"), re.M | re.S)
    assert len(statements) == 3
    for statement in statements:
        assert stack.sql(statement.replace("%", "%%")), statement
    rows = set(re.findall(r'^    Row\("(\w+)"', (ROOT / "tests/bench/penstock_bench/rows.py").read_text(encoding="utf-8"), re.M))
    named = {row for listed in re.findall(r"--only (\S+)", text_of("capacity.md")) for row in listed.split(",")}
    assert named and named <= rows, named - rows


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_guide__names_commands_and_settings_that_exist(guide):
    text = guide.read_text(encoding="utf-8")
    known = set(re.findall(r'^(?:OPERATOR|COMMAND)\("(\w+)", "(\w*)"', (ROOT / "ops/cli/commands.def").read_text(encoding="utf-8"), re.M))
    for line in re.findall(r"`(penstock [a-z][^`]*)`", text) + re.findall(r"^\s*(penstock [a-z].*)$", text, re.M):
        words = line.split()
        assert (words[1], "") in known or (len(words) > 2 and (words[1], words[2]) in known), line
    settings = {f"{group}.{name}" for group, name in re.findall(r"^C_\w+\((\w+), (\w+)", (ROOT / "base/core/include/base/conf.def").read_text(encoding="utf-8"), re.M)}
    groups = {setting.split(".")[0] for setting in settings}
    for name in re.findall(r"`(\w+\.\w+)`", text):
        if name.split(".")[0] in groups:
            assert name in settings | set(checklist()), name
