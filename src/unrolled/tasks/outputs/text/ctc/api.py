"""How a text is answered over HTTP, and for a stream word by word."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, Field

from unrolled.tasks.core.api import OutputApi
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.outputs.text.ctc.results import SpelledWord
from unrolled.tasks.outputs.text.ctc.session import CTCSession
from unrolled.types import Json


class WordsPush(BaseModel):
    """The text that was read so far."""

    words: list[SpelledWord] = Field(description="those that are over since the push before")
    text: str = Field(description="all of it, as if the input ended here")


class Api(OutputApi):
    """A text and its words."""

    Said: ClassVar[type[BaseModel] | None] = WordsPush

    def said(self, model: AnyModel, pushed: list[SpelledWord], session: CTCSession[Any]) -> Json:
        """Return the words that are over, and all of the text."""
        return {"words": [word.as_json() for word in pushed], "text": session.transcript().text}

    def grown(self, stream: CTCSession[Any]) -> int:
        """Return what the words take."""
        return 256 * len(stream.words)
