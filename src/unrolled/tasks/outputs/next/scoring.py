"""Scores of a text, the n-gram beside them, and the temporary encoding that evaluation needs."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays

from unrolled.data import Piece, TokenFile, Tokenizer, encode_corpus
from unrolled.errors import ModelError
from unrolled.storage import storage_error
from unrolled.tasks.outputs.next.ngram import NGram

BASELINE = "baseline.safetensors"
#: tokens that an n-gram scores at a time: memory does not grow with the text
CHUNK = 1 << 20


@contextmanager
def temporary_corpus(pieces: Iterable[Piece], tokenizer: Tokenizer) -> Iterator[TokenFile]:
    """A text encoded into a file that is gone afterwards, so that its size doesn't matter."""
    with tempfile.TemporaryDirectory(prefix="unrolled-") as folder:
        yield encode_corpus(pieces, tokenizer, Path(folder) / "text.tokens")


def text_metrics(nats: float, count: int, text: TokenFile, tokenizer: Tokenizer) -> dict[str, Any]:
    """What a summed negative log-likelihood says of a text.

    The first token is given, not predicted; its characters are left out of the count where tokens are characters, and
    are a vanishing part of it where they are not.

    Args:
        nats: −Σ ln p over the predicted tokens.
        count: how many those are.
    """
    characters = max(1, text.characters - 1) if tokenizer.kind == "char" and text.documents == 1 else text.characters
    metrics: dict[str, Any] = {
        "loss": nats / count,
        "nats_per_character": nats / characters,
        "bits_per_character": nats / characters / math.log(2),
        "perplexity": math.exp(min(nats / count, 700.0)),
        "tokens": count,
        "characters": text.characters,
    }
    if tokenizer.unknown_id is not None:
        metrics["unknown_characters"] = int(np.count_nonzero(text.tokens == tokenizer.unknown_id))
    return metrics


def ngram_nats(ngram: NGram, tokens: NDArray[Any]) -> float:
    """−Σ ln p of each token of a text but the first, nats, for tokens (N,) that may be a mapped file."""
    nats = 0.0
    for at in range(0, len(tokens), CHUNK):
        context, part = tokens[max(0, at - ngram.order) : at], tokens[at : at + CHUNK]
        log_probs = ngram.log_probabilities(np.asarray(part, dtype=np.int64), context)
        nats -= float((log_probs if at else log_probs[1:]).sum())
    return nats


def load_baseline(folder: Path) -> NGram:
    """The n-gram that was counted on the model's training text.

    Raises:
        ModelError, StorageError: if it is missing or damaged.
    """
    path = folder / BASELINE
    try:
        return NGram.from_arrays(load_arrays(path.read_bytes()))
    except FileNotFoundError as error:
        raise ModelError(f"{path}: missing; restore it from a copy of the model") from error
    except OSError as error:
        raise storage_error(error, path, "reading it") from error
    except SafetensorError as error:
        raise ModelError(f"{path}: corrupt or cut short ({error}); restore it from a copy of the model") from error
