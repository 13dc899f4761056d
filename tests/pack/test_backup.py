"""docs/guides/backup.md, its blocks run as they stand: Postgres is lost, and what was there at the backup is there again."""
import os
import re
import shutil
import subprocess

import pytest

from penstock_ops import ROOT
from penstock_ops.ports import wait_until
from penstock_ops.processes import clean_environment
from places import BUILD
from stack import Client, Stack, new_key, order

GUIDE = ROOT / "docs" / "guides" / "backup.md"


@pytest.fixture
def stack(tmp_path):
    made = Stack(tmp_path / "stack", build=BUILD)
    try:
        yield made.start()
    finally:
        made.stop()


class Guide:
    def __init__(self, stack: Stack, backup):
        self.stack, self.backup = stack, backup
        backup.mkdir()

    def block(self, name: str) -> str:
        found = re.findall(rf"^```sh {name}\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.M | re.S)
        assert len(found) == 1, name
        return found[0]

    def run(self, name: str) -> None:
        """/etc/penstock is the stack's folder; what systemctl would do, the test does."""
        etc = self.stack.dir / "etc"
        etc.mkdir(exist_ok=True)
        for file in (self.stack.conf, self.stack.secrets.file("redis"), self.stack.secrets.file("postgres")):
            shutil.copy(file, etc / (file.name if file == self.stack.conf else f"{file.name}.password"))
        lines = [line.replace("/etc/penstock", str(etc)) for line in self.block(name).splitlines()]
        script = "\n".join(line for line in lines if not line.startswith(("systemctl", "penstock doctor")))
        env = {**clean_environment(), "BACKUP": str(self.backup), "PENSTOCK_CONFIG": str(self.stack.conf), "PENSTOCK_URL": self.stack.api.url,
               "PENSTOCK_ADMIN_POSTGRES_URL": self.stack.postgres.admin_url, "PENSTOCK_ADMIN_REDIS_URL": self.stack.redis.admin_url}
        env["PATH"] = f"{BUILD}:/usr/lib/postgresql/15/bin:{env['PATH']}"
        done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", script], env=env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def lose_postgres(stack: Stack) -> None:
    """Redis stays, with what came after the backup: the guide has to see to that."""
    stack.postgres.kill9()
    shutil.rmtree(stack.postgres.data)
    stack.postgres.start()


def effects(stack: Stack) -> list:
    return stack.sql("SELECT root_id, step, outcome FROM orders.effect UNION ALL SELECT root_id, step, outcome FROM custom.effect ORDER BY 1, 2")


def test_guide__backup_and_restore(stack, tmp_path):
    client = Client(stack.api.url)
    guide = Guide(stack, tmp_path / "backup")
    ordered = client.post("/v1/orders", order(), key="ordered")
    assert ordered.status_code == 201, ordered.text
    done = client.ended(client.enqueue("demo.note", {"text": "done"}, key="done")["id"])
    assert client.post("/v1/queues/default/pause", {"reason": "backup"}).status_code == 200
    assert wait_until(lambda: client.get("/v1/queues/default").json()["paused"], 10)
    waiting = [client.enqueue("demo.note", {"text": f"waits {i}"})["id"] for i in range(20)]
    delayed = client.enqueue("demo.note", {"text": "delayed"}, delay_ms=3000)["id"]
    before = effects(stack)

    guide.run("backup")
    after_key = new_key()
    after = client.enqueue("demo.note", {"text": "after"}, key=after_key)["id"]
    assert client.post("/v1/queues/default/resume", {}).status_code == 200
    for job in (*waiting, delayed, after):  # Redis forgets them now, and the backup does not know
        assert client.ended(job)["state"] == "done"

    for role in (stack.api, *stack.roles.values()):
        role.stop()
    lose_postgres(stack)
    guide.run("restore")
    for role in (*stack.roles.values(), stack.api):
        role.start()

    client = Client(stack.api.url)
    again = client.post("/v1/orders", order(), key="ordered")
    assert (again.status_code, again.content) == (ordered.status_code, ordered.content)
    assert client.job(done["id"])["state"] == "done"
    assert effects(stack) == before  # nothing of what had ended ran again
    assert client.get(f"/v1/jobs/{after}").status_code == 404
    assert client.enqueue("demo.note", {"text": "after"}, key=after_key)["id"] != after  # so it can be had now
    assert client.post("/v1/queues/default/resume", {}).status_code == 200
    for job in (*waiting, delayed):
        assert client.ended(job)["state"] == "done"
    assert wait_until(lambda: doctor_finds_nothing(stack), 30)


def doctor_finds_nothing(stack: Stack) -> bool:
    env = {**clean_environment(), "PENSTOCK_CONFIG": str(stack.conf), "PENSTOCK_URL": stack.api.url, "PATH": os.environ["PATH"]}
    return subprocess.run([str(BUILD / "penstock"), "doctor", "-q"], env=env, capture_output=True, timeout=60, check=False).stdout == b""
