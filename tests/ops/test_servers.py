"""The private servers: started, killed, paused, repaired and ended as the other suites and ops/up need it."""
import os
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import redis

from penstock_ops import Problem, ports, processes
from penstock_ops.mail_sink import MailSink
from penstock_ops.postgres_server import Postgres
from penstock_ops.redis_server import Redis
from penstock_ops.settings import Secrets, write_conf


@pytest.fixture
def run_dir(tmp_path):
    """Below a directory that nobody else may enter; whatever a test leaves running is ended by its id."""
    tmp_path.chmod(0o700)
    yield tmp_path / "run"
    for _, pid in processes.recorded(tmp_path / "run"):
        processes.end(tmp_path / "run", pid, signal.SIGKILL, 5)


def client(server: Redis) -> redis.Redis:
    return redis.Redis.from_url(server.admin_url, socket_timeout=2, decode_responses=True)


def test_redis__started_has_the_shipped_settings_and_no_other_user(run_dir):
    server = Redis(run_dir)
    server.start()
    config = client(server).config_get("*")
    assert (config["appendfsync"], config["maxmemory-policy"], config["stream-node-max-bytes"], config["stream-node-max-entries"],
            config["save"], config["bind"]) == ("everysec", "noeviction", "2048", "20", "", "127.0.0.1")
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=server.port).ping()
    assert processes.recorded(run_dir) == [("redis", server.pid)]
    assert server.stop()
    assert processes.recorded(run_dir) == []


def test_redis__killed_keeps_data_and_users(run_dir):
    server = Redis(run_dir)
    server.start()
    c = client(server)
    c.acl_setuser("worker", enabled=True, passwords=["+w"], commands=["+get"], keys=["*"])
    c.acl_save()
    c.set("k", "v")
    server.kill9()
    assert not server.is_running()
    server.start()
    assert client(server).get("k") == "v"
    assert "worker" in client(server).acl_users()


def test_redis__log_torn_inside_a_transaction_is_cut_before_it(run_dir):
    server = Redis(run_dir)
    server.start()
    client(server).set("before", 1)
    server.stop()
    log = run_dir / "redis" / "appendonlydir" / "appendonly.aof.1.incr.aof"
    whole = log.read_bytes()
    log.write_bytes(whole + b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$4\r\ntorn\r\n$1\r\n1\r\n")
    server.start()
    client(server).set("after", 1)
    server.restart()
    assert set(client(server).keys()) == {"before", "after"}
    assert (run_dir / "redis" / f"{log.name}.before-repair").read_bytes().startswith(whole)


def test_redis__paused_does_not_answer_until_resumed(run_dir):
    server = Redis(run_dir)
    server.start()
    server.pause()
    with pytest.raises(redis.TimeoutError):
        redis.Redis.from_url(server.admin_url, socket_timeout=0.3).ping()
    server.resume()
    assert client(server).ping()


def test_redis__taken_port_names_it_and_the_variable(run_dir):
    with socket.create_server((ports.HOST, 0)) as other:
        with pytest.raises(Problem, match=f":{other.getsockname()[1]} .*PENSTOCK_REDIS_PORT"):
            Redis(run_dir, other.getsockname()[1]).start()


def test_redis__that_cannot_start_says_why(run_dir):
    with pytest.raises(Problem, match="redis ended with 1 at its start"):
        Redis(run_dir, settings={"no-such-setting": "1"}).start()
    assert processes.recorded(run_dir) == []


@pytest.mark.parametrize("how", ["immediate", "kill9"])
def test_postgres__crashed_keeps_what_was_committed(run_dir, how):
    server = Postgres(run_dir)
    server.start()
    with psycopg.connect(server.admin_url) as c:
        assert c.execute("SHOW fsync").fetchone() == ("on",)
        c.execute("CREATE TABLE t AS SELECT 1 AS x")
    open_one = psycopg.connect(server.admin_url)
    if how == "kill9":
        server.kill9()
    else:
        assert server.stop(signal.SIGQUIT)
    with pytest.raises(psycopg.OperationalError):
        open_one.execute("SELECT 1")
    server.start()
    with psycopg.connect(server.admin_url) as c:
        assert c.execute("SELECT x FROM t").fetchone() == (1,)
    assert processes.recorded(run_dir) == [("postgres", server.pid)]
    assert server.stop()


def test_postgres__asks_for_the_password(run_dir):
    server = Postgres(run_dir, password="right")
    server.start()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.admin_url.replace("right", "wrong"))


def test_postgres__paused_with_its_backends(run_dir):
    server = Postgres(run_dir)
    server.start()
    with psycopg.connect(server.admin_url, autocommit=True) as c, ThreadPoolExecutor() as pool:
        server.pause()
        answer = pool.submit(c.execute, "SELECT 1")
        with pytest.raises(TimeoutError):
            answer.result(0.3)
        server.resume()
        assert answer.result(5).fetchone() == (1,)


def send(sink: MailSink, to: str = "a@example.com") -> None:
    with smtplib.SMTP(ports.HOST, sink.port, timeout=5) as s:
        s.sendmail("from@example.com", [to], "Message-ID: <root-1>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHello\r\n")


def test_mail__is_kept_as_one_line(run_dir):
    sink = MailSink(run_dir)
    sink.start()
    send(sink)
    (mail,) = sink.mails()
    assert abs(mail.pop("at_ms") - time.time() * 1000) < 10_000
    assert mail == {"message_id": "root-1", "to": ["a@example.com"], "from": "from@example.com", "subject": "Grüße"}


@pytest.mark.parametrize("answer, kept, error", [
    ("451", 0, smtplib.SMTPDataError), ("550", 0, smtplib.SMTPDataError),
    ("lost-before", 0, smtplib.SMTPServerDisconnected), ("lost-after", 1, smtplib.SMTPServerDisconnected),
])
def test_mail__misbehaves_as_scripted_for_whom_it_is_told(run_dir, answer, kept, error):
    sink = MailSink(run_dir)
    sink.start()
    sink.misbehave(f"{answer} unlucky@")
    with pytest.raises(error):
        send(sink, "unlucky@example.com")
    assert len(sink.mails()) == kept
    send(sink, "lucky@example.com")
    sink.misbehave()
    send(sink, "unlucky@example.com")
    assert len(sink.mails()) == kept + 2


def test_pids__of_a_stranger_are_not_ended(run_dir):
    processes.record(run_dir, "redis", os.getpid())
    assert processes.recorded(run_dir) == []
    processes.record(run_dir, "redis", os.getpid())
    processes.end(run_dir, os.getpid(), signal.SIGKILL, 1)  # still here
    assert processes.recorded(run_dir) == []


def test_pids__bad_lines_are_skipped_and_the_file_is_replaced_whole(run_dir):
    server = Redis(run_dir)
    server.start()
    pids = run_dir / "pids"
    with pids.open("ab") as f:
        f.write(b"\n\0\0\0\nworker\nworker 12x\nw\xc3rker -1\n")
    before = pids.stat().st_ino
    assert processes.recorded(run_dir) == [("redis", server.pid)]
    processes.record(run_dir, "mail", os.getpid())
    assert pids.read_text() == f"redis {server.pid}\nmail {os.getpid()}\n"
    assert pids.stat().st_ino != before


def test_pids__of_another_user_are_a_problem():
    with tempfile.TemporaryDirectory(prefix="penstock-pids-") as folder:
        Path(folder).chmod(0o755)
        run = Path(folder) / "run"
        processes.record(run, "worker", 2**22 + 1)  # above every id
        run.chmod(0o555)
        was = os.geteuid()
        os.seteuid(was or 65534)
        try:
            with pytest.raises(Problem, match="another user"):
                processes.recorded(run)
        finally:
            os.seteuid(was)
            run.chmod(0o755)


@pytest.mark.parametrize("stopped", [False, True])
def test_end__only_what_is_stopped_is_told_to_go_on(run_dir, stopped):
    """A CONT takes a pending STOP away; a leak check at the end of a sanitized process waits for its own STOP, for ever."""
    run_dir.mkdir()
    code = ("import pathlib, signal, time; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCONT});"
            "pathlib.Path('ready').touch(); signal.sigwait({signal.SIGTERM}); time.sleep(0.2);"
            "signal.SIGCONT in signal.sigpending() and pathlib.Path('went-on').touch()")
    with subprocess.Popen([sys.executable, "-c", code], cwd=run_dir, start_new_session=True) as child:
        processes.record(run_dir, "worker", child.pid)
        assert ports.wait_until((run_dir / "ready").exists, 10)
        if stopped:
            os.kill(child.pid, signal.SIGSTOP)
            os.waitpid(child.pid, os.WUNTRACED)
        assert processes.end(run_dir, child.pid, signal.SIGTERM, 10)
    assert (run_dir / "went-on").exists() == stopped


def test_secrets__are_kept_and_private(run_dir):
    secret = Secrets(run_dir).file("redis")
    assert secret.stat().st_mode & 0o777 == 0o600
    assert Secrets(run_dir).value("redis") == secret.read_text().strip() != ""
    assert Secrets(run_dir).value("webhook").startswith("whsec_")


def test_conf__is_written_in_groups(tmp_path):
    write_conf(tmp_path / "c", {"redis.url": 'a"\\b', "redis.command_ms": 5, "x.big": 2**40})
    expected = 'redis = {\n  url = "a\\"\\\\b";\n  command_ms = 5;\n};\n\nx = {\n  big = 1099511627776L;\n};\n'
    assert (tmp_path / "c").read_text() == expected


def test_ports__drawn_by_two_processes_then_no_port_twice(monkeypatch):
    few = [port for port in ports.candidates() if ports.is_free(port)][-200:]
    draw = ("import sys; from penstock_ops import ports; few = [int(w) for w in sys.argv[1:]]; ports.candidates = lambda: few\n"
            "print(*(ports.any_free() for _ in range(100)), flush=True); sys.stdin.read()")
    command = [sys.executable, "-c", draw, *map(str, few)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        theirs = [int(word) for word in other.stdout.readline().split()]
        monkeypatch.setattr(ports, "candidates", lambda: list(few))
        ours = [ports.any_free() for _ in range(90)]
        other.stdin.close()
    assert len(theirs) == 100 and len(set(ours)) == 90 and not set(ours) & set(theirs)
    assert ports.any_free() not in ours  # theirs are free again
