"""What a run does that has time left and overfits, with evaluations of the test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from unrolled.training import FitResult, QuietReporter, TrainingSettings, fit
from unrolled.training.overfitting import LOWERED

from .test_rules import Given, Quadratic


class Script(Quadratic):
    """Evaluates to given losses, and notes the weight at each."""

    def __init__(self, *losses: float) -> None:
        super().__init__(evaluations=[{"loss": loss, "accuracy": 1 / loss} for loss in losses])
        self.weights: list[float] = []

    def evaluate(self) -> dict[str, float]:
        self.weights.append(self.w)
        return super().evaluate()


class Listener(QuietReporter):
    def __init__(self) -> None:
        self.notices: list[str] = []
        self.rates: list[float] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def stepped(self, now: Any) -> None:
        self.rates.append(now.lr)


def run(out: Path, learner: Script, *, resume: bool = False, **changes: Any) -> tuple[FitResult, Listener]:
    plain = {"optimiser": "sgd", "lr": 0.1, "weight_decay": 0.0, "schedule": "constant", "evaluate_every": 1}
    settings = TrainingSettings(**{**plain, "clip_norm": None, "sample_every": 0, "minutes": 60.0, **changes})
    listener = Listener()
    batches = Given(torch.tensor([[0.5]], dtype=torch.float64))
    return fit(learner, batches, settings, out, resume=resume, reporter=listener), listener


# before the first step, and after each
LOSSES = (3.0, 2.0, 1.0, 1.1, 1.2, 1.3, 1.05, 1.06, 1.07, 1.08)


@pytest.mark.parametrize("monitor", ["loss", "accuracy"])
def test_it_goes_on_from_the_best_at_a_lower_rate_and_then_stops_with_the_best(tmp_path: Path, monitor: str) -> None:
    learner = Script(*LOSSES)
    result, listener = run(tmp_path, learner, monitor=monitor)
    best = learner.weights[2]
    # after the third evaluation without a better loss, a quarter of the rate
    assert listener.rates == [0.1] * 5 + [LOWERED * 0.1] * 3
    assert [notice.split(";")[0] for notice in listener.notices] == [
        f"step 5: it overfits: {monitor} has worsened from {1.0:.4f} at step 2 to "
        + ("1.3000" if monitor == "loss" else "0.7692")
    ]
    # the gradient of the first step after it is that of the best weight
    assert learner.weights[6] == pytest.approx(best - LOWERED * 0.1 * (0.5 + best), abs=1e-12)
    assert not result.interrupted
    assert result.reason.startswith(f"it overfits: {monitor} has worsened")
    assert (result.step, result.best_step, learner.w) == (8, 2, best)


def test_a_loss_that_falls_again_or_only_stays_is_none(tmp_path: Path) -> None:
    learner = Script(3.0, 2.0, 2.1, 2.2, 1.9, 1.901, 1.9, 1.902, 2.5, 1.904, 1.8)
    result, listener = run(tmp_path, learner, steps=10)
    assert (result.step, listener.notices, listener.rates) == (10, [], [0.1] * 10)


@pytest.mark.parametrize("changes", [{"patience": 7}, {"minutes": None, "steps": 9}])
def test_only_runs_that_end_by_time_alone_are_watched(tmp_path: Path, changes: dict[str, Any]) -> None:
    _, listener = run(tmp_path, Script(*LOSSES), **changes)
    assert listener.notices == []
    assert set(listener.rates) == {0.1}


def test_resumed_it_is_the_same(tmp_path: Path) -> None:
    whole = Script(*LOSSES)
    run(tmp_path / "whole", whole, save_every=1)
    run(tmp_path / "parts", Script(*LOSSES[:5]), steps=4, save_every=1)
    run(tmp_path / "parts", Script(*LOSSES[5:7]), steps=6, resume=True, save_every=1)
    parts = Script(*LOSSES[7:])
    result, _ = run(tmp_path / "parts", parts, resume=True, save_every=1)
    assert (result.step, parts.w) == (8, whole.w)
