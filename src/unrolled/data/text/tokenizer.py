"""A tokeniser: text to integer ids and back.

Id 0 ends a document in every kind. All kinds are lossless on text whose characters they know.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from unrolled.data.core.examples import Array
from unrolled.errors import ArgumentError
from unrolled.storage import write_json
from unrolled.types import Json

FORMAT, VERSION = "unrolled.tokenizer", 1

Ids = NDArray[np.int32]


class Tokenizer(ABC):
    """A tokeniser of any kind."""

    kind: ClassVar[str]
    end_id: ClassVar[int] = 0
    """The token that ends a document; it has no text."""
    unknown_id: ClassVar[int | None] = None
    """The token for characters that are not in the vocabulary, if there can be any."""

    @property
    @abstractmethod
    def vocabulary_size(self) -> int:
        """V: ids are 0 … V-1."""

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """Return the ids of `text`, shape (T,), int32; no end-of-document token is added."""

    @property
    @abstractmethod
    def bytes_of_tokens(self) -> list[bytes]:
        """The UTF-8 bytes that each token stands for (BPE tokens may be parts of a character); none for `end_id`.

        In the order of the ids, for a search among tokens by their bytes; not to be changed.
        """

    def extended(self, other: Tokenizer) -> Tokenizer:
        """Return this tokeniser with the characters or words that another of its kind knows besides, in front of which
        all ids stay as they are; this one where there is none, or it can write everything as it is.
        """
        return self

    @abstractmethod
    def _settings(self) -> Json:
        """All that makes up this tokeniser."""

    def decode(self, ids: Sequence[int] | Array) -> str:
        """Return the text of ids; `end_id` has none, and bytes that are no UTF-8 become U+FFFD.

        Raises:
            ArgumentError: an id outside the vocabulary.
        """
        table = self.bytes_of_tokens
        return b"".join([table[token] for token in self._checked(ids).tolist()]).decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        """Return one token's entry of `bytes_of_tokens`.

        Raises:
            ArgumentError: there is no such id.
        """
        if not 0 <= token < self.vocabulary_size:
            raise ArgumentError(f"ids: {token} is not in the vocabulary of {self.vocabulary_size} tokens")
        return self.bytes_of_tokens[token]

    def token_text(self, token: int) -> str:
        """Return one token alone as text: ``decode([token])``."""
        return self.decode([token])

    def decoder(self) -> StreamDecoder:
        """Return a new incremental decoder, for text that is shown as it is generated."""
        return StreamDecoder(self)

    def encode_prefix(self, text: str) -> tuple[Ids, str]:
        """Return the ids of the text up to the last place where no continuation can change them, and the rest.

        A model that has read ``["I", " am", " wri"]`` has never seen ``ting`` follow: in its training data the word was
        one token. So the continuation is to be searched from the safe place, among tokens whose bytes begin with,
        or are the beginning of, the rest ("token healing").

        Returns:
            (ids, rest): ``decode(ids) + rest == text`` for known characters; rest is ``""`` for characters and bytes.
        """
        return self.encode(text), ""

    def safe_boundary(self, text: str) -> int:
        """Return the last index at which `text` can be cut and both sides encoded alone with the same result.

        It holds whatever follows; 0 if there is none.
        """
        return len(text)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the settings as canonical JSON: equal if and only if two tokenisers encode alike."""
        text = json.dumps(self._payload(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the tokeniser as JSON.

        Args:
            path: the file, ``tokenizer.json`` in a model folder.
        Raises:
            StorageError: it can't be written.
        """
        write_json(path, self._payload())

    def _payload(self) -> Json:
        return {"format": FORMAT, "version": VERSION, "kind": self.kind, **self._settings()}

    def _checked(self, ids: Sequence[int] | Array) -> NDArray[np.int64]:
        array = np.asarray(ids, dtype=np.int64).reshape(-1)
        if array.size and not (array.min() >= 0 and array.max() < self.vocabulary_size):
            wrong = array[(array < 0) | (array >= self.vocabulary_size)][0]
            raise ArgumentError(f"ids: {wrong} is not in the vocabulary of {self.vocabulary_size} tokens")
        return array


class StreamDecoder:
    """Text out of ids that come one at a time; the beginning of a character is withheld until the rest has come."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        """Return the text that this token completes; empty if it completes none."""
        return self._utf8.decode(self._tokenizer.token_bytes(token))

    def flush(self) -> str:
        """Return the rest at the end: U+FFFD for a character that was never completed, else nothing."""
        text = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return text
