"""Options of rows of numbers, and of whatever else is read step by step."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from pydantic import Field

from unrolled.data.steps.recordings import Reading
from unrolled.settings import Settings
from unrolled.tasks.core.recurrent import Rate


class StepsOptions(Settings):
    """How steps become vectors; None lets the data decide."""

    input_dropout: Rate | None = Field(None, description="probability, on each step's features or vector")
    differences: bool | None = Field(None, description="read beside each step how it differs from the one before")
    units_per_second: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="of times: 1 is seconds, 1000 milliseconds; else frames in annotations and seconds in tables",
    )
    encoding: str = "utf-8"

    def reading(self, *, labelled: bool = True, features: tuple[str, ...] = ()) -> Reading:
        """Return how recordings are read.

        Args:
            labelled: whether they must be labelled.
            features: columns to read instead, e.g. those of training.
        """
        return Reading(
            features=features, units_per_second=self.units_per_second, encoding=self.encoding, labelled=labelled
        )


class RowsOptions(StepsOptions):
    """How tables are read."""

    standardise: Literal["training", "recording"] = Field(
        "training", description="features by the training data's mean and spread, or each recording by its own"
    )
    time_column: str | None = Field(None, description="of tables: the time of a step, looked at for gaps")
    sequence_column: str | None = Field(
        None, description="of tables: which recording a row belongs to; else a file is one"
    )
    features: tuple[str, ...] = Field((), description="of tables: the columns to read, all others if none is named")

    def reading(self, *, labelled: bool = True, features: tuple[str, ...] = ()) -> Reading:
        """Return how recordings are read."""
        return dataclasses.replace(
            super().reading(labelled=labelled, features=features or self.features),
            time_column=self.time_column,
            sequence_column=self.sequence_column,
        )
