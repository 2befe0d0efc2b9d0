"""A recording: steps, labels of steps, and the options by which both are read.

T time, F features.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from unrolled.data.core.dialect import TableOptions
from unrolled.data.core.examples import Array, Example
from unrolled.data.video.annotations import Annotation
from unrolled.data.video.clips import Clip


class StepOptions(TableOptions):
    """Options by which recordings are read."""

    label_column: str = Field(default="label", description="of tables: where the label of a step is")
    time_column: str | None = Field(default=None, description="of tables: the time of a step, looked at for gaps")
    sequence_column: str | None = Field(
        default=None, description="of tables: which recording a row belongs to; else a file is one"
    )
    features: tuple[str, ...] = Field(
        default=(), description="of tables: the columns to read, all others if none is named"
    )
    annotations: str | None = Field(
        default=None, description="folder or .zip of annotation files, if not beside the clips"
    )
    units_per_second: float | None = Field(
        default=None,
        gt=0,
        description="of times: 1 is seconds, 1000 milliseconds; else frames in annotations and seconds in tables",
    )
    rate: float | None = Field(
        default=None,
        gt=0,
        description="frames a second: of a video those that are read, of images how fast they were taken",
    )
    frame_height: int | None = Field(
        default=None, ge=1, description="images are strips: so many rows are one frame of a clip"
    )


@dataclass(frozen=True, kw_only=True)
class Recording(Example):
    """One recording, and the labels of its steps.

    Attributes:
        name: the clip's, or what its table calls it.
        clip: its frames; None for features.
        features: (T, F); None for frames.
        columns: the names of the features, if they have any.
        times: (T,) seconds, if they are known.
        rate: steps a second, if that is known.
        steps: a label for each row of a table, None where the cell is empty.
        lines: (T,) the rows' lines.
        annotation: of an annotation file.
    """

    name: str
    clip: Clip | None = None
    features: Array | None = field(default=None, repr=False)
    columns: tuple[str, ...] = ()
    times: NDArray[np.float64] | None = field(default=None, repr=False)
    rate: float | None = None
    steps: tuple[str | None, ...] | None = field(default=None, repr=False)
    lines: NDArray[np.int64] | None = field(default=None, repr=False)
    annotation: Annotation | None = field(default=None, repr=False)

    @property
    def given(self) -> Recording:
        """Return the recording itself: features, or a clip that is not decoded yet."""
        return self

    @property
    def target(self) -> tuple[str | None, ...]:
        """Return the labels of a table's rows; what an annotation says depends on which frames are read."""
        return self.steps or ()

    @property
    def key(self) -> str:
        """A hash of the frames or features."""
        if self.clip is not None:
            return self.clip.digest
        array = np.ascontiguousarray(self.features)
        return hashlib.blake2b(repr(array.shape).encode() + array.tobytes(), digest_size=16).hexdigest()

    @property
    def labels(self) -> tuple[str, ...]:
        """Those that occur, each once."""
        if self.annotation is not None:
            return self.annotation.labels
        return tuple(dict.fromkeys(label for label in self.steps or () if label is not None))

    @property
    def is_empty(self) -> bool:
        """Whether it has no step."""
        return self.features is not None and not len(self.features)

    @property
    def is_labelled(self) -> bool:
        """Whether its steps have labels."""
        return self.annotation is not None or self.steps is not None

    def place_of(self, label: str) -> tuple[str, int | None]:
        """Return file and line where a label first occurs."""
        if self.annotation is not None:
            return self.annotation.path, self.annotation.line_of(label)
        if self.steps is not None and self.lines is not None and label in self.steps:
            return self.path, int(self.lines[self.steps.index(label)])
        return self.path, self.line
