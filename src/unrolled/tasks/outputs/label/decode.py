"""Texts through a classifier: probabilities, calibrated, whole texts in batches or every beginning of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.data import Arrays, sorted_batches
from unrolled.layers import Pooling
from unrolled.tasks.core.examples import on_device
from unrolled.tasks.inputs.text.encode import ClassifyEncoders, collated, text_batch

if TYPE_CHECKING:
    from unrolled.tasks.core.model import Model

#: texts side by side where nothing is learned, and the words that a batch holds at most, padding included
SIDE_BY_SIDE, WORDS = 128, 32_768


def temperature_of(model: Model) -> float:
    """What logits are divided by; 1 until it is fitted."""
    return float(model.fitted.get("temperature", 1.0))


def log_probabilities(
    model: Model,
    texts: Sequence[Arrays],
    *,
    temperature: float | None = None,
    told: Callable[[int], None] | None = None,
) -> NDArray[np.float64]:
    """ln p of each class, (N, K).

    Args:
        model: the model.
        texts: encoded.
        temperature: instead of the fitted one.
        told: how many texts are done.
    """
    by = temperature_of(model) if temperature is None else temperature
    found = np.empty((len(texts), len(model.encoders.labels)))
    done = 0
    for batch in sorted_batches([len(text["words"]) for text in texts], SIDE_BY_SIDE):
        # the longest comes first
        size = max(1, WORDS // max(len(texts[batch[0]]["words"]), 1))
        for rows in (batch[at : at + size] for at in range(0, len(batch), size)):
            with torch.no_grad():
                logits = logits_of(model.network, [texts[row] for row in rows], model.encoders)
            found[rows] = as_log_probabilities(logits, by)
            done += len(rows)
            if told is not None:
                told(done)
    return found


def logits_of(network: Any, texts: Sequence[Arrays], encoders: ClassifyEncoders) -> Tensor:
    """(B, K); a text of no words is judged by what the model expects before it reads."""
    data = on_device(network, collated(texts, encoders.counts, 0.0, None))
    result: Tensor = network(text_batch(data), data["lengths"])
    return result


def as_log_probabilities(logits: Tensor, temperature: float) -> NDArray[np.float64]:
    """ln softmax(logits / T), in double precision."""
    return (logits.detach().double() / temperature).log_softmax(-1).cpu().numpy()


def beginnings(model: Model, words: Sequence[str], ends: Sequence[int] | None = None) -> NDArray[np.float64]:
    """ln p after the first word, the first two, … all T of them, (T, K), as if the text ended there.

    A causal network tells in passing. One that reads from both ends reads each beginning as a text of its own, which
    takes time with the square of T.

    Args:
        model: the model.
        words: T of them.
        ends: after how many words, E of them: then (E, K).
    """
    if ends is None:
        ends = range(1, len(words) + 1)
    encoders: ClassifyEncoders = model.encoders
    network: Any = model.network
    if not words:
        return np.empty((0, len(encoders.labels)))
    if not network.is_causal:
        return log_probabilities(model, [encoders.encode(words[:end]) for end in ends])
    with torch.no_grad():
        batch = text_batch(on_device(network, collated([encoders.encode(words)], encoders.counts, 0.0, None)))
        vectors = _running(network.pooling, network.features(batch))
        logits: Tensor = network.output(vectors)
        if network.beside is not None:
            logits = logits + network.beside.running(batch)[:, 0]
        return as_log_probabilities(logits, temperature_of(model))[np.array(ends) - 1]


def _running(pooling: Pooling, steps: Tensor) -> Tensor:
    """One text's steps (T, 1, W), each beginning pooled: (T, output_size)."""
    carried, vectors = pooling.start(steps[0]), []
    for h in steps:
        vector, carried = pooling.step(h, carried)
        vectors.append(vector)
    return torch.cat(vectors)
