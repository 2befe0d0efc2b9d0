"""Numbers: the continuation of a series, at once or step by step, as points or as quantiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from unrolled.data import Arrays, Example, ExampleStore, Findings
from unrolled.data.series.read import Series
from unrolled.settings import Settings
from unrolled.tasks.core.contract import AnyInput, Output
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.results import Shown
from unrolled.tasks.core.values import InputSteps, Progress, Scored
from unrolled.tasks.outputs.numbers import scoring
from unrolled.tasks.outputs.numbers.decode import draw, forecast_of
from unrolled.tasks.outputs.numbers.network import SeriesBatch, forecaster, loss_of
from unrolled.tasks.outputs.numbers.options import (
    ForecasterNetwork,
    NumbersEvaluation,
    NumbersOptions,
    NumbersPrediction,
)
from unrolled.tasks.outputs.numbers.probe import probe_forecast
from unrolled.tasks.outputs.numbers.results import Forecast
from unrolled.types import Json


class NumbersOutput(Output[Series, Forecast]):
    """The continuation of a series, in its scale, which the input knows.

    The input encodes series as `SeriesWindows` reads them, and collates those that end where the forecast begins, with
    their `scale`; it has `series_names` for their channels, and a `season`.
    """

    name: ClassVar[str] = "numbers"
    options: ClassVar[type[Settings]] = NumbersOptions
    evaluate_options: ClassVar[type[Settings]] = NumbersEvaluation
    predict_options: ClassVar[type[Settings]] = NumbersPrediction
    Network: ClassVar[type[Settings]] = ForecasterNetwork
    Result: ClassVar[type[Forecast]] = Forecast

    def network(self, source: AnyInput, network: Mapping[str, Any]) -> nn.Module:
        """Return a direct or an autoregressive forecaster."""
        return forecaster(ForecasterNetwork(**network))

    def score(self, network: nn.Module, x: object, lengths: Tensor | None, data: Mapping[str, Tensor]) -> Scored:
        """Return pinball, absolute or squared error of a direct forecaster, nats of an autoregressive one, a value."""
        if not isinstance(x, SeriesBatch):
            raise TypeError(f"x: expected a SeriesBatch, found {type(x).__name__}")
        return loss_of(network, x)

    @classmethod
    def check(cls, train: Sequence[Example], dev: Sequence[Example], options: Settings, findings: Findings) -> None:
        """Refuse what is no count, where counts are asked for."""
        if not NumbersOptions.of(options).counts:
            return
        for example in (*train, *dev):
            series: Series = example.target
            values = series.values[~np.isnan(series.values)]
            wrong = (values < 0) | (values != np.floor(values))
            if wrong.any():
                message = f"series {series.name!r} has the value {values[wrong][0]:g}, and a negative-binomial counts"
                way = "take --likelihood student-t"
                findings.error("no count", f"{message}; {way}", series.path or None, series.line)

    def dev_metrics(self, model: AnyFitted, dev: ExampleStore) -> dict[str, float]:
        """Return the loss, and of a direct forecaster the errors of its point forecast."""
        return scoring.dev_metrics(model, dev)

    def sample(self, model: AnyFitted, dev: ExampleStore) -> str | None:
        """Return what came, and what was forecast."""
        return scoring.sample(model, dev)

    def evaluate(
        self, model: AnyFitted, examples: Iterator[tuple[Example, Arrays]], progress: Progress, options: Settings
    ) -> tuple[Json, Json]:
        """Return errors of forecasts from every origin, beside those of seasonal naive."""
        return scoring.evaluate(model, examples, NumbersEvaluation.of(options))

    def predict(
        self, model: AnyFitted, inputs: Sequence[Arrays], shown: Sequence[Shown], options: Settings
    ) -> Iterator[Forecast]:
        """Yield the forecast of each series, as far as it is encoded ahead."""
        chosen = NumbersPrediction.of(options)
        for series, name in zip(inputs, shown, strict=True):
            data = model.input.collate(model, [series])
            horizon = len(series["known"]) - len(series["values"])
            batch, scale = model.input.feed(data)[0], data["scale"].numpy()
            drawn = draw(model, batch, scale, horizon, samples=chosen.samples, seed=chosen.seed)
            yield forecast_of(model, name, drawn)

    def probe(self, model: AnyFitted, steps: InputSteps) -> Probe:
        """Ask about the middle of the forecast."""
        return probe_forecast(model, steps)
