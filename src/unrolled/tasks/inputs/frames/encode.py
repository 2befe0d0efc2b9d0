"""Recordings and labels as numbers: what is fitted on the training part, how a recording becomes arrays, and what is
changed about it while training.

Letters: T time, H height, W width, C channels, F features, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from unrolled.data import IGNORED, Arrays
from unrolled.data.images.augmentation import crop
from unrolled.data.steps.recordings import Recording
from unrolled.errors import ArgumentError, DataError, ModelError
from unrolled.settings import Settings
from unrolled.tasks.core.example_task import read_json, write_json

if TYPE_CHECKING:
    from unrolled.tasks.uses.label import LabelOptions

LABELS = "labels.json"
#: pixels of a frame that are enough where nobody names a size
PIXELS = 1600
#: a label that training never saw: no target to learn, and never predicted rightly
UNSEEN = -1


class _Saved(Settings):
    """labels.json."""

    labels: tuple[str, ...]
    background: str | None = None
    aliases: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    features: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    size: tuple[Annotated[int, Field(ge=1, le=4096)], Annotated[int, Field(ge=1, le=4096)]] | None = None
    channels: Annotated[int, Field(ge=0, le=3)] = 0
    rate: Annotated[float, Field(gt=0)] | None = None
    by_recording: bool = False


@dataclass(frozen=True)
class StepEncoders:
    """What turns recordings into arrays and labels into numbers.

    Attributes:
        labels: K of them; a label's number is its place.
        background: the one that says that nothing happens, if there is one.
        aliases: labels that are read as that one.
        columns: names of the features, if they have any.
        features: F; 0 for frames.
        size, channels: (H, W) and C of frames; None for features.
        rate: steps a second of the first recording, if it is known.
        by_recording: whether features are standardised by each recording's own mean and spread, so that it makes no
            difference who is seen or how large; nothing of the kind can be streamed.
    """

    labels: tuple[str, ...]
    background: str | None = None
    aliases: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    features: int = 0
    size: tuple[int, int] | None = None
    channels: int = 0
    rate: float | None = None
    by_recording: bool = False

    @property
    def background_number(self) -> int | None:
        """The background's place among the labels."""
        return None if self.background is None else self.labels.index(self.background)

    def number(self, label: str | None) -> int:
        """A label's place; `UNSEEN` for one that training never saw, and `IGNORED` where nothing is said."""
        if label is None:
            return IGNORED
        if label in self.aliases and self.background is not None:
            label = self.background
        return self.labels.index(label) if label in self.labels else UNSEEN

    def save(self, folder: Path) -> None:
        """Write labels.json."""
        write_json(folder / LABELS, asdict(self))

    @classmethod
    def load(cls, folder: Path) -> StepEncoders:
        """Read labels.json.

        Raises:
            ModelError: it is missing, or not what `save` wrote.
        """
        path = folder / LABELS
        raw = read_json(path)
        try:
            found = cls(**dict(_Saved(**raw)))
        except (ArgumentError, TypeError) as error:
            raise ModelError(f"{path}: corrupt, {error}") from error
        wrong = len(set(found.labels)) < len(found.labels) or not found.labels
        if wrong or (found.background is not None and found.background not in found.labels):
            raise ModelError(f"{path}: corrupt, labels {found.labels[:3]}… with background {found.background!r}")
        if (found.size is None) != (found.features > 0) or (found.size is not None and found.channels not in (1, 3)):
            raise ModelError(f"{path}: corrupt, neither frames nor features")
        return found


def fit_encoders(train: Sequence[Recording], options: LabelOptions) -> StepEncoders:
    """Labels, background and the form of steps, as the training recordings have them.

    Raises:
        DataError: frames and features side by side, features of different widths, or fewer than two labels.
    """
    first = train[0]
    for other in train:
        if (other.clip is None) != (first.clip is None):
            raise DataError(f"frames, and {first.path} has features; train on one of them", other.path)
    found = {label for recording in train for label in recording.labels}
    background, aliases = _background(train, found, options.background)
    labels = tuple(sorted((found - set(aliases)) | ({background} if background else set())))
    if len(labels) < 2:
        raise DataError(f"one label, {', '.join(labels) or 'none'}: there is nothing to tell apart", first.path)
    if first.clip is None:
        assert first.features is not None
        width = first.features.shape[1]
        for other in train:
            check_features(other, first.columns, width)
        by_recording = options.standardise == "recording"
        return StepEncoders(
            labels, background, aliases, first.columns, width, rate=first.rate, by_recording=by_recording
        )
    if options.standardise == "recording":
        raise ArgumentError("--standardise recording: is for features, and these are frames")
    footage = first.clip.footage(options.frame_size, None if options.colour is None else 3 if options.colour else 1)
    height, width, channels = footage.frames.shape[1:]
    size = options.frame_size or _smaller(height, width)
    return StepEncoders(labels, background, aliases, (), 0, size, channels, footage.rate)


def _background(
    train: Sequence[Recording], found: set[str], names: Sequence[str]
) -> tuple[str | None, tuple[str, ...]]:
    """The label of steps at which nothing happens, and the labels that mean the same."""
    known = [name for name in names if name in found]
    if not known and names and any(_has_gaps(recording) for recording in train):
        known = [names[0]]
    return (known[0], tuple(known[1:])) if known else (None, ())


def _has_gaps(recording: Recording) -> bool:
    if recording.annotation is None or recording.annotation.steps is not None:
        return False
    end = 0.0
    for segment in recording.annotation.segments:
        if segment.begin > end:
            return True
        end = max(end, segment.end)
    return False


def _smaller(height: int, width: int) -> tuple[int, int]:
    """A size of about `PIXELS` with the same proportions; small frames keep theirs."""
    scale = min(1.0, (PIXELS / (height * width)) ** 0.5)
    return (
        (height, width) if scale == 1 else (max(8, 4 * round(height * scale / 4)), max(8, 4 * round(width * scale / 4)))
    )


def check_features(recording: Recording, columns: tuple[str, ...], width: int) -> None:
    """See that a recording has the features that are wanted.

    Raises:
        DataError: it has others.
    """
    if recording.features is None:
        raise DataError("frames, and features are wanted", recording.path)
    if columns and recording.columns and recording.columns != columns:
        missing = [name for name in columns if name not in recording.columns]
        what = f"no column {missing[0]!r}" if missing else "the columns of features in another order"
        raise DataError(f"{what}; expected {', '.join(columns)}", recording.path, recording.line)
    if recording.features.shape[1] != width:
        raise DataError(f"{recording.features.shape[1]} features, and {width} are wanted", recording.path)


class Steps(NamedTuple):
    """A decoded recording.

    Attributes:
        x: (T, H, W, C) uint8, or (T, F) float32.
        rate: steps a second, if it is known.
        labels: of each step, None where nothing is said; None for a recording without labels.
    """

    x: NDArray[Any]
    rate: float | None
    labels: list[str | None] | None


def decoded(recording: Recording, encoders: StepEncoders) -> Steps:
    """A recording's steps as the network reads them.

    Raises:
        DataError: it can't be decoded, has no step, is of another kind, or its annotation does not fit.
    """
    if (recording.clip is None) != (encoders.size is None):
        kind, wanted = ("features", "frames") if recording.clip is None else ("frames", "features")
        raise DataError(f"{kind}, and the model reads {wanted}", recording.path, recording.line)
    x: NDArray[Any]
    if recording.clip is not None:
        footage = recording.clip.footage(encoders.size, encoders.channels)
        x, rate, numbers, count = footage.frames, footage.rate, footage.numbers, footage.count
    else:
        check_features(recording, encoders.columns, encoders.features)
        assert recording.features is not None
        x = np.ascontiguousarray(recording.features, dtype=np.float32)
        if not np.isfinite(x).all():
            raise DataError(f"step {int(np.argwhere(~np.isfinite(x))[0][0])} has no finite features", recording.path)
        x = by_itself(x) if encoders.by_recording and len(x) else x
        rate, numbers, count = recording.rate, np.arange(len(x)), len(x)
    if not count:
        raise DataError("no step in this recording", recording.path, recording.line)
    if recording.annotation is None:
        return Steps(x, rate, None if recording.steps is None else list(recording.steps))
    labels = recording.annotation.spread(numbers, count, rate, recording.name)
    if recording.annotation.steps is None and encoders.background is not None:
        labels = [encoders.background if label is None else label for label in labels]
    return Steps(x, rate, labels)


def by_itself(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features (T, F) with mean 0 and standard deviation 1 over this recording; one that never varies is 0."""
    spread = x.std(axis=0, dtype=np.float64)
    result: NDArray[np.float32] = ((x - x.mean(axis=0, dtype=np.float64)) / np.where(spread > 0, spread, 1)).astype(
        np.float32
    )
    return result


def encode_recording(recording: Recording, encoders: StepEncoders) -> Arrays:
    """A recording as arrays: `x` as in `Steps`, and `targets` (T,) int64."""
    steps = decoded(recording, encoders)
    labels = steps.labels or [None] * len(steps.x)
    return {"x": steps.x, "targets": np.array([encoders.number(label) for label in labels], dtype=np.int64)}


def varied(example: Arrays, draw: np.random.Generator, strength: float, mirror: bool) -> Arrays:
    """A recording as it might have been as well: a little slower or faster, steps lost, frames moved, darker, covered.

    What is done to one frame is done to all of them, since a camera does not jump.

    Args:
        example: `x` and `targets`.
        draw: for all that is random.
        strength: 0 changes nothing, 1 is usual.
        mirror: whether left and right may be swapped.
    """
    x, targets = example["x"], example["targets"]
    if strength > 0:
        # a step is held or left out now and then, and with it its label
        pace = draw.choice([0, 1, 2], size=len(x), p=[0.04 * strength, 1 - 0.08 * strength, 0.04 * strength])
        places = np.cumsum(pace) - pace[0]
        places = places[places < len(x)]
        x, targets = x[places], targets[places]
        # a step that is lost shows the one before
        lost = draw.random(len(x)) < 0.05 * strength
        lost[0] = False
        shown = np.maximum.accumulate(np.where(lost, 0, np.arange(len(x))))
        x = x[shown]
    if x.ndim == 4:
        x = _varied_frames(x, draw, strength, mirror)
    return {"x": x, "targets": targets}


def _varied_frames(
    frames: NDArray[np.uint8], draw: np.random.Generator, strength: float, mirror: bool
) -> NDArray[np.uint8]:
    _, height, width, channels = frames.shape
    if mirror and draw.random() < 0.5:
        frames = frames[:, :, ::-1]
    if strength <= 0:
        return np.ascontiguousarray(frames)
    y, x = (max(1, round(0.08 * strength * side)) for side in (height, width))
    wide = np.pad(frames, ((0, 0), (y, y), (x, x), (0, 0)), mode="edge")
    # all frames of the clip as one image of many channels: one window for all
    together = wide.transpose(1, 2, 0, 3).reshape(1, height + 2 * y, width + 2 * x, -1)
    moved = crop(together, height, width, draw)[0].reshape(height, width, -1, channels).transpose(2, 0, 1, 3)
    gain, offset = 1 + draw.uniform(-0.25, 0.25) * strength, draw.uniform(-25, 25) * strength
    result: NDArray[np.uint8] = (moved * np.float32(gain) + np.float32(offset)).clip(0, 255).astype(np.uint8)
    if draw.random() < 0.5 * strength:
        h, w = (int(draw.integers(1, max(2, round(0.4 * side)))) for side in (height, width))
        top, left = int(draw.integers(0, height - h + 1)), int(draw.integers(0, width - w + 1))
        result[:, top : top + h, left : left + w] = result.mean(dtype=np.float64)
    return result
