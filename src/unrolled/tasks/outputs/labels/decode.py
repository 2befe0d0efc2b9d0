"""Encoded inputs through a network that answers at every step: the probabilities of labels.

T steps, K labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from unrolled.data import Arrays, ExampleStore
from unrolled.errors import ArgumentError
from unrolled.tasks.core.examples import on_device
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.training import share_out

#: steps, padding included, and inputs that are scored side by side at most: memory does not depend on how long they are
STEPS, INPUTS = 4096, 64


@torch.no_grad()
def log_probabilities(model: AnyFitted, inputs: Sequence[Arrays] | ExampleStore) -> list[NDArray[np.float32]]:
    """Return ln p of each label at each step, (T, K) for each encoded input, in their order."""
    lengths = [model.input.count_steps(inputs[n]) for n in range(len(inputs))]
    scores = [np.zeros((0, len(model.output.labels)), np.float32)] * len(lengths)

    def compute(rows: list[int]) -> NDArray[np.float32]:
        data = on_device(model.network, model.input.collate(model, [inputs[n] for n in rows]))
        x, steps = model.input.feed(data)
        result: NDArray[np.float32] = model.network(x, None, steps)[0].log_softmax(-1).float().cpu().numpy()
        return result

    batches = list(side_by_side(lengths))
    for rows, log_probs in zip(batches, share_out(batches, compute), strict=True):
        for column, n in enumerate(rows):
            scores[n] = log_probs[: lengths[n], column]
    return scores


def side_by_side(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the numbers of inputs of similar length, the longest first, as many as fit; without those of no step.

    >>> list(side_by_side([2000, 0, 3000, 90]))
    [[2], [0, 3]]
    """
    rows: list[int] = []
    for n in sorted((n for n, length in enumerate(lengths) if length), key=lambda n: -lengths[n]):
        if rows and (len(rows) == INPUTS or (len(rows) + 1) * lengths[rows[0]] > STEPS):
            yield rows
            rows = []
        rows.append(n)
    if rows:
        yield rows


def best_of(log_probs: NDArray[np.floating]) -> tuple[list[int], list[float]]:
    """Return the most probable label of each step, and its probability, from ln p (T, K)."""
    best = log_probs.argmax(axis=1)
    return best.tolist(), probabilities_of(log_probs, best)


def probabilities_of(log_probs: NDArray[np.floating], labels: NDArray[np.int64]) -> list[float]:
    """Return the probability of the chosen label (T,) at each step, from ln p (T, K).

    Raises:
        ArgumentError: a probability is not a number.
    """
    scores = np.exp(log_probs[np.arange(len(labels)), labels].astype(np.float64))
    if not np.isfinite(scores).all():
        raise ArgumentError("input: so far from what the model was trained on that it answers nothing finite")
    result: list[float] = scores.tolist()
    return result
