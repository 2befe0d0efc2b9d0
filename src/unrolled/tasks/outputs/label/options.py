"""Options of a label."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from unrolled.layers import make_pooling
from unrolled.settings import Settings
from unrolled.tasks.core.recurrent import Rate, RecurrentNetwork


class LabelOptions(Settings):
    """How a label is read off a network; None lets the data decide."""

    pooling: str | None = Field(
        None, description="one vector out of all steps: last, mean, max, attention, or several with + between"
    )
    smoothing: Rate | None = Field(None, description="label smoothing")

    @field_validator("pooling")
    @classmethod
    def _pooling_exists(cls, pooling: str | None) -> str | None:
        if pooling is not None:
            make_pooling(pooling, 2)
        return pooling


class LabelEvaluation(Settings):
    """How to evaluate; None reads the data as in training."""

    skip_bad: bool | None = Field(None, description="leave out examples that can't be read, instead of ending")


class LabelNetwork(RecurrentNetwork):
    """Hidden layers, pooling and loss, completely."""

    # classes; None in models that do not say
    labels: int | None = None
    pooling: str = "last+max"
    smoothing: Rate = 0.0
    #: weight of the difference between two readings of an input, what is dropped drawn anew
    consistency: Annotated[float, Field(ge=0)] = 0.0
