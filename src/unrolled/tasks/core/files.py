"""Files of a model's folder: JSON and arrays, read with one clear error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from unrolled.errors import ModelError, StorageError
from unrolled.storage import write_whole


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


def read_arrays(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return named arrays.

    Raises:
        ModelError: the file is missing or damaged.
    """
    try:
        return dict(load_arrays(path.read_bytes()))
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelError(f"{path}: missing or corrupt ({error}); restore it from a copy of the model") from error


def write_arrays(path: Path, arrays: Mapping[str, NDArray[np.float32]]) -> None:
    """Write named arrays.

    Raises:
        StorageError: they can't be written.
    """
    write_whole(path, save_arrays(dict(arrays)))
