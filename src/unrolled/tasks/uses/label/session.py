"""Steps as they come: each gets its label at once, from a model that reads in one direction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.data.images.files import Pixels, as_pixels, resize, with_channels
from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers import Session, StreamState
from unrolled.networks import SyncedNetwork
from unrolled.tasks.uses.label.results import LabelledRecording, labelled

if TYPE_CHECKING:
    from unrolled.tasks.core.fitted import Fitted
    from unrolled.tasks.inputs.frames.encode import StepEncoders


class LabelSession(Session):
    """A stream of frames or rows of features. Pushing them in pieces, or whole, leads to the same labels.

    Args:
        model: a `label` model that reads in one direction.

    Raises:
        ArgumentError: it reads in both.

    >>> session = model.stream()                        # doctest: +SKIP
    >>> session.push(frames[:10]).labels       # doctest: +SKIP
    ('sil', 'sil', …)
    """

    def __init__(self, model: Fitted) -> None:
        network = model.network
        if not isinstance(network, SyncedNetwork) or network.hidden.bidirectional:
            raise ArgumentError(
                "this model reads in both directions and can't be streamed; train one with --no-bidirectional"
            )
        if model.encoders.by_recording:
            raise ArgumentError(
                "this model standardises each recording as a whole and can't be streamed; train one with --standardise "
                "training"
            )
        self._model, self._network = model, network
        self.reset()

    def reset(self) -> LabelSession:
        """Begin again, with nothing read."""
        self._state: Any = self._network.start(1)
        self._before: Tensor | None = None
        self._position = 0
        return self

    @property
    def position(self) -> int:
        """Steps read so far."""
        return self._position

    def push(self, steps: Any) -> LabelledRecording:
        """Read more steps.

        Args:
            steps: rows of features (n, F) or a single row; frames (n, H, W) or (n, H, W, C) of any size.

        Returns:
            The labels of these steps; segments count from the first of them.

        Raises:
            ShapeError, ArgumentError: steps of another shape or dtype.
        """
        encoders: StepEncoders = self._model.encoders
        array = given_steps(steps, encoders, single=True)
        network, device = self._network, next(self._network.parameters()).device
        fresh = torch.from_numpy(array).unsqueeze(1).to(device)
        log_probs = np.zeros((0, len(encoders.labels)), dtype=np.float32)
        if len(fresh):
            with torch.no_grad():
                seen = fresh if self._before is None else torch.cat((self._before, fresh))
                vectors = network.inputs(seen)[len(seen) - len(fresh) :]
                h, self._state = network.hidden(vectors, self._state)
                log_probs = network.output(h).log_softmax(-1)[:, 0].float().cpu().numpy()
            context = int(network.inputs.context)  # type: ignore[arg-type]
            self._before = seen[-context:].clone() if context else None
        self._position += len(fresh)
        best = log_probs.argmax(axis=1)
        scores = np.exp(log_probs[np.arange(len(best)), best])
        labels = [encoders.labels[n] for n in best]
        return labelled("stream", labels, scores.tolist(), encoders.rate, encoders.background)

    @property
    def state(self) -> StreamState:
        """The stream so far, to be saved; bound to this model."""
        return StreamState((self._state, self._before), self._position, self._model.fingerprint)

    @property
    def fingerprint(self) -> str:
        """Of the model."""
        return self._model.fingerprint

    def resume(self, saved: StreamState) -> LabelSession:
        """Go on from a state of this model.

        Raises:
            StateError: it is not of such a stream.
        """
        self._state, self._before = saved.tensors
        self._position = saved.position
        return self


def given_steps(steps: Any, encoders: StepEncoders, *, single: bool = False) -> NDArray[Any]:
    """Steps from Python as the network reads them: (T, H, W, C) uint8 or (T, F) float32.

    Args:
        steps: an array or tensor, or nested lists.
        encoders: the model's.
        single: whether one row of features, or one frame, may stand for (1, …).

    Raises:
        ShapeError, ArgumentError: they are no such steps.
    """
    array = np.asarray(steps)
    if encoders.size is None:
        if single and array.ndim == 1:
            array = array[None]
        if array.ndim != 2 or array.shape[1] != encoders.features:
            raise ShapeError("steps", f"(T, F={encoders.features})", array.shape)
        if array.dtype.kind not in "fiub":
            raise ArgumentError(f"steps: expected numbers, found {array.dtype}")
        array = np.ascontiguousarray(array, dtype=np.float32)
        if not np.isfinite(array).all():
            raise ArgumentError(f"steps: step {int(np.argwhere(~np.isfinite(array))[0][0])} is not finite")
        return array
    if single and array.ndim == 2:
        array = array[None]
    if array.ndim not in (3, 4):
        raise ShapeError("steps", "frames (T, H, W) or (T, H, W, C)", array.shape)
    if not len(array):
        return np.zeros((0, *encoders.size, encoders.channels), dtype=np.uint8)
    frames: list[Pixels] = []
    for frame in array:
        pixels = with_channels(as_pixels(frame, "frame"), encoders.channels)
        frames.append(resize(pixels, *encoders.size))
    return np.stack(frames)
