"""Options of `signal`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from unrolled.data.core.dialect import TableOverrides
from unrolled.data.series.signals import SignalOptions
from unrolled.settings import Names
from unrolled.tasks.core.examples import ExampleOptions
from unrolled.tasks.core.recurrent import Rate, RecurrentOptions
from unrolled.tasks.outputs.values.options import ValuesOptions


class SignalUseOptions(ValuesOptions, RecurrentOptions, ExampleOptions, SignalOptions):
    """Options of training; None lets the data decide."""

    bidirectional: bool = Field(False, description="read the future too; such a model can't stream")
    dropout: Rate | None = Field(None, description="probability, between layers and before the output layer")
    stride: Annotated[int, Field(ge=1, le=1024)] = Field(
        1, description="steps that the network reads and answers at a time: faster, and late by as many less one"
    )
    left: Annotated[int, Field(ge=0, le=4096)] | None = Field(
        None, description="earlier steps that the network sees beside them"
    )
    window: Annotated[int, Field(ge=2)] | None = Field(None, description="train on pieces of so many steps")


class SignalEvaluation(TableOverrides):
    """How to evaluate; None reads files as in training."""

    skip_bad: bool | None = Field(None, description="leave out pairs that can't be read, instead of ending")
    target: Names | None = Field(None, description="of tables: columns to compare with, if not those of training")
    sequence_column: str | None = Field(None, description="of tables: which sequence a row belongs to")
