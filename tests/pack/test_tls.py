"""Postgres by sslmode, Redis through the shipped tunnel: what is encrypted, and who is refused."""
import json
import re
import subprocess

import pytest

from certificates import Authority
from penstock_ops import ROOT, ports
from penstock_ops.penstock import connects
from penstock_ops.postgres_server import Postgres
from penstock_ops.processes import Server, clean_environment
from penstock_ops.redis_server import Redis
from places import BUILD, program
from stack import Client, Stack, order


class TlsPostgres(Postgres):
    def __init__(self, run_dir, certificate, key):
        super().__init__(run_dir, settings={"ssl": "on", "ssl_cert_file": str(certificate), "ssl_key_file": str(key)})
        self.key = key

    def prepare(self) -> None:
        super().prepare()
        for path in (self.key.parent, self.key):
            self._account.give(path)


class Tunnel(Server):
    """The shipped recipe, with the addresses of here."""

    role = "stunnel"

    def __init__(self, run_dir, redis_port: int, authority, name: str):
        super().__init__(run_dir)
        self.port = ports.any_free()
        text = (ROOT / "ops" / "examples" / "stunnel-redis.conf").read_text(encoding="utf-8")
        for pattern, value in ((r"^accept = .*", f"accept = {ports.HOST}:{self.port}"), (r"^connect = .*", f"connect = {ports.HOST}:{redis_port}"),
                               (r"^CAfile = .*", f"CAfile = {authority.certificate}"), (r"^checkHost = .*", f"checkHost = {name}")):
            text, n = re.subn(pattern, value, text, flags=re.M)
            assert n == 1, pattern
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self.conf = self.run_dir / "stunnel.conf"
        self.conf.write_text(text, encoding="utf-8")

    def argv(self) -> list[str]:
        return [str(program("stunnel4", "/usr/bin/stunnel4")), str(self.conf)]

    def is_ready(self) -> bool:
        return connects(ports.HOST, self.port)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Postgres with a certificate, Redis that speaks TLS alone, a tunnel to it, and Penstock on both."""
    folder = tmp_path_factory.mktemp("tls")
    good, other = Authority(folder / "ca", "good"), Authority(folder / "other", "other")
    stack = Stack(folder / "stack", build=BUILD)
    stack.postgres = TlsPostgres(stack.dir, *good.sign("postgres", f"IP:{ports.HOST}"))
    verified = f"?sslmode=verify-full&sslrootcert={good.certificate}"
    stack.postgres.url += verified
    stack.postgres.admin_url += verified
    certificate, key = good.sign("redis", "DNS:redis.test")
    tls_port = ports.any_free()
    stack.redis = Redis(stack.dir, settings={"tls-port": str(tls_port), "tls-cert-file": str(certificate), "tls-key-file": str(key),
                                             "tls-ca-cert-file": str(good.certificate), "tls-auth-clients": "no"})
    tunnel = Tunnel(stack.dir / "tunnel", tls_port, good, "redis.test")
    plain_url = stack.redis.url
    stack.redis.url = f"redis://{ports.HOST}:{tunnel.port}"  # for the roles; migrate, as the administrator, goes there directly
    tunnel.start()
    try:
        stack.start()
        yield stack, tls_port, good, other, plain_url
    finally:
        stack.stop()
        tunnel.stop()


def doctor(stack, **settings: str) -> dict[str, dict]:
    env = {**clean_environment(), "PENSTOCK_CONFIG": str(stack.conf), "PENSTOCK_URL": stack.api.url, **settings}
    done = subprocess.run([str(BUILD / "penstock"), "doctor", "-o", "json"], env=env, capture_output=True, text=True, timeout=60, check=False)
    return {item["name"]: item for item in json.loads(done.stdout)["items"]}


def test_order__over_encrypted_connections(world):
    stack, *_ = world
    client = Client(stack.api.url)
    assert client.post("/v1/orders", order(), key="tls").status_code in (201, 202)
    assert client.ended(client.enqueue("demo.note", {"text": "x"})["id"])["state"] == "done"
    rows = stack.sql("SELECT usename, ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename ~ '^penstock_'")
    assert len(rows) > 3 and all(ssl for _, ssl in rows), rows
    assert doctor(stack)["postgres.tls"]["detail"] == "encrypted, and the server's certificate is checked"


@pytest.mark.parametrize("case", ("wrong authority", "another name"))
def test_postgres__refused_when_it_cannot_prove_who_it_is(world, case):
    stack, _, good, other, _ = world
    ca = other.certificate if case == "wrong authority" else good.certificate
    host = ports.HOST if case == "wrong authority" else "localhost"  # which is not in the certificate
    url = f"postgresql://{host}:{stack.postgres.port}/penstock?sslmode=verify-full&sslrootcert={ca}"
    said = doctor(stack, PENSTOCK_POSTGRES_URL=url)
    failed = [item for name, item in said.items() if name.startswith("postgres.") and item["state"] == "FAIL"]
    assert failed and "postgres.api" not in {name for name, item in said.items() if item["state"] == "ok"}, said
    ok = doctor(stack, PENSTOCK_POSTGRES_URL=url.replace("verify-full", "require").split("&")[0])  # the same server, not asked for proof
    assert ok["postgres.api"]["state"] == "ok"


def test_postgres__without_tls_refused_where_it_is_asked_for(stack):
    said = doctor(stack, PENSTOCK_POSTGRES_URL=f"{stack.postgres.url}?sslmode=require")
    assert said["postgres.server"]["state"] == "FAIL" if "postgres.server" in said else said["postgres.api"]["state"] == "FAIL"


def test_doctor__warns_of_what_goes_over_a_network_in_the_clear(world, stack):
    """0.0.0.0 is this machine, but not to be told from another one."""
    there = f"postgresql://0.0.0.0:{stack.postgres.port}/penstock"
    said = doctor(stack, PENSTOCK_POSTGRES_URL=there, PENSTOCK_REDIS_URL=f"redis://any:p%40w@0.0.0.0:{stack.redis.port}")
    for name in ("postgres.tls", "redis.tls"):
        assert said[name]["state"] == "WARN" and "in the clear" in said[name]["detail"], said[name]
    said = doctor(world[0], PENSTOCK_POSTGRES_URL=f"postgresql://0.0.0.0:{world[0].postgres.port}/penstock?sslmode=require")
    assert said["postgres.tls"]["detail"] == "encrypted, but whoever answers is believed"
    assert {doctor(stack)[name]["state"] for name in ("postgres.tls", "redis.tls")} == {"ok"}


@pytest.mark.parametrize("case", ("wrong authority", "another name"))
def test_redis__refused_by_the_tunnel_when_it_cannot_prove_who_it_is(world, tmp_path, case):
    stack, tls_port, good, other, _ = world
    wrong = Tunnel(tmp_path, tls_port, other if case == "wrong authority" else good,
                   "redis.test" if case == "wrong authority" else "elsewhere.test")
    wrong.start()
    try:
        said = doctor(stack, PENSTOCK_REDIS_URL=f"redis://{ports.HOST}:{wrong.port}")
        assert said["redis.scheduler"]["state"] == "FAIL", said
    finally:
        wrong.stop()
    assert doctor(stack)["redis.scheduler"]["state"] == "ok"
