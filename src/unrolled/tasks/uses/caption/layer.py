"""The input layer of captions: convolutions over a window of an image, or a linear map of features that others made.

P positions of an image, F features of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from unrolled.data.images.format import ImageFormat
from unrolled.errors import ArgumentError, DataError, ShapeError
from unrolled.layers import Frames, ImageEncoder, InputLayer
from unrolled.settings import Settings
from unrolled.tasks.core.recurrent import Units
from unrolled.types import Json

#: features are brought to at most this width
WIDEST = 512


class WindowNetwork(Settings):
    """The input layer, completely: the window of the image that is seen (H, W), and the convolutions over it."""

    image_size: tuple[Units, Units] | None = None
    widths: tuple[Units, ...] = (32, 48, 96, 192)
    blocks: Units = 1


@dataclass(frozen=True)
class FeatureFormat:
    """The features that a network reads, as if they were an image format.

    Attributes:
        mean, std: of each feature, (F,).
        positions: P.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    positions: int

    @classmethod
    def fitted(cls, features: Sequence[NDArray[np.floating]], path: str) -> FeatureFormat:
        """Return the statistics of features, each (P, F).

        Raises:
            DataError: they are of different shapes; naming the file they come from.
        """
        shapes = {array.shape for array in features}
        if len(shapes) > 1:
            raise DataError(f"features of different shapes: {sorted(shapes)[:3]}", path)
        rows = np.concatenate(features).astype(np.float64)
        return cls(tuple(rows.mean(0).tolist()), tuple(rows.std(0).tolist()), features[0].shape[0])

    @classmethod
    def from_json(cls, raw: Json) -> FeatureFormat:
        """Return what `as_json` wrote.

        Raises:
            ArgumentError, KeyError, TypeError, ValueError: it is something else.
        """
        mean, std = (tuple(float(x) for x in raw[name]) for name in ("mean", "std"))
        if len(mean) != len(std) or not mean:
            raise ArgumentError("mean and std differ in length")
        return cls(mean, std, int(raw["positions"]))

    def as_json(self) -> Json:
        """Return the fields."""
        return asdict(self)

    def read(self, given: object) -> NDArray[np.float32]:
        """Return features as the network reads them, (P, F).

        Raises:
            ArgumentError, ShapeError: they are an image, or of another shape.
        """
        shape = (self.positions, len(self.mean))
        if isinstance(given, (str, Path, bytes)):
            kind = "bytes" if isinstance(given, bytes) else repr(str(given))
            raise ArgumentError(
                f"input: this model reads features, arrays of {shape}, found {kind}; hand over "
                "the features of an image from Python, or evaluate on captions and an NPZ"
            )
        features = np.asarray(given)
        features = features[None] if features.ndim == 1 else features
        if features.shape != shape or features.dtype.kind != "f":
            expected = f"(P={shape[0]}, F={shape[1]}) floating point"
            raise ShapeError("features", expected, features.shape, "this model reads features, not images")
        return features.astype(np.float32)


def window_layer(chosen: WindowNetwork, format: ImageFormat | FeatureFormat) -> InputLayer:
    """Return the untrained input layer, whose grid is (B, P, width)."""
    mean, std = torch.tensor(format.mean), torch.tensor(format.std)
    if isinstance(format, FeatureFormat):
        return Frames(len(format.mean), min(len(format.mean), WIDEST), mean=mean, std=std)
    return ImageEncoder(
        format.channels,
        chosen.widths,
        blocks=chosen.blocks,
        stem_size=5,
        stem_stride=2 if min(chosen.image_size or (64,)) >= 64 else 1,
        mean=mean,
        std=std,
    )
