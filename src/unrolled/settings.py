"""The base of all options: pydantic models whose errors are one line that names the option.

Like `errors`, this may be imported from every room.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from unrolled.errors import ArgumentError

S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """Options that validate themselves and refuse unknown names and values out of range.

    Raises:
        ArgumentError: naming the option as the command spells it, the value and what is possible.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except ValidationError as error:
            raise ArgumentError(one_line(error, tuple(type(self).model_fields))) from None

    @classmethod
    def picked(cls: type[S], values: Mapping[str, Any]) -> S:
        """Return settings from those values whose names are among the fields, ignoring the rest.

        Raises:
            ArgumentError: as for the class.
        """
        return cls(**{name: value for name, value in values.items() if name in cls.model_fields})

    @classmethod
    def of(cls: type[S], options: Settings) -> S:
        """Return options as this class, after checking that they are.

        Raises:
            TypeError: they are of another class, which is a defect of the caller.
        """
        if not isinstance(options, cls):
            raise TypeError(f"options: expected {cls.__name__}, found {type(options).__name__}")
        return options


def one_line(error: ValidationError, known: tuple[str, ...]) -> str:
    """Return the first error of a validation as one line that begins with the option."""
    problem = error.errors(include_url=False)[0]
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        return f"{name}: no such option; there are {', '.join(known)}"
    option = f"--{name.replace('_', '-')}"
    return f"{option}: {problem['input']!r} is not possible: {message[:1].lower()}{message[1:]}"


def _split(value: object) -> object:
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not all(isinstance(part, str) for part in parts):
        return value
    return tuple(name.strip() for part in parts for name in part.split(",") if name.strip())


#: names of columns: several options, or one with commas between
Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
