"""Errors of the API: RFC 9457 problem details.

Problem                     any status, with a title and one line that says what is wrong and what to do
└── Busy                    503: the server is at capacity, and when to try again
"""

from __future__ import annotations

import math
from http import HTTPStatus

from pydantic import ValidationError

from unrolled.errors import ArgumentError, DataError, MissingDependencyError, StateError, UnrolledError
from unrolled.tasks.core.api import TooLarge

MEDIA_TYPE = "application/problem+json"
#: places in a body that an error names, of all that do not fit
MAX_PLACES = 8


class Problem(Exception):
    """A request that can't be answered.

    Args:
        status: of HTTP.
        detail: one line: what, where, and the way out.
        headers: of the response.
        errors: places in the body or address, each with a message.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        headers: dict[str, str] | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.errors = status, detail, headers or {}, errors

    def as_json(self, instance: str = "") -> dict[str, object]:
        """Return the object that is sent; `instance` is the request's id."""
        title = HTTPStatus(self.status).phrase
        body: dict[str, object] = {
            "type": "about:blank", "title": title, "status": self.status, "detail": self.detail,
        }  # fmt: skip
        if instance:
            body["instance"] = instance
        if self.errors:
            body["errors"] = self.errors
        return body


class Busy(Problem):
    """A server or model at capacity.

    Args:
        what: is busy.
        seconds: after which there should be room.
    """

    def __init__(self, what: str, seconds: float) -> None:
        after = max(1, math.ceil(seconds))
        super().__init__(503, f"{what} is busy; try again in {after} s", {"Retry-After": str(after)})


def stopping() -> Problem:
    """Return the answer to a request that comes after the server was told to stop."""
    return Problem(503, "the server is stopping", {"Retry-After": "1"})


def problem_of(error: Exception) -> Problem:
    """Return the problem that an error of this package is answered with.

    Raises:
        Exception: the error itself, if it is a defect.
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
    """Return the problem of a body that is no JSON, or does not fit.

    It names the places, but not the values, which may be private or long.
    """
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    if errors and errors[0]["type"] == "json_invalid":
        return Problem(400, f"the body is not JSON: {errors[0]['msg'].removeprefix('Invalid JSON: ')}")
    places = [
        {"place": "/".join(map(str, one["loc"]))[:200], "message": one["msg"].removeprefix("Value error, ")}
        for one in errors[:MAX_PLACES]
    ]
    first = places[0] if places else {"place": "", "message": "it does not fit"}
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Problem(422, f"{first['place'] or 'body'}: {first['message']}{more}", errors=places)
