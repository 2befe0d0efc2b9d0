"""Pictures through time: the unfolded network, gates and states, and where on their curves the units work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unrolled.errors import ArgumentError
from unrolled.inspection.gates import GateStatistics
from unrolled.inspection.plot.theme import WIDTH, column_order, figure, label_steps, shown
from unrolled.inspection.unfolding import TEXTBOOK, UnfoldedNetwork

#: steps of an unfolding that can be drawn side by side
MOST_STEPS = 12
#: what an axis of steps is called
STEPS = {"input": "step of the input", "output": "step of the output", "own": "step of the layer"}


def plot_unfolding(
    found: UnfoldedNetwork, first: int = 0, steps: int = 8, theme: str = "light", over: str = "input"
) -> Any:
    """The loop, and beside it the network unfolded over some steps, with what really goes through it: the hidden state
    as a strip of units, ‖h‖ and the loss forwards, and the error that comes back.

    Args:
        found: the network over an input.
        first: the first step that is drawn.
        steps: how many, at most 12.
        theme: light or dark.
        over: the layers that read the "input", or those that write the "output".

    Raises:
        ArgumentError: these steps are not in the input, or no layer goes over them.
    """
    count = len(found.steps if over == "input" else found.outputs)
    steps = min(steps, MOST_STEPS, count - first)
    if not 0 <= first < count or steps < 1:
        raise ArgumentError(f"first, steps: the {over} has {count} steps, found {first} and {steps}")
    layers = [layer for layer in found.layers if layer.over == over]
    if not layers:
        raise ArgumentError(f"unfolding: no layer of this network has the steps of its {over}")
    height = 2.1 + 1.25 * len(layers)
    with figure(theme, height) as (drawn, axes, colours):
        axis = axes[0][0]
        axis.set_axis_off()
        axis.set_xlim(-1.75, steps - 0.4)
        top = len(layers) + 1.15
        axis.set_ylim(-0.4, top + 0.75)
        _loop(axis, colours, layers, (steps + 1.35) / WIDTH)
        synced = found.synced or over == "output"
        for column in range(steps):
            t = first + column
            _box(axis, colours, column, 0, shown(layers[0].steps[t]), colours.series[5])
            for row, layer in enumerate(layers):
                _unit_strip(axis, colours, column, row + 1, layer.values["h"][t])
                # both directions of a layer read what lies below the first of them
                if not layer.name.endswith("_reverse"):
                    _arrow(axis, colours, (column, row + (0.22 if row == 0 else 0.14)), (column, row + 0.86))
                # right of the arrow, where nothing else is
                norm, error = np.linalg.norm(layer.values["h"][t]), layer.error_norms[t]
                axis.text(column + 0.06, row + 0.6, f"{norm:.2g}", va="center", fontsize=7.5)
                axis.text(column + 0.06, row + 0.4, f"{error:.1g}", va="center", fontsize=7.5, color=colours.series[1])
                if column + 1 < steps:
                    reverse = layer.name.endswith("_reverse")
                    ends = ((column + 0.36, row + 1.07), (column + 0.64, row + 1.07))
                    _arrow(axis, colours, *(ends[::-1] if reverse else ends))
                    back = ((column + 0.64, row + 0.93), (column + 0.36, row + 0.93))
                    _arrow(axis, colours, *(back[::-1] if reverse else back), colour=colours.series[1])
            if synced:
                _arrow(axis, colours, (column, top - 1.01), (column, top - 0.22))
                if found.values:
                    _box(axis, colours, column, top, f"{found.likeliest[t][0][1]:.3g}", colours.series[2])
                    axis.text(column, top + 0.53, f"{shown(found.asked[t])} of", ha="center", fontsize=7.5)
                    axis.text(column, top + 0.32, f"step {found.outputs[t]}", ha="center", fontsize=7.5)
                    continue
                _box(axis, colours, column, top, found.said(t, shown), colours.series[2])
                axis.text(column, top + 0.32, f"−ln p({shown(found.asked[t])})", ha="center", fontsize=7.5)
                axis.text(column, top + 0.53, f"{found.losses[t]:.2f} nats", ha="center", fontsize=7.5)
        if not synced:
            middle = (steps - 1) / 2
            what = f"{shown(found.outputs[-1])}: {found.said(-1, shown)}"
            if any(layer.over == "output" for layer in found.layers):
                what = "the decoder"
            _box(axis, colours, middle, top, what, colours.series[2])
            for column in range(steps):
                _arrow(axis, colours, (column, top - 1.01), (middle + (column - middle) * 0.3, top - 0.2))
        axis.set_title(
            f"unfolded over steps {first + 1} to {first + steps} of {count}: forwards ‖h‖, backwards ‖∂L/∂h‖ (orange)"
        )
        return drawn


def _loop(axis: Any, colours: Any, layers: Sequence[Any], inch: float) -> None:
    """The compressed network on the left, with the textbook's letters; an inch is so many steps wide."""
    x, rows = -1.2, len(layers)
    _box(axis, colours, x, 0, "$x_t$", colours.series[5])
    for row, layer in enumerate(layers):
        _box(axis, colours, x, row + 1, layer.name.split(".")[-1].replace("_reverse", " ←"), colours.grid)
        if not layer.name.endswith("_reverse"):
            _arrow(axis, colours, (x, row + 0.22), (x, row + 0.8))
        shape = layer.weights.get("weight_ih", ())
        letter = TEXTBOOK["weight_ih"]
        axis.text(x - 0.06, row + 0.5, f"{letter} {'×'.join(map(str, shape))}", ha="right", va="center", fontsize=7.5)
        axis.annotate(
            "",
            (x + 0.26 * inch, row + 1.1),
            (x + 0.26 * inch, row + 0.9),
            arrowprops={"arrowstyle": "->", "connectionstyle": "arc3,rad=2.2", "color": colours.text, "lw": 1},
        )
        axis.text(x + 0.52 * inch, row + 1, TEXTBOOK["weight_hh"], ha="left", va="center", fontsize=8.5)
    _arrow(axis, colours, (x, rows + 0.22), (x, rows + 0.93))
    axis.text(x - 0.06, rows + 0.55, "V", ha="right", va="center", fontsize=8.5)
    _box(axis, colours, x, rows + 1.15, "$o_t$", colours.series[2])


def _box(axis: Any, colours: Any, x: float, y: float, text: str, colour: str) -> None:
    style = {"boxstyle": "round,pad=0.25", "facecolor": colours.background, "edgecolor": colour, "linewidth": 1.4}
    axis.text(x, y, text, ha="center", va="center", fontsize=8.5, bbox=style)


def _arrow(axis: Any, colours: Any, start: tuple[float, float], end: tuple[float, float], colour: str = "") -> None:
    axis.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": colour or colours.text, "lw": 1})


def _unit_strip(axis: Any, colours: Any, x: float, y: float, h: Any, most: int = 32) -> None:
    """The hidden state as a strip of up to 32 coloured units."""
    values = h[:most][None, :]
    extent = (x - 0.34, x + 0.34, y - 0.12, y + 0.12)
    limit = max(1.0, float(np.abs(values).max()))
    axis.imshow(values, extent=extent, aspect="auto", cmap=colours.diverging, vmin=-limit, vmax=limit, zorder=2)
    axis.plot(
        [extent[0], extent[1], extent[1], extent[0], extent[0]],
        [extent[2], extent[2], extent[3], extent[3], extent[2]],
        color=colours.text,
        lw=0.8,
        zorder=3,
    )


def plot_gates(found: GateStatistics, theme: str = "light", most: int = 64) -> Any:
    """Gates and states through time, a row a quantity, a line of pixels a unit.

    Args:
        found: of one layer.
        theme: light or dark.
        most: units that are drawn, the first ones.
    """
    names = [n for n in found.values if found.values[n].ndim == 2 and n != "tanh_c"]
    with figure(theme, 0.9 + 1.15 * len(names), len(names), sharex=True) as (drawn, axes, colours):
        order = column_order(found.values["h"][:, :most])
        for (axis,), name in zip(axes, names, strict=True):
            value = found.values[name][:, :most][:, order] if name in found.values else found.values[name]
            positive = name in found.shut
            limit = 1.0 if positive else max(1.0, float(np.abs(value).max()))
            low = 0.0 if positive else -limit
            cmap = colours.sequential if positive else colours.diverging
            image = axis.imshow(value.T, aspect="auto", cmap=cmap, vmin=low, vmax=limit, interpolation="nearest")
            axis.set_ylabel(f"{name}\nunit", fontsize=9)
            axis.set_yticks([])
            drawn.colorbar(image, ax=axis, pad=0.01, fraction=0.03)
        label_steps(axes[-1][0], found.steps)
        axes[-1][0].set_xlabel(STEPS[found.over])
        units = min(most, found.values["h"].shape[1])
        axes[0][0].set_title(f"{found.layer}: gates (0 shut, 1 open) and states of {units} units through time")
        return drawn


def plot_saturation(found: GateStatistics, theme: str = "light") -> Any:
    """Histograms of every gate and state, and how much of each is saturated."""
    names = [n for n in found.histograms if n not in ("h_prev",)]
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    with figure(theme, 0.6 + 1.9 * rows, rows, columns) as (drawn, axes, colours):
        cells = [axis for row in axes for axis in row]
        for axis, name in zip(cells, names, strict=False):
            counts, edges = found.histograms[name]
            axis.bar(edges[:-1], counts / max(1, counts.sum()), np.diff(edges), align="edge", color=colours.series[0])
            said = f", {found.saturated[name]:.0%} saturated" if name in found.saturated else ""
            axis.set_title(f"{name}{said}")
            axis.set_xlabel("value")
        for axis in cells[len(names) :]:
            axis.set_axis_off()
        for row in axes:
            row[0].set_ylabel("share of values")
        drawn.suptitle(f"{found.layer}: where its gates and states lie", fontsize=10.5, x=0.01, ha="left")
        return drawn


def plot_activations(found: GateStatistics, theme: str = "light") -> Any:
    """The activation functions and their derivatives, with this layer's real operating points under them.

    Raises:
        ArgumentError: the layer's cell does not say what its activations are.
    """
    names = list(found.operating)
    if not names:
        raise ArgumentError(f"{found.layer}: its cell does not say of which activations its values are")
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    with figure(theme, 0.6 + 2.3 * rows, rows, columns) as (drawn, axes, colours):
        cells = [axis for row in axes for axis in row]
        for axis, name in zip(cells, names, strict=False):
            points = found.operating[name]
            reach = float(np.clip(np.abs(points).max(initial=1.0) * 1.1, 4, 10))
            x = np.linspace(-reach, reach, 400)
            y, slope, label = _curve(found.activations[name], x)
            axis.plot(x, y, color=colours.series[0], label=label)
            axis.plot(x, slope, color=colours.series[1], ls="--", label="its derivative")
            counts, edges = np.histogram(points.clip(-reach, reach), bins=60, range=(-reach, reach))
            tall = counts / max(1, counts.max()) * 0.5
            bottom = -1.6 if y.min() < -0.5 else -0.6
            axis.bar(edges[:-1], tall, np.diff(edges), align="edge", bottom=bottom, color=colours.series[6], alpha=0.6)
            axis.set_title(name)
            axis.set_xlabel("preactivation")
            axis.grid(alpha=0.5)
        cells[0].legend(fontsize=8, loc="upper left")
        for axis in cells[len(names) :]:
            axis.set_axis_off()
        drawn.suptitle(
            f"{found.layer}: activation functions, and how often (grey) its units work where",
            fontsize=10.5,
            x=0.01,
            ha="left",
        )
        return drawn


def _curve(activation: str, x: Any) -> tuple[Any, Any, str]:
    """An activation and its derivative over x, and its sign."""
    if activation == "relu":
        return np.maximum(x, 0), (x > 0).astype(float), "ReLU"
    if activation == "sigmoid":
        sigmoid = 1 / (1 + np.exp(-x))
        return sigmoid, sigmoid * (1 - sigmoid), "σ"
    return np.tanh(x), 1 - np.tanh(x) ** 2, "tanh"
