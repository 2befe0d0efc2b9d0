"""Images with a class each: a folder or .zip with a folder per class, IDX files as MNIST's, an NPZ, a table of pixels.

flowers/rose/1.jpg                                  class "rose"; also inside a .zip
train-images-idx3-ubyte.gz                          its labels are in train-labels-idx1-ubyte.gz beside it
digits.npz                                          arrays `images` (N, H, W) or (N, H, W, C), and `labels` (N,)
fashion.csv                                         a label and the pixels of an image in each row
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unrolled.data.core.examples import Array, Example
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.core.tables import SUFFIXES as TABLES
from unrolled.data.images.arrays import idx_labels_of, npz_images, npz_pair, read_idx, read_pixel_table
from unrolled.data.images.files import Picture, find_pictures
from unrolled.errors import DataError, ShapeError, StorageError


@dataclass(frozen=True, kw_only=True)
class LabelledImage(Example):
    """An image and its class.

    Attributes:
        picture: the image.
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
    """Return the images of some files and folders, in order; files of images are not decoded yet.

    Args:
        paths: folders and .zip files with a folder for each class, IDX images (their labels are found beside them, or
            named too), NPZ files, tables of pixels.
        findings: collects files that can't be read, and images that lie in no class's folder.

    Raises:
        StorageError: there is no such path.
        DataError: a file of another format, or labels that do not fit the images; or what `findings` refuses.
    """
    images: list[LabelledImage] = []
    for path in paths:
        if not path.exists():
            raise StorageError(f"{path}: no such file or folder")
        if path.is_dir() or path.suffix.lower() == ".zip":
            images += _folders(path, findings)
        elif path.suffix.lower() == ".npz":
            images += _rows(path, *npz_pair(path))
        elif Source(path).inner_name.endswith(TABLES):
            for n, row in enumerate(read_pixel_table(path, findings)):
                picture = Picture(path, content=row.pixels, number=n)
                images.append(
                    LabelledImage(
                        path=str(path), line=row.line, picture=picture, label=row.label, digest=picture.digest
                    )
                )
        else:
            images += _idx(path, paths)
    return images


def pictures_in(path: Path) -> list[Picture]:
    """Return the images of an NPZ file, with labels or without.

    Raises:
        StorageError, DataError, ShapeError: it holds none.
    """
    images = npz_images(path)
    check_images(path, images)
    return [Picture(path, content=image, number=n) for n, image in enumerate(images)]


def check_images(path: Path, images: Array) -> None:
    """Check that an array holds images.

    Raises:
        ShapeError, DataError: it does not.
    """
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3, 4)):
        raise ShapeError(str(path), "(N, H, W) or (N, H, W, C) with C 1, 3 or 4", images.shape)
    if images.dtype != np.uint8 and images.dtype.kind not in "fb":
        raise DataError(f"images of {images.dtype}; expected uint8, or floating point from 0 to 1", path)


def _idx(path: Path, paths: Sequence[Path]) -> Iterator[LabelledImage]:
    array = read_idx(path)
    if array.ndim == 1:
        if not any(idx_labels_of(other) == path for other in paths):
            raise DataError("these are labels; name the file of their images", path)
        return
    if array.ndim not in (3, 4):
        raise DataError(f"expected images (N, H, W) or labels (N,), found an array {array.shape}", path)
    beside = idx_labels_of(path)
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


def _rows(path: Path, images: Array, labels: Array, labels_path: Path | None = None) -> Iterator[LabelledImage]:
    check_images(path, images)
    if labels.shape != (len(images),):
        where = labels_path or path
        raise DataError(f"{len(images)} images, but labels of shape {tuple(labels.shape)}; expected one each", where)
    for n, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        picture = Picture(path, content=image, number=n)
        text = label.decode("utf-8", "replace") if isinstance(label, bytes) else str(label)
        yield LabelledImage(path=picture.name, picture=picture, label=text, digest=picture.digest)
