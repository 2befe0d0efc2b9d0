"""What `predict` returns for series: forecasts that print as a table, turn into JSON and draw themselves as a fan."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import Any

_WIDTH, _HEIGHT, _MARGIN = 640, 220, 8
_TICKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Forecast:
    """What comes after a series, in its own units.

    Attributes:
        series: its name.
        times: of each step ahead, as text.
        point: the forecast of each step: the median where there are quantiles.
        levels: of the quantiles, increasing; () of a model that forecasts points.
        quantiles: for each step one value a level.
        history: the last values before it, NaN where there was none.
    """

    series: str
    times: tuple[str, ...]
    point: tuple[float, ...]
    levels: tuple[float, ...]
    quantiles: tuple[tuple[float, ...], ...]
    history: tuple[float, ...] = ()

    def quantile(self, level: float) -> tuple[float, ...]:
        """One quantile of every step.

        Raises:
            KeyError: a level that the model does not forecast.
        """
        if level not in self.levels:
            raise KeyError(f"level {level}: there are {', '.join(map(str, self.levels)) or 'none'}")
        at = self.levels.index(level)
        return tuple(step[at] for step in self.quantiles)

    def __len__(self) -> int:
        return len(self.point)

    def __str__(self) -> str:
        outer = (0, -1) if len(self.levels) > 1 else None
        digits = _digits((*self.point, *self.history))
        header = ["time", "forecast"]
        if outer:
            header.append(f"{self.levels[0]:g} to {self.levels[-1]:g}")
        rows = [header]
        for n, (time, value) in enumerate(zip(self.times, self.point, strict=True)):
            row = [time, f"{value:.{digits}f}"]
            if outer:
                row.append(f"{self.quantiles[n][0]:.{digits}f} to {self.quantiles[n][-1]:.{digits}f}")
            rows.append(row)
        widths = [max(len(row[k]) for row in rows) for k in range(len(header))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([f"{self.series}  {sparkline((*self.history[-len(self) :], *self.point))}", *lines])

    def as_json(self) -> dict[str, Any]:
        """As one JSON object, values in the units of the series."""
        return {
            "series": self.series,
            "times": list(self.times),
            "point": list(self.point),
            "quantiles": {f"{level:g}": list(self.quantile(level)) for level in self.levels},
        }

    def _repr_html_(self) -> str:
        """A picture of the last values and of what comes: a fan of the quantiles, as SVG without scripts."""
        name = html.escape(self.series)
        begin, end = html.escape(self.times[0]), html.escape(self.times[-1])
        return f"<figure>{self.svg()}<figcaption>{name}: {begin} to {end}</figcaption></figure>"

    def svg(self) -> str:
        """The fan alone."""
        values = [v for v in (*self.history, *self.point, *(v for s in self.quantiles for v in s)) if math.isfinite(v)]
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
            parts.append(f'<polyline points="{points}" fill="none" stroke="#555" stroke-width="1.5"/>')
        points = " ".join(place(past + n, value) for n, value in enumerate(self.point))
        parts.append(f'<polyline points="{points}" fill="none" stroke="#3b6fb6" stroke-width="2"/>')
        label = html.escape(f"forecast of {self.series}, from {low:.6g} to {high:.6g}", quote=True)
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img"'
        return f'{head} aria-label="{label}">{"".join(parts)}</svg>'


def sparkline(values: tuple[float, ...], width: int = 60) -> str:
    """Values as bars of text; gaps are blank.

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
    """Decimals that show about four digits of the largest value."""
    largest = max((abs(v) for v in values if math.isfinite(v)), default=1.0)
    return min(8, max(0, 3 - math.floor(math.log10(largest)))) if largest > 0 else 2


def _runs(values: tuple[float, ...]) -> list[list[int]]:
    """Neighbouring steps whose values are known."""
    runs: list[list[int]] = [[]]
    for n, value in enumerate(values):
        if math.isfinite(value):
            runs[-1].append(n)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]
