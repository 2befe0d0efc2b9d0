"""When to stop: each criterion is a small object that looks at the progress and says why the run is over, or None.

A criterion that knows its end beforehand (steps, epochs, minutes) is a `Budget` and also says which fraction is used
up; the cosine schedule and the time left are read from that.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from unrolled.errors import ArgumentError

if TYPE_CHECKING:
    from unrolled.training.settings import TrainingSettings

_LOWER_WORDS = {
    *("loss", "perplexity", "ppl", "nats", "bits", "error", "errors", "wer", "cer", "per"),
    *("mae", "mse", "rmse", "mape", "smape", "mase", "pinball", "crps", "distance"),
}


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of a metric of this name is the better one.

    >>> lower_is_better("nats_per_char"), lower_is_better("loss"), lower_is_better("f1")
    (True, True, False)
    """
    return not _LOWER_WORDS.isdisjoint(re.split(r"[^a-z0-9]+", metric.lower()))


class Position(NamedTuple):
    """How far a run has come, in each unit that a budget can be counted in.

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
        """Take note of an evaluation; True if it is the best so far. A value that is not finite never is."""
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
    """Everything that the criteria look at; saved in every checkpoint."""

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

    def state_dict(self) -> dict[str, Any]:
        """All of it, except what the data says anew each time."""
        state = asdict(self)
        del state["batches_per_epoch"]
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`; the metric to judge by stays the one that was asked for now."""
        for name, value in state.items():
            if name != "best":
                setattr(self, name, value)
        if state["best"]["metric"] == self.best.metric:
            self.best = Best(**state["best"])


def metric_value(metrics: Mapping[str, float], metric: str) -> float:
    """One metric of an evaluation.

    Raises:
        ArgumentError: there is no development data, or no metric of that name; says which there are.
    """
    if not metrics:
        raise ArgumentError(f"the metric {metric!r} needs development data, and this run has none: give it with --dev")
    if metric not in metrics:
        raise ArgumentError(f"no metric {metric!r} is measured here; there are {', '.join(sorted(metrics))}")
    return metrics[metric]


class Criterion(Protocol):
    """Says when a run is over."""

    def met(self, progress: Progress) -> str | None:
        """The reason to stop, in words, or None to go on."""
        ...


class Budget(ABC):
    """A criterion whose end is known beforehand."""

    @abstractmethod
    def met(self, progress: Progress) -> str | None:
        """As for every criterion."""

    @abstractmethod
    def fraction(self, position: Position) -> float:
        """The part used up at a position: 0 at the start, 1 (or a little more) at the end."""


@dataclass(frozen=True)
class Steps(Budget):
    """A number of parameter updates."""

    limit: int

    def met(self, progress: Progress) -> str | None:
        """Met once that many steps are done."""
        return f"{progress.step} of {self.limit} steps done" if progress.step >= self.limit else None

    def fraction(self, position: Position) -> float:
        """Steps done per steps wanted."""
        return position.step / self.limit


@dataclass(frozen=True)
class Epochs(Budget):
    """A number of passes over the training data; a fraction of one is allowed."""

    limit: float

    def met(self, progress: Progress) -> str | None:
        """Met once the batches handed out make up that many passes."""
        return f"{progress.epoch:g} of {self.limit:g} epochs done" if progress.epoch >= self.limit else None

    def fraction(self, position: Position) -> float:
        """Epochs done per epochs wanted."""
        return position.epoch / self.limit


@dataclass(frozen=True)
class Minutes(Budget):
    """A time budget, evaluations included; the time before an interruption counts too."""

    limit: float

    def met(self, progress: Progress) -> str | None:
        """Met once the time is over."""
        minutes = progress.seconds / 60
        return f"{minutes:.1f} of {self.limit:g} minutes used" if minutes >= self.limit else None

    def fraction(self, position: Position) -> float:
        """Time used per time given."""
        return position.seconds / (60 * self.limit)


@dataclass(frozen=True)
class Until:
    """A metric on the development data that has come far enough."""

    metric: str
    target: float
    lower: bool

    @classmethod
    def parse(cls, text: str) -> Until:
        """Read METRIC=VALUE, METRIC<=VALUE or METRIC>=VALUE; with = the metric's name tells the direction.

        >>> Until.parse("loss=1.5"), Until.parse("f1 >= 0.9")
        (Until(metric='loss', target=1.5, lower=True), Until(metric='f1', target=0.9, lower=False))

        Raises:
            ArgumentError: the text is none of these.
        """
        found = re.fullmatch(r"\s*([^\s<>=]+)\s*(<=|>=|=)\s*(\S+)\s*", text)
        try:
            metric, sign, value = found.groups() if found else ("", "", "nan")
            target = float(value)
        except ValueError:
            target = math.nan
        if not math.isfinite(target):
            raise ArgumentError(f"{text!r} is not METRIC=VALUE, such as loss=1.5, accuracy=0.9 or loss<=1.5")
        return cls(metric, target, lower_is_better(metric) if sign == "=" else sign == "<=")

    def met(self, progress: Progress) -> str | None:
        """Met by the latest evaluation; unknown, so not met, before the first.

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
        """Met once the best evaluation lies that far back."""
        best = progress.best
        if best.stale < self.evaluations:
            return None
        since = "ever" if best.step is None else f"since step {best.step}"
        return f"no better {best.metric} {since}, {best.stale} evaluations in a row"


def make_criteria(settings: TrainingSettings) -> list[Criterion]:
    """The criteria that the settings ask for; the run ends with the first one that is met.

    Raises:
        ArgumentError: there is none, so that the run would never end.
    """
    wanted: list[Criterion | None] = [
        Steps(settings.steps) if settings.steps is not None else None,
        Epochs(settings.epochs) if settings.epochs is not None else None,
        Minutes(settings.minutes) if settings.minutes is not None else None,
        Until.parse(settings.until) if settings.until is not None else None,
        Patience(settings.patience) if settings.patience is not None else None,
    ]
    criteria = [criterion for criterion in wanted if criterion is not None]
    if not criteria:
        raise ArgumentError(
            "nothing says when training is to end: give --minutes, --epochs, --steps, --until or --patience"
        )
    return criteria


def first_met(criteria: Sequence[Criterion], progress: Progress) -> str | None:
    """The reason of the first criterion that is met, or None."""
    return next((reason for criterion in criteria if (reason := criterion.met(progress))), None)


def fraction_used(criteria: Sequence[Criterion], position: Position) -> float | None:
    """The part of the tightest budget that is used up, at most 1; None if no criterion has a known end."""
    fractions = [criterion.fraction(position) for criterion in criteria if isinstance(criterion, Budget)]
    return min(1.0, max(fractions)) if fractions else None
