"""The walk over a tiny grid: every peer that is installed, a peer that is wrong, results on disk, the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli.running import complaint, unrolled

from unrolled.bench import Plan, measure_layers, timing
from unrolled.bench.ceiling import Ceiling
from unrolled.bench.grid import CELLS, ELEMENTWISE, MODES, Case, grid
from unrolled.bench.layers import measure
from unrolled.bench.peers import PEERS, Ours, Peer, Way
from unrolled.bench.peers.eager import TorchEager
from unrolled.bench.problem import Problem, make, mistake, truth
from unrolled.errors import ArgumentError, DataError

TINY = ((2, 5),)
COMMAND = ("bench", "layers", "--shapes", "2x5", "--time", 4, "--seconds", 0, "--repeats", 1, "--peers", "torch")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's times are looked at here."""
    monkeypatch.setattr(timing, "settle", lambda: None)
    monkeypatch.setattr(Ceiling, "products", {"float32": 1e15, "bfloat16": 1e15})
    monkeypatch.setattr(Ceiling, "bandwidth", lambda self, size: 1e15)


def plan(**options: Any) -> Plan:
    usual: dict[str, Any] = {"cases": grid(shapes=TINY, time=4), "peers": ("torch",), "seconds": 0.0, "repeats": 1}
    return Plan(**usual | options)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cell", [*CELLS, *ELEMENTWISE])
@pytest.mark.parametrize("peer", [Ours(), PEERS["torch"]], ids=lambda peer: peer.name)
def test_an_answer_is_the_same_twice(peer: Peer, cell: str, mode: str) -> None:
    case = Case(cell, mode, 1 if mode == "step" else 6, 3, 7)
    problem = make(case)
    ways = peer.prepare(problem, 1)
    answers = [way.answer(way.run()) for way in ways for _ in range(2)]
    assert answers
    assert [mistake(answer, truth(problem), problem.lengths) for answer in answers] == [None] * len(answers)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cell", CELLS)
def test_rows_in_bfloat16(cell: str, mode: str) -> None:
    case = Case(cell, mode, 1 if mode == "step" else 6, 3, 7, "bfloat16")
    assert make(case).x.dtype == torch.bfloat16
    row = measure(case, [PEERS["torch"], PEERS["onnxruntime"]], plan(), Ceiling(1))
    assert row["errors"] == {}
    assert (row["dtype"], row["goals"], row["bfloat16"]) == ("bfloat16", {"best": 1.0}, None)
    assert row["peers"].keys() == {"torch"}
    if mode != "training":
        assert row["skipped"] == {"onnxruntime": "onnxruntime is measured in float32 alone"}


def test_more_than_the_machine_can_do_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ceiling, "products", {"float32": 1.0})
    row = measure(Case("rnn", "inference", 4, 16, 5), [PEERS["torch"]], plan(), Ceiling(1))
    assert row["share_of_ceiling"] > 1
    assert row["errors"].keys() == {"ceiling"}
    assert "of what this machine can do: one of the two is measured wrong" in row["errors"]["ceiling"]


@pytest.mark.parametrize("name", ["jax", "onnxruntime", "openvino"])
def test_other_libraries_answer_as_float64_does(name: str, tmp_path: Path) -> None:
    reason = PEERS[name].available()
    if reason is not None:
        pytest.skip(reason)
    # in a process of its own: the threads of these libraries would stay, and make later tests' forks warn
    path = tmp_path / "r.json"
    options = [*map(str, COMMAND[:-1]), f"torch,{name}", "--threads", "1", "--json", str(path)]
    subprocess.run([sys.executable, "-m", "unrolled.cli", *options], check=True, capture_output=True)
    for row in json.loads(path.read_text(encoding="utf-8"))["rows"]:
        assert row["errors"] == {}
        assert name in (row["skipped"] if row["mode"] == "training" and name != "jax" else row["peers"])


def test_jax_runs_elementwise_cells(tmp_path: Path) -> None:
    reason = PEERS["jax"].available()
    if reason is not None:
        pytest.skip(reason)
    path = tmp_path / "r.json"
    options = ["--cell", ",".join(ELEMENTWISE), "--peers", "jax", "--threads", "1", "--json", str(path)]
    command = [sys.executable, "-m", "unrolled.cli", *map(str, COMMAND[:-2]), *options]
    subprocess.run(command, check=True, capture_output=True)
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert all(row["errors"] == {} for row in rows)
    assert {row["mode"] for row in rows if "jax" in row["peers"]} == {"inference", "training"}


def test_elementwise_cells_have_no_row_of_bfloat16_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrolled.bench.layers.BFLOAT16_FROM", 1)
    (row,) = measure_layers(plan(cases=grid(("sru",), ("step",), TINY)))["rows"]
    assert row["goals"] == {"best": 1.0}
    assert row["bfloat16"] is None


def test_what_is_compiled_answers_as_float64_does() -> None:
    problem = make(Case("gru", "training", 3, 2, 4))
    way = PEERS["torch.compile"].prepare(problem, 1)[0]
    assert mistake(way.answer(way.run()), truth(problem), None) is None


def test_a_tiny_grid() -> None:
    said: list[str] = []
    results = measure_layers(plan(), lambda sentence, done, of: said.append(sentence))
    assert results["threads"] == 1
    assert results.keys() >= {"machine", "versions", "date", "command", "load_average", "ceiling", "missing", "rows"}
    assert [(r["cell"], r["mode"]) for r in results["rows"]] == [(c, m) for c in CELLS for m in MODES]
    for row in results["rows"]:
        assert (row["B"], row["I"], row["H"], row["T"]) == (2, 5, 5, 1 if row["mode"] == "step" else 4)
        assert row["errors"] == row["skipped"] == {}
        assert row["peers"].keys() == row["peers_min"].keys() == row["ratios"].keys() == {"torch"}
        assert row["ratio_best"] == row["ratios"]["torch"] > 0
        assert 0 < row["ours_min_ms"] <= row["ours_ms"]
        assert row["engine"] in ("native", "torch", "scan")
        assert row["share_of_ceiling"] > 0
    assert said[-1] == "measuring rnn ragged 2x5"


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    results = measure_layers(plan(cases=grid(("rnn",), ("step",), TINY), threads=before + 1))
    assert results["threads"] == before + 1
    assert torch.get_num_threads() == before


class Wrong(TorchEager):
    """Right in one way, and in the other off by a little in one weight's gradient."""

    name = "wrong"

    def prepare(self, problem: Problem, threads: int) -> list[Way]:
        right = super().prepare(problem, threads)[0]

        def off(result: Any) -> dict[str, torch.Tensor]:
            answer = right.answer(result)
            return answer | {"dweight_hh": answer["dweight_hh"] * 1.01}

        return [right, Way("off", right.run, off)]


class Broken(TorchEager):
    """Fails when it is asked."""

    name = "broken"

    def prepare(self, problem: Problem, threads: int) -> list[Way]:
        raise RuntimeError("no such operator\nand a long story")


class Off(Ours):
    """Ours, if it were wrong."""

    def prepare(self, problem: Problem, threads: int) -> list[Way]:
        return [way._replace(answer=lambda _: {}) for way in super().prepare(problem, threads)]


def test_a_wrong_answer_gets_no_time() -> None:
    case, ceiling = Case("lstm", "training", 4, 2, 5), Ceiling(1)
    peers: list[Peer] = [Wrong(), Broken()]
    row = measure(case, peers, plan(), ceiling)
    assert row["ways"] == {"wrong": "LSTM"}
    assert row["peers"].keys() == {"wrong"}
    assert row["errors"].keys() == {"wrong off", "broken"}
    assert row["errors"]["wrong off"].startswith("dweight_hh is off by ")
    assert row["errors"]["broken"] == "RuntimeError: no such operator"
    ours_wrong = measure(case, [TorchEager()], plan(), ceiling, ours=Off())
    assert ours_wrong["ours_ms"] is None
    assert ours_wrong["peers"] == {}
    assert ours_wrong["errors"] == {f"unrolled {Ours().prepare(make(case), 1)[0].name}": "output is missing"}


def test_peers_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(PEERS["jax"]), "packages", ("no_such_library", "jaxlib"))
    monkeypatch.setattr(type(PEERS["openvino"]), "packages", ("no_such_library",))
    results = measure_layers(plan(cases=grid(("rnn",), ("step",), TINY), peers=("torch", "jax")))
    assert results["missing"]["jax"].startswith("not installed: pip install no_such_library")
    assert results["plan"]["peers"] == ["torch"]
    with pytest.raises(ArgumentError, match="--peers: openvino is not installed: pip install no_such_library"):
        measure_layers(plan(peers=("openvino",)))


def test_resuming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, cases = tmp_path / "r.json", grid(("rnn", "gru"), ("step",), TINY)
    first = measure_layers(plan(cases=cases[:1], path=path, resume=True))
    assert json.loads(path.read_text(encoding="utf-8"))["rows"] == first["rows"]
    both = measure_layers(plan(cases=cases, path=path, resume=True))
    assert both["rows"][0] == first["rows"][0]
    assert len(json.loads(path.read_text(encoding="utf-8"))["rows"]) == 2
    with pytest.raises(ArgumentError, match=r"--resume: .*r\.json was measured with another threads; start anew"):
        measure_layers(plan(cases=cases, path=path, resume=True, threads=2))
    path.write_text('{"rows": 3}', encoding="utf-8")
    with pytest.raises(DataError, match="these are no results of this command; give another --json"):
        measure_layers(plan(cases=cases, path=path, resume=True))


def test_the_command(tmp_path: Path) -> None:
    plot = tmp_path / "p.png"
    pytest.importorskip("matplotlib")
    result = unrolled(*COMMAND, "--json", tmp_path, "--plot", plot)
    assert result.code == 0, result.err
    (written,) = tmp_path.glob("layers-*c.json")
    rows = json.loads(written.read_text(encoding="utf-8"))["rows"]
    assert len(rows) == len(CELLS) * len(MODES)
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "one time step (µs, medians)" in result.out
    assert "12 of 12 rows timed" in result.out
    again = unrolled(*COMMAND, "--json", written, "--resume")
    assert json.loads(written.read_text(encoding="utf-8"))["rows"] == rows, again.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--cell", "lsmt"),
            "--cell: expected some of lstm, gru, rnn, mingru, minlstm, sru, rglru, lru, indrnn, found 'lsmt'",
        ),
        (("--mode", "fast"), "--mode: expected some of inference, training, step, ragged, found 'fast'"),
        (("--peers", "keras"), "--peers: expected some of torch, torch.compile, jax, onnxruntime, openvino, found"),
        (("--shapes", "12"), "--shapes: expected BxH with commas, as in 1x128,64x256, found '12'"),
        (("--time", 0), "--time: expected 1 or more, found 0"),
        (("--repeats", 0), "--repeats: expected 1 or more, found 0"),
        (("--seconds", -1), "--seconds: expected 0 or more, found -1"),
        (("--seconds", "nan"), "--seconds: expected 0 or more, found nan"),
        (("--threads", 0), "--threads: expected 1 or more, found 0"),
        (("--resume",), "--resume: give the file to resume with --json"),
    ],
)
def test_what_can_not_be_asked(options: tuple[object, ...], message: str) -> None:
    result = unrolled("bench", "layers", *options)
    assert result.code == 2
    assert complaint(result).startswith(message)


def test_results_that_can_not_be_written(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "r.json"
    result = unrolled(*COMMAND, "--cell", "rnn", "--mode", "step", "--json", path)
    assert result.code == 2
    assert str(path) in complaint(result)
