"""What a user may choose of `generate`: in training, in evaluation, and when it completes or writes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from unrolled.settings import Settings


class GenerateOptions(Settings):
    """What a user may choose; None lets the data decide."""

    tokens: Literal["auto", "char", "byte", "bpe"] = "auto"
    vocabulary_size: Annotated[int, Field(ge=3, le=1_000_000)] | None = None
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    hidden_size: Annotated[int, Field(ge=1, le=65536)] | None = None
    num_layers: Annotated[int, Field(ge=1, le=64)] | None = None
    embedding_size: Annotated[int, Field(ge=1, le=65536)] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    input_dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    recurrent_dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    weight_dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    tied: bool | None = None
    layer_norm: bool = False
    # T and B of a training window
    window: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=1)] | None = None
    encoding: str = "utf-8"
    errors: Literal["strict", "replace"] = "strict"
    format: Literal["auto", "text", "jsonl", "mbox", "eml"] = "auto"
    text_key: str = "text"
    # share of the text that is held out where no development data is named
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.1
    # share of keystrokes at which a suggestion is to be shown
    coverage: Annotated[float, Field(gt=0, le=1)] = 0.3
    max_words: Annotated[int, Field(ge=1, le=20)] = 5
    prompt: str = "\n"


class EvaluateOptions(Settings):
    """How to evaluate; None reads the text as in training."""

    encoding: str | None = None
    errors: Literal["strict", "replace"] | None = None
    format: Literal["auto", "text", "jsonl", "mbox", "eml"] | None = None
    text_key: str | None = None
    completion: bool = Field(True, description="try completion too, which takes longest")
    positions: Annotated[int, Field(ge=1)] = Field(1500, description="at how many places completion is tried")


class Suggesting(Settings):
    """Options of completing an input. Ranges are checked where they are used."""

    threshold: float | None = Field(None, description="nats a token below which nothing is shown [as fitted]")
    max_words: int | None = Field(None, description="words in a suggestion, at most")
    beam_size: int | None = Field(None, description="hypotheses kept by the search")
    n: int | None = Field(None, description="suggestions of each length, for --json")


class Writing(Settings):
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
