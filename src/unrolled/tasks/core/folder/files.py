"""Files of a model's folder: JSON and arrays, read with one clear error."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from unrolled.errors import ModelError, StorageError
from unrolled.storage import storage_error, write_whole

#: what is to be done about a file that is missing or damaged
RESTORE = "restore it from a copy of the model"
_DTYPES = {"U8": "u1", "U16": "u2", "U32": "u4", "U64": "u8", "I64": "i8", "F32": "f4", "F64": "f8"}


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, e.g. encoders or a baseline.

    Raises:
        ModelError: it is missing or damaged.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path}: missing; {RESTORE}") from error
    except OSError as error:
        raise StorageError(f"{path}: can't be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: corrupt, not JSON ({error}); {RESTORE}") from error


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file.

    Raises:
        StorageError: it can't be written.
    """
    write_whole(path, (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode())


def read_arrays(path: Path, way: str = RESTORE) -> dict[str, NDArray[Any]]:
    """Return named arrays.

    Args:
        path: the file.
        way: what is to be done about one that is missing or damaged.

    Raises:
        ModelError, StorageError: the file is missing, damaged or can't be read.
    """
    with _reading(path, way):
        return dict(load_arrays(path.read_bytes()))


def map_arrays(path: Path, way: str = RESTORE) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return named arrays as they lie in a file, which processes share, and the notes beside them; as `read_arrays`."""
    with _reading(path, way):
        # checks that names, shapes and places fit the file
        with safe_open(path, "np") as file:
            notes = file.metadata() or {}
        content = np.memmap(path, np.uint8, "r")
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


@contextmanager
def _reading(path: Path, way: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ModelError(f"{path}: missing; {way}") from error
    except OSError as error:
        raise storage_error(error, path, "reading it") from error
    except (SafetensorError, ValueError) as error:
        raise ModelError(f"{path}: corrupt or cut short ({error}); {way}") from error


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], notes: dict[str, str] | None = None) -> None:
    """Write named arrays, and notes beside them.

    Raises:
        StorageError: they can't be written.
    """
    write_whole(path, save_arrays(dict(arrays), notes))
