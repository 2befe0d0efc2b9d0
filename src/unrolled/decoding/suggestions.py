"""Suggestions, and how they are made of what a search passed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from unrolled.decoding.phrases import PhraseRule

_SPARE = 4
"""How many candidates are spelled out for each suggestion kept: some turn out to be the same text, or none."""


@dataclass(frozen=True)
class Suggestion:
    """A continuation of the text typed.

    Args:
        text: what to insert after the text typed.
        log_prob: log-probability that the text goes on with exactly these words, nats.
        score: log_prob divided by the number of tokens that it covers, the one that shows the end of the last word
            included: nats per token.
        tokens: the most probable tokens that spell it, from the state given on (so with the prefix, if there was one).
        words: number of words in ``text``; the completed rest of a word is one.
    """

    text: str
    log_prob: float
    score: float
    tokens: tuple[int, ...]
    words: int


def choose(suggestions: Iterable[Suggestion], threshold: float) -> Suggestion | None:
    """The suggestion with the most words among those whose score reaches the threshold (nats per token), or None."""
    good = [suggestion for suggestion in suggestions if suggestion.score >= threshold]
    return max(good, key=lambda suggestion: (suggestion.words, suggestion.score), default=None)


class _Step(NamedTuple):
    """What one step of the search noted; ``cells`` (parent · E + end) only where end tokens were."""

    places: dict[int, int]  # row of the batch → its place in these
    tokens: Tensor  # (B, K, t)
    modes: Tensor  # (B, K)
    log_probs: Tensor  # (B, K), or (B, N) for N cells
    cells: Tensor | None  # (B, N)


class _Candidate(NamedTuple):
    """One way in which a suggestion can come true, best score first when sorted."""

    cost: float  # −score, nats per token
    log_prob: float  # nats
    words: int  # begun by the hypothesis
    tokens: list[int]
    end: int  # place among the end tokens, −1 for none


class Candidates:
    """Every end of a word or phrase that a search passed, turned into text only when the search is over.

    Args:
        rule: where words and phrases end.
        prefixes: for each row the bytes that are not shown.
        n_best: how many suggestions to keep of each number of words.
    """

    def __init__(self, rule: PhraseRule, prefixes: Sequence[bytes], n_best: int) -> None:
        self._rule, self._prefixes, self._n_best = rule, prefixes, n_best
        self._steps: list[_Step] = []
        self._places = {row: row for row in range(len(prefixes))}

    def keep(self, live: Tensor) -> None:
        """What is noted from now on is of these rows of those so far."""
        rows = list(self._places)
        self._places = {rows[place]: n for n, place in enumerate(live.tolist())}

    def note_words(self, tokens: Tensor, modes: Tensor, log_probs: Tensor) -> None:
        """Hypotheses (B, K, t), their modes (B·K,), and the log-probability (B, K) that the last word is over."""
        self._steps.append(_Step(self._places, tokens, modes.view(tokens.shape[:2]), log_probs, None))

    def note_ends(self, tokens: Tensor, modes: Tensor, log_probs: Tensor, count: int) -> None:
        """Hypotheses likewise, and the log-probability (B, K, E) of being ended by each end token; keeps ``count``."""
        best, cells = log_probs.flatten(1).topk(min(count, log_probs.shape[1] * log_probs.shape[2]), dim=-1)
        self._steps.append(_Step(self._places, tokens, modes.view(tokens.shape[:2]), best, cells))

    def suggestions(self, start: Tensor, min_log_prob: float) -> list[list[Suggestion]]:
        """Best score first, for each row; log_prob is conditional on the start's, (B, 1)."""
        return [self._row(row, offset, min_log_prob) for row, offset in enumerate(start.flatten().tolist())]

    def _row(self, row: int, offset: float, min_log_prob: float) -> list[Suggestion]:
        ways: dict[str, list[_Candidate]] = {}
        spelled: Counter[int] = Counter()
        for candidate in sorted(self._candidates(row, offset, min_log_prob)):
            # Spelling is what costs time here.
            if spelled[candidate.words] < _SPARE * self._n_best:
                spelled[candidate.words] += 1
                text = self._shown(candidate, self._prefixes[row])
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

    def _candidates(self, row: int, offset: float, min_log_prob: float) -> Iterator[_Candidate]:
        floor = max(min_log_prob + offset, -1e300)  # above −inf, which marks what can't be
        ends = len(self._rule.end_tokens)
        for step in self._steps:
            place = step.places.get(row)
            if place is None:
                break
            tokens, modes = step.tokens[place].tolist(), step.modes[place].tolist()
            cells = range(len(tokens)) if step.cells is None else step.cells[place].tolist()
            for cell, value in zip(cells, step.log_probs[place].tolist(), strict=True):
                if value >= floor:
                    parent, end = (cell, -1) if step.cells is None else divmod(cell, ends)
                    log_prob = value - offset
                    cost = -log_prob / (len(tokens[parent]) + 1)
                    yield _Candidate(cost, log_prob, modes[parent] // 2, tokens[parent], end)

    def _shown(self, candidate: _Candidate, prefix: bytes) -> str | None:
        """The text to show, or None where there is nothing to show or it is noted elsewhere."""
        spelled = b"".join([self._rule.pieces[token] for token in candidate.tokens])
        kept = b"" if candidate.end < 0 else self._rule.end_kept[candidate.end]
        try:
            text = (spelled + kept)[len(prefix) :].decode().rstrip()
        except UnicodeDecodeError:
            return None  # ends inside a character
        # A line break after a whole word: already counted among what shows that the word is over.
        repeated = candidate.end >= 0 and not kept.strip() and self._rule.ends_in_word(text)
        return None if repeated or not self._rule.count_words(text) else text

    def _suggestion(self, text: str, ways: list[_Candidate]) -> Suggestion:
        likeliest = max(ways, key=lambda way: way.log_prob)
        # Different tokens that spell the same text are events that exclude each other: their probabilities add up.
        more = sum(math.exp(way.log_prob - likeliest.log_prob) for way in ways)
        log_prob = likeliest.log_prob + (math.log(more) if len(ways) > 1 else 0.0)
        shows_end = likeliest.end >= 0 and self._rule.end_kept[likeliest.end]
        ending = [int(self._rule.end_tokens[likeliest.end])] if shows_end else []
        score = log_prob / (len(likeliest.tokens) + 1)
        return Suggestion(text, log_prob, score, (*likeliest.tokens, *ending), self._rule.count_words(text))
