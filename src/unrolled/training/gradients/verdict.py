"""Whether gradients vanish or explode over time, judged by how the error shrinks or grows from lag to lag.

g_k = ‖∂L_t/∂s_{t−k}‖ is the error that the loss at t sends to the state k steps earlier (Pascanu, Mikolov & Bengio
2013, arXiv 1211.5063, eq. 5), s being all states of a cell: of an LSTM h and c. The verdict depends on g_k / g_0, in
which the size of the loss cancels, and on how far back the error is needed: what fades later than that loses nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from unrolled.cells import CELLS, ElementwiseCell, IndRNNCell, RNNCell
from unrolled.layers import Recurrent
from unrolled.types import Json

#: below this share of g_0 the error no longer trains the weights on inputs so far back
VANISHED = 1e-3
#: above this multiple of g_0 the far past dominates a step's gradient
EXPLODED = 1e2
#: fewer lags than this can't be judged
SHORTEST = 4
#: steps back that an error must reach where every step has a loss of its own: what lies further back has been learned
#: from by the losses in between, and the state carries it
NEEDED = 10


class Advice(NamedTuple):
    """One thing to try.

    Attributes:
        text: in words.
        option: the option of a training run that does it, if any; advice whose option a run lacks is left out.
        spelled: how the option is given to the command.
    """

    text: str
    option: str = ""
    spelled: str = ""


_GATED = Advice("a gated cell instead of a plain RNN", "cell", "--cell lstm or gru")
_FORGET = Advice("a forget-gate bias of 1 or more")
_LAYER_NORM = Advice("layer normalisation", "layer_norm", "--layer-norm")
CLIPPING = Advice("clipping the gradient by its norm", "clip_norm", "--clip-norm 1 or less")

_ORTHOGONAL = Advice("orthogonal or identity initialisation of weight_hh")
_ORTHOGONAL_OR_DECAY = Advice("orthogonal initialisation of weight_hh, or weight decay")
#: advice for cells whose weight_hh is a matrix
_OF_A_MATRIX = {_ORTHOGONAL, _ORTHOGONAL_OR_DECAY}

REMEDIES = {
    "vanishing": (
        _GATED,
        _FORGET,
        _ORTHOGONAL,
        _LAYER_NORM,
        Advice("a shorter way from input to target: attention, or inputs fed in reverse"),
    ),
    "exploding": (
        CLIPPING,
        Advice("a lower learning rate", "lr", "--lr"),
        _ORTHOGONAL_OR_DECAY,
        Advice("a shorter product of Jacobians, by a shorter window", "window", "--window"),
        _GATED,
    ),
    "healthy": (),
}


@dataclass(frozen=True)
class Verdict:
    """The verdict on one layer.

    Attributes:
        layer: its name, e.g. "hidden.l0".
        kind: healthy, vanishing or exploding; unknown where there are too few lags, or no error arrives.
        lag: the number of steps back from which it holds; of a healthy layer, from which the error has faded, or None.
        rate: the factor by which the error changes per step, the geometric mean over all lags.
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

    def as_json(self) -> Json:
        """Return the verdict as a JSON object."""
        return {**vars(self), "remedies": list(self.remedies)}


def advice_in_place(layer: Recurrent) -> frozenset[Advice]:
    """Return the advice that a layer follows already, or has no option for."""
    in_place = set()
    if layer.initialisation in ("orthogonal", "identity"):
        in_place |= _OF_A_MATRIX
    if getattr(layer.cell, "layer_norm", True):
        in_place.add(_LAYER_NORM)
    if layer.chrono is not None or (layer.forget_bias or 0.0) >= 1:
        in_place.add(_FORGET)
    return frozenset(in_place)


def judge(
    layer: str,
    norms: Sequence[float],
    cell: str = "",
    options: Collection[str] | None = None,
    *,
    needed: int | None = None,
    in_place: Collection[Advice] = (),
) -> Verdict:
    """Return the verdict on one layer.

    Args:
        layer: its name.
        norms: g_0, g_1, …, in any unit.
        cell: its cell's name, so that a remedy it already has is not suggested.
        options: names of the options that such a network is trained with: remedies that need another one are left out,
            and the others say how they are spelled; None where there is no command.
        needed: the number of steps back that the error has to reach; None for all.
        in_place: advice that the layer or its training follows already.

    >>> judge("l0", [0.5**k for k in range(20)]).kind, judge("l0", [0.5**k for k in range(20)]).lag
    ('vanishing', 10)
    >>> judge("l0", [1.5**k for k in range(20)]).kind
    'exploding'
    >>> judge("l0", [0.99**k for k in range(20)]).kind
    'healthy'
    """
    longest = len(norms) - 1
    advise = partial(_remedies, cell=cell, options=options, in_place=in_place)
    if longest < SHORTEST:
        steps = "step" if longest == 1 else "steps"
        return Verdict(layer, "unknown", None, math.nan, f"only {longest} {steps} back could be looked at")
    if not all(math.isfinite(g) for g in norms):
        first = next(k for k, g in enumerate(norms) if not math.isfinite(g))
        evidence = f"the error is not finite from {first} steps back"
        return Verdict(layer, "exploding", first, math.inf, evidence, advise("exploding"))
    if norms[0] == 0:
        return Verdict(layer, "unknown", None, math.nan, "the loss sends no error to this layer")
    shares = [g / norms[0] for g in norms]
    rate = shares[-1] ** (1 / longest) if shares[-1] > 0 else 0.0
    by = f"by a factor of {rate:.3g} a step"
    largest = max(range(len(shares)), key=shares.__getitem__)
    if shares[largest] > EXPLODED:
        lag = next(k for k, share in enumerate(shares) if share > EXPLODED)
        evidence = f"the error {lag} steps back is {shares[lag]:.3g} times that at the loss ({by} over {longest} steps)"
        return Verdict(layer, "exploding", lag, rate, evidence, advise("exploding"))
    if shares[-1] < VANISHED:
        # the lag from which it stays small: an error that grows again has not vanished
        lag = next(k for k in range(len(shares)) if all(share < VANISHED for share in shares[k:]))
        evidence = f"the error {lag} steps back is {shares[lag]:.3g} of that at the loss ({by} over {longest} steps)"
        if needed is not None and lag > needed:
            evidence += "; every step has a loss of its own, so it need not come from further"
            return Verdict(layer, "healthy", lag, rate, evidence)
        return Verdict(layer, "vanishing", lag, rate, evidence, advise("vanishing"))
    evidence = f"the error {longest} steps back is {shares[-1]:.3g} of that at the loss ({by})"
    return Verdict(layer, "healthy", None, rate, evidence)


def _remedies(kind: str, cell: str, options: Collection[str] | None, in_place: Collection[Advice]) -> tuple[str, ...]:
    """Return the remedies for vanishing or exploding gradients, for a cell and the options of a command."""
    known = CELLS.get(cell)
    irrelevant = {*in_place} if known in (None, RNNCell, IndRNNCell) else {*in_place, _GATED}
    if cell not in ("", "lstm"):
        irrelevant.add(_FORGET)
    if known is not None and issubclass(known, ElementwiseCell):
        irrelevant |= _OF_A_MATRIX
    remedies = []
    for advice in REMEDIES[kind]:
        lacking = advice.option and options is not None and advice.option not in options
        if advice not in irrelevant and not lacking:
            remedies.append(
                f"{advice.text} ({advice.spelled})" if advice.option and options is not None else advice.text
            )
    return tuple(remedies)
