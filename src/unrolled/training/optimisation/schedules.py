"""The learning rate over a run, as a factor on `lr`: constant, cosine or reduce-on-plateau, after a linear warm-up.

A schedule depends on the used fraction of the limit, so that the same code serves steps, epochs and minutes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from unrolled.training.criteria import Criterion, Position, fraction_used
from unrolled.training.settings import TrainingSettings
from unrolled.types import Json


class Schedule(ABC):
    """A factor on the learning rate.

    Args:
        warmup_steps: the factor rises as 1/n, 2/n … n/n over the first n steps.
    """

    def __init__(self, warmup_steps: int = 0) -> None:
        self.warmup_steps = warmup_steps

    def factor(self, position: Position) -> float:
        """Return the factor of the next step, after `position.step` steps."""
        if position.step < self.warmup_steps:
            return (position.step + 1) / self.warmup_steps
        return self.after_warmup(position)

    @abstractmethod
    def after_warmup(self, position: Position) -> float:
        """Return the factor once the warm-up is over."""

    def observe(self, loss: float) -> None:  # noqa: B027 (most schedules ignore evaluations)
        """Record an evaluation's loss."""

    def state_dict(self) -> Json:
        """Return the state that a resumed run needs."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027 (most schedules have no state)
        """Restore what `state_dict` returned."""


class Constant(Schedule):
    """Always 1 after the warm-up."""

    def after_warmup(self, position: Position) -> float:
        """Return 1."""
        return 1.0


class Cosine(Schedule):
    """Half a cosine from 1, where the warm-up ends, to `floor`, where the run ends.

        factor = floor + (1 - floor) · (1 + cos π p) / 2,    p = (u - u_0) / (1 - u_0)

    with u the used fraction of the limit and u_0 that fraction at the end of the warm-up.

    Args:
        used: returns the used fraction of the limit at a position.
        warmup_steps: as for every schedule.
        floor: the factor at the end.
    Source: Loshchilov & Hutter 2017, arXiv 1608.03983.
    """

    def __init__(self, used: Callable[[Position], float], warmup_steps: int = 0, floor: float = 0.0) -> None:
        super().__init__(warmup_steps)
        self.used, self.floor = used, floor
        # Where the warm-up ended. In seconds that is only known once it happens, so a resumed run needs it.
        self.start: Position | None = Position(0, 0.0, 0.0) if warmup_steps == 0 else None

    def after_warmup(self, position: Position) -> float:
        """Return the cosine."""
        if self.start is None:
            self.start = position
        first = self.used(self.start)
        part = (self.used(position) - first) / (1 - first) if first < 1 else 1.0
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * part)) / 2

    def state_dict(self) -> Json:
        """Return where the warm-up ended."""
        return {"start": None if self.start is None else list(self.start)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        start = state.get("start", None)
        self.start = None if start is None else Position(*start)


class Plateau(Schedule):
    """Multiplies the learning rate by `shrink` after `patience` evaluations without a better loss, down to `floor`."""

    def __init__(self, shrink: float = 0.5, patience: int = 2, warmup_steps: int = 0, floor: float = 0.0) -> None:
        super().__init__(warmup_steps)
        self.shrink, self.patience, self.floor = shrink, patience, floor
        self.scale = 1.0
        self.best: float | None = None
        self.stale = 0

    def after_warmup(self, position: Position) -> float:
        """Return the factor that the evaluations so far have led to."""
        return max(self.scale, self.floor)

    def observe(self, loss: float) -> None:
        """Count the evaluations without a new best loss; a loss that is not finite never is one."""
        if math.isfinite(loss) and (self.best is None or loss < self.best):
            self.best, self.stale = loss, 0
            return
        self.stale += 1
        if self.stale >= self.patience:
            self.scale, self.stale = max(self.scale * self.shrink, self.floor), 0

    def state_dict(self) -> Json:
        """Return the scale, the best loss and the evaluations since."""
        return {"scale": self.scale, "best": self.best, "stale": self.stale}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        if state:
            self.scale, self.best, self.stale = state["scale"], state["best"], state["stale"]


def make_schedule(settings: TrainingSettings, criteria: Sequence[Criterion]) -> Schedule:
    """Return the schedule that the settings name; by default cosine if a criterion has a known end, else constant."""
    has_end = fraction_used(criteria, Position(0, 0.0, 0.0)) is not None
    name = settings.schedule or ("cosine" if has_end else "constant")
    if name == "cosine":
        return Cosine(
            lambda position: fraction_used(criteria, position) or 0.0, settings.warmup_steps, settings.min_lr_ratio
        )
    if name == "plateau":
        return Plateau(settings.plateau_factor, settings.plateau_patience, settings.warmup_steps, settings.min_lr_ratio)
    return Constant(settings.warmup_steps)
