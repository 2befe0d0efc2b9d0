"""Predicted entities beside gold ones: precision, recall and F1, by type and over all.

An entity is right if its first token, its last and its type are: the score of the CoNLL shared tasks (`conlleval`), and
of seqeval in its default mode. Entities are (start, end, label); how tags make entities is not decided here.

Surface forms are those of the WNUT 2017 shared task on emerging entities (Derczynski et al. 2017, W17-4418): all
occurrences of the same words with the same type count once, and are right if one of them was predicted at its place.
Knowing only frequent names earns a model little.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

Entity = tuple[int, int, str]
#: a tuple whose last item is its type
Typed = tuple[Hashable, ...]


class Score(NamedTuple):
    """Counts of entities, with precision, recall and F1, which are 0 where nothing was counted.

    Attributes:
        gold: the number of gold entities.
        predicted: the number of predicted entities.
        correct: the number of predicted entities that are right.
    """

    gold: int
    predicted: int
    correct: int

    @property
    def precision(self) -> float:
        """The share of predicted entities that are right."""
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """The share of gold entities that were predicted."""
        return self.correct / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        return 2 * self.correct / (self.gold + self.predicted) if self.gold + self.predicted else 0.0

    def as_json(self) -> dict[str, float | int]:
        """Return precision, recall, F1 and the number of gold entities."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1, "entities": self.gold}


class EntityScores(NamedTuple):
    """Scores over all entities, and of each type that occurs, sorted by name."""

    overall: Score
    by_type: dict[str, Score]

    @property
    def macro_f1(self) -> float:
        """The mean of the types' F1."""
        return sum(score.f1 for score in self.by_type.values()) / len(self.by_type) if self.by_type else 0.0


def entity_scores(gold: Sequence[Iterable[Entity]], predicted: Sequence[Iterable[Entity]]) -> EntityScores:
    """Compare the entities of sentences, place by place.

    >>> entity_scores([[(0, 1, "LOC"), (2, 4, "PER")]], [[(0, 1, "LOC"), (2, 3, "PER")]]).overall
    Score(gold=2, predicted=2, correct=1)

    Args:
        gold, predicted: for each sentence its entities.

    Raises:
        ValueError: the numbers of sentences differ.
    """
    return _scores(
        {(n, *entity) for n, entities in enumerate(gold) for entity in entities},
        {(n, *entity) for (n, _), entities in zip(enumerate(gold), predicted, strict=True) for entity in entities},
    )


def surface_scores(
    tokens: Sequence[Sequence[str]], gold: Sequence[Iterable[Entity]], predicted: Sequence[Iterable[Entity]]
) -> EntityScores:
    """Compare the surface forms of entities, each counted once however often it occurs.

    Args:
        tokens: of each sentence.
        gold, predicted: for each sentence its entities.

    Raises:
        ValueError: the numbers of sentences differ.
    """
    gold_forms: set[Typed] = set()
    predicted_forms: set[Typed] = set()
    right: set[Typed] = set()
    for words, true_entities, guesses in zip(tokens, gold, predicted, strict=True):
        first, second = set(true_entities), set(guesses)
        for entities, forms in ((first, gold_forms), (second, predicted_forms), (first & second, right)):
            forms.update((tuple(words[start:end]), label) for start, end, label in entities)
    return _scores(gold_forms, predicted_forms, right)


def token_accuracy(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """Return the share of tokens whose label is right; 0 without any token.

    Raises:
        ValueError: the numbers of sentences or tokens differ.
    """
    right = count = 0
    for truth, guess in zip(gold, predicted, strict=True):
        right += sum(a == b for a, b in zip(truth, guess, strict=True))
        count += len(truth)
    return right / count if count else 0.0


def label_scores(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, Score]:
    """Return precision, recall and F1 of each token label that occurs, sorted by name."""
    places = [
        {(n, at, label) for n, labels in enumerate(side) for at, label in enumerate(labels)}
        for side in (gold, predicted)
    ]
    return _scores(places[0], places[1]).by_type


def _scores(
    gold: AbstractSet[Typed], predicted: AbstractSet[Typed], right: AbstractSet[Typed] | None = None
) -> EntityScores:
    """Compare sets of tuples, each of which ends with its type."""
    right = gold & predicted if right is None else right
    counts: dict[str, list[int]] = {}
    for k, side in enumerate((gold, predicted, right)):
        for entity in side:
            counts.setdefault(str(entity[-1]), [0, 0, 0])[k] += 1
    by_type = {label: Score(*counts[label]) for label in sorted(counts)}
    return EntityScores(Score(len(gold), len(predicted), len(right)), by_type)
