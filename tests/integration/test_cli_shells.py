"""Completion in the shells themselves, and the manual page through groff: both come from the command table."""
import re
import shlex
import subprocess

import pytest

from stack import BUILD, Cli
from test_cli_weather import answering

QUEUES = (200, b'{"items":[{"name":"orders"},{"name":"payments"}]}')

# Each shell is told a line up to the cursor and prints the candidates.
BASH = r"""
eval "$(penstock completion bash)"
line=$1; read -ra words <<< "${line//=/ = }"; [[ $line == *[[:space:]] ]] && words+=("")
COMP_WORDS=("${words[@]}"); COMP_CWORD=$(( ${#words[@]} - 1 )); COMP_LINE=$line
complete -p penstock > /dev/null && _penstock penstock && printf '%s\n' "${COMPREPLY[@]}"
"""
ZSH = r"""
autoload -Uz compinit && compinit -u -D && source <(penstock completion zsh)
_describe() { print -rl -- ${(P)4%%:*} }
_default() { }
words=("${(@s: :)1}"); CURRENT=$#words; _penstock
"""
FISH = 'penstock completion fish | source; complete -C "$argv[1]"'


def candidates(shell: str, line: str, cli: Cli) -> list[str]:
    script, program = {"bash": (BASH, ["bash", "--norc", "-c", BASH, "bash", line]), "zsh": (ZSH, ["zsh", "-f", "-c", ZSH, "zsh", line]),
                       "fish": (FISH, ["fish", "--no-config", "-c", FISH, line])}[shell]
    path = f"{BUILD}:{cli.env['PATH']}"
    done = subprocess.run(program, env=cli.env | {"PATH": path, "TERM": "dumb"}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stderr == "", f"{shlex.join(program)}: {done}"
    return sorted(line.split("\t")[0] for line in done.stdout.splitlines() if line)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(("line", "wanted"), [
    ("penstock sched", ["schedule", "scheduler"]),
    ("penstock queue re", ["resume"]),
    ("penstock job list --state d", ["dead", "done"]),
    ("penstock queue list --no", ["--no-headers"]),
    ("penstock queue pause ", ["orders", "payments"]),
    ("penstock dlq retry --queue p", ["payments"]),
    ("penstock completion ", ["bash", "fish", "zsh"]),
])
def test_completion(shell, line, wanted):
    with answering(QUEUES) as cli:
        assert candidates(shell, line, cli) == wanted


def test_completion_of_a_value_behind_an_equals_sign():
    """bash cuts the word there, the others do not."""
    with answering(QUEUES) as cli:
        assert candidates("bash", "penstock job list --output=js", cli) == ["json", "jsonl"]
        assert candidates("fish", "penstock job list --output=js", cli) == ["--output=json", "--output=jsonl"]


def test_completion_without_an_api_is_silent():
    cli = Cli({"PENSTOCK_URL": "http://127.0.0.1:9"})
    assert candidates("bash", "penstock queue pause ", cli) == []


def test_every_command_and_option_is_a_candidate():
    cli = Cli({"PENSTOCK_URL": "http://127.0.0.1:9"})
    page = cli("help").out.split("exit codes")[0]
    for noun, verb in re.findall(r"^  ([a-z-]+)(?: ([a-z]+))?\b", page, re.M):
        assert noun in cli("complete", noun).out.split()
        assert not verb or verb in cli("complete", noun, verb).out.split()
        said = cli(*filter(None, (noun, verb)), "--help").out
        options = set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", said, re.M))
        offered = {line.split("\t")[0] for line in cli("complete", *filter(None, (noun, verb)), "--").out.splitlines()}
        assert offered == options or not options, noun


def test_manual_page_is_whole_and_clean(tmp_path):
    cli = Cli({})
    page = tmp_path / "penstock.1"
    page.write_text(cli("man").out, encoding="utf-8")
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-P-cbou", str(page)], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    text = " ".join(done.stdout.split())
    for noun, verb in re.findall(r"^  ([a-z-]+)(?: ([a-z]+))?\b", cli("help").out.split("exit codes")[0], re.M):
        assert f"penstock {noun}{' ' if verb else ''}{verb}" in text
    for word in ("--dry-run", "PENSTOCK_KEY", "NO_COLOR", "penstock/config", "EXIT STATUS", "124"):
        assert word in text, word
