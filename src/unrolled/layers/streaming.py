"""The state of a stream, saved and restored: tensors in safetensors, bound to the model they belong to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from unrolled.errors import StateError, StorageError
from unrolled.storage import write_whole

FORMAT = "unrolled-state"
VERSION = 1


def fingerprint(module: nn.Module) -> str:
    """A hash of a module's parameters and buffers: names, shapes, dtypes and values.

    Two models have the same one exactly if a state of the first continues in the second.
    """
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        data = tensor.detach().cpu().contiguous()
        digest.update(f"{name}:{tuple(data.shape)}:{data.dtype};".encode())
        digest.update(data.view(torch.uint8).numpy().tobytes() if data.dim() else repr(data.item()).encode())
    return digest.hexdigest()


class StreamState:
    """What a stream carries from one push to the next; immutable, so forking is sharing.

    Attributes:
        tensors: the carried tensors, nested in tuples and lists as the network returned them, or None at the start.
        position: how many steps the stream has taken.
        extra: plain JSON values that a task carries along.
        model: the fingerprint of the model it belongs to.
    """

    def __init__(self, tensors: Any, position: int, model: str, extra: dict[str, Any] | None = None) -> None:
        self.tensors, self.position, self.model, self.extra = tensors, position, model, extra or {}

    def save(self, path: str | Path) -> None:
        """Write the state to one file.

        Raises:
            StorageError: if the file can't be written; an older file of that name is then still whole.
        """
        flat: dict[str, Tensor] = {}
        form = _describe(self.tensors, flat, "state")
        header = {
            "format": FORMAT,
            "version": str(VERSION),
            "model": self.model,
            "position": str(self.position),
            "form": json.dumps(form),
            "extra": json.dumps(self.extra),
        }
        # cloned, since safetensors refuses tensors that share memory, as the parts of a state may
        write_whole(path, save({k: v.detach().cpu().clone().contiguous() for k, v in flat.items()}, header))

    @classmethod
    def load(cls, path: str | Path, model: str) -> StreamState:
        """Read a state that `save` wrote.

        Args:
            path: the file.
            model: the fingerprint of the model that is to continue it.

        Raises:
            StorageError: if the file can't be read.
            StateError: if it is no saved state, is torn, of a later version, or belongs to another model.
        """
        path = Path(path)
        if not path.is_file():
            raise StorageError(f"{path}: no such file")
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                flat = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dictionary)
        except (SafetensorError, OSError) as error:
            raise StateError(f"{path}: not a saved state, or a torn one: {error}") from error
        if header.get("format") != FORMAT:
            raise StateError(f"{path}: not a saved state of a stream")
        try:
            version, position = int(header["version"]), int(header["position"])
            if version > VERSION:
                raise StateError(f"{path}: written by a later version (format {version}); update unrolled")
            tensors = _rebuild(json.loads(header["form"]), flat)
            extra = json.loads(header["extra"])
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise StateError(f"{path}: the header of the saved state is damaged: {error}") from error
        if header.get("model") != model:
            raise StateError(
                f"{path}: this state belongs to another model (its fingerprint differs); start a new stream"
            )
        return cls(tensors, position, model, extra)


def _describe(value: Any, flat: dict[str, Tensor], key: str) -> Any:
    """The form of a nested state as JSON; its tensors go into `flat`."""
    if value is None:
        return None
    if isinstance(value, Tensor):
        flat[key] = value
        return key
    if isinstance(value, (tuple, list)):
        return [_describe(v, flat, f"{key}.{i}") for i, v in enumerate(value)]
    raise StateError(f"a stream's state holds tensors in tuples and lists, found {type(value).__name__}")


def _rebuild(form: Any, flat: dict[str, Tensor]) -> Any:
    if form is None:
        return None
    if isinstance(form, str):
        return flat[form]
    if not isinstance(form, list):
        raise TypeError(f"expected a list of tensors, found {type(form).__name__}")
    return tuple(_rebuild(f, flat) for f in form)


def tensors_of(value: Any) -> Iterator[Tensor]:
    """The tensors of a nested state, in order."""
    if isinstance(value, Tensor):
        yield value
    elif value is not None:
        for part in value:
            yield from tensors_of(part)
