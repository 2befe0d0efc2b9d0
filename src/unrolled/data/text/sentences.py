"""Sentences by a tokeniser: each by itself, with the token that ends it.

Byte pairs are those of words with the space before them, so that a word is the same token wherever it stands; hence a
space before the first word, which decoding takes away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from unrolled.data.core.examples import Array
from unrolled.data.text.tokenizer import Ids, Tokenizer
from unrolled.data.text.tokenizers import fit_tokenizer

#: the token that ends a sentence, as it is shown
SHOWN_END = "</s>"


def fit_sentences(kind: str, texts: Iterable[str], vocabulary_size: int | None = None) -> Tokenizer:
    """Return a tokeniser of sentences; arguments as for `fit_tokenizer`."""
    space = " " if kind == "bpe" else ""
    return fit_tokenizer(kind, (f"{space}{text}\n" for text in texts), vocabulary_size)


def encode_sentence(text: str, tokenizer: Tokenizer) -> Ids:
    """Return a sentence's ids, (T,), the end last."""
    ids = tokenizer.encode(f" {text}" if tokenizer.kind == "bpe" else text)
    return np.append(ids, np.int32(tokenizer.end_id)).astype(np.int32)


def decode_sentence(ids: Sequence[int] | Array, tokenizer: Tokenizer) -> str:
    """Return the sentence of ids, whether or not the end is among them."""
    text = tokenizer.decode(ids)
    return text.removeprefix(" ") if tokenizer.kind == "bpe" else text
