"""Rows of features over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from unrolled.errors import ArgumentError, ShapeError
from unrolled.tasks.core.api import Bounds, InputApi, Message, Push
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.core.payloads import Matrix, matrix
from unrolled.tasks.inputs.series.arrays import Decoded
from unrolled.tasks.inputs.series.encode import RowsInput
from unrolled.types import Json

ROWS = Field(description="a row for each step")


class RowsMessage(Message):
    """Rows of features."""

    features: Matrix = ROWS


class RowsPush(Push):
    """More rows."""

    features: Matrix = ROWS


class Api(InputApi):
    """Rows of features; for a stream, more of them."""

    Input: ClassVar[type[BaseModel]] = RowsMessage
    Push: ClassVar[type[Push] | None] = RowsPush
    example: ClassVar[Json] = {"inputs": [{"features": [[0.02, 0.97], [0.91, 0.04]]}]}
    push_example: ClassVar[Json] = {"features": [[0.02, 0.97]]}

    def example_of(self, model: AnyModel) -> Json:
        """Return as many features as the model reads."""
        return {"inputs": [self.push_example_of(model)]}

    def push_example_of(self, model: AnyModel) -> Json:
        """Return as many features as the model reads."""
        width = rows_of(model).width
        return {"features": [[(7 * step + 3 * n) % 10 / 10 for n in range(width)] for step in range(3)]}

    def columns(self, model: AnyModel) -> list[str]:
        """Return the columns of the tables that the model learned from."""
        return list(model.input.columns)

    def read(self, model: AnyModel, given: Any, bounds: Bounds) -> Decoded:
        """Return the rows."""
        source = rows_of(model)
        return source.given(checked_features(given.features, source, bounds))

    def check(self, push: Any, bounds: Bounds) -> None:
        """Check that there are no more rows than an input has."""
        matrix(push.features, "features", bounds)

    def piece(self, model: AnyModel, push: Any) -> NDArray[np.float64]:
        """Return the rows, (n, F)."""
        # how many there may be was checked before
        return checked_features(push.features, rows_of(model), Bounds(rows=len(push.features)))


def checked_features(rows: Sequence[Sequence[float]], source: RowsInput, bounds: Bounds) -> NDArray[np.float64]:
    """Return rows of as many features as the model reads, (T, F).

    Raises:
        TooLarge, ArgumentError, ShapeError: they are too many, ragged, or too wide.
    """
    array = matrix(rows, "features", bounds)
    if not len(array):
        raise ArgumentError("features: no row in it")
    if array.shape[1] != source.width:
        names = f": {', '.join(source.columns)}" if source.columns else ""
        raise ShapeError("features", f"(T, F={source.width}){names}", array.shape)
    return array


def rows_of(model: AnyModel) -> RowsInput:
    """Return what a model of rows reads.

    Raises:
        ArgumentError: it reads frames.
    """
    if not isinstance(model.input, RowsInput):
        raise ArgumentError("input: the model reads frames, found features")
    return model.input
