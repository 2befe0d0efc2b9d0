"""labels.json: what `label` reads and what it answers, in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from unrolled.errors import ArgumentError, ModelError
from unrolled.settings import Settings
from unrolled.tasks.core.fitted import Parts
from unrolled.tasks.core.folder.files import read_json, write_json
from unrolled.tasks.inputs.frames.encode import FramesInput, Pixel
from unrolled.tasks.inputs.series.arrays import StepsInput
from unrolled.tasks.inputs.series.encode import RowsInput
from unrolled.tasks.outputs.labels.encode import LABELS
from unrolled.tasks.uses.label.encode import SegmentLabels
from unrolled.types import Json


class SavedParts(Settings):
    """labels.json: labels; columns and number of features, or size and channels of frames."""

    labels: tuple[str, ...]
    background: str | None = None
    aliases: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    features: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    size: tuple[Pixel, Pixel] | None = None
    channels: Annotated[int, Field(ge=0, le=3)] = 0
    rate: Annotated[float, Field(gt=0)] | None = None
    by_recording: bool = False


def save_parts(parts: Parts[StepsInput, SegmentLabels], folder: Path) -> None:
    """Write labels.json."""
    source, output = parts.input.as_json(), parts.output
    own: Json = {"labels": output.labels, "background": output.background, "aliases": output.aliases}
    saved = SavedParts(features=source.pop("width", 0), **source, **own)
    write_json(folder / LABELS, saved.model_dump(mode="json"))


def load_parts(folder: Path) -> Parts[StepsInput, SegmentLabels]:
    """Read labels.json.

    Raises:
        ModelError: it is missing, or not what `save_parts` wrote.
    """
    path = folder / LABELS
    try:
        saved = SavedParts(**read_json(path))
    except (ArgumentError, TypeError) as error:
        raise ModelError(f"{path}: corrupt, {error}") from error
    labels, background = saved.labels, saved.background
    if not labels or len(set(labels)) < len(labels) or background not in (None, *labels):
        raise ModelError(f"{path}: corrupt, labels {labels[:3]}… with background {background!r}")
    output = SegmentLabels(labels, background, saved.aliases)
    if saved.size is None and saved.features:
        return Parts(RowsInput(saved.features, saved.columns, saved.rate, saved.by_recording), output)
    if saved.size is not None and not saved.features and saved.channels in (1, 3):
        return Parts(FramesInput(saved.size, saved.channels, saved.rate), output)
    raise ModelError(f"{path}: corrupt, neither frames nor features")
