"""A module's table of parameters that notes when it is read.

torch counts the writes to a tensor, except those through `.data`, `.numpy()` and other ways to its memory. An engine
that keeps packed weights would have to compare every bit of the parameters at each call, which takes as long as a
step. Whoever writes must get hold of the parameter first, though, and that is by this table: as long as nobody has
read it, and nobody held a parameter or its memory when it was last compared, nothing can have been written.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, ValuesView

import torch
from torch import Tensor


def _storage_count(tensor: Tensor) -> int:
    """Return the number of references to a tensor's storage."""
    count: int = torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)
    return count


def _tensor_count(tensor: Tensor) -> int:
    """Return the number of references to a tensor from C++, such as a graph's."""
    count: int = tensor._use_count()  # type: ignore[attr-defined]
    return count


#: the counts of a tensor that nobody else refers to
_ALONE = torch.empty(1)
_STORAGE_COUNT, _TENSOR_COUNT = _storage_count(_ALONE), _tensor_count(_ALONE)


def is_alone(tensor: Tensor) -> bool:
    """Return whether a tensor has memory of its own that no other tensor, array or process refers to."""
    storage = tensor.untyped_storage()
    # memory that torch did not allocate, such as that of an array, can't be resized
    is_own = storage.resizable() and not storage.is_shared()
    return is_own and _storage_count(tensor) == _STORAGE_COUNT and _tensor_count(tensor) == _TENSOR_COUNT


class ParameterTable(dict[str, Tensor | None]):
    """A module's `_parameters`.

    Attributes:
        was_read: whether somebody may have got hold of a parameter since `seal`. Python's own functions for
            dictionaries, by which the compiled module reads, are not noted.
    """

    was_read = True

    def seal(self) -> bool:
        """Note from now on whether the table is read; False if a parameter's memory can be reached without it."""
        self.was_read = not all(is_alone(tensor) for tensor in super().values() if tensor is not None)
        return not self.was_read

    def __getitem__(self, name: str) -> Tensor | None:
        self.was_read = True
        return super().__getitem__(name)

    # without it, dict(table) would not call __getitem__
    def __iter__(self) -> Iterator[str]:
        return super().__iter__()

    def copy(self) -> dict[str, Tensor | None]:
        """Return a plain dictionary, which holds the parameters as long as it lives."""
        self.was_read = True
        return super().copy()

    def items(self) -> ItemsView[str, Tensor | None]:  # type: ignore[override]
        """Return the items of a copy, since a view of this table could be read later."""
        return self.copy().items()

    def values(self) -> ValuesView[Tensor | None]:  # type: ignore[override]
        """Return the values of a copy."""
        return self.copy().values()

    def get(self, name: str, default: Tensor | None = None) -> Tensor | None:  # type: ignore[override]
        """Return a parameter, or `default`."""
        self.was_read = True
        return super().get(name, default)

    def pop(self, name: str, *default: Tensor | None) -> Tensor | None:  # type: ignore[override]
        """Remove a parameter and return it."""
        self.was_read = True
        return super().pop(name, *default)

    def setdefault(self, name: str, default: Tensor | None = None) -> Tensor | None:
        """Return a parameter, or put `default` in its place."""
        self.was_read = True
        return super().setdefault(name, default)
