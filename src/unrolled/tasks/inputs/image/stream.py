"""An image that comes row by row, or pixel by pixel: what it would be if this were all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers import Session, StreamState
from unrolled.networks import ManyToOneNetwork

if TYPE_CHECKING:
    from unrolled.tasks.core.model import Model


class RowSession(Session):
    """A stream of rows (or pixels) through a model that reads in one direction.

    Pushing them in pieces, or whole, leads to the same probabilities; after the last row they are those of `predict`.

    Args:
        model: a `recognize` model with `reading` "rows" or "pixels".

    Raises:
        ArgumentError: the model sees images as a whole, or reads in both directions.
    """

    def __init__(self, model: Model) -> None:
        network = model.network
        if not isinstance(network, ManyToOneNetwork):
            raise ArgumentError(
                "this model sees an image as a whole and can't be streamed; train one with --reading rows "
                "--no-bidirectional"
            )
        if not network.is_causal:
            raise ArgumentError(
                "this model reads in both directions and can't be streamed; train one with --no-bidirectional"
            )
        self._model, self._network = model, network
        self._width = int(network.inputs.output_size)  # type: ignore[arg-type]
        self.reset()

    def reset(self) -> RowSession:
        """Begin again, with nothing read."""
        self._state: Any = self._network.start(1)
        self._logits: Tensor | None = None
        self._position = 0
        return self

    @property
    def position(self) -> int:
        """Steps read so far."""
        return self._position

    def push(self, rows: Any) -> RowSession:
        """Read more rows, or pixels.

        Args:
            rows: (n, W), (n, W, C) or a single row, uint8, on the scale of the training images; with `reading`
                "pixels" (n,) or (n, C).

        Raises:
            ShapeError: rows of another width.
            ArgumentError: of another dtype, or more than an image has.
        """
        array = np.asarray(rows)
        if array.dtype != np.uint8:
            raise ArgumentError(f"rows: expected uint8, found {array.dtype}")
        if array.size == 0 or array.size % self._width:
            raise ShapeError("rows", f"(n, I={self._width})", array.shape)
        steps = torch.from_numpy(np.ascontiguousarray(array.reshape(-1, self._width)))
        device = next(self._network.parameters()).device
        for step in steps.to(device):
            self._logits, self._state = self._network.step(step.unsqueeze(0), self._state)
        self._position += len(steps)
        return self

    def probabilities(self) -> dict[str, float]:
        """Of each class, after what was read; the most probable first.

        Raises:
            ArgumentError: nothing was read yet.
        """
        if self._logits is None:
            raise ArgumentError("nothing was read yet; push some rows first")
        probs = self._logits[0].double().softmax(-1).cpu()
        order = probs.argsort(descending=True, stable=True).tolist()
        return {self._model.encoders.labels[k]: float(probs[k]) for k in order}

    @property
    def state(self) -> StreamState:
        """The stream so far, to be saved; bound to this model."""
        return StreamState((self._state, self._logits), self._position, self._model.fingerprint)

    @property
    def fingerprint(self) -> str:
        """Of the model."""
        return self._model.fingerprint

    def resume(self, saved: StreamState) -> RowSession:
        """Go on from a state of this model.

        Raises:
            StateError: it is not of such a stream.
        """
        (self._state, self._logits), self._position = saved.tensors, saved.position
        return self
