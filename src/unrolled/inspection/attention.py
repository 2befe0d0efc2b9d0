"""Where a network with attention looks: the weights that it puts on its memory at each step of its output."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from unrolled.inspection.recorded import Floats, array
from unrolled.layers import Attention
from unrolled.tasks.core.probe import Probe
from unrolled.types import Json


@dataclass(frozen=True)
class AttentionMap:
    """The weights of one attention layer.

    Attributes:
        layer: its name.
        outputs: the name of each step of the output (S).
        places: the name of each position of the memory (P): the steps of the input, or row and column of a grid.
        weights: (S, P), the weight of each position for each output; every row sums to 1.
        grid: rows and columns, where the memory is an image.
    """

    layer: str
    outputs: tuple[str, ...]
    places: tuple[str, ...]
    weights: Floats
    grid: tuple[int, int] | None = None

    def as_json(self) -> Json:
        """Return the map as a JSON object."""
        return {
            "layer": self.layer,
            "outputs": list(self.outputs),
            "places": list(self.places),
            "weights": self.weights.tolist(),
            "grid": None if self.grid is None else list(self.grid),
        }


def attention_maps(probe: Probe) -> list[AttentionMap]:
    """Return the weights of every attention layer that is queried once for each step of the output.

    Source: Bahdanau, Cho & Bengio 2014, arXiv 1409.0473, figure 3; over images Xu et al. 2015, arXiv 1502.03044.
    """
    recorded: dict[str, list[Tensor]] = {}

    def record(name: str, module: nn.Module, given: object, result: tuple[Tensor, Tensor]) -> None:
        weights = result[1]
        # several queries a row at once, or one
        recorded.setdefault(name, []).append(weights[:, 0] if weights.dim() == 3 else weights[:1])

    handles = [
        layer.register_forward_hook(partial(record, name))
        for name, layer in probe.network.named_modules()
        if isinstance(layer, Attention)
    ]
    try:
        with torch.no_grad():
            probe.run()
    finally:
        for handle in handles:
            handle.remove()
    maps = []
    for name, pieces in recorded.items():
        weights = np.concatenate([array(piece) for piece in pieces])
        if len(weights) == len(probe.outputs):
            maps.append(AttentionMap(name, probe.outputs, _places(probe, weights.shape[1]), weights, probe.grid))
    return maps


def _places(probe: Probe, count: int) -> tuple[str, ...]:
    if probe.grid is not None:
        rows, columns = probe.grid
        return tuple(f"row {r + 1}, column {c + 1}" for r in range(rows) for c in range(columns))
    return probe.steps if count == len(probe.steps) else tuple(str(n + 1) for n in range(count))
