"""Encoded texts side by side. T time, B batch, P parts of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.data import Arrays, lengths_of, padded
from unrolled.layers.inputs.texts import TextBatch

#: the first entry of the vocabulary: a word that is not in it
UNKNOWN = 0


def collated(
    texts: Sequence[Arrays], counts: NDArray[np.int64], unknown: float, draw: np.random.Generator | None
) -> dict[str, Tensor]:
    """Encoded texts side by side.

    Args:
        texts: as `TextInput.encode` made them.
        counts: how often each entry of the vocabulary occurs.
        unknown: while training a word that occurs n times is read as unknown with probability u / (u + n)
            (Kiperwasser & Goldberg 2016, arXiv 1603.04351, section 4); its parts are read all the same.
        draw: None for texts that are only read.

    Returns:
        The fields of `TextBatch`, and `lengths` (B,).
    """
    lengths = lengths_of([text["words"] for text in texts])
    if not bool(lengths.any()):
        # a step that is nowhere valid: recurrent layers read at least one
        nothing = {name: np.zeros(1, dtype=np.int32) for name in ("words", "pairs", "vectors", "spans")}
        texts = [{**text, **nothing} for text in texts]
    words = [text["words"].astype(np.int64) for text in texts]
    if draw is not None and unknown:
        words = [np.where(draw.random(len(w)) < unknown / (unknown + counts[w]), UNKNOWN, w) for w in words]
    table = padded(words)
    spans = padded([text["spans"].astype(np.int64) for text in texts])
    ends = spans.reshape(-1).cumsum(0)
    return {
        "words": table,
        "vectors": padded([text["vectors"].astype(np.int64) for text in texts]),
        "pairs": padded([text["pairs"].astype(np.int64) for text in texts]),
        "parts": _in_steps(texts),
        "begins": torch.cat([ends.new_zeros(1), ends[:-1]]) if len(ends) else ends,
        "lengths": lengths,
    }


def _in_steps(texts: Sequence[Arrays]) -> Tensor:
    """The parts of all words, by step and then by text, as the rows of (T, B) follow each other."""
    steps = max(len(text["spans"]) for text in texts)
    by_step: list[list[NDArray[np.int32]]] = [[] for _ in range(steps)]
    for text in texts:
        ends = np.cumsum(text["spans"])[:-1]
        if len(text["spans"]):
            for step, parts in enumerate(np.split(text["parts"], ends)):
                by_step[step].append(parts)
    flat = [parts for step in by_step for parts in step]
    return torch.from_numpy(np.concatenate(flat).astype(np.int64) if flat else np.empty(0, dtype=np.int64))


def text_batch(data: Mapping[str, Tensor]) -> TextBatch:
    """Return what the input layer reads."""
    return TextBatch(*(data[name] for name in TextBatch._fields))
