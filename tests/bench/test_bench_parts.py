"""The parts of the measurements whose numbers are known beforehand: ratios, goals, lengths, ceilings, files' names."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from unrolled.bench import timing
from unrolled.bench.ceiling import Ceiling, flop
from unrolled.bench.goals import REGIMES, goals, headline, regimes
from unrolled.bench.grid import CELLS, MODES, SHAPES, Case, grid, names, shapes
from unrolled.bench.layers import NARROW, _row
from unrolled.bench.peers import Ours
from unrolled.bench.problem import make, mistake, rounded, truth
from unrolled.errors import ArgumentError


def test_the_grid_is_all_of_it() -> None:
    cases = grid()
    assert len(cases) == len(set(cases)) == len(CELLS) * len(MODES) * len(SHAPES) == 84
    assert {case.time for case in cases if case.mode == "step"} == {1}
    assert {case.time for case in cases if case.mode != "step"} == {100}


def test_ragged_batches_are_about_half_full_and_one_sequence_is_whole() -> None:
    for batch in (3, 16, 64):
        case = Case("gru", "ragged", 100, batch, 8)
        assert case.lengths == tuple(sorted(case.lengths, reverse=True))
        assert case.lengths[0] == 100
        assert case.lengths[-1] >= 1
        assert 0.5 <= case.steps / (100 * batch) < 0.68
    assert Case("gru", "ragged", 1, 4, 8).lengths == (1, 1, 1, 1)


def test_every_row_of_the_grid_has_a_goal_and_every_goal_a_row() -> None:
    for case in grid():
        assert goals(case)["best"] >= 1.0
        assert headline(case).ratio >= 1.0
    assert {name for case in grid() for name in regimes(case)} == {regime.name for regime in REGIMES}
    assert all(set(regime.goals) == set(CELLS) for regime in REGIMES)


@pytest.mark.parametrize(
    ("cell", "mode", "batch", "hidden", "expected"),
    [
        ("lstm", "step", 1, 128, {"best": 1.6, "torch": 12}),
        ("gru", "step", 64, 128, {"best": 1.9}),
        ("rnn", "step", 1, 512, {"best": 2.2}),
        ("rnn", "step", 32, 1024, {"best": 1.0}),
        ("lstm", "inference", 1, 128, {"best": 1.4}),
        ("lstm", "inference", 1, 512, {"best": 1.0}),
        ("gru", "inference", 64, 512, {"best": 1.4}),
        ("gru", "training", 1, 128, {"best": 2.5}),
        ("rnn", "training", 1, 512, {"best": 1.0}),
        ("lstm", "training", 64, 256, {"best": 1.3}),
        ("lstm", "training", 64, 512, {"best": 1.1}),
        ("rnn", "training", 32, 1024, {"best": 1.3}),
        ("lstm", "ragged", 64, 256, {"best": 1.0, "torch": 2.2}),
    ],
)
def test_goals(cell: str, mode: str, batch: int, hidden: int, expected: dict[str, float]) -> None:
    assert goals(Case(cell, mode, 100, batch, hidden)) == expected


def test_the_numbers_of_a_row() -> None:
    case = Case("lstm", "step", 1, 1, 128)
    seconds = {
        ("unrolled", "native"): [1e-3, 2e-3, 1e-3],
        ("torch", "LSTMCell"): [13e-3, 30e-3, 12e-3],
        ("torch", "LSTM"): [40e-3, 40e-3, 1e-3],
        ("jax", "jit"): [3e-3, 3e-3, 5e-3],
    }
    row = _row(case, seconds, least=0.25e-3)
    assert (row["ours_ms"], row["ours_min_ms"], row["engine"], row["rounds"]) == (1.0, 1.0, "native", 3)
    assert row["peers"] == {"torch": 13.0, "jax": 3.0}
    assert row["peers_min"] == {"torch": 12.0, "jax": 3.0}
    assert row["ways"] == {"torch": "LSTMCell", "jax": "jit"}
    # paired: the medians of 13, 15, 12 and of 3, 1.5, 5
    assert row["ratios"] == {"torch": 13.0, "jax": 3.0}
    assert (row["best_peer"], row["ratio_best"], row["share_of_ceiling"]) == ("jax", 3.0, 0.25)
    assert (row["goal"], row["goal_against"], row["reached"]) == (1.6, "best", True)
    slow = _row(case, seconds | {("jax", "jit"): [1e-3] * 3}, least=0.25e-3)
    assert (slow["ratio_best"], slow["reached"]) == (1.0, False)
    # whether torch's goal is reached can't be known without torch
    assert _row(case, {k: v for k, v in seconds.items() if k[0] != "torch"}, 1e-3)["reached"] is None


def test_steps_with_weights_in_bfloat16_stand_beside_the_others() -> None:
    case = Case("gru", "step", 1, 1, 512)
    seconds = {
        ("unrolled", "native bound"): [2e-3, 2e-3, 2e-3],
        (NARROW, "native stream"): [1e-3, 1e-3, 1e-3],
        ("torch", "GRUCell"): [9e-3, 9e-3, 9e-3],
        ("jax", "jit"): [3e-3, 3e-3, 3e-3],
    }
    row = _row(case, seconds, least=1e-3)
    assert (row["engine"], row["way"], row["ours_ms"], row["ratio_best"]) == ("native", "native bound", 2.0, 1.5)
    assert row["bfloat16"] == {"ours_ms": 1.0, "ratio_best": 3.0, "goal": 2.5}
    assert row["peers"].keys() == {"torch", "jax"}
    assert _row(case, {k: v for k, v in seconds.items() if k[0] != NARROW}, 1e-3)["bfloat16"] is None
    problem = make(case)
    narrow = rounded(problem)
    assert not torch.equal(narrow.weights["weight_hh"], problem.weights["weight_hh"])
    assert torch.equal(narrow.weights["bias_hh"], problem.weights["bias_hh"])
    for way in Ours().narrow(problem):
        assert mistake(way.answer(way.run()), truth(narrow), None) is None


def test_a_row_of_which_nothing_could_be_timed() -> None:
    row = _row(Case("gru", "inference", 100, 1, 8), {}, 1.0)
    assert row["ours_ms"] is row["ratio_best"] is row["share_of_ceiling"] is row["reached"] is None
    assert row["peers"] == row["ratios"] == {}


def test_everyone_has_a_turn_in_every_round() -> None:
    calls: list[str] = []
    found = timing.interleaved(
        {name: lambda name=name: calls.append(name) for name in "abc"},  # type: ignore[misc]
        seconds=0.0,
        repeats=7,
        settled=lambda: None,
    )
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys("abc", timing.FEWEST_ROUNDS)
    assert all(0 < value < 1e-3 for values in found.values() for value in values)
    fewer = timing.interleaved({"a": lambda: None}, seconds=9.0, repeats=2, settled=lambda: None)
    assert len(fewer["a"]) == 2


@pytest.mark.parametrize("calm, rounds", [(True, 10), (False, 30)])
def test_a_machine_that_is_not_quiet_is_measured_for_longer(calm: bool, rounds: int, monkeypatch) -> None:
    # each look at the clock is a second later, three of them a round
    ticks = itertools.count()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(ticks)))
    monkeypatch.setattr(timing, "is_calm", lambda found: calm)
    found = timing.interleaved({"a": lambda: None}, seconds=30.0, repeats=100, settled=lambda: None)
    assert len(found["a"]) == rounds


def test_flop_and_the_least_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ceiling = Ceiling(threads=1)
    monkeypatch.setattr(Ceiling, "products", {"float32": 2e9, "bfloat16": 4e9})
    monkeypatch.setattr(ceiling, "bandwidth", lambda size: 1e9)
    big = Case("lstm", "training", 10, 32, 8)
    assert flop(big) == 3 * 2 * 10 * 32 * (4 * 8) * 16
    assert ceiling.least_seconds(big) == pytest.approx(flop(big) / 2e9)
    # two operations a weight of four bytes: reading takes four times as long
    step = Case("rnn", "step", 1, 1, 8)
    assert ceiling.least_seconds(step) == pytest.approx(2 * 64 * 4 / 1e9)
    one = Case("rnn", "inference", 10, 1, 8)
    assert ceiling.least_seconds(one) == pytest.approx(10 * 64 * 4 / 1e9 + 2 * 10 * 64 / 2e9)
    # half the bytes, and a rate of its own
    assert ceiling.least_seconds(replace(step, dtype="bfloat16")) == pytest.approx(2 * 64 * 2 / 1e9)
    assert ceiling.least_seconds(replace(big, dtype="bfloat16")) == pytest.approx(flop(big) / 4e9)


def test_the_probes_measure_something() -> None:
    ceiling = Ceiling(threads=1, seconds=0.01)
    if ceiling.least_seconds(Case("rnn", "step", 1, 16, 8)) is None:
        pytest.skip("the native engine was not built")
    assert ceiling.products.keys() == {"float32", "bfloat16", "int8"}
    # a core does a vector of multiply-adds a cycle, and can't do them faster than it ticks
    assert all(1e8 < rate < 1e13 for rate in ceiling.products.values())
    assert ceiling.bandwidth(4096) > 1e7
    assert ceiling.as_json()["gbytes_per_second"].keys() == {"4096"}


def test_mistakes_are_found() -> None:
    problem = make(Case("lstm", "ragged", 5, 3, 4))
    true = truth(problem)
    right = {name: tensor.float() for name, tensor in true.items()}
    assert mistake(right, true, problem.lengths) is None
    # beyond the end of a sequence anything may stand
    padded = right["output"].clone()
    padded[-1, -1] = float("nan")
    assert mistake(right | {"output": padded}, true, problem.lengths) is None
    assert "output is off by nan" in str(mistake(right | {"output": padded}, true, None))
    assert "c_n is off by" in str(mistake(right | {"c_n": right["c_n"] + 1e-3}, true, problem.lengths))
    assert mistake(right | {"h_n": right["h_n"][:2]}, true, None) == "h_n has shape (2, 4), not (3, 4)"
    del right["h_n"]
    assert mistake(right, true, problem.lengths) == "h_n is missing"


def test_the_truth_of_training_has_every_gradient() -> None:
    true = truth(make(Case("gru", "training", 3, 2, 4)))
    assert {n for n in true if n.startswith("d")} == {"dx", "dweight_ih", "dweight_hh", "dbias_ih", "dbias_hh"}
    assert all(tensor.dtype is torch.float64 for tensor in true.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lstm,gur", r"--cell: expected some of lstm, gru, rnn, found 'gur'"),
        ("", r"--cell: expected some of lstm, gru, rnn, found nothing"),
    ],
)
def test_names_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        names(text, CELLS, "--cell")


@pytest.mark.parametrize("text", ["16", "1x", "x8", "0x8", "1x8x2", "1x8,", "axb", "-1x8", "1×8"])
def test_shapes_that_are_none(text: str) -> None:
    with pytest.raises(ArgumentError, match=r"--shapes: expected BxH with commas, as in 1x128,64x256, found '"):
        shapes(text)
