"""Steps as they come: each gets its label at once, from a model that reads in one direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from unrolled.layers import StreamState
from unrolled.tasks.core.results import result_type
from unrolled.tasks.core.stream import Step
from unrolled.tasks.outputs.labels.session import LabelsSession
from unrolled.tasks.uses.label.results import LabelledRecording, segmented


class StepLabelSession(LabelsSession[ArrayLike]):
    """A stream of frames or rows of features. Pushing them in pieces, or whole, leads to the same labels.

    What `push` returns are the labels of these steps; segments count from the first of them.

    >>> session = model.stream()                        # doctest: +SKIP
    >>> session.push(frames[:10]).labels       # doctest: +SKIP
    ('sil', 'sil', …)
    """

    def resume(self, saved: StreamState) -> StepLabelSession:
        """Take up a state of this model; one of version 0.1 has None where no step is carried."""
        state, *before = saved.tensors if isinstance(saved.tensors, tuple) else (saved.tensors,)
        if before == [None]:
            carried = self._begin.tensors
            saved = StreamState((state, carried) if carried else state, saved.position, saved.model, saved.extra)
        return super().resume(saved)

    def _read(self, steps: Sequence[Step]) -> LabelledRecording:
        source, output = self._model.input, self._model.output
        recording: Any = result_type(source.Shown, LabelledRecording)
        fields = segmented(*self._labelled(steps), source.rate, output.background)
        result: LabelledRecording = recording(name="stream", rate=source.rate, **fields)
        return result
