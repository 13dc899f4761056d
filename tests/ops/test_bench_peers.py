"""The benchmark's peers: one that cannot be had, or fails, costs its own rows and nothing else."""
import sys
import time
from functools import partial

import pytest
from penstock_ops import ROOT, Problem

sys.path.insert(0, str(ROOT / "tests" / "bench"))

from penstock_bench import beside  # noqa: E402
from penstock_bench.main import Measurement  # noqa: E402
from penstock_bench.peers import PEERS, Home, Peer  # noqa: E402
from penstock_bench.rows import Group  # noqa: E402
from penstock_bench.stage import Stage  # noqa: E402

TALKS = "echo ready; read begin; echo done; cat >/dev/null"


@pytest.fixture(autouse=True)
def installed_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr("penstock_bench.peers.INSTALLED", tmp_path)


def peer(name: str, install=lambda _: None, script: str = TALKS) -> Peer:
    return Peer(name, f"the peer {name}", 1000, install, lambda _: ["sh", "-c", script], None)


def refuse(_) -> None:
    raise Problem("what the registry said\ninstall failed")


def measure_peer(_, which: Peer, fails: set[str]) -> dict:
    if which.name in fails:
        raise ValueError("no figure")
    return {"drain": (10.0, 100.0), "bulk": (1.0, 2.0)}


def test_peers__rows_stand_behind_ours(capsys):
    measurement = Measurement([Group(("drain", "bulk"), lambda _: {"drain": (80.0, 100.0), "bulk": (2.0, 2.0)}, partial(measure_peer, fails=set()))],
                              [peer("a"), peer("b")])
    measurement.run_round(None, "a round")
    assert [f.row.name for f in measurement.shown({"drain", "bulk"})] == ["drain", "drain:a", "drain:b", "bulk", "bulk:a", "bulk:b"]
    assert [f.row.name for f in measurement.shown({"bulk"})] == ["bulk", "bulk:a", "bulk:b"]
    theirs = measurement.shown({"drain"})[1]
    assert (theirs.ratio(), theirs.row.unit, theirs.row.target, theirs.row.floor) == (0.1, "jobs/s", None, None)
    assert capsys.readouterr().err == ""


def test_peers__that_fail_are_one_line_and_no_rows(capsys):
    fails: set[str] = set()
    peers = [peer("gone", install=refuse), peer("weak"), peer("well")]
    beside.install(peers)
    measurement = Measurement([Group(("drain",), lambda _: {"drain": (80.0, 100.0)}, partial(measure_peer, fails=fails))], peers)
    measurement.run_round(None, "the first")
    fails.add("weak")
    measurement.run_round(None, "the second")
    shown = measurement.shown({"drain"})
    assert [(f.row.name, len(f.samples)) for f in shown] == [("drain", 2), ("drain:well", 2)]
    assert capsys.readouterr().err.splitlines() == ["tests/bench/run: without gone: install failed",
                                                    "tests/bench/run: without weak: ValueError: no figure"]


class NoStage:
    must = staticmethod(Stage.must)

    def __init__(self, folder):
        self.dir = folder
        (folder / "log").mkdir()

    def settle_down(self) -> None:
        """Nothing to wait for."""


def test_told__measures_from_word_to_word(tmp_path):
    began = time.monotonic()
    seconds, cpu = beside.told(peer("talks", script=f"sleep 0.3; {TALKS}"), NoStage(tmp_path), Home([], lambda: 0.0), "enqueue")
    assert 0 < seconds < time.monotonic() - began - 0.3  # its start is not in it
    assert cpu >= 0


def test_told__of_a_program_that_fails_hands_on_what_it_said(tmp_path):
    with pytest.raises(Problem, match="consume: no such queue"):
        beside.told(peer("fails", script="echo ready; read begin; echo no such queue >&2; exit 1"), NoStage(tmp_path), Home([], lambda: 0.0), "consume")


def test_peers__have_names_and_sources():
    assert len({p.name for p in PEERS}) == len(PEERS)
    assert all((ROOT / "tests" / "bench" / "peers" / p.name).is_dir() for p in PEERS)
