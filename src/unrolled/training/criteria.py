"""When to stop: each criterion is a small object that reads the progress and returns why the run is over, or None.

A criterion whose end is known beforehand (steps, epochs, minutes) is a `Limit` and also tells which fraction is used
up; the cosine schedule and the estimate of the time left depend on that.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol

from unrolled.errors import ArgumentError
from unrolled.types import Json

_LOWER_WORDS = {
    *("loss", "perplexity", "ppl", "nats", "bits", "error", "errors", "wer", "cer", "per"),
    *("mae", "mse", "rmse", "mape", "smape", "mase", "pinball", "crps", "distance"),
}


def lower_is_better(metric: str) -> bool:
    """Return whether a smaller value of the named metric is better.

    >>> lower_is_better("nats_per_char"), lower_is_better("loss"), lower_is_better("f1")
    (True, True, False)
    """
    return not _LOWER_WORDS.isdisjoint(re.split(r"[^a-z0-9]+", metric.lower()))


class Position(NamedTuple):
    """How far a run has come, in each unit that a limit can be given in.

    Attributes:
        step: parameter updates done, skipped ones included.
        epoch: passes over the training data, as a real number.
        seconds: training time, evaluations and earlier sessions of the run included.
    """

    step: int
    epoch: float
    seconds: float


@dataclass
class Best:
    """The best evaluation so far, judged by one metric."""

    metric: str = "loss"
    step: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    stale: int = 0
    """Evaluations since the best one."""

    def observe(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Record an evaluation and return whether it is the best so far; a value that is not finite never is."""
        value = metric_value(metrics, self.metric)
        best = self.metrics.get(self.metric)
        better = math.isfinite(value) and (
            best is None or (value < best if lower_is_better(self.metric) else value > best)
        )
        if better:
            self.step, self.metrics, self.stale = step, dict(metrics), 0
        else:
            self.stale += 1
        return better


@dataclass
class Progress:
    """Everything that the criteria read; saved in every checkpoint."""

    batches_per_epoch: int
    best: Best = field(default_factory=Best)
    step: int = 0
    batches: int = 0
    seconds: float = 0.0
    skipped: int = 0
    skipped_in_a_row: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    """The latest evaluation, empty before the first."""
    evaluated_step: int | None = None

    @property
    def epoch(self) -> float:
        """Passes over the training data."""
        return self.batches / self.batches_per_epoch

    @property
    def position(self) -> Position:
        """Steps, epochs and seconds at this moment."""
        return Position(self.step, self.epoch, self.seconds)

    def state_dict(self) -> Json:
        """Return all fields but `batches_per_epoch`, which the data gives anew."""
        state = asdict(self)
        del state["batches_per_epoch"]
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; the metric to judge by stays the one asked for now."""
        for name, value in state.items():
            if name != "best":
                setattr(self, name, value)
        if state["best"]["metric"] == self.best.metric:
            self.best = Best(**state["best"])


def metric_value(metrics: Mapping[str, float], metric: str) -> float:
    """Return one metric of an evaluation.

    Raises:
        ArgumentError: there is no development data, or no metric of that name; lists those there are.
    """
    if not metrics:
        raise ArgumentError(f"the metric {metric!r} needs development data, and this run has none: give it with --dev")
    if metric not in metrics:
        raise ArgumentError(f"no metric {metric!r} is measured here; there are {', '.join(sorted(metrics))}")
    return metrics[metric]


class Criterion(Protocol):
    """Tells when a run is over."""

    def met(self, progress: Progress) -> str | None:
        """Return the reason to stop, in words, or None to continue."""
        ...


class Limit(ABC):
    """A criterion whose end is known beforehand."""

    @abstractmethod
    def met(self, progress: Progress) -> str | None:
        """Return the reason to stop, in words, or None to continue."""

    @abstractmethod
    def fraction(self, position: Position) -> float:
        """Return the part used up at a position: 0 at the start, 1 (or a little more) at the end."""


@dataclass(frozen=True)
class StepLimit(Limit):
    """A number of parameter updates."""

    limit: int

    def met(self, progress: Progress) -> str | None:
        """Stop after that many steps."""
        return f"{progress.step} of {self.limit} steps done" if progress.step >= self.limit else None

    def fraction(self, position: Position) -> float:
        """Return the share of the steps that are done."""
        return position.step / self.limit


@dataclass(frozen=True)
class EpochLimit(Limit):
    """A number of passes over the training data; fractions are allowed."""

    limit: float

    def met(self, progress: Progress) -> str | None:
        """Stop once the batches handed out make up that many passes."""
        return f"{progress.epoch:g} of {self.limit:g} epochs done" if progress.epoch >= self.limit else None

    def fraction(self, position: Position) -> float:
        """Return the share of the epochs that are done."""
        return position.epoch / self.limit


@dataclass(frozen=True)
class TimeLimit(Limit):
    """A number of minutes, evaluations included; the time before an interruption counts too."""

    limit: float

    def met(self, progress: Progress) -> str | None:
        """Stop once the time is used up."""
        minutes = progress.seconds / 60
        return f"{minutes:.1f} of {self.limit:g} minutes used" if minutes >= self.limit else None

    def fraction(self, position: Position) -> float:
        """Return the share of the time that is used."""
        return position.seconds / (60 * self.limit)


@dataclass(frozen=True)
class Until:
    """A target for a metric on the development data."""

    metric: str
    target: float
    lower: bool

    @classmethod
    def parse(cls, text: str) -> Until:
        """Parse METRIC=VALUE, METRIC<=VALUE or METRIC>=VALUE; with =, the direction follows from the metric's name.

        >>> Until.parse("loss=1.5"), Until.parse("f1 >= 0.9")
        (Until(metric='loss', target=1.5, lower=True), Until(metric='f1', target=0.9, lower=False))

        Raises:
            ArgumentError: the text is none of these.
        """
        match = re.fullmatch(r"\s*([^\s<>=]+)\s*(<=|>=|=)\s*(\S+)\s*", text)
        try:
            metric, sign, value = match.groups() if match else ("", "", "nan")
            target = float(value)
        except ValueError:
            target = math.nan
        if not math.isfinite(target):
            raise ArgumentError(f"{text!r} is not METRIC=VALUE, such as loss=1.5, accuracy=0.9 or loss<=1.5")
        return cls(metric, target, lower_is_better(metric) if sign == "=" else sign == "<=")

    def met(self, progress: Progress) -> str | None:
        """Stop once the latest evaluation reaches the target; never before the first.

        Raises:
            ArgumentError: the evaluation has no such metric.
        """
        if progress.evaluated_step is None:
            return None
        value = metric_value(progress.metrics, self.metric)
        if value <= self.target if self.lower else value >= self.target:
            return f"{self.metric} {value:.4g} has reached {self.target:g}"
        return None


@dataclass(frozen=True)
class Patience:
    """Early stopping: this many evaluations in a row without a new best."""

    evaluations: int

    def met(self, progress: Progress) -> str | None:
        """Stop once the best evaluation lies that far back."""
        best = progress.best
        if best.stale < self.evaluations:
            return None
        since = "ever" if best.step is None else f"since step {best.step}"
        return f"no better {best.metric} {since}, {best.stale} evaluations in a row"


def first_met(criteria: Sequence[Criterion], progress: Progress) -> str | None:
    """Return the reason of the first criterion met, or None."""
    return next((reason for criterion in criteria if (reason := criterion.met(progress))), None)


def fraction_used(criteria: Sequence[Criterion], position: Position) -> float | None:
    """Return the used-up part of the tightest limit, at most 1; None if no criterion has a known end."""
    fractions = [criterion.fraction(position) for criterion in criteria if isinstance(criterion, Limit)]
    return min(1.0, max(fractions)) if fractions else None
