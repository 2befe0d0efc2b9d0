"""Problems that can only be solved by remembering. T steps, B batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unrolled.errors import ArgumentError, MissingDependencyError


class Task(NamedTuple):
    """One batch.

    Attributes:
        x: (T, B, I).
        target: what is to be said, as the problem's `loss` reads it.
    """

    x: Tensor
    target: Tensor


class Problem(ABC):
    """Sequences without end, and a loss."""

    name: ClassVar[str]
    #: what the loss is, for axes and tables
    unit: ClassVar[str]
    length: int
    input_size: int
    output_size: int

    @abstractmethod
    def batch(self, size: int, draw: np.random.Generator) -> Task:
        """`size` new sequences."""

    @abstractmethod
    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """What the outputs of all steps, (T, B, K), cost: a scalar."""

    @property
    @abstractmethod
    def chance(self) -> float:
        """The loss of the best answer that remembers nothing."""

    @property
    @abstractmethod
    def solved(self) -> float:
        """The loss below which the problem counts as solved."""


@dataclass
class Adding(Problem):
    """The sum of the two numbers of a sequence that are marked, one in each half; asked for at the end.

    Attributes:
        length: T, at least 2.

    Source: Hochreiter & Schmidhuber 1997, experiment 4; as in Le, Jaitly & Hinton 2015, arXiv 1504.00941, numbers from
    U(0, 1): always answering 1 has a mean squared error of 1/6.
    """

    length: int
    name: ClassVar[str] = "adding"
    unit: ClassVar[str] = "mean squared error"
    input_size: int = 2
    output_size: int = 1

    def batch(self, size: int, draw: np.random.Generator) -> Task:
        """Numbers and marks, (T, B, 2); target (B,)."""
        half = self.length // 2
        numbers = draw.random((self.length, size), dtype=np.float32)
        marks = np.zeros_like(numbers)
        columns = np.arange(size)
        first, second = draw.integers(0, half, size), draw.integers(half, self.length, size)
        marks[first, columns] = marks[second, columns] = 1
        target = numbers[first, columns] + numbers[second, columns]
        return Task(torch.from_numpy(np.stack([numbers, marks], -1)), torch.from_numpy(target))

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Mean squared error of the last step's answer."""
        return F.mse_loss(outputs[-1, :, 0], target)

    @property
    def chance(self) -> float:
        """The variance of the sum."""
        return 1 / 6

    @property
    def solved(self) -> float:
        """As usual for this problem."""
        return 0.01


@dataclass
class Copying(Problem):
    """Ten symbols, a long silence, a mark, and then the ten symbols are to be said.

    Attributes:
        length: T − 20, the steps between the last symbol and the mark.

    Source: Hochreiter & Schmidhuber 1997; as in Arjovsky, Shah & Bengio 2016, arXiv 1511.06464, with 8 symbols.
    """

    length: int
    name: ClassVar[str] = "copying"
    unit: ClassVar[str] = "nats per symbol"
    symbols: int = 8
    copied: int = 10

    @property
    def input_size(self) -> int:  # type: ignore[override]
        """The symbols, silence and the mark, one of them 1."""
        return self.symbols + 2

    @property
    def output_size(self) -> int:  # type: ignore[override]
        """The symbols."""
        return self.symbols

    def batch(self, size: int, draw: np.random.Generator) -> Task:
        """(T, B, symbols + 2); target (copied, B) int64."""
        said = draw.integers(0, self.symbols, (self.copied, size))
        codes = np.full((self.length + 2 * self.copied, size), self.symbols)
        codes[: self.copied] = said
        codes[-self.copied - 1] = self.symbols + 1
        return Task(F.one_hot(torch.from_numpy(codes), self.input_size).float(), torch.from_numpy(said))

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Cross entropy over the last ten steps."""
        return F.cross_entropy(outputs[-self.copied :].flatten(0, 1), target.flatten())

    @property
    def chance(self) -> float:
        """ln of the number of symbols."""
        return float(np.log(self.symbols))

    @property
    def solved(self) -> float:
        """A tenth of chance: about every second sequence without a fault."""
        return 0.1 * self.chance


@dataclass
class Digits(Problem):
    """Digits read pixel by pixel; which one it was is asked for at the end.

    Attributes:
        images: (N, pixels) from 0 to 1.
        labels: (N,) int64.

    Source: Le, Jaitly & Hinton 2015, arXiv 1504.00941, on MNIST.
    """

    images: Tensor
    labels: Tensor
    name: ClassVar[str] = "digits"
    unit: ClassVar[str] = "nats per digit"
    input_size: int = 1
    output_size: int = 10

    @classmethod
    def small(cls) -> Digits:
        """1,797 digits of 8 × 8 pixels (Alpaydin & Kaynak 1998), which scikit-learn carries.

        Raises:
            MissingDependencyError: scikit-learn is not installed.
        """
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise MissingDependencyError("scikit-learn", "metrics", "the problem of sequential digits") from error
        images, labels = load_digits(return_X_y=True)
        return cls(torch.from_numpy(images / 16).float(), torch.from_numpy(labels).long())

    @property
    def length(self) -> int:  # type: ignore[override]
        """Pixels."""
        return self.images.shape[1]

    def batch(self, size: int, draw: np.random.Generator) -> Task:
        """(pixels, B, 1); target (B,) int64."""
        chosen = torch.from_numpy(draw.integers(0, len(self.images), size))
        return Task(self.images[chosen].T.unsqueeze(-1).contiguous(), self.labels[chosen])

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Cross entropy of the last step."""
        return F.cross_entropy(outputs[-1], target)

    @property
    def chance(self) -> float:
        """ln 10."""
        return float(np.log(10))

    @property
    def solved(self) -> float:
        """As likely right as 90 %."""
        return float(-np.log(0.9))


PROBLEMS = ("adding", "copying", "digits")


def make_problem(name: str, length: int) -> Problem:
    """A problem by its name.

    Args:
        name: one of PROBLEMS.
        length: steps over which something must be remembered; digits have as many as pixels.

    Raises:
        ArgumentError: there is no such problem, or the length is out of range.
        MissingDependencyError: digits need scikit-learn.
    """
    if name not in PROBLEMS:
        raise ArgumentError(f"problem: expected one of {', '.join(PROBLEMS)}, found {name!r}")
    if length < 2:
        raise ArgumentError(f"length: expected at least 2 steps, found {length}")
    if name == "digits":
        return Digits.small()
    return Adding(length) if name == "adding" else Copying(length)
