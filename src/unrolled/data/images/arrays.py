"""Files that hold many images as arrays: IDX as MNIST's, NPZ, and tables with a row of pixels each."""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.data.core.examples import Array
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.core.numbers import is_number, parse_number
from unrolled.data.core.tables import Table, open_tables
from unrolled.errors import DataError, StorageError

#: names of arrays in an NPZ: of images, and of their labels
_IMAGES = ("images", "x", "X", "data", "x_train", "train_images", "arr_0")
_LABELS = ("labels", "y", "Y", "target", "y_train", "train_labels", "arr_1")
#: names of columns in tables of pixels
_LABEL_COLUMNS = ("label", "class", "digit", "target", "y", "emotion", "category")
_PIXELS_COLUMN = "pixels"
MOST_ARRAY_BYTES = 8 << 30
"""An array that claims to be larger is refused before any memory is allocated for it."""


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, plain or packed, as MNIST comes in.

    Raises:
        StorageError: it can't be read.
        DataError: it is no such file, is cut short or continues beyond its end.

    Source: Y. LeCun, The MNIST database, http://yann.lecun.com/exdb/mnist/, "file format".
    """
    chunks = Source(path).chunks()
    data = b""
    for chunk in chunks:
        data += chunk
        if len(data) >= 4 + 4 * 255:
            break
    if len(data) < 4 or data[:2] != b"\0\0":
        message = (
            "not an image set: expected a folder per class, a .zip of one, an .npz, a table of pixels, or IDX files"
        )
        raise DataError(message, path)
    kind, dimensions = data[2], data[3]
    if kind != 8:
        raise DataError(f"IDX of type 0x{kind:02x}; unsigned bytes (0x08) are read", path)
    head = 4 + 4 * dimensions
    if not dimensions or len(data) < head:
        raise DataError("IDX file is cut short within its sizes", path)
    shape = struct.unpack(f">{dimensions}I", data[4:head])
    size = math.prod(shape)
    if size > MOST_ARRAY_BYTES:
        raise DataError(f"claims to hold {shape} bytes, more than the {MOST_ARRAY_BYTES >> 30} GiB that are read", path)
    # collected as it comes: a header may promise more than there is
    content = bytearray(data[head:])
    for chunk in chunks:
        content += chunk
        if len(content) > size:
            break
    if len(content) != size:
        problem = "is cut short" if len(content) < size else "continues beyond its end"
        raise DataError(f"IDX file {problem}: its sizes {shape} make {size:,} bytes, found {len(content):,}", path)
    return np.frombuffer(bytes(content), dtype=np.uint8).reshape(shape)


def idx_labels_of(path: Path) -> Path | None:
    """Return the file of the labels beside a file of images, by the names that such files have."""
    for images, labels in (
        *(("images-idx3", "labels-idx1"), ("images.idx3", "labels.idx1")),
        *(("images", "labels"), ("imgs", "labels")),
    ):
        if images in path.name:
            beside = path.with_name(path.name.replace(images, labels))
            for candidate in (beside, beside.with_name(beside.name.removesuffix(".gz")), Path(f"{beside}.gz")):
                if candidate.is_file() and candidate != path:
                    return candidate
    return None


def npz_pair(path: Path) -> tuple[Array, Array]:
    """Return the images and labels of an NPZ file, by the names of its arrays.

    Raises:
        StorageError: it can't be read.
        DataError: it is damaged, would have to be unpickled, or has no such arrays.
    """
    arrays = read_npz(path)
    beside = idx_labels_of(path)
    if len(arrays) == 1 and beside is not None:
        # one array in each of two files
        return next(iter(arrays.values())), next(iter(read_npz(beside).values()))
    pairs = [(x, y) for x, y in zip(_IMAGES, _LABELS, strict=True) if x in arrays and y in arrays]
    pairs += [(x, y) for x in _IMAGES for y in _LABELS if x in arrays and y in arrays]
    if not pairs:
        names = ", ".join(sorted(arrays)) or "none"
        raise DataError(f"expected arrays called 'images' and 'labels', or 'x' and 'y'; found {names}", path)
    images, labels = arrays[pairs[0][0]], arrays[pairs[0][1]]
    return images, labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def npz_images(path: Path) -> Array:
    """Return the images of an NPZ file that may have no labels.

    Raises:
        StorageError, DataError: as `npz_pair`.
    """
    arrays = read_npz(path)
    name = next((name for name in _IMAGES if name in arrays), next(iter(arrays), ""))
    if name not in arrays or (len(arrays) > 1 and name not in _IMAGES):
        raise DataError(f"expected an array called 'images' or 'x'; found {', '.join(sorted(arrays)) or 'none'}", path)
    return arrays[name]


def read_npz(path: Path) -> dict[str, Array]:
    """Return all arrays of an NPZ file. Nothing is unpickled, and no memory is allocated for sizes it only claims.

    Raises:
        StorageError: it can't be read.
        DataError: it is damaged, an array is too large, or it holds Python objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                with archive.open(info) as stream:
                    version = np.lib.format.read_magic(stream)
                    old = version == (1, 0)
                    read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
                    shape, _, dtype = read(stream)
                if dtype.hasobject:
                    raise DataError(f"array {info.filename!r} holds Python objects, which are never unpickled", path)
                size = math.prod(shape) * dtype.itemsize
                if size > min(info.file_size, MOST_ARRAY_BYTES):
                    there = f"{info.file_size:,} are there"
                    raise DataError(f"array {info.filename!r} claims {size:,} bytes, {there}", path)
        with np.load(path, allow_pickle=False) as loaded:
            return {name: loaded[name] for name in loaded.files}
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"not a usable .npz file: {error}", path) from error
    except OSError as error:
        raise StorageError(f"{path}: can't be read: {error.strerror or error}") from error


class PixelRow(NamedTuple):
    """An image of a table: its pixels (H, W) or (H, W, 3) uint8, its label ("" without one), and its line."""

    pixels: NDArray[np.uint8]
    label: str
    line: int


def read_pixel_table(path: Path, findings: Findings) -> Iterator[PixelRow]:
    """Yield the images of a table with a row each, as `pixel_rows`."""
    (table,) = open_tables(path, known=_LABEL_COLUMNS)
    return pixel_rows(table, findings)


def pixel_rows(table: Table, findings: Findings, *, labelled: bool = True) -> Iterator[PixelRow]:
    """Yield the images of a table with a row each: a label, and all pixels of a square image row by row.

    The pixels are columns of their own, grey or red, green and blue one after the other, or numbers with spaces between
    in a column `pixels`. The label is in the column of one of the usual names, else in the first or the last.

    Args:
        table: as it was opened.
        findings: collects rows that can't be used, which are left out.
        labelled: whether a row must have a label.

    Raises:
        DataError: the table holds no such images.
    """
    label = table.column_like(_LABEL_COLUMNS)
    if (joined := table.column_like((_PIXELS_COLUMN,))) is not None:
        for row in table.rows(findings):
            values = np.array(str(row[joined]).split())
            yield from _image(values, str(row.get(label or "", "")), table.name, row.line, 255.0, findings)
        return
    place = table.columns.index(label) if label is not None else _place_of_label(table, labelled)
    width = len(table.columns)
    scale = _scale(table, place)
    if _shape(width - (place is not None)) is None:
        raise DataError(
            f"{width - (place is not None)} columns of pixels make no square image, grey or in colour; "
            f"{table.described()[:200]}",
            table.name,
            1,
        )
    findings.understood.append(f"{table.name}: {width} columns: a label and the pixels of an image in each row")
    for number, line in _body(table):
        cells = np.array(line.split(table.dialect.delimiter or ","))
        if len(cells) != width:
            findings.error("ragged", f"{len(cells)} cells instead of {width}", table.name, number)
            continue
        own = "" if place is None else str(cells[place]).strip().strip('"')
        pixels = cells if place is None else np.delete(cells, place)
        yield from _image(pixels, own, table.name, number, scale, findings)


def _body(table: Table) -> Iterator[tuple[int, str]]:
    """The lines of the rows: cells of pixels hold no quotes, and cutting them here is many times as fast."""
    skip = table.dialect.notes + table.has_header
    lines = table.source.filled_lines(table.dialect.encoding, table.dialect.errors)
    return ((number, line) for n, (number, line) in enumerate(lines) if n >= skip)


def _place_of_label(table: Table, labelled: bool) -> int | None:
    if not labelled and _shape(len(table.columns)) is not None:
        return None
    sample = table.sample()
    kinds = {at: {str(row[table.columns[at]]) for row in sample} for at in (0, -1)}
    # the border of an image is the same in all of them, the label is not
    return 0 if len(kinds[0]) > 1 or len(kinds[-1]) < 2 else len(table.columns) - 1


def _scale(table: Table, place: int | None) -> float:
    """The value of white: 1 for fractions, else 255."""
    columns = [name for at, name in enumerate(table.columns) if at != place]
    cells = [str(row[name]) for row in table.sample(20) for name in columns]
    values = [parse_number(cell) for cell in cells if is_number(cell)]
    fractions = max(values, default=0.0) <= 1 and any(value % 1 > 0 for value in values)
    return 1.0 if fractions else 255.0


def _shape(count: int) -> tuple[int, ...] | None:
    """The shape of a square image of so many numbers, or None."""
    side = math.isqrt(count)
    if side * side == count and side > 1:
        return side, side
    side = math.isqrt(count // 3)
    return (3, side, side) if side * side * 3 == count and side > 1 else None


def _image(cells: Array, label: str, name: str, line: int, white: float, findings: Findings) -> Sequence[PixelRow]:
    try:
        values = cells.astype(np.float64) * (255.0 / white)
    except ValueError as error:
        findings.error("no number", f"a pixel is no number: {error}", name, line)
        return []
    shape = _shape(len(values))
    if shape is None or not np.isfinite(values).all() or values.min() < 0 or values.max() > 255:
        fault = f"{len(values)} pixels make no square image" if shape is None else f"pixels are not from 0 to {white:g}"
        findings.error("bad pixels", fault, name, line)
        return []
    pixels = np.rint(values).astype(np.uint8).reshape(shape)
    return [PixelRow(np.ascontiguousarray(pixels.transpose(1, 2, 0)) if len(shape) == 3 else pixels, label, line)]
