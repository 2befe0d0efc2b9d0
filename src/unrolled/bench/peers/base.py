"""The contract of a contender."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, NamedTuple

from unrolled.bench.grid import Case
from unrolled.bench.problem import Answer, Problem


class Way(NamedTuple):
    """One way of solving a problem with a library; where there are several, the fastest counts.

    Attributes:
        name: as the results name it.
        run: solves the problem once, with everything that a user pays each time; this is timed.
        answer: turns the result of `run` into torch tensors by name.
    """

    name: str
    run: Callable[[], Any]
    answer: Callable[[Any], Answer]


class Peer(ABC):
    """A library to measure against.

    Attributes:
        name: as `--peers` and the results spell it.
        packages: the distributions that it needs, as pip spells them, the measured one first.
        dtypes: those of the cases that it is measured in.
    """

    name: ClassVar[str]
    packages: ClassVar[Sequence[str]] = ()
    dtypes: ClassVar[Sequence[str]] = ("float32",)

    def available(self) -> str | None:
        """Return why it can't be measured in this process, with the command that helps, or None."""
        missing = [package for package in self.packages if importlib.util.find_spec(package) is None]
        return f"not installed: pip install {' '.join(missing)}" if missing else None

    def version(self) -> str | None:
        """Return the version that is measured."""
        try:
            return version(self.packages[0])
        except PackageNotFoundError:
            return None

    def refuses(self, case: Case) -> str | None:
        """Return what the library lacks for a case, or None."""
        return None

    def note(self, threads: int) -> str | None:
        """Return what readers must know of the way it is run, such as a thread count that could not be set, or None."""
        return None

    @abstractmethod
    def prepare(self, problem: Problem, threads: int) -> list[Way]:
        """Build the layer with a problem's weights.

        Any exception means that it can't be measured in that row, and is quoted there.
        """
