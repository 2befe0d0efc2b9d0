"""The lab's problems are what they say, and its runs can be repeated."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

from unrolled.errors import ArgumentError
from unrolled.inspection.lab import CONTESTANTS, Adding, Copying, Digits, gradient_lab, make_problem, memory_lab
from unrolled.layers import STACKS


def test_adding_marks_one_number_in_each_half() -> None:
    x, target = Adding(10).batch(50, np.random.default_rng(0))
    assert x.shape == (10, 50, 2)
    assert x[:5, :, 1].sum(0).tolist() == [1.0] * 50
    assert x[5:, :, 1].sum(0).tolist() == [1.0] * 50
    torch.testing.assert_close((x[..., 0] * x[..., 1]).sum(0), target)
    _, many = Adding(10).batch(20_000, np.random.default_rng(0))
    assert float((many - 1).pow(2).mean()) == pytest.approx(Adding(10).chance, rel=0.03)


def test_copying_asks_for_what_was_said_before_the_silence() -> None:
    problem = Copying(5)
    x, target = problem.batch(3, np.random.default_rng(0))
    assert x.shape == (25, 3, 10)
    assert x.sum(-1).eq(1).all()
    assert x[:10].argmax(-1).equal(target)
    assert x[10:14].argmax(-1).eq(8).all()
    assert x[14].argmax(-1).eq(9).all()
    perfect = torch.zeros(25, 3, 8)
    perfect[-10:].scatter_(2, target.unsqueeze(-1), 50.0)
    assert float(problem.loss(perfect, target)) == pytest.approx(0, abs=1e-6)
    assert float(problem.loss(torch.zeros(25, 3, 8), target)) == pytest.approx(problem.chance)


def test_digits_are_read_pixel_by_pixel() -> None:
    pytest.importorskip("sklearn")
    problem = make_problem("digits", 64)
    assert isinstance(problem, Digits)
    x, target = problem.batch(4, np.random.default_rng(0))
    assert x.shape == (64, 4, 1)
    assert 0 <= float(x.min()) <= float(x.max()) <= 1
    assert target.shape == (4,)


def test_a_run_can_be_repeated_and_says_how_it_ended() -> None:
    options = {"hidden_size": 8, "steps": 100, "seconds": 60.0, "seed": 5}
    first, again = (memory_lab(Adding(6), CONTESTANTS[:1], **options)[0] for _ in range(2))  # type: ignore[arg-type]
    assert first.losses == again.losses
    assert first.reason == "steps are used up"
    assert first.steps == [50, 100]
    assert [step for step, _ in first.flows] == [0, 100]
    assert len(first.flows[0][1]) == 6
    other = memory_lab(Adding(6), CONTESTANTS[:1], **{**options, "seed": 6})[0]  # type: ignore[arg-type]
    assert other.losses != first.losses


def test_every_contestant_trains_and_is_watched() -> None:
    runs = memory_lab(Adding(6), hidden_size=16, steps=2)
    assert [run.contestant for run in runs] == [one.name for one in CONTESTANTS]
    assert {type(one.build(2, 4, 1).hidden) for one in CONTESTANTS} == set(STACKS.values())
    for run in runs:
        assert np.isfinite(run.losses).all()
        # the error reaches the steps before, through whatever the cell carries
        assert all(norm > 0 for norm in run.flows[0][1])


def test_who_can_remember_does() -> None:
    gru = next(one for one in CONTESTANTS if one.name == "GRU")
    [run] = memory_lab(Adding(6), [gru], hidden_size=24, lr=0.01, steps=1200, seconds=60, seed=1)
    assert run.solved_at is not None
    assert run.best < 0.01
    assert run.reason == "solved"


def test_gradients_shrink_stay_or_grow_by_the_spectral_radius() -> None:
    found = gradient_lab(steps=60)
    kinds = [verdict.kind for verdict in found.verdicts]
    assert kinds[:3] == ["vanishing", "healthy", "exploding"]
    wild, tamed = "RNN, radius 1.6", "RNN, radius 1.6, clipped at 0.2"
    assert not max(found.losses[wild]) < 1e3
    assert max(found.losses[tamed][20:]) < 10


def test_bad_sizes_are_named() -> None:
    with pytest.raises(ArgumentError, match="hidden_size: expected at least 1, found 0"):
        memory_lab(Adding(6), hidden_size=0)
    with pytest.raises(ArgumentError, match="length: expected at least 2 steps, found 1"):
        make_problem("adding", 1)
    with pytest.raises(ArgumentError, match="steps: expected at least 1, found 0"):
        gradient_lab(steps=0)
    with pytest.raises(ArgumentError, match="steps: expected at least 1, found 0"):
        memory_lab(Adding(6), steps=0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lr": 0.0}, "lr: expected a number above 0, found 0"),
        ({"lr": float("nan")}, "lr: expected a number above 0, found nan"),
        ({"clip": -1.0}, "clip: expected a number above 0, found -1"),
        ({"clip": float("inf")}, "clip: expected a number above 0, found inf"),
        ({"seed": -1}, "seed: expected 0 to 2³² − 1, found -1"),
        ({"seed": 2**32}, "seed: expected 0 to 2³² − 1, found 4294967296"),
    ],
)
def test_what_can_not_train_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(message)):
        memory_lab(Adding(6), CONTESTANTS[:1], steps=1, **given)
    with pytest.raises(ArgumentError, match=re.escape(message)):
        gradient_lab(steps=1, **given)


def test_a_short_run_is_not_lost() -> None:
    [run] = memory_lab(Adding(6), CONTESTANTS[:1], hidden_size=4, steps=7)
    assert run.steps == [7]
    assert run.best == run.losses[0] > 0
    [run] = memory_lab(Adding(6), CONTESTANTS[:1], hidden_size=4, steps=53)
    assert run.steps == [50, 53]
    # the mean of three steps is no course
    assert run.best == run.losses[0]
