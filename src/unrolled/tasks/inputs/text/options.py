"""Options of texts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from unrolled.settings import Settings
from unrolled.tasks.core.recurrent import Rate, Units


class TextOptions(Settings):
    """How texts are read by their words; None lets the data decide."""

    embedding_size: Units | None = None
    parts: bool = Field(True, description="read parts of words too, 3 to 5 characters each")
    votes: bool = Field(True, description="a linear model of words, their parts and pairs beside the network")
    vectors: str | None = Field(None, description="a file of word vectors, a word and its numbers a line")
    lowercase: bool = Field(True, description="read texts in lower case")
    min_count: Annotated[int, Field(ge=1)] | None = Field(None, description="a word that occurs less often is unknown")
    longest: Annotated[int, Field(ge=1)] = Field(
        1000, description="words that are read: of a longer text its first and its last half of so many"
    )
    input_dropout: Rate | None = None
    word_dropout: Rate | None = Field(None, description="probability of leaving a word's vector out")
    unknown: Annotated[float, Field(ge=0)] | None = Field(
        None, description="u: a word seen n times is read as unknown with probability u/(u+n)"
    )


class TokenOptions(Settings):
    """How texts are read token by token; None lets the data decide."""

    tokens: Literal["bpe", "char", "byte"] = "bpe"
    vocabulary_size: Annotated[int, Field(ge=3, le=1_000_000)] | None = None
    embedding_size: Units | None = None
    input_dropout: Rate | None = None
    word_dropout: Rate | None = Field(None, description="probability of a token being hidden wherever it stands")
