"""Problems that can only be solved by remembering. Letters: T steps, B batch, I input, K output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unrolled.errors import ArgumentError, MissingDependencyError


class ProblemBatch(NamedTuple):
    """One batch of sequences.

    Attributes:
        x: (T, B, I).
        target: the right answers, as the problem's `loss` reads them.
    """

    x: Tensor
    target: Tensor


class MemoryProblem(ABC):
    """An endless supply of sequences, and a loss."""

    name: ClassVar[str]
    #: the unit of the loss, for axes and tables
    unit: ClassVar[str]
    #: the number of steps over which something must be remembered
    length: int
    input_size: int
    output_size: int

    @abstractmethod
    def batch(self, size: int, draw: np.random.Generator) -> ProblemBatch:
        """Return `size` new sequences."""

    @abstractmethod
    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the loss of the outputs of all steps (T, B, K), a scalar."""

    @property
    @abstractmethod
    def chance(self) -> float:
        """The loss of the best answer without memory."""

    @property
    @abstractmethod
    def solved(self) -> float:
        """The loss below which the problem counts as solved."""


@dataclass
class Adding(MemoryProblem):
    """The sum of the two marked numbers of a sequence, one in each half, is the answer at the last step.

    Attributes:
        length: T, at least 2.

    Source: Hochreiter & Schmidhuber 1997, experiment 4; as in Le, Jaitly & Hinton 2015, arXiv 1504.00941, numbers from
    U(0, 1): the constant answer 1 has a mean squared error of 1/6.
    """

    length: int
    name: ClassVar[str] = "adding"
    unit: ClassVar[str] = "mean squared error"
    input_size: int = 2
    output_size: int = 1

    def batch(self, size: int, draw: np.random.Generator) -> ProblemBatch:
        """Return numbers and marks, (T, B, 2); target (B,)."""
        half = self.length // 2
        numbers = draw.random((self.length, size), dtype=np.float32)
        marks = np.zeros_like(numbers)
        columns = np.arange(size)
        first, second = draw.integers(0, half, size), draw.integers(half, self.length, size)
        marks[first, columns] = marks[second, columns] = 1
        target = numbers[first, columns] + numbers[second, columns]
        return ProblemBatch(torch.from_numpy(np.stack([numbers, marks], -1)), torch.from_numpy(target))

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the mean squared error of the last step."""
        return F.mse_loss(outputs[-1, :, 0], target)

    @property
    def chance(self) -> float:
        """The variance of the sum."""
        return 1 / 6

    @property
    def solved(self) -> float:
        """The usual threshold for this problem."""
        return 0.01


@dataclass
class Copying(MemoryProblem):
    """Ten symbols, many blanks and a mark, after which the ten symbols are the answer.

    Attributes:
        length: T − 20, the steps between the last symbol and the mark.

    Source: Hochreiter & Schmidhuber 1997; as in Arjovsky, Shah & Bengio 2016, arXiv 1511.06464, with 8 symbols.
    """

    length: int
    name: ClassVar[str] = "copying"
    unit: ClassVar[str] = "nats per symbol"
    symbols: int = 8
    copied: int = 10

    def __post_init__(self) -> None:
        # one-hot: the symbols, the blank and the mark
        self.input_size, self.output_size = self.symbols + 2, self.symbols

    def batch(self, size: int, draw: np.random.Generator) -> ProblemBatch:
        """Return sequences (T, B, symbols + 2); target (copied, B) int64."""
        target = draw.integers(0, self.symbols, (self.copied, size))
        codes = np.full((self.length + 2 * self.copied, size), self.symbols)
        codes[: self.copied] = target
        codes[-self.copied - 1] = self.symbols + 1
        return ProblemBatch(F.one_hot(torch.from_numpy(codes), self.input_size).float(), torch.from_numpy(target))

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the cross entropy over the last ten steps."""
        return F.cross_entropy(outputs[-self.copied :].flatten(0, 1), target.flatten())

    @property
    def chance(self) -> float:
        """The logarithm of the number of symbols."""
        return float(np.log(self.symbols))

    @property
    def solved(self) -> float:
        """A tenth of chance: about every second sequence without an error."""
        return 0.1 * self.chance


@dataclass
class Digits(MemoryProblem):
    """Images of digits read pixel by pixel; the digit is the answer at the last step.

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

    def __post_init__(self) -> None:
        self.length = self.images.shape[1]

    @classmethod
    def small(cls) -> Digits:
        """Return the 1,797 digits of 8 × 8 pixels (Alpaydin & Kaynak 1998) that scikit-learn carries.

        Raises:
            MissingDependencyError: scikit-learn is not installed.
        """
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise MissingDependencyError("scikit-learn", "metrics", "the problem of sequential digits") from error
        images, labels = load_digits(return_X_y=True)
        return cls(torch.from_numpy(images / 16).float(), torch.from_numpy(labels).long())

    def batch(self, size: int, draw: np.random.Generator) -> ProblemBatch:
        """Return sequences (pixels, B, 1); target (B,) int64."""
        chosen = torch.from_numpy(draw.integers(0, len(self.images), size))
        return ProblemBatch(self.images[chosen].T.unsqueeze(-1).contiguous(), self.labels[chosen])

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return the cross entropy of the last step."""
        return F.cross_entropy(outputs[-1], target)

    @property
    def chance(self) -> float:
        """The logarithm of 10."""
        return float(np.log(10))

    @property
    def solved(self) -> float:
        """The loss at a probability of 90 % for the right digit."""
        return float(-np.log(0.9))


PROBLEMS = ("adding", "copying", "digits")


def make_problem(name: str, length: int) -> MemoryProblem:
    """Return a problem by its name.

    Args:
        name: one of PROBLEMS.
        length: steps over which something must be remembered; digits have one for each pixel.

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
