"""Prefix beam search over the steps of connectionist temporal classification, with optional further scorers.

Letters: T steps, K classes, N prefixes in the beam. All scores are nats.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unrolled.decoding.contract import check_range
from unrolled.decoding.ctc import BLANK, NEVER, LogProbs, check_log_probs

Scores = NDArray[np.float64]


class UnitScorer(Protocol):
    """Scores a text unit by unit, in addition to the sound: a language model, or a list of words.

    A state is a value: it may be used any number of times, in any order.
    """

    def start(self) -> Any:
        """Return the state before the first unit."""
        ...

    def scores(self, state: Any, units: NDArray[np.int64]) -> Scores:
        """Return what each unit adds to a prefix's score, (U,) nats; −∞ rules it out."""
        ...

    def advance(self, state: Any, unit: int) -> Any:
        """Return the state after one more unit."""
        ...

    def end(self, state: Any) -> float:
        """Return what the end of the text adds here, nats; −∞ rules it out."""
        ...


@dataclass(frozen=True)
class CTCHypothesis:
    """A text that the search found.

    Attributes:
        units: its classes, without blanks.
        log_prob: ln of the probability of its paths that the search kept, nats: all of them if the beam was wide
            enough, otherwise `sequence_log_prob` is a little higher.
        score: log_prob plus what the scorer added; hypotheses are ranked by it.
    """

    units: tuple[int, ...]
    log_prob: float
    score: float


@dataclass
class _Node:
    """A prefix: a unit after another prefix."""

    unit: int
    parent: _Node | None
    added: float
    children: dict[int, _Node] = field(default_factory=dict)
    state: Any = None
    has_state: bool = False

    def spelled(self) -> tuple[int, ...]:
        """Return the units from the first."""
        units, node = [], self
        while node.parent is not None:
            units.append(node.unit)
            node = node.parent
        return tuple(reversed(units))


class PrefixBeam:
    """A search in progress, which is fed steps and returns its results so far.

    At each step a prefix stays the same (a blank, or its last unit again) or grows by a unit; the probabilities of
    paths to the same prefix are summed, and the `beam_size` best prefixes are kept. The search is exact if the beam
    holds all prefixes.

    Args:
        beam_size: N.
        scorer: a further scorer of the text.
        least: units less probable than this, in nats, are not considered in a step; the scorer sees only the others.
        blank: the class that stands for no unit.

    Raises:
        ArgumentError: an argument is out of range.

    Source: Graves & Jaitly 2014; Hannun et al. 2014, arXiv 1408.2873, algorithm 1.
    """

    def __init__(
        self, beam_size: int, scorer: UnitScorer | None = None, *, least: float = NEVER, blank: int = BLANK
    ) -> None:
        check_range("beam_size", beam_size, "an integer ≥ 1", beam_size >= 1)
        check_range("least", least, "nats below 0", least < 0)
        self._size, self._scorer, self._least, self._blank = beam_size, scorer, least, blank
        root = _Node(-1, None, 0.0)
        if scorer is not None:
            root.state, root.has_state = scorer.start(), True
        self._nodes = [root]
        #: for each prefix, the paths that end in a blank and those that end in its last unit
        self._in_blank, self._in_unit = np.zeros(1), np.full(1, NEVER)

    def push(self, log_probs: LogProbs) -> PrefixBeam:
        """Read further steps, (T, K)."""
        check_log_probs(log_probs, self._blank)
        for row in np.asarray(log_probs, np.float64):
            self._step(row)
        return self

    def results(self, n_best: int = 1) -> list[CTCHypothesis]:
        """Return the best texts if the steps end here, best first; none if the scorer rules all out."""
        check_range("n_best", n_best, "an integer ≥ 1", n_best >= 1)
        hypotheses = []
        for node, log_prob in zip(self._nodes, np.logaddexp(self._in_blank, self._in_unit).tolist(), strict=True):
            end = 0.0 if self._scorer is None else self._scorer.end(self._state(node))
            if log_prob + node.added + end > NEVER:
                hypotheses.append(CTCHypothesis(node.spelled(), log_prob, log_prob + node.added + end))
        return sorted(hypotheses, key=lambda h: -h.score)[:n_best]

    def stable(self) -> tuple[int, ...]:
        """Return the common beginning of all prefixes in the beam, which no further step can change."""
        spelled = [node.spelled() for node in self._nodes]
        shortest, longest = min(spelled), max(spelled)
        count = next((n for n, (a, b) in enumerate(zip(shortest, longest, strict=False)) if a != b), len(shortest))
        return shortest[: min(count, len(longest))]

    def _step(self, row: Scores) -> None:
        nodes, blank = self._nodes, self._blank
        whole = np.logaddexp(self._in_blank, self._in_unit)
        last = np.array([node.unit for node in nodes])
        added = np.array([node.added for node in nodes])
        has_unit = last >= 0
        stays_blank = whole + row[blank]
        stays_unit = np.where(has_unit, self._in_unit + row[last], NEVER)
        grows = whole[:, None] + np.where(row >= self._least, row, NEVER)
        # a repeated unit is a new one only after a blank
        at = np.flatnonzero(has_unit)
        grows[at, last[at]] = self._in_blank[at] + row[last[at]]
        grows[:, blank] = NEVER
        place = {id(node): n for n, node in enumerate(nodes)}
        for n, node in enumerate(nodes):
            parent = place.get(id(node.parent))
            if parent is not None:
                # growing leads to a prefix that is already in the beam
                stays_unit[n] = np.logaddexp(stays_unit[n], grows[parent, node.unit])
                grows[parent, node.unit] = NEVER
        stays = np.logaddexp(stays_blank, stays_unit) + added
        extra = self._extra(grows, stays)
        ranked = np.concatenate([stays, (grows + added[:, None] + extra).ravel()])
        best = (
            np.argpartition(-ranked, self._size - 1)[: self._size]
            if len(ranked) > self._size
            else np.arange(len(ranked))
        )
        best = best[np.lexsort((best, -ranked[best]))]
        best = best[ranked[best] > NEVER]
        if not len(best):
            # the scorer rules everything out, or the row is −∞: no text is possible any more
            best = np.array([0])
        kept, in_blank, in_unit = [], np.full(len(best), NEVER), np.full(len(best), NEVER)
        for n, cell in enumerate(best.tolist()):
            if cell < len(nodes):
                kept.append(nodes[cell])
                in_blank[n], in_unit[n] = stays_blank[cell], stays_unit[cell]
                continue
            parent, unit = divmod(cell - len(nodes), len(row))
            kept.append(self._child(nodes[parent], unit, float(extra[parent, unit])))
            in_unit[n] = grows[parent, unit]
        self._nodes, self._in_blank, self._in_unit = kept, in_blank, in_unit

    def _extra(self, grows: Scores, stays: Scores) -> Scores:
        """Return what the scorer adds to each prefix grown by each unit, (N, K)."""
        if self._scorer is None:
            return np.zeros(grows.shape)
        extra = np.full(grows.shape, NEVER)
        for n, node in enumerate(self._nodes):
            units = np.flatnonzero(grows[n] > NEVER)
            if len(units):
                extra[n, units] = self._scorer.scores(self._state(node), units)
        return extra

    def _child(self, parent: _Node, unit: int, extra: float) -> _Node:
        child = parent.children.get(unit)
        if child is None:
            child = parent.children[unit] = _Node(unit, parent, parent.added + extra)
        return child

    def _state(self, node: _Node) -> Any:
        if not node.has_state and self._scorer is not None and node.parent is not None:
            node.state = self._scorer.advance(self._state(node.parent), node.unit)
            node.has_state = True
        return node.state


def prefix_beam_search(
    log_probs: LogProbs,
    *,
    beam_size: int,
    n_best: int = 1,
    scorer: UnitScorer | None = None,
    least: float = NEVER,
    blank: int = BLANK,
) -> list[CTCHypothesis]:
    """Return the best texts for (T, K) log-probabilities, best first; the arguments are those of `PrefixBeam`."""
    return PrefixBeam(beam_size, scorer, least=least, blank=blank).push(log_probs).results(n_best)
