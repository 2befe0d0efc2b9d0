"""The values that pass between a use and what walks over it: sources, plans, evaluations, scores, steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from typing import Any, Generic, NamedTuple, TypeVar

from torch import Tensor

from unrolled.data.core.folders import Place
from unrolled.data.core.rows import TableRow
from unrolled.errors import ArgumentError
from unrolled.settings import Settings
from unrolled.tasks.core.fitted import Parts
from unrolled.training import TrainingSettings
from unrolled.types import Json

T = TypeVar("T")

#: called with a sentence that says what is being done, how much is done, and of how much (None: unknown)
Progress = Callable[[str, int, int | None], None]

#: large encoded data lies here, inside the model's folder; it is not part of the model
DATA = "data"


def silent(sentence: str, done: int, of: int | None) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class Sources:
    """Where the data is.

    Attributes:
        train: files and folders to learn from.
        dev: files and folders to choose by; empty lets the use hold out a part of `train`.
        parts: as fitted by an older model that training goes on from.
    """

    train: tuple[Place, ...]
    dev: tuple[Place, ...] = ()
    parts: Parts[Any, Any] | None = None


class Plan(NamedTuple):
    """A network and a way to train it that fit the data.

    Attributes:
        network: what `Use.build` reads, as JSON.
        training: how to train.
        batching: how data is batched, as JSON: batch size, window and the like.
        reasons: one sentence for each thing that was chosen, for the log and the card.
    """

    network: Json
    training: TrainingSettings
    batching: Json
    reasons: list[str]


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`.

    Attributes:
        task: the use's name.
        data: what was evaluated on.
        metrics: the model's.
        baseline: the same metrics of the baseline on the same data.
        seconds: how long it took.
    """

    task: str
    data: list[str]
    metrics: Json
    baseline: Json = field(default_factory=dict)
    seconds: float = 0.0

    def as_json(self) -> Json:
        """Return the object that `unrolled evaluate --json` prints."""
        return asdict(self)


class NoOptions(Settings):
    """No options."""


def joined(known: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return what is known, in its order, then what others have besides.

    >>> joined(["b", "a"], ["c", "a"])
    ['b', 'a', 'c']
    """
    return list(dict.fromkeys([*known, *others]))


def chosen_fields(settings: type[Settings], options: Settings) -> Json:
    """Return the options that are fields of some settings and were chosen, None left out."""
    given = {name: getattr(options, name, None) for name in settings.model_fields}
    return {name: value for name, value in given.items() if value is not None}


def check_sizes(settings: Settings, sizes: Mapping[str, int]) -> None:
    """Check that a layer's settings were made for what was fitted.

    Raises:
        ArgumentError: they were made for other sizes.
    """
    for name, size in sizes.items():
        if getattr(settings, name) != size:
            raise ArgumentError(f"made for {name}={getattr(settings, name)}, the encoders have {size}")


class RowInput(NamedTuple):
    """One input that a table holds.

    Attributes:
        value: as `predict` takes it.
        rows: of the table, that it was read from; none where what is predicted comes after all rows.
        by_step: whether each row is a step of it, rather than the one row all of it.
    """

    value: object
    rows: Sequence[TableRow]
    by_step: bool = False


class Lists(Generic[T]):
    """Inputs of `predict` in lists, each of which may be predicted side by side."""

    def __init__(self, lists: Iterable[list[T]]) -> None:
        self.lists = lists

    def __iter__(self) -> Iterator[T]:
        return chain.from_iterable(self.lists)


def in_lists(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield items in lists of `size`, the last one shorter; `Lists` as they are.

    >>> list(in_lists("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    if isinstance(items, Lists):
        yield from items.lists
        return
    items = iter(items)
    while some := list(islice(items, size)):
        yield some


class Scored(NamedTuple):
    """The loss of a batch: `LossReport` without a carried state."""

    mean: Tensor
    total: Tensor | float
    # typing has no way to say that a field may be called as tuple.count is
    count: int  # type: ignore[assignment]


class InputSteps(NamedTuple):
    """The steps of one encoded input, for inspection.

    Attributes:
        data: the input as a batch of one, cut to the steps that are looked at.
        names: (T,) what each step is called: words, rows, times.
        note: what was left out; empty if nothing was.
        separator: what stands between the steps where they are a text; None where they are none.
    """

    data: dict[str, Tensor]
    names: tuple[str, ...]
    note: str = ""
    separator: str | None = None
