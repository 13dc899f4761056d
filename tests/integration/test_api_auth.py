"""API keys: who may do what, whose rows are seen, and when the API refuses to listen."""
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock_ops import ports
from penstock_ops.penstock import Api
from penstock_ops.processes import clean_environment
from stack import BUILD, WAIT_S, Client, new_key, problem

ALL = ["view", "enqueue", "operate", "replay", "admin"]


def test_loopback__given_no_key_then_everything_is_allowed_for_the_default_tenant(client):
    job = client.enqueue("demo.note", {"text": "a"})
    assert client.ended(job["id"])["tenant"] == "default"


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"}, {"Host": "evil.example:8080"}, {"Host": "127.0.0.1.evil.example"}, {"Host": "localhost.evil.example"},
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}])
def test_loopback__given_another_sites_request_and_no_key_then_403(stack, client, make_key, headers):
    problem(client.get("/v1/queues", headers=headers), 403, "foreign_request")
    assert Client(stack.api.url, make_key("default", "view")).get("/v1/queues", headers=headers).status_code == 200
    assert client.get("/livez", headers=headers).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080"])
def test_loopback__given_this_machines_own_page_then_it_is_let_in(client, host):
    headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    assert client.get("/v1/queues", headers=headers).status_code == 200


@pytest.mark.parametrize("header", ["Bearer x", "Bearer pen_a", "Basic cGVu", "Bearer pen_nobody_secret", ""])
def test_key__given_one_that_is_none_then_401_even_on_loopback(client, header):
    answer = client.get("/v1/queues", headers={"Authorization": header})
    problem(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_key__given_another_secret_or_a_revoked_key_then_401(stack, make_key):
    key = make_key("default", "view")
    assert Client(stack.api.url, key).get("/v1/queues").status_code == 200
    problem(Client(stack.api.url, key + "x").get("/v1/queues"), 401, "unauthenticated")
    stack.sql("UPDATE platform.api_key SET revoked_at = now() WHERE id = %s", key.split("_")[1])
    revoked = Client(stack.api.url, key)
    assert ports.wait_until(lambda: revoked.get("/v1/queues").status_code == 401, 7)


def test_key__given_an_answer_that_came_late_then_a_revoked_key_works_no_longer(stack, make_key):
    key = make_key("default", "view")
    late = Client(stack.api.url, key)
    stack.sql("ALTER TABLE platform.api_key ENABLE ROW LEVEL SECURITY")
    try:
        stack.sql("CREATE POLICY late ON platform.api_key USING (pg_sleep(2)::text = '')")
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(late.get, "/v1/queues")
            asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            assert ports.wait_until(lambda: stack.sql(asked) == [(1,)], 1)
            stack.sql("UPDATE platform.api_key SET revoked_at = now() WHERE id = %s", key.split("_")[1])
            revoked = time.monotonic()
            assert first.result().status_code == 200
    finally:
        stack.sql("DROP POLICY IF EXISTS late ON platform.api_key")
        stack.sql("ALTER TABLE platform.api_key DISABLE ROW LEVEL SECURITY")
    ports.wait_until(lambda: False, revoked + 5.2 - time.monotonic())
    problem(late.get("/v1/queues"), 401, "unauthenticated")


@pytest.mark.parametrize("scope,allowed", [
    ("view", {"GET /v1/queues", "GET /metrics"}), ("enqueue", {"POST /v1/jobs"}), ("operate", {"POST /v1/queues/default/resume"}),
    ("replay", {"POST /v1/dlq/default/retry"}),
    ("admin", {"GET /v1/queues", "GET /metrics", "POST /v1/jobs", "POST /v1/queues/default/resume", "POST /v1/dlq/default/retry"}),
])
def test_scope__given_a_key_then_it_opens_what_its_scope_says(stack, make_key, scope, allowed):
    client = Client(stack.api.url, make_key("default", scope))
    bodies = {"POST /v1/jobs": {"type": "demo.noop", "payload": {}}, "POST /v1/queues/default/resume": {},
              "POST /v1/dlq/default/retry": {"all": True, "limit": 1}, "GET /v1/queues": None, "GET /metrics": None}
    for what, body in bodies.items():
        method, path = what.split()
        answer = client.ask(method, path, **({"json": body} if body is not None else {}))
        if what in allowed:
            assert answer.status_code < 300, f"{what}: {answer.text}"
        else:
            problem(answer, 403, "forbidden")
    for path in ("/livez", "/readyz", "/openapi.json"):
        assert client.get(path).status_code == 200


def test_tenant__given_two_then_neither_sees_the_others_jobs_nor_keys(stack, make_key):
    one, two = (Client(stack.api.url, make_key(tenant, "view", "enqueue", "replay")) for tenant in ("one", "two"))
    key = new_key()
    mine = one.enqueue("demo.note", {"text": "x"}, key)
    theirs = two.enqueue("demo.note", {"text": "y"}, key)  # the same key is another one in another tenant
    assert mine["id"] != theirs["id"]
    one.ended(mine["id"])
    for client, job in ((one, theirs), (two, mine)):
        problem(client.get(f"/v1/jobs/{job['id']}"), 404, "not_found")
        problem(client.delete(f"/v1/jobs/{job['id']}"), 404, "not_found")
        problem(client.post(f"/v1/jobs/{job['id']}/retry"), 404, "not_found")
        assert job["id"] not in [j["id"] for j in client.get("/v1/jobs?limit=500").json()["items"]]
    for job in (one.enqueue("demo.echo", {"text": "x"}, delay_ms=60000), one.enqueue("demo.note", {"text": "x"}, delay_ms=1500)):
        problem(two.get(f"/v1/jobs/{job['id']}"), 404, "not_found")
        problem(two.get(f"/v1/jobs/{job['id']}?wait=5s"), 404, "not_found")
        problem(two.delete(f"/v1/jobs/{job['id']}"), 404, "not_found")
        assert one.job(job["id"])["state"] == "delayed"
        assert Client(stack.api.url, make_key("three", "admin")).delete(f"/v1/jobs/{job['id']}").status_code == 200
    everything = Client(stack.api.url, make_key("three", "admin"))
    assert everything.job(mine["id"])["tenant"] == "one"


def test_queue__given_one_that_is_not_the_types_own_then_only_operate_opens_it(stack, make_key):
    body = {"type": "demo.noop", "payload": {}, "queue": "notifications"}
    said = problem(Client(stack.api.url, make_key("default", "enqueue")).post("/v1/jobs", body), 403, "forbidden")
    assert "operate" in said["detail"]
    assert Client(stack.api.url, make_key("default", "enqueue")).post("/v1/jobs", {**body, "queue": "default"}).status_code == 202
    assert Client(stack.api.url, make_key("default", "enqueue", "operate")).post("/v1/jobs", body).status_code == 202


def test_key__given_an_unknown_one_then_it_is_refused_before_the_body(stack):
    with socket.create_connection((stack.api.host, stack.api.port), 10) as s:
        s.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer pen_nobody_secret\r\n"
                  b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
        assert s.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_tenant__given_the_platforms_own_then_no_key_opens_it(stack, make_key):
    problem(Client(stack.api.url, make_key("_system", *ALL)).get("/v1/queues"), 401, "unauthenticated")


def test_listen__given_beyond_loopback_and_no_live_key_then_78_and_one_line(stack):
    environment = {**clean_environment(), "PENSTOCK_CONFIG": str(stack.conf), "PENSTOCK_API_LISTEN": f"0.0.0.0:{ports.any_free()}"}
    done = subprocess.run([BUILD / "penstock", "api"], env=environment, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 78
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(said) == 1 and "key create" in said[0]


def test_listen__given_a_port_that_is_taken_then_one_line_says_so(stack):
    environment = {**clean_environment(), "PENSTOCK_CONFIG": str(stack.conf), "PENSTOCK_API_LISTEN": f"{stack.api.host}:{stack.api.port}"}
    done = subprocess.run([BUILD / "penstock", "api"], env=environment, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 1
    said = [line for line in (done.stdout + done.stderr).splitlines() if '"error"' in line or "in use" in line]
    assert len(said) == 1 and f"{stack.api.port}" in said[0] and "in use" in said[0], said


def test_listen__given_beyond_loopback_and_a_key_then_nothing_goes_without_one(stack, make_key, tmp_path):
    key = make_key("default", *ALL)
    api = Api(tmp_path, BUILD, stack.conf, f"0.0.0.0:{ports.any_free()}")
    api.start()
    try:
        problem(Client(api.url).get("/v1/queues"), 401, "unauthenticated")
        problem(Client(api.url).get("/metrics"), 401, "unauthenticated")
        assert Client(api.url, key).get("/v1/queues").status_code == 200
    finally:
        assert api.stop()
    assert api.exit_code() == 0
