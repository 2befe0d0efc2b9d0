"""How well a text is predicted and completed, the n-gram beside it, and the temporary encoding that this needs."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.data import Piece, TokenFile, Tokenizer, encode_corpus
from unrolled.errors import DataError
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.values import Progress
from unrolled.tasks.outputs.next.completion import study_completion
from unrolled.tasks.outputs.next.encode import BASELINE
from unrolled.tasks.outputs.next.mixture import NGramMixture, load_ngram
from unrolled.tasks.outputs.next.options import NextEvaluation
from unrolled.tasks.outputs.next.predictor import NetworkPredictor, NGramPredictor, asked_with, predictor_of
from unrolled.types import Json


@contextmanager
def temporary_corpus(pieces: Iterable[Piece], tokenizer: Tokenizer) -> Iterator[TokenFile]:
    """Yield a text encoded into a file that is gone afterwards, so that its size doesn't matter."""
    with tempfile.TemporaryDirectory(prefix="unrolled-") as folder:
        yield encode_corpus(pieces, tokenizer, Path(folder) / "text.tokens")


def text_metrics(nats: float, count: int, text: TokenFile, tokenizer: Tokenizer) -> Json:
    """Return what a summed negative log-likelihood says of a text.

    The first token is given, not predicted; its characters are left out of the count where tokens are characters, and
    are a vanishing part of it where they are not.

    Args:
        nats: −Σ ln p over the predicted tokens.
        count: how many those are.
    """
    characters = max(1, text.characters - 1) if tokenizer.kind == "char" and text.documents == 1 else text.characters
    metrics: Json = {
        "loss": nats / count,
        "nats_per_character": nats / characters,
        "bits_per_character": nats / characters / math.log(2),
        "perplexity": math.exp(min(nats / count, 700.0)),
        "tokens": count,
        "characters": text.characters,
    }
    if tokenizer.unknown_id is not None:
        name = "unknown_words" if tokenizer.kind == "word" else "unknown_characters"
        metrics[name] = int(np.count_nonzero(text.tokens == tokenizer.unknown_id))
    return metrics


def evaluate_text(
    model: AnyFitted, pieces: Iterable[Piece], where: str, options: NextEvaluation, progress: Progress
) -> tuple[Json, Json]:
    """Return the metrics of a model on a text, its network's alone among them, and those of the n-gram alone.

    Args:
        model: the model.
        pieces: of the text.
        where: what errors call it.
        options: whether and how completion is tried.
        progress: is called as it goes.

    Raises:
        DataError: the text is too short.
    """
    with temporary_corpus(pieces, model.input.tokenizer) as text:
        if len(text) < 2:
            raise DataError(f"the text has {len(text)} token; at least 2 are needed to predict any", where)
        return _evaluate(model, text, options, progress)


def _evaluate(model: AnyFitted, text: TokenFile, options: NextEvaluation, progress: Progress) -> tuple[Json, Json]:
    progress("scoring the text", 0, None)
    tokenizer: Tokenizer = model.input.tokenizer
    chosen = asked_with(model, options.ngram, options.adapt)
    metrics = text_metrics(*predictor_of(chosen).score(text), text, tokenizer)
    mixture: NGramMixture | None = model.output.mixture
    ngram = None if mixture is None else mixture.ngram
    if mixture is not None:
        network: Any = model.network
        alone = text_metrics(*NetworkPredictor(network).score(text), text, tokenizer)
        metrics["network"] = {name: alone[name] for name in ("loss", "nats_per_character", "perplexity")}
    elif model.folder is not None:
        ngram = load_ngram(model.folder / BASELINE)
    beside: Json = {}
    if ngram is not None:
        beside = {"model": f"{ngram.order}-gram, modified Kneser-Ney"}
        beside |= text_metrics(*NGramPredictor(ngram).score(text), text, tokenizer)
    if options.completion:
        metrics["completion"], other = study_completion(chosen, ngram, text.tokens, options.positions, progress)
        if ngram is not None:
            beside["completion"] = other
    return metrics, beside
