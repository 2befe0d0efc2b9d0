"""Scorers of a text in addition to the sound: a language model, and a list of words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Generic

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.decoding.contract import S, Stepper
from unrolled.decoding.ctc_beam import Scores, UnitScorer
from unrolled.errors import ArgumentError

NEVER = -np.inf


class _Read(Generic[S]):
    """The state of a language model, its log-probabilities of the next token (V,), and the costs of units so far."""

    def __init__(self, inner: S, log_probs: NDArray[np.float64], is_first: bool) -> None:
        self.inner, self.log_probs, self.is_first = inner, log_probs, is_first
        self.spelled: dict[int, tuple[float, _Read[S]]] = {}


class LanguageModelScorer(Generic[S]):
    """Scores units by weight · ln p(unit | the text before it) + bonus, with a language model over smaller tokens.

    Args:
        stepper: the language model.
        first: the tokens that it reads before a text.
        spellings: for each class the tokens of its text; empty for a class without text.
        later: the same for units after the first, e.g. with a space before a word; None is `spellings`.
        end: the tokens that it reads after a text; empty ignores the end.
        weight: the weight of the language model relative to the sound, α.
        bonus: nats per unit, β, to offset the preference for short texts that α brings.

    Raises:
        ArgumentError: there is nothing to read before the first unit.

    Source: shallow fusion, Hannun et al. 2014, arXiv 1408.2873, equation 4.
    """

    def __init__(
        self,
        stepper: Stepper[S],
        *,
        first: Sequence[int],
        spellings: Sequence[Sequence[int]],
        later: Sequence[Sequence[int]] | None = None,
        end: Sequence[int] = (),
        weight: float = 0.5,
        bonus: float = 0.0,
    ) -> None:
        if not first:
            raise ArgumentError("first: expected at least one token, after which the model predicts the first unit")
        self._stepper, self._first, self._end = stepper, list(first), list(end)
        self._spellings = ([list(s) for s in spellings], [list(s) for s in (spellings if later is None else later)])
        self._weight, self._bonus = weight, bonus

    def start(self) -> _Read[S]:
        """Return the state after the tokens before a text."""
        inner = self._stepper.start(1)
        for token in self._first:
            logits, inner = self._stepper.step(torch.tensor([token]), inner)
        return _Read(inner, _log_probs(logits)[0], True)

    def scores(self, state: _Read[S], units: NDArray[np.int64]) -> Scores:
        """Return what each unit adds, (U,) nats."""
        spellings = self._spellings[0 if state.is_first else 1]
        wanted = [spellings[int(unit)] for unit in units]
        if all(len(tokens) == 1 for tokens in wanted):
            costs = state.log_probs[[tokens[0] for tokens in wanted]]
        else:
            unknown = [int(unit) for unit in units if int(unit) not in state.spelled]
            if unknown:
                self._spell(state, unknown, spellings)
            costs = np.array([state.spelled[int(unit)][0] for unit in units])
        return self._weight * costs + self._bonus

    def advance(self, state: _Read[S], unit: int) -> _Read[S]:
        """Return the state after one more unit."""
        if unit not in state.spelled:
            self._spell(state, [unit], self._spellings[0 if state.is_first else 1])
        return state.spelled[unit][1]

    def end(self, state: _Read[S]) -> float:
        """Return what the end adds, nats."""
        if not self._end:
            return 0.0
        return self._weight * self._read([self._end], state)[0][0]

    def _spell(self, state: _Read[S], units: list[int], spellings: list[list[int]]) -> None:
        costs = self._read([spellings[unit] for unit in units], state)
        state.spelled.update(zip(units, costs, strict=True))

    def _read(self, texts: list[list[int]], state: _Read[S]) -> list[tuple[float, _Read[S]]]:
        """Return ln p of each text after a state, and the state after it, reading all texts as one batch."""
        results: list[tuple[float, _Read[S]]] = [(0.0, state)] * len(texts)
        rows = [n for n, tokens in enumerate(texts) if tokens]
        if not rows:
            return results
        inner = self._stepper.select(state.inner, torch.zeros(len(rows), dtype=torch.int64))
        costs = [float(state.log_probs[tokens[0]]) if tokens else 0.0 for tokens in texts]
        place = 0
        while rows:
            logits, inner = self._stepper.step(torch.tensor([texts[n][place] for n in rows]), inner)
            log_probs = _log_probs(logits)
            place += 1
            going = []
            for row, n in enumerate(rows):
                if place < len(texts[n]):
                    costs[n] += float(log_probs[row, texts[n][place]])
                    going.append(row)
                else:
                    own = self._stepper.select(inner, torch.tensor([row]))
                    results[n] = (costs[n], _Read(own, log_probs[row], False))
            if len(going) < len(rows) and going:
                inner = self._stepper.select(inner, torch.tensor(going))
            rows = [rows[row] for row in going]
        return results


def _log_probs(logits: Tensor) -> NDArray[np.float64]:
    return np.asarray(logits.double().log_softmax(-1).cpu().numpy())


class LexiconScorer:
    """Rules out every text with a word that is not in a list; adds nothing otherwise.

    Args:
        words: the allowed words.
        spellings: for each class its text, "" for the blank.
        between: the text of the class that ends a word; "" where every unit is a word.

    Raises:
        ArgumentError: there is no word.
    """

    def __init__(self, words: Iterable[str], spellings: Sequence[str], between: str = " ") -> None:
        self._spellings, self._between = list(spellings), between
        #: every beginning of a word, and whether it is a whole word
        self._beginnings: dict[str, bool] = {"": False}
        for word in words:
            for count in range(1, len(word)):
                self._beginnings.setdefault(word[:count], False)
            if word:
                self._beginnings[word] = True
        if not any(self._beginnings.values()):
            raise ArgumentError("words: the list is empty")

    def start(self) -> str:
        """Return the empty beginning of a word."""
        return ""

    def scores(self, state: str, units: NDArray[np.int64]) -> Scores:
        """Return 0 for units that continue or end a word, −∞ for the rest."""
        return np.array([0.0 if self._follows(state, self._spellings[int(unit)]) else NEVER for unit in units])

    def advance(self, state: str, unit: int) -> str:
        """Return the letters of the word in progress."""
        text = self._spellings[unit]
        return "" if text == self._between or not self._between else state + text

    def end(self, state: str) -> float:
        """Return 0 after a whole word or an empty text, −∞ inside a word."""
        return 0.0 if not state or self._beginnings.get(state, False) else NEVER

    def _follows(self, state: str, text: str) -> bool:
        if not self._between:
            return self._beginnings.get(text, False)
        if text == self._between:
            return self._beginnings.get(state, False)
        return state + text in self._beginnings


class JointScorer:
    """Adds up the scores of several scorers.

    Args:
        scorers: at least one.
    """

    def __init__(self, *scorers: UnitScorer) -> None:
        self._scorers = scorers

    def start(self) -> tuple[Any, ...]:
        """Return the state of each scorer."""
        return tuple(scorer.start() for scorer in self._scorers)

    def scores(self, state: tuple[Any, ...], units: NDArray[np.int64]) -> Scores:
        """Return the sum of the scores."""
        return np.sum([s.scores(own, units) for s, own in zip(self._scorers, state, strict=True)], axis=0)

    def advance(self, state: tuple[Any, ...], unit: int) -> tuple[Any, ...]:
        """Return the new state of each scorer."""
        return tuple(s.advance(own, unit) for s, own in zip(self._scorers, state, strict=True))

    def end(self, state: tuple[Any, ...]) -> float:
        """Return the sum of the scores."""
        return sum(s.end(own) for s, own in zip(self._scorers, state, strict=True))
