"""The contract of an input. T time, B batch, I input of the recurrent layer, N examples, F features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Self

from unrolled.data import Arrays, Example, ExampleStore, Findings
from unrolled.data.core.rows import TableRow
from unrolled.data.core.tables import Table
from unrolled.errors import ArgumentError, DataError
from unrolled.layers import InputLayer
from unrolled.networks import StreamedModule
from unrolled.settings import Settings
from unrolled.tasks.core import results
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.rows.columns import input_column
from unrolled.tasks.core.stream import StepStream
from unrolled.tasks.core.values import InputSteps, NoOptions, Progress, RowInput, chosen_fields
from unrolled.types import Json

G = TypeVar("G")


class Input(ABC, Generic[G]):
    """The input of a use, fitted on the training part. `G` is one input in memory: a text, pixels, samples, rows."""

    #: of its folder in `inputs/`, and of the page's widget
    name: ClassVar[str]
    #: what an input of `predict` is on the command line: a line of text, or the path of a file or folder
    reads: ClassVar[Literal["text", "path"]] = "path"
    #: what `features` are called
    features_are: ClassVar[str] = "features"
    #: the part of an encoded input by whose length examples are put together; None for no such order
    length_of: ClassVar[str | None] = None
    #: what a column of inputs is used as, e.g. "text": the reader of training data noted its name under this
    role: ClassVar[str] = "input"
    #: names of such columns, in lower case, where training read no table
    column_names: ClassVar[tuple[str, ...]] = ()
    #: keys of a mapping that is an input of its own; others are rows of a table
    keys: ClassVar[tuple[str, ...]] = ()
    #: whether a table must be there as a whole, since its rows are steps
    whole_tables: ClassVar[bool] = False
    #: inputs that are encoded before the first is predicted, where all are there: fewer where one is large
    side_by_side: ClassVar[int] = 128
    #: how more steps can be had of an input, as advice; empty where they can't
    finer: ClassVar[str] = ""
    #: how inputs are fitted, encoded and disturbed while training; None in a field lets the data decide
    options: ClassVar[type[Settings]] = NoOptions
    predict_options: ClassVar[type[Settings]] = NoOptions
    #: the fields of a plan's network that the input layer reads
    Network: ClassVar[type[Settings]] = NoOptions
    #: the fields by which a result names its input
    Shown: ClassVar[type[results.Shown]] = results.Shown

    @classmethod
    @abstractmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> Self:
        """Fit on the training part.

        Raises:
            DataError: the examples can't be read side by side; naming the file.
        """

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote into a model's folder.

        Raises:
            ModelError, StorageError: naming the file.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write into a model's folder."""

    def extended(self, other: Self) -> Self:
        """Return this input with the words or characters that another one knows besides, for a model that goes on from
        this one. All that this one knows keeps its number. What is measured, such as a size, stays as it is.
        """
        return self

    @property
    def sizes(self) -> Mapping[str, int]:
        """The fields of a network that follow from what was fitted."""
        return {}

    @abstractmethod
    def given(self, value: object) -> G:
        """Return an input in memory from what a caller hands to `predict`: a path, an array, a text.

        Raises:
            ArgumentError, DataError: it is none, or can't be decoded.
        """

    @classmethod
    def is_one(cls, value: object) -> bool:
        """Return whether a value that looks like several inputs is one, e.g. a pair of samples and their rate."""
        return False

    def each(self, model: AnyFitted, value: object, options: Settings) -> Iterator[G]:
        """Yield all inputs that a value handed to `predict` holds; a table may hold several.

        Args:
            model: whose options of training say how tables are read.
            value: as for `given`.
            options: of `predict`.
        """
        yield self.given(value)

    def of_table(self, model: AnyFitted, table: Table, column: str | None) -> Iterator[RowInput]:
        """Yield the inputs that a table holds, in order: the one in each row's cell of a column.

        Args:
            model: whose training data and options say which columns are read.
            table: as it was opened.
            column: the one to read, by name or number; None for that of the training data.

        Raises:
            DataError: there is no such column, or a row can't be read; naming file and line.
        """
        name = input_column(model, self, table, column)
        for row in table.rows():
            if name not in row:
                raise DataError(row.without(name), row.path, row.line)
            yield RowInput(self.of_cell(row[name], row), [row])

    def of_cell(self, cell: object, row: TableRow) -> object:
        """Return a cell of a table as `predict` takes it."""
        return cell

    @abstractmethod
    def encode(self, given: G, options: Settings | None = None) -> Arrays:
        """Return one input as arrays: always the same parts, dtypes and numbers of dimensions.

        Args:
            given: the input.
            options: of `predict`; None while training and evaluating.
        """

    @abstractmethod
    def collate(
        self, model: AnyFitted, examples: Sequence[Arrays], draw: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return several encoded inputs as tensors.

        Args:
            model: whose options and batching say how inputs are disturbed.
            examples: as `encode` made them; parts of the output may be among them.
            draw: for what is random while training; None otherwise.
        """

    @abstractmethod
    def feed(self, data: Mapping[str, Tensor]) -> tuple[object, Tensor | None]:
        """Return what the input layer reads of a batch, and the valid steps of each sequence, (B,), or None."""

    def layer(self, network: Mapping[str, Any]) -> InputLayer:
        """Return the input layer: from what `feed` yields to (T, B, I), or to (B, I) where nothing is a sequence.

        Args:
            network: the plan's; a layer reads its own fields of it.

        Raises:
            ArgumentError: it has none, and is for networks that read `feed` as it is.
        """
        raise ArgumentError(f"the input {self.name!r} has no layer of its own")

    def plan(self, options: Settings, store: ExampleStore) -> Json:
        """Return the fields of `Network` that fit the data and the options, for a use without a plan of its own."""
        return chosen_fields(self.Network, options)

    def is_sequence(self, network: Mapping[str, Any]) -> bool:
        """Return whether the input layer yields steps, (T, B, I), rather than one vector, (B, I)."""
        return True

    @property
    def step_size(self) -> float:
        """How far a step goes, in the input's own measure, e.g. seconds; `Shown.place` writes such places."""
        return 1.0

    def count_steps(self, arrays: Arrays) -> int:
        """Return how many steps the input layer makes of an encoded input."""
        return 1 if self.length_of is None else len(arrays[self.length_of])

    def extent(self, arrays: Arrays) -> str:
        """Return how long an encoded input is, for messages: "0.24 s of sound"."""
        return f"{self.count_steps(arrays)} steps"

    def lengths(self, store: ExampleStore) -> NDArray[np.int64] | None:
        """Return by which lengths examples are put together, (N,); None for no such order."""
        return None if self.length_of is None else store.sizes(self.length_of)

    def spans(self, data: Mapping[str, Tensor]) -> Tensor | None:
        """Return where in each input of a batch something is going on, if that can be told.

        Returns:
            (B, 2) int64: the first such step, and the one after the last.
        """
        return None

    def names(self, arrays: Arrays) -> tuple[str, ...]:
        """Return what the steps of an encoded input are called; empty where they have no names."""
        return ()

    def beside(self, network: Mapping[str, Any], classes: int) -> StreamedModule | None:
        """Return a linear model of the same input whose logits are added to those of a label, or None."""
        return None

    def standardise(self, network: nn.Module, store: ExampleStore) -> None:
        """Give a network's input layer, its part `inputs`, the statistics of the training data."""
        return

    def facts(self, train: Sequence[Example], dev: Sequence[Example]) -> Json:
        """Return counts, for `describe` and `plan`."""
        return {}

    @classmethod
    def check(
        cls,
        train: Sequence[Example],
        dev: Sequence[Example],
        options: Settings,
        findings: Findings,
        progress: Progress,
    ) -> None:
        """Look for inputs that can't be used, beyond empty, duplicated and leaked ones."""
        return

    @classmethod
    def check_decodable(
        cls,
        train: Sequence[Example],
        dev: Sequence[Example],
        options: Settings,
        findings: Findings,
        progress: Progress,
    ) -> None:
        """Decode everything that is decoded only when it is encoded, for `unrolled data check`."""
        return

    def measured(self, examples: Sequence[Example], seconds: float) -> Json:
        """Return what an evaluation says of the inputs: how much was read, and how fast.

        Args:
            examples: those that were read.
            seconds: how long it took.
        """
        return {}

    def shown(self, given: G, arrays: Arrays) -> results.Shown:
        """Return the fields by which a result names its input; `arrays` is the same, encoded."""
        return self.Shown()

    def to_json(self, given: G) -> Json | str | None:
        """Return an input as the JSON that a server of the model reads, to be kept as an example; None without one."""
        return None

    def content(self, arrays: Arrays) -> NDArray[np.integer[Any]] | None:
        """Return which steps of an encoded input stand for something, rather than separate two parts; None for all."""
        return None

    def features(self, examples: Sequence[Arrays]) -> NDArray[np.float32]:
        """Return a vector of fixed size for each encoded input, (N, F), for linear baselines."""
        raise ArgumentError(f"the input {self.name!r} has no features for a linear baseline")

    def empty(self) -> Arrays:
        """Return an encoded input without a step, for what a model expects before it reads.

        Raises:
            ArgumentError: there is no such input.
        """
        raise ArgumentError("session: nothing was read yet; push something first")

    def steps(self, model: AnyFitted, given: G, limit: int) -> InputSteps:
        """Lay out an input by its steps, the last `limit` of them.

        Raises:
            ArgumentError: it has no steps to look into.
        """
        raise ArgumentError(f"the input {self.name!r} has no steps to look into")

    def stream(self, model: AnyFitted) -> StepStream[Any]:
        """Return what turns pushed pieces into steps of the network.

        Raises:
            ArgumentError: this input can't be streamed; says what to train instead.
        """
        raise ArgumentError(f"the input {self.name!r} can't be streamed")


#: any input whatever, for what walks over all of them
AnyInput = Input[Any]
