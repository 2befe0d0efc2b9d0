"""Recordings, and the labels of their steps: as a table or annotation says, as far as a model knows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from unrolled.data import Example, Findings
from unrolled.data.steps.recordings import Recording
from unrolled.errors import ArgumentError, DataError
from unrolled.tasks.core.fitted import Parts
from unrolled.tasks.core.values import Progress
from unrolled.tasks.inputs.frames.encode import FramesInput
from unrolled.tasks.inputs.series.arrays import Decoded, StepsInput
from unrolled.tasks.inputs.series.encode import RowsInput
from unrolled.tasks.outputs.labels.scoring import UNSEEN
from unrolled.tasks.uses.label.encode import SegmentLabels
from unrolled.tasks.uses.label.options import StepLabelOptions
from unrolled.types import Json


def kind_of(train: Sequence[Example], options: StepLabelOptions) -> type[FramesInput] | type[RowsInput]:
    """Return what recordings hold: frames, or rows of features.

    Raises:
        DataError: some hold frames and some hold features.
        ArgumentError: frames, and an option that is for features.
    """
    first, *others = (cast(Recording, example) for example in train)
    for other in others:
        if (other.clip is None) != (first.clip is None):
            raise DataError(f"frames, and {first.path} has features; train on one of them", other.path)
    if first.clip is None:
        return RowsInput
    if options.standardise == "recording":
        raise ArgumentError("--standardise recording: is for features, and these are frames")
    return FramesInput


def labels_of(recording: Recording, decoded: Decoded, background: str | None) -> list[str | None]:
    """Return the label of each step that is read, None where nothing is said.

    Args:
        recording: the recording.
        decoded: its steps.
        background: the label of steps between segments, if there is one.

    Raises:
        DataError: its annotation does not fit its steps.
    """
    count = len(decoded.x)
    if recording.annotation is None:
        return [None] * count if recording.steps is None else list(recording.steps)
    numbers = np.arange(count) if decoded.numbers is None else decoded.numbers
    total = count if decoded.total is None else decoded.total
    labels = recording.annotation.spread(numbers, total, decoded.rate, recording.name)
    if recording.annotation.steps is None and background is not None:
        return [background if label is None else label for label in labels]
    return labels


def decode_all(
    examples: Sequence[Example], parts: Parts[StepsInput, SegmentLabels], findings: Findings, progress: Progress
) -> Json:
    """Decode recordings and their labels; what can't be goes to the findings. Returns counts."""
    steps = 0
    for n, example in enumerate(examples):
        progress("decoding", n, len(examples))
        try:
            decoded = parts.input.given(example)
            steps += len(labels_of(cast(Recording, example), decoded, parts.output.background))
        except DataError as error:
            findings.caught(error, "unreadable")
    return {"steps": steps, "labels": len(parts.output.labels)}


def known_to(output: SegmentLabels, examples: Sequence[Example], findings: Findings) -> list[Example]:
    """Return the recordings all of whose labels are the model's; what is not goes to the findings."""
    known = []
    for example in examples:
        unknown = [label for label in example.labels if output.number(label) == UNSEEN]
        if unknown:
            message = f"label {unknown[0]!r} is not one of the model's ({', '.join(output.labels[:8])}"
            message += f", … {len(output.labels)} in all)" if len(output.labels) > 8 else ")"
            findings.error("unknown label", message, *cast(Recording, example).place_of(unknown[0]))
        else:
            known.append(example)
    return known
