"""An image, of which the network sees a window, or features of one. B images, P positions of one, F features."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unrolled.data import Arrays, Example, Findings
from unrolled.data.core.rows import TableRow
from unrolled.data.images.augmentation import crop
from unrolled.data.images.files import IMAGE_NAMES, Picture, picture_of, png
from unrolled.data.images.format import ImageFormat
from unrolled.errors import DataError, ModelError
from unrolled.layers import InputLayer
from unrolled.settings import Settings
from unrolled.tasks.core import results
from unrolled.tasks.core.contract import Input
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.folder.files import read_json, write_json
from unrolled.tasks.core.rows.columns import path_beside
from unrolled.tasks.core.values import InputSteps, Progress
from unrolled.tasks.inputs.image.encode import ShownImage, check_pictures
from unrolled.tasks.uses.caption.layer import FeatureFormat, WindowNetwork, window_layer
from unrolled.tasks.uses.caption.plan import CaptionOptions
from unrolled.types import Json

FORMAT = "images.json"


class ImageOrFeatures(Input[Any]):
    """An image of any size, or features of one, an array (F,) or (P, F).

    Args:
        format: what is stored of it.
    """

    name: ClassVar[str] = "image"
    reads: ClassVar[Literal["text", "path"]] = "path"
    role: ClassVar[str] = "image"
    column_names: ClassVar[tuple[str, ...]] = IMAGE_NAMES
    side_by_side: ClassVar[int] = 64
    Network: ClassVar[type[Settings]] = WindowNetwork
    Shown: ClassVar[type[results.Shown]] = ShownImage

    def __init__(self, format: ImageFormat | FeatureFormat) -> None:
        self.format = format

    @classmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> ImageOrFeatures:
        """Choose size and channels, and measure the images, or features.

        Raises:
            DataError: they are given in several ways, or are of several shapes.
        """
        progress("looking at the images", 0, None)
        chosen, given = CaptionOptions.of(options), [example.given for example in examples]
        of_features = [isinstance(item, np.ndarray) for item in given]
        if any(of_features) != all(of_features):
            message = "some images are given as features and some as images; give all the same way"
            raise DataError(message, examples[0].path)
        if of_features[0]:
            return cls(FeatureFormat.fitted(given, examples[0].path))
        channels = {"auto": None, "grey": 1, "colour": 3}[chosen.colour]
        return cls(ImageFormat.fitted(given, size=chosen.image_size, channels=channels, fit=chosen.fit))

    @classmethod
    def load(cls, folder: Path) -> ImageOrFeatures:
        """Read images.json."""
        try:
            raw = read_json(folder / FORMAT)
            if "images" in raw:
                return cls(ImageFormat.from_json(raw["images"]))
            return cls(FeatureFormat.from_json(raw["features"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{folder / FORMAT}: corrupt ({error}); restore it from a copy of the model") from error

    def save(self, folder: Path) -> None:
        """Write images.json."""
        name = "images" if self.is_image else "features"
        write_json(folder / FORMAT, {name: self.format.as_json()})

    @property
    def is_image(self) -> bool:
        """Whether images are read, rather than features."""
        return isinstance(self.format, ImageFormat)

    @classmethod
    def check_decodable(
        cls,
        train: Sequence[Example],
        dev: Sequence[Example],
        options: Settings,
        findings: Findings,
        progress: Progress,
    ) -> None:
        """Decode every image once, and name those that can't be."""
        pictures = [example.given for example in (*train, *dev) if isinstance(example.given, Picture)]
        check_pictures(pictures, len(pictures), findings, progress)

    def given(self, value: object) -> Any:
        """Return a picture, which is not decoded yet, or what should be features."""
        return picture_of(value) if self.is_image else value

    def of_cell(self, cell: object, row: TableRow) -> object:
        """Return the path of the image."""
        return path_beside(cell, row) if self.is_image else cell

    def encode(self, given: Any, options: Settings | None = None) -> Arrays:
        """Return `image` (H, W, C) uint8, or features (P, F) float32."""
        return {"image": self.format.read(given)}

    def collate(
        self, model: AnyFitted, examples: Sequence[Arrays], draw: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return `images` (B, …): while training windows at random places, mirrored half of the time."""
        images: NDArray[Any] = np.stack([example["image"] for example in examples])
        size = WindowNetwork.picked(model.config.network).image_size
        if size is not None:
            images = crop(images, *size, draw, mirror=CaptionOptions.of(model.options).mirror)
        return {"images": torch.from_numpy(images)}

    def feed(self, data: Mapping[str, Tensor]) -> tuple[Tensor, None]:
        """Return the images; all are of one size."""
        return data["images"], None

    def is_sequence(self, network: Mapping[str, Any]) -> bool:
        """Return False: positions of a grid have no order."""
        return False

    def layer(self, network: Mapping[str, Any]) -> InputLayer:
        """Return convolutions, or a linear map of features."""
        return window_layer(WindowNetwork.picked(network), self.format)

    def to_json(self, given: Any) -> Json:
        """Return the image as it is stored, a PNG; or the features."""
        if isinstance(self.format, ImageFormat):
            return {"image": base64.b64encode(png(self.format.read(given))).decode()}
        return {"features": self.format.read(given).tolist()}

    def shown(self, given: Any, arrays: Arrays) -> results.Shown:
        """Name the image."""
        if not self.is_image:
            return ShownImage(image="features", seen=None)
        return ShownImage(image=str(given.path), seen=arrays["image"])

    def steps(self, model: AnyFitted, given: Any, limit: int) -> InputSteps:
        """Return the image without any steps: it is looked at as a whole."""
        return InputSteps(self.collate(model, [self.encode(given)]), ())
