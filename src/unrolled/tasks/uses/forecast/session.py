"""A series in progress: observations as they come in, and at any moment the forecast of what comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from unrolled.data.series.read import Series
from unrolled.data.series.timeline import parse_time, written
from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers import Session, StreamState
from unrolled.networks.forecaster import AutoregressiveForecaster
from unrolled.tasks.outputs.numbers.results import Forecast
from unrolled.tasks.outputs.numbers.scoring import SAMPLES, Drawn, ahead, levels_of, require_context, summarised
from unrolled.tasks.uses.forecast.fitted import SeriesEncoders, statistics

if TYPE_CHECKING:
    from unrolled.tasks.core.fitted import Fitted

Array = NDArray[np.float64]


class ForecastSession(Session):
    """A stream of observations of one series, of fixed size however long it becomes.

    An autoregressive forecaster carries its state: an observation costs one step, whatever came before. Its scale is
    that of the first C observations (C being the context) and stays, so it is the same however they are pushed. A
    direct forecaster has no state beyond its window: the session keeps the last C observations, and a forecast reads
    them anew.

    Args:
        model: a `forecast` model.

    >>> session = model.stream().reset(series="OT", start="2018-06-20 00:00")       # doctest: +SKIP
    >>> session.push(history).forecast().point[0]                                   # doctest: +SKIP
    9.66
    """

    def __init__(self, model: Fitted) -> None:
        self._model = model
        self._encoders: SeriesEncoders = model.encoders
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
        self._timed = start is not None or not self._encoders.phases
        self._next = start_time(self._encoders, start) if self._timed else 0
        self._anchor = self._next
        network: Any = self._model.network
        self._keep = network.reach
        self._values, self._times = np.zeros(0), np.zeros(0, np.int64)
        self._known = np.zeros((0, len(self._encoders.known)))
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
            start_time(self._encoders, None)
        new = np.atleast_1d(np.asarray(values, np.float64))
        if new.ndim != 1:
            raise ShapeError("values", "(T,)", new.shape)
        series = self._part(new, self._ahead(len(new)), self._covariates(known, len(new)))
        if not len(new):
            return self
        self._encoders.check(series)
        self._next = int(self._encoders.frequency.after(int(series.times[-1]), 1, anchor=self._anchor)[0])
        self._position += len(new)
        before = self._values
        self._values = np.concatenate([before, new])
        self._times = np.concatenate([self._times, series.times])
        self._known = np.concatenate([self._known, series.known])
        if isinstance(self._model.network, AutoregressiveForecaster):
            self._read(self._model.network, len(new))
        self._values, self._times = self._values[-self._keep :], self._times[-self._keep :]
        self._known = self._known[-self._keep :]
        return self

    def forecast(
        self, horizon: int | None = None, *, known: ArrayLike | None = None, samples: int = SAMPLES, seed: int = 0
    ) -> Forecast:
        """What comes next, as things stand; the session stays where it is.

        Args:
            horizon: steps; by default as trained, and no more than that for a direct forecaster.
            known: covariates of the steps to come, (H, K).
            samples, seed: of an autoregressive forecaster.

        Raises:
            ArgumentError: the horizon is out of range.
            DataError: too little was observed so far.
        """
        network: Any = self._model.network
        steps = check_horizon(self._model, horizon)
        times = self._ahead(steps)
        future = self._covariates(known, steps)
        series = self._part(self._values, np.concatenate([self._times, times]), np.concatenate([self._known, future]))
        require_context(series, network.context)
        if self._scale is None:
            drawn = ahead(self._model, series, steps, samples=samples, seed=seed)
        else:
            drawn = self._sampled(network, series, steps, samples, seed)
        return forecast_of(self._model, series, drawn, times)

    @property
    def state(self) -> StreamState:
        """The stream so far, to be saved; bound to this model."""
        arrays = [torch.from_numpy(a) for a in (self._values, self._times, self._known)]
        extra: dict[str, Any] = {
            "series": self._name,
            "static": self._static,
            "next": self._next,
            "anchor": self._anchor,
        }
        extra |= {"standard": list(self._standard)}
        tensors = (arrays, self._state, self._scale)
        return StreamState(tensors, self._position, self._model.fingerprint, extra)

    @property
    def fingerprint(self) -> str:
        """Of the model."""
        return self._model.fingerprint

    def resume(self, saved: StreamState) -> ForecastSession:
        """Go on from a state of this model.

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

    def _part(self, values: Array, times: NDArray[np.int64], known: Array) -> Series:
        frequency = self._encoders.frequency
        return Series(
            name=self._name, values=values, times=times, frequency=frequency, known=known, static=self._static
        )

    def _ahead(self, steps: int) -> NDArray[np.int64]:
        """The times of the next steps."""
        if not steps:
            return np.zeros(0, np.int64)
        after = self._encoders.frequency.after(self._next, steps - 1, anchor=self._anchor)
        return np.concatenate([[self._next], after]).astype(np.int64)

    def _covariates(self, known: ArrayLike | None, steps: int) -> Array:
        width = len(self._encoders.known)
        if known is None and width:
            names = ", ".join(map(repr, self._encoders.known))
            raise ArgumentError(f"known: the model reads {names}; give ({steps}, {width}) of them")
        found = np.zeros((steps, 0)) if known is None else np.asarray(known, np.float64).reshape(-1, width or 1)
        if found.shape != (steps, width):
            raise ShapeError("known", f"(T={steps}, K={width})", found.shape)
        return found

    @torch.no_grad()
    def _read(self, network: AutoregressiveForecaster, new: int) -> None:
        """Read new observations, or the first C of them once they are all there."""
        if self._scale is None:
            if self._position < network.context:
                return
            first = self._values[: network.context]
            standard = self._encoders.scale(self._part(first, self._times[:0], self._known[:0]))
            self._standard = statistics(first) if np.isnan(standard[0]) else standard
            self._scale = network.scale(self._tensor(first))
            new = len(self._values)
        reach = network.reach - network.context
        start = len(self._values) - new
        past = np.concatenate([np.full(max(0, reach - start), np.nan), self._values[max(0, start - reach) :]])
        part = self._part(self._values[start:], self._times[start:], self._known[start:])
        known = torch.from_numpy(self._encoders.known_of(part, new)).unsqueeze(1).to(self._device)
        self._state = network.read(self._tensor(past), known, self._whose(network, part), self._scale, self._state)

    def _sampled(
        self, network: AutoregressiveForecaster, series: Series, horizon: int, samples: int, seed: int
    ) -> Drawn:
        known = self._encoders.known_of(series, len(series) + horizon)[len(series) :]
        reach = network.reach - network.context
        past = np.concatenate([np.full(max(0, reach - len(series)), np.nan), series.values[-reach:]])
        if self._scale is None:
            raise ArgumentError("forecast: nothing was observed yet")
        with torch.no_grad():
            paths = network.sample(
                self._tensor(past),
                torch.from_numpy(known).unsqueeze(1).to(self._device),
                self._whose(network, series),
                self._scale,
                self._state,
                samples,
                [np.random.default_rng(seed)],
            )
            found = np.stack([step.double().cpu().numpy() for step in paths], 1)
        return summarised(found, np.array([self._standard]), levels_of(self._model))

    def _tensor(self, values: Array) -> torch.Tensor:
        """Observations as the network reads them, (T, 1)."""
        mean, std = self._standard
        return torch.from_numpy(((values - mean) / std).astype(np.float32)).unsqueeze(1).to(self._device)

    def _whose(self, network: AutoregressiveForecaster, series: Series) -> torch.Tensor:
        channel = torch.tensor([self._encoders.channel(series.name)], device=self._device)
        static = torch.from_numpy(self._encoders.static_of(series)).unsqueeze(0).to(self._device)
        found: torch.Tensor = network.who(channel, static)
        return found

    @property
    def _device(self) -> torch.device:
        return next(self._model.network.parameters()).device


def start_time(encoders: SeriesEncoders, start: str | None) -> int:
    """The time of a first step.

    Raises:
        ArgumentError: it is no time, or is not given where the model reads the calendar.
    """
    frequency = encoders.frequency
    if start is None:
        if encoders.phases:
            kinds = ", ".join(encoders.phases)
            raise ArgumentError(f"start: the model reads the calendar ({kinds}); give the time of the first value")
        return 0
    try:
        at, is_date = parse_time(start)
    except ValueError as error:
        raise ArgumentError(f"start: {error}") from error
    if frequency.unit != "step" and is_date != frequency.calendar:
        raise ArgumentError(f"start: {start!r} is no time of the kind that the model was trained on")
    return at


def check_horizon(model: Fitted, horizon: int | None) -> int:
    """The steps to forecast.

    Raises:
        ArgumentError: below 1, or more than a direct forecaster was trained for.
    """
    network: Any = model.network
    trained = int(network.horizon)
    if horizon is None:
        return trained
    if horizon < 1 or (horizon > trained and not isinstance(network, AutoregressiveForecaster)):
        most = "" if isinstance(network, AutoregressiveForecaster) else f" to {trained}, for which it was trained"
        raise ArgumentError(f"--horizon: expected 1{most or ' or more'}, found {horizon}")
    return horizon


def forecast_of(model: Fitted, series: Series, drawn: Drawn, times: NDArray[np.int64]) -> Forecast:
    """A forecast as it is shown.

    Args:
        drawn: of one window.
        times: (H,).
    """
    shown = series.values[-3 * len(times) :]
    return Forecast(
        series=series.name,
        times=tuple(written(times, series.frequency)),
        point=tuple(map(float, drawn.point[0])),
        levels=levels_of(model),
        quantiles=tuple(tuple(map(float, step)) for step in drawn.quantiles[0]),
        history=tuple(map(float, shown)),
    )
