"""What a user may choose of `translate`: in training, in evaluation, and of a single translation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from unrolled.data.parallel.read import PairFormat
from unrolled.settings import Settings
from unrolled.tasks.core.example_task import ExampleOptions

_SIDE = "what the names of its files end in (train.de), its column, key or language"
Size = Annotated[int, Field(ge=1, le=65536)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Penalty = Annotated[float, Field(ge=0, le=10)]


class TranslateOptions(ExampleOptions):
    """What a user may choose; None lets the data decide."""

    source: str | None = Field(None, description=f"the language that is read: {_SIDE}")
    target: str | None = Field(None, description=f"the language that is written: {_SIDE}")
    format: PairFormat = "auto"
    encoding: str = "utf-8"
    errors: Literal["strict", "replace"] = "strict"
    tokens: Literal["bpe", "char", "byte"] = "bpe"
    vocabulary_size: Annotated[int, Field(ge=3, le=1_000_000)] | None = None
    joint: bool = Field(False, description="one vocabulary and one embedding for both languages")
    cell: Literal["lstm", "gru"] = "gru"
    embedding_size: Size | None = None
    hidden_size: Size | None = Field(None, description="units of the decoder, and of the encoder's directions together")
    num_layers: Annotated[int, Field(ge=1, le=16)] | None = Field(None, description="layers of the encoder")
    decoder_layers: Annotated[int, Field(ge=1, le=16)] | None = Field(
        None,
        description="layers of the decoder; without --input-feeding those after the first read what attention found",
    )
    attention: Literal["general", "additive", "dot"] | None = Field(
        None, description="how the decoder's state is compared with the source"
    )
    input_feeding: bool | None = Field(None, description="feed what attention found back into the decoder")
    tied: bool = True
    dropout: Rate | None = Field(None, description="probability, on what encoder and decoder yield")
    input_dropout: Rate | None = None
    word_dropout: Rate | None = Field(None, description="probability of a token being hidden wherever it stands")
    label_smoothing: Rate = Field(0.1, description="share of the target's probability that is spread over all tokens")


class SearchOptions(Settings):
    """How translations are searched for."""

    beam_size: Annotated[int, Field(ge=1, le=1000)] = Field(5, description="hypotheses kept by the search")
    length_penalty: Penalty | None = Field(
        None, description="power of the length that a log-probability is divided by; by default fitted"
    )
    coverage_penalty: Penalty = Field(0.0, description="weight of what is lost by leaving parts of the source unread")


class EvaluateOptions(SearchOptions):
    """Of an evaluation; what is None is as in training."""

    source: str | None = Field(None, description=f"the language that is read: {_SIDE}")
    target: str | None = Field(None, description=f"the language that is written: {_SIDE}")
    format: PairFormat | None = None
    encoding: str | None = None
    errors: Literal["strict", "replace"] | None = None
    skip_bad: bool | None = Field(None, description="leave out pairs that can't be read, and name them")
    write: Path | None = Field(None, description="a file for the translations, one a line")


class PredictOptions(SearchOptions):
    """Of a single translation."""

    n_best: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="translations of each input, in --json")
    batch_size: Annotated[int, Field(ge=1)] | None = Field(
        None, description="inputs side by side; by default 32 of a list, and each as it comes of a stream"
    )
