"""Scores of labels in time: cases worked by hand, sklearn, and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from unrolled.errors import ArgumentError
from unrolled.metrics.segments import (
    Segment,
    edit_score,
    f1_by_label,
    frame_accuracy,
    macro_f1,
    segment_f1,
    segment_scores,
    segments_of,
)


def expanded(*runs: tuple[int, int]) -> list[int]:
    """(label, steps) … → labels."""
    return [label for label, steps in runs for _ in range(steps)]


def random_labels(draw: np.random.Generator, steps: int) -> np.ndarray:
    return np.repeat(draw.integers(0, 4, steps), draw.integers(1, 5, steps))[:steps]


def test_runs() -> None:
    assert segments_of([]) == []
    assert segments_of([7]) == [Segment(0, 1, 7)]
    assert segments_of(np.array([1, 1, 2, 1])) == [Segment(0, 2, 1), Segment(2, 3, 2), Segment(3, 4, 1)]


def test_frame_scores_are_sklearns() -> None:
    draw = np.random.default_rng(0)
    gold = [draw.integers(0, 6, n) for n in (5, 40, 1, 13)]
    predicted = [np.where(draw.random(len(g)) < 0.6, g, draw.integers(2, 8, len(g))) for g in gold]
    one, other = np.concatenate(gold), np.concatenate(predicted)
    assert frame_accuracy(gold, predicted) == pytest.approx(accuracy_score(one, other))
    assert macro_f1(gold, predicted) == pytest.approx(f1_score(one, other, average="macro"))
    by_label = f1_score(one, other, average=None, labels=sorted(f1_by_label(gold, predicted)))
    assert list(f1_by_label(gold, predicted).values()) == pytest.approx(list(by_label))


def test_edit_score_by_hand() -> None:
    # A B C against A C: one deletion of three; borders don't matter
    gold, predicted = expanded((0, 4), (1, 4), (2, 4)), expanded((0, 1), (2, 11))
    assert edit_score([gold], [predicted]) == pytest.approx(2 / 3)
    # A B A B A against A: over-segmentation costs four of five
    assert edit_score([[0] * 5], [[0, 1, 0, 1, 0]]) == pytest.approx(1 / 5)
    # the mean over recordings
    assert edit_score([gold, [0] * 5], [predicted, [0, 1, 0, 1, 0]]) == pytest.approx((2 / 3 + 1 / 5) / 2)
    # without the background 9, A 9 B is A B
    assert edit_score([[0, 9, 1]], [[0, 0, 1]], background=9) == 1.0
    assert edit_score([[0, 9, 1]], [[0, 0, 1]]) == pytest.approx(2 / 3)
    assert edit_score([[9, 9]], [[9, 9]], background=9) == 1.0


def test_segment_f1_by_hand() -> None:
    gold = expanded((0, 10), (1, 10))
    # first: 8 of 10 shared; second: 10 of 12
    assert segment_f1([gold], [expanded((0, 8), (1, 12))], 0.8) == 1.0
    # 8/10 is below 0.81 and 10/12 above it: one right of two and two
    assert segment_f1([gold], [expanded((0, 8), (1, 12))], 0.81) == 0.5
    # exactly half is enough
    assert segment_f1([[0, 0, 1, 1]], [[0, 1, 1, 1]], 0.5) == 1.0
    # cut in two, only the first half that overlaps enough is right: 2 right, 4 predicted, 2 gold
    cut = expanded((0, 5), (1, 1), (0, 4), (1, 10))
    assert segment_f1([gold], [cut], 0.25) == pytest.approx(2 * 2 / 6)
    # the same labels elsewhere in time are wrong
    assert segment_f1([expanded((0, 5), (1, 5))], [expanded((1, 5), (0, 5))], 0.1) == 0.0
    assert segment_f1([[9, 0, 0]], [[0, 0, 9]], 0.5, background=9) == 0.0
    assert segment_f1([[9, 9]], [[9, 9]], 0.5, background=9) == 1.0
    # counts are summed over recordings: 2 right of 4, and 1 right of 1 + 3
    assert segment_f1([[0, 1], [0, 0, 0]], [[0, 1], [1, 0, 1]], 0.3) == pytest.approx(2 * 3 / 8)


@pytest.mark.parametrize("background", [None, 0])
def test_segment_f1_by_frames_in_sets(background: int | None) -> None:
    """The definition, over sets of frames instead of arithmetic on borders."""
    draw = np.random.default_rng(3)
    gold = [random_labels(draw, n) for n in (30, 7, 55)]
    predicted = [np.where(draw.random(len(g)) < 0.85, g, random_labels(draw, len(g))) for g in gold]
    for overlap in (0.1, 0.25, 0.5, 0.75):
        hits = misses = alarms = 0
        for one, other in zip(gold, predicted, strict=True):
            truth, found = (
                [(s.label, set(range(s.begin, s.end))) for s in segments_of(x) if s.label != background]
                for x in (one, other)
            )
            taken: set[int] = set()
            for label, frames in found:
                ratios = [len(frames & f) / len(frames | f) if label == k else -1 for k, f in truth]
                best = max(range(len(truth)), key=ratios.__getitem__)
                if ratios[best] >= overlap and best not in taken:
                    taken.add(best)
                    hits += 1
                else:
                    alarms += 1
            misses += len(truth) - len(taken)
        precision, recall = hits / (hits + alarms), hits / (hits + misses)
        expected = 2 * precision * recall / (precision + recall)
        assert segment_f1(gold, predicted, overlap, background) == pytest.approx(expected)


def test_all_of_them() -> None:
    scores = segment_scores([[0, 0, 1, 1]], [[0, 0, 1, 1]])
    assert scores == {"accuracy": 1.0, "f1": 1.0, "edit": 1.0, "f1_10": 1.0, "f1_25": 1.0, "f1_50": 1.0}


@pytest.mark.parametrize(
    "gold, predicted, says",
    [
        ([], [], "gold: no recording to score"),
        ([[1]], [[1], [2]], "predicted: 2 recordings, and gold has 1"),
        ([[1, 1]], [[1]], "predicted: 1 labels of recording 0, and gold has 2"),
        ([[]], [[]], "gold: no frame to score"),
    ],
)
def test_what_can_not_be_compared(gold: list[list[int]], predicted: list[list[int]], says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        segment_scores(gold, predicted)


def test_an_overlap_out_of_range() -> None:
    with pytest.raises(ArgumentError, match="overlap: expected above 0, at most 1, found 0"):
        segment_f1([[1]], [[1]], 0)
