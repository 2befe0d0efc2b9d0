"""An image that comes row by row, or pixel by pixel: what it would be if this were all of it."""

from __future__ import annotations

from numpy.typing import ArrayLike
from torch import Tensor

from unrolled.errors import ArgumentError
from unrolled.layers import StreamState
from unrolled.tasks.outputs.label.session import LabelSession


class RowSession(LabelSession[ArrayLike]):
    """A stream of rows (or pixels) through a model that reads in one direction.

    Pushing them in pieces, or whole, leads to the same probabilities; after the last row they are those of `predict`.
    """

    def push(self, piece: ArrayLike) -> RowSession:
        """Read more rows, or pixels; returns the session itself.

        Args:
            piece: (n, W), (n, W, C) or a single row, uint8, on the scale of the training images; with `reading`
                "pixels" (n,) or (n, C).

        Raises:
            ShapeError: rows of another width.
            ArgumentError: of another dtype.
        """
        super().push(piece)
        return self

    def probabilities(self) -> dict[str, float]:
        """Return the probability of each class after what was read, the most probable first.

        Raises:
            ArgumentError: nothing was read yet.
        """
        if not self.position:
            raise ArgumentError("nothing was read yet; push some rows first")
        return super().probabilities()

    def resume(self, saved: StreamState) -> RowSession:
        """Take up a state of this model; one of version 0.1 carries logits beside the network's state."""
        if not saved.extra and saved.position:
            state, logits = saved.tensors
            last = logits[0].double().softmax(-1).tolist() if isinstance(logits, Tensor) else None
            saved = StreamState(state, saved.position, saved.model, {"last": last})
        return super().resume(saved)
