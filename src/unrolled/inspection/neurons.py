"""Single units over text, ranked by how well each tells one kind of step from the others.

Source: Karpathy, Johnson & Li 2015, arXiv 1506.02078 (cells that track quotes, brackets and line length).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unrolled.errors import ArgumentError
from unrolled.inspection.recorded import Floats, array, part_name, record
from unrolled.tasks.core.probe import Probe
from unrolled.types import Json

_PAIRS = {"brackets": "()", "square brackets": "[]", "braces": "{}"}


@dataclass(frozen=True)
class UnitHypothesis:
    """A property of the text that a unit may track.

    Attributes:
        name: in words, e.g. "inside quotes".
        values: (T,), its value at each step: 0 and 1, or numbers.
    """

    name: str
    values: Floats


@dataclass(frozen=True)
class RankedUnit:
    """How well a unit tracks a property.

    Attributes:
        layer, quantity, unit: the unit, e.g. "hidden.l0", "c", 17.
        hypothesis: the name of the property.
        correlation: Pearson's r between its value and the property, with its sign.
        auc: for properties of 0 and 1, the probability that the unit is higher at a step with 1 than at a step with 0
            (below 0.5 it is lower there); None for others.
        values: (T,), the unit over the text.
    """

    layer: str
    quantity: str
    unit: int
    hypothesis: str
    correlation: float
    auc: float | None
    values: Floats

    def as_json(self) -> Json:
        """Return the unit as a JSON object."""
        return {**vars(self), "values": self.values.tolist()}


def hypotheses(steps: Sequence[str], patterns: Sequence[str] = (), separator: str = "") -> list[UnitHypothesis]:
    """Return the properties that units of text models often track, and one for each regular expression.

    Args:
        steps: the tokens, which together make up the text. A step has a property if any of its characters has it; its
            position is where it ends.
        patterns: regular expressions; a step counts if a match covers its end.
        separator: the text between the tokens, such as a space between words.

    Returns:
        The properties that vary over this text.

    Raises:
        ArgumentError: a pattern is not a regular expression, or the steps hold no text.
    """
    text = separator.join(steps)
    if not text:
        raise ArgumentError(f"steps: expected text, found {len(steps)} steps without a character")
    ends = np.cumsum([len(step) + (len(separator) if n else 0) for n, step in enumerate(steps)])
    begins = ends - [len(step) for step in steps]

    def at_ends(values: Floats) -> Floats:
        # no property holds before the first character
        return np.concatenate([[0.0], values])[ends]

    def anywhere(test: Callable[[str], bool]) -> Floats:
        return np.array([float(any(map(test, text[b:e]))) for b, e in zip(begins, ends, strict=True)])

    candidates: dict[str, Floats] = {
        "inside quotes": at_ends(_toggled(text, '"“”')),
        "position in the line": at_ends(_since(text, "\n")),
        "position in the word": at_ends(_since(text, " \n\t")),
        "capital letter": anywhere(str.isupper),
        "digit": anywhere(str.isdigit),
        "space or line end": anywhere(str.isspace),
        "vowel": anywhere(lambda c: c.lower() in "aeiouyäöüéèà"),
    }
    for name, pair in _PAIRS.items():
        candidates[f"inside {name}"] = at_ends(_depth(text, *pair))
    for pattern in patterns:
        candidates[f"/{pattern}/"] = at_ends(_matched(text, pattern))
    return [UnitHypothesis(name, values) for name, values in candidates.items() if np.ptp(values) > 0]


def rank_units(
    probe: Probe, wanted: Sequence[UnitHypothesis], quantities: Sequence[str] = ("c", "h"), most: int = 5
) -> list[RankedUnit]:
    """Return the units of all layers that track each property best.

    Args:
        probe: a text.
        wanted: the properties, each with a value for each step of the input.
        quantities: the quantities of the traces to search; those that a cell lacks are skipped.
        most: the number of units for each property, the largest |correlation| first.

    Raises:
        ArgumentError: a property has another length, or no layer runs over the steps of the input.
    """
    steps = len(probe.steps)
    table: list[tuple[str, str, Floats]] = []
    recorded = record(probe)
    for call, unfolding in zip(recorded.calls, recorded.unfoldings, strict=True):
        for name, traces in unfolding.traces().items():
            for quantity in quantities:
                if quantity in traces and recorded.over(call) == "input":
                    table.append((part_name(call, name), quantity, array(traces[quantity][:, 0])))
    if not table:
        raise ArgumentError(f"network: no layer has a state for each of the {steps} steps of the input")
    ranked: list[RankedUnit] = []
    for hypothesis in wanted:
        if len(hypothesis.values) != steps:
            raise ArgumentError(f"{hypothesis.name}: expected {steps} values, found {len(hypothesis.values)}")
        scored = []
        for layer, quantity, values in table:
            for unit, r in enumerate(correlations(values, hypothesis.values)):
                scored.append((abs(r), layer, quantity, unit, float(r), values[:, unit]))
        scored.sort(key=lambda row: (-row[0], *row[1:4]))
        for _, layer, quantity, unit, r, series in scored[:most]:
            auc = area_under_curve(series, hypothesis.values)
            ranked.append(RankedUnit(layer, quantity, unit, hypothesis.name, r, auc, series))
    return ranked


def correlations(values: Floats, target: Floats) -> Floats:
    """Return Pearson's r of each column of values (T, H) with the target (T,); 0 where either is constant."""
    a, b = values - values.mean(0), target - target.mean()
    scale = np.sqrt((a**2).sum(0) * (b**2).sum())
    # a column that is constant up to rounding would correlate with anything
    scale[np.sqrt((a**2).mean(0)) < 1e-12] = 0
    return np.divide(b @ a, scale, out=np.zeros(values.shape[1]), where=scale > 0)


def area_under_curve(values: Floats, target: Floats) -> float | None:
    """Return P(value at a 1 > value at a 0), ties counting half; None unless the target has both 0 and 1, and no other.

    >>> area_under_curve(np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.0, 1.0]))
    1.0
    """
    if not np.isin(target, (0.0, 1.0)).all() or target.min() == target.max():
        return None
    ones, zeros = values[target == 1], np.sort(values[target == 0])
    below = np.searchsorted(zeros, ones, "left") + np.searchsorted(zeros, ones, "right")
    return float(below.sum() / (2 * len(ones) * len(zeros)))


def _toggled(text: str, marks: str) -> Floats:
    inside, values = False, []
    for c in text:
        inside = inside != (c in marks)
        values.append(float(inside))
    return np.array(values)


def _depth(text: str, opening: str, closing: str) -> Floats:
    depth, values = 0, []
    for c in text:
        depth = max(0, depth + (c == opening) - (c == closing))
        values.append(float(depth > 0))
    return np.array(values)


def _since(text: str, marks: str) -> Floats:
    count, values = 0, []
    for c in text:
        count = 0 if c in marks else count + 1
        values.append(float(count))
    return np.array(values)


def _matched(text: str, pattern: str) -> Floats:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ArgumentError(f"pattern {pattern!r}: not a regular expression: {error}") from error
    values: NDArray[np.float64] = np.zeros(len(text))
    for match in compiled.finditer(text):
        values[match.start() : match.end()] = 1
    return values
