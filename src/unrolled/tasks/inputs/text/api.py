"""Texts over HTTP: one input is a string, a push adds to a stream's text or says what all of it is now."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, Field, RootModel, model_validator

from unrolled.errors import ArgumentError
from unrolled.tasks.core.api import Bounds, InputApi, Push, TooLarge
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.inputs.text.editing import Rewritable
from unrolled.types import Json

_HALVES = re.compile("[\ud800-\udfff]")


def whole_characters(text: str) -> str:
    """Return the text, U+FFFD for each half of a surrogate pair: JSON can spell one, and UTF-8 can't."""
    return _HALVES.sub("\ufffd", text)


#: a text from a stranger; places in it are counted in characters, that is, in code points of Unicode
Typed = Annotated[str, AfterValidator(whole_characters)]


class Text(RootModel[Typed]):
    """A text."""


class TextPush(Push):
    """More of a text, or all of it as it is now."""

    text: Typed | None = Field(None, description="what comes next")
    rewrite: Typed | None = Field(None, description="the whole text as it is now; only what changed is read again")

    @model_validator(mode="after")
    def _one(self) -> TextPush:
        if (self.text is None) == (self.rewrite is None):
            raise ValueError("expected either text or rewrite")
        return self


def check_text(text: str, bounds: Bounds) -> str:
    """Return the text.

    Raises:
        TooLarge: more characters than the bound.
    """
    if len(text) > bounds.characters:
        raise TooLarge(f"input: {len(text):,} characters, and at most {bounds.characters:,} are read in one")
    return text


class TextPlace(BaseModel):
    """Where a text is after a push."""

    length: int = Field(description="characters of the whole text")
    since: int = Field(description="the steps of this answer replace all that begin at this character or later")


class Api(InputApi):
    """A text; for a stream more of it, or all of it as it is now."""

    Input: ClassVar[type[BaseModel]] = Text
    media = ("text/plain",)
    Push: ClassVar[type[Push] | None] = TextPush
    Place: ClassVar[type[BaseModel]] = TextPlace
    light = True
    example: ClassVar[Json] = {"inputs": ["A film so good that I saw it twice."]}
    push_example: ClassVar[Json] = {"text": "A film so "}

    def read(self, model: AnyModel, given: Any, bounds: Bounds) -> str:
        """Return the text."""
        return check_text(given.root, bounds)

    def raw(self, model: AnyModel, data: bytes, content_type: str, bounds: Bounds) -> str:
        """Return a body of UTF-8."""
        try:
            return check_text(data.decode("utf-8"), bounds)
        except UnicodeDecodeError as error:
            raise ArgumentError(f"input: byte {error.start} is not UTF-8") from error

    def check(self, push: Any, bounds: Bounds) -> None:
        """Check that there are no more characters than in an input."""
        check_text(push.rewrite if push.text is None else push.text, bounds)

    def open(self, model: AnyModel) -> Rewritable:
        """Return a session whose text can be edited."""
        return Rewritable(model.stream())

    def take(self, model: AnyModel, stream: Rewritable, push: TextPush) -> tuple[Json, Any, Any]:
        """Read on, or anew from what has changed; the last word counts as if the text ended here."""
        [fresh] = rewound([(stream, push)])
        since = stream.session.settled
        steps = stream.session.push(fresh)
        stream.pushed(fresh)
        ended = stream.session.fork()
        return {"length": len(stream.text), "since": since}, [*steps, *ended.finish()], ended

    def held(self, stream: Rewritable) -> int:
        """Return the bytes of all its snapshots."""
        return super().held(stream) * stream.snapshots + 4 * len(stream.text)


def rewound(pairs: Sequence[tuple[Rewritable, TextPush]]) -> list[str]:
    """Rewind each stream to where its text has not changed; returns what is to be pushed to each from there."""
    return [push.text if push.text is not None else stream.rewind(push.rewrite or "") for stream, push in pairs]
