"""penstock dev: every role in one command, and none of them left behind."""
import os
import signal
import subprocess

import pytest

from penstock_ops import ports
from penstock_ops.processes import children_of
from stack import BUILD, Cli, Client, Stack, WAIT_S


@pytest.fixture
def dev(tmp_path):
    """Servers that nobody has migrated; dev() starts the command."""
    stack = Stack(tmp_path)
    started = []

    def begin() -> tuple[subprocess.Popen, Client]:
        listen = f"{ports.HOST}:{ports.any_free()}"
        cli = Cli({"PENSTOCK_CONFIG": str(stack.conf), "PENSTOCK_ADMIN_POSTGRES_URL": stack.postgres.admin_url,
                   "PENSTOCK_ADMIN_REDIS_URL": stack.redis.admin_url, "PENSTOCK_API_LISTEN": listen, "PENSTOCK_URL": f"http://{listen}"})
        with open(tmp_path / "dev.log", "wb") as log:
            process = subprocess.Popen([str(BUILD / "penstock"), "dev"], env=cli.env, stdout=log, stderr=log, cwd=tmp_path)
        started.append(process)
        assert ports.wait_until(lambda: process.poll() is not None or cli("health", code=None).code == 0, 60), said(tmp_path)
        return process, Client(f"http://{listen}")

    try:
        for server in (stack.redis, stack.postgres, stack.mail, stack.sim):
            server.start()
        stack.write_conf()
        yield begin
    finally:
        for process in started:
            process.kill()
            process.wait()
        stack.stop()


def said(folder) -> str:
    return (folder / "dev.log").read_text(encoding="utf-8")


def roles_of(process: subprocess.Popen) -> dict[str, int]:
    found = {}
    for pid in children_of(process.pid):
        with open(f"/proc/{pid}/cmdline", "rb") as words:
            found[words.read().split(b"\0")[1].decode()] = pid
    return found


def gone(pids) -> bool:
    return all(not os.path.exists(f"/proc/{pid}") for pid in pids)


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_dev_runs_every_role_until_it_is_ended(dev, tmp_path, sig):
    process, client = dev()
    assert client.ended(client.enqueue("demo.note", {"text": "x"})["id"])["state"] == "done"
    roles = roles_of(process)
    assert set(roles) == {"api", "scheduler", "worker"}
    process.send_signal(sig)
    assert process.wait(60) == 0, said(tmp_path)
    assert gone(roles.values())


def test_dev_ends_when_a_role_ends(dev, tmp_path):
    process, _ = dev()
    roles = roles_of(process)
    os.kill(roles["scheduler"], signal.SIGKILL)
    assert process.wait(60) == 70, said(tmp_path)
    assert gone(roles.values()) and "scheduler has ended" in said(tmp_path)


def test_dev_leaves_nothing_behind_when_it_is_killed(dev):
    process, _ = dev()
    roles = roles_of(process)
    process.kill()
    assert ports.wait_until(lambda: gone(roles.values()), 60)


def test_dev_says_what_is_missing(tmp_path):
    nowhere = f"postgresql://{ports.HOST}:{ports.any_free()}/penstock"
    said = Cli({"PENSTOCK_POSTGRES_URL": nowhere, "PENSTOCK_ADMIN_POSTGRES_URL": nowhere})
    done = subprocess.run([str(BUILD / "penstock"), "dev"], env=said.env, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode not in (0, 70) and "Postgres" in done.stderr + done.stdout, done
