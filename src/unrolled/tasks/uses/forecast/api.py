"""How `forecast` is spoken to: what comes after a series, its past, and what would have been forecast within it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator

from unrolled.data import Findings
from unrolled.data.core.files import Source
from unrolled.data.series.read import Series
from unrolled.data.series.timeline import written
from unrolled.errors import ArgumentError
from unrolled.tasks.core import api
from unrolled.tasks.core.api import CEILINGS, Bounds, Message, Push, TooLarge
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.core.payloads import Matrix, in_range, matrix, within_limits
from unrolled.tasks.inputs.text.api import Typed
from unrolled.tasks.outputs.numbers.api import Api as NumbersApi
from unrolled.tasks.outputs.numbers.network import forecaster_of
from unrolled.tasks.outputs.numbers.results import Forecast, StepsAhead
from unrolled.tasks.uses.forecast.encode import HistoryInput, ShownSeries
from unrolled.tasks.uses.forecast.given import as_example, table_series
from unrolled.tasks.uses.forecast.options import ForecastOptions
from unrolled.tasks.uses.forecast.session import ForecastSession
from unrolled.types import Json

#: cells of a table, in rows of the largest number that is read
CELLS = 10
#: series of one table: each is forecast by itself
MOST_SERIES = 50

Values = Annotated[list[float | None], Field(description="one a step; null for what is missing")]


class Labelled(Message):
    """The name and the time stamps of a series' values."""

    name: Typed | None = Field(None, description="of the series; one that training saw has its own scale")
    start: str | None = Field(None, description="the time of the first value, where the model reads the calendar")
    known: Matrix | None = Field(
        None, description="covariates known ahead of time, a row for each value and for each step to be forecast"
    )
    static: dict[Typed, Typed] | None = Field(None, description="what describes the series, column → value")

    def labels(self) -> Json:
        """Return the fields that are given."""
        return {name: getattr(self, name) for name in Labelled.model_fields if getattr(self, name) is not None}


class SeriesInput(Labelled):
    """A table of series, or the values of one."""

    table: Typed | None = Field(None, description="CSV with the columns of the training tables")
    values: Values | None = None
    backtest: Annotated[int, Field(ge=0, le=20)] = Field(
        0, description="forecasts from so many earlier origins, a horizon apart, each from what came before it alone"
    )

    @model_validator(mode="after")
    def _one(self) -> SeriesInput:
        if (self.table is None) == (self.values is None):
            raise ValueError("expected either table or values")
        if self.table is not None and (labels := self.labels()):
            raise ValueError(f"{next(iter(labels))} goes with values; a table has it in a column")
        return self


class ValuesPush(Labelled, Push):
    """More values of a series; its name, its start and what describes it go with the first push only."""

    values: Values = Field([])
    horizon: Annotated[int, Field(ge=1, le=CEILINGS["horizon"])] | None = Field(
        None, description="steps to forecast; by default as in training"
    )


class SeriesForecast(Forecast, ShownSeries):
    """A forecast of a series."""


class PastValues(BaseModel):
    """The last values of a series."""

    times: list[str]
    values: list[float | None] = Field(description="null for what is missing")


class PastForecast(StepsAhead):
    """A forecast made for the past, and the values that came."""

    actual: list[float | None] = Field(description="what came, null where that is missing")
    in_training: bool = Field(description="whether training saw these times of this series: then it looks too good")


class ContinuedSeries(StepsAhead):
    """A series and what comes after it."""

    series: str = Field(description="its name")
    history: PastValues = Field(description="what the forecast was read from, and before that for three horizons")
    backtest: list[PastForecast] = Field(description="the latest first; fewer than asked for of a short series")


class NextForecast(BaseModel):
    """The forecast after the values so far."""

    forecast: SeriesForecast | None = Field(
        description="null while fewer values were observed than the model reads, or covariates ahead are not known"
    )


class AskedSeries(tuple[Series, ...]):
    """The series of one input, and how many earlier forecasts of each are wanted."""

    backtest: int = 0


class Api(NumbersApi, api.Api):
    """Series in, what comes next out; a table of several has a prediction for each."""

    widget: ClassVar[str] = "series"
    Input: ClassVar[type[BaseModel]] = SeriesInput
    Output = ContinuedSeries
    media = ("text/csv",)
    Push: ClassVar[type[Push] | None] = ValuesPush
    Said: ClassVar[type[BaseModel] | None] = NextForecast
    example: ClassVar[Json] = {"inputs": [{"values": [12.1, 13.4, 11.9, 12.6] * 25, "backtest": 2}]}
    push_example: ClassVar[Json] = {"values": [12.1, 13.4, 11.9]}

    def example_of(self, model: AnyModel) -> Json:
        """Return values as many as it reads, with the time, the covariates and the description that it asks for."""
        network = forecaster_of(model)
        values = (self.example["inputs"][0]["values"] * (1 + network.context // 100))[: max(100, network.context)]
        return {"inputs": [{"values": values, **_beside(model, len(values) + network.horizon), "backtest": 2}]}

    def push_example_of(self, model: AnyModel) -> Json:
        """Return the first values of a series, with what goes beside them."""
        values = self.push_example["values"]
        return {"values": values, **_beside(model, len(values))}

    def read(self, model: AnyModel, given: Any, bounds: Bounds) -> AskedSeries:
        """Return its series."""
        if given.table is not None:
            asked = AskedSeries(read_table(given.table, model, bounds))
        else:
            self.check(given, bounds)
            asked = AskedSeries([as_example(model.input, {"values": as_floats(given.values), **given.labels()})])
        asked.backtest = given.backtest
        return asked

    def raw(self, model: AnyModel, data: bytes, content_type: str, bounds: Bounds) -> AskedSeries:
        """Return the series of a body of CSV in UTF-8."""
        try:
            return AskedSeries(read_table(data.decode("utf-8"), model, bounds))
        except UnicodeDecodeError as error:
            raise ArgumentError(f"table: byte {error.start} is not UTF-8") from error

    def answer(self, model: AnyModel, prediction: Forecast, given: AskedSeries) -> Json:
        """Return a forecast, the past that it was read from, and forecasts that would have been made within it."""
        series = next(series for series in given if series.name == prediction.heading())
        horizon, context = len(prediction), forecaster_of(model).context
        begin = max(0, len(series) - max(3 * horizon, context))
        times = written(series.times[begin : len(series)], series.frequency)
        ends = [len(series) - n * horizon for n in range(1, given.backtest + 1)]
        return {
            **super().answer(model, prediction, given),
            "history": {"times": list(times), "values": or_null(series.values[begin:])},
            "backtest": self._backtest(model, series, [end for end in ends if end >= context], horizon),
        }

    def _backtest(self, model: AnyModel, series: Series, ends: list[int], horizon: int) -> list[Json]:
        """Return what would have been forecast from each of some earlier ends of a series."""
        # covariates of the horizon are known ahead of time, values are not
        predictions = model.predict([series.part(end, end + horizon) for end in ends], horizon=horizon)
        answers = []
        for end, prediction in zip(ends, predictions, strict=True):
            answer = super().answer(model, prediction, None)
            del answer["series"]
            seen = end < model.input.first_unseen(series)
            answers.append({**answer, "actual": or_null(series.values[end : end + horizon]), "in_training": seen})
        return answers

    def check(self, push: Any, bounds: Bounds) -> None:
        """Check that values and covariates are within bounds: no more of them than a table has rows."""
        values = push.values or []
        if len(values) > bounds.rows:
            raise TooLarge(f"values: {len(values):,}, and at most {bounds.rows:,} are read in one")
        in_range(as_floats(values), "values")
        if push.known is not None:
            matrix(push.known, "known", Bounds(rows=bounds.rows + CEILINGS["horizon"]))

    def open(self, model: AnyModel) -> ForecastSession:
        """Return a series in progress."""
        session: ForecastSession = model.stream()
        return session.reset(series=model.input.only_name)

    def take(
        self, model: AnyModel, stream: ForecastSession, push: ValuesPush
    ) -> tuple[Json, Forecast | None, ForecastSession]:
        """Observe these values, and forecast what comes next if enough is known for that."""
        source: HistoryInput = model.input
        begun = push.labels()
        begun.pop("known", None)
        if begun:
            if stream.position:
                name = next(iter(begun))
                raise ArgumentError(f"{name}: goes with the first push, and this stream has {stream.position} values")
            stream.reset(series=begun.pop("name", source.only_name), **begun)
        values = as_floats(push.values)
        known = None if push.known is None else matrix(push.known, "known", Bounds(rows=len(push.known)))
        if len(values):
            stream.push(values, known=None if known is None else known[: len(values)])
        coming = known[len(values) :] if source.known and known is not None else None
        network, horizon = forecaster_of(model), push.horizon
        forecast = None
        if stream.position >= network.context and (not source.known or (coming is not None and len(coming))):
            if coming is not None and horizon is None:
                horizon = min(network.horizon, len(coming))
            forecast = stream.forecast(horizon, known=None if coming is None else coming[:horizon])
        return {"position": stream.position}, forecast, stream

    def said(self, model: AnyModel, pushed: Forecast | None, session: ForecastSession) -> Json:
        """Return the forecast."""
        return {"forecast": None if pushed is None else super().answer(model, pushed, None)}


def _beside(model: AnyModel, steps: int) -> Json:
    """Return what a model asks for beside values, for an example: `known` of so many steps."""
    source: HistoryInput = model.input
    beside: Json = {}
    if source.phases:
        beside["start"] = written(np.zeros(1, np.int64), source.frequency)[0]
    if source.known:
        beside["known"] = [[round(mean, 3) for mean in source.known_mean]] * steps
    if source.static:
        beside["static"] = {column.column: column.example for column in source.static}
    return beside


def read_table(text: str, model: AnyModel, bounds: Bounds) -> list[Series]:
    """Return the series of CSV.

    Raises:
        TooLarge: more rows, cells or series than are read in one.
        DataError: it can't be read, naming its line.
    """
    rows = text.count("\n") + 1
    if rows > bounds.rows:
        raise TooLarge(f"table: {rows:,} rows, and at most {bounds.rows:,} are read in one")
    cells = rows + max(map(text.count, ",;\t|"))
    if cells > CELLS * bounds.rows:
        raise TooLarge(f"table: about {cells:,} cells, and at most {CELLS * bounds.rows:,} are read in one")
    if not text.strip():
        raise ArgumentError("table: nothing in it")
    source, longest = Source(Path("table.csv"), content=text.encode()), CELLS * bounds.rows
    options = ForecastOptions.of(model.options)
    with within_limits():
        table = table_series(model.input, options, source, Findings(), encoding="utf-8", longest=longest)
    if len(table) > MOST_SERIES:
        raise TooLarge(f"table: {len(table):,} series, and at most {MOST_SERIES} are forecast in one")
    for series in table:
        in_range(series.values, f"series {series.name!r}")
        in_range(series.known, f"covariates of series {series.name!r}")
    return table


def as_floats(values: Sequence[float | None]) -> NDArray[np.float64]:
    """Return values as an array, NaN for None."""
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def or_null(values: Sequence[float] | NDArray[np.float64]) -> list[float | None]:
    """Return values as JSON has them, None for NaN."""
    return [None if math.isnan(value) else float(value) for value in values]
