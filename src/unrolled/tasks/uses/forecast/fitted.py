"""series.json: scales, covariates and calendar of series, fitted on the training part alone.

T steps of a series, F steps after it of which something is known, K known covariates, S numbers that describe a series.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator
from typing_extensions import Self

from unrolled.data.core.stamps import parse_time
from unrolled.data.series.read import Series
from unrolled.data.series.timeline import Frequency, Phase, calendar_features
from unrolled.errors import ArgumentError, DataError, ModelError
from unrolled.tasks.core.folder.files import read_json, write_json

FILE = "series.json"


#: what single precision can hold, squared or divided by
Mean = Annotated[float, Field(ge=-1e30, le=1e30)]
Deviation = Annotated[float, Field(ge=1e-30, le=1e30)]


class Described(BaseModel):
    """A static covariate: standardised, or one input for each value that training saw."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    column: str
    kind: Literal["number", "category"]
    mean: Mean = 0.0
    std: Deviation = 1.0
    values: list[str] = []

    @classmethod
    def fit(cls, column: str, cells: Sequence[str]) -> Described:
        """Fit to the cells of a column: numbers where all of them are finite ones."""
        try:
            numbers = np.array([float(cell) for cell in cells])
        except ValueError:
            numbers = np.array([np.nan])
        if not np.isfinite(numbers).all():
            return cls(column=column, kind="category", values=sorted(set(cells)))
        return cls(column=column, kind="number", mean=float(numbers.mean()), std=float(numbers.std()) or 1.0)

    @property
    def width(self) -> int:
        """Inputs."""
        return 1 if self.kind == "number" else len(self.values)

    @property
    def example(self) -> str:
        """A cell of the column, for the documentation."""
        return self.values[0] if self.kind == "category" else f"{self.mean:.4g}"

    def encode(self, series: Series) -> list[float]:
        """Return the inputs of a series.

        Raises:
            DataError: it has no such column, or no number in it where one is expected.
        """
        if self.column not in series.static:
            message = f"series {series.name!r}: the model reads the static covariate {self.column!r}"
            raise DataError(f"{message}; give it as a column", series.path or None, series.line)
        cell = series.static[self.column]
        if self.kind == "category":
            return [float(cell == value) for value in self.values]
        try:
            return [(float(cell) - self.mean) / self.std]
        except ValueError:
            message = f"series {series.name!r}: column {self.column!r}: expected a number, found {cell!r}"
            raise DataError(message, series.path or None, series.line) from None


class FittedSeries(BaseModel):
    """series.json.

    Attributes:
        unit, count, calendar: the frequency.
        season: steps.
        series_names: N; `names` in the file.
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
    count: Annotated[int, Field(ge=1, le=1 << 53)]
    calendar: bool
    season: Annotated[int, Field(ge=1, le=1 << 31)]
    series_names: list[str] = Field(alias="names")
    mean: list[Mean]
    std: list[Deviation]
    seen: list[Annotated[int, Field(ge=-(1 << 62), le=1 << 62)]]
    known: list[str] = []
    known_mean: list[Mean] = []
    known_std: list[Deviation] = []
    phases: list[Phase] = []
    static: list[Described] = []
    standardised: bool = True
    masked: bool = False
    _numbers: dict[str, int] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: Any) -> None:
        """Number the series by name."""
        self._numbers = {name: n for n, name in enumerate(self.series_names)}

    @model_validator(mode="after")
    def _lengths_agree(self) -> Self:
        if not len(self.series_names) == len(self.mean) == len(self.std) == len(self.seen):
            raise ValueError("names, mean, std and seen are of different lengths")
        if not len(self.known) == len(self.known_mean) == len(self.known_std):
            raise ValueError("known, known_mean and known_std are of different lengths")
        return self

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read series.json.

        Raises:
            ModelError: it is missing or damaged.
        """
        try:
            fitted = cls(**read_json(folder / FILE))
            _ = fitted.frequency
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            place = ".".join(map(str, problem["loc"]))
            raise ModelError(f"{folder / FILE}: corrupt ({place}: {problem['msg']})") from error
        except (TypeError, ArgumentError) as error:
            raise ModelError(f"{folder / FILE}: corrupt ({error})") from error
        return fitted

    def save(self, folder: Path) -> None:
        """Write series.json.

        Raises:
            StorageError: it can't be written.
        """
        write_json(folder / FILE, self.model_dump(by_alias=True))

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
        """S."""
        return sum(column.width for column in self.static)

    @property
    def only_name(self) -> str:
        """Return the name of values that have none: that of training's only series, if there was one."""
        return self.series_names[0] if len(self.series_names) == 1 else "series"

    def channel(self, name: str) -> int:
        """Return which of the training series it is, −1 for none."""
        return self._numbers.get(name, -1)

    def scale(self, series: Series) -> tuple[float, float]:
        """Return mean and standard deviation that a series is standardised by; NaN for one that training never saw, of
        which each window is standardised by what was read of it.
        """
        number = self.channel(series.name)
        if number >= 0:
            return self.mean[number], self.std[number]
        return (np.nan, np.nan) if self.standardised else (0.0, 1.0)

    def first_unseen(self, series: Series) -> int:
        """Return the first step of a series that training did not see; 0 of a series that it never saw."""
        number = self.channel(series.name)
        if number < 0:
            return 0
        if series.frequency.unit == "step":
            return min(self.seen[number], len(series))
        return int(np.searchsorted(series.times[: len(series)], self.seen[number], side="right"))

    def known_of(self, series: Series, steps: int) -> NDArray[np.float32]:
        """Return covariates of its first T + F steps and of those to come, (steps, K).

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
        """Return what describes it, (S,).

        Raises:
            DataError: a column is missing, or has no number where one is expected.
        """
        return np.array([number for column in self.static for number in column.encode(series)], np.float32)

    def require(self, series: Series) -> None:
        """Check that a series is one that the model can read.

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

    def require_network(self, network: Mapping[str, Any]) -> None:
        """Check that a network is for these covariates and this many series.

        Raises:
            ModelError: it is not.
        """
        widths = tuple(network.get(name) for name in ("known", "static", "masked"))
        expected = (self.known_width, self.static_width, self.masked)
        if widths != expected or network.get("channels") not in (0, len(self.series_names)):
            raise ModelError(f"network: made for other inputs than series.json: {widths}, expected {expected}")

    def start_time(self, start: str | None) -> int:
        """Return the time of a first step.

        Raises:
            ArgumentError: it is no time, or is not given where the model reads the calendar.
        """
        if start is None:
            if self.phases:
                kinds = ", ".join(self.phases)
                raise ArgumentError(f"start: the model reads the calendar ({kinds}); give the time of the first value")
            return 0
        try:
            at, is_date = parse_time(start)
        except ValueError as error:
            raise ArgumentError(f"start: {error}") from error
        if self.unit != "step" and is_date != self.calendar:
            raise ArgumentError(f"start: {start!r} is no time of the kind that the model was trained on")
        return at
