"""`forecast`: learn from time series what comes next, with its uncertainty.

Nothing is ever split at random: development data is the last part of each series' time, and what a model is evaluated
on comes after all that it has seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from unrolled.data import Arrays, Example, ExampleBatches, Findings
from unrolled.data.core.folders import Place
from unrolled.data.series.read import read_series
from unrolled.errors import DataError
from unrolled.settings import Settings
from unrolled.tasks.core.examples import ExampleUse, Material
from unrolled.tasks.core.fitted import Fitted, Parts
from unrolled.tasks.core.tuning.space import Space
from unrolled.tasks.core.values import Plan
from unrolled.tasks.outputs.numbers.encode import NumbersOutput
from unrolled.tasks.outputs.numbers.network import forecaster_of
from unrolled.tasks.outputs.numbers.windows import as_batch, windows_of
from unrolled.tasks.uses.forecast.encode import HistoryInput
from unrolled.tasks.uses.forecast.options import ForecastEvaluation, ForecastOptions, ForecastPrediction
from unrolled.tasks.uses.forecast.plan import SPACE, plan_forecaster
from unrolled.tasks.uses.forecast.session import ForecastSession
from unrolled.tasks.uses.forecast.split import split_by_time
from unrolled.training import Batches, TrainingSettings


class Forecasting(ExampleUse[HistoryInput, NumbersOutput]):
    """Time series in, their continuation out."""

    name: ClassVar[str] = "forecast"
    summary: ClassVar[str] = "learn from time series what comes next, and how sure that is"
    shape: ClassVar[str] = "many-to-many"
    input, output = HistoryInput, NumbersOutput
    options: ClassVar[type[Settings]] = ForecastOptions
    space: ClassVar[Space] = SPACE
    evaluate_options: ClassVar[type[Settings]] = ForecastEvaluation
    predict_options: ClassVar[type[Settings]] = ForecastPrediction

    def read(self, paths: tuple[Place, ...], options: Any, findings: Findings) -> Sequence[Example]:
        """Read tables, long, wide or a row a series."""
        return read_series(paths, options, findings)

    def split(self, train: list[Any], dev: list[Any], options: Any) -> tuple[list[Any], list[Any]]:
        """Return the last part of each series' time to choose by; named development data continues it where it follows.

        Raises:
            DataError: a series, or every one with `skip_bad`, is too short.
        """
        learned, held = split_by_time(train, dev, options, Findings(strict=not options.skip_bad))
        where = train[0].path or None
        if not learned:
            raise DataError("no series is long enough to learn from", where)
        if not held:
            raise DataError("nothing is left to choose by: --dev-from is where the series end, or --test-from", where)
        return learned, held

    def plan(self, material: Material[HistoryInput, NumbersOutput], options: Any, training: Mapping[str, Any]) -> Plan:
        """Choose by how many windows there are."""
        return plan_forecaster(material, options, training)

    def build(self, network: Mapping[str, Any], parts: Parts[HistoryInput, NumbersOutput]) -> nn.Module:
        """Return the network, if it is for such series."""
        parts.input.require_network(network)
        return super().build(network, parts)

    def batches(
        self,
        model: Fitted[HistoryInput, NumbersOutput],
        material: Material[HistoryInput, NumbersOutput],
        training: TrainingSettings,
    ) -> Batches:
        """Return windows of all series, in another order each epoch."""
        network = forecaster_of(model)
        windows = windows_of(network, material.train)
        if not len(windows):
            need = f"a context of {network.context} and a horizon of {network.horizon}"
            raise DataError(f"no series is long enough for {need}; give a shorter --context or --horizon")

        def collate(examples: list[Arrays], draw: np.random.Generator) -> dict[str, Tensor]:
            chosen = np.concatenate([example["window"] for example in examples])
            return as_batch(network, windows.gather(chosen))[0]._asdict()

        return ExampleBatches(windows, None, int(str(model.config.batching["batch_size"])), collate, seed=training.seed)

    def to_evaluate(
        self, model: Fitted[HistoryInput, NumbersOutput], examples: list[Any], options: Any, findings: Findings
    ) -> list[Example]:
        """Return series that are forecast from some step on: by default the first that training did not see."""
        chosen = ForecastEvaluation.of(options)
        begun: list[Example] = []
        for series in examples:
            model.input.require(series)
            unseen = model.input.first_unseen(series) if chosen.start is None else series.index(chosen.start)
            begun.append(replace(series, first=unseen))
        return begun

    def stream(self, model: Fitted[HistoryInput, NumbersOutput]) -> ForecastSession:
        """Return a series in progress: push observations, ask for the forecast."""
        return ForecastSession(model)
