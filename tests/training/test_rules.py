"""Optimisers, clipping, schedules, averages and criteria against values worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError
from unrolled.training import FitResult, LossReport, TrainingSettings, fit, read_metrics
from unrolled.training.criteria import (
    Best,
    EpochLimit,
    Patience,
    Position,
    Progress,
    StepLimit,
    TimeLimit,
    Until,
    fraction_used,
    lower_is_better,
)
from unrolled.training.optimisation.averaging import ExponentialAverage, TailAverage
from unrolled.training.optimisation.optimisers import clip_gradients, gradient_norm
from unrolled.training.optimisation.schedules import Constant, Cosine, Plateau, make_schedule

NEVER = {"evaluate_every": 0, "sample_every": 0, "schedule": "constant", "weight_decay": 0.0}


class Items(NamedTuple):
    values: Tensor
    resets: bool = False
    epoch: int = 0


class Given:
    """Hands out given batches, over and over."""

    def __init__(self, *batches: Tensor) -> None:
        self.batches, self.at = [Items(values) for values in batches], 0
        self.batches_per_epoch = len(batches)

    def next_batch(self) -> Items:
        self.at += 1
        return self.batches[(self.at - 1) % len(self.batches)]

    def state_dict(self) -> dict[str, Any]:
        return {"at": self.at}

    def load_state_dict(self, state: Any) -> None:
        self.at = state["at"]


class Quadratic:
    """loss = mean over items of w·x + w²/2 for a single weight w: its gradient is mean(x) + w."""

    def __init__(self, w: float = 1.0, evaluations: list[dict[str, float]] | None = None) -> None:
        self.network: Any = nn.Linear(1, 1, bias=False).double()
        with torch.no_grad():
            self.network.weight.fill_(w)
        self.evaluations = evaluations or []
        self.evaluated = 0

    def loss(self, batch: Items, carried: Any) -> LossReport:
        w = self.network.weight[0, 0]
        mean = (w * batch.values + w * w / 2).mean()
        return LossReport(mean, float(mean.detach()) * len(batch.values), len(batch.values), None)

    def evaluate(self) -> dict[str, float]:
        self.evaluated += 1
        return self.evaluations[min(self.evaluated, len(self.evaluations)) - 1] if self.evaluations else {}

    def sample(self) -> str | None:
        return None

    @property
    def w(self) -> float:
        return float(self.network.weight.detach())


def train(out: Path, learner: Quadratic, batches: Given, **options: Any) -> FitResult:
    return fit(learner, batches, TrainingSettings(**{**NEVER, "clip_norm": None, **options}), out)


def constant_gradient(*values: float) -> Given:
    return Given(*[torch.tensor([value], dtype=torch.float64) for value in values])


def test_two_steps_of_sgd(tmp_path: Path) -> None:
    learner = Quadratic(1.0)
    # g = 2+1 = 3, w = 1-0.1·3 = 0.7; g = 4+0.7 = 4.7, w = 0.7-0.47 = 0.23
    train(tmp_path, learner, constant_gradient(2.0, 4.0), steps=2, optimiser="sgd", lr=0.1)
    assert learner.w == pytest.approx(0.23, abs=1e-15)


def test_two_steps_of_sgd_with_momentum(tmp_path: Path) -> None:
    learner = Quadratic(1.0)
    # v = 3, w = 0.7; v = 0.9·3 + 4.7 = 7.4, w = 0.7 - 0.74 = -0.04
    train(tmp_path, learner, constant_gradient(2.0, 4.0), steps=2, optimiser="sgd", lr=0.1, momentum=0.9)
    assert learner.w == pytest.approx(-0.04, abs=1e-15)


def test_two_steps_of_nesterov(tmp_path: Path) -> None:
    learner = Quadratic(1.0)
    # v = 3, w = 1 - 0.1·(3 + 0.9·3) = 0.43; g = 4.43, v = 2.7 + 4.43 = 7.13, w = 0.43 - 0.1·(4.43 + 6.417)
    options = {"optimiser": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True}
    train(tmp_path, learner, constant_gradient(2.0, 4.0), steps=2, **options)
    assert learner.w == pytest.approx(0.43 - 0.1 * (4.43 + 0.9 * 7.13), abs=1e-15)


@pytest.mark.parametrize("optimiser", ["adam", "adamw"])
def test_two_steps_of_adam(tmp_path: Path, optimiser: str) -> None:
    learner, decay, lr = Quadratic(1.0), 0.5, 0.1
    train(tmp_path, learner, constant_gradient(2.0, 4.0), steps=2, optimiser=optimiser, lr=lr, weight_decay=decay)
    w = m = v = 0.0
    w = 1.0
    for n, x in ((1, 2.0), (2, 4.0)):
        g = x + w
        if optimiser == "adam":
            g += decay * w
        else:
            w -= lr * decay * w
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w -= lr * (m / (1 - 0.9**n)) / (math.sqrt(v / (1 - 0.999**n)) + 1e-8)
    assert learner.w == pytest.approx(w, abs=1e-12)


def test_clipping_by_norm_and_by_value() -> None:
    def grads() -> list[Tensor]:
        return [torch.tensor([3.0, 0.0]), torch.tensor([[-4.0]])]

    assert gradient_norm(grads()).item() == 5.0
    by_norm = grads()
    assert clip_gradients(by_norm, 5.0, TrainingSettings(clip_norm=1.0))
    torch.testing.assert_close(by_norm, [torch.tensor([0.6, 0.0]), torch.tensor([[-0.8]])])
    untouched = grads()
    assert not clip_gradients(untouched, 5.0, TrainingSettings(clip_norm=5.5))
    assert torch.equal(untouched[0], grads()[0])
    by_value = grads()
    assert not clip_gradients(by_value, 5.0, TrainingSettings(clip_norm=None, clip_value=2.5))
    assert by_value[0].tolist() == [2.5, 0.0]
    assert by_value[1].item() == -2.5


def test_clipping_by_norm_gives_torchs_bits() -> None:
    weights = [nn.Parameter(torch.randn(5, 7)), nn.Parameter(torch.randn(3))]
    for weight in weights:
        weight.grad = torch.randn_like(weight)
    ours = [weight.grad.clone() for weight in weights if weight.grad is not None]
    norm = torch.nn.utils.clip_grad_norm_(weights, 0.5)
    clip_gradients(ours, float(norm), TrainingSettings(clip_norm=0.5))
    for weight, grad in zip(weights, ours, strict=True):
        torch.testing.assert_close(weight.grad, grad, rtol=1e-6, atol=0)


def test_clipping_is_on_by_default_and_the_logged_norm_is_the_one_before_it(tmp_path: Path) -> None:
    learner = Quadratic(1.0)
    train(tmp_path, learner, constant_gradient(2.0), steps=1, optimiser="sgd", lr=0.1, clip_norm=1.0, log_every=1)
    assert learner.w == pytest.approx(0.9, abs=1e-6)
    (record,) = read_metrics(tmp_path / "metrics.jsonl")
    assert (record["grad_norm"], record["clipped"], record["loss"]) == (3.0, 1.0, 2.5)
    assert TrainingSettings().clip_norm == 1.0


@pytest.mark.parametrize("split", [(3, 3), (1, 5)])
def test_accumulating_two_parts_is_one_step_of_the_whole(tmp_path: Path, split: tuple[int, int]) -> None:
    values = torch.randn(6, dtype=torch.float64)
    whole, parts = Quadratic(), Quadratic()
    options = {"steps": 3, "optimiser": "adamw", "lr": 0.1, "log_every": 1}
    train(tmp_path / "whole", whole, Given(values), **options)
    result = train(tmp_path / "parts", parts, Given(*values.split(split)), accumulate=2, **options)
    assert parts.w == pytest.approx(whole.w, abs=1e-12)
    assert result.epoch == 3.0
    for one, other in zip(*(read_metrics(tmp_path / n / "metrics.jsonl") for n in ("whole", "parts")), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-12)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], abs=1e-12)


def test_vectors_have_no_weight_decay() -> None:
    from unrolled.training.optimisation.optimisers import make_optimiser

    groups = make_optimiser(list(nn.LSTM(2, 3).parameters()), TrainingSettings(weight_decay=0.1)).param_groups
    decay = {parameter.dim(): group["weight_decay"] for group in groups for parameter in group["params"]}
    assert decay == {2: 0.1, 1: 0.0}


def test_nothing_to_train_is_an_error(tmp_path: Path) -> None:
    learner = Quadratic()
    learner.network.requires_grad_(False)
    with pytest.raises(ArgumentError, match="nothing to train"):
        train(tmp_path, learner, constant_gradient(1.0), steps=1)


def at(step: int = 0, epoch: float = 0.0, seconds: float = 0.0) -> Position:
    return Position(step, epoch, seconds)


def test_warm_up_rises_in_equal_steps_to_one() -> None:
    schedule = Constant(warmup_steps=4)
    assert [schedule.factor(at(step)) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_cosine_over_steps() -> None:
    schedule = make_schedule(TrainingSettings(steps=12, warmup_steps=4, min_lr_ratio=0.2), [StepLimit(12)])
    factors = [schedule.factor(at(step)) for step in range(13)]
    assert factors[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    # Halfway between the warm-up and the end, then the end.
    assert factors[8] == pytest.approx(0.6)
    assert factors[6] == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi / 4)) / 2)
    assert factors[12] == pytest.approx(0.2)


def test_cosine_over_epochs_and_over_minutes_resumed_in_between() -> None:
    schedule = make_schedule(TrainingSettings(epochs=2, min_lr_ratio=0.0), [EpochLimit(2)])
    assert schedule.factor(at(50, 1.0)) == pytest.approx(0.5)
    minutes = [TimeLimit(2)]
    first = make_schedule(TrainingSettings(minutes=2, warmup_steps=2, min_lr_ratio=0.0), minutes)
    assert [first.factor(at(n, seconds=10.0 * n)) for n in (0, 1, 2)] == [0.5, 1.0, 1.0]
    second = make_schedule(TrainingSettings(minutes=2, warmup_steps=2, min_lr_ratio=0.0), minutes)
    second.load_state_dict(first.state_dict())
    # The warm-up ended at 20 s: halfway from there to 120 s is 70 s.
    assert second.factor(at(7, seconds=70.0)) == pytest.approx(0.5)
    assert second.factor(at(99, seconds=130.0)) == pytest.approx(0.0)


def test_without_a_name_the_schedule_is_cosine_if_there_is_an_end() -> None:
    assert isinstance(make_schedule(TrainingSettings(), [StepLimit(5)]), Cosine)
    assert isinstance(make_schedule(TrainingSettings(), [Patience(5)]), Constant)


def test_plateau_halves_after_two_evaluations_without_progress() -> None:
    schedule = Plateau(shrink=0.5, patience=2, floor=0.2)
    factors = []
    for loss in (3.0, 2.0, 2.0, 2.1, 1.9, math.nan, 1.9, 5.0, 5.0):
        schedule.observe(loss)
        factors.append(schedule.factor(at()))
    assert factors == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2]
    other = Plateau(shrink=0.5, patience=2, floor=0.2)
    other.load_state_dict(schedule.state_dict())
    assert vars(other) == vars(schedule)


def test_ema_by_hand() -> None:
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    average = ExponentialAverage([weight], decay=0.25)
    expected = None
    for n, value in enumerate((1.0, 2.0, 4.0, 8.0), start=1):
        weight.data.fill_(value)
        average.update()
        decay = min(0.25, n / (n + 9))
        expected = value if expected is None else decay * expected + (1 - decay) * value
    assert average.averages is not None
    assert average.averages[0].item() == pytest.approx(expected, abs=1e-15)
    with average.applied():
        assert weight.item() == pytest.approx(expected, abs=1e-15)
    assert weight.item() == 8.0


def test_tail_average_begins_when_the_loss_stops_falling_and_is_the_mean_from_there() -> None:
    weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    average = TailAverage([weight], patience=2)
    begun = []
    for step, loss in enumerate((3.0, 2.0, 2.5, 2.4, 2.3, 1.0), start=1):
        average.observe(loss)
        begun.append(average.begun)
        weight.data.fill_(float(step))
        average.update()
    # 2.3 is the first to be worse than the best of those before it, the last two left out: min(3.0, 2.0).
    assert begun == [False, False, False, False, True, True]
    assert average.averages is not None
    assert average.averages[0].item() == 5.5


def progress(**values: Any) -> Progress:
    return Progress(**{"batches_per_epoch": 10, **values})


def test_each_criterion() -> None:
    assert StepLimit(5).met(progress(step=4)) is None
    assert StepLimit(5).met(progress(step=5)) == "5 of 5 steps done"
    assert EpochLimit(1.5).met(progress(batches=14)) is None
    assert EpochLimit(1.5).met(progress(batches=15)) == "1.5 of 1.5 epochs done"
    assert TimeLimit(2).met(progress(seconds=119.9)) is None
    assert TimeLimit(2).met(progress(seconds=120.0)) == "2.0 of 2 minutes used"
    until = Until.parse("loss=1.5")
    assert until.met(progress()) is None
    assert until.met(progress(metrics={"loss": 1.6}, evaluated_step=1)) is None
    assert until.met(progress(metrics={"loss": 1.5}, evaluated_step=1)) == "loss 1.5 has reached 1.5"
    assert Until.parse("accuracy=0.9").met(progress(metrics={"accuracy": 0.95}, evaluated_step=1)) is not None
    assert Until.parse("loss>=3").met(progress(metrics={"loss": 2.0}, evaluated_step=1)) is None
    assert Patience(2).met(progress(best=Best(stale=1))) is None
    assert "since step 7, 2 evaluations" in (Patience(2).met(progress(best=Best(step=7, stale=2))) or "")


def test_the_best_is_judged_by_the_metric_and_nan_never_is() -> None:
    best = Best("f1")
    assert [best.observe(n, {"f1": f1}) for n, f1 in enumerate((math.nan, 0.1, 0.3, 0.3, math.nan, 0.4))] == [
        *(False, True, True, False, False, True)
    ]
    assert (best.step, best.stale) == (5, 0)
    assert lower_is_better("bits_per_char")
    assert lower_is_better("wer")
    assert not lower_is_better("exact_match")


def test_the_tightest_budget_counts() -> None:
    assert fraction_used([StepLimit(100), TimeLimit(1), Patience(3)], at(50, seconds=45.0)) == 0.75
    assert fraction_used([Patience(3)], at(50)) is None


@pytest.mark.parametrize("text", ["loss", "loss=", "=1", "loss=abc", "loss=nan", "loss<1", ""])
def test_an_unreadable_target_is_named(text: str) -> None:
    with pytest.raises(ArgumentError, match="is not METRIC=VALUE"):
        TrainingSettings(until=text)


def test_no_criterion_is_an_error() -> None:
    with pytest.raises(ArgumentError, match="give --minutes, --epochs, --steps, --until or --patience"):
        TrainingSettings().criteria()


def test_runs_end_by_epochs_minutes_target_and_patience(tmp_path: Path) -> None:
    def losses(*values: float) -> list[dict[str, float]]:
        return [{"loss": value} for value in values]

    options: dict[str, Any] = {"evaluate_every": 1, "optimiser": "sgd", "lr": 1e-3}
    epochs = train(tmp_path / "e", Quadratic(), constant_gradient(1.0, 2.0, 3.0), epochs=2, **options)
    assert (epochs.step, epochs.epoch) == (6, 2.0)
    until = Quadratic(evaluations=losses(3.0, 2.0, 1.0, 0.5))
    assert train(tmp_path / "u", until, constant_gradient(1.0), until="loss=1", **options).step == 2
    patience = Quadratic(evaluations=losses(3.0, 1.0, 2.0, 2.0, 2.0))
    result = train(tmp_path / "p", patience, constant_gradient(1.0), patience=3, **options)
    assert (result.step, result.best_step, result.best, result.last) == (4, 1, {"loss": 1.0}, {"loss": 2.0})
    # The network is left with the weights of step 1: one step of gradient 1 + 1.
    assert patience.w == pytest.approx(1 - 1e-3 * 2)
    minutes = train(tmp_path / "m", Quadratic(), constant_gradient(1.0), minutes=0.001, **options)
    assert 0.06 <= minutes.seconds < 1
    shorter = TrainingSettings(minutes=0.0005, **{**NEVER, "optimiser": "sgd"})
    again = fit(Quadratic(), constant_gradient(1.0), shorter, tmp_path / "m", resume=True)
    assert again.step == minutes.step


@pytest.mark.parametrize("options", [{"until": "f1=0.5"}, {"patience": 3}, {"steps": 3, "averaging": "tail"}])
def test_what_needs_development_data_says_so_at_once(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="needs development data"):
        train(tmp_path, Quadratic(), constant_gradient(1.0), evaluate_every=1, **options)


def test_a_metric_that_is_not_measured_is_named_with_those_that_are(tmp_path: Path) -> None:
    learner = Quadratic(evaluations=[{"loss": 1.0, "accuracy": 0.5}])
    with pytest.raises(ArgumentError, match="no metric 'f1' is measured here; there are accuracy, loss"):
        train(tmp_path, learner, constant_gradient(1.0), evaluate_every=1, until="f1=0.5")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"lr": 0}, "--lr: 0 is not possible: input should be greater than 0"),
        ({"lr": math.nan}, "--lr: nan is not possible"),
        ({"momentum": 1.0}, "--momentum: 1.0"),
        ({"betas": (0.9, 1.0)}, "--betas"),
        ({"clip_norm": -1}, "--clip-norm: -1"),
        ({"accumulate": 0}, "--accumulate: 0"),
        ({"steps": 0}, "--steps: 0"),
        ({"epochs": -1}, "--epochs: -1"),
        ({"minutes": 0}, "--minutes: 0"),
        ({"patience": 0}, "--patience: 0"),
        ({"log_every": 0}, "--log-every: 0"),
        ({"ema_decay": 1.0}, "--ema-decay: 1.0"),
        ({"seed": -1}, "--seed: -1"),
        ({"optimiser": "lion"}, "--optimiser: 'lion' is not possible: input should be 'sgd', 'adam' or 'adamw'"),
        ({"learning_rate": 1}, "learning_rate: no such option; there are optimiser, lr,"),
        ({"nesterov": True}, "--nesterov needs --optimiser sgd"),
        ({"momentum": 0.9}, "--momentum needs --optimiser sgd"),
        ({"schedule": "cosine"}, "--schedule cosine needs a known end"),
        ({"evaluate_every": 0, "patience": 2}, "--patience needs evaluations"),
    ],
)
def test_an_option_out_of_range_is_named_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        TrainingSettings(**options)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_settings_can_be_changed_and_are_checked_again() -> None:
    settings = TrainingSettings(steps=5)
    assert settings.replace(lr=0.5) == TrainingSettings(steps=5, lr=0.5)
    with pytest.raises(ArgumentError, match="--lr"):
        settings.replace(lr=-1)
