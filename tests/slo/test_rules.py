"""What ships for Prometheus and Alertmanager: accepted by their own tools, every alert tried, and every command of a runbook there."""
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from penstock_ops import ROOT, ports
from penstock_ops.monitoring import objectives
from penstock_ops.prometheus_server import SHIPPED, program
from stack import BUILD

HERE = Path(__file__).parent
RUNBOOKS = sorted((ROOT / "ops" / "runbooks").glob("*.md"))
CASES = sorted(HERE.glob("*_test.yml"))
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
USAGE = 64


def run(*words) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def alerts() -> list[str]:
    return [name for rules in sorted(SHIPPED.glob("*.rules.yml")) for name in re.findall(r"- alert: (\w+)$", rules.read_text(encoding="utf-8"), re.M)]


def test_configuration__then_promtool_accepts_it():
    said = run(program("promtool"), "check", "config", "--lint-fatal", SHIPPED / "prometheus.yml")
    assert said.count("SUCCESS") == 4 and "alerts.rules.yml" in said and "slo.rules.yml" in said, said


def test_alertmanager__then_amtool_accepts_it():
    said = run(program("amtool", "prometheus-alertmanager"), "check-config", SHIPPED / "alertmanager.yml")
    assert "SUCCESS" in said and "2 receivers" in said, said
    severities = set(re.findall(r"severity: (\w+)", "".join(path.read_text(encoding="utf-8") for path in SHIPPED.glob("*.rules.yml"))))
    assert severities == {"page", "ticket"}
    for severity in severities:
        run(program("amtool", "prometheus-alertmanager"), "config", "routes", "test", f"--config.file={SHIPPED / 'alertmanager.yml'}",
            f"--verify.receivers={severity}", f"severity={severity}", "alertname=NoWorkers")


@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_rules__then_each_case_comes_out(cases):
    assert "SUCCESS" in run(program("promtool"), "test", "rules", cases)


def test_alerts__then_each_has_a_case_in_which_it_fires_and_one_in_which_not():
    text = "".join(path.read_text(encoding="utf-8") for path in CASES)
    fire = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:\n", text))
    quiet = set(re.findall(r"alertname: (\w+), exp_alerts: \[\]", text))
    assert len(alerts()) == len(set(alerts())) > 15
    assert fire == quiet == set(alerts())


def test_alerts__then_each_has_a_runbook_of_its_name_and_says_so():
    text = "".join(path.read_text(encoding="utf-8") for path in SHIPPED.glob("*.rules.yml"))
    assert re.findall(r"runbook_url: ops/runbooks/(\w+)\.md$", text, re.M) == re.findall(r"- alert: (\w+)$", text, re.M)
    assert {path.stem for path in RUNBOOKS} == set(alerts())


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda path: path.stem)
def test_runbook__then_it_has_its_sections(runbook):
    text = runbook.read_text(encoding="utf-8")
    assert text.startswith(f"# {runbook.stem}\n") and re.findall(r"^## (.*)$", text, re.M) == SECTIONS
    assert all(part.strip() for part in re.split(r"^## .*$", text, flags=re.M)[1:])


def commands() -> list[str]:
    blocks = [block for path in RUNBOOKS for block in re.findall(r"^```sh\n(.*?)^```$", path.read_text(encoding="utf-8"), re.M | re.S)]
    return sorted({line for block in blocks for line in block.splitlines()})


@pytest.mark.parametrize("command", commands())
def test_runbook_command__then_it_is_there(command):
    """The command line takes it; with nobody to ask, it comes no further. What is asked of the API by hand is one of its routes."""
    words = shlex.split(command, comments=True)
    if words[0] == "curl":
        paths = re.findall(r'^R\(\w+, "\w+", "([^"]+)"', (ROOT / "api/src/routes.def").read_text(encoding="utf-8"), re.M)
        assert re.sub(r"^http://127.0.0.1:8080", "", words[-1]) in paths
        return
    assert words[0] == "penstock", "a runbook has commands of penstock and curl"
    nobody = {"PENSTOCK_URL": f"http://{ports.HOST}:1", "PATH": "/usr/bin:/bin", "PENSTOCK_POSTGRES_URL": f"postgresql://{ports.HOST}:1/x",
              "PENSTOCK_REDIS_URL": f"redis://{ports.HOST}:1"}
    done = subprocess.run([BUILD / "penstock", *words[1:]], env=nobody, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode not in (0, USAGE), done.stderr
    assert "is penstock api running there?" in done.stderr or words[1] == "doctor", done.stderr


def test_objectives__then_the_api_and_the_rules_have_the_same():
    rules = (SHIPPED / "slo.rules.yml").read_text(encoding="utf-8")
    rows = re.findall(r"^([A-Z]+)\(([a-z]+),", (ROOT / "ops/slo.def").read_text(encoding="utf-8"), re.M)
    assert [o.name for o in objectives()] == [f"{of}-{kind.lower()}" for kind, of in rows]
    for o in objectives():
        assert rules.count(f"slo: {o.name}, ") == 3, o  # budget, events, errors
