"""A series in progress: observations as they come in, and at any moment the forecast of what comes next.

C context, T observations of a push, H horizon, K known covariates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from unrolled.data.series.read import Series
from unrolled.data.series.windows import WindowArrays
from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers import Session, StreamState
from unrolled.networks.forecaster import AutoregressiveForecaster
from unrolled.tasks.core.fitted import Fitted
from unrolled.tasks.outputs.numbers.decode import check_horizon, forecast_of, sampled
from unrolled.tasks.outputs.numbers.encode import NumbersOutput
from unrolled.tasks.outputs.numbers.network import SeriesBatch, forecaster_of
from unrolled.tasks.outputs.numbers.options import SAMPLES
from unrolled.tasks.outputs.numbers.results import Forecast
from unrolled.tasks.outputs.numbers.windows import as_batch, statistics
from unrolled.tasks.uses.forecast.encode import HistoryInput, ahead
from unrolled.tasks.uses.forecast.options import ForecastPrediction
from unrolled.types import Json

Array = NDArray[np.float64]


class ForecastSession(Session):
    """A stream of observations of one series, of fixed size however long it becomes.

    An autoregressive forecaster carries its state: an observation costs one step, whatever came before. Its scale is
    that of the first C observations and stays, so it is the same however they are pushed. A direct forecaster has no
    state beyond its window: the session keeps the last C observations, and a forecast reads them anew.

    Args:
        model: a `forecast` model.

    >>> session = model.stream().reset(series="OT", start="2018-06-20 00:00")       # doctest: +SKIP
    >>> session.push(history).forecast().point[0]                                   # doctest: +SKIP
    9.66
    """

    def __init__(self, model: Fitted[HistoryInput, NumbersOutput]) -> None:
        self._model, self._input = model, model.input
        self._network = forecaster_of(model)
        self.reset()

    def reset(
        self, *, series: str = "series", start: str | None = None, static: dict[str, str] | None = None
    ) -> ForecastSession:
        """Begin again, with nothing observed.

        Args:
            series: its name; one that training saw has its own scale and vector.
            start: the time of the first observation; needed where the model reads the calendar.
            static: what describes it, column → value.

        Raises:
            ArgumentError: it is no time.
        """
        self._name, self._static = series, dict(static or {})
        # a session that was just opened has no start yet, and needs none before the first value
        self._timed = start is not None or not self._input.phases
        self._next = self._anchor = self._input.start_time(start) if self._timed else 0
        self._values, self._times = np.zeros(0), np.zeros(0, np.int64)
        self._known = np.zeros((0, len(self._input.known)))
        self._position = 0
        self._state: Any = None
        self._scale: tuple[torch.Tensor, torch.Tensor] | None = None
        self._standard = (0.0, 1.0)
        return self

    @property
    def position(self) -> int:
        """Values observed so far."""
        return self._position

    def push(self, values: ArrayLike, *, known: ArrayLike | None = None) -> ForecastSession:
        """Observe the next value, or several.

        Args:
            values: one number or (T,); NaN for what is missing, if the model was trained with `--gaps mask`.
            known: the covariates that are known ahead of time, of these steps, (T, K).

        Raises:
            ArgumentError, ShapeError: no start where the model reads the calendar; covariates that are missing or of
                another size.
            DataError: a value is missing and may not be.
        """
        if not self._timed:
            self._input.start_time(None)
        new = np.atleast_1d(np.asarray(values, np.float64))
        if new.ndim != 1:
            raise ShapeError("values", "(T,)", new.shape)
        series = self._series(new, self._ahead(len(new)), self._covariates(known, len(new)))
        if not len(new):
            return self
        self._input.require(series)
        self._next = int(self._input.frequency.after(int(series.times[-1]), 1, anchor=self._anchor)[0])
        self._position += len(new)
        self._values = np.concatenate([self._values, new])
        self._times = np.concatenate([self._times, series.times])
        self._known = np.concatenate([self._known, series.known])
        if isinstance(self._network, AutoregressiveForecaster):
            self._read(self._network, len(new))
        keep = self._network.reach
        self._values, self._times, self._known = self._values[-keep:], self._times[-keep:], self._known[-keep:]
        return self

    def forecast(
        self, horizon: int | None = None, *, known: ArrayLike | None = None, samples: int = SAMPLES, seed: int = 0
    ) -> Forecast:
        """Return what comes next, as things stand; the session stays where it is.

        Args:
            horizon: steps; by default as trained, and no more than that for a direct forecaster.
            known: covariates of the steps to come, (H, K).
            samples, seed: of an autoregressive forecaster.

        Raises:
            ArgumentError: the horizon is out of range.
            DataError: too little was observed so far.
        """
        model, steps = self._model, check_horizon(self._model, horizon)
        times = np.concatenate([self._times, self._ahead(steps)])
        covariates = np.concatenate([self._known, self._covariates(known, steps)])
        series = ahead(model, self._series(self._values, times, covariates), steps)
        chosen = ForecastPrediction.picked({"samples": samples, "seed": seed})
        encoded = self._input.encode(series, chosen)
        shown = self._input.shown(series, encoded)
        if self._scale is None:
            return next(model.output.predict(model, [encoded], [shown], chosen))
        batch = self._batch(len(series), encoded["known"][len(series) :])
        scale = np.array([self._standard])
        return forecast_of(model, shown, sampled(model, batch, self._scale, self._state, scale, samples, seed))

    @property
    def state(self) -> StreamState:
        """The stream so far, to be saved; bound to this model."""
        arrays = [torch.from_numpy(a) for a in (self._values, self._times, self._known)]
        extra: Json = {
            "series": self._name,
            "static": self._static,
            "next": self._next,
            "anchor": self._anchor,
            "standard": list(self._standard),
        }
        tensors = (arrays, self._state, self._scale)
        return StreamState(tensors, self._position, self._model.fingerprint, extra)

    @property
    def fingerprint(self) -> str:
        """Of the model."""
        return self._model.fingerprint

    def resume(self, saved: StreamState) -> ForecastSession:
        """Take up a state of this model.

        Raises:
            StateError: it is not of such a stream.
        """
        arrays, self._state, scale = saved.tensors
        self._values, self._times, self._known = (a.numpy() for a in arrays)
        self._scale = None if scale is None else (scale[0], scale[1])
        self._timed = True
        self._position, extra = saved.position, saved.extra
        self._name, self._static = str(extra["series"]), dict(extra["static"])
        self._next, self._anchor = int(extra["next"]), int(extra["anchor"])
        self._standard = (float(extra["standard"][0]), float(extra["standard"][1]))
        return self

    def _series(self, values: Array, times: NDArray[np.int64], known: Array) -> Series:
        frequency = self._input.frequency
        return Series(
            name=self._name, values=values, times=times, frequency=frequency, known=known, static=self._static
        )

    def _ahead(self, steps: int) -> NDArray[np.int64]:
        """Return the times of the next steps."""
        if not steps:
            return np.zeros(0, np.int64)
        after = self._input.frequency.after(self._next, steps - 1, anchor=self._anchor)
        return np.concatenate([[self._next], after]).astype(np.int64)

    def _covariates(self, known: ArrayLike | None, steps: int) -> Array:
        width = len(self._input.known)
        if known is None and width:
            names = ", ".join(map(repr, self._input.known))
            raise ArgumentError(f"known: the model reads {names}; give ({steps}, {width}) of them")
        covariates = np.zeros((steps, 0)) if known is None else np.asarray(known, np.float64).reshape(-1, width or 1)
        if covariates.shape != (steps, width):
            raise ShapeError("known", f"(T={steps}, K={width})", covariates.shape)
        return covariates

    @torch.no_grad()
    def _read(self, network: AutoregressiveForecaster, new: int) -> None:
        """Read new observations, or the first C of them once they are all there."""
        if self._scale is None:
            if self._position < network.context:
                return
            first = self._values[: network.context]
            standard = self._input.scale(self._series(first, self._times[:0], self._known[:0]))
            self._standard = statistics(first) if np.isnan(standard[0]) else standard
            back = network.reach - network.context
            values = self._batch(0, np.zeros((0, self._input.known_width), np.float32)).values
            self._scale = network.scale(values[back : back + network.context])
            new = len(self._values)
        start = len(self._values) - new
        part = self._series(self._values[start:], self._times[start:], self._known[start:])
        batch = self._batch(start, self._input.known_of(part, new))
        whose = network.who(batch.channel, batch.static)
        self._state = network.read(batch.values, batch.known, whose, self._scale, self._state)

    def _batch(self, start: int, known: NDArray[np.float32]) -> SeriesBatch:
        """Return the observations that are kept from a step on, and before them those that lags reach back to.

        Args:
            start: the step.
            known: covariates of what is read, or of what is to come.
        """
        back = self._network.reach - self._network.context
        values = np.concatenate([np.full(max(0, back - start), np.nan), self._values[max(0, start - back) :]])
        series = self._series(self._values, self._times, self._known)
        channel, static = np.array([self._input.channel(self._name)]), self._input.static_of(series)
        arrays = WindowArrays(values[:, None], known[:, None], static[None], channel, np.array([self._standard]))
        return as_batch(self._network, arrays)[0]
