"""penstock job watch: follows a job over lost connections and restarts of the API, and ends as it did."""
import signal
import subprocess
import uuid

import pytest

from penstock_ops import ports
from stack import BUILD, Client, WAIT_S, enqueued
from test_cli_weather import answering

LATER = ("enqueue", "demo.note", "-d", '{"text":"x"}', "--delay", "1h")


def begin(cli, *words: str) -> subprocess.Popen:
    return subprocess.Popen([str(BUILD / "penstock"), "job", "watch", *words], env=cli.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True)


def test_a_job_is_watched_to_its_end(cli):
    job = enqueued(cli("enqueue", "demo.note", "-d", '{"text":"x"}', "--delay", "1"))
    rows = cli("job", "watch", job).rows
    assert rows[0] == ["NAME", "TYPE", "STATE", "PROGRESS", "SAYS", "AGE"]
    assert rows[-1][2] == "done" and rows[1][2] in ("delayed", "waiting", "done"), rows
    assert cli("job", "watch", job, "--field", ".state").out == "done\n", "an ended one is shown at once"
    dead = enqueued(cli("enqueue", "demo.fail", "-d", '{"permanent":true}'))
    said = cli("job", "watch", dead, "-q", code=1)
    assert said.out.split()[-1] == dead and "the job is dead: refused" in said.err
    cli("job", "watch", str(uuid.uuid4()), code=66)


def test_a_watch_outlives_the_api(cli, made):
    job = enqueued(cli(*LATER))
    watch = begin(cli, job, "--field", ".state")
    assert watch.stdout.readline() == "delayed\n"
    made.api.restart()
    Client(made.api.url).delete(f"/v1/jobs/{job}").raise_for_status()
    assert watch.wait(WAIT_S) == 1
    assert watch.stdout.read() == "cancelled\n", "what was shown is not shown again"
    assert "cancelled" in watch.stderr.read()


def test_a_watch_is_ended_by_ctrl_c_and_by_its_reader(cli):
    job = enqueued(cli(*LATER))
    watch = begin(cli, job)
    assert watch.stdout.readline() and watch.stdout.readline()
    watch.send_signal(signal.SIGINT)
    assert watch.wait(WAIT_S) == -signal.SIGINT
    watch = begin(cli, job, "-o", "jsonl")
    assert watch.stdout.readline()
    watch.stdout.close()
    cli("job", "cancel", job)
    assert watch.wait(WAIT_S) in (1, 74)


@pytest.mark.parametrize(("answer", "code"), [
    ((200, b"event: x\ndata: {}\n\nevent: done\ndata: {\"id\":\"x\",\"state\":\"done\"}\n\n"), 0),
    ((200, b"data: <html>\n\n"), 76), ((204, b""), 0), ((503, b"{\"title\":\"Busy\"}"), 75), ((404, b"{\"title\":\"No\"}"), 66),
])
def test_whatever_answers(answer, code):
    with answering(answer) as cli:
        cli("job", "watch", "x", code=code)


def test_nobody_answers(cli):
    said = cli("job", "watch", "x", code=69, PENSTOCK_URL=f"http://{ports.HOST}:{ports.any_free()}")
    assert "no answer" in said.err
