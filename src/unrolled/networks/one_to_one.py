"""One-to-one: a fixed input and a fixed output, without a sequence.

    x ─ input layer ─▶ hidden layers ─▶ output layer ─▶ logits

The input layer may be any that yields a vector: `Frames` for features, `ImageEncoder` for images. Letters: B batch, I
width of the input layer's vector, H units of a hidden layer, K output classes.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from unrolled.errors import ArgumentError
from unrolled.layers import OutputLayer


class FeedForward(nn.Module):
    """Hidden layers without recurrence: linear, ReLU and dropout for each size.

    Args:
        input_size: I.
        sizes: H of each layer; without sizes the input is passed through.
        dropout: after each layer, or on the input where there is no layer.

    Raises:
        ArgumentError: a size is below 1, or dropout is not a probability.
    """

    def __init__(self, input_size: int, sizes: tuple[int, ...] = (), *, dropout: float = 0.0) -> None:
        super().__init__()
        if input_size < 1 or any(size < 1 for size in sizes):
            raise ArgumentError(f"input_size, sizes: expected at least 1, found {input_size}, {sizes}")
        if not 0 <= dropout < 1:
            raise ArgumentError(f"dropout: expected 0 to below 1, found {dropout}")
        layers: list[nn.Module] = [] if sizes else [nn.Dropout(dropout)]
        for before, size in zip((input_size, *sizes), sizes, strict=False):
            layers += [nn.Linear(before, size), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers)
        self.input_size, self.output_size = input_size, sizes[-1] if sizes else input_size

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, I) → (B, H of the last layer)."""
        result: Tensor = self.layers(x)
        return result


class OneToOneNetwork(nn.Module):
    """Input layer, hidden layers and output layer: a class for an image, or for a vector of features.

    Args:
        inputs: an input layer: any module from x to (B, I) that has `output_size`.
        hidden: the hidden layers.
        output: an output layer: from (B, H) to (B, K) logits.

    Raises:
        ArgumentError: the layers do not match.
    """

    def __init__(self, inputs: nn.Module, hidden: FeedForward, output: OutputLayer) -> None:
        super().__init__()
        width = getattr(inputs, "output_size", hidden.input_size)
        if width != hidden.input_size:
            raise ArgumentError(f"inputs: yields vectors of {width}, hidden reads input_size={hidden.input_size}")
        self.inputs, self.hidden, self.output = inputs, hidden, output

    @property
    def classes(self) -> int:
        """K, the number of logits."""
        return self.output.classes

    def forward(self, x: Any) -> Tensor:
        """Return the logits (B, K); x is the input layer's input."""
        logits: Tensor = self.output(self.features(x))
        return logits

    def features(self, x: Any) -> Tensor:
        """Return the output layer's input, (B, H)."""
        h: Tensor = self.hidden(self.inputs(x))
        return h
