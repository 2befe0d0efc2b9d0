"""N-grams of texts and of their references: the counts that BLEU is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

Words = Sequence[Hashable]

#: n-grams up to this length are compared
LONGEST = 4


class Matches(NamedTuple):
    """How far the texts of a corpus agree with their references.

    Attributes:
        hits: for n = 1 to `LONGEST` the n-grams that a reference of the same text has, each counted at most as often
            as in the one that has most of it.
        totals: the n-grams in all.
        length: of the texts, in words.
        wanted: of the references that come nearest to their text's length, the shorter one of two.
    """

    hits: list[int]
    totals: list[int]
    length: int
    wanted: int


def count_matches(texts: Sequence[Words], references: Sequence[Sequence[Words]]) -> Matches:
    """Count the n-grams of texts in their references, of which each text has at least one."""
    hits, totals, length, wanted = [0] * LONGEST, [0] * LONGEST, 0, 0
    for text, others in zip(texts, references, strict=True):
        length += len(text)
        wanted += min((abs(len(other) - len(text)), len(other)) for other in others)[1]
        for n in range(1, LONGEST + 1):
            most: Counter[Any] = Counter()
            for other in others:
                most |= ngrams(other, n)
            mine = ngrams(text, n)
            hits[n - 1] += (mine & most).total()
            totals[n - 1] += mine.total()
    return Matches(hits, totals, length, wanted)


def ngrams(words: Words, n: int) -> Counter[tuple[Any, ...]]:
    """Return how often each n-gram occurs."""
    return Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))
