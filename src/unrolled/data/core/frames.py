"""Data frames of Arrow, polars, and of any library with the dataframe interchange protocol or Arrow's C stream.

None of these libraries is imported, but pyarrow for a frame that has the C stream alone.

Source: https://data-apis.org/dataframe-protocol/latest/API.html;
https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html.
"""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from unrolled.data.core.examples import Array
from unrolled.errors import ArgumentError, MissingDependencyError

#: kinds of columns, and of their missing values
_INT, _UINT, _FLOAT, _BOOL, _STRING, _DATETIME, _CATEGORY = 0, 1, 2, 20, 21, 22, 23
_NAN, _SENTINEL, _BITS, _BYTES = 1, 2, 3, 4
_LETTERS = {_INT: "i", _UINT: "u", _FLOAT: "f"}
_STREAM = "__arrow_c_stream__"
_UNITS = {"s": "s", "m": "ms", "u": "us", "n": "ns"}


class _Column(Protocol):
    """A column, or a stretch of one."""

    dtype: tuple[int, int, str, str]
    offset: int
    describe_null: tuple[int, Any]
    describe_categorical: Any

    def size(self) -> int: ...

    def get_chunks(self) -> Iterable[_Column]: ...

    def get_buffers(self) -> dict[str, Any]: ...


def is_frame(data: object) -> bool:
    """Return whether `frame_rows` reads it."""
    # a column of its own has rows or a stream too, but neither a schema nor columns
    has_columns = any(hasattr(data, name) for name in ("schema", "columns", "column_names"))
    has_rows = any(hasattr(data, name) for name in ("to_pylist", "iter_rows", _STREAM))
    return hasattr(data, "__dataframe__") or (has_columns and has_rows)


def frame_rows(data: object) -> Iterator[dict[str, object]] | None:
    """Return the rows of a data frame, each column → value; None for anything else.

    Raises:
        ArgumentError: a column of a kind that tables do not have.
    """
    # Arrow's tables have columns that the protocol lacks, such as dates; polars has given the protocol up
    if hasattr(data, "schema") and hasattr(data, "to_pylist"):
        return iter(data.to_pylist())
    if hasattr(data, "schema") and hasattr(data, "iter_rows"):
        rows: Iterator[dict[str, object]] = data.iter_rows(named=True)
        return rows
    if not hasattr(data, "__dataframe__"):
        return _streamed(data) if hasattr(data, _STREAM) else None
    try:
        with warnings.catch_warnings():
            # pandas announces the end of the protocol
            warnings.simplefilter("ignore")
            frame = data.__dataframe__(allow_copy=True)
            names = list(frame.column_names())
            columns = [_values(frame.get_column_by_name(name), name) for name in names]
    except (ValueError, TypeError, RuntimeError) as error:
        if isinstance(error, ArgumentError):
            raise
        message = f"data: the data frame can't be read ({error}); make its columns text, numbers or times"
        raise ArgumentError(message) from error
    return (dict(zip(map(str, names), cells, strict=True)) for cells in zip(*columns, strict=True))


def _streamed(data: object) -> Iterator[dict[str, object]]:
    """The rows of a frame with Arrow's C stream, batch after batch."""
    try:
        import pyarrow
    except ImportError as error:
        raise MissingDependencyError("pyarrow", "hub", "reading a data frame by its Arrow stream") from error
    try:
        batches = pyarrow.RecordBatchReader.from_stream(data)
    except pyarrow.ArrowException as error:
        raise ArgumentError(f"data: the data frame can't be read ({error}); it must have columns") from error
    return (row for batch in batches for row in batch.to_pylist())


def _values(column: _Column, name: str) -> list[object]:
    return [value for chunk in column.get_chunks() for value in _chunk(chunk, name)]


def _chunk(chunk: _Column, name: str) -> list[object]:
    """The values of a stretch of a column, None for those that are missing."""
    kind, bits, format, _ = chunk.dtype
    buffers, begin, count = chunk.get_buffers(), chunk.offset, chunk.size()
    if kind == _STRING:
        starts = _array(buffers["offsets"][0], f"i{buffers['offsets'][1][1] // 8}")[begin : begin + count + 1]
        content = _array(buffers["data"][0], "u1").tobytes()
        values: list[object] = [content[a:b].decode("utf-8") for a, b in pairwise(starts)]
    elif kind == _BOOL:
        packed = _array(buffers["data"][0], "u1")
        flags = np.unpackbits(packed, bitorder="little") if bits == 1 else packed
        values = [bool(flag) for flag in flags[begin : begin + count]]
    elif kind in _LETTERS:
        values = _array(buffers["data"][0], f"{_LETTERS[kind]}{bits // 8}")[begin : begin + count].tolist()
    elif kind == _DATETIME and format.startswith("ts"):
        ticks = _array(buffers["data"][0], "i8")[begin : begin + count]
        values = ticks.astype(f"M8[{_UNITS[format[2]]}]").astype("M8[us]").tolist()
    elif kind == _DATETIME and format == "tdD":
        values = _array(buffers["data"][0], "i4")[begin : begin + count].astype("M8[D]").tolist()
    elif kind == _CATEGORY:
        categories = _values(chunk.describe_categorical["categories"], name)
        codes = _array(buffers["data"][0], f"i{bits // 8}")[begin : begin + count].tolist()
        values = [categories[code] if 0 <= code < len(categories) else None for code in codes]
    else:
        raise ArgumentError(f"data: column {name!r} is of a kind that a table does not have (kind {kind}, {format!r})")
    return _without_missing(values, chunk, buffers)


def _without_missing(values: list[object], chunk: _Column, buffers: dict[str, Any]) -> list[object]:
    kind, mark = chunk.describe_null
    if kind == _SENTINEL:
        return [None if value == mark else value for value in values]
    if kind not in (_BITS, _BYTES) or buffers.get("validity") is None:
        return values
    mask = _array(buffers["validity"][0], "u1")
    flags = np.unpackbits(mask, bitorder="little") if kind == _BITS else mask
    own = flags[chunk.offset : chunk.offset + len(values)].tolist()
    return [None if flag == mark else value for flag, value in zip(own, values, strict=True)]


def _array(buffer: Any, dtype: str) -> Array:
    """The content of a buffer, copied: nothing else keeps it alive."""
    if not buffer.bufsize:
        return np.zeros(0, dtype)
    size = buffer.bufsize // np.dtype(dtype).itemsize * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(buffer.ptr), dtype).copy()
