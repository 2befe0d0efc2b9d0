"""The ratios as a picture. Needs matplotlib, from the extra `plot`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unrolled.bench.grid import CELLS, ELEMENTWISE
from unrolled.bench.report import dtype_of
from unrolled.errors import MissingDependencyError
from unrolled.storage import storage_error

#: matplotlib's cycle of colours: C0, C1, …
_COLOURS = {cell: f"C{index}" for index, cell in enumerate((*CELLS, *ELEMENTWISE))}


def check_plot() -> None:
    """Check that matplotlib is there, before anything is measured.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "plot", "drawing the ratios") from error


def plot_ratios(results: Mapping[str, Any], path: str | Path) -> None:
    """Draw a panel for each mode: a dot for each row, the line 1.0, and a bar for each goal.

    Where the goal is against one peer, a hollow dot is the ratio to that peer.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        StorageError: the picture can't be written.
    """
    check_plot()
    from matplotlib.figure import Figure

    modes = list(dict.fromkeys((row["mode"], dtype_of(row)) for row in results["rows"]))
    figure = Figure(figsize=(11, 3.2 * ((len(modes) + 1) // 2) + 0.6), layout="constrained")
    panels = figure.subplots((len(modes) + 1) // 2, min(2, len(modes)), squeeze=False).flat
    for axes, (mode, dtype) in zip(panels, modes, strict=False):
        _panel(axes, [row for row in results["rows"] if (row["mode"], dtype_of(row)) == (mode, dtype)])
        axes.set_title(mode if dtype == "float32" else f"{mode}, {dtype}")
    for axes in list(panels)[len(modes) :]:
        axes.set_visible(False)
    machine = results["machine"]
    figure.suptitle(
        f"time of the fastest peer ÷ ours; {machine['cpu']}, {results['threads']} threads, {results['date']}"
    )
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise storage_error(error, path, "drawing the ratios") from error


def _panel(axes: Any, rows: list[Mapping[str, Any]]) -> None:
    shapes = list(dict.fromkeys((row["B"], row["H"]) for row in rows))
    cells = list(dict.fromkeys(row["cell"] for row in rows))
    # between two shapes the dots of all cells, and a gap
    apart = min(0.22, 0.7 / len(cells))
    for row in rows:
        colour = _COLOURS[row["cell"]]
        place = shapes.index((row["B"], row["H"])) + apart * (cells.index(row["cell"]) - (len(cells) - 1) / 2)
        axes.plot([place - 0.09, place + 0.09], [row["goal"]] * 2, color=colour, linewidth=1.5, alpha=0.6)
        if row["ratio_best"] is not None:
            axes.plot(place, row["ratio_best"], "o", color=colour, markersize=5)
        other = row["ratios"].get(row["goal_against"])
        if other is not None:
            axes.plot(place, other, "o", color=colour, markersize=5, fillstyle="none")
    for cell in cells:
        axes.plot([], [], "o", color=_COLOURS[cell], markersize=5, label=cell)
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_yscale("log")
    ticks = [0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 50]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([], minor=True)
    shown = [row[k] for row in rows for k in ("ratio_best", "goal") if row[k] is not None]
    shown += [ratio for row in rows if (ratio := row["ratios"].get(row["goal_against"])) is not None]
    axes.set_ylim(min(0.8, *shown) * 0.9, max(shown) * 1.2)
    axes.set_xticks(range(len(shapes)), [f"{batch}×{hidden}" for batch, hidden in shapes])
    axes.set(xlabel="B×H", ylabel="ratio")
    axes.grid(alpha=0.3, axis="y")
    axes.legend(fontsize="small")
