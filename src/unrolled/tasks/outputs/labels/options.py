"""Options of a label for each step."""

from __future__ import annotations

from pydantic import Field

from unrolled.settings import Settings
from unrolled.tasks.core.recurrent import Rate, RecurrentNetwork


class LabelsOptions(Settings):
    """How labels are learned."""

    smoothing: Rate = Field(0.0, description="label smoothing")


class LabelsEvaluation(Settings):
    """How to evaluate; None reads the data as in training."""

    skip_bad: bool | None = Field(None, description="leave out examples that can't be read, instead of ending")


class LabelsNetwork(RecurrentNetwork):
    """Hidden layers and loss, completely."""

    smoothing: Rate = 0.0
