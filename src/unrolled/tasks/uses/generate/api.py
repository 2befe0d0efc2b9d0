"""How `generate` is spoken to: texts that are completed as they are typed, and edited."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from unrolled.errors import UnrolledError
from unrolled.tasks.core import api
from unrolled.tasks.core.api import Bounds
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.inputs.text.api import Api as TextApi
from unrolled.tasks.inputs.text.api import TextPush, check_text, rewound
from unrolled.tasks.inputs.text.editing import Rewritable
from unrolled.tasks.outputs.next.api import Api as NextApi
from unrolled.tasks.outputs.next.api import Beginning, Wanted
from unrolled.tasks.outputs.next.results import Completion
from unrolled.tasks.outputs.next.streams import push_together
from unrolled.types import Json


class TypedPush(TextPush, Wanted):
    """More of a text that somebody types, and what is wanted after it."""


class TypedLength(BaseModel):
    """Where a text is after a push."""

    length: int = Field(description="characters read so far")


class Api(TextApi, NextApi, api.Api):
    """Texts in, what completes them out."""

    Output = Completion
    Push: ClassVar[type[api.Push] | None] = TypedPush
    Place: ClassVar[type[BaseModel]] = TypedLength
    example: ClassVar[Json] = {"inputs": ["Thank you for yo"], "options": {"n": 1}}
    push_example: ClassVar[Json] = {"text": "Thank you for yo"}

    def write(self, model: AnyModel, asked: Beginning, bounds: Bounds) -> Iterator[str]:
        """Yield a text written on from a prompt within the bounds."""
        check_text(asked.prompt, bounds)
        return super().write(model, asked, bounds)

    def push(self, model: AnyModel, pairs: Sequence[tuple[Rewritable, TypedPush]]) -> list[Any]:
        """Read what each was given, all in the same steps; then complete, alike ones in one search."""
        texts = rewound(pairs)
        push_together([stream.session for stream, _ in pairs], texts)
        for (stream, _), text in zip(pairs, texts, strict=True):
            stream.pushed(text)
        answers = self.suggest(model, [(stream.session, push) for stream, push in pairs])
        return [
            answer if isinstance(answer, UnrolledError) else {"length": len(stream.text), **answer}
            for (stream, _), answer in zip(pairs, answers, strict=True)
        ]
