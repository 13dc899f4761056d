"""What an operator allows holds within a second or two, without a restart: of a queue, a type, a tenant, a key."""
import hashlib
import json
import secrets
import time

import pytest

from observe import charged, log_size
from penstock_ops import ports
from penstock_ops.penstock import Api
from producer import enqueue_all
from stack import BUILD, WAIT_S, Client, Stack, new_key, problem
from test_metrics import value

QUEUE = "default"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    made = Stack(tmp_path_factory.mktemp("limits"))
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def client(stack):
    yield Client(stack.api.url)
    stack.sql("DELETE FROM platform.throttle")
    stack.sql("UPDATE platform.queue SET slots = 64, max_depth = 1000000, max_open = 1000000, max_drain_s = 300, max_fill_pct = 75 WHERE name = %s", QUEUE)


@pytest.fixture
def make_client(stack):
    """make_client(tenant): with a key of it; its id is the client's `key_id`."""
    def make(tenant: str) -> Client:
        key_id, secret = secrets.token_hex(6), secrets.token_hex(32)
        stack.sql("INSERT INTO platform.api_key (id, secret_hash, tenant, scopes, name) VALUES (%s, %s, %s, %s, 'test')", key_id,
                  hashlib.sha256(secret.encode()).digest(), tenant, ["view", "enqueue"])
        made = Client(stack.api.url, f"pen_{key_id}_{secret}")
        made.key_id = key_id
        return made
    return make


def set_limit(client, name: str, **body) -> dict:
    answer = client.ask("PUT", f"/v1/limits/{name}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(client, job_type: str = "demo.noop"):
    return client.post("/v1/jobs", {"type": job_type, "payload": {}}, new_key())


def refused(client, job_type: str = "demo.noop"):
    """The first answer that is 429."""
    found = []
    def look() -> bool:
        answer = post(client, job_type)
        if answer.status_code == 429:
            found.append(answer)
        return bool(found)
    assert ports.wait_until(look, 10)
    return found[0]


# ---- queues ----

def test_queue__limits_patched_then_they_hold_and_the_audit_knows_what_was(stack, client):
    before = client.get(f"/v1/queues/{QUEUE}").json()
    answer = client.ask("PATCH", f"/v1/queues/{QUEUE}", json={"slots": 3, "max_depth": 5, "reason": "test"}, headers={"If-Match": f'"{before["version"]}"'})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["slots"], said["limits"]["max_depth"], said["version"]) == (3, 5, before["version"] + 1)
    assert said["limits"]["max_open"] == before["limits"]["max_open"]
    assert ports.wait_until(lambda: client.get(f"/v1/queues/{QUEUE}").json()["slots"] == 3, 5)
    (detail, author), = stack.sql("SELECT detail, author FROM platform.audit WHERE action = 'queue.limit' ORDER BY seq DESC LIMIT 1")
    assert (detail["before"]["slots"], detail["after"]["slots"], detail["reason"], author) == (before["slots"], 3, "test", "local")
    ids = enqueue_all(client, [{"type": "demo.tally", "payload": {"ms": 300}, "key": new_key()} for _ in range(5)])
    assert ports.wait_until(lambda: at_once(stack, ids, 0.3) == 3 or len(begun(stack, ids)) == 5, WAIT_S)
    assert ports.wait_until(lambda: len(begun(stack, ids)) == 5, WAIT_S) and at_once(stack, ids, 0.3) <= 3


def test_queue__stale_or_wrong_then_nothing_is_changed(stack, client):
    row = "SELECT slots, version FROM platform.queue WHERE name = %s"
    before = stack.sql(row, QUEUE)
    stale = client.ask("PATCH", f"/v1/queues/{QUEUE}", json={"slots": 9}, headers={"If-Match": f'"{before[0][1] + 7}"'})
    problem(stale, 412, "stale_version")
    for body in ({"slots": 0}, {"slots": 1025}, {"max_depth": 0}, {"max_drain_seconds": -1}, {"max_fill_percent": 101}, {"shards": 2}, {"slots": "many"}):
        problem(client.ask("PATCH", f"/v1/queues/{QUEUE}", json=body), 422, "invalid")
    problem(client.ask("PATCH", "/v1/queues/nope", json={"slots": 9}), 404, "not_found")
    assert stack.sql(row, QUEUE) == before


# ---- rates ----

def test_rate__of_a_tenant_then_429_for_it_alone_and_the_rate_is_kept(client, make_client):
    acme, other = make_client("acme"), make_client("other")
    set_limit(client, "tenant:acme", rate_per_second=20, burst=5)
    answer = refused(acme)
    body = problem(answer, 429, "rate_limited")
    assert body["retryable"] and int(answer.headers["Retry-After"]) == body["retry_after_seconds"] == 1
    assert answer.headers["RateLimit-Policy"] == '"tenant";q=5;w=1' and answer.headers["RateLimit"].startswith('"tenant";r=0;t=')
    assert post(other).status_code == 202 and post(client).status_code == 202
    began, taken = time.monotonic(), 0
    while time.monotonic() < began + 3:
        taken += post(acme).status_code == 202
    took = time.monotonic() - began
    assert 20 * took * 0.5 <= taken <= 20 * took + 5  # at least half: it may not be able to ask often enough
    assert ports.wait_until(lambda: post(acme).headers.get("RateLimit") is not None, 5)
    assert ports.wait_until(lambda: (value(client, "rate_limited_total", limit="tenant") or 0) >= 1, WAIT_S)
    assert not [line for line in client.get("/metrics").text.splitlines() if "rate_limited" in line and "acme" in line]


def test_rate__of_a_type_and_a_queue_then_only_those_and_lines_of_a_batch_too(client):
    set_limit(client, "type:demo.noop", rate_per_second=0.1, burst=2)
    assert problem(refused(client), 429, "rate_limited")["retry_after_seconds"] in range(1, 11)
    assert client.post("/v1/jobs", {"type": "demo.note", "payload": {"text": "x"}}, new_key()).status_code == 202
    lines = "\n".join(json.dumps({"type": t, "payload": p}) for t, p in (("demo.noop", {}), ("demo.tally", {"ms": 0})))
    answers = [json.loads(line) for line in client.ask("POST", "/v1/jobs:batch", data=lines, headers={"Content-Type": "application/x-ndjson"}).text.splitlines()]
    assert answers[0]["problem"]["code"] == "rate_limited" and "id" in answers[1]
    assert client.ask("DELETE", "/v1/limits/type:demo.noop").status_code == 200
    assert ports.wait_until(lambda: post(client).status_code == 202, 5)
    set_limit(client, f"queue:{QUEUE}", rate_per_second=0.1)
    refused(client)
    refused(client, "demo.tally")


def test_rate__of_a_key_then_of_all_its_requests(stack, client, make_client):
    acme, other = make_client("acme"), make_client("acme")
    set_limit(client, f"key:{acme.key_id}", rate_per_second=0.2, burst=3)
    answers = []
    assert ports.wait_until(lambda: answers.append(acme.get("/v1/queues")) or answers[-1].status_code == 429, 10)
    problem(answers[-1], 429, "rate_limited")
    assert other.get("/v1/queues").status_code == 200
    assert acme.get("/livez").status_code == 200


def test_rate__two_api_processes_then_they_divide_it(stack, client, make_client):
    acme = make_client("acme")
    second = Api(stack.dir / "second", BUILD, stack.conf)
    second.start()
    try:
        set_limit(client, "tenant:acme", rate_per_second=10, burst=10)
        policy = lambda url: Client(url, acme.session.headers["Authorization"].removeprefix("Bearer ")).post(
            "/v1/jobs", {"type": "demo.noop", "payload": {}}, new_key()).headers.get("RateLimit-Policy")
        assert ports.wait_until(lambda: policy(stack.api.url) == policy(second.url) == '"tenant";q=5;w=1', WAIT_S)
    finally:
        assert second.stop()
    assert ports.wait_until(lambda: policy(stack.api.url) == '"tenant";q=10;w=1', WAIT_S)


# ---- concurrency ----

def begun(stack, ids: list[str]) -> list[float]:
    return [at for (at,) in stack.sql("SELECT extract(epoch FROM at)::float FROM custom.note WHERE root_id = ANY(%s::uuid[]) ORDER BY at", ids)]


def at_once(stack, ids: list[str], s: float) -> int:
    """The most that ran at one moment: each at least so long from its note on."""
    at = begun(stack, ids)
    return max((sum(t <= other < t + s for other in at) for t in at), default=0)


def test_concurrency__of_a_type_then_no_more_at_once_in_all_processes_and_the_others_run(stack, client):
    assert client.ask("PUT", f"/v1/scale/{QUEUE}", json={"workers": 2}).status_code == 200
    set_limit(client, "type:demo.tally", concurrency=3)
    alive = lambda: [p for p in client.get("/v1/workers").json()["items"] if p["role"] == "worker" and p.get("queue") == QUEUE]
    assert ports.wait_until(lambda: len(alive()) == 2, WAIT_S)
    time.sleep(1)  # the supervisor has looked twice
    since = log_size(stack.roles["worker"].log)
    ids = enqueue_all(client, [{"type": "demo.tally", "payload": {"ms": 200}, "key": new_key()} for _ in range(30)])
    note = client.enqueue("demo.note", {"text": "in between"})
    assert client.ended(note["id"])["state"] == "done"
    assert len(begun(stack, ids)) < 30
    assert ports.wait_until(lambda: len(begun(stack, ids)) == 30, 2 * WAIT_S)
    assert at_once(stack, ids, 0.2) <= 3
    assert charged(stack, since) == []
    assert client.ask("DELETE", "/v1/limits/type:demo.tally").status_code == 200
    time.sleep(1)
    ids = enqueue_all(client, [{"type": "demo.tally", "payload": {"ms": 1000}, "key": new_key()} for _ in range(20)])
    assert ports.wait_until(lambda: len(begun(stack, ids)) == 20, WAIT_S)
    assert at_once(stack, ids, 1.0) > 6


# ---- the rows ----

@pytest.mark.parametrize("name, body, status, code", [
    ("type:nope", {"concurrency": 1}, 422, "unknown_type"), ("queue:nope", {"rate_per_second": 1}, 422, "unknown_queue"),
    ("nope:x", {"rate_per_second": 1}, 404, "not_found"), ("tenant", {"rate_per_second": 1}, 404, "not_found"),
    ("tenant:acme", {"concurrency": 1}, 422, "invalid"), ("tenant:acme", {}, 422, "invalid"), ("tenant:acme", {"rate_per_second": 0}, 422, "invalid"),
    ("tenant:acme", {"rate_per_second": 1, "burst": 0}, 422, "invalid"), ("tenant:acme", {"burst": 3}, 422, "invalid"),
])
def test_limits__that_cannot_be_then_refused(client, name, body, status, code):
    problem(client.ask("PUT", f"/v1/limits/{name}", json=body), status, code)
    assert client.get("/v1/limits").json()["items"] == []


def test_limits__set_changed_and_deleted_then_listed_and_audited(stack, client):
    set_limit(client, "tenant:acme", rate_per_second=2.5, reason="noisy")
    said = set_limit(client, "tenant:acme", rate_per_second=5)
    assert (said["rate_per_second"], said["burst"], said["author"]) == (5, 5, "local")
    (listed,) = client.get("/v1/limits").json()["items"]
    assert listed["limit"] == "tenant:acme"
    (detail,), = stack.sql("SELECT detail FROM platform.audit WHERE action = 'limit.set' AND target = 'tenant:acme' ORDER BY seq DESC LIMIT 1")
    assert (detail["before"]["rate_per_second"], detail["after"]["rate_per_second"]) == (2.5, 5)
    assert client.ask("DELETE", "/v1/limits/tenant:acme").status_code == 200
    problem(client.ask("DELETE", "/v1/limits/tenant:acme"), 404, "not_found")


def test_limits__of_others_then_not_shown_and_not_changed(stack, client, make_client, make_key):
    other = make_client("globex")
    for name in ("tenant:globex", f"key:{other.key_id}", "tenant:acme", "type:demo.note"):
        assert client.ask("PUT", f"/v1/limits/{name}", json={"rate_per_second": 1000}).status_code == 200
    operator = Client(stack.api.url, make_key("acme", "view", "operate"))
    assert [one["limit"] for one in operator.get("/v1/limits").json()["items"]] == ["tenant:acme", "type:demo.note"]
    for name in ("tenant:globex", f"key:{other.key_id}", "tenant:acme"):
        problem(operator.ask("PUT", f"/v1/limits/{name}", json={"rate_per_second": 1}), 403, "forbidden")
        problem(operator.delete(f"/v1/limits/{name}"), 403, "forbidden")
    assert operator.ask("PUT", "/v1/limits/type:demo.note", json={"rate_per_second": 999}).status_code == 200
