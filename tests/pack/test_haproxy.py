"""The shipped haproxy.cfg, with the addresses of here: TLS, who comes in, what is sent again, and an API that restarts behind it."""
import json
import re
import socket
import ssl
import subprocess
import threading

import pytest
import requests

from certificates import Authority
from managed import HeldApi
from penstock_ops import ROOT, ports
from penstock_ops.penstock import connects
from penstock_ops.ports import wait_until
from penstock_ops.processes import Server, clean_environment
from places import BUILD, program
from stack import new_key

NAME = "penstock.example.com"


class Haproxy(Server):
    role = "haproxy"

    def __init__(self, run_dir, certificate, servers: list[int]):
        super().__init__(run_dir)
        self.port = ports.any_free()
        text = (ROOT / "ops" / "examples" / "haproxy.cfg").read_text(encoding="utf-8")
        lines = "\n".join(f"    server s{i} {ports.HOST}:{port}" for i, port in enumerate(servers))
        for pattern, value in ((r"bind :443 ssl crt \S+", f"bind {ports.HOST}:{self.port} ssl crt {certificate}"), (r"^    server a .*", lines),
                               (r"inter 2s", "inter 200ms")):
            text, n = re.subn(pattern, value, text, flags=re.M)
            assert n == 1, pattern
        self.conf = self.run_dir / "haproxy.cfg"
        self.conf.write_text(text, encoding="utf-8")

    def argv(self) -> list[str]:
        return [str(program("haproxy", "/usr/sbin/haproxy")), "-db", "-f", str(self.conf)]

    def is_ready(self) -> bool:
        return connects(ports.HOST, self.port)


class Deaf:
    """A server that is ready, and hangs up on everything else: it may or may not have done what it was asked."""

    def __init__(self):
        self.socket = socket.create_server((ports.HOST, 0))
        self.port = self.socket.getsockname()[1]
        self.asked: list[bytes] = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            with peer:
                head = peer.recv(65536)
                if head.startswith(b"GET /readyz"):
                    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                else:
                    self.asked.append(head)


class Site:
    def __init__(self, proxy: Haproxy, authority: Authority):
        self.proxy, self.authority = proxy, authority
        self.session = requests.Session()
        self.session.trust_env = False  # a bundle named there would win
        self.session.verify = str(authority.certificate)

    def ask(self, method: str, path: str, host: str = NAME, **more) -> requests.Response:
        headers = {"Host": host, **more.pop("headers", {})}
        return self.session.request(method, f"https://{ports.HOST}:{self.proxy.port}{path}", headers=headers, timeout=60, **more)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("haproxy")
    authority = Authority(folder / "ca", "authority")
    certificate, key = authority.sign("site", f"IP:{ports.HOST},DNS:{NAME}")
    both = folder / "site.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    return folder, authority, both


@pytest.fixture
def site(made, stack, tmp_path):
    """In front of an API whose socket is held, and that asks for keys."""
    folder, authority, both = made
    api = HeldApi(tmp_path, BUILD, stack.conf)
    proxy = Haproxy(tmp_path, both, [api.port])
    api.start()
    proxy.start()
    try:
        yield Site(proxy, authority), api
    finally:
        proxy.stop()
        api.stop()
        api.socket.close()


def test_haproxy__the_shipped_file_is_clean(made, tmp_path):
    proxy = Haproxy(tmp_path, made[2], [1])
    done = subprocess.run([proxy.argv()[0], "-c", "-dW", "-f", str(proxy.conf)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_haproxy__tls_only_and_no_old_one(site):
    here, _ = site
    assert here.ask("GET", "/readyz", host=NAME).status_code in (200, 403)
    context = ssl.create_default_context(cafile=str(here.authority.certificate))
    with pytest.warns(DeprecationWarning):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection((ports.HOST, here.proxy.port), 10) as raw, pytest.raises(ssl.SSLError):
        context.wrap_socket(raw, server_hostname=ports.HOST)


def test_haproxy__from_outside_a_key_is_needed_whatever_host_is_named(site, stack):
    """The API listens on loopback, where a local name comes in without a key: not through here."""
    here, _ = site
    for host in ("localhost", "127.0.0.1", "[::1]", f"localhost:{here.proxy.port}", "localhost#.penstock.example.com"):
        assert here.ask("GET", "/v1/queues", host=host).status_code == 421, host
    assert here.ask("GET", "/v1/queues").status_code in (401, 403)
    key = create_key(stack)
    assert here.ask("GET", "/v1/queues", headers={"Authorization": f"Bearer {key}"}).status_code == 200


def create_key(stack) -> str:
    env = {**clean_environment(), "PENSTOCK_CONFIG": str(stack.conf), "PENSTOCK_ADMIN_POSTGRES_URL": stack.postgres.admin_url}
    done = subprocess.run([str(BUILD / "penstock"), "key", "create", "--scopes", "view,enqueue", "-o", "json"], env=env,
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["key"]


def test_haproxy__an_api_restarts_behind_it_and_nobody_notices(site, stack):
    here, api = site
    headers = {"Authorization": f"Bearer {create_key(stack)}"}
    statuses, stop = [], threading.Event()

    def run() -> None:
        while not stop.is_set():
            statuses.append(here.ask("POST", "/v1/jobs", json={"type": "demo.note", "payload": {"text": "x"}},
                                     headers={**headers, "Idempotency-Key": new_key()}).status_code)
    thread = threading.Thread(target=run)
    thread.start()
    for _ in range(3):
        before = len(statuses)
        assert wait_until(lambda: len(statuses) > before + 20, 30)
        api.restart()
    stop.set()
    thread.join()
    assert set(statuses) == {202}


@pytest.mark.parametrize("method, headers, times", [("GET", {}, 4), ("POST", {"Idempotency-Key": "k"}, 4), ("POST", {}, 1)])
def test_haproxy__sends_again_only_what_may_arrive_twice(made, tmp_path, method, headers, times):
    deaf = Deaf()
    proxy = Haproxy(tmp_path, made[2], [deaf.port])
    proxy.start()
    try:
        here = Site(proxy, made[1])
        assert wait_until(lambda: here.ask(method, "/v1/jobs", headers=headers, data=b"{}").status_code == 502 and deaf.asked, 20)
        assert len(deaf.asked) == times
    finally:
        proxy.stop()
        deaf.socket.close()
