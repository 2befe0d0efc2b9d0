"""Images with a class each: a folder or .zip with a folder per class, IDX files as MNIST's, or arrays in an NPZ.

flowers/rose/1.jpg                                  class "rose"; also inside a .zip
train-images-idx3-ubyte.gz                          its labels are in train-labels-idx1-ubyte.gz beside it
digits.npz                                          arrays `images` (N, H, W) or (N, H, W, C), and `labels` (N,)
"""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.data.core.examples import Example
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.images.files import Picture, find_pictures
from unrolled.errors import DataError, ShapeError, StorageError

#: names of arrays in an NPZ: of images, and of their labels
_IMAGES = ("images", "x", "X", "data", "x_train", "arr_0")
_LABELS = ("labels", "y", "Y", "target", "y_train", "arr_1")
MOST_ARRAY_BYTES = 8 << 30
"""An array that says it is larger is refused before any memory is taken for it."""


@dataclass(frozen=True, kw_only=True)
class LabelledImage(Example):
    """An image and its class.

    Attributes:
        picture: where it is.
        label: its class.
        digest: of its bytes; equal images are one input.
    """

    picture: Picture
    label: str
    digest: str

    @property
    def given(self) -> Picture:
        """The picture."""
        return self.picture

    @property
    def target(self) -> str:
        """Its class."""
        return self.label

    @property
    def key(self) -> str:
        """The image's content."""
        return self.digest

    @property
    def labels(self) -> tuple[str, ...]:
        """Its class."""
        return (self.label,)


def read_labelled_images(paths: Sequence[Path], findings: Findings) -> list[LabelledImage]:
    """The images of some files and folders, in order; they are not decoded yet.

    Args:
        paths: folders and .zip files with a folder for each class, IDX images (their labels are found beside them, or
            named too), NPZ files.
        findings: told of files that can't be read, and of images that lie in no class's folder.

    Raises:
        StorageError: there is no such path.
        DataError: a file of another format, or labels that do not fit the images; or what `findings` refuses.
    """
    found: list[LabelledImage] = []
    for path in paths:
        if not path.exists():
            raise StorageError(f"{path}: no such file or folder")
        if path.is_dir() or path.suffix.lower() == ".zip":
            found += _folders(path, findings)
        elif path.suffix.lower() == ".npz":
            images, labels = npz_pair(path)
            found += _rows(path, images, labels)
        else:
            found += _idx(path, paths)
    return found


def _idx(path: Path, paths: Sequence[Path]) -> Iterator[LabelledImage]:
    array = read_idx(path)
    if array.ndim == 1:
        if not any(_labels_of(other) == path for other in paths):
            raise DataError("these are labels; name the file of their images", path)
        return
    if array.ndim not in (3, 4):
        raise DataError(f"expected images (N, H, W) or labels (N,), found an array {array.shape}", path)
    beside = _labels_of(path)
    if beside is None:
        raise DataError("no labels beside these images: a name with 'images-idx3' wants one with 'labels-idx1'", path)
    yield from _rows(path, array, read_idx(beside), beside)


def _folders(path: Path, findings: Findings) -> Iterator[LabelledImage]:
    sets = sorted(p.name for p in path.iterdir() if "-idx" in p.name or p.suffix == ".npz") if path.is_dir() else []
    try:
        pictures = find_pictures(path)
    except DataError as error:
        if sets:
            raise DataError(
                f"a folder of IDX or NPZ files; name those to read, such as {path / sets[0]}", path
            ) from error
        raise
    base = 0 if path.is_file() else len(path.parts)
    insides = [picture.parts[base:] for picture in pictures]
    # an archive is often made of one folder that holds all the others
    while insides and all(len(parts) > 2 and parts[0] == insides[0][0] for parts in insides):
        insides = [parts[1:] for parts in insides]
    if all(len(parts) < 2 for parts in insides):
        raise DataError("no folder for each class, only images; put those of a class into a folder of its name", path)
    for picture, parts in zip(pictures, insides, strict=True):
        if len(parts) < 2:
            findings.error("no class", "lies in no folder that names its class", picture.name)
            continue
        try:
            digest = picture.digest
        except DataError as error:
            findings.caught(error, "unreadable")
            continue
        yield LabelledImage(path=picture.name, picture=picture, label=parts[0], digest=digest)


def _rows(path: Path, images: Any, labels: Any, labels_path: Path | None = None) -> Iterator[LabelledImage]:
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3, 4)):
        raise ShapeError(str(path), "(N, H, W) or (N, H, W, C) with C 1, 3 or 4", images.shape)
    if labels.shape != (len(images),):
        where = labels_path or path
        raise DataError(f"{len(images)} images, but labels of shape {tuple(labels.shape)}; expected one each", where)
    if images.dtype != np.uint8 and images.dtype.kind not in "fb":
        raise DataError(f"images of {images.dtype}; expected uint8, or floating point from 0 to 1", path)
    for n, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        picture = Picture(path, content=image, number=n)
        text = label.decode("utf-8", "replace") if isinstance(label, bytes) else str(label)
        yield LabelledImage(path=picture.name, picture=picture, label=text, digest=picture.digest)


def _labels_of(path: Path) -> Path | None:
    """The file of the labels beside a file of images, by the names that IDX files go by."""
    for images, labels in (("images-idx3", "labels-idx1"), ("images.idx3", "labels.idx1"), ("images", "labels")):
        if images in path.name:
            beside = path.with_name(path.name.replace(images, labels))
            for candidate in (beside, beside.with_name(beside.name.removesuffix(".gz")), Path(f"{beside}.gz")):
                if candidate.is_file() and candidate != path:
                    return candidate
    return None


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An IDX file of unsigned bytes, plain or packed, as MNIST comes in.

    Raises:
        StorageError: it can't be read.
        DataError: it is no such file, is cut short or goes on beyond its end.

    Source: Y. LeCun, The MNIST database, http://yann.lecun.com/exdb/mnist/, "file format".
    """
    source = Source(path)
    chunks = source.chunks()
    data = b""
    for chunk in chunks:
        data += chunk
        if len(data) >= 4 + 4 * 255:
            break
    if len(data) < 4 or data[:2] != b"\0\0":
        raise DataError("not an image set: expected a folder per class, a .zip of one, an .npz, or IDX files", path)
    kind, dimensions = data[2], data[3]
    if kind != 8:
        raise DataError(f"IDX of type 0x{kind:02x}; unsigned bytes (0x08) are read", path)
    head = 4 + 4 * dimensions
    if not dimensions or len(data) < head:
        raise DataError("IDX file is cut short within its sizes", path)
    shape = struct.unpack(f">{dimensions}I", data[4:head])
    size = math.prod(shape)
    if size > MOST_ARRAY_BYTES:
        raise DataError(f"says it holds {shape} bytes, more than the {MOST_ARRAY_BYTES >> 30} GiB that are read", path)
    # gathered as it comes: a header may promise more than there is
    content = bytearray(data[head:])
    for chunk in chunks:
        content += chunk
        if len(content) > size:
            break
    if len(content) != size:
        problem = "is cut short" if len(content) < size else "goes on beyond its end"
        raise DataError(f"IDX file {problem}: its sizes {shape} make {size:,} bytes, found {len(content):,}", path)
    return np.frombuffer(bytes(content), dtype=np.uint8).reshape(shape)


def npz_pair(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """The images and labels of an NPZ file, by the names of its arrays.

    Raises:
        StorageError: it can't be read.
        DataError: it is damaged, would have to be unpickled, or has no such arrays.
    """
    arrays = read_npz(path)
    pairs = [(x, y) for x, y in zip(_IMAGES, _LABELS, strict=True) if x in arrays and y in arrays]
    pairs += [(x, y) for x in _IMAGES for y in _LABELS if x in arrays and y in arrays]
    if not pairs:
        names = ", ".join(sorted(arrays)) or "none"
        raise DataError(f"expected arrays called 'images' and 'labels', or 'x' and 'y'; found {names}", path)
    return arrays[pairs[0][0]], arrays[pairs[0][1]]


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an NPZ file. Nothing is unpickled, and no memory is taken for sizes that the file only claims.

    Raises:
        StorageError: it can't be read.
        DataError: it is damaged, an array is too large, or it holds Python objects.
    """
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                with archive.open(info) as stream:
                    version = np.lib.format.read_magic(stream)
                    read = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else np.lib.format.read_array_header_2_0
                    )
                    shape, _, dtype = read(stream)
                if dtype.hasobject:
                    raise DataError(f"array {info.filename!r} holds Python objects, which are never unpickled", path)
                size = math.prod(shape) * dtype.itemsize
                if size > min(info.file_size, MOST_ARRAY_BYTES):
                    raise DataError(
                        f"array {info.filename!r} claims {size:,} bytes, {info.file_size:,} are there", path
                    )
        with np.load(path, allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except OSError as error:
        raise StorageError(f"{path}: can't be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"not a usable .npz file: {error}", path) from error
    return arrays
