"""Job types that a file declares (handler.types): what a handler is sent, what its answers come to, and what HUP does."""
import base64
import hmac
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from datetime import datetime, timedelta, timezone

import pytest

from observe import attempts, log_lines, log_size
from sink import Sink, declare, of
from penstock_ops import ROOT, ports
from penstock_ops.processes import children_of, clean_environment
from stack import BUILD, WAIT_S, Stack, new_key, problem

EXAMPLES = ROOT / "jobs" / "custom" / "examples"
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


# Personal data behind every kind of road but the plain one.
MASKED = {"type": "object", "required": ["who", "at"], "properties": {
    "who": {"$ref": "#/$defs/person"}, "at": {"type": "array", "prefixItems": [{"type": "string"}], "items": {"$ref": "#/$defs/secret"}}},
    "anyOf": [{"properties": {"note": {"type": "string", "x-masked": True}}}, {"required": ["none"]}],
    "additionalProperties": True,
    "$defs": {"person": {"type": "object", "additionalProperties": {"allOf": [{"$ref": "#/$defs/secret"}]}}, "secret": {"x-masked": True}}}


@pytest.fixture(scope="module")
def sink():
    made = Sink()
    yield made
    for server in made.servers:
        server.shutdown()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("types") / "types.conf"


@pytest.fixture(scope="module")
def basic(sink):
    shorter = 'schema = "{\\"type\\":\\"object\\",\\"required\\":[\\"n\\"]}";'
    return [of("t.journal", sink.url), of("t.stream", sink.url, 'class = "stream"; keep_outcome = true;'), of("t.checked", sink.url, shorter),
            of("t.brief", sink.another_url(), "timeout_ms = 300; max_attempts = 2;"), of("t.one", sink.url, "concurrency = 1;"),
            of("t.slow", sink.url, "rate = 20;"), of("t.down", "http://127.0.0.1:1/", "max_attempts = 2;"),
            of("t.private", "https://10.255.255.1/"), of("t.masked", sink.url, f"schema = {json.dumps(json.dumps(MASKED))};")]


@pytest.fixture(scope="module")
def stack(tmp_path_factory, file, basic):
    declare(file, *basic)
    made = Stack(tmp_path_factory.mktemp("stack"), {"handler.types": str(file), "handler.secret": SECRET, "handler.allow_cidr": "127.0.0.0/8"})
    try:
        yield made.start()
    finally:
        made.stop()


def seen(sink, job: dict) -> list:
    return sink.seen[job["id"]]


# What is sent

def test_handler__then_a_signed_attempt_with_the_payload_as_it_was(stack, client, sink):
    made = client.enqueue("t.journal", {"n": 1, "text": "ü"})
    ended = client.ended(made["id"])
    assert (ended["state"], ended["status"], ended["result"]) == ("done", 200, {})
    (at, head, body), = seen(sink, made)
    assert json.loads(body) == {"n": 1, "text": "ü"}
    signed = f"{head['webhook-id']}.{head['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    assert head["webhook-signature"] == "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert abs(int(head["webhook-timestamp"]) - at) < 5
    assert (head["penstock-job"], head["penstock-type"], head["penstock-tenant"], head["penstock-attempt"]) == (made["id"], "t.journal", "default", "1")
    assert head["traceparent"].startswith("00-") and head["penstock-deadline"].endswith("Z")
    assert stack.sql("SELECT outcome, status FROM custom.effect WHERE root_id = %s", made["id"]) == [("done", 200)]


# What answers come to

@pytest.mark.parametrize("job_type", ["t.journal", "t.stream"])
@pytest.mark.parametrize("answers,posts,state,result", [
    ([[200, {}, '{"a":[1]}']], 1, "done", {"a": [1]}),
    ([[201, {}, "plain \"text\""]], 1, "done", 'plain "text"'),
    ([[204, {}, ""]], 1, "done", {}),
    ([[422, {}, "no such thing"]], 1, "dead", None),
    ([[404, {}, ""]], 1, "dead", None),
    ([[302, {"Location": "http://127.0.0.1:1/"}, ""]], 1, "dead", None),
    ([[500, {}, ""], [408, {}, ""], [200, {}, '{"n":3}']], 3, "done", {"n": 3}),
])
def test_answer__then(stack, client, sink, job_type, answers, posts, state, result):
    made = client.enqueue(job_type, {"answers": answers})
    if state == "done":
        ended = client.ended(made["id"])
        assert (ended["state"], ended["status"], ended["result"]) == (state, 200, result)
    else:
        errors = "SELECT errors FROM platform.dead_job WHERE id = %s"
        assert ports.wait_until(lambda: stack.sql(errors, made["id"]), WAIT_S)
        (entry,), = stack.sql(errors, made["id"])
        assert entry[0]["code"] == "refused" and str(answers[0][0]) in entry[0]["detail"] and answers[0][2] in entry[0]["detail"]
    assert [head["penstock-attempt"] for _, head, _ in seen(sink, made)] == [str(i + 1) for i in range(posts)]


@pytest.mark.parametrize("status", [429, 503])
def test_answer__with_retry_after_then_not_before(client, sink, status):
    made = client.enqueue("t.journal", {"answers": [[status, {"Retry-After": "2"}, ""], [200, {}, "{}"]]})
    assert client.ended(made["id"])["state"] == "done"
    (first, *_), (second, *_) = seen(sink, made)
    assert 1.9 < second - first < 4


@pytest.mark.parametrize("job_type", ["t.journal", "t.stream"])
def test_answer__202_with_retry_after_then_snoozed_and_nothing_charged(stack, client, sink, job_type):
    since = log_size(stack.roles["worker"].log)
    made = client.enqueue(job_type, {"answers": [[202, {"Retry-After": "1"}, ""]] * 2 + [[200, {}, '{"n":3}']]})
    assert client.until(made["id"], "delayed")
    assert client.ended(made["id"])["result"] == {"n": 3}
    times = [at for at, *_ in seen(sink, made)]
    assert len(times) == 3 and all(0.9 < b - a < 5 for a, b in zip(times, times[1:]))
    assert [head["penstock-attempt"] for _, head, _ in seen(sink, made)] == ["1"] * 3
    outcomes = [a["outcome"] for a in attempts(stack, since) if a["job"] == made["id"]]
    assert outcomes == ["snoozed", "snoozed", "done"]


def test_snooze__past_the_deadline_then_expired_at_it(client, sink):
    made = client.enqueue("t.journal", {"answers": [[202, {"Retry-After": "3600"}, ""]]}, deadline_ms=2000)
    ended = client.ended(made["id"])
    assert (ended["state"], ended["status"]) == ("expired", 410)
    assert {head["penstock-attempt"] for _, head, _ in seen(sink, made)} == {"1"}


def test_deadline__of_the_producer_then_the_handlers_and_its_line_is_cut_before(client, sink):
    at = datetime.now(timezone.utc) + timedelta(seconds=3)
    made = client.post("/v1/jobs", {"type": "t.journal", "payload": {"sleep": 6}}, new_key(), headers={"Penstock-Deadline": at.isoformat()}).json()
    ended = client.ended(made["id"])
    assert (ended["state"], ended["status"]) == ("expired", 410)
    for _, head, _ in seen(sink, made):  # a second attempt may have had the rest of the time
        assert abs((datetime.fromisoformat(head["penstock-deadline"]) - at).total_seconds()) < 0.1
    assert 0 <= (datetime.fromisoformat(ended["finished_at"]) - at).total_seconds() < 3


def test_deadline__before_the_next_attempt_then_expired_at_it(client, sink):
    made = client.enqueue("t.journal", {"answers": [[503, {"Retry-After": "60"}, ""]]}, deadline_ms=2000)
    began = time.monotonic()
    assert client.ended(made["id"])["state"] == "expired"
    assert time.monotonic() - began < 20


def test_answer__too_late_or_never_then_charged_and_dead_after_the_last(stack, client, sink):
    made = [client.enqueue("t.brief", {"sleep": 1}), client.enqueue("t.down")]
    codes = []
    for job in made:
        assert client.ended(job["id"])["state"] == "dead"
        (errors,), = stack.sql("SELECT errors FROM platform.dead_job WHERE id = %s", job["id"])
        codes.append([e["code"] for e in errors])
    assert codes == [["net_unknown"] * 2, ["net_not_sent"] * 2]
    assert len(seen(sink, made[0])) == 2


def test_answer__of_more_than_a_result_may_have_then_dead(stack, client, sink):
    texts = [(65534, "x"), (65535, "x"), (32767, '"'), (32768, '"')]  # with its quotes and escapes it may have 64 KiB
    made = [client.enqueue("t.journal", {"answers": [[200, {}, text]], "times": times}) for times, text in texts]
    assert [client.ended(job["id"])["state"] for job in made] == ["done", "dead", "done", "dead"]
    assert client.ended(made[0]["id"])["result"] == "x" * 65534


def test_address__that_the_rules_refuse_then_the_job_waits_for_the_setting(stack, client):
    since = log_size(stack.roles["worker"].log)
    made = client.enqueue("t.private")
    assert ports.wait_until(lambda: [a for a in attempts(stack, since) if a["job"] == made["id"]], WAIT_S)
    (first, *_), = [[a for a in attempts(stack, since) if a["job"] == made["id"]]]
    assert (first["outcome"], first["error"]) == ("released", "system") and "handler.allow_cidr" in first["detail"]
    assert client.delete(f"/v1/jobs/{made['id']}").status_code == 200


# Limits, cancellation, the door

def test_concurrency__one_then_never_two_at_once(client, sink):
    made = [client.enqueue("t.one", {"sleep": 0.05}) for _ in range(8)]
    assert [client.ended(job["id"])["state"] for job in made] == ["done"] * 8
    assert sink.most_at_once["t.one"] == 1


def test_rate__then_no_faster(client, sink):
    made = [client.enqueue("t.slow") for _ in range(20)]
    assert [client.ended(job["id"])["state"] for job in made] == ["done"] * 20
    at = sorted(seen(sink, job)[0][0] for job in made)
    assert at[-1] - at[0] > 20 / 20 - 0.3  # the burst of a tenth of a second


def test_cancel__a_stream_job_at_its_handler_then_cancelled_and_the_line_is_cut(client, sink):
    made = client.enqueue("t.stream", {"sleep": 8})
    assert ports.wait_until(lambda: seen(sink, made), WAIT_S)
    assert client.delete(f"/v1/jobs/{made['id']}").status_code == 202
    began = time.monotonic()
    assert client.ended(made["id"])["state"] == "cancelled"
    assert time.monotonic() - began < 7


def test_cancel__a_journal_job_that_waits_then_it_is_never_posted(client, sink):
    made = client.enqueue("t.journal", delay_ms=700)
    assert client.delete(f"/v1/jobs/{made['id']}").json()["state"] == "cancelled"
    time.sleep(1.2)  # what was due has had its time
    assert not seen(sink, made)


def test_schema__then_checked_at_the_door_and_shown(client):
    problem(client.post("/v1/jobs", {"type": "t.checked", "payload": {}}, new_key()), 422, "invalid")
    problem(client.post("/v1/jobs", {"type": "t.checkd", "payload": {}}, new_key()), 422, "unknown_type")
    assert client.get("/openapi.json").json()["x-job-types"]["t.checked"]["queue"] == "default"


def test_masked__behind_references_and_branches_then_stars_wherever_it_is_shown(stack, client, sink):
    since = {role: log_size(stack.roles[role].log) for role in ("worker", "scheduler")} | {"api": log_size(stack.api.log)}
    secrets = ["ann.archer@example.org", "+49301234567", "17 Mulberry Lane", "allergic to nuts"]
    payload = {"who": {"mail": secrets[0], "tel": secrets[1]}, "at": ["home", secrets[2]], "note": secrets[3], "open": "in clear",
               "answers": [[422, {}, f"in clear: {' '.join(secrets)}"]]}
    made = client.enqueue("t.masked", payload)
    assert client.ended(made["id"])["state"] == "dead"
    assert seen(sink, made) and json.loads(seen(sink, made)[0][2])["who"]["mail"] == secrets[0]  # the handler is sent all of it
    detail = client.get(f"/v1/jobs/{made['id']}/detail")
    shown = detail.json()["payload"]
    assert (shown["who"], shown["at"], shown["note"]) == ({"mail": "***", "tel": "***"}, ["home", "***"], "***") and shown["open"] == "in clear"
    (line,) = [a for a in attempts(stack, since["worker"]) if a["job"] == made["id"]]
    (dead,), = stack.sql("SELECT (d.errors, d.fingerprint)::text FROM platform.dead_job d WHERE id = %s", made["id"])
    assert ports.wait_until(lambda: "t.masked" in client.get("/v1/dlq/groups").text, WAIT_S)
    groups = client.get("/v1/dlq/groups").text
    for text in (line["detail"], detail.json()["errors"][-1]["detail"], dead, groups):
        assert "422: in clear: ***" in text or "#: in clear: ***" in text, text
    said = {role: stack.roles[role].log if role != "api" else stack.api.log for role in since}
    told = [dead, groups, json.dumps(detail.json()["errors"]), *[said[role].read_bytes()[n:].decode() for role, n in since.items()]]
    assert not [secret for secret in secrets for text in told if secret in text]


# Progress

def test_progress__told_by_the_handler_then_shown_while_the_job_is_open(stack, client, sink):
    made = client.enqueue("t.journal", {"sleep": 2})
    assert ports.wait_until(lambda: seen(sink, made), WAIT_S)
    path = f"/v1/jobs/{made['id']}/progress"
    for progress in {"percent": 10}, {"percent": 40.5, "message": "ü"}:
        told = client.post(path, progress)
        assert (told.status_code, told.json()) == (200, {"id": made["id"], "progress": progress})
        assert client.job(made["id"])["progress"] == progress
    for wrong in {}, {"percent": 101}, {"percent": "1"}, {"message": "x" * 501}, {"other": 1}:
        problem(client.post(path, wrong), 422, "invalid")
    ended = client.ended(made["id"])
    assert ended["state"] == "done" and "progress" not in client.job(made["id"])
    problem(client.post(path, {"percent": 99}), 409, "job_terminal")
    problem(client.post(f"/v1/jobs/{uuid.uuid4()}/progress", {"percent": 9}), 404, "not_found")


def test_progress__of_a_job_that_was_cancelled_meanwhile_then_the_handler_is_told(client, sink):
    made = client.enqueue("t.journal", {"sleep": 1.5})
    assert ports.wait_until(lambda: seen(sink, made), WAIT_S)
    assert client.delete(f"/v1/jobs/{made['id']}").json()["state"] == "cancelled"
    assert "cancelled" in problem(client.post(f"/v1/jobs/{made['id']}/progress", {"percent": 9}), 409, "job_terminal")["detail"]
    time.sleep(2)  # its answer comes too late
    assert client.job(made["id"])["state"] == "cancelled"


# HUP

def hup(stack) -> dict[str, dict]:
    """What each role said to it."""
    roles = {"api": stack.api, "worker": stack.roles["worker"]}
    since = {name: log_size(role.log) for name, role in roles.items()}
    said = {}
    for name, role in roles.items():
        os.kill(role.pid, signal.SIGHUP)
        events = "types.declared", "types.refused", "types.unchanged"
        assert ports.wait_until(lambda: [x for x in log_lines(role.log, "", since[name]) if x.get("event") in events], WAIT_S)
        said[name] = next(x for x in log_lines(role.log, "", since[name]) if x.get("event") in events)
    return said


def test_worker__killed_with_a_job_at_its_handler_until_it_is_suspected_then_quarantine_knows_the_type_too(stack, client, sink):
    role = stack.roles["worker"]
    since = log_size(role.log)
    made = client.enqueue("t.journal", {"sleep": 2})
    suspected = lambda: any(line["alone"] for line in log_lines(role.log, "worker.reaped", since))
    kills = 0
    while not suspected() and kills < 6:  # twice, or more where the relay has put a second copy
        assert ports.wait_until(lambda: len(seen(sink, made)) > kills or suspected(), WAIT_S)
        for pid in children_of(role.pid):
            os.kill(pid, signal.SIGKILL)
        kills += 1
    assert client.ended(made["id"])["state"] == "done"
    assert any(line["quarantine"] for line in log_lines(role.log, "worker.started", since))


def test_hup__the_worker_hears_it_after_the_first_job_then_the_job_waits_for_it(stack, client, sink, file, basic):
    declare(file, *basic, of("t.later", sink.url))
    try:
        os.kill(stack.api.pid, signal.SIGHUP)
        assert ports.wait_until(lambda: "t.later" in client.get("/openapi.json").json()["x-job-types"], WAIT_S)
        made = client.enqueue("t.later")
        time.sleep(1)  # so that a worker has met it
        assert client.job(made["id"])["state"] != "dead"
        hup(stack)
        assert client.ended(made["id"])["state"] == "done"
    finally:
        declare(file, *basic)
        hup(stack)


def test_hup__another_file_then_its_types_and_what_was_under_way_ends(stack, client, sink, file, basic):
    role = stack.roles["worker"]
    since, before = log_size(role.log), len(children_of(role.pid))
    under_way = client.enqueue("t.journal", {"sleep": 2})
    assert ports.wait_until(lambda: seen(sink, under_way), WAIT_S)
    declare(file, *basic[1:], of("t.new", sink.url))
    try:
        assert {said["event"] for said in hup(stack).values()} == {"types.declared"}
        assert client.ended(client.enqueue("t.new")["id"])["state"] == "done"
        problem(client.post("/v1/jobs", {"type": "t.journal", "payload": {}}, new_key()), 422, "unknown_type")
        assert client.ended(under_way["id"])["state"] == "done" and len(seen(sink, under_way)) == 1
        known = {name for name, in stack.sql("SELECT name FROM platform.job_type")}
        assert "t.new" in known and "t.journal" not in known
        assert ports.wait_until(lambda: len(log_lines(role.log, "worker.exited", since)) >= before, WAIT_S)
        assert {line["crash"] for line in log_lines(role.log, "worker.exited", since)} == {""}
    finally:
        declare(file, *basic)
        hup(stack)
    assert client.ended(client.enqueue("t.journal")["id"])["state"] == "done"


def redeclare(stack, file, basic, name: str, more: str, sink) -> None:
    declare(file, *(t for t in basic if f'"{name}"' not in t), of(name, sink.url, more))
    assert {said["event"] for said in hup(stack).values()} == {"types.declared"}


@pytest.mark.parametrize("name,other", [("t.stream", 'class = "journal"; keep_outcome = true;'), ("t.journal", 'class = "stream"; keep_outcome = true;')])
def test_hup__another_class_then_what_waits_ends_as_what_it_was(stack, client, sink, file, basic, name, other):
    waits = [client.enqueue(name, {"answers": [[503, {}, ""], [200, {}, '{"n":1}']]}, delay_ms=delay) for delay in (0, 3000)]
    try:
        redeclare(stack, file, basic, name, other, sink)
        for job in waits:
            assert client.ended(job["id"])["result"] == {"n": 1} and len(seen(sink, job)) == 2
        assert client.ended(client.enqueue(name)["id"])["state"] == "done"
    finally:
        declare(file, *basic)
        hup(stack)


def test_hup__a_higher_version_then_what_waits_runs_if_it_fits_the_new_schema(stack, client, sink, file, basic):
    fits, fails = (client.enqueue("t.journal", payload, delay_ms=3000) for payload in ({"n": 1}, {}))
    try:
        redeclare(stack, file, basic, "t.journal", 'version = 2; schema = "{\\"type\\":\\"object\\",\\"required\\":[\\"n\\"]}";', sink)
        assert client.ended(fits["id"])["state"] == "done"
        assert client.ended(fails["id"])["state"] == "dead" and not seen(sink, fails)
    finally:
        declare(file, *basic)
        hup(stack)


def test_start__with_a_type_fewer_then_sql_refuses_it(stack, client, sink, file, basic):
    """The file changed while no API ran: what is gone from it is gone from what penstock.enqueue takes."""
    stack.api.stop()
    declare(file, *basic, of("t.late", sink.url))
    stack.api.start()

    def known():
        return {name for name, in stack.sql("SELECT name FROM platform.job_type")}
    assert ports.wait_until(lambda: "t.late" in known(), WAIT_S)
    stack.api.stop()
    declare(file, *basic)
    stack.api.start()
    assert ports.wait_until(lambda: "t.late" not in known(), WAIT_S)
    assert "demo.note" in known()


BAD = [
    ('types = ( { name = "a.b"; handlr = "https://h/"; } );', ":1: unknown member handlr, did you mean handler?"),
    ('type = ( );', ":1: unknown setting type, did you mean types?"),
    ('types = (\n  { name = "a.b"; } );', ":2: the type has no handler"),
    ('types = ( { name = "a.b"; handler = "ftp://h/"; } );', ":1: handler must be an https:// URL"),
    ('types = ( { name = "a.b"; handler = "https://u:p@h/"; } );', ":1: handler must be an https:// URL"),
    ('types = ( { name = "a b"; handler = "https://h/"; } );', ":1: name must be"),
    ('types = ( { name = "a.b"; handler = "https://h/"; class = "both"; } );', ":1: class must be journal or stream"),
    ('types = ( { name = "a.b"; handler = "https://h/";\n timeout_ms = 0; } );', ":2: timeout_ms must be a whole number from 100"),
    ('types = ( { name = "a.b"; handler = "https://h/"; rate = "9"; } );', ":1: rate must be a whole number"),
    ('types = ( { name = "a.b"; handler = "https://h/"; keep_outcome = 1; } );', ":1: keep_outcome must be true or false"),
    ('types = ( { name = "a.b"; handler = "https://h/"; schema = "none.json"; } );', ":1: schema cannot be read"),
    ('types = ( { name = "a.b"; handler = "https://h/"; schema = "{\\"tpye\\":1}"; } );', ":1: schema is none"),
    ('types = ( { name = "a.b"; handler = "https://h/"; schema = "{\\"items\\":{\\"x-masked\\":1}}"; } );',
     ":1: schema is none: #/items/x-masked: must be true or false"),
    ('types = ( { name = "a.b"; handler = "https://h/"; }, { name = "a.b"; handler = "https://h/"; } );', ":1: name a.b is here twice"),
    ('types = ( { name = "demo.note"; handler = "https://h/"; } );', "demo.note is a type of Penstock's own"),
    ('types = ( { name = "a.b" ', ":1: syntax error"),
]


@pytest.mark.parametrize("text,reason", BAD)
def test_start__with_a_bad_file_then_refused_with_the_place(stack, tmp_path, text, reason):
    bad = tmp_path / "types.conf"
    bad.write_text(text, encoding="utf-8")
    for role in "api", "worker":
        env = {**clean_environment(), "PENSTOCK_CONFIG": str(stack.conf), "PENSTOCK_HANDLER_TYPES": str(bad),
               "PENSTOCK_API_LISTEN": f"{ports.HOST}:{ports.any_free()}"}
        done = subprocess.run([str(BUILD / "penstock"), role], env=env, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 78 and done.stderr.startswith(f"penstock: {bad}") and reason in done.stderr, done.stderr


def test_hup__a_bad_file_then_the_old_types_even_for_new_processes(stack, client, file, basic):
    file.write_text(BAD[0][0], encoding="utf-8")
    try:
        for said in hup(stack).values():
            assert said["event"] == "types.refused" and f"{file}{BAD[0][1]}" in said["detail"]
        for pid in children_of(stack.roles["worker"].pid):
            os.kill(pid, signal.SIGKILL)
        assert client.ended(client.enqueue("t.journal")["id"])["state"] == "done"
    finally:
        declare(file, *basic)
    assert {said["event"] for said in hup(stack).values()} <= {"types.unchanged", "types.declared"}


# The examples

@pytest.mark.parametrize("program", [[sys.executable, "handler.py"], ["node", "handler.js"]])
def test_example__then_it_serves_its_type(stack, client, file, basic, program):
    if shutil.which(program[0]) is None:
        pytest.skip(f"{program[0]} is not installed")
    port = ports.any_free()
    env = {"PATH": os.environ["PATH"], "HANDLER_SECRET": SECRET}
    running = subprocess.Popen([program[0], str(EXAMPLES / program[1]), str(port)], env=env, stderr=subprocess.DEVNULL)
    shown = (EXAMPLES / "types.conf").read_text(encoding="utf-8")
    whole = shown.replace("https://handlers.example/", f"http://{ports.HOST}:{port}/")
    assert whole != shown
    shutil.copy(EXAMPLES / "text.count.json", file.parent)
    file.write_text(whole, encoding="utf-8")
    try:
        hup(stack)
        made = [client.enqueue("text.count", {"text": "one two  three"}) for _ in range(30)]
        assert [client.ended(job["id"])["result"] for job in made] == [{"words": 3}] * 30
    finally:
        running.kill()
        running.wait()
        declare(file, *basic)
        hup(stack)
