"""Version N beside N+1 under load: N+1 has Functions of its own, writes headers of another version, and payloads of a schema that N does not know.
No request fails, no job is lost, and what N's worker cannot read it puts aside for the other."""
import base64
import itertools
import json
import re
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from penstock_ops import ports
from penstock_ops.penstock import Api, Role, migrate
from shard import VERSION
from stack import BUILD, WAIT_S, Client, Stack, new_key

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
OPEN = ("waiting", "running", "delayed", "parked", "dead")
MEMBER = {1: "a", 2: "b"}  # what each version's payload has; N+1 takes what still waits of N, too
SCHEMA = {1: {"type": "object", "required": ["a"], "additionalProperties": False, "properties": {"a": {"type": "integer"}}},
          2: {"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}}
CLASSES = {"t.up": "journal", "t.fast": "stream"}
TYPE = '{{ name = "{name}"; class = "{job_class}"; handler = "{url}"; version = {version}; retry_base_ms = 50; retry_cap_ms = 500; schema = {schema}; }}'
NEXT = BUILD / "next"  # tests/integration/CMakeLists.txt


class Handler(BaseHTTPRequestHandler):
    """Reads each payload as its version says; 422, and so dead, when it is none of that."""

    ran = defaultdict(list)

    def do_POST(self):
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        version = int(self.headers["penstock-type-version"])
        self.ran[self.headers["webhook-id"]].append(version)
        self.send_response(200 if MEMBER[version] in payload else 422)
        self.end_headers()
        self.wfile.write(json.dumps({"version": version}).encode())

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def types(tmp_path_factory):
    """The files of N and N+1."""
    server = ThreadingHTTPServer((ports.HOST, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder = tmp_path_factory.mktemp("types")
    made = {}
    for version, schema in SCHEMA.items():
        made[version] = folder / f"types{version}.conf"
        quoted = json.dumps(json.dumps(schema))
        url = f"http://{ports.HOST}:{server.server_port}/"
        rows = [TYPE.format(name=name, job_class=c, url=url, version=version, schema=quoted) for name, c in CLASSES.items()]
        made[version].write_text(f"types = ( {', '.join(rows)} );\n")
    yield made
    server.shutdown()


@pytest.fixture(scope="module")
def stack(tmp_path_factory, types):
    made = Stack(tmp_path_factory.mktemp("stack"),
                 {"handler.types": str(types[1]), "handler.secret": SECRET, "handler.allow_cidr": "127.0.0.0/8"})
    folder = made.dir / "next"
    folder.mkdir()
    more = {"PENSTOCK_HANDLER_TYPES": str(types[2])}
    made.next = {"api": Api(folder, NEXT, made.conf, settings=more), **{name: Role(folder, NEXT, name, made.conf, more) for name in ("worker", "scheduler")}}
    try:
        yield made.start()
    finally:
        ended = [role.stop() for role in made.next.values() if role.is_running()]
        made.stop()
        assert all(ended)


class Load:
    """Producers that go where they are told to, by the version of each API."""

    def __init__(self):
        self.urls: dict[int, str] = {}
        self.accepted: dict[str, dict[str, int]] = {name: {} for name in CLASSES}  # id → version
        self.failed = []
        self.stop = threading.Event()
        self.busy = threading.Lock()
        self.rounds = [0] * 4
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(4)]
        for thread in self.threads:
            thread.start()

    def run(self, i: int) -> None:
        client = Client("")
        for n in range(1_000_000):
            self.rounds[i] = n
            if self.stop.wait(0.01):
                return
            for name, (version, url) in itertools.product(CLASSES, list(self.urls.items())):
                answer = client.post(f"{url}/v1/jobs", {"type": name, "payload": {MEMBER[version]: n}, "delay_ms": 4000 * (n % 5 == 0)}, new_key())
                if answer.status_code == 202:
                    self.accepted[name][answer.json()["id"]] = version
                else:
                    self.failed.append((version, answer.status_code, answer.text))

    def turn_to(self, urls: dict[int, str]) -> None:
        """When it returns, nothing is on its way to any other."""
        self.urls, before = urls, list(self.rounds)
        assert ports.wait_until(lambda: all(now > was + 1 for now, was in zip(self.rounds, before)), WAIT_S)

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()


def parked(client) -> tuple[int, float]:
    """Now, and the counter over all workers."""
    found = re.findall(r'^penstock_jobs_parked_total\{[^}]*type="t.up"[^}]*\} (\S+)', client.get("/metrics").text, re.MULTILINE)
    return client.get("/v1/queues/default").json()["depth"]["parked"], sum(map(float, found))


def libraries(stack) -> set[str]:
    with stack.redis_client() as r:
        return {row[1].decode() for row in r.function_list("*")}


def migrate_beside(stack) -> None:
    """Adds what N+1 needs; of the libraries there before goes what neither version calls."""
    with stack.redis_client() as r:
        r.function_load(f"#!lua name=penstock_{VERSION - 1}\nredis.register_function('pen_depth_{VERSION - 1}', function() end)")
    for _ in range(3):  # its locks and those of the statements of others are in each other's way
        migrate(stack.dir, NEXT, stack.conf, stack.postgres.admin_url, stack.redis.admin_url)
    assert libraries(stack) == {f"penstock_{VERSION}", f"penstock_{VERSION + 1}"}


def test_upgrade__one_role_after_the_other_under_load_then_nothing_fails_and_nothing_is_lost(stack):
    load = Load()
    clients = {1: Client(stack.api.url), 2: Client(stack.next["api"].url)}
    done = "SELECT count(*) FROM platform.job WHERE state = 'done' AND type_version = %s"
    try:
        load.urls = {1: stack.api.url}
        assert ports.wait_until(lambda: stack.sql(done, 1)[0][0] > 20, WAIT_S)
        migrate_beside(stack)
        stack.next["api"].start()  # the wrong order: nobody can run what it takes
        load.urls = {1: stack.api.url, 2: stack.next["api"].url}
        assert ports.wait_until(lambda: parked(clients[1])[0] > 20 and parked(clients[1])[1] > 20, WAIT_S)
        assert stack.sql(done, 2) == [(0,)]
        stack.sql("UPDATE platform.desired_workers SET workers = 2 WHERE queue = 'default'")  # one at each supervisor
        stack.next["worker"].start()
        assert ports.wait_until(lambda: stack.sql(done, 2)[0][0] > 200, WAIT_S)  # beside the one that goes on parking them
        stack.next["scheduler"].start()
        assert stack.roles["scheduler"].stop()
        load.turn_to({2: stack.next["api"].url})
        assert stack.api.stop() and stack.roles["worker"].stop()
        count = len(load.accepted["t.fast"])
        assert ports.wait_until(lambda: len(load.accepted["t.fast"]) > count + 100, WAIT_S)
    finally:
        load.end()
    left = "SELECT count(*) FROM platform.job WHERE state = 'waiting'"
    assert ports.wait_until(lambda: stack.sql(left) == [(0,)], WAIT_S), (parked(clients[2]), stack.sql(left))
    accepted = {**load.accepted["t.up"], **load.accepted["t.fast"]}
    assert ports.wait_until(lambda: sum(clients[2].get("/v1/queues/default").json()["depth"].get(s, 0) for s in OPEN) == 0, WAIT_S)
    ran = {job: Handler.ran.get(job) for job in accepted}
    print(f"{len(ran)} jobs, {parked(clients[2])[1]:.0f} times parked")
    assert not load.failed, load.failed[:3]
    assert all(versions and set(versions) == {accepted[job]} for job, versions in ran.items())
    assert stack.sql("SELECT state, count(*) FROM platform.job GROUP BY state") == [("done", len(load.accepted["t.up"]))]
    assert stack.sql("SELECT count(*) FROM platform.dead_job") == [(0,)]
