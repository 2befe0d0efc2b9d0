"""Labels over time: frame accuracy, macro F1, edit score and F1@k of segments.

Gold and predicted are one sequence of integer labels for each recording, equally long. A segment is a run of one label.
Frame scores count every frame; segmental scores leave out segments of a background label, where there is one, and
measure whether the right segments come in the right order, regardless of their exact borders.

Source: Lea et al. 2017, Temporal convolutional networks for action segmentation and detection, arXiv 1611.05267,
section 4.1; counts are summed over recordings, as Farha & Gall 2019 (arXiv 1903.01945) and those after them do.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.errors import ArgumentError
from unrolled.metrics.speech import edit_distance

Labels = Sequence[int] | NDArray[np.integer[Any]]

#: the overlaps of F1@10, F1@25 and F1@50
OVERLAPS = (0.10, 0.25, 0.50)


class Segment(NamedTuple):
    """A run of one label, steps `begin` to `end`, the end not included."""

    begin: int
    end: int
    label: int


def segments_of(labels: Labels) -> list[Segment]:
    """Return the runs of equal labels, in order.

    >>> segments_of([4, 4, 0, 4])
    [Segment(begin=0, end=2, label=4), Segment(begin=2, end=3, label=0), Segment(begin=3, end=4, label=4)]
    """
    array = np.asarray(labels, dtype=np.int64)
    if not len(array):
        return []
    borders = [0, *(np.flatnonzero(array[1:] != array[:-1]) + 1).tolist(), len(array)]
    return [Segment(b, e, int(array[b])) for b, e in itertools.pairwise(borders)]


def frame_accuracy(gold: Sequence[Labels], predicted: Sequence[Labels]) -> float:
    """Return the share of frames with the right label, over all recordings.

    >>> frame_accuracy([[0, 0, 1, 1]], [[0, 1, 1, 1]])
    0.75
    """
    right, left = _flat(gold, predicted)
    return float((right == left).mean())


def macro_f1(gold: Sequence[Labels], predicted: Sequence[Labels]) -> float:
    """Return the mean over labels of the F1 of their frames; labels that occur nowhere don't count.

    >>> macro_f1([[0, 0, 1, 1]], [[0, 1, 1, 1]])
    0.7333333333333334
    """
    return float(np.mean(list(f1_by_label(gold, predicted).values())))


def f1_by_label(gold: Sequence[Labels], predicted: Sequence[Labels]) -> dict[int, float]:
    """Return F1 over frames for each label that occurs."""
    right, guess = _flat(gold, predicted)
    classes = int(max(right.max(), guess.max())) + 1
    hits = np.bincount(right[right == guess], minlength=classes)
    both = np.bincount(right, minlength=classes) + np.bincount(guess, minlength=classes)
    return {label: float(2 * hits[label] / both[label]) for label in range(classes) if both[label]}


def edit_score(gold: Sequence[Labels], predicted: Sequence[Labels], background: int | None = None) -> float:
    """Return the mean over recordings of 1 − edits / length of the longer sequence of segment labels, from 0 to 1.

    Edits are insertions, deletions and substitutions of whole segments, whatever their borders (Levenshtein).
    A recording with no segment on either side counts 1.

    >>> edit_score([[0, 0, 1, 1, 2, 2]], [[0, 1, 1, 1, 1, 1]])
    0.6666666666666667
    """
    _check(gold, predicted)
    scores = []
    for truth, guess in zip(gold, predicted, strict=True):
        left, right = ([s.label for s in segments_of(x) if s.label != background] for x in (truth, guess))
        longest = max(len(left), len(right))
        scores.append(1 - edit_distance(left, right) / longest if longest else 1.0)
    return float(np.mean(scores))


def segment_f1(
    gold: Sequence[Labels], predicted: Sequence[Labels], overlap: float, background: int | None = None
) -> float:
    """Return F1@k with k = 100·overlap: F1 of segments, which are right at an intersection over union of `overlap`.

    Each predicted segment is compared with the gold segment of its label that it overlaps most. It is right if that
    overlap is enough and no earlier segment claimed the same gold segment: splitting an action costs precision. With no
    segment on either side the score is 1.

    >>> segment_f1([[0, 0, 1, 1]], [[0, 0, 0, 1]], 0.5)
    1.0
    >>> segment_f1([[0, 0, 1, 1]], [[0, 1, 0, 1]], 0.5)
    0.6666666666666666
    """
    _check(gold, predicted)
    if not 0 < overlap <= 1:
        raise ArgumentError(f"overlap: expected above 0, at most 1, found {overlap}")
    hits = total = 0
    for gold_labels, predicted_labels in zip(gold, predicted, strict=True):
        truth, guessed = ([s for s in segments_of(x) if s.label != background] for x in (gold_labels, predicted_labels))
        total += len(truth) + len(guessed)
        begins, ends, labels = (np.array([s[k] for s in truth], dtype=np.int64) for k in range(3))
        claimed = np.zeros(len(truth), dtype=bool)
        for segment in guessed if truth else ():
            shared = np.minimum(segment.end, ends) - np.maximum(segment.begin, begins)
            union = np.maximum(segment.end, ends) - np.minimum(segment.begin, begins)
            ratio = np.where(labels == segment.label, shared / union, -1.0)
            best = int(ratio.argmax())
            if ratio[best] >= overlap and not claimed[best]:
                claimed[best] = True
                hits += 1
    return 2 * hits / total if total else 1.0


def segment_scores(
    gold: Sequence[Labels], predicted: Sequence[Labels], background: int | None = None
) -> dict[str, float]:
    """Return all scores: accuracy, f1 (macro, over frames), edit, f1_10, f1_25, f1_50."""
    scores = {
        "accuracy": frame_accuracy(gold, predicted),
        "f1": macro_f1(gold, predicted),
        "edit": edit_score(gold, predicted, background),
    }
    for overlap in OVERLAPS:
        scores[f"f1_{round(100 * overlap)}"] = segment_f1(gold, predicted, overlap, background)
    return scores


def _flat(gold: Sequence[Labels], predicted: Sequence[Labels]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    _check(gold, predicted)
    truth, guess = (
        np.concatenate([np.asarray(x, dtype=np.int64) for x in sequences]) for sequences in (gold, predicted)
    )
    if not len(truth):
        raise ArgumentError("gold: no frame to score")
    return truth, guess


def _check(gold: Sequence[Labels], predicted: Sequence[Labels]) -> None:
    if not len(gold):
        raise ArgumentError("gold: no recording to score")
    if len(gold) != len(predicted):
        raise ArgumentError(f"predicted: {len(predicted)} recordings, and gold has {len(gold)}")
    for n, (truth, guess) in enumerate(zip(gold, predicted, strict=True)):
        if len(truth) != len(guess):
            raise ArgumentError(f"predicted: {len(guess)} labels of recording {n}, and gold has {len(truth)}")
