"""The life of a job behind the API: repeated, dead, replayed, late, cancelled, parked, unreadable."""
import functools
import hashlib
import http.server
import os
import signal
import statistics
import struct
import threading
import time
import uuid

import pytest

from observe import attempts, log_lines, log_size
from penstock_client import Client as ProtocolClient
from penstock_client import Header, new_job_id
from penstock_ops import ports
from penstock_ops.processes import children_of
from producer import enqueue_all, job
from stack import WAIT_S, new_key, order

QUEUE, NUMBER = "default", 0
UNKNOWN_VERSION = 9


@pytest.fixture
def protocol(stack):
    """Straight to the shard."""
    r = stack.redis_client()
    yield ProtocolClient(r, QUEUE, NUMBER)
    r.close()


def put(protocol, header: bytes, payload: bytes = b"{}") -> None:
    """Of the stream class, whatever the header says."""
    verdict, _ = protocol._call("enqueue", "s d dh n i:0 i:1", 100000, b"", b"", 0, header, payload)
    assert verdict == 1


def insert(stack, job_type: str, version: int = 1, payload: bytes = b"{}") -> str:
    """A row of the journal, as an API of another version would have left it; the relay places it."""
    job_id = str(uuid.UUID(bytes=new_job_id(NUMBER, 0, stream_class=0)))
    stack.sql("INSERT INTO platform.job (id, root_id, tenant, queue, shard, type, type_version, payload, traceparent) "
              "VALUES (%s, %s, 'default', %s, 0, %s, %s, %s, %s)",
              job_id, job_id, QUEUE, job_type, version, payload, f"00-{'ab' * 16}-{'cd' * 8}-01")
    return job_id


def dead_row(stack, job_id: str) -> dict:
    columns = "generation", "class", "tenant", "queue", "type", "attempts", "errors", "fingerprint", "release"
    query = f"SELECT {', '.join(columns)} FROM platform.dead_job WHERE id = %s AND replayed_at IS NULL"
    assert ports.wait_until(lambda: stack.sql(query, job_id), WAIT_S)
    return dict(zip(columns, stack.sql(query, job_id)[0]))


def replay(client, job_id: str) -> None:
    answer = client.post(f"/v1/jobs/{job_id}/retry")
    assert answer.status_code == 202, answer.text


def notes(stack, root: str) -> int:
    return stack.sql("SELECT count(*) FROM custom.note WHERE root_id = %s", root)[0][0]


def restart_worker(stack, client) -> None:
    """A new process reads the queue."""
    def readers() -> set[int]:
        alive = children_of(stack.roles["worker"].pid)
        return {p["pid"] for p in client.get("/v1/workers").json()["items"] if p.get("queue") == QUEUE and p["pid"] in alive}

    before, since = readers(), log_size(stack.roles["worker"].log)
    for pid in before:
        os.kill(pid, signal.SIGTERM)
    assert ports.wait_until(lambda: len(readers() - before) >= len(before), WAIT_S)
    assert ports.wait_until(lambda: len(log_lines(stack.roles["worker"].log, "worker.ready", since)) >= len(before), WAIT_S)


def seconds(line: dict) -> float:
    return time.mktime(time.strptime(line["ts"][:19], "%Y-%m-%dT%H:%M:%S")) + float(line["ts"][19:-1])


# Repeated

def test_retry__failing_twice_then_done_after_the_backoff(stack, client):
    since = log_size(stack.roles["worker"].log)
    made = client.enqueue("demo.fail", {"until": 2})
    assert client.ended(made["id"])["state"] == "done"
    lines = [line for line in attempts(stack, since) if line["job"] == made["id"]]
    assert [(line["attempt"], line["outcome"]) for line in lines] == [(1, "retry"), (2, "retry"), (3, "done")]
    waited = [seconds(b) - seconds(a) for a, b in zip(lines, lines[1:])]
    assert all(w <= most + 1 for w, most in zip(waited, (0.1, 0.2))), waited  # full jitter below 100 ms · 2^attempt


# Dead

def test_dead__after_its_last_attempt_then_the_row_has_the_errors(stack, client):
    made = client.enqueue("demo.fail")
    assert client.ended(made["id"])["state"] == "dead"
    row = dead_row(stack, made["id"])
    assert (row["generation"], row["class"], row["tenant"], row["type"], row["attempts"]) == (0, "journal", "default", "demo.fail", 5)
    assert row["fingerprint"] == "demo.fail: transient: demo.fail was asked to fail, attempt #"
    assert [e["code"] for e in row["errors"]] == ["transient"] * 5
    assert [e["detail"][-1] for e in row["errors"]] == ["1", "2", "3", "4", "5"]
    assert sorted(e["at_ms"] for e in row["errors"]) == [e["at_ms"] for e in row["errors"]]
    listed = [d for d in client.get(f"/v1/dlq?queue={QUEUE}&limit=500").json()["items"] if d["id"] == made["id"]]
    assert [(d["errors"], d["fingerprint"]) for d in listed] == [(row["errors"], row["fingerprint"])]


def test_dead__permanent_error_then_at_once(stack, client):
    made = client.enqueue("demo.fail", {"permanent": True})
    assert client.ended(made["id"])["state"] == "dead"
    assert (dead_row(stack, made["id"])["attempts"], len(dead_row(stack, made["id"])["errors"])) == (1, 1)


def test_replay__then_a_newer_generation_runs_and_dies_of_its_own(stack, client):
    made = client.enqueue("demo.fail")
    assert client.ended(made["id"])["state"] == "dead"
    replay(client, made["id"])
    assert ports.wait_until(lambda: dead_row(stack, made["id"])["generation"] == 1, WAIT_S)
    row = dead_row(stack, made["id"])
    assert (row["attempts"], len(row["errors"])) == (5, 5)
    assert stack.sql("SELECT generation, outcome FROM custom.effect WHERE root_id = %s", made["id"]) == [(1, "dead")]


def test_replay__once_the_cause_is_gone_then_the_effect_is_opened_again(stack, client):
    text = new_key()
    stack.sql(f"ALTER TABLE custom.note ADD CONSTRAINT refused CHECK (text <> '{text}') NOT VALID")
    try:
        made = client.enqueue("demo.note", {"text": text})
        assert client.ended(made["id"])["state"] == "dead"
    finally:
        stack.sql("ALTER TABLE custom.note DROP CONSTRAINT refused")
    assert dead_row(stack, made["id"])["errors"][0]["code"] == "postgres_check"
    assert stack.sql("SELECT generation, outcome FROM custom.effect WHERE root_id = %s", made["id"]) == [(0, "dead")]
    replay(client, made["id"])
    assert client.ended(made["id"])["state"] == "done"
    assert stack.sql("SELECT generation, outcome FROM custom.effect WHERE root_id = %s", made["id"]) == [(1, "done")]
    assert notes(stack, made["id"]) == 1
    assert stack.sql("SELECT count(*) FROM platform.dead_job WHERE id = %s AND replayed_at IS NOT NULL", made["id"]) == [(1,)]


def test_replay__of_the_stream_class_then_it_runs_again(stack, client):
    made = client.enqueue("demo.tally", {"fail": True})
    row = dead_row(stack, made["id"])
    assert (row["class"], row["generation"], row["errors"][0]["code"]) == ("stream", 0, "refused")
    replay(client, made["id"])
    assert ports.wait_until(lambda: dead_row(stack, made["id"])["generation"] == 1, WAIT_S)
    assert notes(stack, made["id"]) == 2


# Late, delayed

def test_deadline__passed_in_the_queue_then_the_job_is_not_run(stack, protocol):
    since = log_size(stack.roles["worker"].log)
    entered = protocol.enqueue("demo.tally", b"{}", deadline_ms=1)
    job_id = str(uuid.UUID(bytes=entered.id))
    assert ports.wait_until(lambda: [a["outcome"] for a in attempts(stack, since) if a["job"] == job_id] == ["expired"], WAIT_S)
    assert notes(stack, job_id) == 0


def test_delayed__then_each_runs_soon_after_it_is_due_and_none_before(stack, client):
    ids = enqueue_all(client, [job("demo.note", delay_ms=500 + 37 * i) for i in range(50)])
    for job_id in ids:
        assert client.ended(job_id)["state"] == "done"
    late = [ms for ms, in stack.sql("SELECT extract(epoch FROM n.at - j.due_at)::float * 1000 FROM custom.note n JOIN platform.job j "
                                    "ON j.root_id = n.root_id WHERE j.id = ANY(%s::uuid[])", ids)]
    print(f"late by {statistics.median(late):.1f} ms (median), {max(late):.1f} ms at most")
    assert len(late) == 50 and min(late) >= 0
    assert statistics.median(late) < 100 and max(late) < 1000


# Cancelled: what tests of the API leave out

@pytest.mark.parametrize("stream_class", [False, True])
def test_cancel__a_parked_job_then_it_is_gone(stack, client, protocol, stream_class):
    job_id = park(stack, protocol, stream_class)
    assert client.delete(f"/v1/jobs/{job_id}").json()["state"] == "cancelled"
    assert protocol.find(uuid.UUID(job_id).bytes)[0] == ("ended" if stream_class else "nowhere")
    assert client.job(job_id)["state"] == "cancelled"


def test_cancel__a_flow_that_is_at_it_then_it_undoes_what_it_did(stack, client):
    """At the provider's answer the flow sees the request, voids what was authorized, and only then is cancelled."""
    answer = client.post("/v1/orders", order(payment={"token": "tok_slow", "capture": False}), new_key(), headers={"Prefer": "respond-async"})
    job_id = answer.json()["id"]
    sent = "SELECT o.id FROM payments.payment_op o JOIN payments.payment p ON p.id = o.payment_id WHERE p.order_id = %s AND o.state = 'sent'"
    assert ports.wait_until(lambda: stack.sql(sent, job_id), WAIT_S)
    said = client.delete(f"/v1/jobs/{job_id}")
    assert (said.status_code, said.json()["state"]) == (202, "cancel_requested")
    assert client.ended(job_id)["state"] == "cancelled"
    assert client.get(f"/v1/orders/{job_id}").json()["status"] == "canceled"
    (status, authorized, voided), = stack.sql("SELECT status, authorized, voided FROM payments.payment WHERE order_id = %s", job_id)
    assert (status, voided) == ("voided", authorized)


# Parked

def park(stack, protocol, stream_class: bool, newer_header: bool = False) -> str:
    """A job of a payload version that no worker knows, or with such a header."""
    if stream_class:
        header = Header(new_job_id(NUMBER, 0), "demo.tally", schema_version=1 if newer_header else UNKNOWN_VERSION)
        put(protocol, (b"\x03" if newer_header else b"\x02") + header.encode()[1:] + (b"more" if newer_header else b""))
        job_id = str(uuid.UUID(bytes=header.id))
    else:
        job_id = insert(stack, "demo.note", UNKNOWN_VERSION, b'{"text":"parked"}')
    assert ports.wait_until(lambda: protocol.find(uuid.UUID(job_id).bytes)[0] == "parked", WAIT_S)
    return job_id


@pytest.mark.parametrize("stream_class,newer_header", [(False, False), (True, False), (True, True)])
def test_unknown_version__then_parked_until_a_worker_knows_it(stack, client, protocol, stream_class, newer_header):
    since = log_size(stack.roles["worker"].log)
    job_id = park(stack, protocol, stream_class, newer_header)
    key = uuid.UUID(job_id).bytes
    assert client.job(job_id)["state"] == "parked"
    restart_worker(stack, client)  # which does not know it either, and leaves it there
    ports.wait_until(lambda: False, 4)  # it has looked
    assert protocol.find(key)[0] == "parked" and not log_lines(stack.roles["worker"].log, "jobs.unparked", since)
    assert notes(stack, job_id) == 0
    home = protocol.r.hget(protocol.key("p"), key)  # as if the worker knew that version: it need not be a new one
    header, payload = home[2 : 2 + struct.unpack("<H", home[:2])[0]].removesuffix(b"more"), home[2 + struct.unpack("<H", home[:2])[0] :]
    protocol.r.hset(protocol.key("p"), key, struct.pack("<HBBH", len(header), 2, header[1], 1) + header[4:] + payload)
    assert ports.wait_until(lambda: notes(stack, job_id) == 1, WAIT_S)
    assert ports.wait_until(lambda: [a["outcome"] for a in attempts(stack, since) if a["job"] == job_id] == ["done"], WAIT_S)
    assert protocol.find(key)[0] != "parked"


# Unreadable

def test_undecodable__entry_then_it_is_dead(stack, protocol):
    job_id = new_job_id(NUMBER, 0)
    put(protocol, b"\x02\x00\x01\x00" + job_id + bytes(60), b"what is this")
    row = dead_row(stack, str(uuid.UUID(bytes=job_id)))
    assert (row["type"], row["fingerprint"], row["errors"][0]["code"]) == ("undecodable", "undecodable", "undecodable")
    assert row["release"]


@pytest.mark.parametrize("stream_class", [False, True])
def test_unknown_type__nobody_knows_it_for_a_while_then_dead(stack, protocol, stream_class):
    if stream_class:
        header = Header(new_job_id(NUMBER, 0), "demo.nobody")
        put(protocol, header.encode())
        job_id = str(uuid.UUID(bytes=header.id))
    else:
        job_id = insert(stack, "demo.nobody")
    row = dead_row(stack, job_id)
    assert row["class"] == ("stream" if stream_class else "journal")
    assert row["fingerprint"].startswith("demo.nobody: unknown_type:")
    assert [e["code"] for e in row["errors"]] == ["unknown_type"]
    assert row["release"]


# Events

def test_event__refused_by_its_consumer_then_it_is_a_job_that_can_be_replayed(stack, client):
    to = f"{new_key()}@example.com"
    stack.sql("ALTER TABLE notifications.job_outbox ADD CONSTRAINT refused "
              f"CHECK (position('{to}' IN convert_from(payload, 'UTF8')) = 0)")
    try:
        placed = client.post("/v1/orders", order(notify={"email": to}), new_key())
        assert placed.status_code == 201, placed.text
        delivery = "SELECT id::text FROM platform.job WHERE type = 'event.deliver' AND position(%s IN convert_from(payload, 'UTF8')) > 0"
        assert ports.wait_until(lambda: stack.sql(delivery, to), WAIT_S)
        ((job_id,),) = stack.sql(delivery, to)
        assert client.ended(job_id)["state"] == "dead"
    finally:
        stack.sql("ALTER TABLE notifications.job_outbox DROP CONSTRAINT refused")
    row = dead_row(stack, job_id)
    assert (row["tenant"], row["errors"][0]["code"]) == ("_system", "postgres_check")
    replay(client, job_id)
    assert client.ended(job_id)["state"] == "done"
    assert ports.wait_until(lambda: [m["to"] for m in stack.mail.mails()].count([to]) == 1, WAIT_S)


def test_checksum__the_example_in_c_then_as_the_file_is(stack, client, tmp_path):
    (tmp_path / "file").write_bytes(os.urandom(100_000))
    digest = hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        threading.Thread(target=files.serve_forever).start()
        url, key = f"http://127.0.0.1:{files.server_port}/file", new_key()
        first, again = [client.enqueue("checksum.url", {"url": url}, key) for _ in range(2)]
        done = client.ended(first["id"])
        gone = client.ended(client.enqueue("checksum.url", {"url": f"{url}-gone"})["id"])
        files.shutdown()
    assert (again["id"], done["state"], done["result"]) == (first["id"], "done", {"sha256": digest, "bytes": 100_000})
    assert gone["state"] == "dead"
    assert stack.sql("SELECT url, sha256, bytes FROM checksum.found WHERE root_id = %s", first["id"]) == [(url, digest, 100_000)]
