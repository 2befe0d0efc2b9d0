"""What turns series into numbers that a network reads, and its forecasts back: fitted on the training part alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError, model_validator

from unrolled.data import Arrays
from unrolled.data.series.read import Series
from unrolled.data.series.timeline import Frequency, calendar_features, phases_for
from unrolled.errors import ArgumentError, DataError, ModelError
from unrolled.tasks.core.example_task import read_json, write_json

FILE = "series.json"


class Described(BaseModel):
    """A static covariate: standardised, or one input for each value that training saw."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    column: str
    kind: Literal["number", "category"]
    mean: float = 0.0
    std: float = 1.0
    values: list[str] = []

    @property
    def width(self) -> int:
        """Inputs."""
        return 1 if self.kind == "number" else len(self.values)


class SeriesEncoders(BaseModel):
    """series.json.

    Attributes:
        unit, count, calendar: the frequency.
        season: steps.
        names: of the series, N.
        mean, std: (N,), by which each is standardised; 0 and 1 for counts.
        seen: (N,) the last time (or number of steps) that training and development data reached.
        known: names of covariates known ahead of time, with `known_mean` and `known_std`.
        phases: of the calendar, known ahead of time without anybody saying them.
        static: covariates of a series.
        standardised: whether series are.
        masked: whether values may be missing.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    unit: str
    count: int
    calendar: bool
    season: int
    names: list[str]
    mean: list[float]
    std: list[float]
    seen: list[int]
    known: list[str] = []
    known_mean: list[float] = []
    known_std: list[float] = []
    phases: list[Literal["day", "week", "year"]] = []
    static: list[Described] = []
    standardised: bool = True
    masked: bool = False
    _numbers: dict[str, int] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: Any) -> None:
        """Series by name."""
        self._numbers = {name: n for n, name in enumerate(self.names)}

    @model_validator(mode="after")
    def _lengths_agree(self) -> SeriesEncoders:
        if not len(self.names) == len(self.mean) == len(self.std) == len(self.seen):
            raise ValueError("names, mean, std and seen are of different lengths")
        if not len(self.known) == len(self.known_mean) == len(self.known_std):
            raise ValueError("known, known_mean and known_std are of different lengths")
        if min((self.season, *self.std, *self.known_std), default=1) <= 0:
            raise ValueError("season and standard deviations are above 0")
        return self

    @property
    def frequency(self) -> Frequency:
        """The step."""
        return Frequency(self.unit, self.count, self.calendar)

    @property
    def known_width(self) -> int:
        """K, covariates and calendar together."""
        return len(self.known) + calendar_features(np.zeros(1, np.int64), self.phases).shape[1]

    @property
    def static_width(self) -> int:
        """Inputs that describe a series."""
        return sum(one.width for one in self.static)

    def channel(self, name: str) -> int:
        """Which of the training series it is, −1 for none."""
        return self._numbers.get(name, -1)

    def scale(self, series: Series) -> tuple[float, float]:
        """Mean and standard deviation that a series is standardised by; NaN for one that training never saw, of which
        each window is standardised by what was read of it.
        """
        number = self.channel(series.name)
        if number >= 0:
            return self.mean[number], self.std[number]
        return (np.nan, np.nan) if self.standardised else (0.0, 1.0)

    def known_of(self, series: Series, steps: int) -> NDArray[np.float32]:
        """Covariates of its first T + F steps and of those to come, (steps, K).

        Raises:
            DataError: they are not known for so many steps.
        """
        if self.known and len(series.known) < steps:
            names = ", ".join(map(repr, self.known))
            message = (
                f"series {series.name!r}: {names} must be known for {steps - len(series)} steps after its last value"
            )
            way = f"there are {len(series.known) - len(series)}; add rows whose value is empty"
            raise DataError(f"{message}, {way}", series.path or None)
        own = series.known[:steps] if self.known else np.zeros((steps, 0))
        scaled = (own - np.asarray(self.known_mean)) / np.asarray(self.known_std)
        times = np.concatenate([series.times[: len(series)], series.following(max(0, steps - len(series)))])[:steps]
        return np.concatenate([scaled.astype(np.float32), calendar_features(times, self.phases)], 1)

    def static_of(self, series: Series) -> NDArray[np.float32]:
        """What describes it, (S,).

        Raises:
            DataError: a number is expected and there is none.
        """
        parts: list[float] = []
        for one in self.static:
            if one.column not in series.static:
                message = f"series {series.name!r}: the model reads the static covariate {one.column!r}"
                raise DataError(f"{message}; give it as a column", series.path or None, series.line)
            text = series.static[one.column]
            if one.kind == "category":
                parts += [float(text == value) for value in one.values]
                continue
            try:
                parts.append((float(text) - one.mean) / one.std)
            except ValueError:
                message = f"series {series.name!r}: column {one.column!r}: expected a number, found {text!r}"
                raise DataError(message, series.path or None, series.line) from None
        return np.array(parts, np.float32)

    def encode(self, series: Series) -> Arrays:
        """A series as arrays: values as they are, covariates as the network reads them."""
        return {
            "values": series.values,
            "known": self.known_of(series, len(series)),
            "static": self.static_of(series),
            "first": np.array([series.first], np.int64),
            "channel": np.array([self.channel(series.name)], np.int64),
            "scale": np.array(self.scale(series), np.float64),
        }

    def check(self, series: Series) -> None:
        """See that a series is one that the model can read.

        Raises:
            DataError: another step, missing values that training had none of.
        """
        if series.frequency != self.frequency:
            message = f"a step of {series.frequency.name}, the model was trained on {self.frequency.name}"
            raise DataError(f"series {series.name!r}: {message}", series.path or None, series.line)
        missing = np.isnan(series.values)
        if missing.any() and not self.masked:
            message = f"step {int(np.argmax(missing))} is missing, and the model was trained without --gaps mask"
            raise DataError(f"series {series.name!r}: {message}", series.path or None, series.line)

    def save(self, folder: Path) -> None:
        """Write series.json.

        Raises:
            StorageError: it can't be written.
        """
        write_json(folder / FILE, self.model_dump())

    @classmethod
    def load(cls, folder: Path) -> SeriesEncoders:
        """Read series.json.

        Raises:
            ModelError: it is missing or damaged.
        """
        try:
            found = cls(**read_json(folder / FILE))
            _ = found.frequency
        except (ValidationError, TypeError, ArgumentError) as error:
            raise ModelError(f"{folder / FILE}: corrupt ({str(error).splitlines()[-1].strip()})") from error
        return found


def statistics(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard deviation of what is known; a constant series is divided by its size, or by 1."""
    found = values[~np.isnan(values)]
    if not len(found):
        return 0.0, 1.0
    mean, std = float(found.mean()), float(found.std())
    # of a constant, rounding leaves a spread that is none
    return mean, std if std > 1e-9 * abs(mean) and std > 0 else (abs(mean) or 1.0)


def fit_encoders(
    train: Sequence[Series],
    *,
    season: int,
    known: Sequence[str],
    static: Sequence[str],
    calendar: bool | None,
    standardised: bool,
    masked: bool,
) -> SeriesEncoders:
    """Fit on the training part.

    Args:
        train: series whose times go on to where development data ends.
        season: steps.
        known, static: columns.
        calendar: whether the calendar is read; None reads the phases that the data shows at least twice.
        standardised: False leaves values as they are, for counts.
        masked: whether values may be missing.
    """
    frequency = train[0].frequency
    timed = frequency.unit != "step"
    span = max(int(s.times[len(s) - 1] - s.times[0]) for s in train) if timed else 0
    scales = [statistics(s.values) if standardised else (0.0, 1.0) for s in train]
    covariates = np.concatenate([s.known[: len(s)] for s in train]) if known else np.zeros((1, 0))
    spread = covariates.std(0)
    return SeriesEncoders(
        unit=frequency.unit,
        count=frequency.count,
        calendar=frequency.calendar,
        season=season,
        names=[s.name for s in train],
        mean=[mean for mean, _ in scales],
        std=[std for _, std in scales],
        seen=[int(s.times[-1]) if timed else len(s.times) for s in train],
        known=list(known),
        known_mean=covariates.mean(0).tolist(),
        known_std=np.where(spread > 0, spread, 1.0).tolist(),
        phases=list(phases_for(frequency, span)) if calendar is not False else [],  # type: ignore[arg-type]
        static=[_described(column, [s.static[column] for s in train]) for column in static],
        standardised=standardised,
        masked=masked,
    )


def _described(column: str, cells: Sequence[str]) -> Described:
    try:
        numbers = np.array([float(cell) for cell in cells])
    except ValueError:
        return Described(column=column, kind="category", values=sorted(set(cells)))
    if not np.isfinite(numbers).all():
        return Described(column=column, kind="category", values=sorted(set(cells)))
    std = float(numbers.std())
    return Described(column=column, kind="number", mean=float(numbers.mean()), std=std if std > 0 else 1.0)
