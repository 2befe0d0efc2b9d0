"""A forecast, which prints as a table and draws itself as a fan."""

from __future__ import annotations

import html
import math
from itertools import chain

from pydantic import Field

from unrolled.tasks.core.results import Part, Result
from unrolled.types import Json

_WIDTH, _HEIGHT, _MARGIN = 640, 220, 8
_TICKS = "▁▂▃▄▅▆▇█"


class StepsAhead(Part):
    """Numbers for each step ahead, in the units of the series. The input names the times."""

    times: tuple[str, ...] = Field(description="of each step ahead")
    point: tuple[float, ...] = Field(description="the forecast of each step: the median where there are quantiles")
    by_level: dict[str, tuple[float, ...]] = Field(
        alias="quantiles", description="level → a value for each step; none of a model of points"
    )

    @property
    def levels(self) -> tuple[float, ...]:
        """Of the quantiles, increasing; () of a model that forecasts points."""
        return tuple(map(float, self.by_level))

    @property
    def quantiles(self) -> tuple[tuple[float, ...], ...]:
        """For each step one value a level."""
        return tuple(zip(*self.by_level.values(), strict=True)) or ((),) * len(self)

    def quantile(self, level: float) -> tuple[float, ...]:
        """Return one quantile of every step.

        Raises:
            KeyError: a level that the model does not forecast.
        """
        if level not in self.levels:
            raise KeyError(f"level {level}: there are {', '.join(self.by_level) or 'none'}")
        return self.by_level[f"{level:g}"]

    def __len__(self) -> int:
        return len(self.point)


class Forecast(StepsAhead, Result):
    """The values expected after a series."""

    #: the last values before it, NaN where there was none
    history: tuple[float, ...] = Field((), exclude=True, repr=False)

    def __str__(self) -> str:
        outer = len(self.levels) > 1
        digits = _digits((*self.point, *self.history))
        header = ["time", "forecast"]
        if outer:
            header.append(f"{self.levels[0]:g} to {self.levels[-1]:g}")
        rows = [header]
        for time, value, quantiles in zip(self.times, self.point, self.quantiles, strict=True):
            row = [time, f"{value:.{digits}f}"]
            if outer:
                row.append(f"{quantiles[0]:.{digits}f} to {quantiles[-1]:.{digits}f}")
            rows.append(row)
        widths = [max(len(row[k]) for row in rows) for k in range(len(header))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([f"{self.heading()}  {sparkline((*self.history[-len(self) :], *self.point))}", *lines])

    def beside_steps(self, steps: int) -> list[Json]:
        """Return series, time, forecast and quantiles of each step ahead."""
        levels = [f"quantile {level:g}" for level in self.levels]
        return [
            {"series": self.heading(), "time": time, "forecast": value, **dict(zip(levels, quantiles, strict=True))}
            for time, value, quantiles in zip(self.times, self.point, self.quantiles, strict=True)
        ]

    def _repr_html_(self) -> str:
        """Show the last values and what comes: a fan of the quantiles, as SVG without scripts."""
        name = html.escape(self.heading())
        begin, end = html.escape(self.times[0]), html.escape(self.times[-1])
        return f"<figure>{self.svg()}<figcaption>{name}: {begin} to {end}</figcaption></figure>"

    def svg(self) -> str:
        """Return the fan alone."""
        values = [v for v in (*self.history, *self.point, *chain(*self.quantiles)) if math.isfinite(v)]
        low, high = min(values), max(values)
        past, steps = len(self.history), max(1, len(self.history) + len(self.point) - 1)

        def place(step: int, value: float) -> str:
            x = _MARGIN + (_WIDTH - 2 * _MARGIN) * step / steps
            y = _HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * ((value - low) / (high - low) if high > low else 0.5)
            return f"{x:.1f},{y:.1f}"

        parts = []
        for k in range(len(self.levels) // 2):
            upper = [place(past + n, q[-1 - k]) for n, q in enumerate(self.quantiles)]
            lower = [place(past + n, q[k]) for n, q in enumerate(self.quantiles)]
            title = f"{self.levels[k]:g} to {self.levels[-1 - k]:g}"
            points = " ".join([*upper, *reversed(lower)])
            shape = f'<polygon points="{points}" fill="#3b6fb6" fill-opacity="0.22"><title>{title}</title></polygon>'
            parts.append(shape)
        for run in _runs(self.history):
            points = " ".join(place(n, self.history[n]) for n in run)
            # as pale as the text of a caption, on a light page or a dark one
            pen = 'stroke="currentColor" stroke-opacity="0.75" stroke-width="1.5"'
            parts.append(f'<polyline points="{points}" fill="none" {pen}/>')
        points = " ".join(place(past + n, value) for n, value in enumerate(self.point))
        parts.append(f'<polyline points="{points}" fill="none" stroke="#3b6fb6" stroke-width="2"/>')
        label = html.escape(f"forecast of {self.heading()}, from {low:.6g} to {high:.6g}", quote=True)
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img"'
        return f'{head} aria-label="{label}">{"".join(parts)}</svg>'


def sparkline(values: tuple[float, ...], width: int = 60) -> str:
    """Return values as bars of text; gaps are blank.

    >>> sparkline((0.0, 1.0, float("nan"), 7.0))
    '▁▂ █'
    """
    step = max(1, math.ceil(len(values) / width))
    shown = values[::step]
    finite = [v for v in shown if math.isfinite(v)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    unit = (high - low) / (len(_TICKS) - 1) or 1.0
    return "".join(_TICKS[round((v - low) / unit)] if math.isfinite(v) else " " for v in shown)


def _digits(values: tuple[float, ...]) -> int:
    """Return the decimals that show about four digits of the largest value."""
    largest = max((abs(v) for v in values if math.isfinite(v)), default=1.0)
    return min(8, max(0, 3 - math.floor(math.log10(largest)))) if largest > 0 else 2


def _runs(values: tuple[float, ...]) -> list[list[int]]:
    """Return runs of neighbouring steps whose values are known."""
    runs: list[list[int]] = [[]]
    for n, value in enumerate(values):
        if math.isfinite(value):
            runs[-1].append(n)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]
