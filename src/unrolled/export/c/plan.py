"""A C source in the making: weights, constants, tables, and the files of code that it needs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unrolled.errors import ArgumentError

#: instead of the place of weights that there are not
NONE = "NONE"
#: of a line of the source
_WIDTH = 118


class Plan:
    """The parts of C that a network needs.

    Attributes:
        constants: of the source, by name.
        public: of the header, by name without the model's prefix.
        headers: files of `sources`, whose texts make up the header, in order.
        sources: files of `sources`, whose texts make up the source, in order.
        carried: floating-point numbers of a stream's state.
    """

    def __init__(self) -> None:
        self.constants: dict[str, str] = {}
        self.public: dict[str, str] = {}
        self.headers, self.sources = ["model.h"], ["dense.c"]
        self.carried = 0
        self._arrays: list[NDArray[np.float32]] = []
        self._places: dict[tuple[int, tuple[int, ...]], int] = {}
        #: kept, so that no address is used twice
        self._tensors: list[Tensor] = []
        self.count = 0

    def define(self, **constants: str | float | bool) -> None:
        """Add constants of the source."""
        for name, value in constants.items():
            self.constants[name] = _literal(value)

    def publish(self, **constants: str | float | bool) -> None:
        """Add constants of the header."""
        for name, value in constants.items():
            self.public[name] = _literal(value)

    def weight(self, tensor: Tensor | None) -> str:
        """Add weights; returns their place. The same tensor has the same place however often it is added.

        Raises:
            ArgumentError: a weight is not finite.
        """
        if tensor is None:
            return NONE
        key = (tensor.data_ptr(), tuple(tensor.shape))
        if key not in self._places:
            array = tensor.detach().cpu().float().contiguous().numpy().reshape(-1)
            if not np.isfinite(array).all():
                raise ArgumentError("model: its weights are not finite; training has diverged, train it again")
            self._places[key] = self.count
            self._arrays.append(array)
            self._tensors.append(tensor)
            self.count += len(array)
        return str(self._places[key])

    def carry(self, size: int) -> int:
        """Add numbers to the state of a stream, zero at first; returns their place."""
        place, self.carried = self.carried, self.carried + size
        return place

    def weights(self) -> NDArray[np.float32]:
        """Return all weights, one after the other."""
        return np.concatenate(self._arrays)


def table(entries: Iterable[str]) -> str:
    """Return an initialiser, on as many lines of a macro as it needs."""
    lines, line = ["{"], "   "
    for entry in entries:
        if len(line) + len(entry) + 2 > _WIDTH:
            lines.append(line)
            line = "   "
        line += f" {entry},"
    return " \\\n".join((*lines, line, "}"))


def struct(**members: str | int) -> str:
    """Return the initialiser of a struct."""
    return "{" + ", ".join(f".{name} = {value}" for name, value in members.items()) + "}"


def _literal(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return f"{value!r}" if isinstance(value, float) else str(value)
