"""Files of a model's folder: JSON and arrays, read with one clear error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from unrolled.errors import ModelError
from unrolled.storage import (
    RESTORE,
    available_memory,
    check_part,
    opened,
    part_path,
    read_part,
    storage_error,
    unlist,
    write_text,
    write_whole,
)

#: bytes of the header of a safetensors file
_LARGEST_HEADER = 16 << 20

_DTYPES = {"U8": "u1", "U16": "u2", "U32": "u4", "U64": "u8", "I64": "i8", "F32": "f4", "F64": "f8"}


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, e.g. encoders or a baseline.

    Raises:
        ModelError, StorageError: it is missing, damaged or can't be read.
    """
    data = read_part(path)
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: corrupt, not JSON ({error}); {RESTORE}") from error


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file.

    Raises:
        StorageError: it can't be written.
    """
    unlist(path)
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def read_arrays(path: Path, way: str = RESTORE) -> dict[str, NDArray[Any]]:
    """Return named arrays.

    Args:
        path: the file.
        way: what is to be done about one that is missing or damaged.

    Raises:
        ModelError, StorageError: the file is missing, damaged or can't be read.
    """
    data = read_part(path, available_memory() // 2, way)
    try:
        return dict(load_arrays(data))
    except (SafetensorError, ValueError) as error:
        raise ModelError(f"{path}: corrupt or cut short ({error}); {way}") from error


def map_arrays(path: Path, way: str = RESTORE) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return named arrays as they lie in a file, which processes share, and the notes beside them; as `read_arrays`."""
    place = check_part(path, way)
    try:
        # checks that names, shapes and places fit the file
        with safe_open(place, "np") as file:
            notes = file.metadata() or {}
        content = np.memmap(place, np.uint8, "r")
    except OSError as error:
        raise storage_error(error, path, "reading it") from error
    except (SafetensorError, ValueError) as error:
        raise ModelError(f"{path}: corrupt or cut short ({error}); {way}") from error
    start = 8 + int.from_bytes(content[:8].tobytes(), "little")
    header: dict[str, Any] = json.loads(content[8:start].tobytes())
    header.pop("__metadata__", None)
    arrays: dict[str, NDArray[Any]] = {}
    for name, entry in header.items():
        if entry["dtype"] not in _DTYPES:
            raise ModelError(f"{path}: {name} is of the type {entry['dtype']}, which nothing here has; {way}")
        first, last = entry["data_offsets"]
        part = np.asarray(content[start + first : start + last])
        arrays[name] = part.view("<" + _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays, notes


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays of a safetensors file; nothing but its header is read.

    Raises:
        ModelError, StorageError: as `read_arrays`; or the file is larger than its arrays.
    """
    try:
        with opened(part_path(path)) as (stream, size):
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(size - 8, _LARGEST_HEADER):
                raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
            header = dict(json.loads(stream.read(length)))
        header.pop("__metadata__", None)
        shapes = {name: tuple(map(index, entry["shape"])) for name, entry in header.items()}
        # no number has more than 8 bytes; the library checks the rest when it reads the arrays
        if size - 8 - length > 8 * sum(map(prod, shapes.values())):
            raise ValueError(f"more bytes, {size:,}, than its arrays have")
    except FileNotFoundError as error:
        raise ModelError(f"{path}: missing; {RESTORE}") from error
    except OSError as error:
        raise storage_error(error, path, "reading it") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path}: corrupt or cut short ({error}); {RESTORE}") from error
    return shapes


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], notes: dict[str, str] | None = None) -> None:
    """Write named arrays, and notes beside them.

    Raises:
        StorageError: they can't be written.
    """
    unlist(path)
    write_whole(path, save_arrays(dict(arrays), notes))
