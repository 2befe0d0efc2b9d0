"""A recording: steps, labels of steps, and how both are read.

T time, F features.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.data.core.examples import Example
from unrolled.data.video.annotations import Annotation
from unrolled.data.video.clips import Clip

Features = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Reading:
    """How recordings are read.

    Attributes:
        label_column, time_column, sequence_column: of tables; a time or sequence column of None is not looked for.
        features: columns of features; empty takes all others.
        annotations: a folder or .zip of annotation files; None looks beside each clip.
        units_per_second: of times: 25000 is 1/25000 s. None takes frame numbers in annotations, seconds in tables.
        rate, frame_height: as `unrolled.data.video.clips.find_clips` takes them.
        encoding: of text.
        labelled: whether recordings must have labels; if not, nobody looks for annotations.
    """

    label_column: str = "label"
    time_column: str | None = None
    sequence_column: str | None = None
    features: tuple[str, ...] = ()
    annotations: Path | None = None
    units_per_second: float | None = None
    rate: float | None = None
    frame_height: int | None = None
    encoding: str = "utf-8"
    labelled: bool = True


@dataclass(frozen=True, kw_only=True)
class Recording(Example):
    """One recording, and what is said about its steps.

    Attributes:
        name: the clip's, or what its table calls it.
        clip: where its frames are; None for features.
        features: (T, F); None for frames.
        columns: the names of the features, if they have any.
        times: (T,) seconds, if they are known.
        rate: steps a second, if that is known.
        steps: a label for each row of a table, None where the cell is empty.
        lines: (T,) the rows' lines.
        annotation: what an annotation file says.
    """

    name: str
    clip: Clip | None = None
    features: Features | None = field(default=None, repr=False)
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
        """Whether anything is said about its steps."""
        return self.annotation is not None or self.steps is not None

    def place_of(self, label: str) -> tuple[str, int | None]:
        """File and line where a label first stands."""
        if self.annotation is not None:
            return self.annotation.path, self.annotation.line_of(label)
        if self.steps is not None and self.lines is not None and label in self.steps:
            return self.path, int(self.lines[self.steps.index(label)])
        return self.path, self.line
