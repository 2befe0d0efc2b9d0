"""Metrics of labels of steps.

T steps, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unrolled.data import Arrays, ExampleStore
from unrolled.metrics.entities import label_scores, token_accuracy
from unrolled.types import Json

#: a label that training never saw: no target to learn, and never predicted rightly
UNSEEN = -1
#: the labels' numbers of each input, (T,)
Labels = Sequence[NDArray[np.int64]]


def targets_of(examples: Sequence[Arrays] | ExampleStore) -> list[NDArray[np.int64]]:
    """Return the targets of encoded examples, (T,) each."""
    return [np.asarray(examples[n]["targets"]) for n in range(len(examples))]


def mean_loss(targets: Labels, log_probs: Sequence[NDArray[np.float32]]) -> float:
    """Return nats a step, over the steps whose label training has seen."""
    total, count = 0.0, 0
    for gold, scores in zip(targets, log_probs, strict=True):
        known = np.flatnonzero(gold >= 0)
        total -= float(scores[known, gold[known]].astype(np.float64).sum())
        count += len(known)
    return total / max(1, count)


def label_metrics(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Json:
    """Return the accuracy of labels, the mean F1 over all that occur, and the scores of each."""
    by_label = {label: score.as_json() for label, score in label_scores(gold, predicted).items()}
    macro = sum(float(score["f1"]) for score in by_label.values()) / max(len(by_label), 1)
    return {"accuracy": token_accuracy(gold, predicted), "macro_f1": macro, "labels": by_label}
