"""Segmental scores of labelled recordings, and how much the counted transitions weigh.

T steps, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from unrolled.data import IGNORED
from unrolled.decoding.smoothing import Transitions, best_path
from unrolled.metrics.segments import segment_scores
from unrolled.tasks.outputs.labels.scoring import UNSEEN, Labels

#: weights of the transitions that are tried
WEIGHTS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5)


def transitions_of(network: nn.Module) -> Transitions:
    """Return which label follows which, as the network carries it."""
    buffers = (network.get_buffer(name) for name in ("first_label", "next_label"))
    first, following = (buffer.detach().cpu().double().numpy() for buffer in buffers)
    return Transitions(first, following)


def chosen_labels(
    log_probs: Sequence[NDArray[np.float32]], transitions: Transitions, weight: float
) -> list[NDArray[np.int64]]:
    """Return the labels of each recording, (T,), from ln p (T, K)."""
    return [best_path(scores, transitions, weight) for scores in log_probs]


def scores_of(targets: Labels, predicted: Labels, background: int | None) -> dict[str, float]:
    """Return metrics over the steps that carry a label."""
    known = [t != IGNORED for t in targets]
    gold = [t[k] for t, k in zip(targets, known, strict=True)]
    # labels that training never saw are a class of their own, which is never predicted
    top = max((int(p.max(initial=0)) for p in predicted), default=0)
    top = max(top, *(int(t.max(initial=0)) for t in gold)) + 1
    gold = [np.where(t == UNSEEN, top, t) for t in gold]
    rest = [p[k] for p, k in zip(predicted, known, strict=True)]
    return segment_scores(gold, rest, background)


def best_weight(
    targets: Labels,
    log_probs: Sequence[NDArray[np.float32]],
    transitions: Transitions,
    background: int | None,
    metric: str,
) -> float:
    """Return the weight of the transitions that does best on development data; of equals the smallest."""
    tried = {w: scores_of(targets, chosen_labels(log_probs, transitions, w), background)[metric] for w in WEIGHTS}
    return max(tried, key=lambda w: (tried[w], -w))
