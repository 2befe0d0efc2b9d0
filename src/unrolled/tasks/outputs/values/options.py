"""Options of numbers for each step."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from unrolled.settings import Settings
from unrolled.tasks.core.recurrent import RecurrentNetwork

Loss = Literal["mse", "mae", "esr", "quantiles"]
Level = Annotated[float, Field(gt=0, lt=1)]


class ValuesOptions(Settings):
    """How numbers are learned; None lets the data decide."""

    loss: Loss = Field(
        "mse", description="squared or absolute error, error-to-signal ratio after a pre-emphasis filter, or quantiles"
    )
    preemphasis: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.95, description="p of y_t − p · y_(t−1), by which esr weighs high frequencies"
    )
    quantiles: tuple[Level, ...] = Field((0.1, 0.5, 0.9), description="levels, with --loss quantiles")
    warmup: Annotated[int, Field(ge=0)] | None = Field(
        None, description="first steps of each piece that only bring the state up to date, without a loss"
    )
    delay: Annotated[int, Field(ge=0)] = Field(
        0, description="steps that are read beyond the one that is answered: how late a stream answers"
    )

    @field_validator("quantiles")
    @classmethod
    def _increasing(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if list(levels) != sorted(set(levels)) or 0.5 not in levels:
            raise ValueError("expected increasing levels, 0.5 among them")
        return levels


class ValuesNetwork(RecurrentNetwork):
    """Hidden layers and loss, completely."""

    loss: Loss = "mse"
    preemphasis: Annotated[float, Field(ge=0, lt=1)] = 0.95
    warmup: Annotated[int, Field(ge=0)] = 0
