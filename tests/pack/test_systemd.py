"""The units: valid, closed, and no closer than the programs need."""
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from penstock_ops import ROOT
from penstock_ops.penstock import Api, Role
from penstock_ops.ports import wait_until
from penstock_ops.processes import children_of
from places import BUILD
from stack import Client, order

UNITS = ROOT / "ops" / "systemd"
SERVICES = ("api", "scheduler", "worker")
EXPOSURE_MAX = 2.0


def analyze(*words) -> subprocess.CompletedProcess:
    return subprocess.run(["systemd-analyze", *map(str, words)], capture_output=True, text=True, env={**os.environ, "SYSTEMD_PAGER": ""}, check=False)


@pytest.fixture(scope="module")
def units(tmp_path_factory) -> Path:
    """As shipped, but for the program's place: it is not installed here."""
    folder = tmp_path_factory.mktemp("units")
    for unit in UNITS.iterdir():
        text = unit.read_text(encoding="utf-8").replace("/usr/bin/penstock", str(BUILD / "penstock"))
        (folder / unit.name).write_text(text, encoding="utf-8")
    return folder


def test_units__verify_without_a_word(units):
    done = analyze("verify", "--man=no", *sorted(units.iterdir()))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", SERVICES)
def test_service__exposes_little(units, name):
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX * 10:.0f}", units / f"penstock-{name}.service")
    assert done.returncode == 0, done.stdout[-4000:]
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert float(exposure[1]) <= EXPOSURE_MAX, done.stdout


def calls_of(group: str) -> set[str]:
    found = set()
    for line in analyze("syscall-filter", group).stdout.splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            found |= calls_of(word)
        elif word and not word.startswith("#"):
            found.add(word)
    assert found, group
    return found


def allowed(name: str) -> set[str]:
    calls: set[str] = set()
    for value in re.findall("^SystemCallFilter=(.*)$", (UNITS / f"penstock-{name}.service").read_text(encoding="utf-8"), re.M):
        named = set().union(*(calls_of(word) if word.startswith("@") else {word} for word in value.lstrip("~").split()))
        calls = calls - named if value.startswith("~") else calls | named
    return calls


def test_services__ask_the_kernel_for_nothing_that_their_units_refuse(stack, tmp_path):
    """From their start to their end, with an order between, traced. Nor is memory made executable that was written to."""
    traced = {}
    roles = [Role(tmp_path, BUILD, name, stack.conf) for name in ("scheduler", "worker")] + [Api(tmp_path, BUILD, stack.conf)]
    for role in roles:
        traced[role.role] = tmp_path / f"{role.role}.trace"
        plain = role.argv()
        role.argv = lambda plain=plain, to=traced[role.role]: ["strace", "-f", "-qq", "-o", str(to), *plain]
    for role in stack.roles.values():
        role.stop()
    try:
        for role in roles:
            role.start()
        client = Client(roles[-1].url)
        assert client.post("/v1/orders", order(), key="traced").status_code in (201, 202)
        assert client.ended(client.enqueue("demo.note", {"text": "x"})["id"])["state"] == "done"
    finally:
        for role in roles:
            os.kill(children_of(role.pid)[0], signal.SIGTERM)  # strace itself passes nothing on
        assert all(wait_until(lambda role=role: not role.is_running(), 35) for role in roles)
        for role in stack.roles.values():
            role.start()
    for name, file in traced.items():
        text = file.read_text(encoding="utf-8", errors="replace")
        asked = set(re.findall(r"^\d+ +(\w+)\(", text, re.M)) - {"strace"}
        assert len(asked) > 30
        assert asked - allowed(name) == set(), name
        assert not re.search(r"PROT_WRITE\|PROT_EXEC|PROT_EXEC\|PROT_WRITE", text), name
