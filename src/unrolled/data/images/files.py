"""Images out of files: decoded, upright, in 8 bits, grey or in colour, and resized.

H height, W width, C channels (1 grey, 3 red-green-blue). A decoded image is an array (H, W, C) of uint8. This is the
only file that knows Pillow, and only its readers of common formats are ever called: none of these runs other programs.
"""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.data.core.files import Source
from unrolled.data.core.folders import files_in
from unrolled.errors import ArgumentError, DataError, LimitError, MissingDependencyError, ShapeError, StorageError

Pixels = NDArray[np.uint8]
Fit = Literal["stretch", "crop", "pad"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
#: names of columns with the paths of images
IMAGE_NAMES = ("image", "picture", "photo", "file", "filename", "file_name", "path", "image_path")
# multi-picture JPEGs are opened by the reader of JPEGs
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")

MOST_PIXELS = 64_000_000
"""An image that says it has more pixels is refused before it is decoded: a small file can unfold into gigabytes."""

MOST_BYTES = 256 << 20
"""A file or archive member larger than this is no image that a network wants to see."""


@dataclass(frozen=True)
class Picture:
    """An image that is decoded when its pixels are needed.

    Args:
        path: the file on disk.
        content: the image itself, where a file holds many as arrays, (H, W) or (H, W, C).
        number: its 0-based place among these.
        source: the file or archive member; None for `path`.
    """

    path: Path
    content: Pixels | None = field(default=None, compare=False, repr=False)
    number: int | None = None
    source: Source | None = None

    @property
    def name(self) -> str:
        """Its name in error messages."""
        if self.source is not None:
            return self.source.name
        return str(self.path) if self.number is None else f"{self.path}[{self.number}]"

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders it lies in and its file name, inside the archive if it is in one."""
        return self.path.parts if self.source is None else self.source.parts

    def read(self) -> bytes:
        """Return the bytes as stored.

        Raises:
            StorageError: the file can't be read.
            DataError: it is too large, empty, or its archive is damaged.
        """
        if self.content is not None:
            return self.content.tobytes()
        data = bytearray()
        # a member of an archive may unfold into more than it says
        for chunk in (self.source or Source(self.path)).chunks(unpack=False):
            data += chunk
            if len(data) > MOST_BYTES:
                raise DataError(f"more than {MOST_BYTES >> 20} MiB, and no more are read as one image", self.name)
        if not data:
            raise DataError("an empty file, not an image", self.name)
        return bytes(data)

    @property
    def digest(self) -> str:
        """A hash of the bytes as stored: equal files are equal images.

        Raises:
            StorageError, DataError: as `read`.
        """
        shape = "" if self.content is None else str(self.content.shape)
        return hashlib.blake2b(shape.encode() + self.read(), digest_size=16).hexdigest()

    def pixels(self, channels: int | None = None) -> Pixels:
        """Decode the image, (H, W, C) uint8.

        Args:
            channels: 1 or 3, or None for as many as it has.

        Raises:
            StorageError, DataError: it can't be read, or is no image.
        """
        if self.content is not None:
            return with_channels(as_pixels(self.content, self.name), channels)
        return decode_image(self.read(), self.name, channels)


class ImageHeader(NamedTuple):
    """Format and size as an image file states them.

    Attributes:
        format: PNG, JPEG, GIF, BMP, WEBP, TIFF or PPM.
        height, width: as stored.
    """

    format: str
    height: int
    width: int


def read_image_header(data: bytes, name: str) -> ImageHeader:
    """Read the header of an image, without decoding it.

    Args, Raises: as `decode_image`; the number of pixels is not checked.
    """
    with _image(data, name) as image:
        return ImageHeader(str(image.format), image.height, image.width)


def decode_image(data: bytes, name: str, channels: int | None = None) -> Pixels:
    """Decode a PNG, JPEG, GIF, BMP, WebP, TIFF or PNM.

    Turned upright where EXIF says how it was held; transparent pixels are laid over white; 16 bits become 8; of an
    animation the first frame is taken. Grey is Rec. 601 luma, 0.299 R + 0.587 G + 0.114 B.

    Args:
        data: the file's bytes.
        name: its name in error messages.
        channels: 1 or 3; None keeps grey images grey and everything else in colour.

    Returns:
        (H, W, C) uint8.

    Raises:
        DataError: damaged, cut short, of no format known here, or larger than `MOST_PIXELS`.
        MissingDependencyError: Pillow is not installed.
    """
    image_module, ops = _pillow()
    with _image(data, name) as image:
        if image.width * image.height > MOST_PIXELS:
            raise LimitError(
                f"{image.width} × {image.height} pixels, and no more than {MOST_PIXELS:,} are decoded", name
            )
        image.load()
        image = _flat(ops.exif_transpose(image), image_module)
    array = np.asarray(image, dtype=np.uint8)
    return with_channels(array[..., None] if array.ndim == 2 else array, channels)


@contextmanager
def _image(data: bytes, name: str) -> Iterator[Any]:
    """An image that is not decoded yet; any failure is a DataError that names it."""
    image_module, _ = _pillow()
    try:
        with warnings.catch_warnings():
            # our limit is tighter, and odd metadata does not matter here
            warnings.simplefilter("ignore")
            yield image_module.open(io.BytesIO(data), formats=_FORMATS)
    except image_module.UnidentifiedImageError as error:
        raise DataError(
            "not an image, or of a format that is not read (PNG, JPEG, GIF, BMP, WebP, TIFF, PNM are)", name
        ) from error
    except (OSError, SyntaxError, ValueError, TypeError, EOFError, IndexError, struct.error, zlib.error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"a damaged image: {error}", name) from error
    except image_module.DecompressionBombError as error:
        raise LimitError(f"more than {MOST_PIXELS:,} pixels, which are not decoded", name) from error


def _flat(image: Any, image_module: Any) -> Any:
    """Mode L or RGB, whatever it was."""
    if image.mode in ("L", "RGB"):
        return image
    if image.mode.startswith("I"):
        # 16 bits; a plain conversion would cut off at 255 instead of scaling
        wide = np.asarray(image).astype(np.int64)
        return image_module.fromarray((wide.clip(0, 65535) >> 8).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range is not known; save it with 8 or 16 bits")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        grey = image.mode in ("LA", "La", "1", "L")
        image = image.convert("RGBA")
        white = image_module.new("RGBA", image.size, (255, 255, 255, 255))
        return image_module.alpha_composite(white, image).convert("L" if grey else "RGB")
    return image.convert("L" if image.mode == "1" else "RGB")


def as_pixels(image: ArrayLike, name: str = "image") -> Pixels:
    """Return an array that holds an image as (H, W, C) uint8.

    Args:
        image: (H, W) or (H, W, C) with C 1, 3 or 4; uint8, boolean (true is 255), or floating point from 0 to 1.
        name: its name in error messages.

    Raises:
        ShapeError: of another shape, or empty.
        ArgumentError: of another dtype or out of range.
    """
    array = np.asarray(image)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise ShapeError(name, "(H, W) or (H, W, C) with C 1, 3 or 4", array.shape)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype.kind == "f":
        # NaN compares false, so that it is refused too
        if not (array.min() >= 0 and array.max() <= 1):
            low, high = float(array.min()), float(array.max())
            raise ArgumentError(f"{name}: floating-point pixels are to be from 0 to 1, found {low:g} to {high:g}")
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ArgumentError(f"{name}: expected uint8, or floating point from 0 to 1, found {array.dtype}")
    if array.shape[2] == 4:
        alpha = array[..., 3:].astype(np.uint16)
        array = ((array[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(array)


def with_channels(pixels: Pixels, channels: int | None) -> Pixels:
    """Return an image with 1 or 3 channels: grey is repeated, colour becomes Rec. 601 luma as Pillow computes it."""
    if channels is None or pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    weights = np.array([19595, 38470, 7471], dtype=np.uint32)
    return np.asarray(((pixels.astype(np.uint32) * weights).sum(-1, keepdims=True) + 0x8000) >> 16, dtype=np.uint8)


def resize(pixels: Pixels, height: int, width: int, fit: Fit = "stretch", fill: int = 0) -> Pixels:
    """Resize an image (bilinear over all pixels that fall into one).

    Args:
        pixels: (H, W, C); one of the right size is returned as it is.
        height, width: wanted.
        fit: "stretch" changes the aspect ratio; "crop" cuts the longer sides to it, around the centre; "pad" keeps all
            and adds bars of the value `fill`.
        fill: from 0 to 255.

    Raises:
        MissingDependencyError: Pillow is not installed.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    image_module, _ = _pillow()
    image = image_module.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    how = image_module.Resampling.BILINEAR
    box, inner = None, (width, height)
    if fit == "crop":
        scale = min(image.width / width, image.height / height)
        w, h = scale * width, scale * height
        left, top = (image.width - w) / 2, (image.height - h) / 2
        box = (left, top, min(left + w, image.width), min(top + h, image.height))
    elif fit == "pad":
        scale = max(image.width / width, image.height / height)
        inner = (max(1, round(image.width / scale)), max(1, round(image.height / scale)))
    small = np.asarray(image.resize(inner, how, box), dtype=np.uint8)
    small = small[..., None] if small.ndim == 2 else small
    if fit != "pad":
        return small
    result = np.full((height, width, pixels.shape[2]), fill, dtype=np.uint8)
    top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    result[top : top + small.shape[0], left : left + small.shape[1]] = small
    return result


def find_pictures(path: Path) -> list[Picture]:
    """Return every image file in a folder or a .zip, in sorted order, by its suffix; hidden ones are left out.

    Raises:
        StorageError: there is no such path, or it can't be read.
        DataError: it holds no image, or is a damaged archive.
    """
    if not path.exists():
        raise StorageError(f"{path}: no such file or folder")
    if path.is_file() and not zipfile.is_zipfile(path):
        raise DataError("expected a folder of images, or a .zip of them", path)
    kind = "folder" if path.is_dir() else "archive"
    sources = [s for s in files_in(path, archives=False) if s.parts[-1].lower().endswith(SUFFIXES)]
    if not sources:
        formats = f"({', '.join(SUFFIXES[:3])} and the like; hidden ones are skipped)"
        raise DataError(f"no image in this {kind} {formats}", path)
    return [Picture(s.path, source=None if s.member is None else s) for s in sources]


def picture_of(given: object, argument: str = "input") -> Picture:
    """Return an image that a caller gives as a path, the bytes of a file, an array, or a Pillow image.

    Raises:
        ArgumentError, ShapeError: it is none of these.
        StorageError: there is no such file.
    """
    if isinstance(given, Picture):
        return given
    if isinstance(given, (str, Path)):
        path = Path(given)
        if not path.is_file():
            problem = "is a folder; name the images in it" if path.is_dir() else "no such file"
            raise StorageError(f"{path}: {problem}")
        return Picture(path)
    if isinstance(given, (bytes, bytearray, memoryview)):
        return Picture(Path(argument), content=decode_image(bytes(given), argument))
    if hasattr(given, "__array_interface__") or hasattr(given, "__array__"):
        image: Any = given
        mode = getattr(given, "mode", None)
        array = image if mode in (None, "L", "RGB", "RGBA") else image.convert("RGB")
        return Picture(Path(argument), content=as_pixels(array, argument))
    raise ArgumentError(f"{argument}: expected a path, an array or an image, found {type(given).__name__}")


def png(pixels: Pixels) -> bytes:
    """Return an image (H, W, C) as the bytes of a PNG file, e.g. for a page."""
    image_module, _ = _pillow()
    stream = io.BytesIO()
    image_module.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(stream, "PNG")
    return stream.getvalue()


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingDependencyError("pillow", "images", "reading images") from error
    return Image, ImageOps
