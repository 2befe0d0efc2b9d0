"""Error rates of transcripts, on the development data and in evaluation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from unrolled.data import Arrays, Example, ExampleStore, sorted_batches
from unrolled.errors import DataError
from unrolled.metrics.speech import error_rates, speech_metrics
from unrolled.tasks.core.examples import SIDE_BY_SIDE as IN_MEMORY
from unrolled.tasks.core.examples import on_device
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.values import Progress, in_lists
from unrolled.tasks.outputs.text.ctc.baseline import evaluate_most_frequent
from unrolled.tasks.outputs.text.ctc.decode import SIDE_BY_SIDE, Decoder, greedy_units, log_probabilities
from unrolled.tasks.outputs.text.ctc.network import score
from unrolled.training import share_out
from unrolled.types import Json

#: inputs shown while training
SHOWN = 5


def text_of(arrays: Arrays) -> str:
    """Return the normalised text of an encoded example."""
    return bytes(arrays["text"]).decode()


def greedy_texts(model: AnyFitted, examples: list[Arrays]) -> list[str]:
    """Return what the likeliest class of each step spells."""
    spelled = model.output.spelling.spelled
    return [spelled([e.unit for e in greedy_units(log_probs)]) for log_probs in log_probabilities(model, examples)]


def dev_metrics(model: AnyFitted, dev: ExampleStore) -> dict[str, float]:
    """Return the loss of CTC, and the error rates of greedy reading."""
    total, count = 0.0, 0
    references, hypotheses = [], []
    lengths = model.input.lengths(dev)

    def compute(chosen: NDArray[np.int64]) -> tuple[float, int, list[str], list[str]]:
        examples = [dev[int(n)] for n in chosen]
        batch = {**model.input.collate(model, examples), **model.output.collate(examples)}
        data = on_device(model.network, batch)
        x, steps = model.input.feed(data)
        with torch.no_grad():
            scored = score(model.network, x, steps, data)
        read = [text_of(example) for example in examples]
        return float(scored.total), scored.count, read, greedy_texts(model, examples)

    batches = sorted_batches(np.ones(len(dev), np.int64) if lengths is None else lengths, SIDE_BY_SIDE)
    for nats, tokens, read, heard in share_out(batches, compute):
        total, count = total + nats, count + tokens
        references += read
        hypotheses += heard
    return {"loss": total / count, **error_rates(references, hypotheses)}


def sample(model: AnyFitted, dev: ExampleStore) -> str:
    """Return what is to be read in the first inputs, and what was."""
    examples = [dev[n] for n in range(min(SHOWN, len(dev)))]
    pairs = zip(examples, greedy_texts(model, examples), strict=True)
    return "\n".join(f"said:  {text_of(example)}\nheard: {heard}" for example, heard in pairs)


def evaluate(
    model: AnyFitted, examples: Iterator[tuple[Example, Arrays]], progress: Progress, decoder: Decoder
) -> tuple[Json, Json]:
    """Return WER and CER beside those of always saying the most frequent transcript.

    Raises:
        DataError: there is no example that can be read, or no word in any of them.
        MissingDependencyError: jiwer is not installed.
    """
    references: list[str] = []
    hypotheses: list[str] = []
    first: Example | None = None
    for pairs in in_lists(examples, IN_MEMORY):
        first = first or pairs[0][0]
        arrays = [part for _, part in pairs]
        steps = [model.input.count_steps(part) for part in arrays]
        for rows in sorted_batches(steps, SIDE_BY_SIDE):
            chosen = [arrays[row] for row in rows]
            for part, log_probs in zip(chosen, log_probabilities(model, chosen), strict=True):
                references.append(text_of(part))
                hypotheses.append(decoder(log_probs, model.input.step_size)["text"])
            progress("transcribing", len(references), None)
    if first is None:
        raise DataError("no example that can be read")
    if not any(references):
        raise DataError("no word in any transcript, and an error rate is errors per word", first.path or None)
    return speech_metrics(references, hypotheses), evaluate_most_frequent(references, model.folder)
