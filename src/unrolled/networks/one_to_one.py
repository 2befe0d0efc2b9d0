"""One-to-one: a fixed input, a fixed output, nothing repeated over time.

    x ─ input layer ─▶ hidden layers ─▶ output layer ─▶ logits

The input layer may be any of those that yield a vector: `Frames` for features, `ImageEncoder` for images. Letters: B
batch, I width of the input layer's vector, H units of a hidden layer, K output classes.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from unrolled.errors import ArgumentError


class FeedForward(nn.Module):
    """Hidden layers without recurrence: linear, ReLU, dropout, as often as there are sizes.

    Args:
        input_size: I.
        sizes: H of each layer; none at all passes the input through.
        dropout: after each layer, and on the input where there is no layer.

    Raises:
        ArgumentError: a size below 1, or a dropout that is no probability.
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
        """(B, I) → (B, H of the last layer)."""
        result: Tensor = self.layers(x)
        return result


class OneToOneNetwork(nn.Module):
    """Input layer, hidden layers and output layer: a class for an image, or for a vector of features.

    Args:
        inputs: an input layer: anything from x to (B, I) that has `output_size`.
        hidden: the hidden layers.
        output: an output layer: from (B, H) to (B, K) logits.

    Raises:
        ArgumentError: if the layers do not fit each other.
    """

    def __init__(self, inputs: nn.Module, hidden: FeedForward, output: nn.Module) -> None:
        super().__init__()
        width = getattr(inputs, "output_size", hidden.input_size)
        if width != hidden.input_size:
            raise ArgumentError(f"inputs: yields vectors of {width}, hidden reads input_size={hidden.input_size}")
        self.inputs, self.hidden, self.output = inputs, hidden, output

    @property
    def classes(self) -> int:
        """K, the number of logits."""
        return int(self.output.classes)  # type: ignore[arg-type]

    def forward(self, x: Any) -> Tensor:
        """Logits (B, K); x is what the input layer reads."""
        logits: Tensor = self.output(self.features(x))
        return logits

    def features(self, x: Any) -> Tensor:
        """What the output layer reads, (B, H)."""
        h: Tensor = self.hidden(self.inputs(x))
        return h
