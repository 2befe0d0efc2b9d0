"""What a client is told when something can't be done: RFC 9457 problem details.

Problem                     any of the below, with status, title and one line that says what and what to do
└── Busy                    429: too much is waiting, and when to come back
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic import ValidationError

from unrolled.errors import ArgumentError, DataError, MissingDependencyError, StateError, UnrolledError
from unrolled.tasks.core.api import TooLarge

MEDIA_TYPE = "application/problem+json"
#: places in a body that are named, of all that do not fit
NAMED = 8


class Problem(Exception):
    """Something that can't be done.

    Args:
        status: of HTTP.
        detail: one line: what, where, and the way out.
        headers: of the response.
        errors: places in the body, each with a message.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        headers: dict[str, str] | None = None,
        errors: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.errors = status, detail, headers or {}, errors

    def as_json(self, instance: str = "") -> dict[str, Any]:
        """The object that is sent; `instance` is the request's id."""
        title = HTTPStatus(self.status).phrase
        found: dict[str, Any] = {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}
        if instance:
            found["instance"] = instance
        if self.errors:
            found["errors"] = self.errors
        return found


class Busy(Problem):
    """Too much is waiting.

    Args:
        what: that is waited for.
        seconds: after which there should be room.
    """

    def __init__(self, what: str, seconds: float) -> None:
        after = max(1, round(seconds + 0.5))
        super().__init__(429, f"{what} is busy; try again in {after} s", {"Retry-After": str(after)})


def problem_of(error: Exception) -> Problem:
    """What a client is told of an error that was raised on purpose.

    Raises:
        Exception: the error itself, if it is a defect of ours.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, ValidationError):
        return invalid(error)
    if isinstance(error, TooLarge):
        return Problem(413, str(error))
    if isinstance(error, MissingDependencyError):
        return Problem(501, str(error))
    if isinstance(error, (ArgumentError, DataError, StateError)):
        return Problem(422, str(error))
    if isinstance(error, UnrolledError):
        return Problem(400, str(error))
    raise error


def invalid(error: ValidationError) -> Problem:
    """JSON that is none, or does not fit: the places, without what was sent, which may be private or long."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if found and found[0]["type"] == "json_invalid":
        return Problem(400, f"the body is no JSON: {found[0]['msg'].removeprefix('Invalid JSON: ')}")
    places = [
        {"place": "/".join(str(part) for part in one["loc"])[:200], "message": one["msg"].removeprefix("Value error, ")}
        for one in found[:NAMED]
    ]
    first = places[0] if places else {"place": "", "message": "it does not fit"}
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return Problem(422, f"{first['place'] or 'body'}: {first['message']}{more}", errors=places)
