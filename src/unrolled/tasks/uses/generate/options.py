"""Options of `generate`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from unrolled.data import Piece, read_documents
from unrolled.data.core.folders import Place
from unrolled.settings import Settings
from unrolled.tasks.core.recurrent import Cell, Layers, Rate, Units
from unrolled.tasks.outputs.next.options import NextEvaluation, NextOptions, Softmax

Errors = Literal["strict", "replace"]
Format = Literal["auto", "text", "jsonl", "mbox", "eml"]


class ReadingOptions(Settings):
    """How files of text are read."""

    encoding: str = "utf-8"
    errors: Errors = "strict"
    format: Format = "auto"
    text_key: str = "text"

    def read(self, paths: tuple[Place, ...]) -> Iterator[Piece]:
        """Yield the text of some files in pieces.

        Raises:
            DataError, StorageError: naming file and line.
        """
        fields = {name: getattr(self, name) for name in ReadingOptions.model_fields}
        return read_documents(paths, **fields)


class ReadAgain(Settings):
    """How other files are read than those of training; None is as in training."""

    encoding: str | None = None
    errors: Errors | None = None
    format: Format | None = None
    text_key: str | None = None

    def over(self, trained: ReadingOptions) -> ReadingOptions:
        """Return the options of training, those that are given here instead."""
        given = {name: getattr(self, name) for name in ReadingOptions.model_fields}
        return trained.model_copy(update={name: value for name, value in given.items() if value is not None})


class GenerateOptions(NextOptions, ReadingOptions):
    """Options of training; None lets the data decide."""

    tokens: Literal["auto", "char", "byte", "bpe", "word"] = "auto"
    vocabulary_size: Annotated[int, Field(ge=3, le=1_000_000)] | None = None
    cell: Cell = "lstm"
    hidden_size: Units | None = None
    num_layers: Layers | None = None
    embedding_size: Units | None = None
    dropout: Rate | None = None
    input_dropout: Rate | None = None
    recurrent_dropout: Rate | None = None
    weight_dropout: Rate | None = None
    tied: bool | None = None
    softmax: Softmax | None = Field(None, description="adaptive: rare words in clusters, cheaper where there are many")
    activation_penalty: Annotated[float, Field(ge=0)] = Field(0.0, description="α on the mean square of h, dropout in")
    temporal_penalty: Annotated[float, Field(ge=0)] = Field(0.0, description="β on the mean square of h_t − h_{t−1}")
    layer_norm: bool = False
    # T and B of a training window
    window: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=1)] | None = None
    # share of the text that is held out where no development data is named
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.1
    prompt: str = "\n"


class GenerateEvaluation(NextEvaluation, ReadAgain):
    """How to evaluate; None reads the text as in training."""


class PersonalOptions(ReadAgain):
    """How to adapt to a writer. The cache brings most for its time (docs/personal.md)."""

    method: Literal["cache", "finetune", "both"] = "cache"
    # of training the network on, at most
    minutes: Annotated[float, Field(gt=0)] = 3.0
    epochs: Annotated[float, Field(gt=0)] = 20.0
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    format: Format = "auto"
