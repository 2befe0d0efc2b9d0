"""Options of forecasts: how they are made, and what they are scored by."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from unrolled.networks.forecaster import Normalise
from unrolled.settings import Settings
from unrolled.tasks.core.recurrent import Cell, Layers, Rate

Method = Literal["direct", "autoregressive"]
Loss = Literal["quantile", "mae", "mse"]
Distribution = Literal["gaussian", "student-t", "negative-binomial"]
#: an LSTM or GRU over windows needs at least two units
Width = Annotated[int, Field(ge=2, le=65536)]
Count = Annotated[int, Field(ge=1)]
Size = Annotated[int, Field(ge=0)]
#: of a network; a stranger's allocate no more than these
Steps = Annotated[int, Field(ge=1, le=1 << 20)]
Inputs = Annotated[int, Field(ge=0, le=65536)]

#: paths that an autoregressive forecast is made of
SAMPLES = 200


def are_levels(levels: list[float]) -> bool:
    """Return whether these are increasing levels of quantiles."""
    return levels == sorted(set(levels)) and all(0 < level < 1 for level in levels)


class NumbersOptions(Settings):
    """How numbers are forecast."""

    method: Method = Field("direct", description="all steps at once, or one after the other by sampling")
    loss: Loss = Field("quantile", description="of the direct method")
    quantiles: list[float] = Field([0.1, 0.25, 0.5, 0.75, 0.9], description="levels, with 0.5 among them")
    likelihood: Distribution = Field(
        "student-t", description="of the autoregressive method; negative-binomial is for counts"
    )

    @field_validator("quantiles")
    @classmethod
    def _are_levels(cls, levels: list[float]) -> list[float]:
        if not are_levels(levels) or 0.5 not in levels:
            raise ValueError("expected increasing levels between 0 and 1, 0.5 among them")
        return levels

    @property
    def counts(self) -> bool:
        """Whether what is forecast are counts, which stay as they are."""
        return self.method == "autoregressive" and self.likelihood == "negative-binomial"


class NumbersPrediction(Settings):
    """How an autoregressive forecast is drawn."""

    samples: Annotated[int, Field(ge=2)] = Field(
        SAMPLES, description="paths that an autoregressive forecast is made of"
    )
    seed: Size = 0


class NumbersEvaluation(NumbersPrediction):
    """Which forecasts are evaluated."""

    stride: Count | None = Field(
        None, description="steps from one forecast to the next [1; the horizon if autoregressive]"
    )


class ForecasterNetwork(Settings):
    """The network, completely."""

    method: Method
    cell: Cell
    hidden_size: Width
    num_layers: Layers
    dropout: Rate
    context: Steps
    horizon: Steps
    # the quantiles' levels; none for a point
    levels: list[float]
    loss: Loss
    known: Inputs
    channels: Inputs
    static: Inputs
    masked: bool
    # of the direct method
    segment: Steps = 1
    normalise: Normalise = "last"
    # of the autoregressive method
    likelihood: Distribution = "student-t"
    lags: list[Steps] = Field([])
    embedding: Inputs = 0

    @field_validator("levels")
    @classmethod
    def _are_levels(cls, levels: list[float]) -> list[float]:
        if not are_levels(levels):
            raise ValueError("expected increasing levels between 0 and 1")
        return levels
