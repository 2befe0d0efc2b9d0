"""`forecast`: learn from time series what comes next, with how sure that is.

Nothing is ever split at random: development data is the last part of each series' time, and what a model is evaluated
on comes after all that it has seen.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from unrolled.data import Arrays, ExampleBatches, ExampleStore, Findings
from unrolled.data.series.read import Series, SeriesOptions, read_series
from unrolled.data.series.timeline import written
from unrolled.errors import DataError
from unrolled.metrics.forecasts import ForecastScores, seasonal_error
from unrolled.networks.forecaster import DirectForecaster
from unrolled.settings import Settings
from unrolled.tasks.core.example_task import ExampleTask, Material, Scored
from unrolled.tasks.core.fitted import Fitted
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.probes import probe_series
from unrolled.tasks.core.values import Evaluation, Plan, Progress
from unrolled.tasks.outputs.numbers.baseline import seasonal_naive, seasonal_quantiles, seasonal_spread
from unrolled.tasks.outputs.numbers.results import Forecast, sparkline
from unrolled.tasks.outputs.numbers.scoring import (
    SAMPLES,
    ModelWindows,
    Window,
    ahead,
    backtest,
    levels_of,
    window_ahead,
)
from unrolled.tasks.uses.forecast.fitted import SeriesEncoders, fit_encoders, statistics
from unrolled.tasks.uses.forecast.given import given_series
from unrolled.tasks.uses.forecast.plan import (
    ForecastOptions,
    build_forecaster,
    plan_forecaster,
)
from unrolled.tasks.uses.forecast.session import ForecastSession, check_horizon, forecast_of
from unrolled.tasks.uses.forecast.split import split_by_time
from unrolled.training import Batches, TrainingSettings

if TYPE_CHECKING:
    from unrolled.tasks.core.api import Wire

#: development windows that are scored while training, evenly spread if there are more
DEV_WINDOWS = 20_000


class EvaluateOptions(Settings):
    """What to forecast while evaluating."""

    start: str | None = Field(
        None, description="the first step to forecast: a time or a number of steps [what training did not see]"
    )
    stride: Annotated[int, Field(ge=1)] | None = Field(
        None, description="steps from one forecast to the next [1; the horizon if autoregressive]"
    )
    gaps: Literal["error", "interpolate", "mask"] | None = Field(None, description="as in training")
    samples: Annotated[int, Field(ge=2)] = Field(
        SAMPLES, description="paths that an autoregressive forecast is made of"
    )
    seed: Annotated[int, Field(ge=0)] = 0


class PredictOptions(Settings):
    """What to forecast."""

    horizon: Annotated[int, Field(ge=1)] | None = Field(None, description="steps ahead [as in training]")
    start: str | None = Field(None, description="the time of an array's first value, where the calendar is read")
    samples: Annotated[int, Field(ge=2)] = Field(
        SAMPLES, description="paths that an autoregressive forecast is made of"
    )
    seed: Annotated[int, Field(ge=0)] = 0


class Forecasting(ExampleTask):
    """Time series in, their continuation out."""

    name: ClassVar[str] = "forecast"
    summary: ClassVar[str] = "learn from time series what comes next, and how sure that is"
    shape: ClassVar[str] = "many-to-many"
    options: ClassVar[type[Settings]] = ForecastOptions
    evaluate_options: ClassVar[type[Settings]] = EvaluateOptions
    predict_options: ClassVar[type[Settings]] = PredictOptions
    reads: ClassVar[Literal["text", "path"]] = "path"

    def read(self, paths: tuple[Path, ...], options: SeriesOptions, findings: Findings) -> Sequence[Series]:
        """The series of some tables."""
        return read_series(paths, options, findings)

    def check_examples(
        self,
        train: Sequence[Series],
        dev: Sequence[Series],
        options: ForecastOptions,
        findings: Findings,
        progress: Progress,
    ) -> None:
        """Series that are too short, constant, or no counts where counts are asked for."""
        split_by_time(train, dev, options, findings)
        for series in (*train, *dev):
            if series.is_constant:
                message = f"series {series.name!r} never changes: its forecast is what it always was"
                findings.warning("constant", message, series.path or None, series.line)
            found = series.values[~np.isnan(series.values)]
            if options.method == "autoregressive" and options.likelihood == "negative-binomial":
                wrong = (found < 0) | (found != np.floor(found))
                if wrong.any():
                    message = (
                        f"series {series.name!r} has the value {found[wrong][0]:g}, and a negative-binomial counts"
                    )
                    way = "take --likelihood student-t"
                    findings.error("no count", f"{message}; {way}", series.path or None, series.line)

    def split(
        self, train: list[Series], dev: list[Series], options: ForecastOptions
    ) -> tuple[list[Series], list[Series]]:
        """The last part of each series' time to choose by; named development data goes on from it where it follows.

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

    def fit(self, train: Sequence[Any], options: ForecastOptions, progress: Progress) -> SeriesEncoders:
        """Scales, covariates and calendar, by the training part."""
        frequency = train[0].frequency
        for series in train:
            if series.frequency != frequency:
                message = f"series {series.name!r} has steps of {series.frequency.name}, the first has {frequency.name}"
                raise DataError(f"{message}; train a model for each", series.path or None, series.line)
        counts = options.method == "autoregressive" and options.likelihood == "negative-binomial"
        return fit_encoders(
            train,
            season=options.season or frequency.season,
            known=options.known,
            static=options.static,
            calendar=options.calendar,
            standardised=not counts,
            masked=any(np.isnan(series.values).any() for series in train) or options.gaps == "mask",
        )

    def encode(self, example: Series, encoders: SeriesEncoders) -> Arrays:
        """Values as they are, covariates as the network reads them."""
        encoders.check(example)
        return encoders.encode(example)

    def count(self, train: Sequence[Series], dev: Sequence[Series], encoders: SeriesEncoders) -> dict[str, Any]:
        """How much there is, and from when to when."""
        first, frequency = train[0], encoders.frequency
        return {
            "series": len(train),
            "frequency": frequency.name,
            "season": encoders.season,
            "train_steps": sum(map(len, train)),
            "dev_steps": sum(len(s) - s.first for s in dev),
            "train_from": written(first.times[:1], frequency)[0],
            "train_to": written(first.times[len(first) - 1 : len(first)], frequency)[0],
            "calendar": list(encoders.phases),
        }

    def save_encoders(self, encoders: SeriesEncoders, folder: Path) -> None:
        """series.json."""
        encoders.save(folder)

    def load_encoders(self, folder: Path) -> SeriesEncoders:
        """series.json."""
        return SeriesEncoders.load(folder)

    def plan(self, material: Material, options: ForecastOptions, training: Mapping[str, Any]) -> Plan:
        """A network and a schedule by how many windows there are."""
        lengths = [int(n) for n in material.train.sizes("values")]
        return plan_forecaster(material.encoders, lengths, options, training)

    def build_network(self, network: Mapping[str, Any], encoders: SeriesEncoders) -> nn.Module:
        """A direct or an autoregressive forecaster."""
        return build_forecaster(network, encoders)

    def batches(self, model: Fitted, material: Material, training: TrainingSettings) -> Batches:
        """Windows of all series, in another order each epoch."""
        network: Any = model.network
        windows = ModelWindows(network, material.train)
        if not len(windows):
            need = f"a context of {network.context} and a horizon of {network.horizon}"
            raise DataError(f"no series is long enough for {need}; give a shorter --context or --horizon")

        def collate(examples: list[Arrays], draw: np.random.Generator) -> dict[str, Tensor]:
            return windows.tensors(np.concatenate([e["window"] for e in examples]), network)[0]

        return ExampleBatches(windows, None, int(model.config.batching["batch_size"]), collate, seed=training.seed)

    def collate(self, model: Fitted, examples: list[Arrays], draw: np.random.Generator | None) -> dict[str, Tensor]:
        """The last window of each of some encoded series."""
        network: Any = model.network
        firsts = [np.array([len(e["values"]) - network.horizon], np.int64) for e in examples]
        windows = ModelWindows(network, [{**e, "first": first} for e, first in zip(examples, firsts, strict=True)])
        return windows.tensors(np.arange(len(windows)), network)[0]

    def score(self, network: Any, data: dict[str, Tensor]) -> Scored:
        """Pinball, absolute or squared error of a direct forecaster, nats of an autoregressive one, a value."""
        if isinstance(network, DirectForecaster):
            past, future = data["values"][: network.context], data["values"][network.context :]
            forecast = network(past, data["known"], data["channel"], data["static"])
            mean, total, count = network.loss(forecast, future)
            return Scored(mean, total, count)
        nats, seen = network.nats(data["values"], data["known"], data["channel"], data["static"])
        count = int(seen.sum())
        total = nats.sum()
        return Scored(total / max(count, 1), total.detach(), count)

    def dev_metrics(self, model: Fitted, dev: ExampleStore) -> dict[str, float]:
        """The loss, and of a direct forecaster the errors of its point forecast, in standard deviations."""
        network: Any = model.network
        windows = ModelWindows(network, dev)
        if not len(windows):
            return {}
        chosen = np.unique(np.linspace(0, len(windows) - 1, min(len(windows), DEV_WINDOWS)).astype(np.int64))
        sums: dict[str, float] = {"loss": 0.0, "scaled_mse": 0.0, "scaled_mae": 0.0}
        counted = targets = 0
        with torch.no_grad():
            for at in range(0, len(chosen), 1024):
                data = windows.tensors(chosen[at : at + 1024], network)[0]
                scored = self.score(network, data)
                sums["loss"] += float(scored.total)
                counted += scored.count
                if isinstance(network, DirectForecaster):
                    forecast = network(
                        data["values"][: network.context], data["known"], data["channel"], data["static"]
                    )
                    levels = levels_of(model)
                    error = forecast[..., levels.index(0.5) if levels else 0] - data["values"][network.context :]
                    error = error[~torch.isnan(error)]
                    sums["scaled_mse"] += float(error.square().sum())
                    sums["scaled_mae"] += float(error.abs().sum())
                    targets += len(error)
        means = {name: value / max(1, targets) for name, value in sums.items() if targets}
        return {**means, "loss": sums["loss"] / max(1, counted)}

    def sample(self, model: Fitted, dev: ExampleStore) -> str | None:
        """The last development window of the first series: what was read, what came, and what was forecast."""
        network = model.network
        windows = ModelWindows(network, dev)
        if not len(windows) or not isinstance(network, DirectForecaster):
            return None
        data = windows.tensors(np.flatnonzero(windows.series == windows.series[0])[-1:], network)[0]
        values = data["values"][:, 0]
        with torch.no_grad():
            found = network(values[: network.context, None], data["known"], data["channel"], data["static"])[:, 0]
        levels = levels_of(model)
        middle = found[:, levels.index(0.5) if levels else 0]
        past, future = values[-3 * network.horizon : -network.horizon], values[network.context :]
        name = model.encoders.names[int(data["channel"][0])] if int(data["channel"][0]) >= 0 else "a series"
        came, forecast = (sparkline(tuple(torch.cat([past, part]).tolist())) for part in (future, middle))
        return f"{name}\n  came      {came}\n  forecast  {forecast}"

    def evaluate(self, model: Fitted, paths: tuple[Path, ...], progress: Progress, **options: Any) -> Evaluation:
        """Errors of forecasts from every origin, beside seasonal naive on the same windows.

        Args:
            model: the model.
            paths: series as `train` reads them, beginning early enough for the first forecast to have its context; one
                that stands in several files is continued.
            progress: told how far it has come.
            options: the fields of `EvaluateOptions`.

        Raises:
            ArgumentError: an option is unknown or out of range.
            DataError, StorageError: the series can't be read, or leave nothing to forecast.
        """
        started = time.perf_counter()
        chosen = EvaluateOptions(**options)
        network: Any = model.network
        stride = chosen.stride or (1 if isinstance(network, DirectForecaster) else network.horizon)
        levels = levels_of(model)
        own, beside = ForecastScores(levels), ForecastScores(levels)
        examples = self.read_for_evaluation(model, paths, progress, gaps=chosen.gaps)
        season = model.encoders.season
        for n, series in enumerate(examples):
            progress("forecasting", n, len(examples))
            begun = self.begun(model, series, chosen.start)
            before = series.values[: begun.first]
            std = statistics(before if len(before) else series.values)[1]
            number = model.encoders.channel(series.name)
            scale = {
                "std": model.encoders.std[number] if number >= 0 else std,
                "seasonal": seasonal_error(before, season),
            }
            spread = seasonal_spread(before, season)
            for window in self.backtest(model, begun, stride, samples=chosen.samples, seed=chosen.seed):
                own.add(window.actual, window.drawn.point, window.drawn.quantiles, **scale)
                naive = seasonal_naive(window.past, network.horizon, season)
                beside.add(window.actual, naive, seasonal_quantiles(naive, spread, season, levels), **scale)
        if not own.windows:
            raise DataError(
                f"nothing to forecast: no series goes on for {network.horizon} steps after what training saw, with "
                f"{network.context} before; give what came later, or --start",
                str(paths[0]),
            )
        baseline = {"model": f"seasonal naive, season {season}", **beside.result()}
        metrics = {**own.result(), "series": len(examples)}
        return Evaluation(self.name, [str(p) for p in paths], metrics, baseline, time.perf_counter() - started)

    def begun(self, model: Fitted, series: Series, start: str | None) -> Series:
        """A series that is to be forecast from some step on: by default the first that training did not see."""
        encoders: SeriesEncoders = model.encoders
        encoders.check(series)
        if start is not None:
            return replace(series, first=series.index(start))
        number = encoders.channel(series.name)
        if number < 0:
            return series
        if series.frequency.unit == "step":
            return replace(series, first=min(encoders.seen[number], len(series)))
        first = int(np.searchsorted(series.times[: len(series)], encoders.seen[number], side="right"))
        return replace(series, first=first)

    def backtest(
        self, model: Fitted, series: Series, stride: int = 1, *, samples: int = SAMPLES, seed: int = 0
    ) -> Iterator[Window]:
        """Forecasts from every origin of a series, its `first` or later, whose horizon lies within it."""
        model.network.eval()
        return backtest(model, model.encoders.encode(series), series, stride, samples=samples, seed=seed)

    def predict(self, model: Fitted, inputs: Iterable[Any], **options: Any) -> Iterator[Forecast]:
        """What comes after each series.

        Args:
            model: the model.
            inputs: paths of tables, as `train` reads them, with rows of empty values for covariates of the future; or
                arrays (T,) or (T, series), `Series`, or mappings with `values` and, as the model needs them, `name`,
                `start`, `known` (T + H, K) and `static`.
            options: the fields of `PredictOptions`.

        Raises:
            ArgumentError: an option, or an input that is no series.
            DataError: a series that the model can't read: too short, of another step, with missing values.
        """
        chosen = PredictOptions(**options)
        check_horizon(model, chosen.horizon)
        encoders: SeriesEncoders = model.encoders
        for given in inputs:
            for series in given_series(model, given, chosen.start):
                encoders.check(series)
                horizon = check_horizon(model, chosen.horizon)
                future = len(series.times) - len(series)
                if encoders.known and chosen.horizon is None and future:
                    # as far as is known what comes
                    horizon = min(horizon, future)
                drawn = ahead(model, series, horizon, samples=chosen.samples, seed=chosen.seed)
                yield forecast_of(model, series, drawn, series.following(horizon)[:horizon])

    def probe(self, model: Fitted, given: Any, limit: int) -> Probe:
        """A series by the segments of its past, asked about its forecast; of a table of several series the first."""
        series = next(given_series(model, given, None))
        model.encoders.check(series)
        data, _ = window_ahead(model, series, check_horizon(model, None))
        return probe_series(model, data, limit)

    def wire(self) -> Wire:
        """How it is spoken to over HTTP."""
        from unrolled.tasks.uses.forecast.api import ForecastWire

        return ForecastWire()

    def stream(self, model: Fitted) -> ForecastSession:
        """A series in progress: push observations, ask for the forecast."""
        return ForecastSession(model)
