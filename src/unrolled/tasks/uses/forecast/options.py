"""Options of `forecast`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from unrolled.data.core.dialect import TableOverrides
from unrolled.data.series.read import SeriesOptions
from unrolled.data.series.timeline import Frequency
from unrolled.networks.forecaster import Normalise
from unrolled.tasks.core.examples import ExampleOptions
from unrolled.tasks.core.recurrent import Cell, Layers, Rate
from unrolled.tasks.outputs.numbers.options import (
    Count,
    NumbersEvaluation,
    NumbersOptions,
    NumbersPrediction,
    Width,
)

#: steps ahead that are forecast by default: those of the M4 competition
HORIZONS = {
    ("month", 12): 6,
    ("month", 3): 8,
    ("month", 1): 18,
    ("us", 7 * 86_400_000_000): 13,
    ("us", 86_400_000_000): 14,
    ("us", 3_600_000_000): 48,
}
HORIZON = 24
#: a series must be longer than its horizon by this many steps at least
LEAST_CONTEXT = 4

Steps = Annotated[int, Field(ge=1, le=100_000)]


class ForecastOptions(NumbersOptions, SeriesOptions, ExampleOptions):
    """Options of training; None lets the data decide."""

    horizon: Steps | None = Field(None, description="steps to forecast, H")
    context: Steps | None = Field(None, description="steps of the past that are read")
    season: Count | None = Field(None, description="steps after which a series repeats itself [by its frequency]")
    cell: Cell | None = None
    hidden_size: Width | None = None
    num_layers: Layers | None = None
    dropout: Rate | None = None
    segment: Count | None = Field(None, description="steps read at a time, of the direct method")
    normalise: Normalise | None = Field(
        None, description="what a window is relative to: its last value, its mean and spread, nothing; direct method"
    )
    lags: list[int] = Field(
        [], description="steps back that are read besides the last, autoregressive; may be repeated"
    )
    calendar: bool | None = Field(None, description="read hour, weekday and season of the year from the time column")
    embed_series: bool | None = Field(None, description="learn a vector for each series")
    dev_from: str | None = Field(None, description="a time, or a number of steps, where development data begins")
    test_from: str | None = Field(None, description="a time, or a number of steps, from which nothing is read")

    def horizon_of(self, frequency: Frequency) -> int:
        """Return the steps to forecast: as asked for, or by the frequency."""
        return self.horizon or HORIZONS.get((frequency.unit, frequency.count), HORIZON)

    @property
    def least_context(self) -> int:
        """Steps before the horizon that each series must have."""
        return self.context or LEAST_CONTEXT


class ForecastEvaluation(NumbersEvaluation, TableOverrides):
    """Which forecasts are evaluated, and how series are read; None reads them as in training."""

    start: str | None = Field(
        None, description="the first step to forecast: a time or a number of steps [what training did not see]"
    )
    gaps: Literal["error", "interpolate", "mask"] | None = Field(None, description="as in training")


class ForecastPrediction(NumbersPrediction):
    """Options of a forecast."""

    horizon: Count | None = Field(None, description="steps ahead [as in training]")
    start: str | None = Field(None, description="the time of an array's first value, where the calendar is read")
