"""Options of `tag`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from unrolled.settings import Settings
from unrolled.tasks.core.examples import ExampleOptions
from unrolled.tasks.core.recurrent import Rate, RecurrentNetwork, RecurrentOptions
from unrolled.tasks.inputs.words.layer import WordsNetwork
from unrolled.tasks.inputs.words.options import WordsOptions

Format = Literal["auto", "columns", "jsonl"]
Separator = Literal["auto", "tab", "space"]
Scheme = Literal["auto", "iob1", "bio", "bioes", "labels"]
Decoding = Literal["crf", "softmax"]

_TOKENS = "the column of the tokens: its name (form, in CoNLL-U), or its number from 0, below 0 from the last"
_LABELS = "the column of the labels, as --token-column (upos, in CoNLL-U; else the last)"


class TagOptions(WordsOptions, RecurrentOptions, ExampleOptions):
    """Options of training; None lets the data decide."""

    bidirectional: bool = Field(True, description="read sentences from both ends; without it a softmax can stream")
    output: Decoding = Field("crf", description="labels as a chain, or each for itself")
    context: Annotated[int, Field(ge=0)] | None = Field(
        None, description="tokens of a document that are read in one go; 0 reads sentences alone"
    )
    dropout: Rate | None = None
    recurrent_dropout: Rate | None = None
    alone: Rate | None = Field(None, description="probability that a text is read without its context")
    format: Format = "auto"
    token_column: str | int | None = Field(None, description=_TOKENS)
    label_column: str | int | None = Field(None, description=_LABELS)
    separator: Separator = Field("auto", description="between columns")
    scheme: Scheme = Field("auto", description="how tags spell entities; labels: a label for each token, as it is")
    encoding: str = "utf-8"
    errors: Literal["strict", "replace"] = "strict"


class TagEvaluation(Settings):
    """How to evaluate; None reads files as in training."""

    format: Format | None = Field(None, description="of the files; auto looks at each")
    token_column: str | int | None = Field(None, description=_TOKENS)
    label_column: str | int | None = Field(None, description=_LABELS)
    separator: Separator | None = Field(None, description="between columns")
    scheme: Scheme | None = Field(None, description="how tags spell entities; labels: a label for each token, as it is")
    encoding: str | None = None
    errors: Literal["strict", "replace"] | None = None
    skip_bad: bool = Field(False, description="leave out sentences that can't be used, and name them")


class TagPrediction(Settings):
    """How to predict."""

    n_best: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="readings of the whole text, for --json")


class ChainNetwork(RecurrentNetwork):
    """Hidden layers, and labels as a chain or each for itself, completely."""

    labels: int
    output: Decoding = "crf"
    recurrent_dropout: Rate = 0.0


class TagNetwork(ChainNetwork, WordsNetwork):
    """The network, completely."""
