"""Suggestions, and how they are made from the ends of words and phrases that a search recorded."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unrolled.decoding.phrases import PhraseRule
from unrolled.types import Json

#: candidates to spell out for each suggestion to keep, since some turn out to be the same text, or empty
_SPARE = 4


@dataclass(frozen=True)
class Suggestion:
    """A continuation of the typed text.

    Args:
        text: the text to insert.
        log_prob: log-probability that the text continues with exactly these words, nats.
        score: log_prob divided by the number of tokens that it covers, including the token that ends the last word:
            nats per token.
        tokens: the most probable tokens that spell it, starting from the given state (so with the prefix, if any).
        words: the number of words in ``text``; the completed rest of a word is one.
    """

    text: str
    log_prob: float
    score: float
    tokens: tuple[int, ...]
    words: int

    def as_json(self) -> Json:
        """Return the suggestion as a JSON object, with the log-probability in nats and the score in nats per token."""
        return {"text": self.text, "log_prob": self.log_prob, "score": self.score, "words": self.words}


def choose(suggestions: Iterable[Suggestion], threshold: float) -> Suggestion | None:
    """Return the suggestion with the most words among those whose score reaches the threshold (nats per token), or
    None.
    """
    good = [suggestion for suggestion in suggestions if suggestion.score >= threshold]
    return max(good, key=lambda suggestion: (suggestion.words, suggestion.score), default=None)


class _Step(NamedTuple):
    """The record of one step of the search; ``cells`` (parent · E + end) only for end tokens."""

    rows: NDArray[np.int64]  # (B,), rows of the whole batch
    tokens: NDArray[np.int64]  # (B, K, t)
    modes: NDArray[np.int64]  # (B, K)
    log_probs: NDArray[np.float64]  # (B, K), or (B, N) for N cells
    cells: NDArray[np.int64] | None  # (B, N)


class _Candidate(NamedTuple):
    """One way to spell a suggestion; sorts by score, best first."""

    cost: float  # −score, nats per token
    log_prob: float  # nats
    words: int  # begun by the hypothesis
    number: int  # of the step that recorded it
    tokens: NDArray[np.int64]  # (t,)
    end: int  # index into the end tokens, −1 for none

    def order(self) -> tuple[float, float, int, int, int]:
        """Return the sort key."""
        return self.cost, self.log_prob, self.words, self.number, self.end


class Candidates:
    """Every end of a word or phrase in a search, turned into text only when the search is done.

    Args:
        rule: where words and phrases end.
        prefixes: for each row the bytes that are not shown.
        n_best: the most suggestions of each number of words.
    """

    def __init__(self, rule: PhraseRule, prefixes: Sequence[bytes], n_best: int) -> None:
        self._rule, self._prefixes, self._n_best = rule, prefixes, n_best
        self._steps: list[_Step] = []
        self._rows = np.arange(len(prefixes))

    def keep(self, live: NDArray[np.int64]) -> None:
        """Continue with some of the rows."""
        self._rows = self._rows[live]

    def note_words(self, tokens: NDArray[np.int64], modes: NDArray[np.int64], log_probs: NDArray[np.float64]) -> None:
        """Record hypotheses (B, K, t), their modes (B, K), and the log-probability (B, K) that the last word ends."""
        self._steps.append(_Step(self._rows, tokens, modes, log_probs, None))

    def note_ends(
        self,
        tokens: NDArray[np.int64],
        modes: NDArray[np.int64],
        log_probs: NDArray[np.float64],
        cells: NDArray[np.int64],
    ) -> None:
        """Record hypotheses, and the best log-probabilities (B, N) of ending them, each by the end token of a cell."""
        self._steps.append(_Step(self._rows, tokens, modes, log_probs, cells))

    def suggestions(self, start: Tensor, min_log_prob: float) -> list[list[Suggestion]]:
        """Return suggestions for each row, best score first; log_prob is conditional on the start's, (B, 1)."""
        noted = self._candidates(start.flatten().numpy(), min_log_prob)
        return [self._row(candidates, prefix) for candidates, prefix in zip(noted, self._prefixes, strict=True)]

    def _row(self, candidates: list[_Candidate], prefix: bytes) -> list[Suggestion]:
        ways: dict[str, list[_Candidate]] = {}
        spelled: Counter[int] = Counter()
        candidates.sort(key=_Candidate.order)
        for candidate in candidates:
            # Spelling takes most of the time here.
            if spelled[candidate.words] < _SPARE * self._n_best:
                spelled[candidate.words] += 1
                text = self._shown(candidate, prefix)
                if text is not None:
                    ways.setdefault(text, []).append(candidate)
        suggestions = [self._suggestion(text, candidates) for text, candidates in ways.items()]
        suggestions.sort(key=lambda suggestion: (-suggestion.score, suggestion.text))
        kept: Counter[int] = Counter()
        best = []
        for suggestion in suggestions:
            kept[suggestion.words] += 1
            if kept[suggestion.words] <= self._n_best:
                best.append(suggestion)
        return best

    def _candidates(self, offsets: NDArray[np.float64], min_log_prob: float) -> list[list[_Candidate]]:
        """Return the recorded candidates of each row that are probable enough."""
        candidates: list[list[_Candidate]] = [[] for _ in offsets]
        floors = np.maximum(min_log_prob + offsets, -1e300)  # above −inf, which marks impossible cells
        ends = len(self._rule.end_tokens)
        for number, step in enumerate(self._steps):
            places, columns = (step.log_probs >= floors[step.rows, None]).nonzero()
            if not len(places):
                continue
            rows = step.rows[places]
            log_probs = step.log_probs[places, columns] - offsets[rows]
            if step.cells is None:
                parents, shown = columns, [-1] * len(columns)
            else:
                cells = step.cells[places, columns]
                parents, shown = cells // ends, (cells % ends).tolist()
            words = (step.modes[places, parents] // 2).tolist()
            tokens, length = step.tokens[places, parents], step.tokens.shape[2] + 1
            values = log_probs.tolist()
            for n, row in enumerate(rows.tolist()):
                value = values[n]
                candidates[row].append(_Candidate(-value / length, value, words[n], number, tokens[n], shown[n]))
        return candidates

    def _shown(self, candidate: _Candidate, prefix: bytes) -> str | None:
        """Return the text to show, or None where it is empty or recorded elsewhere."""
        pieces = self._rule.pieces
        spelled = b"".join([pieces[token] for token in candidate.tokens.tolist()])
        kept = b"" if candidate.end < 0 else self._rule.end_kept[candidate.end]
        try:
            text = (spelled + kept)[len(prefix) :].decode().rstrip()
        except UnicodeDecodeError:
            return None  # ends inside a character
        # A line break after a whole word already counts among the tokens that end the word.
        repeated = candidate.end >= 0 and not kept.strip() and self._rule.ends_in_word(text)
        return None if repeated or not self._rule.count_words(text) else text

    def _suggestion(self, text: str, ways: list[_Candidate]) -> Suggestion:
        likeliest = max(ways, key=lambda way: way.log_prob)
        # Different tokens that spell the same text are mutually exclusive events: their probabilities add up.
        more = sum(math.exp(way.log_prob - likeliest.log_prob) for way in ways)
        log_prob = likeliest.log_prob + (math.log(more) if len(ways) > 1 else 0.0)
        shows_end = likeliest.end >= 0 and self._rule.end_kept[likeliest.end]
        ending = [int(self._rule.end_tokens[likeliest.end])] if shows_end else []
        score = log_prob / (len(likeliest.tokens) + 1)
        tokens = (*likeliest.tokens.tolist(), *ending)
        return Suggestion(text, log_prob, score, tokens, self._rule.count_words(text))
