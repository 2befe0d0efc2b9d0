"""The input layer of rows: each standardised, beside how it differs from the one before.

T steps, F features.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from unrolled.data import ExampleStore
from unrolled.layers import Frames
from unrolled.layers.inputs.clips import ImageVector, StepEncoder, with_differences
from unrolled.settings import Settings
from unrolled.tasks.core.recurrent import Rate

#: inputs that the statistics of steps are taken from
MEASURED = 400


class StepsNetwork(Settings):
    """The input layer, completely."""

    input_dropout: Rate = 0.0
    differences: bool = False


class DroppedFrames(Frames):
    """Standardised features, some of them dropped while training."""

    def __init__(self, features: int, dropout: float) -> None:
        super().__init__(features)
        self.dropout = dropout

    def forward(self, frames: Tensor) -> Tensor:
        """(N, F) → (N, F)."""
        return nn.functional.dropout(super().forward(frames), self.dropout, self.training)


@torch.no_grad()
def standardise(layer: nn.Module, store: ExampleStore) -> None:
    """Give an input layer the mean and spread of the training data's steps, by channel or feature.

    Args:
        layer: of all steps, or of a single one.
        store: with parts `x` (T, …, C).
    """
    differences = isinstance(layer, StepEncoder) and layer.differences
    encoder = layer.encoder if isinstance(layer, StepEncoder) else layer
    holder = encoder.encoder if isinstance(encoder, ImageVector) else encoder
    mean, std = measured(store, differences=differences)
    holder.get_buffer("mean").copy_(mean)
    # a feature that never varies carries nothing
    holder.get_buffer("std").copy_(torch.where(std > 0, std, torch.ones_like(std)))


def measured(store: ExampleStore, *, differences: bool) -> tuple[Tensor, Tensor]:
    """Return mean and spread of steps, (C,) each, with those of their differences behind them if wanted, (2C,)."""
    count, total, squares = 0, torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for n in np.linspace(0, len(store) - 1, min(MEASURED, len(store))).astype(int):
        x = torch.from_numpy(np.array(store[int(n)]["x"])).double()
        x = (with_differences(x) if differences else x).flatten(0, -2)
        total, squares, count = total + x.sum(0), squares + x.square().sum(0), count + len(x)
    mean = total / count
    return mean.float(), (squares / count - mean.square()).clamp(min=0).sqrt().float()
