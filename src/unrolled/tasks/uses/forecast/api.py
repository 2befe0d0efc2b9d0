"""`forecast` on the wire: what comes after a series, the past that this was read from, and how it would have done."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BaseModel, Field, model_validator

from unrolled.data import Findings
from unrolled.data.core.files import Source
from unrolled.data.series.read import Series
from unrolled.data.series.timeline import written
from unrolled.errors import ArgumentError
from unrolled.tasks.core.api import CEILINGS, Bounds, Message, Push, TooLarge, Wire, one_by_one
from unrolled.tasks.core.model import Model
from unrolled.tasks.core.payloads import Matrix, in_range, matrix, require_finite, within_limits
from unrolled.tasks.inputs.text.api import Typed
from unrolled.tasks.outputs.numbers.results import Forecast
from unrolled.tasks.outputs.numbers.scoring import ahead
from unrolled.tasks.uses.forecast.fitted import SeriesEncoders
from unrolled.tasks.uses.forecast.given import given_series, table_series
from unrolled.tasks.uses.forecast.session import ForecastSession, forecast_of

#: cells of a table, in rows of the largest number that is read
CELLS = 10
#: series of one table: each is forecast by itself
MOST_SERIES = 50

Values = Annotated[list[float | None], Field(description="one a step; null for what is missing")]
Static = Annotated[dict[Typed, Typed], Field(description="what describes the series, column → value")]


class SeriesInput(Message):
    """A table of series, or the values of one."""

    table: Typed | None = Field(None, description="CSV with the columns of the training tables")
    values: Values | None = None
    name: Typed | None = Field(None, description="of the series; one that training saw has its own scale")
    start: str | None = Field(None, description="the time of the first value, where the model reads the calendar")
    known: Matrix | None = Field(
        None, description="covariates known ahead of time, a row for each value and for each step to come"
    )
    static: Static | None = None
    backtest: Annotated[int, Field(ge=0, le=20)] = Field(
        0, description="forecasts from so many earlier origins, a horizon apart, each from what came before it alone"
    )

    @model_validator(mode="after")
    def _one(self) -> SeriesInput:
        if (self.table is None) == (self.values is None):
            raise ValueError("expected either table or values")
        given = [name for name in ("name", "start", "known", "static") if getattr(self, name) is not None]
        if self.table is not None and given:
            raise ValueError(f"{given[0]} goes with values; a table has it in a column")
        return self


class ForecastSteps(BaseModel):
    """A forecast, in the units of the series."""

    times: list[str] = Field(description="of each step ahead")
    point: list[float] = Field(description="the forecast of each step: the median where there are quantiles")
    quantiles: dict[str, list[float]] = Field(description="level → a value for each step; none of a model of points")


class SeriesForecast(ForecastSteps):
    """A forecast of a series."""

    series: str = Field(description="its name")


class PastValues(BaseModel):
    """The last values of a series."""

    times: list[str]
    values: list[float | None] = Field(description="null for what is missing")


class PastForecast(ForecastSteps):
    """What would have been forecast earlier, and what came."""

    actual: list[float | None] = Field(description="what came, null where that is missing")
    in_training: bool = Field(description="whether training saw these times of this series: then it looks too good")


class ContinuedSeries(SeriesForecast):
    """A series and what comes after it."""

    history: PastValues = Field(description="what the forecast was read from, and before that for three horizons")
    backtest: list[PastForecast] = Field(description="the latest first; fewer than asked for of a short series")


class ValuesPush(Push):
    """More values of a series."""

    values: Values = Field([])
    known: Matrix | None = Field(
        None, description="covariates known ahead of time, a row for each value and for each step to be forecast"
    )
    horizon: Annotated[int, Field(ge=1, le=CEILINGS["horizon"])] | None = Field(
        None, description="steps to forecast; by default as in training"
    )
    name: Typed | None = Field(None, description="of the series; with the first push only")
    start: str | None = Field(None, description="the time of the first value; with the first push only")
    static: Static | None = Field(None, description="what describes the series; with the first push only")


class ForecastPush(BaseModel):
    """What comes next by now."""

    position: int = Field(description="values that were observed in all")
    forecast: SeriesForecast | None = Field(
        description="null while fewer values were observed than the model reads, or covariates ahead are not known"
    )


class Asked(tuple[Series, ...]):
    """The series of one input, and how many earlier forecasts of each are wanted."""

    backtest: int = 0


class ForecastWire(Wire):
    """Series in, what comes next out; a table of several has a prediction for each."""

    view = "forecast"
    Input = SeriesInput
    Output = ContinuedSeries
    media = ("text/csv",)
    Push = ValuesPush
    Pushed = ForecastPush
    # a table has several predictions, and `predict` makes them one after the other
    together = False
    example: ClassVar = {"inputs": [{"values": [12.1, 13.4, 11.9, 12.6] * 25, "backtest": 2}]}
    push_example: ClassVar = {"values": [12.1, 13.4, 11.9]}

    def example_of(self, model: Model) -> dict[str, Any]:
        """Values as many as it reads, with the time, the covariates and the description that it asks for."""
        network: Any = model.network
        values = (self.example["inputs"][0]["values"] * (1 + network.context // 100))[: max(100, network.context)]
        return {"inputs": [{"values": values, **_beside(model, len(values) + network.horizon), "backtest": 2}]}

    def push_example_of(self, model: Model) -> dict[str, Any]:
        """The first values of a series, with what goes beside them."""
        values = self.push_example["values"]
        return {"values": values, **_beside(model, len(values))}

    def read(self, model: Model, given: Any, bounds: Bounds) -> Asked:
        """Its series."""
        if given.table is not None:
            found = Asked(read_table(given.table, model, bounds))
        else:
            check_values(given, bounds)
            fields = {name: getattr(given, name) for name in ("values", "name", "start", "known", "static")}
            fields["values"] = as_floats(given.values)
            found = Asked(given_series(model, {k: v for k, v in fields.items() if v is not None}, None))
        found.backtest = given.backtest
        return found

    def raw(self, model: Model, data: bytes, content_type: str, bounds: Bounds) -> Asked:
        """A body of CSV in UTF-8."""
        try:
            return Asked(read_table(data.decode("utf-8"), model, bounds))
        except UnicodeDecodeError as error:
            raise ArgumentError(f"table: byte {error.start} is not UTF-8") from error

    def answer(self, model: Model, prediction: Forecast, given: Asked) -> dict[str, Any]:
        """With the past that it was read from, and forecasts that would have been made within it."""
        series = next(one for one in given if one.name == prediction.series)
        horizon = len(prediction)
        network: Any = model.network
        begin = max(0, len(series) - max(3 * horizon, int(network.context)))
        past = written(series.times[begin : len(series)], series.frequency)
        return {
            **as_json(prediction),
            "history": {"times": list(past), "values": or_null(series.values[begin:])},
            "backtest": list(backtest(model, series, horizon, given.backtest)),
        }

    def check(self, push: Any, bounds: Bounds) -> None:
        """No more values than a table has rows."""
        check_values(push, bounds)

    def open(self, model: Model) -> ForecastSession:
        """A series in progress."""
        session: ForecastSession = model.stream()
        return session.reset(series=_name(model.encoders, None))

    def push(self, model: Model, pairs: Sequence[tuple[ForecastSession, ValuesPush]]) -> list[Any]:
        """Observe these values."""
        return one_by_one(pairs, lambda stream, given: _pushed(model, stream, given))


def _beside(model: Model, steps: int) -> dict[str, Any]:
    """What a model asks for beside values, for an example: `known` of so many steps."""
    encoders: SeriesEncoders = model.encoders
    found: dict[str, Any] = {}
    if encoders.phases:
        found["start"] = written(np.zeros(1, np.int64), encoders.frequency)[0]
    if encoders.known:
        found["known"] = [[round(mean, 3) for mean in encoders.known_mean]] * steps
    if encoders.static:
        found["static"] = {
            one.column: one.values[0] if one.kind == "category" else f"{one.mean:.4g}" for one in encoders.static
        }
    return found


def read_table(text: str, model: Model, bounds: Bounds) -> list[Series]:
    """The series of CSV.

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
    source = Source(Path("table.csv"), content=text.encode())
    with within_limits():
        found = table_series(model, source, Findings(), encoding="utf-8", longest=CELLS * bounds.rows)
    if len(found) > MOST_SERIES:
        raise TooLarge(f"table: {len(found):,} series, and at most {MOST_SERIES} are forecast in one")
    for series in found:
        in_range(series.values, f"series {series.name!r}")
        in_range(series.known, f"covariates of series {series.name!r}")
    return found


def check_values(given: SeriesInput | ValuesPush, bounds: Bounds) -> None:
    """See that values and covariates are within bounds.

    Raises:
        TooLarge, ArgumentError: they are not.
    """
    values = given.values or []
    if len(values) > bounds.rows:
        raise TooLarge(f"values: {len(values):,}, and at most {bounds.rows:,} are read in one")
    in_range(as_floats(values), "values")
    if given.known is not None:
        matrix(given.known, "known", Bounds(rows=bounds.rows + CEILINGS["horizon"]))


def as_floats(values: Sequence[float | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Values as an array, NaN for None."""
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def or_null(values: Sequence[float] | np.ndarray[Any, Any]) -> list[float | None]:
    """Values as JSON has them, None for NaN."""
    return [None if math.isnan(value) else float(value) for value in values]


def as_json(prediction: Forecast) -> dict[str, Any]:
    """A forecast as JSON.

    Raises:
        ArgumentError: it is not finite.
    """
    require_finite(chain(prediction.point, *prediction.quantiles), "values")
    return prediction.as_json()


def backtest(model: Model, series: Series, horizon: int, origins: int) -> Iterator[dict[str, Any]]:
    """Forecasts from earlier origins of a series, a horizon apart, the latest first."""
    network: Any = model.network
    for number in range(1, origins + 1):
        end = len(series) - number * horizon
        if end < network.context:
            return
        # covariates of the horizon are known ahead of time, values are not
        before = series.part(end, end + horizon)
        found = as_json(forecast_of(model, before, ahead(model, before, horizon), before.following(horizon)))
        del found["series"]
        actual = or_null(series.values[end : end + horizon])
        yield {**found, "actual": actual, "in_training": _was_seen(model.encoders, series, end)}


def _was_seen(encoders: SeriesEncoders, series: Series, step: int) -> bool:
    """Whether a step of a series was in the data of training."""
    number = encoders.channel(series.name)
    if number < 0:
        return False
    at = step + 1 if series.frequency.unit == "step" else int(series.times[step])
    return at <= encoders.seen[number]


def _name(encoders: SeriesEncoders, given: str | None) -> str:
    """As for values without a name: that of training's only series."""
    return given or (encoders.names[0] if len(encoders.names) == 1 else "series")


def _pushed(model: Model, stream: ForecastSession, given: ValuesPush) -> dict[str, Any]:
    encoders: SeriesEncoders = model.encoders
    network: Any = model.network
    begun = [name for name in ("name", "start", "static") if getattr(given, name) is not None]
    if begun:
        if stream.position:
            raise ArgumentError(f"{begun[0]}: goes with the first push, and this stream has {stream.position} values")
        stream.reset(series=_name(encoders, given.name), start=given.start, static=given.static)
    values = as_floats(given.values)
    known = None if given.known is None else matrix(given.known, "known", Bounds(rows=len(given.known)))
    if len(values):
        stream.push(values, known=None if known is None else known[: len(values)])
    coming = None if known is None else known[len(values) :]
    horizon = given.horizon
    if encoders.known and horizon is None and coming is not None:
        horizon = min(int(network.horizon), len(coming))
    can = stream.position >= network.context and not (encoders.known and (coming is None or not len(coming)))
    found = None
    if can:
        ahead_of = coming[:horizon] if encoders.known and coming is not None else None
        found = as_json(stream.forecast(horizon, known=ahead_of))
    return {"position": stream.position, "forecast": found}
