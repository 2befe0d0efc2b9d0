"""Bytes and arrays from strangers: Base64 in JSON, numbers in lists, and readers' limits as what was asked too much."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from unrolled.errors import ArgumentError, LimitError
from unrolled.tasks.core.api import Bounds, TooLarge

#: numbers beyond this overflow single precision before a network has done anything with them
LARGEST = 1e30

Base64 = Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})]
Matrix = Annotated[list[list[float]], Field(description="rows of numbers, all of one length")]


def decoded_base64(text: str, name: str) -> bytes:
    """The bytes.

    Args:
        text: Base64 of RFC 4648, padded, without line ends.
        name: what errors call it.

    Raises:
        ArgumentError: it is something else, or stands for no bytes.
    """
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ArgumentError(f"{name}: not Base64 (letters, digits, + and /, padded with =): {error}") from error
    if not data:
        raise ArgumentError(f"{name}: no bytes in it")
    return data


def matrix(rows: Sequence[Sequence[float]], name: str, bounds: Bounds) -> NDArray[np.float64]:
    """Rows of numbers as (N, F).

    Raises:
        TooLarge: more rows than the bound.
        ArgumentError: rows of different lengths, or numbers out of range.
    """
    if len(rows) > bounds.rows:
        raise TooLarge(f"{name}: {len(rows):,} rows, and at most {bounds.rows:,} are read in one")
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        number = next(n for n, row in enumerate(rows) if len(row) != len(rows[0]))
        raise ArgumentError(f"{name}: row {number} has {len(rows[number])} numbers, the first {len(rows[0])}")
    found = np.array(rows, dtype=np.float64).reshape(len(rows), widths.pop() if widths else 0)
    return in_range(found, name)


def in_range(array: NDArray[Any], name: str) -> NDArray[Any]:
    """An array of numbers of which none is infinite or near it; NaN stays.

    Raises:
        ArgumentError: one is.
    """
    far = np.abs(array) > LARGEST
    if far.any():
        place = ", ".join(map(str, np.argwhere(far)[0].tolist()))
        raise ArgumentError(f"{name}[{place}]: numbers are to be from −{LARGEST:g} to {LARGEST:g}")
    return array


def require_finite(numbers: Iterable[float], name: str) -> None:
    """See that what a network said are numbers.

    Raises:
        ArgumentError: there is one that is NaN or infinite, as inputs far from all that it was trained on can bring.
    """
    if not all(map(math.isfinite, numbers)):
        raise ArgumentError(f"{name}: so far from what the model was trained on that it answers nothing finite")


@contextmanager
def within_limits() -> Iterator[None]:
    """Refuse a request with data too large for a reader, as too large a request.

    Raises:
        TooLarge: instead of LimitError.
    """
    try:
        yield
    except LimitError as error:
        raise TooLarge(str(error)) from error
