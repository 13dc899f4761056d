"""The dashboard's server side: its files, sessions, the stream of snapshots."""
import json
import socket
import threading
import time

import pytest
import requests

from penstock_ops import ports
from stack import WAIT_S, Client, problem

PAGE = {"Sec-Fetch-Site": "same-origin"}  # what a browser says for our own pages


def sign_in(stack, key: str) -> Client:
    browser = Client(stack.api.url)
    answer = browser.post("/v1/session", {"key": key}, headers=PAGE)
    assert answer.status_code == 200, answer.text
    return browser


class Viewer:
    """One open stream; its events are read by a thread. Ends when either side ends it."""

    def __init__(self, url: str, cookie: str = ""):
        host, port = url.removeprefix("http://").split(":")
        self.sock = socket.create_connection((host, int(port)))
        extra = f"Cookie: penstock_session={cookie}\r\n" if cookie else ""
        self.sock.sendall(f"GET /v1/live HTTP/1.1\r\nHost: {host}:{port}\r\n{extra}\r\n".encode())
        self.lines = self.sock.makefile("rb")
        self.status = int(self.lines.readline().split()[1])
        self.headers = dict(iter(lambda: self.lines.readline().decode().strip().partition(": ")[::2], ("", "")))
        self.events: list[dict] = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.lines:
            if line.startswith(b"data: ") and line.endswith(b"\n"):
                self.events.append(json.loads(line[6:]))
        self.ended.set()

    def until(self, n: int) -> list[dict]:
        assert ports.wait_until(lambda: len(self.events) >= n or self.ended.is_set(), WAIT_S) and len(self.events) >= n, self.events
        return self.events

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was faster
        self.thread.join(WAIT_S)
        self.lines.close()
        self.sock.close()


@pytest.fixture
def view(stack):
    made = []

    def make(cookie: str = "") -> Viewer:
        made.append(Viewer(stack.api.url, cookie))
        return made[-1]

    yield make
    for viewer in made:
        viewer.close()


# ---- files ----

@pytest.mark.parametrize("path", ["/ui/", "/ui/queues/orders", "/ui/queues/a.b", "/ui/jobs?q=state:dead"])
def test_pages__are_one_file_with_a_strict_policy(client, path):
    answer = client.get(path, headers={"Accept-Encoding": "identity"})
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "require-trusted-types-for 'script'" in policy and "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff" and answer.headers["Cache-Control"] == "no-cache"
    assert "<script>" not in answer.text and "style=" not in answer.text
    again = client.get(path, headers={"Accept-Encoding": "identity", "If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304 and not again.content


def test_assets__named_by_the_page_are_there_compressed_and_kept_for_a_year(client):
    page = client.get("/ui/").text
    names = [part.split('"')[0] for part in page.split('"/ui/assets/')[1:]]
    assert any(name.endswith(".js") for name in names)
    for name in names:
        plain = client.get(f"/ui/assets/{name}", headers={"Accept-Encoding": "identity"})
        assert plain.status_code == 200 and "immutable" in plain.headers["Cache-Control"], name
        for encoding in ("br", "gzip"):
            packed = client.ask("HEAD", f"/ui/assets/{name}", headers={"Accept-Encoding": encoding})
            assert packed.headers["Content-Encoding"] == encoding and packed.headers["Content-Type"] == plain.headers["Content-Type"]
        assert client.get(f"/ui/assets/{name}", headers={"Accept-Encoding": "gzip"}).content == plain.content


@pytest.mark.parametrize("path", ["/ui/assets/nothing.js", "/ui/assets/%2e%2e/index.html", "/ui"])
def test_files__given_none_of_the_name_then_404(client, path):
    problem(client.get(path), 404, "no_route")


def test_home__given_a_browser_then_to_the_dashboard(client):
    answer = client.get("/", headers={"Accept": "text/html,*/*;q=0.8"}, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui/")
    problem(client.get("/", headers={"Accept": "application/json"}), 404, "no_route")


# ---- sessions ----

def test_session__given_a_key_then_a_cookie_that_no_script_and_no_other_site_has(stack, make_key):
    key = make_key("default", "view", "operate")
    answer = Client(stack.api.url).post("/v1/session", {"key": key}, headers=PAGE)
    assert answer.status_code == 200 and answer.json()["scopes"] == ["view", "operate"] and answer.json()["name"] == "test"
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("penstock_session=") and key.split("_")[2] not in cookie
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"} <= set(cookie.split("; ")) and "Secure" not in cookie
    behind_tls = Client(stack.api.url).post("/v1/session", {"key": key}, headers={**PAGE, "X-Forwarded-Proto": "https"})
    assert "Secure" in behind_tls.headers["Set-Cookie"].split("; ")


def test_session__given_its_cookie_then_the_keys_scopes_and_author(stack, make_key):
    key = make_key("default", "view", "operate")
    browser = sign_in(stack, key)
    who = browser.get("/v1/session").json()
    assert who["author"] == key.split("_")[1] and who["expires_at"]
    assert browser.post("/v1/queues/default/pause", {"reason": "console"}, headers=PAGE).status_code == 200
    assert browser.post("/v1/queues/default/resume", {"reason": "console"}, headers=PAGE).status_code == 200
    problem(browser.post("/v1/dlq/default/retry", {"all": True}, headers=PAGE), 403, "forbidden")
    authors = stack.sql("SELECT DISTINCT author FROM platform.audit WHERE detail->>'reason' = 'console'")
    assert authors == [(key.split("_")[1],)]


@pytest.mark.parametrize("headers", [
    {}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://evil.example"},
    {"Origin": "null"}])
def test_session__given_a_change_that_no_page_of_ours_asks_for_then_403_and_nothing_done(stack, make_key, headers):
    browser = sign_in(stack, make_key("default", "view", "operate"))
    problem(browser.post("/v1/queues/default/pause", {}, headers=headers), 403, "cross_site")
    assert browser.get("/v1/queues/default").json()["paused"] is False


def test_session__given_an_old_browser_then_its_origin_counts(stack, make_key):
    browser = sign_in(stack, make_key("default", "view", "operate"))
    answer = browser.post("/v1/queues/default/resume", {}, headers={"Origin": stack.api.url})
    assert answer.status_code == 200, answer.text


def changed(cookie: str, how: str) -> str:
    key_id, ends, mac = cookie.split(":")
    return {"mac": f"{key_id}:{ends}:{'0' if mac[0] != '0' else '1'}{mac[1:]}", "later": f"{key_id}:{int(ends) + 1}:{mac}",
            "past": f"{key_id}:1:{mac}", "another key": f"{'0' * 12}:{ends}:{mac}", "short": f"{key_id}:{ends}:{mac[:-2]}",
            "no parts": "x", "empty": ""}[how]


@pytest.mark.parametrize("how", ["mac", "later", "past", "another key", "short", "no parts", "empty"])
def test_session__given_a_cookie_that_is_not_ours_then_401_and_it_is_taken_away(stack, make_key, how):
    browser = sign_in(stack, make_key("default", "view"))
    forged = changed(browser.session.cookies["penstock_session"], how)
    answer = requests.get(stack.api.url + "/v1/queues", headers={"Cookie": f"penstock_session={forged}"}, timeout=WAIT_S)
    problem(answer, 401, "session_expired")
    assert "Max-Age=0" in answer.headers["Set-Cookie"]


def test_session__given_its_key_was_revoked_then_it_ends(stack, make_key):
    key = make_key("default", "view")
    browser = sign_in(stack, key)
    assert browser.get("/v1/queues").status_code == 200
    stack.sql("UPDATE platform.api_key SET revoked_at = now() WHERE id = %s", key.split("_")[1])
    cookie = {"Cookie": f"penstock_session={browser.session.cookies['penstock_session']}"}
    assert ports.wait_until(lambda: requests.get(stack.api.url + "/v1/queues", headers=cookie, timeout=WAIT_S).status_code == 401, WAIT_S)


def test_session__given_back_then_the_cookie_is_gone(stack, make_key):
    browser = sign_in(stack, make_key("default", "view"))
    assert browser.delete("/v1/session", headers=PAGE).status_code == 204
    assert "penstock_session" not in browser.session.cookies


@pytest.mark.parametrize("key", ["pen_nobody_secret", "nonsense", "pen_a"])
def test_session__given_a_wrong_key_then_401_and_no_cookie(client, key):
    answer = client.post("/v1/session", {"key": key}, headers=PAGE)
    problem(answer, 401, "unauthenticated")
    assert "Set-Cookie" not in answer.headers


def test_session__given_a_key_that_may_not_view_or_another_sites_form_then_403(stack, client, make_key):
    problem(client.post("/v1/session", {"key": make_key("default", "enqueue")}, headers=PAGE), 403, "forbidden")
    problem(client.post("/v1/session", {"key": make_key("default", "view")}, headers={"Sec-Fetch-Site": "cross-site"}), 403, "cross_site")


# ---- the stream ----

def test_live__shows_queues_and_workers_once_a_second(stack, client, view):
    viewer = view()
    assert viewer.headers["Content-Type"] == "text/event-stream" and viewer.headers["Cache-Control"] == "no-store"
    client.ended(client.enqueue("demo.note", {"text": "seen"})["id"])
    assert ports.wait_until(lambda: any(w["role"] == "worker" for e in viewer.events[-1:] for w in e["workers"]), WAIT_S)
    first, second = viewer.until(len(viewer.events) + 2)[-2:]
    assert second["n"] == first["n"] + 1 and 500 < second["at_ms"] - first["at_ms"] < 3000
    queue = {q["name"]: q for q in second["queues"]}["default"]
    assert queue["state"] == "open" and queue["workers"]["running"] == 1 and queue["workers"]["author"]
    assert queue["slots"] > 0 and set(queue["depth"]) >= {"waiting", "running", "delayed", "parked", "dead"}
    assert second["ready"] is True and second["degraded"] == [] and second["version"]
    assert any(q["out_per_s"] > 0 for e in viewer.events for q in e["queues"])


def test_live__given_two_viewers_then_both_get_the_same_snapshots(view):
    a, b = view(), view()
    a.until(3), b.until(3)
    same = {e["n"]: e for e in a.events}.keys() & {e["n"]: e for e in b.events}.keys()
    assert same
    assert all({e["n"]: e for e in a.events}[n] == {e["n"]: e for e in b.events}[n] for n in same)


def load(stack, seconds: float) -> tuple[dict, int]:
    """Redis's commands by name, and Postgres's transactions, that the time brought."""
    def look():
        stats = stack.redis_client().info("commandstats")
        return ({name: s["calls"] for name, s in stats.items()},
                stack.sql("SELECT pg_stat_clear_snapshot(), xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()")[0][1])

    before, began = look(), time.monotonic()
    while time.monotonic() - began < seconds:
        time.sleep(0.1)
    after = look()
    return {n: c - before[0].get(n, 0) for n, c in after[0].items()}, after[1] - before[1]


def test_live__given_more_viewers_then_no_more_commands(view, stack):
    """The first one costs two reads of heartbeats a second, each further one nothing."""
    view().until(2)
    one_redis, one_postgres = load(stack, 5)
    more = [view() for _ in range(8)]
    for viewer in more:
        viewer.until(2)
    nine_redis, nine_postgres = load(stack, 5)
    for name in ("cmdstat_mget", "cmdstat_zrangebyscore", "cmdstat_fcall", "cmdstat_fcall_ro", "cmdstat_get", "cmdstat_info"):
        assert nine_redis.get(name, 0) <= one_redis.get(name, 0) * 1.3 + 5, (name, one_redis, nine_redis)
    assert nine_postgres <= one_postgres * 1.3 + 5, (one_postgres, nine_postgres)


def test_live__given_nobody_then_no_heartbeats_are_read(stack, view):
    viewer = view()
    viewer.until(2)
    assert load(stack, 3)[0]["cmdstat_zrangebyscore"] >= 2
    viewer.close()
    assert ports.wait_until(lambda: load(stack, 2)[0].get("cmdstat_zrangebyscore", 0) == 0, WAIT_S)


def test_live__given_a_cut_stream_then_the_next_one_goes_on(view):
    first = view()
    seen = first.until(2)[-1]["n"]
    first.close()
    assert view().until(1)[0]["n"] >= seen


def test_live__given_its_key_revoked_then_the_stream_ends(stack, make_key, view):
    key = make_key("default", "view")
    viewer = view(sign_in(stack, key).session.cookies["penstock_session"])
    viewer.until(1)
    stack.sql("UPDATE platform.api_key SET revoked_at = now() WHERE id = %s", key.split("_")[1])
    assert viewer.ended.wait(WAIT_S)


def test_history__has_points_of_every_queue(client):
    def points():
        return {q["name"]: q for q in client.get("/v1/live/history").json()["queues"]}
    assert ports.wait_until(lambda: len(points()["default"]["backlog"]) >= 2, WAIT_S)
    for queue in points().values():
        assert len(queue["backlog"]) == len(queue["oldest_age_s"]) == len(queue["in_per_s"]) == len(queue["out_per_s"])
