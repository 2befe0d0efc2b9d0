"""Options of words."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from unrolled.settings import Settings
from unrolled.tasks.core.recurrent import Rate, Units

Width = Annotated[int, Field(ge=0, le=65536)]


class WordsOptions(Settings):
    """How words become vectors, and what of them is forgotten while training; None lets the data decide."""

    embedding_size: Width | None = None
    spelling: Literal["lstm", "cnn", "none"] = Field("lstm", description="what reads the characters of a word")
    character_size: Units | None = Field(None, description="width of a character's embedding")
    spelling_size: Units | None = Field(None, description="units of what reads the characters, in each direction")
    shape_size: Width | None = Field(None, description="width of the embedding of a word's shape (Xxx, dd-dd); 0 none")
    vectors: str | None = Field(None, description="a file of word vectors, a word and its numbers a line")
    input_dropout: Rate | None = Field(None, description="probability, on the words' vectors; one mask a sentence")
    word_dropout: Rate | None = Field(None, description="probability that a word is read as unknown")
    rare: Annotated[int, Field(ge=0)] | None = Field(None, description="words that occur so often at most are rare")
    rare_dropout: Rate | None = Field(None, description="probability that a rare word is read as unknown")
    character_dropout: Rate | None = Field(None, description="probability that a character is read as unknown")
