"""Pieces of an input as they come, turned into the steps that a network reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from typing import Generic, NamedTuple, TypeVar

from torch import Tensor
from typing_extensions import Self

from unrolled.types import Json

P = TypeVar("P")


class Step(NamedTuple):
    """One step of a stream.

    Attributes:
        x: what the input layer reads of it, one row: a tensor (1, …), or a NamedTuple of such.
        name: what it is called: a word, "row 3", "0.40 s".
        start, end: its place in what was pushed: characters, rows, samples.
    """

    x: Tensor | tuple[Tensor, ...]
    name: str
    start: int
    end: int


class StepStream(ABC, Generic[P]):
    """Turns pieces into steps. Holds immutable values alone, so that a shallow copy is a fork. `P` is a piece."""

    def fork(self: Self) -> Self:
        """Return a second one that goes on from here."""
        return copy(self)

    @abstractmethod
    def push(self, piece: P) -> list[Step]:
        """Read more; returns the steps that nothing to come can change."""

    def finish(self) -> list[Step]:
        """Return the steps of what is pending, as its end has come."""
        return []

    @property
    @abstractmethod
    def position(self) -> int:
        """How much was read: characters, rows, samples; without what is pending."""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors that are carried between pieces."""
        return ()

    @property
    def extra(self) -> Json:
        """The JSON that is carried between pieces."""
        return {}

    @abstractmethod
    def resume(self, position: int, tensors: tuple[Tensor, ...], extra: Json) -> None:
        """Take up what was carried.

        Raises:
            StateError: it is not of such a stream.
        """
