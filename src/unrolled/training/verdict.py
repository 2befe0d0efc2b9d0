"""Whether gradients vanish or explode over time, judged by how the error shrinks or grows from lag to lag.

g_k = ‖∂L_t/∂h_{t−k}‖ is the error that the loss at t sends to the state k steps earlier (Pascanu, Mikolov & Bengio
2013, arXiv 1211.5063, eq. 5). Judged is g_k / g_0: the size of the loss cancels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

#: below this share of g_0 the error of a step no longer moves the weights for what lies so far back
VANISHED = 1e-3
#: above this multiple of g_0 a step's gradient is that of the far past alone
EXPLODED = 1e2
#: lags shorter than this are too short to judge
SHORTEST = 4

REMEDIES = {
    "vanishing": (
        "a gated cell (--cell lstm or gru) instead of a plain RNN",
        "a forget-gate bias of 1 or more",
        "orthogonal or identity initialisation of weight_hh",
        "layer normalisation (--layer-norm)",
        "a shorter way from input to target: attention, or inputs fed in reverse",
    ),
    "exploding": (
        "clipping the gradient by its norm (--clip-norm 1 or less)",
        "a lower learning rate (--lr)",
        "orthogonal initialisation of weight_hh, or weight decay",
        "a shorter window (--window), so that the product of Jacobians is shorter",
        "a gated cell (--cell lstm or gru)",
    ),
    "healthy": (),
}


@dataclass(frozen=True)
class Verdict:
    """What can be said of one layer.

    Attributes:
        layer: its name, e.g. "hidden.l0".
        kind: healthy, vanishing or exploding; unknown where there are too few lags, or nothing finite.
        lag: steps back from which it holds; None for healthy.
        rate: by what factor the error changes a step, the geometric mean over all lags.
        evidence: a sentence with the numbers.
        remedies: what to try, the likeliest first.
    """

    layer: str
    kind: Literal["healthy", "vanishing", "exploding", "unknown"]
    lag: int | None
    rate: float
    evidence: str
    remedies: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.layer}: {self.kind}: {self.evidence}"

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {**vars(self), "remedies": list(self.remedies)}


def judge(layer: str, norms: Sequence[float], cell: str = "") -> Verdict:
    """A verdict on one layer.

    Args:
        layer: its name.
        norms: g_0, g_1, …, in any unit.
        cell: its cell's name, so that nobody is told to try what is there already.

    >>> judge("l0", [0.5**k for k in range(20)]).kind, judge("l0", [0.5**k for k in range(20)]).lag
    ('vanishing', 10)
    >>> judge("l0", [1.5**k for k in range(20)]).kind
    'exploding'
    >>> judge("l0", [0.99**k for k in range(20)]).kind
    'healthy'
    """
    longest = len(norms) - 1
    if longest < SHORTEST:
        return Verdict(layer, "unknown", None, math.nan, f"only {longest} steps back could be looked at")
    if not all(math.isfinite(g) for g in norms):
        first = next(k for k, g in enumerate(norms) if not math.isfinite(g))
        said = f"the error is no finite number from {first} steps back"
        return Verdict(layer, "exploding", first, math.inf, said, _remedies("exploding", cell))
    if norms[0] == 0:
        return Verdict(layer, "unknown", None, math.nan, "the loss sends no error to this layer")
    shares = [g / norms[0] for g in norms]
    rate = shares[-1] ** (1 / longest) if shares[-1] > 0 else 0.0
    by = f"by a factor of {rate:.3g} a step"
    largest = max(range(len(shares)), key=shares.__getitem__)
    if shares[largest] > EXPLODED:
        lag = next(k for k, share in enumerate(shares) if share > EXPLODED)
        said = f"the error {lag} steps back is {shares[lag]:.3g} times that at the loss ({by} over {longest} steps)"
        return Verdict(layer, "exploding", lag, rate, said, _remedies("exploding", cell))
    if shares[-1] < VANISHED:
        # from where it stays small: an error that comes back later has not vanished
        lag = next(k for k in range(len(shares)) if all(share < VANISHED for share in shares[k:]))
        said = f"the error {lag} steps back is {shares[lag]:.3g} of that at the loss ({by} over {longest} steps)"
        return Verdict(layer, "vanishing", lag, rate, said, _remedies("vanishing", cell))
    said = f"the error {longest} steps back is {shares[-1]:.3g} of that at the loss ({by})"
    return Verdict(layer, "healthy", None, rate, said)


def _remedies(kind: str, cell: str) -> tuple[str, ...]:
    """What to try against an illness, for a cell."""
    gated, lstm = cell in ("lstm", "gru"), cell in ("", "lstm")
    return tuple(
        text
        for text in REMEDIES[kind]
        if not (gated and text.startswith("a gated cell")) and (lstm or not text.startswith("a forget-gate"))
    )
