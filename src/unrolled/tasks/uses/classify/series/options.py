"""Options of `classify` for series."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from unrolled.data.core.dialect import TableOverrides
from unrolled.data.series.labelled import LabelledSeriesOptions
from unrolled.tasks.core.examples import ExampleOptions
from unrolled.tasks.core.recurrent import Rate, RecurrentOptions
from unrolled.tasks.inputs.series.options import RowLayerOptions
from unrolled.tasks.outputs.label.options import LabelEvaluation, LabelOptions


class ClassifySeriesOptions(LabelOptions, RowLayerOptions, RecurrentOptions, ExampleOptions, LabelledSeriesOptions):
    """Options of training; None lets the data decide."""

    bidirectional: bool = Field(True, description="read from both ends; without, it can stream")
    dropout: Rate | None = Field(None, description="probability, on what the cells put out and on the pooled vector")
    vary: Annotated[float, Field(ge=0, le=4)] = Field(
        1.0, description="of series: how much pace, size and noise are varied while training; 0 leaves them as they are"
    )


class ClassifySeriesEvaluation(LabelEvaluation, TableOverrides):
    """How to evaluate; None reads files as in training."""

    sequence_column: str | None = Field(None, description="of a table with a step a row: which series a row belongs to")
    label_column: str | None = Field(None, description="of a table, by name or number from 1")
