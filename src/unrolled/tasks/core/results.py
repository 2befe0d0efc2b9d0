"""Results: what `predict` returns, which prints well, shows itself in a notebook, and is its own JSON schema.

The result of a use is made of two halves: `Shown`, by which the input is named, and `Result`, what is answered.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, create_model

from unrolled.types import Json


class Part(BaseModel):
    """A part of a result: a frozen model whose fields are its JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    def as_json(self) -> Json:
        """Return one JSON object."""
        return self.model_dump(mode="json", by_alias=True)

    def heading(self) -> str:
        """Return what stands before the answer on a line of its own; empty where the input need not be repeated."""
        return ""

    def picture(self) -> str:
        """Return the input as HTML; empty where the answer shows it."""
        return ""

    def place(self, at: float) -> str:
        """Return a place in the input, in its own measure, as it is written: "0.40 s"."""
        return f"{at:g}"


class Shown(Part):
    """The fields of a result that name its input."""

    def steps(self, count: int) -> Sequence[tuple[str, int, int]]:
        """Return name, start and end of each of its steps; they are numbered where nothing else names them."""
        return [(str(n + 1), n, n + 1) for n in range(count)]


class Result(Part):
    """A prediction. `str` is one line or more, `as_json` one JSON object."""

    #: endings of files, with their dots, as which one prediction is written by itself
    files: ClassVar[tuple[str, ...]] = ()

    def as_file(self, suffix: str) -> bytes:
        """Return the content of a file that holds this prediction alone.

        Args:
            suffix: one of `files`.

        Raises:
            ArgumentError: this prediction can't be written so.
            TypeError: it has no such form, which is a defect of the use.
        """
        raise TypeError(f"{type(self).__name__} is not written as {suffix}")

    @classmethod
    def names(cls) -> set[str]:
        """Return the fields by which the input is named."""
        parts = (part for part in cls.__mro__ if issubclass(part, Shown) and not issubclass(part, Result))
        return {name for part in parts for name in part.model_fields}

    def beside(self) -> Json:
        """Return what is written beside the row of a table that the input was read from."""
        shown = self.names()
        return {name: value for name, value in self.as_json().items() if name not in shown}

    def beside_steps(self, steps: int) -> list[Json]:
        """Return what is written beside each row of a table whose rows are the steps of the input, or after them."""
        return [self.beside()] * steps


def tint(hue: int, strength: float = 1.0) -> str:
    """Return the style of a mark in a colour, which reads well on light and on dark pages.

    >>> tint(120)
    'background:hsl(120 70% 50% / 30%);color:inherit'
    """
    return f"background:hsl({hue} 70% 50% / {30 * max(strength, 0.0):.0f}%);color:inherit"


@functools.cache
def result_type(shown: type[Shown], answer: type[Result]) -> type[Result]:
    """Return the type of a result that names its input: a subclass of both, with the name of the answer.

    >>> class Typed(Shown):
    ...     text: str
    >>> class Answer(Result):
    ...     label: str
    >>> result_type(Typed, Answer)(text="a", label="b").as_json()
    {'text': 'a', 'label': 'b'}
    """
    bases: Any = (answer, shown)
    joined: type[Result] = create_model(
        answer.__name__, __base__=bases, __doc__=answer.__doc__, __module__=answer.__module__
    )
    return joined
