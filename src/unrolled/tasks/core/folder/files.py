"""Files of a model's folder: JSON and arrays, read with one clear error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from unrolled.errors import ModelError, StorageError
from unrolled.storage import storage_error, write_whole


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, e.g. encoders or a baseline.

    Raises:
        ModelError: it is missing or damaged.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path}: missing; restore it from a copy of the model") from error
    except OSError as error:
        raise StorageError(f"{path}: can't be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: corrupt, not JSON ({error}); restore it from a copy of the model") from error


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file.

    Raises:
        StorageError: it can't be written.
    """
    write_whole(path, (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode())


def read_arrays(path: Path, way: str = "restore it from a copy of the model") -> dict[str, NDArray[Any]]:
    """Return named arrays.

    Args:
        path: the file.
        way: what is to be done about one that is missing or damaged.

    Raises:
        ModelError, StorageError: the file is missing, damaged or can't be read.
    """
    try:
        return dict(load_arrays(path.read_bytes()))
    except FileNotFoundError as error:
        raise ModelError(f"{path}: missing; {way}") from error
    except OSError as error:
        raise storage_error(error, path, "reading it") from error
    except (SafetensorError, ValueError) as error:
        raise ModelError(f"{path}: corrupt or cut short ({error}); {way}") from error


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays.

    Raises:
        StorageError: they can't be written.
    """
    write_whole(path, save_arrays(dict(arrays)))
