"""callback_url: the end of a job is told, once for each, by a signed webhook."""
import base64
import hashlib
import hmac
import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from penstock_ops import ports
from penstock_ops.penstock import Role
from stack import BUILD, Client, Stack, WAIT_S, cli_of, new_key, problem

FAR_MS = 3_600_000
NEW_SECRET = "whsec_" + base64.b64encode(b"new" * 8).decode()  # beside the one that every stack has: it is just being changed


class Receiver:
    """Keeps what comes, by path, and answers by that path's list first."""

    def __init__(self):
        self.got, self.answers = [], {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.path, dict(self.headers), body))
                answers = receiver.answers.get(self.path, [])
                self.send_response(answers.pop(0) if answers else 204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer((ports.HOST, 0), Handler)
        self.url = f"http://{ports.HOST}:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def at(self, path: str) -> list[tuple[dict, bytes]]:
        return [(headers, body) for at, headers, body in list(self.got) if at == path]

    def wait(self, path: str, count: int = 1) -> list[tuple[dict, bytes]]:
        assert ports.wait_until(lambda: len(self.at(path)) >= count, WAIT_S), (path, self.got)
        return self.at(path)


class Armed:
    """The worker's failpoints."""

    def __init__(self, stack: Stack):
        self.spec, self.log = stack.dir / "faults", stack.dir / "hits"
        self.arm("")
        self.settings = {"PENSTOCK_FAULT": f"@{self.spec}", "PENSTOCK_FAULT_LOG": str(self.log)}

    def arm(self, spec: str) -> None:
        fresh = self.spec.with_name("faults.new")
        fresh.write_text(f"seed:1;{spec}\n", encoding="ascii")
        fresh.rename(self.spec)

    def hits(self, name: str) -> int:
        return self.log.read_text().count(f"{name} kill") if self.log.exists() else 0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    stack = Stack(tmp_path_factory.mktemp("callbacks"))
    stack.settings["webhook.secret"] = f"{NEW_SECRET} {stack.secrets.value('webhook')}"
    try:
        stack.start(roles=("scheduler",))
        stack.faults = Armed(stack)
        stack.roles["worker"] = Role(stack.dir, BUILD, "worker", stack.conf, stack.faults.settings)
        stack.roles["worker"].start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def client(made) -> Client:
    return Client(made.api.url)


@pytest.fixture(scope="module")
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def hook(receiver):
    """A path of its own: (its address, what came there so far at least)."""
    path = f"/{new_key()}"
    return receiver.url + path, lambda count=1: receiver.wait(path, count)


def opened(made, headers: dict, body: bytes) -> dict:
    """As a receiver does it by Standard Webhooks: first the signature, then the time, then the body."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    for secret in (NEW_SECRET, made.secrets.value("webhook")):
        key = base64.b64decode(secret.removeprefix("whsec_"))
        good = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        assert any(hmac.compare_digest(good, one) for one in headers["webhook-signature"].split(" "))
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    said = json.loads(body)
    assert set(said) == {"type", "timestamp", "tenant", "data"} and said["type"] == f"job.{said['data']['state']}"
    return said["data"]


def settled(client, made, job: str) -> None:
    """Whatever tells of this job has ended, too."""
    open_ = "SELECT count(*) FROM platform.job WHERE callback_of = %s AND state = 'waiting'"
    assert ports.wait_until(lambda: made.sql(open_, job)[0][0] == 0, WAIT_S)


def test_done(client, made, hook):
    url, came = hook
    job = client.enqueue("demo.note", {"text": "x"}, callback_url=url)["id"]
    (headers, body), = came()
    said, shown = opened(made, headers, body), client.job(job)
    assert (said["state"], said["status"], said["result"]) == ("done", 200, {"noted": True})
    assert said["links"] == {"self": f"/v1/jobs/{job}"} and "error" not in said
    same = ("id", "root_id", "type", "tenant", "queue", "generation", "created_at", "finished_at", "trace_id")
    assert {name: said[name] for name in same} == {name: shown[name] for name in same}
    settled(client, made, job)
    sent = client.get(f"/v1/notifications/{headers['webhook-id']}").json()
    assert (sent["status"], sent["recipient"]) == ("sent", url)
    assert client.job(headers["webhook-id"])["trace_id"] == said["trace_id"]


def test_dead(client, made, hook):
    url, came = hook
    client.enqueue("demo.fail", {"permanent": True}, callback_url=url)
    (headers, body), = came()
    said = opened(made, headers, body)
    assert said["state"] == "dead" and said["error"]["code"] == "refused" and "attempt 1" in said["error"]["detail"]


def test_cancelled_and_expired(client, made, hook):
    url, came = hook
    job = client.enqueue("demo.note", {"text": "x"}, delay_ms=FAR_MS, callback_url=url)["id"]
    client.delete(f"/v1/jobs/{job}").raise_for_status()
    (headers, body), = came()
    said = opened(made, headers, body)
    assert (said["id"], said["state"], said["status"]) == (job, "cancelled", 409)
    client.post("/v1/queues/default/pause", {}).raise_for_status()
    try:
        late = client.enqueue("demo.note", {"text": "x"}, deadline_ms=1, callback_url=url)["id"]
    finally:
        client.post("/v1/queues/default/resume", {}).raise_for_status()
    said = opened(made, *came(2)[1])
    assert (said["id"], said["state"]) == (late, "expired")


def test_a_receiver_that_fails_gets_it_again_under_the_same_id(client, made, receiver, hook):
    url, came = hook
    receiver.answers[url.removeprefix(receiver.url)] = [500]
    client.enqueue("demo.note", {"text": "x"}, callback_url=url)
    (first, body), (second, again) = came(2)
    assert first["webhook-id"] == second["webhook-id"] and body == again
    assert opened(made, first, body) == opened(made, second, again)


def test_each_end_is_told(client, made, hook):
    """A dead job that runs again ends again; with another payload it is a new one, which tells the same receiver."""
    url, came = hook
    job = client.enqueue("demo.fail", {"permanent": True}, callback_url=url)["id"]
    came()
    client.post(f"/v1/jobs/{job}/retry").raise_for_status()
    came(2)
    edited = client.post(f"/v1/jobs/{job}/replay", {"payload": {"until": 0}, "reason": "typo"}).json()["id"]
    told = [opened(made, *one) for one in came(3)]
    assert [(one["id"], one["generation"], one["state"]) for one in told] == [(job, 0, "dead"), (job, 1, "dead"), (edited, 0, "done")]
    assert told[2]["replay_of"] == job
    assert len({headers["webhook-id"] for headers, _ in came(3)}) == 3


@pytest.mark.parametrize("point", ["effect.after", "finish.after", "settle.after"])
def test_a_worker_killed_around_the_end_tells_it_once(client, made, hook, point):
    url, came = hook
    before = made.faults.hits(point)
    made.faults.arm(f"{point}=kill@1")
    try:
        job = client.enqueue("demo.note", {"text": "x"}, callback_url=url)["id"]
        assert ports.wait_until(lambda: made.faults.hits(point) > before, WAIT_S)
    finally:
        made.faults.arm("")
    assert client.ended(job)["state"] == "done"
    settled(client, made, job)
    assert [opened(made, *one)["id"] for one in came()] and len({headers["webhook-id"] for headers, _ in came()}) == 1
    assert made.sql("SELECT count(*) FROM platform.job WHERE callback_of = %s", job) == [(1,)]


def test_large_results_stay_here(client, made, hook):
    """Where links.self shows them."""
    url, came = hook
    job = client.enqueue("demo.note", {"text": "x"}, delay_ms=FAR_MS, callback_url=url)["id"]
    made.sql("UPDATE platform.job SET state = 'done', finished_at = now(), result_status = 200, "
             "result = convert_to(to_json(repeat('x', 20000))::text, 'UTF8') WHERE id = %s", job)
    said = opened(made, *came()[0])
    assert said["state"] == "done" and "result" not in said and said["status"] == 200


def test_what_a_job_returns_keeps_nothing_from_ending(client, made, hook):
    """Not even what is no JSON, and no text: then the telling is what fails."""
    url, came = hook
    job = client.enqueue("demo.note", {"text": "x"}, delay_ms=FAR_MS, callback_url=url)["id"]
    made.sql("UPDATE platform.job SET state = 'done', finished_at = now(), result_status = 200, result = %s WHERE id = %s",
             b"\xff\x00{", job)
    settled(client, made, job)
    assert made.sql("SELECT state FROM platform.job WHERE callback_of = %s", job) == [("dead",)]


def test_a_repetition_is_one_job_and_another_url_another_request(client, made, hook):
    url, came = hook
    key, body = new_key(), {"type": "demo.note", "payload": {"text": "x"}, "callback_url": url}
    first, again = (client.post("/v1/jobs", body, key).json()["id"] for _ in range(2))
    assert first == again
    problem(client.post("/v1/jobs", body | {"callback_url": url + "/other"}, key), 422, "idempotency_key_reused")
    client.ended(first)
    settled(client, made, first)
    assert len(came()) == 1


def test_a_batch(client, made, hook):
    url, came = hook
    lines = [{"type": "demo.note", "payload": {"text": "x"}, "key": new_key(), "callback_url": url} for _ in range(3)]
    lines += [{"type": "demo.noop", "payload": {}, "callback_url": url}]
    answer = client.post("/v1/jobs:batch", data="\n".join(map(json.dumps, lines)), headers={"Content-Type": "application/x-ndjson"})
    told = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["status"] for line in told] == [202, 202, 202, 422]
    assert Counter(opened(made, *one)["id"] for one in came(3)) == Counter(line["id"] for line in told[:3])


@pytest.mark.parametrize(("url", "why"), [
    ("https://10.1.2.3/", "private"),
    ("https://[::ffff:169.254.169.254]/", "private"),
    ("https://2130706434:8443/x", None),  # 127.0.0.2, which is exempt here
    ("http://192.168.0.1/", "private"),
    ("http://1.1.1.1/", "https"),
    ("https://1.1.1.1:22/", "https"),
    ("https://user:secret@1.1.1.1/", "password"),
    ("ftp://1.1.1.1/", ""),
    ("https://", ""),
])
def test_where_it_would_not_be_told_is_refused_at_once(client, url, why):
    answer = client.post("/v1/jobs", {"type": "demo.note", "payload": {"text": "x"}, "callback_url": url, "delay_ms": FAR_MS}, new_key())
    if why is None:
        client.delete(f"/v1/jobs/{answer.json()['id']}").raise_for_status()
        return
    error, = problem(answer, 422, "invalid")["errors"]
    assert error["pointer"] == "#/callback_url" and why in error["detail"] and "secret" not in answer.text


def test_a_job_of_class_stream_is_refused(client, hook):
    answer = client.post("/v1/jobs", {"type": "demo.noop", "payload": {}, "callback_url": hook[0]}, new_key())
    error, = problem(answer, 422, "invalid")["errors"]
    assert error["pointer"] == "#/callback_url" and "stream" in error["detail"] and "/events" in error["detail"]


def test_tenants_see_nothing_of_each_other(made, hook):
    url, came = hook
    cli = cli_of(made)
    acme, other = (Client(made.api.url, cli("key", "create", "--tenant", tenant, "--scopes", "view,enqueue").out.strip())
                   for tenant in ("acme", "other"))
    job = acme.enqueue("demo.note", {"text": "x"}, callback_url=url)["id"]
    (headers, body), = came()
    assert opened(made, headers, body)["tenant"] == "acme"
    telling = headers["webhook-id"]
    assert acme.get(f"/v1/notifications/{telling}").json()["recipient"] == url and acme.job(telling)["tenant"] == "acme"
    for path in (f"/v1/jobs/{job}", f"/v1/jobs/{telling}", f"/v1/jobs/{telling}/detail", f"/v1/notifications/{telling}"):
        problem(other.get(path), 404, "not_found")
    assert telling not in other.get("/v1/jobs").text and url not in other.get("/v1/jobs").text


def test_the_cli(made, hook):
    url, came = hook
    cli = cli_of(made)
    said = cli("enqueue", "demo.note", "-d", '{"text":"x"}', "--callback", url, "-q").out
    assert opened(made, *came()[0])["id"] in said
    assert "10.0.0.1" not in cli("enqueue", "demo.note", "-d", '{"text":"x"}', "--callback", "https://10.0.0.1/", code=65).out
