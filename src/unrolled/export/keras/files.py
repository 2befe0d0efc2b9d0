"""Files that Keras writes: a zip of a configuration and an HDF5 file of weights, or one HDF5 file.

Nothing in them is run: layers are looked up by their names, and whatever else a configuration holds is not looked at.
"""

from __future__ import annotations

import io
import json
import os
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.errors import MissingDependencyError, ModelError, StorageError
from unrolled.storage import storage_error

#: Keras's recurrent layers, by the names that groups of weights have
GROUPS = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "SimpleRNN"}
#: how much larger than it is on disk a part of a file may be; Keras itself compresses nothing
_LARGEST_RATIO = 100


@dataclass(frozen=True)
class KerasLayer:
    """A recurrent layer of Keras's.

    Attributes:
        name: as Keras calls it.
        weights: kernel, recurrent kernel and bias (where there is one); for both directions one after the other.
        kind: LSTM, GRU, SimpleRNN or Bidirectional; None where the file does not say.
        config: its configuration; None where the file has none.
    """

    name: str
    weights: tuple[np.ndarray, ...]
    kind: str | None = None
    config: dict[str, Any] | None = None


def read_layers(path: Path) -> list[KerasLayer]:
    """Read the recurrent layers of a `.keras`, `.weights.h5` or `.h5` file.

    Raises:
        StorageError: the file can't be read.
        ModelError: it is no such file, or a damaged one.
        MissingDependencyError: h5py is not installed.
    """
    if not path.is_file():
        raise StorageError(f"{path}: no such file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise storage_error(error, path, "reading it") from error
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return _read_hdf5(data, None, path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as files:
            config = json.loads(_member(files, "config.json", path))
            weights = _member(files, "model.weights.h5", path)
    except (KeyError, ValueError, zipfile.BadZipFile, RecursionError) as error:
        raise ModelError(f"{path}: not a Keras file: {error}") from error
    return _read_hdf5(weights, config, path)


def _member(files: zipfile.ZipFile, name: str, path: Path) -> bytes:
    info = files.getinfo(name)
    if info.file_size > _LARGEST_RATIO * max(info.compress_size, 1):
        raise ModelError(f"{path}: {name} unpacks to {info.file_size} bytes, which no Keras file does")
    return files.read(info)


def _read_hdf5(data: bytes, config: Any, path: Path) -> list[KerasLayer]:
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError("h5py", "keras", "reading Keras files") from error
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            arrays, names = _datasets(file, path), _names(file)
            if config is None and "model_config" in file.attrs:
                config = json.loads(file.attrs["model_config"])
            if "model_weights" in file:
                return list(_legacy(file["model_weights"], arrays, config))
    except (OSError, KeyError, ValueError, TypeError, OverflowError, AttributeError, RuntimeError) as error:
        raise ModelError(f"{path}: not a Keras file: {error}") from error
    return list(_layers(arrays, names, config))


def _datasets(file: Any, path: Path) -> dict[str, np.ndarray]:
    """Read every array in the file by its path; links that lead out of the file are not followed."""
    arrays: dict[str, np.ndarray] = {}

    def visit(name: str, item: Any) -> None:
        if not hasattr(item, "shape") or item.dtype.kind != "f":
            return
        if item.external or item.is_virtual or item.id.get_storage_size() < item.nbytes:
            raise ModelError(f"{path}: {name} is kept elsewhere or compressed, as Keras keeps nothing")
        arrays[name] = np.asarray(item[()])

    file.visititems(visit)
    return arrays


def _names(file: Any) -> dict[str, str]:
    """Read the names of layers by the path of their group, which newer files note beside the weights."""
    names: dict[str, str] = {}

    def visit(name: str, item: Any) -> None:
        if name.rpartition("/")[2] == "vars" and "name" in item.attrs:
            names[name.rpartition("/")[0]] = str(item.attrs["name"])

    file.visititems(visit)
    return names


def _layers(arrays: dict[str, np.ndarray], names: dict[str, str], config: Any) -> Iterator[KerasLayer]:
    """Yield the recurrent layers of Keras 3's own form: `…/lstm_1/cell/vars/0`."""
    groups: dict[str, list[np.ndarray]] = {}
    for path in sorted(arrays):
        group, mark, number = path.rpartition("/cell/vars/")
        if mark and number in ("0", "1", "2"):
            groups.setdefault(group, []).append(arrays[path])
    known, used = list(_configs(config)), set[int]()
    for group in groups:
        if group.endswith("/backward_layer"):
            continue
        both = group.endswith("/forward_layer")
        own = group.removesuffix("/forward_layer")
        weights = [*groups[group], *(groups.get(f"{own}/backward_layer", []) if both else [])]
        base = own.rpartition("/")[2]
        stem = base.rstrip("0123456789").rstrip("_")
        kind = "Bidirectional" if both else GROUPS.get(stem)
        # by its name where the file notes it, else the next of its class, as Keras numbers the groups
        at = next((k for k, c in enumerate(known) if c["config"].get("name") == names.get(own) and k not in used), None)
        if at is None and own not in names:
            at = next((k for k, c in enumerate(known) if c["class_name"] == kind and k not in used), None)
        used |= set() if at is None else {at}
        entry = {} if at is None else known[at]
        yield KerasLayer(names.get(own, base), tuple(weights), entry.get("class_name", kind), entry.get("config"))


def _legacy(groups: Any, arrays: dict[str, np.ndarray], config: Any) -> Iterator[KerasLayer]:
    """Yield the recurrent layers of the HDF5 files of Keras 2, which Keras 3 still writes: one group a layer."""
    for entry in _configs(config):
        name = str(entry["config"].get("name"))
        if name in groups:
            listed = [n.decode() if isinstance(n, bytes) else str(n) for n in groups[name].attrs["weight_names"]]
            weights = tuple(arrays[f"model_weights/{name}/{path}"] for path in listed)
            yield KerasLayer(name, weights, entry["class_name"], entry["config"])


def _configs(config: Any) -> Iterator[dict[str, Any]]:
    """Yield the configurations of recurrent layers inside that of a model, in their order."""
    if isinstance(config, dict):
        if config.get("class_name") in (*GROUPS.values(), "Bidirectional") and isinstance(config.get("config"), dict):
            yield config
        else:
            for value in config.values():
                yield from _configs(value)
    elif isinstance(config, list):
        for value in config:
            yield from _configs(value)


def write_layers(path: Path, input_size: int, layers: Sequence[KerasLayer]) -> None:
    """Write a `.keras` file of recurrent layers one after the other, through Keras.

    Raises:
        StorageError: the file can't be written.
        MissingDependencyError: keras is not installed.
    """
    if "keras" not in sys.modules:
        # Keras asks for TensorFlow unless it is told otherwise, before it is first imported
        os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        import keras
    except ImportError as error:
        raise MissingDependencyError("keras", "keras", "writing Keras files") from error
    if path.suffix != ".keras":
        raise StorageError(f"{path}: expected a name that ends in .keras")
    made = [_make(keras, layer.kind or "", dict(layer.config or {})) for layer in layers]
    model = keras.Sequential([keras.Input((None, input_size)), *made])
    for own, layer in zip(made, layers, strict=True):
        own.set_weights(list(layer.weights))
    try:
        model.save(path)
    except OSError as error:
        raise storage_error(error, path, "writing it") from error


def _make(keras: Any, kind: str, config: dict[str, Any]) -> Any:
    if kind == "Bidirectional":
        inner = config.pop("layer")
        return keras.layers.Bidirectional(_make(keras, inner["class_name"], dict(inner["config"])), **config)
    return getattr(keras.layers, kind)(**config)
