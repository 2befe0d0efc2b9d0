"""The format of the images that a network reads: size, channels and statistics, fitted on the training images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import get_args

import numpy as np

from unrolled.data.images.files import Fit, Picture, Pixels, resize, with_channels
from unrolled.data.images.ink import Ink
from unrolled.errors import ArgumentError, DataError, LimitError
from unrolled.types import Json

#: images that statistics are fitted on, spread over all
SAMPLE = 1000
#: images that are all of one size up to this are taken as they are; others are brought to this
NATIVE = 64
#: images that keep their width are brought to this height, unless all are of one that is no more than NATIVE
LINE = 32
#: the longest side that a network may be made for
LONGEST = 2048
#: columns of an image that keeps its width, at most: an image one pixel high would have millions at another height
MOST_COLUMNS = 1 << 16


@dataclass(frozen=True)
class ImageFormat:
    """The format of a network's images.

    Attributes:
        height, width, channels: of every image; a width of 0 lets each keep its aspect ratio, and be as wide as that
            makes it.
        fit: how an image of another aspect ratio is brought to them; see `unrolled.data.images.files.resize`.
        mean, std: of each channel's pixels, 0 to 255.
        ink: how drawings are placed, if the training images are drawings.
    """

    height: int
    width: int
    channels: int
    fit: Fit
    mean: tuple[float, ...]
    std: tuple[float, ...]
    ink: Ink | None = None

    def __post_init__(self) -> None:
        for name in ("height", "width", "channels"):
            value = getattr(self, name)
            least = 0 if name == "width" else 1
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= LONGEST:
                raise ArgumentError(f"image format: {name} {value!r} is not possible")
        if self.channels not in (1, 3) or self.fit not in get_args(Fit):
            raise ArgumentError(f"image format: channels {self.channels!r} or fit {self.fit!r} is not possible")
        numbers = (*self.mean, *self.std)
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise ArgumentError("image format: mean and std need one number for each channel")
        if not all(isinstance(n, (int, float)) and 0 <= n <= 255 for n in numbers):
            raise ArgumentError("image format: mean and std are to be from 0 to 255")

    @classmethod
    def fitted(
        cls,
        pictures: Sequence[Picture],
        *,
        size: int | None = None,
        channels: int | None = None,
        fit: Fit = "stretch",
        any_width: bool = False,
    ) -> ImageFormat:
        """Fit the format to some images.

        Args:
            pictures: the training images; those that can't be decoded are passed over.
            size: the shorter side, None for the images' own if they are all of one size up to `NATIVE`, else `NATIVE`.
                Other sides follow the median aspect ratio, if `fit` is "stretch"; else images become squares.
            channels: 1 or 3; None for grey if all are grey.
            fit: how an image of another aspect ratio is brought to that size.
            any_width: let images be of one height only, `size`, and keep their aspect ratio.

        Raises:
            DataError: none of them can be decoded.
        """
        step = max(1, len(pictures) // SAMPLE)
        images: list[Pixels] = []
        shapes: list[tuple[int, int]] = []
        for picture in pictures[::step]:
            try:
                image = picture.pixels(channels)
            except DataError:
                # encoding names it, and decides whether it may be left out
                continue
            shapes.append((image.shape[0], image.shape[1]))
            # a picture of many megapixels is not kept as such
            shorter = min(shapes[-1])
            if shorter > 256:
                height, width = (max(1, round(side * 256 / shorter)) for side in shapes[-1])
                image = resize(image, height, width)
            images.append(image)
        if not images:
            raise DataError("no image can be decoded", pictures[0].name if pictures else None)
        if channels is None:
            channels = max(image.shape[2] for image in images)
            coloured = (i for i in images if i.shape[2] == 3 and (i != i[..., :1]).any())
            channels = 3 if channels == 3 and next(coloured, None) is not None else 1
        height, width = (_line_height(shapes, size), 0) if any_width else _size(shapes, size, fit)
        plain = cls(height, width, channels, fit, (0.0,) * channels, (0.0,) * channels)
        resized = [plain.resized(image) for image in images]
        seen = np.concatenate(resized, axis=1)[None] if any_width else np.stack(resized)
        own_size = all(shape == (height, width) for shape in shapes)
        return cls(
            height,
            width,
            channels,
            fit,
            tuple(seen.mean((0, 1, 2), dtype=np.float64).tolist()),
            tuple(seen.std((0, 1, 2), dtype=np.float64).tolist()),
            Ink.fit(seen) if channels == 1 and own_size else None,
        )

    @property
    def any_width(self) -> bool:
        """Whether images keep their aspect ratio, so that each has a width of its own."""
        return not self.width

    def resized(self, pixels: Pixels) -> Pixels:
        """Return an image as the network reads it, (height, width, channels).

        Raises:
            LimitError: it would have more than `MOST_COLUMNS`.
        """
        pixels = with_channels(pixels, self.channels)
        if self.any_width:
            width = max(1, round(pixels.shape[1] * self.height / pixels.shape[0]))
            if width > MOST_COLUMNS:
                size = f"{width:,} columns at a height of {self.height}"
                raise LimitError(f"image: {size}, and no more than {MOST_COLUMNS:,} are read; cut it into parts")
            return resize(pixels, self.height, width)
        return resize(pixels, self.height, self.width, self.fit, round(float(np.mean(self.mean))))

    def read(self, picture: Picture) -> Pixels:
        """Decode an image and convert it.

        Raises:
            StorageError, DataError: it can't be read.
        """
        return self.resized(picture.pixels(self.channels))

    def as_json(self) -> Json:
        """Return it as one JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> ImageFormat:
        """Return the inverse of `as_json`.

        Raises:
            ArgumentError: a key is missing or unknown, or a value out of range.
        """
        if not isinstance(value, Mapping):
            raise ArgumentError(f"image format: expected an object, found {type(value).__name__}")
        fields = dict(value)
        try:
            ink = fields.pop("ink", None)
            mean, std = tuple(fields.pop("mean")), tuple(fields.pop("std"))
            return cls(**fields, mean=mean, std=std, ink=None if ink is None else Ink.from_json(ink))
        except (TypeError, KeyError) as error:
            raise ArgumentError(f"image format: {error}") from error


def _line_height(shapes: Sequence[tuple[int, int]], size: int | None) -> int:
    heights = {height for height, _ in shapes}
    return size or (min(heights) if len(heights) == 1 and min(heights) <= NATIVE else LINE)


def _size(shapes: Sequence[tuple[int, int]], size: int | None, fit: Fit) -> tuple[int, int]:
    if size is None and len(set(shapes)) == 1 and max(shapes[0]) <= NATIVE:
        return shapes[0]
    shorter = size or NATIVE
    if fit != "stretch":
        return shorter, shorter
    ratio = float(np.median([height / width for height, width in shapes]))
    # beyond this, one side would be mostly interpolated
    ratio = min(4.0, max(0.25, ratio))
    return (round(shorter * ratio), shorter) if ratio >= 1 else (shorter, round(shorter / ratio))
