"""Many jobs from lines: penstock enqueue --bulk, through refusals for a time and lost connections, each once; penstock dlq import."""
import json
import os
import pty
import socket
import struct
import subprocess

import pytest

from penstock_ops import ports
from stack import BUILD, WAIT_S, Client, kill_one, new_key
from test_cli_weather import answering


def line(n: int, **more) -> str:
    return json.dumps({"type": "demo.note", "payload": {"text": f"note {n}"}, **more})


def notes(made, like: str) -> int:
    return made.sql("SELECT count(*) FROM platform.job WHERE convert_from(payload, 'UTF8') LIKE %s", like)[0][0]


@pytest.fixture
def file(tmp_path):
    """file(lines): its path."""
    def write(lines: list[str]) -> str:
        path = tmp_path / "jobs.ndjson"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)
    return write


def test_lines_become_jobs_and_the_same_file_again_adds_none(cli, made, file):
    run = new_key()
    path = file([line(n, key=f"{run}-{n}", deadline_ms=3600000) for n in range(1201)])  # more than two requests
    assert cli("enqueue", "--bulk", path, "--dry-run", code=2).out == "1201 jobs enqueued, 0 of them before; 0 lines refused (dry run)\n"
    assert notes(made, "%note%") == 0
    assert cli("enqueue", "--bulk", path).out == "1201 jobs enqueued, 0 of them before; 0 lines refused\n"
    assert cli("enqueue", "--bulk", path, "-o", "json").json == {"enqueued": 1201, "replayed": 1201, "refused": 0}
    assert notes(made, '%"note %') == 1201


def test_lines_without_keys_from_standard_input(cli, made):
    lines = "\n".join(["", line(1, queue="orders"), "  ", line(1, queue="orders")])  # the last without a line feed
    said = cli("enqueue", "--bulk", "-", "-o", "jsonl", stdin=lines)
    rows = [json.loads(row) for row in said.out.splitlines()]
    assert [(row["line"], row["status"], row["queue"], row["replayed"]) for row in rows] == [(2, 202, "orders", False), (4, 202, "orders", False)]
    assert cli("enqueue", "--bulk", "-", "-q", stdin=line(7)).out.strip() not in ("", rows[0]["id"])
    assert cli("enqueue", "--bulk", "-", stdin="").out == "0 jobs enqueued, 0 of them before; 0 lines refused\n"


def test_lines_that_cannot_be_read_to_the_end_then_what_was_read_and_not_sent_is_named(cli, made):
    run = new_key()
    with socket.create_server(("127.0.0.1", 0)) as door, socket.create_connection(door.getsockname()) as far:
        near, _ = door.accept()
        far.sendall("".join(line(n, key=f"{run}-{n}") + "\n" for n in range(3)).encode())
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # it ends by a reset, behind what was sent
        far.close()
        with near:
            said = subprocess.run([str(BUILD / "penstock"), "enqueue", "--bulk", "-"], env=cli.env, stdin=near, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (66, "0 jobs enqueued, 0 of them before; 0 lines refused\n"), said.stderr
    assert "cannot be read" in said.stderr and "line 1 and what is behind it were not taken" in said.stderr, said.stderr


def test_refused_lines_are_named_and_the_others_go(cli, made, file):
    lines = [line(i) for i in range(600)]
    lines[1], lines[300], lines[549], lines[599] = '{"type":"demo.note"', line(3, type="no.such"), '{"type":"demo.note","payload":{}}', "[]"
    said = subprocess.run([str(BUILD / "penstock"), "enqueue", "--bulk", file(lines)], env=cli.env, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (65, "596 jobs enqueued, 0 of them before; 4 lines refused\n")
    told = sorted(row.removeprefix("penstock enqueue: ").split(":")[0] for row in said.stderr.splitlines())
    assert told == ["line 2", "line 301", "line 550", "line 600"], said.stderr
    assert "no.such" in said.stderr and "text" in said.stderr


def test_refusals_for_a_time_are_waited_for(cli, made, file):
    client = Client(made.api.url)
    path = file([line(i, key=f"{new_key()}") for i in range(60)])
    client.ask("PUT", "/v1/limits/type:demo.note", json={"rate_per_second": 20, "burst": 20, "reason": "test"}).raise_for_status()
    try:
        assert ports.wait_until(lambda: any(client.post("/v1/jobs", {"type": "demo.note", "payload": {"text": "x"}}, new_key()).status_code == 429 for _ in range(30)), WAIT_S)
        assert cli("enqueue", "--bulk", path, "--wait", "0s", code=75).err.endswith("and what is behind it were not taken\n")
        assert cli("enqueue", "--bulk", path, "-o", "json").json["enqueued"] == 60
    finally:
        client.delete("/v1/limits/type:demo.note").raise_for_status()


def test_an_api_that_goes_away_in_between_takes_each_once(cli, made, file):
    mark = new_key()
    path = file([json.dumps({"type": "demo.note", "payload": {"text": f"{mark} {i} " + "x" * 3000}}) for i in range(4000)])
    sending = subprocess.Popen([str(BUILD / "penstock"), "enqueue", "--bulk", path, "-o", "json"], env=cli.env, stdout=subprocess.PIPE, text=True)
    for _ in range(2):
        before = notes(made, f"%{mark}%")
        assert ports.wait_until(lambda: notes(made, f"%{mark}%") > before, WAIT_S)
        made.api.kill9()
        made.api.restart()
    assert json.loads(sending.communicate(timeout=3 * WAIT_S)[0])["enqueued"] == 4000 and sending.returncode == 0
    assert notes(made, f"%{mark}%") == 4000


def test_what_is_wrong_with_the_whole_is_said(cli, file):
    path = file([line(1)])
    cli("enqueue", "--bulk", "/nonexistent", code=66)
    cli("enqueue", "demo.note", "--bulk", path, code=64)
    cli("enqueue", "--bulk", path, "--key", "k", code=64)
    cli("enqueue", code=64)
    cli("enqueue", "--bulk", path, code=69, PENSTOCK_URL=f"http://{ports.HOST}:{ports.any_free()}")
    for answer in b'{"line":1}\n', b'{"line":2,"id":"x"}\n', b"", b"<html>\n":
        with answering((200, answer)) as stranger:
            stranger("enqueue", "--bulk", path, code=76)


def test_lines_that_may_have_been_taken_are_not_said_to_be_left(file):
    """Whose answer was lost, or says that nobody knows. What was refused at the door was not taken."""
    path = file([line(i) for i in range(3)])
    told = [(200, "".join(json.dumps({"line": n, "problem": {"code": code, "title": "no", "retryable": True}}) + "\n" for n in (1, 2, 3)).encode())
            for code in ("unavailable", "rate_limited")]
    for answer, unsure in ((None, True), (told[0], True), ((502, b"bad gateway"), True), (told[1], False)):
        with answering(answer) as cli:
            said = cli("enqueue", "--bulk", path, "--wait", "0s", code=75).err
            assert "line 1 and what is behind it were not taken" in said and ("3 lines that may have been" in said) == unsure, said


def test_a_terminal_sees_a_bar(cli, file):
    path = file([line(i) for i in range(1500)])
    ours, theirs = pty.openpty()
    done = subprocess.Popen([str(BUILD / "penstock"), "enqueue", "--bulk", path], env=cli.env | {"TERM": "xterm"}, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 4096):
            seen += part
    except OSError:  # it has ended
        pass
    os.close(ours)
    assert done.wait(WAIT_S) == 0 and b"enqueued" in seen and b"/1500" in seen, seen


# ---- dlq import ----


def test_what_was_exported_and_put_away_is_dead_again(cli, made, tmp_path):
    jobs = [kill_one(cli) for _ in range(3)]
    export = tmp_path / "dead.ndjson"
    export.write_text(cli("dlq", "export", "--queue", "default").out, encoding="utf-8")
    rows = {row["id"]: row for row in map(json.loads, export.read_text().splitlines())}
    assert all(rows[job]["payload"] == {"permanent": True} for job in jobs)
    cli("dlq", "discard", *jobs[:2], "--queue", "default")
    others = len(rows) - 2
    said = f"2 dead jobs restored, {others} left as they were, 0 enqueued anew"
    assert cli("dlq", "import", str(export), "--dry-run", code=2).out == said + " (dry run)\n"
    assert cli("dlq", "import", str(export), "--reason", "still needed").out == said + "\n"
    assert set(cli("dlq", "list", "--limit", "500", "-q").out.split()) >= set(jobs)
    assert cli("dlq", "import", "-", "-o", "json", stdin=export.read_text()).json == {
        "restored": 0, "left": len(rows), "enqueued": 0, "replayed": 0, "refused": 0}
    audit = cli("audit", "list", "--action", "dlq.restore", "-o", "json").json["items"]
    assert audit[0]["detail"]["reason"] == "still needed" and audit[0]["detail"]["jobs"] == 2


def test_what_is_not_kept_any_more_is_enqueued_anew_once(cli, made, tmp_path):
    kept, lost, masked = (kill_one(cli) for _ in range(3))
    rows = [json.loads(row) for row in cli("dlq", "export").out.splitlines()]
    rows = [row for row in rows if row["id"] in (kept, lost, masked)]
    for row in rows:
        row["payload"] = {"until": 0} if row["id"] == lost else {"token": "***"}
    made.sql("DELETE FROM platform.dead_job WHERE id = ANY(%s::uuid[])", [lost, masked])
    made.sql("DELETE FROM platform.job WHERE id = ANY(%s::uuid[])", [lost, masked])
    export = tmp_path / "dead.ndjson"
    export.write_text("\n".join(map(json.dumps, rows)) + "\nno line\n", encoding="utf-8")
    command = [str(BUILD / "penstock"), "dlq", "import", str(export), "-o", "json"]
    assert json.loads(subprocess.run(command, env=cli.env, capture_output=True, check=False).stdout)["left"] == 3
    for replayed in 0, 1:
        said = subprocess.run([*command, "--enqueue"], env=cli.env, capture_output=True, text=True, check=False)
        assert json.loads(said.stdout) == {"restored": 0, "left": 1, "enqueued": 1, "replayed": replayed, "refused": 2}, said.stderr
        assert said.returncode == 65 and said.stderr.count("\n") == 2 and "not shown" in said.stderr and "line 4" in said.stderr
    assert made.sql("SELECT count(*) FROM platform.idempotency i JOIN platform.job j ON j.id = i.job_id WHERE i.key = %s AND j.type = 'demo.fail'", f"dlq:{lost}") == [(1,)]


def test_what_is_another_tenants_is_not_enqueued_as_ones_own(cli, made, tmp_path):
    """An export of all tenants, and a key that sees them all: what it enqueues is its own tenant's."""
    lost = Client(made.api.url, cli("key", "create", "--tenant", "acme", "--scopes", "view,enqueue").out.strip()).enqueue("demo.fail", {"permanent": True})["id"]
    admin = {"PENSTOCK_KEY": cli("key", "create", "--scopes", "admin").out.strip()}
    assert ports.wait_until(lambda: lost in cli("dlq", "export", **admin).out, WAIT_S)
    row = next(json.loads(row) for row in cli("dlq", "export", **admin).out.splitlines() if lost in row)
    assert row["tenant"] == "acme"
    made.sql("DELETE FROM platform.dead_job WHERE id = %s", lost)
    made.sql("DELETE FROM platform.job WHERE id = %s", lost)
    rows = [row, row | {"tenant": "default", "id": new_key()}]
    export = tmp_path / "dead.ndjson"
    export.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    assert "line 1: it is another tenant's" in cli("dlq", "import", str(export), "--enqueue", "--dry-run", code=65, **admin).err
    assert "line 1: it is another tenant's" in cli("dlq", "import", str(export), "--enqueue", code=65, **admin).err
    keys = made.sql("SELECT i.tenant, i.key FROM platform.idempotency i WHERE i.key = ANY(%s)", [f"dlq:{row['id']}" for row in rows])
    assert keys == [("default", f"dlq:{rows[1]['id']}")]


def test_an_import_that_cannot_be_read(cli, tmp_path):
    cli("dlq", "import", "/nonexistent", code=66)
    cli("dlq", "import", code=64)
    cli("dlq", "import", "-", "--wait", "x", code=64)
    assert cli("dlq", "import", "-", stdin="").out == "0 dead jobs restored, 0 left as they were, 0 enqueued anew\n"
    cli("dlq", "import", "-", code=66, stdin=json.dumps({"id": new_key(), "queue": "nope", "type": "demo.fail"}))
