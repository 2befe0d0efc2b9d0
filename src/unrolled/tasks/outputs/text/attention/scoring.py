"""Metrics of written texts beside the references, and the search that writes the best ones.

N examples, T tokens of a text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import NamedTuple

import torch

from unrolled.data import Arrays, Example
from unrolled.errors import DataError
from unrolled.metrics.translation import References, translation_scores
from unrolled.tasks.core.examples import on_device
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.values import in_lists
from unrolled.tasks.outputs.text.attention.decode import Search, Some, batches, best_of
from unrolled.training import share_out
from unrolled.types import Json

#: examples whose targets are scored side by side
SCORED = 64


class Judged(NamedTuple):
    """The texts that a model wrote about some examples.

    Attributes:
        examples: N that could be read.
        written: the best text about each, tokens without the end.
        loss: of the targets, nats a token.
    """

    examples: list[Example]
    written: list[tuple[int, ...]]
    loss: float


def judge(model: AnyFitted, examples: Iterator[tuple[Example, Arrays]], search: Search) -> Judged:
    """Score the targets of encoded examples, and write a text about each.

    Raises:
        DataError: there is none.
    """
    read: list[Example] = []
    written: list[tuple[int, ...]] = []
    total, count = 0.0, 0
    for pairs in in_lists(examples, model.input.side_by_side):
        arrays = [encoded for _, encoded in pairs]
        nats, tokens = score_targets(model, arrays)
        total, count = total + nats, count + tokens
        written += best_of(model, arrays, search)
        read += [example for example, _ in pairs]
    if not read:
        raise DataError("no example that can be read")
    return Judged(read, written, total / max(1, count))


def unsigned_scores(texts: Sequence[str], references: References) -> Json:
    """Return BLEU and chrF of texts, without sacrebleu's signatures.

    Raises:
        MissingDependencyError: sacrebleu is not installed.
    """
    return {name: value for name, value in translation_scores(texts, references).items() if name != "signatures"}


def score_targets(model: AnyFitted, examples: Some) -> tuple[float, int]:
    """Return −Σ ln p of the targets, nats, and how many tokens they have."""

    def compute(some: list[Arrays]) -> tuple[float, int]:
        parts = {**model.input.collate(model, some), **model.output.collate(some)}
        data = on_device(model.network, parts)
        with torch.no_grad():
            scored = model.output.score(model.network, *model.input.feed(data), data)
        return float(scored.total), scored.count

    scores = [*share_out((some for _, some in batches(model, examples, SCORED)), compute)]
    return sum(total for total, _ in scores), sum(count for _, count in scores)


def fit_search(
    score: Callable[[Search], float], usual: Search, penalties: Sequence[float], beams: Sequence[int]
) -> tuple[Search, float]:
    """Return the search with the length penalty, and then the beam, that score best, and its score.

    Args:
        score: of texts that are searched for so; of equals the first is taken.
        usual: all else about the search; its beam is the first that is tried.
        penalties: powers of the length.
        beams: further hypotheses kept.
    """
    tried = [(search, score(search)) for search in (replace(usual, length_penalty=power) for power in penalties)]
    best = max(tried, key=itemgetter(1))
    wider = (replace(best[0], beam_size=beam) for beam in beams)
    return max((best, *((search, score(search)) for search in wider)), key=itemgetter(1))
