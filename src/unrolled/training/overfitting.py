"""The reaction to overfitting while time is left: train again from the best weights at a lower rate, then stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from unrolled.training.criteria import Best, Progress, lower_is_better

#: on the learning rate, from the first time on that overfitting is noticed
LOWERED = 0.25
#: evaluations in a row without a new best before it may be called overfitting
PATIENCE = 3
#: and how much worse than the best the last two of them are, as a part of the best
WORSE = 0.005


class Overfitting:
    """Notices that a metric of the development data worsens, and says what is to be done.

    Attributes:
        factor: on the learning rate.
    """

    def __init__(self) -> None:
        self.factor = 1.0
        self._reason: str | None = None
        # evaluations since the best one, or since the rate was lowered
        self._recent: list[float] = []

    def observe(self, best: Best, value: float) -> str | None:
        """Take note of an evaluation.

        Args:
            best: of the run, this evaluation included.
            value: of the metric by which it is the best.

        Returns:
            A sentence if the rate is to be lowered from here on, and the best weights are to be trained again.
        """
        if best.stale == 0:
            self._recent = []
            return None
        self._recent = [*self._recent, value][-PATIENCE:]
        if best.step is None or len(self._recent) < PATIENCE or not self._worsens(best):
            return None
        sentence = f"{best.metric} has worsened from {best.metrics[best.metric]:.4f} at step {best.step} to {value:.4f}"
        if self.factor < 1:
            self._reason = f"it overfits: {sentence}"
            return None
        self.factor, self._recent = LOWERED, []
        return f"it overfits: {sentence}; on from the best weights at {LOWERED:g} of the learning rate"

    def met(self, progress: Progress) -> str | None:
        """Met once it overfits at the lower rate too."""
        return self._reason

    def _worsens(self, best: Best) -> bool:
        sign = 1 if lower_is_better(best.metric) else -1
        peak = best.metrics[best.metric]
        # what is not finite is worse than anything; the last two count, as a single one may be an outlier
        first, *rest = (sign * value if math.isfinite(value) else math.inf for value in self._recent)
        return all(value - sign * peak > WORSE * abs(peak) and value >= first for value in rest)

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        return {"factor": self.factor, "reason": self._reason, "recent": self._recent}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.factor, self._reason, self._recent = state["factor"], state["reason"], list(state["recent"])
