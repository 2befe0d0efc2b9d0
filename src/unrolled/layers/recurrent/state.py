"""The state of a stream, saved and restored: tensors in safetensors, bound to the model that they belong to."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from unrolled.errors import StateError, StorageError
from unrolled.storage import storage_error, write_whole

FORMAT = "unrolled-state"
VERSION = 1

S = TypeVar("S", bound="Session")
#: tensors in tuples and lists, and the same with their names in the place of tensors, as JSON has it
Nested = Tensor | None | Sequence["Nested"]
Form = str | None | list["Form"]


def fingerprint(module: nn.Module) -> str:
    """Return a hash of a module's parameters and buffers: names, shapes, dtypes and values.

    Two models have the same hash exactly if a state of the first continues in the second.
    """
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        data = tensor.detach().cpu().contiguous()
        digest.update(f"{name}:{tuple(data.shape)}:{data.dtype};".encode())
        digest.update(data.view(torch.uint8).numpy().tobytes() if data.dim() else repr(data.item()).encode())
    return digest.hexdigest()


class StreamState:
    """The state that a stream carries from one push to the next; immutable, so that forks share it.

    Attributes:
        tensors: the carried tensors, nested in tuples and lists as the network returned them, or None at the start.
        position: how many steps the stream has taken.
        extra: plain JSON values that a task carries along.
        model: the fingerprint of the model it belongs to.
    """

    def __init__(self, tensors: Any, position: int, model: str, extra: dict[str, Any] | None = None) -> None:
        self.tensors, self.position, self.model, self.extra = tensors, position, model, extra or {}

    def to_bytes(self) -> bytes:
        """Return the state as the bytes of one safetensors file."""
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
        written: bytes = save({k: v.detach().cpu().clone().contiguous() for k, v in flat.items()}, header)
        return written

    def save(self, path: str | Path) -> None:
        """Write the state to one file.

        Raises:
            StorageError: if the file can't be written; an older file of that name is then still whole.
        """
        write_whole(path, self.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes, model: str, where: str = "state") -> StreamState:
        """Read the bytes of `to_bytes`.

        Args:
            data: the bytes.
            model: the fingerprint of the model that will continue it.
            where: its name in errors.

        Raises:
            StateError: it is no saved state, incomplete, of a later version, or belongs to another model.
        """
        try:
            flat = load(data)
            header = _header(data)
        except (SafetensorError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise StateError(f"{where}: not a saved state, or a torn one: {error}") from error
        if header.get("format") != FORMAT:
            raise StateError(f"{where}: not a saved state of a stream")
        try:
            version, position = int(header["version"]), int(header["position"])
            if version > VERSION:
                raise StateError(f"{where}: written by a later version (format {version}); update unrolled")
            tensors = _rebuild(json.loads(header["form"]), flat)
            extra = json.loads(header["extra"])
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise StateError(f"{where}: the header of the saved state is damaged: {error}") from error
        if header.get("model") != model:
            raise StateError(
                f"{where}: this state belongs to another model (its fingerprint differs); start a new stream"
            )
        return cls(tensors, position, model, extra)

    @classmethod
    def load(cls, path: str | Path, model: str) -> StreamState:
        """Read a state that `save` wrote.

        Args:
            path: the file.
            model: the fingerprint of the model that will continue it.

        Raises:
            StorageError: if the file can't be read.
            StateError: as `from_bytes`.
        """
        path = Path(path)
        if not path.is_file():
            raise StorageError(f"{path}: no such file")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise storage_error(error, path, "reading it") from error
        return cls.from_bytes(data, model, str(path))


class Session(ABC):
    """A stream in progress: a model and the state that it carries, which can be forked, saved and resumed.

    A subclass keeps its state in immutable values, returns it as `state` and continues from one in `resume`.
    """

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """The fingerprint of the model whose stream this is."""

    @property
    @abstractmethod
    def state(self) -> StreamState:
        """The state so far, to be saved; bound to this model."""

    @abstractmethod
    def resume(self: S, saved: StreamState) -> S:
        """Continue from a state of this model.

        Raises:
            StateError: it is not the state of such a stream.
        """

    def fork(self: S) -> S:
        """Return a second session that continues from here; pushes to one do not reach the other."""
        twin: S = object.__new__(type(self))
        twin.__dict__ = dict(self.__dict__)
        return twin

    def save(self, path: str | Path) -> None:
        """Write the state to one file.

        Raises:
            StorageError: it can't be written; an older file of that name is then still whole.
        """
        self.state.save(path)

    def load(self: S, path: str | Path) -> S:
        """Continue from a state that `save` wrote.

        Raises:
            StorageError: the file can't be read.
            StateError: it belongs to another model, or is no saved state of such a stream.
        """
        saved = StreamState.load(path, self.fingerprint)
        try:
            return self.resume(saved)
        except StateError as error:
            raise StateError(f"{path}: {error}") from error


def _header(data: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file: JSON after its length in eight bytes."""
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    return metadata if isinstance(metadata, dict) else {}


def _describe(value: object, flat: dict[str, Tensor], key: str) -> Form:
    """Return the form of a nested state as JSON; its tensors go into `flat`."""
    if value is None:
        return None
    if isinstance(value, Tensor):
        flat[key] = value
        return key
    if isinstance(value, (tuple, list)):
        return [_describe(v, flat, f"{key}.{i}") for i, v in enumerate(value)]
    raise StateError(f"a stream's state holds tensors in tuples and lists, found {type(value).__name__}")


def _rebuild(form: object, flat: dict[str, Tensor]) -> Nested:
    if form is None:
        return None
    if isinstance(form, str):
        return flat[form]
    if not isinstance(form, list):
        raise TypeError(f"expected a list of tensors, found {type(form).__name__}")
    return tuple(_rebuild(f, flat) for f in form)


def tensors_of(value: Nested) -> Iterator[Tensor]:
    """Yield the tensors of a nested state, in order."""
    if isinstance(value, Tensor):
        yield value
    elif value is not None:
        for part in value:
            yield from tensors_of(part)
