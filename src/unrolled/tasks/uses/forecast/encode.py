"""The input of `forecast`: a series, its covariates and its calendar.

What is read and what is answered are parts of one series: what is learned from are windows of it, and what is answered
is in its scale. T steps of a series, F steps after it, K known covariates, S numbers that describe a series.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from unrolled.data import Arrays, Example, Findings
from unrolled.data.core.tables import Table
from unrolled.data.series.read import Series
from unrolled.data.series.timeline import phases_for, written
from unrolled.errors import DataError
from unrolled.settings import Settings
from unrolled.tasks.core import results
from unrolled.tasks.core.contract import Input
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.values import InputSteps, Progress, RowInput
from unrolled.tasks.outputs.numbers.decode import check_horizon
from unrolled.tasks.outputs.numbers.network import SeriesBatch, forecaster_of
from unrolled.tasks.outputs.numbers.probe import step_names
from unrolled.tasks.outputs.numbers.windows import statistics, window_ahead
from unrolled.tasks.uses.forecast.fitted import Described, FittedSeries
from unrolled.tasks.uses.forecast.given import as_example, each_series, table_series
from unrolled.tasks.uses.forecast.options import ForecastOptions, ForecastPrediction
from unrolled.tasks.uses.forecast.split import split_by_time
from unrolled.types import Json

#: values of a series that are kept as an example, and steps after them where covariates must be known ahead
KEPT, AHEAD = 400, 24


class ShownSeries(results.Shown):
    """The fields by which a forecast names its series."""

    series: str = Field(description="its name")
    times: tuple[str, ...] = Field(description="of each step ahead")
    history: tuple[float, ...] = Field((), exclude=True, repr=False)

    def heading(self) -> str:
        """Return the series' name."""
        return self.series


class HistoryInput(FittedSeries, Input[Series]):
    """The past of a series, as far as it is known, and what is known of its future."""

    name: ClassVar[str] = "history"
    keys: ClassVar[tuple[str, ...]] = ("values",)
    whole_tables: ClassVar[bool] = True
    options: ClassVar[type[Settings]] = ForecastOptions
    predict_options: ClassVar[type[Settings]] = ForecastPrediction
    Shown: ClassVar[type[results.Shown]] = ShownSeries

    @classmethod
    def fit(cls, examples: Sequence[Example], options: Settings, progress: Progress) -> HistoryInput:
        """Fit scales, covariates and calendar on series whose times go on to where development data ends."""
        chosen = ForecastOptions.of(options)
        train: list[Series] = [example.given for example in examples]
        frequency = train[0].frequency
        for series in train:
            if series.frequency != frequency:
                message = f"series {series.name!r} has steps of {series.frequency.name}, the first has {frequency.name}"
                raise DataError(f"{message}; train a model for each", series.path or None, series.line)
        timed = frequency.unit != "step"
        span = max(int(s.times[len(s) - 1] - s.times[0]) for s in train) if timed else 0
        scales = [(0.0, 1.0) if chosen.counts else statistics(s.values) for s in train]
        known = np.concatenate([s.known[: len(s)] for s in train]) if chosen.known else np.zeros((1, 0))
        return cls(
            unit=frequency.unit,
            count=frequency.count,
            calendar=frequency.calendar,
            season=chosen.season or frequency.season,
            names=[s.name for s in train],
            mean=[mean for mean, _ in scales],
            std=[std for _, std in scales],
            seen=[int(s.times[-1]) if timed else len(s.times) for s in train],
            known=chosen.known,
            known_mean=known.mean(0).tolist(),
            known_std=[std or 1.0 for std in known.std(0).tolist()],
            phases=[] if chosen.calendar is False else list(phases_for(frequency, span)),
            static=[Described.fit(column, [s.static[column] for s in train]) for column in chosen.static],
            standardised=not chosen.counts,
            masked=chosen.gaps == "mask" or any(np.isnan(s.values).any() for s in train),
        )

    @classmethod
    def check(
        cls,
        train: Sequence[Example],
        dev: Sequence[Example],
        options: Settings,
        findings: Findings,
        progress: Progress,
    ) -> None:
        """Point out series that are too short, and those that never change."""
        split_by_time([e.given for e in train], [e.given for e in dev], ForecastOptions.of(options), findings)
        for example in (*train, *dev):
            series: Series = example.given
            if series.is_constant:
                message = f"series {series.name!r} never changes: its forecast is what it always was"
                findings.warning("constant", message, series.path or None, series.line)

    def given(self, value: object) -> Series:
        """Return one series: as it is, of an array (T,), or of a mapping."""
        return value if isinstance(value, Series) else as_example(self, value)

    def of_table(self, model: AnyFitted, table: Table, column: str | None) -> Iterator[RowInput]:
        """Yield the series of a table; what is forecast comes after its rows."""
        findings = Findings()
        for series in table_series(self, ForecastOptions.of(model.options), table.source, findings):
            yield RowInput(series, [], by_step=True)
        findings.log("unrolled data check forecast DATA shows all")

    def each(self, model: AnyFitted, value: object, options: Settings) -> Iterator[Series]:
        """Yield all series of a table, an array (T, series) or a list, as far ahead as they are to be forecast."""
        chosen = ForecastPrediction.of(options)
        for series in each_series(self, ForecastOptions.of(model.options), value, chosen.start):
            horizon, future = check_horizon(model, chosen.horizon), len(series.times) - len(series)
            if self.known and chosen.horizon is None and future:
                # as far as is known what comes
                horizon = min(horizon, future)
            yield ahead(model, series, horizon)

    def to_json(self, given: Series) -> Json:
        """Return the last values of a series, with what the model asks for beside them."""
        end = len(given)
        if self.known and len(given.known) == end:
            end -= min(AHEAD, end // 4)
        first = max(0, end - KEPT)
        beside: Json = {"name": given.name}
        if self.phases:
            beside["start"] = written(given.times[first : first + 1], given.frequency)[0]
        if self.known:
            beside["known"] = given.known[first:].tolist()
        if self.static:
            beside["static"] = given.static
        values = given.values[first:end]
        return {"values": [None if np.isnan(value) else float(f"{value:.6g}") for value in values], **beside}

    def encode(self, given: Series, options: Settings | None = None) -> Arrays:
        """Return values as they are and covariates as the network reads them, those of the future to predict."""
        self.require(given)
        return {
            "values": given.values,
            "known": self.known_of(given, len(given) if options is None else len(given.times)),
            "static": self.static_of(given),
            "first": np.array([given.first], np.int64),
            "channel": np.array([self.channel(given.name)], np.int64),
            "scale": np.array(self.scale(given), np.float64),
        }

    def collate(
        self, model: AnyFitted, examples: Sequence[Arrays], draw: np.random.Generator | None = None
    ) -> dict[str, Tensor]:
        """Return the windows from which what comes after some series is forecast, and their `scale` (N, 2)."""
        windows = [window_ahead(forecaster_of(model), series) for series in examples]
        values, known, channel, static = zip(*(batch for batch, _ in windows), strict=True)
        batch = SeriesBatch(torch.cat(values, 1), torch.cat(known, 1), torch.cat(channel), torch.cat(static))
        return {**batch._asdict(), "scale": torch.from_numpy(np.concatenate([scale for _, scale in windows]))}

    def feed(self, data: Mapping[str, Tensor]) -> tuple[SeriesBatch, None]:
        """Return the windows; all are of one length."""
        return SeriesBatch(*(data[name] for name in SeriesBatch._fields)), None

    def facts(self, train: Sequence[Example], dev: Sequence[Example]) -> Json:
        """Return how much there is, and from when to when."""
        learned: list[Series] = [example.given for example in train]
        first, frequency = learned[0], self.frequency
        return {
            "series": len(train),
            "frequency": frequency.name,
            "season": self.season,
            "train_steps": sum(map(len, learned)),
            "dev_steps": sum(len(example.given) - example.given.first for example in dev),
            "train_from": written(first.times[:1], frequency)[0],
            "train_to": written(first.times[len(first) - 1 : len(first)], frequency)[0],
            "calendar": list(self.phases),
        }

    def shown(self, given: Series, arrays: Arrays) -> results.Shown:
        """Name the series and the times of its forecast, and return what a picture of it begins with."""
        times = written(given.times[len(given) :], given.frequency)
        return ShownSeries(
            series=given.name, times=tuple(times), history=tuple(given.values[-3 * len(times) :].tolist())
        )

    def steps(self, model: AnyFitted, given: Series, limit: int) -> InputSteps:
        """Lay out the past of a forecast by its segments, or by its values."""
        data = self.collate(model, [self.encode(given, self.predict_options())])
        return InputSteps(data, *step_names(forecaster_of(model), limit))


def ahead(model: AnyFitted, series: Series, horizon: int) -> Series:
    """Return a series with the times of what is to be forecast after it.

    Raises:
        DataError: it is too short to be read.
    """
    context = forecaster_of(model).context
    if len(series) < context:
        message = f"series {series.name!r} has {len(series)} steps, and the model reads the last {context}"
        raise DataError(f"{message}; give more of its past", series.path or None, series.line)
    return replace(series, times=np.concatenate([series.times[: len(series)], series.following(horizon)[:horizon]]))
