"""Signals as the network reads them: steps stacked with earlier ones, at the rate of the training data.

T steps, F features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from torch import nn

from unrolled.data import Arrays, Example, ExampleStore, Findings
from unrolled.data.core.tables import Table
from unrolled.data.series.signals import Signal, SignalOptions, read_inputs, signals_in
from unrolled.errors import ArgumentError, DataError
from unrolled.layers import StackedFrames
from unrolled.settings import Settings
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.probe import last_steps
from unrolled.tasks.core.recurrent import Units
from unrolled.tasks.core.values import InputSteps, NoOptions, Progress, RowInput
from unrolled.tasks.inputs.series.arrays import Decoded
from unrolled.tasks.inputs.series.encode import RowsInput
from unrolled.tasks.inputs.series.layer import measured
from unrolled.tasks.inputs.series.steps import step_names
from unrolled.tasks.outputs.values.options import ValuesOptions
from unrolled.tasks.uses.signal.stream import SignalStream


class SignalNetwork(Settings):
    """The input layer, completely."""

    stride: Annotated[int, Field(ge=1, le=1024)] = 1
    left: Annotated[int, Field(ge=0, le=4096)] = 0
    input_size: Units = 32


class SavedSignal(Settings):
    """series.json."""

    width: Annotated[int, Field(ge=1, le=1 << 20)]
    columns: tuple[str, ...] = ()
    rate: Annotated[float, Field(gt=0)] | None = None
    delay: Annotated[int, Field(ge=0, le=1 << 20)] = 0


class SignalInput(RowsInput):
    """A signal: the path of a sound file or of a table, an array (T, F), or (T,) of one feature.

    Args:
        width, columns, rate: as for `RowsInput`.
        delay: steps that are read after the last one, for the answers that are late.
    """

    options: ClassVar[type[Settings]] = NoOptions
    Network: ClassVar[type[Settings]] = SignalNetwork
    Saved: ClassVar[type[Settings]] = SavedSignal

    def __init__(self, width: int, columns: Sequence[str] = (), rate: float | None = None, delay: int = 0) -> None:
        super().__init__(width, columns, rate)
        self.delay = delay

    @classmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> SignalInput:
        """Take columns and rate of the first signal, and check that the others have them."""
        signals = [example for example in examples if isinstance(example, Signal)]
        first = signals[0]
        for signal in signals:
            if signal.values.shape[1] != first.values.shape[1]:
                message = f"{signal.values.shape[1]} columns, where the signals before have {first.values.shape[1]}"
                raise DataError(message, signal.path, signal.line)
            if signal.rate != first.rate:
                raise DataError(f"{signal.rate} Hz, where {first.path} has {first.rate}; resample one", signal.path)
        return cls(first.values.shape[1], first.columns, first.rate, ValuesOptions.of(options).delay)

    def array(self, value: ArrayLike, *, single: bool = False) -> NDArray[np.float32]:
        """Return steps (T, F); those of one feature may be (T,)."""
        array = np.asarray(value)
        if self.width == 1 and array.ndim <= 1:
            array = array.reshape(-1, 1)
        return super().array(array, single=single)

    def given(self, value: object) -> Decoded:
        """Return the steps of a signal, or of an array, or those that are decoded already."""
        if not isinstance(value, Signal):
            return super().given(value)
        if value.rate is not None and self.rate is not None and value.rate != self.rate:
            message = f"{value.rate:g} Hz, and the model learned from {self.rate:g} Hz; resample it"
            raise DataError(message, value.path)
        return Decoded(self.array(value.values), value.rate or self.rate, value.name)

    def each(self, model: AnyFitted, value: object, options: Settings) -> Iterator[Decoded]:
        """Yield the signals of a file; an array is one."""
        if not isinstance(value, (str, Path)):
            yield self.given(value)
            return
        yield from map(self.given, read_inputs(Path(value), self._reading(model)))

    def of_table(self, model: AnyFitted, table: Table, column: str | None) -> Iterator[RowInput]:
        """Yield the signals of a table, whose rows are their steps."""
        rows = {row.line: row for row in table.rows()}
        for signal in signals_in(table, self._reading(model), (), Findings()):
            yield RowInput(self.given(signal), [rows[line] for line in signal.lines], by_step=True)

    def _reading(self, model: AnyFitted) -> SignalOptions:
        return SignalOptions.of(model.options).model_copy(update={"input": self.columns})

    def encode(self, given: Decoded, options: Settings | None = None) -> Arrays:
        """Return `x` (T + delay, F)."""
        if not len(given.x):
            raise ArgumentError("input: no step in it")
        return {"x": np.pad(given.x, ((0, self.delay), (0, 0)))}

    def count_steps(self, arrays: Arrays) -> int:
        """Return how many steps of the signal there are."""
        return len(arrays["x"])

    def layer(self, network: Mapping[str, Any]) -> StackedFrames:  # type: ignore[override]
        """Return what standardises steps and stacks each with earlier ones."""
        chosen = SignalNetwork.picked(network)
        return StackedFrames(self.width, chosen.input_size, stride=chosen.stride, left=chosen.left)

    def plan(self, options: Settings, store: ExampleStore) -> dict[str, Any]:
        """Return nothing: `plan.py` chooses."""
        return {}

    def standardise(self, network: nn.Module, store: ExampleStore) -> None:
        """Set mean and spread of steps."""
        layer = network.get_submodule("inputs")
        if isinstance(layer, StackedFrames):
            layer.standardise(*measured(store, differences=False))

    def steps(self, model: AnyFitted, given: Decoded, limit: int) -> InputSteps:
        """Lay out a signal by the steps of the network."""
        network: Any = model.network
        stride = network.inputs.stack.stride
        x = self.encode(given)["x"]
        count = -(-len(x) // stride)
        first, note = last_steps(count, limit, "steps")
        data = {"x": torch.from_numpy(np.array(x[first * stride :, None]))}
        data["lengths"] = torch.tensor([len(x) - first * stride])
        rate = given.rate or self.rate
        return InputSteps(data, tuple(step_names(first, count, rate and rate / stride)), note)

    def stream(self, model: AnyFitted) -> SignalStream:  # type: ignore[override]
        """Return what turns steps of the signal into those of the network, as they come."""
        network: Any = model.network
        return SignalStream(lambda piece: self.array(piece, single=True), network.inputs, self.delay, self.rate)
