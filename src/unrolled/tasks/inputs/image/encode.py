"""Images: decoded, brought to one size, varied while training.

H height, W width, C channels, B batch.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from torch import Tensor

from unrolled.data import Arrays, Example, ExampleStore, Findings, lengths_of, padded
from unrolled.data.core.rows import TableRow
from unrolled.data.core.tables import Table
from unrolled.data.images.arrays import pixel_rows
from unrolled.data.images.augmentation import affine
from unrolled.data.images.files import IMAGE_NAMES, Picture, Pixels, picture_of, png, resize
from unrolled.data.images.format import ImageFormat
from unrolled.data.images.labelled import pictures_in
from unrolled.errors import ArgumentError, DataError, ModelError
from unrolled.layers import InputLayer
from unrolled.settings import Settings
from unrolled.tasks.core import results
from unrolled.tasks.core.contract import Input
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.folder.files import read_json, write_json
from unrolled.tasks.core.rows.columns import path_beside
from unrolled.tasks.core.values import InputSteps, Progress, RowInput
from unrolled.tasks.inputs.image.layer import ImageNetwork, convolutions, image_layer
from unrolled.tasks.inputs.image.options import ImageOptions, ImagePrediction
from unrolled.tasks.inputs.image.steps import image_steps
from unrolled.tasks.inputs.image.stream import RowStream
from unrolled.tasks.inputs.spans import active_spans
from unrolled.types import Json

FORMAT = "images.json"
#: the linear baseline sees images no larger than this
BASELINE_SIDE = 32


class ShownImage(results.Shown):
    """The fields by which a result names its image."""

    image: str = Field(description="what it is called")
    #: as the network read it, (H, W, C) uint8; not part of the JSON
    seen: SkipJsonSchema[Pixels | None] = Field(None, exclude=True, repr=False)

    def heading(self) -> str:
        """Return its name."""
        return f"{self.image}: "

    def picture(self) -> str:
        """Return the image as the network read it."""
        return "" if self.seen is None else picture_html(self.seen)

    def place(self, at: float) -> str:
        """Return a column of the image as the network read it."""
        return f"column {at:g}"


class ImageInput(Input[Picture]):
    """An image of any size: a path, an array (H, W) or (H, W, C), a Pillow image, or the bytes of a file.

    Args:
        format: what the network reads.
    """

    name: ClassVar[str] = "image"
    reads: ClassVar[Literal["text", "path"]] = "path"
    options: ClassVar[type[Settings]] = ImageOptions
    predict_options: ClassVar[type[Settings]] = ImagePrediction
    Network: ClassVar[type[Settings]] = ImageNetwork
    Shown: ClassVar[type[results.Shown]] = ShownImage
    role: ClassVar[str] = "image"
    column_names: ClassVar[tuple[str, ...]] = IMAGE_NAMES
    features_are: ClassVar[str] = "pixels"
    finer: ClassVar[str] = "a larger --image-size makes more columns"

    def __init__(self, format: ImageFormat) -> None:
        self.format = format

    @classmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> ImageInput:
        """Choose size and channels, and measure the images."""
        progress("looking at the images", 0, None)
        chosen = ImageOptions.of(options)
        channels = {"auto": None, "grey": 1, "colour": 3}[chosen.colour]
        pictures = [example.given for example in examples]
        any_width = chosen.reading == "columns"
        return cls(
            ImageFormat.fitted(pictures, size=chosen.image_size, channels=channels, fit=chosen.fit, any_width=any_width)
        )

    @classmethod
    def load(cls, folder: Path) -> ImageInput:
        """Read images.json."""
        try:
            return cls(ImageFormat.from_json(read_json(folder / FORMAT)))
        except ArgumentError as error:
            raise ModelError(f"{folder / FORMAT}: corrupt, {error}") from error

    def save(self, folder: Path) -> None:
        """Write images.json."""
        write_json(folder / FORMAT, self.format.as_json())

    @classmethod
    def check_decodable(
        cls, train: Sequence[Example], dev: Sequence[Example], options: Settings, findings: Findings, progress: Progress
    ) -> None:
        """Decode every image once, and name those that can't be."""
        check_pictures((example.given for example in (*train, *dev)), len(train) + len(dev), findings, progress)

    def given(self, value: object) -> Picture:
        """Return a picture, which is not decoded yet."""
        return picture_of(value)

    def each(self, model: AnyFitted, value: object, options: Settings) -> Iterator[Picture]:
        """Yield the images of an NPZ file; anything else is one."""
        if isinstance(value, (str, Path)) and Path(value).suffix.lower() == ".npz":
            yield from pictures_in(Path(value))
        else:
            yield self.given(value)

    def of_table(self, model: AnyFitted, table: Table, column: str | None) -> Iterator[RowInput]:
        """Yield the images whose files a column names, or whose pixels stand in the rows."""
        if column is not None or table.column_like(IMAGE_NAMES):
            yield from super().of_table(model, table, column)
            return
        pixels = pixel_rows(table, Findings(), labelled=False)
        for row, image in zip(table.rows(), pixels, strict=True):
            yield RowInput(image.pixels, [row])

    def of_cell(self, cell: object, row: TableRow) -> object:
        """Return the path of the image."""
        return path_beside(cell, row)

    def encode(self, given: Picture, options: Settings | None = None) -> Arrays:
        """Return `image` (H, W, C) uint8."""
        if options is None:
            return {"image": self.format.read(given)}
        return {"image": self.placed(given.pixels(), ImagePrediction.of(options).place)}

    def placed(self, pixels: Pixels, place: bool | None) -> Pixels:
        """Return an image of any size as the network reads it.

        Raises:
            ArgumentError: it is to be placed as a drawing, and the model was not trained on drawings.
        """
        seen = self.format
        if place and seen.ink is None:
            raise ArgumentError("place: the model was not trained on drawings on an even ground; leave it out")
        wanted = pixels.shape[:2] != (seen.height, seen.width) if place is None else place
        if seen.ink is not None and wanted:
            return seen.ink.place(pixels, seen.height, seen.width)
        return seen.resized(pixels)

    def collate(
        self, model: AnyFitted, examples: Sequence[Arrays], draw: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return `images` (B, H, W, C); moved, turned, scaled and mirrored while training.

        Images of any width stand side by side with `lengths` (B,), their columns.
        """
        images: list[NDArray[Any]] = [example["image"] for example in examples]
        options = ImageOptions.of(model.options)
        if self.format.any_width:
            if draw is not None and options.augment:
                least = map(model.output.least_steps, examples)
                images = [varied_line(image, draw, options, n) for image, n in zip(images, least, strict=True)]
            columns = [image.swapaxes(0, 1) for image in images]
            return {"images": padded(columns).permute(1, 2, 0, 3), "lengths": lengths_of(columns)}
        stacked = np.stack(images)
        if draw is not None and options.augment:
            stacked = augmented(stacked, draw, options, self.format)
        return {"images": torch.from_numpy(stacked)}

    def feed(self, data: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Return the images, and the columns of each where they are of any width."""
        return data["images"], data.get("lengths")

    def count_steps(self, arrays: Arrays) -> int:
        """Return the columns of an image of any width, the rows of another."""
        return int(arrays["image"].shape[1 if self.format.any_width else 0])

    def extent(self, arrays: Arrays) -> str:
        """Return how many columns, or rows, it has."""
        return f"{self.count_steps(arrays)} {'columns' if self.format.any_width else 'rows'}"

    def lengths(self, store: ExampleStore) -> NDArray[np.int64] | None:
        """Return the columns of images of any width."""
        return store.sizes("image", axis=1) if self.format.any_width else None

    def spans(self, data: Mapping[str, Tensor]) -> Tensor | None:
        """Return the columns from the first to the last in which something is drawn, of images of any width."""
        if not self.format.any_width:
            return None
        columns = data["images"].float().permute(2, 0, 1, 3).flatten(2)
        return active_spans(columns.amax(2) - columns.amin(2), data["lengths"])

    def is_sequence(self, network: Mapping[str, Any]) -> bool:
        """Return whether rows or pixels are read one after the other."""
        return ImageNetwork.picked(network).reading != "image"

    def layer(self, network: Mapping[str, Any]) -> InputLayer:
        """Return convolutions, or rows, columns or pixels as steps."""
        return image_layer(ImageNetwork.picked(network), self.format)

    def plan(self, options: Settings, store: ExampleStore) -> Json:
        """Return convolutions that fit the size of the images."""
        chosen = ImageOptions.of(options)
        if chosen.reading != "image":
            return {"reading": chosen.reading}
        widths, stride = convolutions(self.format, chosen.widths)
        return {"reading": "image", "widths": list(widths), "blocks": chosen.blocks or 1, "stem_stride": stride}

    def facts(self, train: Sequence[Example], dev: Sequence[Example]) -> dict[str, Any]:
        """Return what the network sees."""
        seen = self.format
        return {"image": f"{seen.height} × {'any width' if seen.any_width else seen.width} × {seen.channels}"}

    def to_json(self, given: Picture) -> Json:
        """Return the image as the network reads it, a PNG."""
        return {"image": base64.b64encode(png(self.format.read(given))).decode()}

    def shown(self, given: Picture, arrays: Arrays) -> results.Shown:
        """Name the image."""
        return ShownImage(image=str(given.path), seen=arrays["image"])

    def features(self, examples: Sequence[Arrays]) -> NDArray[np.float32]:
        """Return pixels from 0 to 1 in one row for each image, (N, F); large images are made smaller first."""
        images = [example["image"] for example in examples]
        height, width = (BASELINE_SIDE, BASELINE_SIDE) if self.format.any_width else images[0].shape[:2]
        scale = min(1.0, BASELINE_SIDE / max(height, width))
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        rows = np.stack([resize(np.asarray(image), *size).reshape(-1) for image in images])
        return rows.astype(np.float32) / np.float32(255)

    def steps(self, model: AnyFitted, given: Picture, limit: int) -> InputSteps:
        """Lay out an image by its rows, columns or pixels."""
        pixels = self.placed(given.pixels(), None)
        return image_steps(model.network.get_submodule("inputs"), pixels, limit)

    def stream(self, model: AnyFitted) -> RowStream:
        """Return what turns pushed rows, columns or pixels into steps."""
        return RowStream(model.network)


def check_pictures(pictures: Iterable[Picture | None], count: int, findings: Findings, progress: Progress) -> None:
    """Decode pictures once, and add those that can't be decoded to the findings."""
    for n, picture in enumerate(pictures):
        progress("decoding the images", n, count)
        if picture is None:
            continue
        try:
            picture.pixels()
        except DataError as error:
            findings.caught(error, "unreadable")


def augmented(
    images: Pixels, draw: np.random.Generator, options: ImageOptions, format: ImageFormat
) -> NDArray[np.float32]:
    """Return images (B, H, W, C) moved, turned, scaled and mirrored, each by amounts of its own."""
    mirror = format.ink is None if options.mirror is None else options.mirror
    if mirror:
        flips = draw.random(len(images)) < 0.5
        images = np.where(flips[:, None, None, None], images[:, :, ::-1], images)
    return affine(
        images,
        draw,
        shift=options.shift * min(format.height, format.width),
        rotate=options.rotate,
        scale=options.scale,
        fill=None if format.ink is None else (float(format.ink.ground),),
    )


def varied_line(image: Pixels, draw: np.random.Generator, options: ImageOptions, least: int) -> NDArray[np.float32]:
    """Return an image of any width (H, W, C) made wider or narrower, and moved a little; it is read from left to right,
    so it is neither turned nor mirrored.

    Args:
        image: not changed.
        draw: where chance comes from.
        options: by how much.
        least: columns that are left at least; needed by what is to be read in it.
    """
    height, width = image.shape[:2]
    wanted = max(least, 1, round(width * draw.uniform(1 - options.scale, 1 + options.scale)))
    # a copy: examples lie in memory that can't be written to
    return affine(np.array(resize(image, height, wanted))[None], draw, shift=options.shift * height)[0]


def picture_html(pixels: Pixels, width: str = "8em") -> str:
    """Return an image as an element that carries its own content."""
    data = base64.b64encode(png(pixels)).decode("ascii")
    return f"<img style='width:{width};image-rendering:pixelated' src='data:image/png;base64,{data}' alt=''>"
