"""Entity scores, held against seqeval, and the surface forms of WNUT 2017 worked by hand."""

from __future__ import annotations

import random
from typing import Any

import pytest

from unrolled.data.tagged.schemes import spans_of
from unrolled.metrics.entities import Score, entity_scores, label_scores, surface_scores, token_accuracy

TAGS = ["O", "O", "O", *(f"{prefix}-{label}" for prefix in "BI" for label in ("LOC", "PER", "ORG"))]


def test_scores_are_those_of_seqeval() -> None:
    metrics: Any = pytest.importorskip("seqeval.metrics")
    draw = random.Random(0)
    gold = [draw.choices(TAGS, k=draw.randrange(1, 20)) for _ in range(80)]
    found = [[t if draw.random() < 0.7 else draw.choice(TAGS) for t in tags] for tags in gold]
    report = metrics.classification_report(gold, found, output_dict=True, zero_division=0)
    ours = entity_scores([*map(spans_of, gold)], [*map(spans_of, found)])
    assert set(ours.by_type) == {"LOC", "PER", "ORG"}
    for label, score in ours.by_type.items():
        theirs = report[label]
        assert (score.precision, score.recall, score.f1) == pytest.approx(
            (theirs["precision"], theirs["recall"], theirs["f1-score"])
        )
        assert score.gold == theirs["support"]
    assert ours.overall.f1 == pytest.approx(metrics.f1_score(gold, found))
    assert ours.overall.precision == pytest.approx(metrics.precision_score(gold, found))
    assert ours.overall.recall == pytest.approx(metrics.recall_score(gold, found))
    assert ours.macro_f1 == pytest.approx(report["macro avg"]["f1-score"])
    assert token_accuracy(gold, found) == pytest.approx(metrics.accuracy_score(gold, found))


def test_nothing_there_and_nothing_found() -> None:
    nothing = entity_scores([[], []], [[], []])
    assert (nothing.overall.f1, nothing.overall.precision, nothing.macro_f1, nothing.by_type) == (0, 0, 0, {})
    only_found = entity_scores([[]], [[(0, 1, "X")]]).by_type
    assert only_found == {"X": Score(0, 1, 0)}
    assert token_accuracy([], []) == 0
    with pytest.raises(ValueError, match="argument"):
        entity_scores([[]], [[], []])


def test_surface_forms_count_once() -> None:
    tokens = [["Rome", "is", "old"], ["Rome", "and", "New", "York"], ["rome", "x"]]
    gold = [[(0, 1, "loc")], [(0, 1, "loc"), (2, 4, "loc")], [(0, 1, "loc")]]
    # Rome is found at one of two places; New York with another type; rome is a form of its own
    found = [[(0, 1, "loc")], [(2, 4, "group")], [(0, 1, "loc"), (1, 2, "loc")]]
    scores = surface_scores(tokens, gold, found)
    assert scores.overall == Score(gold=3, predicted=4, correct=2)
    assert scores.by_type == {"group": Score(0, 1, 0), "loc": Score(3, 3, 2)}
    assert entity_scores(gold, found).overall == Score(4, 4, 2)


def test_a_form_found_at_the_wrong_place_is_not_found() -> None:
    tokens = [["Rome", "in", "Rome"]]
    scores = surface_scores(tokens, [[(0, 1, "loc")]], [[(2, 3, "loc")]])
    assert scores.overall == Score(gold=1, predicted=1, correct=0)


def test_labels_of_tokens() -> None:
    gold, found = [["N", "V"], ["N"]], [["N", "N"], ["N"]]
    assert label_scores(gold, found) == {"N": Score(2, 3, 2), "V": Score(1, 0, 0)}
    assert token_accuracy(gold, found) == pytest.approx(2 / 3)
    assert Score(4, 2, 1).as_json() == {"precision": 0.5, "recall": 0.25, "f1": pytest.approx(1 / 3), "entities": 4}
