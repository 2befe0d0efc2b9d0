"""Paths of connectionist temporal classification: read greedily, scored exactly, aligned to the steps.

Letters: T steps, K classes of which one is the blank, U units. Log-probabilities are nats, (T, K), float.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.errors import ArgumentError, ShapeError

LogProbs = NDArray[np.floating[Any]]

NEVER = -np.inf
BLANK = 0


class Emission(NamedTuple):
    """A unit, and the steps in which a path emits it.

    Attributes:
        unit: the class.
        begin, end: the first step, and the step after the last.
        log_prob: its highest log-probability in these steps, nats.
    """

    unit: int
    begin: int
    end: int
    log_prob: float


class GreedyState(NamedTuple):
    """The position of greedy reading: the next step, and the unit in progress, if any."""

    step: int = 0
    open: Emission | None = None


def read_greedily(
    log_probs: LogProbs, state: GreedyState | None = None, *, blank: int = BLANK
) -> tuple[list[Emission], GreedyState]:
    """Return the likeliest class of each step, without repeats and blanks; in one piece or several, with equal results.

    Args:
        log_probs: (T, K), the next steps.
        state: the state that the last call returned; None at the start.
        blank: the class that stands for no unit.

    Returns:
        The units that have ended, and the position; `finish_greedily` ends the last unit.
    """
    check_log_probs(log_probs, blank)
    state = state or GreedyState()
    classes = log_probs.argmax(axis=1)
    best = log_probs[np.arange(len(classes)), classes]
    emissions: list[Emission] = []
    step, current = state
    for unit, log_prob in zip(classes.tolist(), best.tolist(), strict=True):
        if current is not None and unit == current.unit:
            current = Emission(unit, current.begin, step + 1, max(current.log_prob, log_prob))
        else:
            if current is not None:
                emissions.append(current)
            current = None if unit == blank else Emission(unit, step, step + 1, log_prob)
        step += 1
    return emissions, GreedyState(step, current)


def finish_greedily(state: GreedyState) -> list[Emission]:
    """Return the unit in progress at the end of the steps, if any."""
    return [] if state.open is None else [state.open]


def sequence_log_prob(log_probs: LogProbs, units: Sequence[int], *, blank: int = BLANK) -> float:
    """Return ln of the probability of all paths that spell `units`, nats; −∞ if there are too few steps.

    Source: the forward variables of Graves et al. 2006, section 4.1.
    """
    check_log_probs(log_probs, blank)
    states, may_skip = _lattice(units, blank)
    scores = np.asarray(log_probs, np.float64)[:, states]
    alpha = np.full(len(states), NEVER)
    alpha[0] = 0.0
    for t, row in enumerate(scores):
        previous = alpha
        if t:
            alpha = previous.copy()
            alpha[1:] = np.logaddexp(alpha[1:], previous[:-1])
            alpha[2:] = np.where(may_skip, np.logaddexp(alpha[2:], previous[:-2]), alpha[2:])
        else:
            alpha = np.full(len(states), NEVER)
            alpha[:2] = 0.0
        alpha = alpha + row
    return float(np.logaddexp.reduce(alpha[-2:]))


def align(log_probs: LogProbs, units: Sequence[int], *, blank: int = BLANK) -> list[Emission]:
    """Return when each unit is emitted on the likeliest path that spells `units`.

    Raises:
        ArgumentError: there are too few steps to spell them.
    """
    check_log_probs(log_probs, blank)
    if not units:
        return []
    states, may_skip = _lattice(units, blank)
    scores = np.asarray(log_probs, np.float64)[:, states]
    steps, width = scores.shape
    best = np.full(width, NEVER)
    came = np.zeros((steps, width), np.int8)
    for t in range(steps):
        if t:
            choices = np.full((3, width), NEVER)
            choices[0] = best
            choices[1, 1:] = best[:-1]
            choices[2, 2:] = np.where(may_skip, best[:-2], NEVER)
            came[t] = choices.argmax(axis=0)
            best = choices.max(axis=0) + scores[t]
        else:
            best[:2] = scores[0, :2]
    place = width - 1 if best[-1] > best[-2] else width - 2
    if best[place] == NEVER:
        raise ArgumentError(f"units: {len(units)} can't be spelled in {steps} steps")
    path = np.empty(steps, np.int64)
    for t in range(steps - 1, -1, -1):
        path[t] = place
        place -= int(came[t, place])
    emissions = []
    for n, unit in enumerate(units):
        at = np.flatnonzero(path == 2 * n + 1)
        emissions.append(Emission(int(unit), int(at[0]), int(at[-1]) + 1, float(scores[at, 2 * n + 1].max())))
    return emissions


def _lattice(units: Sequence[int], blank: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the states' classes blank, u_1, blank, …, blank, (2U + 1,), and which from the third on skip a blank."""
    states = np.full(2 * len(units) + 1, blank, np.int64)
    states[1::2] = units
    return states, (states[2:] != blank) & (states[2:] != states[:-2])


def check_log_probs(log_probs: LogProbs, blank: int) -> None:
    """Check that log-probabilities can be decoded.

    Raises:
        ShapeError: they are not (T, K), or no class is the blank.
        ArgumentError: they hold NaN or +∞.
    """
    if log_probs.ndim != 2 or not 0 <= blank < log_probs.shape[1]:
        raise ShapeError("log_probs", f"(T, K > blank={blank})", log_probs.shape)
    # the maximum is NaN with any NaN, which fails the comparison
    if log_probs.size and not log_probs.max() < np.inf:
        raise ArgumentError("log_probs: not finite; the model's weights or its input have diverged")
