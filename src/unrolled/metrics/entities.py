"""Entities found beside entities there are: precision, recall and F1, by type and over all.

An entity is right if its first token, its last and its type are: the score of the CoNLL shared tasks (`conlleval`), and
of seqeval in its default mode. Entities are (start, end, label); which tags make which entity is not decided here.

Surface forms are those of the WNUT 2017 shared task on emerging entities (Derczynski et al. 2017, W17-4418): of all
occurrences of the same words with the same type one counts, and it was found if one of them was, at its place. A model
that only knows frequent names gets little for them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

Entity = tuple[int, int, str]
#: anything whose last part is its type
Typed = tuple[Hashable, ...]


class Score(NamedTuple):
    """Counts, and what follows from them; a share of nothing is 0.

    Attributes:
        gold: how many there are.
        found: how many were predicted.
        correct: how many of these are right.
    """

    gold: int
    found: int
    correct: int

    @property
    def precision(self) -> float:
        """The share of those found that is right."""
        return self.correct / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """The share of those there are that was found."""
        return self.correct / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        return 2 * self.correct / (self.gold + self.found) if self.gold + self.found else 0.0

    def as_json(self) -> dict[str, float | int]:
        """Precision, recall, F1 and how many entities there are."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1, "entities": self.gold}


class EntityScores(NamedTuple):
    """Scores over all entities, and of each type that occurs, in order of the types' names."""

    overall: Score
    by_type: dict[str, Score]

    @property
    def macro_f1(self) -> float:
        """The mean of the types' F1."""
        return sum(score.f1 for score in self.by_type.values()) / len(self.by_type) if self.by_type else 0.0


def entity_scores(gold: Sequence[Iterable[Entity]], found: Sequence[Iterable[Entity]]) -> EntityScores:
    """Compare the entities of sentences, place by place.

    >>> entity_scores([[(0, 1, "LOC"), (2, 4, "PER")]], [[(0, 1, "LOC"), (2, 3, "PER")]]).overall
    Score(gold=2, found=2, correct=1)

    Args:
        gold, found: for each sentence its entities.

    Raises:
        ValueError: for another number of sentences in the one than in the other.
    """
    return _scores(
        {(n, *entity) for n, entities in enumerate(gold) for entity in entities},
        {(n, *entity) for (n, _), entities in zip(enumerate(gold), found, strict=True) for entity in entities},
    )


def surface_scores(
    tokens: Sequence[Sequence[str]], gold: Sequence[Iterable[Entity]], found: Sequence[Iterable[Entity]]
) -> EntityScores:
    """Compare the surface forms of entities, each counted once however often it occurs.

    Args:
        tokens: of each sentence.
        gold, found: for each sentence its entities.

    Raises:
        ValueError: for other numbers of sentences.
    """
    own: set[Typed] = set()
    other: set[Typed] = set()
    right: set[Typed] = set()
    for words, there, here in zip(tokens, gold, found, strict=True):
        first, second = set(there), set(here)
        for entities, forms in ((first, own), (second, other), (first & second, right)):
            forms.update((tuple(words[start:end]), label) for start, end, label in entities)
    return _scores(own, other, right)


def token_accuracy(gold: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> float:
    """The share of tokens whose label is right; 0 without any token.

    Raises:
        ValueError: for other numbers of sentences or tokens.
    """
    right = count = 0
    for one, other in zip(gold, found, strict=True):
        right += sum(a == b for a, b in zip(one, other, strict=True))
        count += len(one)
    return right / count if count else 0.0


def label_scores(gold: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> dict[str, Score]:
    """Precision, recall and F1 of each token label that occurs, in order of their names."""
    places = [
        {(n, at, label) for n, labels in enumerate(side) for at, label in enumerate(labels)} for side in (gold, found)
    ]
    return _scores(places[0], places[1]).by_type


def _scores(
    gold: AbstractSet[Typed], found: AbstractSet[Typed], right: AbstractSet[Typed] | None = None
) -> EntityScores:
    """Compare what ends with its type."""
    right = gold & found if right is None else right
    counts: dict[str, list[int]] = {}
    for k, side in enumerate((gold, found, right)):
        for one in side:
            counts.setdefault(str(one[-1]), [0, 0, 0])[k] += 1
    by_type = {label: Score(*counts[label]) for label in sorted(counts)}
    return EntityScores(Score(len(gold), len(found), len(right)), by_type)
