"""The model's decision after every beginning of a text, as if it ended there. T words, E ends, K classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.layers import Pooling
from unrolled.tasks.core.examples import on_device
from unrolled.tasks.core.fitted import Fitted
from unrolled.tasks.inputs.text.collate import collated, text_batch
from unrolled.tasks.inputs.text.encode import TextInput
from unrolled.tasks.outputs.label.decode import as_log_probabilities, log_probabilities, temperature_of
from unrolled.tasks.outputs.label.encode import LabelOutput
from unrolled.tasks.uses.classify.results import AfterWord


def word_by_word(model: Fitted[TextInput, LabelOutput], text: str, most: int | None = None) -> tuple[AfterWord, ...]:
    """Return what a model thinks after each word of a text, if the text ended there; see `beginnings`.

    Args:
        model: the model.
        text: the text.
        most: of a network that reads from both ends only after so many words, spread evenly, the last among them.
    """
    network: Any = model.network
    words = model.input.words_of(text)
    ends = list(range(1, len(words) + 1))
    if most is not None and len(words) > most and not network.is_causal:
        ends = [len(words) * n // most for n in range(1, most + 1)]
    probabilities: NDArray[np.float64] = np.exp(beginnings(model, [word.text for word in words], ends))
    return tuple(
        AfterWord(
            word=words[end - 1].text,
            start=words[end - 1].start,
            end=words[end - 1].end,
            probabilities=dict(zip(model.output.labels, row.tolist(), strict=True)),
        )
        for end, row in zip(ends, probabilities, strict=True)
    )


def beginnings(
    model: Fitted[TextInput, LabelOutput], words: Sequence[str], ends: Sequence[int] | None = None
) -> NDArray[np.float64]:
    """Return ln p after the first word, the first two, … all T of them, (T, K), as if the text ended there.

    A causal network tells in passing. One that reads from both ends reads each beginning as a text of its own, which
    takes time with the square of T.

    Args:
        model: the model.
        words: T of them.
        ends: after how many words, E of them: then (E, K).
    """
    if ends is None:
        ends = range(1, len(words) + 1)
    source = model.input
    network: Any = model.network
    if not words:
        return np.empty((0, len(model.output.labels)))
    if not network.is_causal:
        return log_probabilities(model, [source.encode_words(words[:end]) for end in ends])
    with torch.no_grad():
        data = collated([source.encode_words(words)], source.counts, 0.0, None)
        batch = text_batch(on_device(network, data))
        vectors = _running(network.pooling, network.features(batch))
        logits: Tensor = network.output(vectors)
        if network.beside is not None:
            logits = logits + network.beside.running(batch)[:, 0]
        return as_log_probabilities(logits, temperature_of(model))[np.array(ends) - 1]


def _running(pooling: Pooling, steps: Tensor) -> Tensor:
    """Return one text's steps (T, 1, W), each beginning pooled: (T, output_size)."""
    carried, vectors = pooling.start(steps[0]), []
    for h in steps:
        vector, carried = pooling.step(h, carried)
        vectors.append(vector)
    return torch.cat(vectors)
