"""Encoded inputs through a network that ends in one label: calibrated probabilities.

N inputs, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.data import Arrays, sorted_batches
from unrolled.tasks.core.examples import SIDE_BY_SIDE, on_device
from unrolled.tasks.core.fitted import AnyFitted

#: steps that a batch holds at most, padding included, where nothing is learned
STEPS = 32_768


def temperature_of(model: AnyFitted) -> float:
    """Return what logits are divided by; 1 until it is fitted."""
    return float(model.fitted.get("temperature", 1.0))


def log_probabilities(
    model: AnyFitted,
    inputs: Sequence[Arrays],
    *,
    temperature: float | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> NDArray[np.float64]:
    """Return ln p of each class, (N, K).

    Args:
        model: the model.
        inputs: encoded.
        temperature: instead of the fitted one.
        on_progress: is called with the number of inputs that are done.
    """
    by = temperature_of(model) if temperature is None else temperature
    result = np.empty((len(inputs), len(model.output.labels)))
    part, done = model.input.length_of, 0
    lengths = [1 if part is None else len(arrays[part]) for arrays in inputs]
    for batch in sorted_batches(lengths, SIDE_BY_SIDE):
        # the longest comes first
        size = max(1, STEPS // max(lengths[batch[0]], 1))
        for rows in (batch[at : at + size] for at in range(0, len(batch), size)):
            with torch.no_grad():
                logits = logits_of(model, [inputs[row] for row in rows])
            result[rows] = as_log_probabilities(logits, by)
            done += len(rows)
            if on_progress is not None:
                on_progress(done)
    return result


def logits_of(model: AnyFitted, inputs: Sequence[Arrays]) -> Tensor:
    """Return the logits of a batch, (B, K); an input of no steps is judged by what the model expects beforehand."""
    x, lengths = model.input.feed(on_device(model.network, model.input.collate(model, inputs)))
    result: Tensor = model.network(x) if lengths is None else model.network(x, lengths)
    return result


def as_log_probabilities(logits: Tensor, temperature: float) -> NDArray[np.float64]:
    """Return ln softmax(logits / T), in double precision."""
    return (logits.detach().double() / temperature).log_softmax(-1).cpu().numpy()


def ranked(labels: Sequence[str], probabilities: Sequence[float]) -> dict[str, float]:
    """Return labels with their probabilities, the most probable first; of equal ones in the order of the model's."""
    return dict(sorted(zip(labels, probabilities, strict=True), key=lambda pair: -pair[1]))
