"""Options of rows of numbers, and of whatever else is read step by step."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from unrolled.data.core.dialect import TableOptions
from unrolled.data.steps.recordings import StepOptions
from unrolled.settings import Names, Settings
from unrolled.tasks.core.recurrent import Rate


class StepLayerOptions(Settings):
    """How steps become vectors; None lets the data decide."""

    input_dropout: Rate | None = Field(None, description="probability, on each step's features or vector")
    differences: bool | None = Field(None, description="read beside each step how it differs from the one before")


class RowLayerOptions(StepLayerOptions):
    """How rows of numbers become vectors; None lets the data decide."""

    standardise: Literal["training", "recording"] = Field(
        "training", description="features by the training data's mean and spread, or each recording by its own"
    )


class StepsOptions(StepLayerOptions, TableOptions):
    """How recordings are read step by step; None lets the data decide."""

    units_per_second: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="of times: 1 is seconds, 1000 milliseconds; else frames in annotations and seconds in tables",
    )

    def reading(self, *, features: tuple[str, ...] = ()) -> StepOptions:
        """Return how recordings are read.

        Args:
            features: columns to read instead, e.g. those of training.
        """
        table = {name: getattr(self, name) for name in TableOptions.model_fields}
        return StepOptions(features=features, units_per_second=self.units_per_second, **table)


class RowsOptions(RowLayerOptions, StepsOptions):
    """How tables are read."""

    time_column: str | None = Field(None, description="of tables: the time of a step, looked at for gaps")
    sequence_column: str | None = Field(
        None, description="of tables: which recording a row belongs to; else a file is one"
    )
    features: Names = Field((), description="of tables: the columns to read, all others if none is named")

    def reading(self, *, features: tuple[str, ...] = ()) -> StepOptions:
        """Return how recordings are read."""
        changes = {"time_column": self.time_column, "sequence_column": self.sequence_column}
        return super().reading(features=features or self.features).model_copy(update=changes)
