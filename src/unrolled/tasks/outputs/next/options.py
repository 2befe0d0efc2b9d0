"""Options of a language model's output: what it suggests, how it writes, how it is judged, and its network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from unrolled.settings import Settings
from unrolled.tasks.core.recurrent import Cell, Layers, Rate, Units

#: in a suggestion
MOST_WORDS = 20
Words = Annotated[int, Field(ge=1, le=MOST_WORDS)]


#: of an output layer: over all tokens at once, or in clusters by how frequent they are
Softmax = Literal["full", "adaptive"]


class NextOptions(Settings):
    """Options of training: what is suggested."""

    # share of keystrokes at which a suggestion is to be shown
    coverage: Annotated[float, Field(gt=0, le=1)] = 0.3
    max_words: Words = 5
    ngram: int | None = Field(None, ge=0, le=12, description="order of the n-gram that is mixed in; 0 leaves it out")


class Asking(Settings):
    """Options of how a model is asked."""

    ngram: int | None = Field(None, ge=0, description="0 leaves out the n-gram that is mixed in")
    adapt: Literal["cache", "dynamic", "both"] | None = Field(
        None, description="learn from the text that is read: by a cache of states, by steps of descent, or both"
    )


class NextEvaluation(Asking):
    """How completion is evaluated."""

    completion: bool = Field(True, description="try completion too, which takes longest")
    positions: Annotated[int, Field(ge=1)] = Field(1500, description="at how many places completion is tried")


class Suggesting(Asking):
    """Options of completing an input. Ranges are checked where they are used."""

    threshold: float | None = Field(None, description="nats a token below which nothing is shown [as fitted]")
    max_words: int | None = Field(None, description="words in a suggestion, at most")
    beam_size: int | None = Field(None, description="hypotheses kept by the search")
    n: int | None = Field(None, description="suggestions of each length, for --json")


class Writing(Asking):
    """Options of writing on from a prompt. Ranges are checked where they are used."""

    max_tokens: int | None = Field(None, description="length, at most [400]")
    samples: int | None = Field(None, description="how many texts [1]")
    seed: int | None = Field(None, description="the same seed writes the same text [0]")
    temperature: float | None = Field(None, description="below 1 more careful, above 1 wilder; 0 the likeliest [1]")
    top_k: int | None = Field(None, description="draw from the k likeliest tokens")
    top_p: float | None = Field(None, description="draw from the likeliest that make up this probability")
    min_p: float | None = Field(None, description="leave out what is less likely than this share of the likeliest")
    repetition_penalty: float | None = Field(None, description="above 1: repeat less")
    frequency_penalty: float | None = Field(None, description="nats off for each time a token was used")
    presence_penalty: float | None = Field(None, description="nats off if a token was used")
    no_repeat_ngram: int | None = Field(None, description="do not write the same n tokens twice within 256")
    stop: list[str] | None = Field(None, description="end before this text; may be repeated")


class LanguageModelNetwork(Settings):
    """The network, completely. Sizes are in units, dropouts are probabilities."""

    cell: Cell = "lstm"
    vocabulary_size: int
    embedding_size: Units
    hidden_size: Units
    num_layers: Layers
    # on the embedding's vectors, variational
    input_dropout: Rate = 0.0
    # between layers and before the output, variational
    dropout: Rate = 0.0
    # on h_{t-1} where it enters the gates, variational
    recurrent_dropout: Rate = 0.0
    # on the entries of weight_hh
    weight_dropout: Rate = 0.0
    # whether the output layer's weight is the embedding's
    tied: bool = False
    softmax: Softmax = "full"
    layer_norm: bool = False
