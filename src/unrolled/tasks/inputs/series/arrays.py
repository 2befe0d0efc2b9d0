"""Whatever is read as an array whose first axis is time: rows of features, frames.

T steps, B batch, F features, C channels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import Self

from unrolled.data import Arrays, ExampleStore, Findings, lengths_of, padded
from unrolled.data.steps.read import read_steps
from unrolled.data.steps.recordings import Recording
from unrolled.errors import ArgumentError, ModelError
from unrolled.layers import InputLayer
from unrolled.layers.inputs.clips import StepEncoder
from unrolled.settings import Settings
from unrolled.tasks.core import results
from unrolled.tasks.core.contract import Input
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.folder.files import read_json, write_json
from unrolled.tasks.core.probe import last_steps
from unrolled.tasks.core.values import InputSteps
from unrolled.tasks.inputs.series.layer import StepsNetwork, standardise
from unrolled.tasks.inputs.series.noise import paced
from unrolled.tasks.inputs.series.options import StepsOptions
from unrolled.tasks.inputs.series.steps import step_names
from unrolled.tasks.inputs.series.stream import ArrayStream
from unrolled.types import Json


class Decoded(NamedTuple):
    """Steps in memory.

    Attributes:
        x: (T, F) float32, or (T, H, W, C) uint8.
        rate: steps a second, if it is known.
        name: what they are called.
        numbers: which steps of the file they are, (T,); None for all of them.
        total: how many steps the file has; None for as many.
    """

    x: NDArray[Any]
    rate: float | None = None
    name: str = "input"
    numbers: NDArray[np.int64] | None = None
    total: int | None = None


class ShownSteps(results.Shown):
    """The recording that a result is about."""

    name: str
    rate: float | None = Field(description="steps a second, if that is known")

    def heading(self) -> str:
        """Return its name."""
        return f"{self.name}: "

    def steps(self, count: int) -> Sequence[tuple[str, int, int]]:
        """Return the times of its steps, or their numbers."""
        return [(name, n, n + 1) for n, name in enumerate(step_names(0, count, self.rate))]


class StepsInput(Input[Decoded]):
    """Whatever is read as an array whose first axis is time: rows of features, frames.

    Args:
        rate: steps a second of the training data, if it is known.
    """

    name: ClassVar[str] = "series"
    length_of: ClassVar[str | None] = "x"
    # a recording may be large
    side_by_side: ClassVar[int] = 1
    options: ClassVar[type[Settings]] = StepsOptions
    Network: ClassVar[type[Settings]] = StepsNetwork
    Shown: ClassVar[type[results.Shown]] = ShownSteps
    features_are: ClassVar[str] = "the mean, spread, first and last value of each column"
    #: whether steps are read beside their differences, if nothing else is chosen
    differences: ClassVar[bool] = False
    #: dimensions of a step, its channels among them
    dims: ClassVar[int] = 1
    #: what is fitted, the constructor's arguments
    Saved: ClassVar[type[Settings]]
    #: names of the features, if they have any
    columns: tuple[str, ...] = ()

    def __init__(self, rate: float | None) -> None:
        self.rate = rate

    @abstractmethod
    def array(self, value: ArrayLike, *, single: bool = False) -> NDArray[Any]:
        """Return steps from Python as the network reads them.

        Args:
            value: an array or tensor, or nested lists.
            single: whether one step may stand for (1, …).

        Raises:
            ShapeError, ArgumentError: they are no such steps.
        """

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the file of that name, e.g. series.json."""
        path = folder / f"{cls.name}.json"
        try:
            return cls(**dict(cls.Saved(**read_json(path))))
        except (ArgumentError, TypeError) as error:
            raise ModelError(f"{path}: corrupt, {error}") from error

    def save(self, folder: Path) -> None:
        """Write the file of that name, e.g. series.json."""
        write_json(folder / f"{self.name}.json", self.as_json())

    def as_json(self) -> Json:
        """Return all that was fitted."""
        return self.Saved(**{name: getattr(self, name) for name in self.Saved.model_fields}).model_dump(mode="json")

    @abstractmethod
    def decoded(self, recording: Recording) -> Decoded:
        """Return a recording's steps.

        Raises:
            DataError: it can't be decoded, has no step, or is of another kind.
        """

    @abstractmethod
    def step_layer(self, network: Mapping[str, Any], times: int = 1) -> InputLayer:
        """Return a layer of single steps, (N, …) to (N, I).

        Args:
            network: the plan's.
            times: channels of a step over those of the data: 2 where differences stand beside them.
        """

    def given(self, value: object) -> Decoded:
        """Return steps from a recording or an array, or those that are decoded already."""
        if isinstance(value, Decoded):
            return value
        if isinstance(value, Recording):
            return self.decoded(value)
        # NumPy takes whatever it is given, and `array` looks at what became of it
        return Decoded(self.array(np.asarray(value)), self.rate)

    def each(self, model: AnyFitted, value: object, options: Settings) -> Iterator[Decoded]:
        """Yield the recordings of a file; an array is one."""
        if not isinstance(value, (str, Path)):
            yield self.given(value)
            return
        reading = StepsOptions.of(model.options).reading(features=self.columns)
        yield from map(self.decoded, read_steps([Path(value)], reading, Findings(), labelled=False))

    def encode(self, given: Decoded, options: Settings | None = None) -> Arrays:
        """Return `x` (T, …)."""
        if not len(given.x):
            raise ArgumentError("input: no step in it")
        return {"x": given.x}

    def collate(
        self, model: AnyFitted, examples: Sequence[Arrays], draw: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return `x` (T, B, …) and `lengths` (B,)."""
        x = [example["x"] for example in examples]
        return {"x": padded(x), "lengths": lengths_of(x)}

    def varied(self, example: Arrays, draw: np.random.Generator, strength: float, *, mirror: bool = False) -> Arrays:
        """Return an encoded example as it might have been as well, steps and labels together; see `paced`.

        Args:
            example: `x`, and what else has an entry for each step.
            draw: for all that is random.
            strength: 0 changes nothing, 1 is usual.
            mirror: whether left and right may be swapped.
        """
        return paced(example, draw, strength)

    def feed(self, data: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return steps and lengths."""
        return data["x"], data["lengths"]

    def layer(self, network: Mapping[str, Any]) -> StepEncoder:
        """Return a layer that reads every step, beside how it differs from the one before if it is to."""
        differences = StepsNetwork.picked(network).differences
        layer = self.step_layer(network, 2 if differences else 1)
        return StepEncoder(layer, differences=differences, dims=self.dims)

    def plan(self, options: Settings, store: ExampleStore) -> Json:
        """Return what was chosen, and whether steps are read beside their differences."""
        return {"differences": self.differences, **super().plan(options, store)}

    def standardise(self, network: nn.Module, store: ExampleStore) -> None:
        """Set mean and spread of steps."""
        standardise(network.get_submodule("inputs"), store)

    def shown(self, given: Decoded, arrays: Arrays) -> ShownSteps:
        """Return the name of the recording and its rate."""
        return ShownSteps(name=given.name, rate=given.rate or self.rate)

    def features(self, examples: Sequence[Arrays]) -> NDArray[np.float32]:
        """Return mean and spread over time, first and last value of each channel, (N, 4C)."""
        rows = [example["x"].reshape(len(example["x"]), -1).astype(np.float32) for example in examples]
        return np.stack([np.concatenate((x.mean(0), x.std(0), x[0], x[-1])) for x in rows])

    def steps(self, model: AnyFitted, given: Decoded, limit: int) -> InputSteps:
        """Lay out a recording by its times or numbers."""
        x = self.encode(given)["x"]
        first, note = last_steps(len(x), limit, "steps")
        data = {"x": torch.from_numpy(np.ascontiguousarray(x[first:, None])), "lengths": torch.tensor([len(x) - first])}
        return InputSteps(data, tuple(step_names(first, len(x), given.rate or self.rate)), note)

    def stream(self, model: AnyFitted) -> ArrayStream:
        """Return what turns rows, or frames, into steps as they come."""
        layer = cast(StepEncoder, model.network.get_submodule("inputs"))
        return ArrayStream(lambda piece: self.array(piece, single=True), layer, self.rate)
