"""`signal`: a sequence of numbers in, a sequence of numbers out, step by step: a device, a filter, a soft sensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from unrolled.data import Example, Findings, split_by_key
from unrolled.data.core.folders import Place
from unrolled.data.series.signals import Signal, read_signals
from unrolled.settings import Settings
from unrolled.tasks.core.examples import ExampleOptions, ExampleUse, Material
from unrolled.tasks.core.fitted import Fitted
from unrolled.tasks.core.values import Plan
from unrolled.tasks.outputs.values.encode import ValuesOutput
from unrolled.tasks.uses.signal.encode import SignalInput
from unrolled.tasks.uses.signal.options import SignalEvaluation, SignalUseOptions
from unrolled.tasks.uses.signal.plan import plan_signal

#: of fewer recordings than this the end of each is held out, of more whole ones
FEW = 10


class SignalUse(ExampleUse[SignalInput, ValuesOutput]):
    """A signal in, numbers for each of its steps out."""

    name: ClassVar[str] = "signal"
    summary: ClassVar[str] = "learn what comes out of a device, or a sensor, for each step of what goes in"
    shape: ClassVar[str] = "synced many-to-many"
    input, output = SignalInput, ValuesOutput
    options: ClassVar[type[Settings]] = SignalUseOptions
    evaluate_options: ClassVar[type[Settings]] = SignalEvaluation

    def read(self, paths: tuple[Place, ...], options: Any, findings: Findings) -> Sequence[Example]:
        """Read pairs of sound files or of folders of them, and tables."""
        return read_signals(paths, options, findings)

    def split(self, train: list[Example], dev: list[Example], options: Any) -> tuple[list[Example], list[Example]]:
        """Hold out the end of each recording, or whole ones of many."""
        share = ExampleOptions.of(options).holdout
        if dev or len(train) >= FEW:
            return (train, dev) if dev else split_by_key(train, share)
        signals = [signal for signal in train if isinstance(signal, Signal)]
        ends = [(signal, len(signal.values), round(len(signal.values) * (1 - share))) for signal in signals]
        return [s.part(0, cut) for s, _, cut in ends], [s.part(cut, end) for s, end, cut in ends if cut < end]

    def plan(self, material: Material[SignalInput, ValuesOutput], options: Any, training: Mapping[str, Any]) -> Plan:
        """Choose by how many steps there are, and how many a second."""
        return plan_signal(material, options, training)

    def evaluated_with(self, model: Fitted[SignalInput, ValuesOutput], chosen: Settings) -> Settings:
        """Read the columns of training."""
        reading = super().evaluated_with(model, chosen)
        names = {"input": model.input.columns, "target": model.output.names}
        return reading.model_copy(update={name: columns for name, columns in names.items() if columns})
