"""Plots over the steps of the input: attributions, connections to the output, attention and units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from unrolled.errors import ArgumentError
from unrolled.inspection.attention import AttentionMap
from unrolled.inspection.attribution import Attribution
from unrolled.inspection.connectivity import Connectivity
from unrolled.inspection.neurons import RankedUnit
from unrolled.inspection.plot.theme import figure, label_rows, label_steps, plain, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_attributions(attributions: Sequence[Attribution], theme: str = "light") -> Figure:
    """Plot a row of bars for each method over the steps of the input.

    Raises:
        ArgumentError: there is nothing to plot.
    """
    if not attributions:
        raise ArgumentError("attributions: expected at least one to plot, found none")
    with figure(theme, 0.8 + 1.6 * len(attributions), len(attributions), sharex=True) as (drawn, axes, colours):
        for (axis,), attribution in zip(axes, attributions, strict=True):
            colour = np.where(attribution.values < 0, colours.series[1], colours.series[0])
            axis.bar(np.arange(len(attribution.values)), attribution.values, color=colour)
            axis.axhline(0, color=colours.text, lw=0.8)
            unit, error = attribution.unit, attribution.error
            remark = "" if error is None else f" (their sum misses the difference by {error:+.2g} {unit})"
            axis.set_title(f"{attribution.method}{remark}")
            axis.set_ylabel(unit, fontsize=8.5)
            axis.margins(x=0.01)
        label_steps(axes[-1][0], attributions[0].steps)
        axes[-1][0].set_xlabel("step of the input")
        first = attributions[0]
        score = f"ln p {first.log_prob:.2f} nats" if first.unit.startswith("nats") else f"{first.log_prob:.3g}"
        drawn.suptitle(
            f"inputs that matter to “{shown(first.target)}”, output “{shown(first.output)}”: {score}",
            fontsize=10.5,
            x=0.01,
            ha="left",
        )
        return drawn


def plot_connectivity(connections: Connectivity, theme: str = "light") -> Figure:
    """Plot how strongly each output depends on each input: a square for each pair, each row relative to its sum."""
    with figure(theme, float(np.clip(1.5 + 0.11 * len(connections.outputs), 2.6, 8))) as (drawn, axes, colours):
        axis = axes[0][0]
        shares = connections.shares
        # the first outputs share few inputs: scaled to their squares, all others would be dark
        most = float(np.quantile(shares[shares > 0], 0.97)) if shares.any() else 1.0
        image = axis.imshow(shares, aspect="auto", cmap=colours.sequential, interpolation="nearest", vmin=0, vmax=most)
        label_steps(axis, connections.steps)
        label_rows(axis, connections.outputs)
        axis.set_xlabel("step of the input")
        axis.set_ylabel("step of the output")
        count = len(connections.steps)
        axis.set_title(f"which of {count} inputs each output depends on: ‖∂ ln p/∂x‖ as a share of its row")
        drawn.colorbar(image, ax=axis, pad=0.01, fraction=0.04, extend="max", label="share of its row")
        return drawn


def plot_attention(attention: AttentionMap, theme: str = "light", most: int = 16) -> Figure:
    """Plot where the network looks for each output: a square for each position of its memory, or a map over an image.

    Args:
        attention: the weights.
        theme: light or dark.
        most: the largest number of maps over an image, for the first outputs.
    """
    top = float(attention.weights.max(initial=1e-9))
    if attention.grid is not None and min(attention.grid) > 1:
        names = attention.outputs[:most]
        columns = min(8, len(names))
        rows = -(-len(names) // columns)
        with figure(theme, 0.5 + 1.25 * rows, rows, columns) as (drawn, axes, colours):
            cells = [axis for row in axes for axis in row]
            for axis in cells:
                axis.set_axis_off()
            for axis, name, weights in zip(cells, names, attention.weights, strict=False):
                maps = weights.reshape(attention.grid)
                image = axis.imshow(maps, cmap=colours.sequential, vmin=0, vmax=top, interpolation="nearest")
                axis.set_title(shown(name), fontsize=9, loc="center")
            drawn.colorbar(image, ax=cells, pad=0.01, fraction=0.03, label="weight")
            return drawn
    with figure(theme, float(np.clip(1.5 + 0.13 * len(attention.outputs), 2.6, 8))) as (drawn, axes, colours):
        axis = axes[0][0]
        image = axis.imshow(
            attention.weights, aspect="auto", cmap=colours.sequential, vmin=0, vmax=top, interpolation="nearest"
        )
        label_steps(axis, attention.places)
        label_rows(axis, attention.outputs)
        axis.set_xlabel("position in memory")
        axis.set_ylabel("step of the output")
        axis.set_title(f"{attention.layer}: where the network looks for each output")
        drawn.colorbar(image, ax=axis, pad=0.01, fraction=0.04, label="weight, 1 in each row")
        return drawn


def plot_units(units: Sequence[RankedUnit], steps: Sequence[str], theme: str = "light", most: int = 6) -> Figure:
    """Plot single units over the text, the best for each hypothesis; the colour is the unit's value.

    Args:
        units: ranked units; the first of each hypothesis is drawn.
        steps: the tokens.
        most: the largest number of rows.

    Raises:
        ArgumentError: there is nothing to plot.
    """
    best: dict[str, RankedUnit] = {}
    for unit in units:
        best.setdefault(unit.hypothesis, unit)
    rows = sorted(best.values(), key=lambda unit: -abs(unit.correlation))[:most]
    if not rows:
        raise ArgumentError("units: expected at least one to plot, found none")
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
