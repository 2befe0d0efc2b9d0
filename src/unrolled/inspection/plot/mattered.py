"""Pictures of what mattered: attributions over the input, connections between steps, units over text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unrolled.errors import ArgumentError
from unrolled.inspection.attention import AttentionMap
from unrolled.inspection.attribution import Attribution
from unrolled.inspection.connectivity import Connectivity
from unrolled.inspection.neurons import RankedUnit
from unrolled.inspection.plot.theme import figure, label_rows, label_steps, plain, shown


def plot_attributions(found: Sequence[Attribution], theme: str = "light") -> Any:
    """A row of bars for each method over the steps of the input.

    Raises:
        ArgumentError: nothing to draw.
    """
    if not found:
        raise ArgumentError("attributions: at least one is needed to draw")
    with figure(theme, 0.8 + 1.6 * len(found), len(found), sharex=True) as (drawn, axes, colours):
        for (axis,), one in zip(axes, found, strict=True):
            colour = np.where(one.values < 0, colours.series[1], colours.series[0])
            axis.bar(np.arange(len(one.values)), one.values, color=colour)
            axis.axhline(0, color=colours.text, lw=0.8)
            said = "" if one.error is None else f" (their sum misses the difference by {one.error:+.2g} {one.unit})"
            axis.set_title(f"{one.method}{said}")
            axis.set_ylabel(one.unit, fontsize=8.5)
            axis.margins(x=0.01)
        label_steps(axes[-1][0], found[0].steps)
        axes[-1][0].set_xlabel("step of the input")
        first = found[0]
        score = f"ln p {first.log_prob:.2f} nats" if first.unit.startswith("nats") else f"{first.log_prob:.3g}"
        drawn.suptitle(
            f"what mattered for “{shown(first.target)}”, output “{shown(first.output)}”: {score}",
            fontsize=10.5,
            x=0.01,
            ha="left",
        )
        return drawn


def plot_connectivity(found: Connectivity, theme: str = "light") -> Any:
    """How strongly each output leans on each input: a square for each pair, each row relative to its sum."""
    wide = len(found.steps)
    with figure(theme, float(np.clip(1.5 + 0.11 * len(found.outputs), 2.6, 8))) as (drawn, axes, colours):
        axis = axes[0][0]
        # the first outputs have few inputs to share among: their squares would leave all others dark
        most = float(np.quantile(found.shares[found.shares > 0], 0.97)) if found.shares.any() else 1.0
        image = axis.imshow(
            found.shares, aspect="auto", cmap=colours.sequential, interpolation="nearest", vmin=0, vmax=most
        )
        label_steps(axis, found.steps)
        label_rows(axis, found.outputs)
        axis.set_xlabel("step of the input")
        axis.set_ylabel("step of the output")
        axis.set_title(f"which of {wide} inputs each output leans on: ‖∂ ln p/∂x‖ as a share of its row")
        drawn.colorbar(image, ax=axis, pad=0.01, fraction=0.04, extend="max", label="share of its row")
        return drawn


def plot_attention(found: AttentionMap, theme: str = "light", most: int = 16) -> Any:
    """Where the network looked as it said each output: a square for each output and position of its memory, or over an
    image a small map for each output.

    Args:
        found: the weights.
        theme: light or dark.
        most: maps that are drawn over an image, of the first outputs.
    """
    top = float(found.weights.max(initial=1e-9))
    if found.grid is not None and min(found.grid) > 1:
        names = found.outputs[:most]
        columns = min(8, len(names))
        rows = -(-len(names) // columns)
        with figure(theme, 0.5 + 1.25 * rows, rows, columns) as (drawn, axes, colours):
            cells = [axis for row in axes for axis in row]
            for axis in cells:
                axis.set_axis_off()
            for axis, name, weights in zip(cells, names, found.weights, strict=False):
                maps = weights.reshape(found.grid)
                image = axis.imshow(maps, cmap=colours.sequential, vmin=0, vmax=top, interpolation="nearest")
                axis.set_title(shown(name), fontsize=9, loc="center")
            drawn.colorbar(image, ax=cells, pad=0.01, fraction=0.03, label="weight")
            return drawn
    with figure(theme, float(np.clip(1.5 + 0.13 * len(found.outputs), 2.6, 8))) as (drawn, axes, colours):
        axis = axes[0][0]
        image = axis.imshow(
            found.weights, aspect="auto", cmap=colours.sequential, vmin=0, vmax=top, interpolation="nearest"
        )
        label_steps(axis, found.places)
        label_rows(axis, found.outputs)
        axis.set_xlabel("position looked at")
        axis.set_ylabel("step of the output")
        axis.set_title(f"{found.layer}: where the network looks as it says each output")
        drawn.colorbar(image, ax=axis, pad=0.01, fraction=0.04, label="weight, 1 in each row")
        return drawn


def plot_units(found: Sequence[RankedUnit], steps: Sequence[str], theme: str = "light", most: int = 6) -> Any:
    """Single units over the text, the best for each hypothesis: colour is the unit's value.

    Args:
        found: ranked units; the first of each hypothesis is drawn.
        steps: the tokens.
        most: rows.

    Raises:
        ArgumentError: nothing to draw.
    """
    best: dict[str, RankedUnit] = {}
    for unit in found:
        best.setdefault(unit.hypothesis, unit)
    rows = sorted(best.values(), key=lambda unit: -abs(unit.correlation))[:most]
    if not rows:
        raise ArgumentError("units: at least one is needed to draw")
    with figure(theme, 0.7 + 0.85 * len(rows), len(rows), sharex=True) as (drawn, axes, colours):
        for (axis,), unit in zip(axes, rows, strict=True):
            limit = max(1e-9, float(np.abs(unit.values).max()))
            axis.imshow(unit.values[None, :], aspect="auto", cmap=colours.diverging, vmin=-limit, vmax=limit)
            axis.set_yticks([])
            auc = "" if unit.auc is None else f", AUC {unit.auc:.2f}"
            where = f"{unit.layer}, {unit.quantity} of unit {unit.unit}"
            axis.set_title(f"{plain(unit.hypothesis)}: {where} (r = {unit.correlation:+.2f}{auc})", fontsize=9)
        label_steps(axes[-1][0], steps)
        axes[-1][0].set_xlabel("step of the input (blue: negative, red: positive)")
        return drawn
