"""What a labelling network says about recordings: probabilities of labels, the labels chosen, and how good they are.

Letters: T time, K labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unrolled.data import IGNORED, Arrays, ExampleStore, lengths_of, padded
from unrolled.decoding.smoothing import Transitions, best_path
from unrolled.metrics.segments import segment_scores
from unrolled.tasks.core.example_task import on_device
from unrolled.tasks.inputs.frames.encode import UNSEEN

#: steps that are scored side by side, so that memory does not depend on how long recordings are
STEPS_AT_ONCE = 4096
#: weights of the transitions that are tried
WEIGHTS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5)

#: a batch as `collated` makes it → logits (T, B, K)
Forward = Callable[[dict[str, Tensor]], Tensor]
#: the labels' numbers of each recording, (T,)
Labels = Sequence[NDArray[np.int64]]


def collated(examples: Sequence[Arrays]) -> dict[str, Tensor]:
    """Recordings side by side: `x` (T, B, …), `targets` (T, B) and `lengths` (B,)."""
    targets = [np.where(e["targets"] == UNSEEN, IGNORED, e["targets"]) for e in examples]
    return {
        "x": padded([e["x"] for e in examples]),
        "targets": padded(targets, IGNORED),
        "lengths": lengths_of([e["x"] for e in examples]),
    }


def recurrent(network: nn.Module) -> Forward:
    """How a synced network scores a batch."""

    def forward(data: dict[str, Tensor]) -> Tensor:
        logits: Tensor = network(data["x"], None, data["lengths"])[0]
        return logits

    return forward


def frame_by_frame(network: nn.Module) -> Forward:
    """How a network of single steps scores a batch: its valid steps one by one, in any order."""

    def forward(data: dict[str, Tensor]) -> Tensor:
        x, lengths = data["x"], data["lengths"]
        valid = torch.arange(len(x), device=x.device).unsqueeze(1) < lengths
        scored: Tensor = network(x[valid])
        logits = scored.new_zeros(*x.shape[:2], scored.shape[-1])
        logits[valid] = scored
        return logits

    return forward


@torch.no_grad()
def log_probabilities(
    network: nn.Module, forward: Forward, examples: Sequence[Arrays] | ExampleStore
) -> list[NDArray[np.float32]]:
    """ln p of each label at each step, (T, K) for each recording, in their order."""
    lengths = [len(examples[n]["targets"]) for n in range(len(examples))]
    found: dict[int, NDArray[np.float32]] = {}
    for rows in _batches(lengths):
        data = on_device(network, collated([examples[n] for n in rows]))
        log_probs = forward(data).log_softmax(-1).float().cpu().numpy()
        for column, n in enumerate(rows):
            found[n] = log_probs[: lengths[n], column]
    return [found[n] for n in range(len(lengths))]


def _batches(lengths: list[int]) -> Iterator[list[int]]:
    """Recordings of similar length, as many as `STEPS_AT_ONCE` allows."""
    rows: list[int] = []
    for n in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        if rows and (len(rows) + 1) * lengths[rows[0]] > STEPS_AT_ONCE:
            yield rows
            rows = []
        rows.append(n)
    if rows:
        yield rows


def transitions_of(network: Any) -> Transitions:
    """Which label follows which, as the network carries it."""
    first, following = (t.detach().cpu().double().numpy() for t in (network.first_label, network.next_label))
    return Transitions(first, following)


def chosen_labels(
    log_probs: Sequence[NDArray[np.float32]], transitions: Transitions, weight: float
) -> list[NDArray[np.int64]]:
    """The labels of each recording."""
    return [best_path(scores, transitions, weight) for scores in log_probs]


def scores_of(targets: Labels, predicted: Labels, background: int | None) -> dict[str, float]:
    """Metrics over the steps that carry a label."""
    known = [t != IGNORED for t in targets]
    gold = [t[k] for t, k in zip(targets, known, strict=True)]
    # labels that training never saw are a class of their own, which is never predicted
    top = max((int(p.max(initial=0)) for p in predicted), default=0)
    top = max(top, *(int(t.max(initial=0)) for t in gold)) + 1
    gold = [np.where(t == UNSEEN, top, t) for t in gold]
    rest = [p[k] for p, k in zip(predicted, known, strict=True)]
    return segment_scores(gold, rest, background)


def mean_loss(targets: Labels, log_probs: Sequence[NDArray[np.float32]]) -> float:
    """Nats a step, over the steps whose label training has seen."""
    total, count = 0.0, 0
    for gold, scores in zip(targets, log_probs, strict=True):
        known = np.flatnonzero(gold >= 0)
        total -= float(scores[known, gold[known]].astype(np.float64).sum())
        count += len(known)
    return total / max(1, count)


def targets_of(examples: Sequence[Arrays] | ExampleStore) -> list[NDArray[np.int64]]:
    """The targets of each recording."""
    return [np.asarray(examples[n]["targets"]) for n in range(len(examples))]


def best_weight(
    targets: Labels,
    log_probs: Sequence[NDArray[np.float32]],
    transitions: Transitions,
    background: int | None,
    metric: str,
) -> float:
    """The weight of the transitions that does best on development data; of equals the smallest."""
    tried = {w: scores_of(targets, chosen_labels(log_probs, transitions, w), background)[metric] for w in WEIGHTS}
    return max(tried, key=lambda w: (tried[w], -w))
