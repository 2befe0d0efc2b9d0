"""Colours, sizes and labels that all plots share."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from unrolled.errors import ArgumentError, MissingDependencyError
from unrolled.storage import make_folder, write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Figure

#: inches, at 100 dots each: 800 pixels
WIDTH = 8.0


@dataclass(frozen=True)
class Theme:
    """The colours of a plot.

    Attributes:
        series: the colours of lines, in order: Okabe & Ito 2008, safe for colour-blind readers.
        diverging, sequential: names of colour maps, for values with a sign and without.
    """

    background: str
    text: str
    grid: str
    series: tuple[str, ...]
    diverging: str
    sequential: str


THEMES = {
    "light": Theme(
        "#ffffff",
        "#1f2328",
        "#d8dee4",
        ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#4d4d4d", "#7a5195"),
        "RdBu_r",
        "viridis",
    ),
    "dark": Theme(
        "#14181d",
        "#e6edf3",
        "#363d46",
        ("#56B4E9", "#E69F00", "#2fc39b", "#e59ac8", "#F0E442", "#6aa6ff", "#c9d1d9", "#b39ddb"),
        "RdBu_r",
        "viridis",
    ),
}


def theme_named(name: str) -> Theme:
    """Return a theme by its name.

    Raises:
        ArgumentError: there is no theme of that name.
    """
    if name not in THEMES:
        raise ArgumentError(f"theme: expected one of {', '.join(THEMES)}, found {name!r}")
    return THEMES[name]


@contextmanager
def figure(
    name: str, height: float, rows: int = 1, columns: int = 1, **options: Any
) -> Iterator[tuple[Figure, list[list[Axes]], Theme]]:
    """Yield a figure 800 pixels wide, its axes and its theme; what is drawn within the block follows the theme.

    Args:
        name: the name of the theme.
        height: inches.
        rows, columns: the grid of axes, always yielded as a list of lists.
        options: options of `Figure.subplots`.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure as Figure
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "plot", "drawing what happens inside") from error
    theme = theme_named(name)
    settings: Any = {
        "figure.facecolor": theme.background,
        "axes.facecolor": theme.background,
        "savefig.facecolor": theme.background,
        "text.color": theme.text,
        "axes.labelcolor": theme.text,
        "axes.edgecolor": theme.grid,
        "axes.titlecolor": theme.text,
        "xtick.major.size": 0.0,
        "xtick.color": theme.text,
        "ytick.color": theme.text,
        "grid.color": theme.grid,
        # keeps a legend readable where lines pass under it
        "legend.framealpha": 0.85,
        "legend.facecolor": theme.background,
        "legend.edgecolor": theme.background,
        "font.size": 9.5,
        "axes.titlesize": 10.5,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with rc_context(settings):
        drawn = Figure(figsize=(WIDTH, height), dpi=100, layout="constrained")
        # notebooks show the figure inline even if pyplot was never imported
        vars(drawn)["_repr_png_"] = partial(rendered, drawn, "png")
        axes: list[list[Axes]] = drawn.subplots(rows, columns, squeeze=False, **options).tolist()
        yield drawn, axes, theme


def save(drawn: Figure, path: str | Path) -> list[Path]:
    """Write a figure as PNG and SVG.

    Args:
        drawn: the figure.
        path: without a suffix, or with either.

    Returns:
        Both files.

    Raises:
        StorageError: they can't be written.
    """
    stem = Path(path)
    stem = stem.with_suffix("") if stem.suffix in (".png", ".svg") else stem
    make_folder(stem.parent)
    written = []
    for suffix in (".png", ".svg"):
        target = stem.with_name(stem.name + suffix)
        write_whole(target, rendered(drawn, suffix[1:]))
        written.append(target)
    return written


def rendered(drawn: Figure, kind: str) -> bytes:
    """Return a figure as the bytes of a PNG or SVG file, without a date, so that equal figures are equal files."""
    from matplotlib import rc_context

    stream = io.BytesIO()
    with rc_context({"svg.hashsalt": "unrolled"}):
        drawn.savefig(stream, format=kind, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return stream.getvalue()


def shown(step: str) -> str:
    r"""Return a step's name as a label, with symbols for white space, and long names shortened.

    >>> shown(" "), shown("a b"), shown("$5")
    ('␣', 'a b', '\\$5')
    """
    text = step.replace("\n", "⏎").replace("\t", "⇥")
    text = "␣" if text == " " else text
    return plain(text if len(text) <= 12 else text[:11] + "…")


def plain(text: str) -> str:
    r"""Return a text as matplotlib draws it literally.

    A dollar would begin a formula, and legends leave out labels that begin with an underscore.

    >>> plain("/$5/"), plain("_a")
    ('/\\$5/', ' _a')
    """
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def note(
    axis: Axes, colours: Theme, x: float, y: float, text: str, side: Literal["left", "center", "right"] = "right"
) -> None:
    """Write a remark at a line, over a background that keeps it readable where curves pass."""
    style = {"boxstyle": "square,pad=0.1", "facecolor": colours.background, "edgecolor": "none", "alpha": 0.85}
    axis.text(x, y, text, ha=side, va="bottom", fontsize=8, bbox=style)


def label_steps(axis: Axes, steps: Sequence[str], most: int = 80) -> None:
    """Label the steps under an axis: all of them if they fit, else every n-th."""
    every = max(1, -(-len(steps) // most))
    long = max((len(s) for s in steps), default=0) > 2
    places = list(range(0, len(steps), every if not long else max(every, -(-len(steps) // 40))))
    axis.set_xticks(places, [shown(steps[p]) for p in places], rotation=90 if long else 0, fontsize=8)


def whole_ticks(axis: Axes) -> None:
    """Put the ticks of the x-axis at whole numbers only, since there are no half steps."""
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def label_rows(axis: Axes, names: Sequence[str], most: int = 60) -> None:
    """Label the rows beside an axis: all of them if they fit, else every n-th."""
    places = list(range(0, len(names), max(1, -(-len(names) // most))))
    axis.set_yticks(places, [shown(names[p]) for p in places], fontsize=8)


def column_order(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return an order of units that groups similar units: by the mean step at which they are strongest."""
    weight = np.abs(values) + 1e-12
    return np.argsort((weight * np.arange(len(values))[:, None]).sum(0) / weight.sum(0), kind="stable")
