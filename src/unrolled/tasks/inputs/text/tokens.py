"""A text, read token by token: characters, bytes or byte pairs of a fitted tokeniser."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from unrolled.data import Arrays, Example, Tokenizer, fit_tokenizer, lengths_of, load_tokenizer, padded
from unrolled.data.text.labelled import TEXT_NAMES
from unrolled.data.text.sentences import SHOWN_END
from unrolled.errors import ArgumentError
from unrolled.layers import Embedding
from unrolled.settings import Settings
from unrolled.tasks.core import results
from unrolled.tasks.core.contract import Input
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.probe import last_steps
from unrolled.tasks.core.values import InputSteps, Progress
from unrolled.tasks.inputs.text.encode import checked_text
from unrolled.tasks.inputs.text.layer import TokenNetwork
from unrolled.tasks.inputs.text.options import TokenOptions
from unrolled.types import Json


class ShownSource(results.Shown):
    """The text that another one is made of."""

    source: str

    def picture(self) -> str:
        """Return the text."""
        return f"<p>{html.escape(self.source)}</p>"


class TokenInput(Input[str]):
    """A text, read token by token.

    Args:
        tokenizer: as fitted.
    """

    name: ClassVar[str] = "text"
    reads: ClassVar[Literal["text", "path"]] = "text"
    role: ClassVar[str] = "text"
    column_names: ClassVar[tuple[str, ...]] = TEXT_NAMES
    length_of: ClassVar[str | None] = "source"
    side_by_side: ClassVar[int] = 1024
    options: ClassVar[type[Settings]] = TokenOptions
    Network: ClassVar[type[Settings]] = TokenNetwork
    Shown: ClassVar[type[results.Shown]] = ShownSource
    #: where the tokeniser lies in a model's folder
    file: ClassVar[str] = "tokenizer.json"

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    @classmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> TokenInput:
        """Fit the tokeniser on the texts of the training part."""
        progress("fitting the tokeniser", 0, None)
        chosen = TokenOptions.of(options)
        return cls(fit_tokenizer(chosen.tokens, (f"{e.given}\n" for e in examples), chosen.vocabulary_size))

    def extended(self, other: TokenInput) -> TokenInput:
        """Add the other's characters or words; byte pairs know all text anyway."""
        return type(self)(self.tokenizer.extended(other.tokenizer))

    @property
    def sizes(self) -> dict[str, int]:
        """How many tokens are read."""
        size = self.tokenizer.vocabulary_size
        return {"vocabulary_size": size, "source_size": size}

    @classmethod
    def load(cls, folder: Path) -> TokenInput:
        """Read the tokeniser."""
        return cls(load_tokenizer(folder / cls.file))

    def save(self, folder: Path) -> None:
        """Write the tokeniser."""
        self.tokenizer.save(folder / self.file)

    def given(self, value: object) -> str:
        """Return the text."""
        return checked_text(value)

    def encode(self, given: str, options: Settings | None = None) -> Arrays:
        """Return the ids `source` (T,)."""
        return {"source": self.tokenizer.encode(given)}

    def collate(
        self, model: AnyFitted, examples: Sequence[Arrays], draw: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return `source` (T, B) and `source_lengths` (B,)."""
        texts = [example["source"] for example in examples]
        lengths = lengths_of(texts)
        if not bool(lengths.any()):
            # a step that is nowhere valid: recurrent layers read at least one
            texts = [np.zeros(1, dtype=np.int32) for _ in texts]
        return {"source": padded(texts).long(), "source_lengths": lengths}

    def feed(self, data: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the tokens and the lengths."""
        return data["source"], data["source_lengths"]

    def layer(self, network: Mapping[str, Any]) -> Embedding:
        """Return a vector for each token."""
        chosen = TokenNetwork.picked(network)
        size, width = self.tokenizer.vocabulary_size, chosen.embedding_size
        return Embedding(size, width, dropout=chosen.input_dropout, word_dropout=chosen.word_dropout)

    def facts(self, train: Sequence[Example], dev: Sequence[Example]) -> Json:
        """Count characters, and the tokens there are."""
        characters = sum(len(example.given) for example in train)
        return {"source_characters": characters, "source_vocabulary": self.tokenizer.vocabulary_size}

    def to_json(self, given: str) -> str:
        """Return the text."""
        return given

    def shown(self, given: str, arrays: Arrays) -> results.Shown:
        """Return the text."""
        return ShownSource(source=given)

    def names(self, arrays: Arrays) -> tuple[str, ...]:
        """Return the characters of each token, </s> for the end."""
        return tuple(self._name(int(token), SHOWN_END) for token in arrays["source"])

    def steps(self, model: AnyFitted, given: str, limit: int) -> InputSteps:
        """Lay out a text by its tokens."""
        ids = self.encode(given)["source"]
        if not len(ids):
            raise ArgumentError("input: a text of at least one word is needed to look into")
        first, note = last_steps(len(ids), limit, "tokens")
        names = tuple(self._name(int(token), "(end)") for token in ids[first:])
        return InputSteps(self.collate(model, [{"source": ids[first:]}]), names, note, "")

    def _name(self, token: int, end: str) -> str:
        return end if token == self.tokenizer.end_id else self.tokenizer.token_text(token)
