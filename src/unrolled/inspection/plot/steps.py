"""Plots over time: the unfolded network, gates and states, and the points of their curves where the units operate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from unrolled.errors import ArgumentError
from unrolled.inspection.gates import GateStatistics
from unrolled.inspection.plot.theme import WIDTH, Theme, column_order, figure, label_steps, shown
from unrolled.inspection.recorded import Floats
from unrolled.inspection.unfolding import TEXTBOOK, UnfoldedLayer, UnfoldedNetwork

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: the largest number of unfolded steps in a plot
MOST_STEPS = 12
#: labels of axes, by whose steps they show
STEPS = {"input": "step of the input", "output": "step of the output", "own": "step of the layer"}


def plot_unfolding(
    network: UnfoldedNetwork, first: int = 0, steps: int = 8, theme: str = "light", over: str = "input"
) -> Figure:
    """Plot the compressed network, and beside it the network unfolded over some steps with the values it computed.

    Shown are the hidden state as a strip of units, ‖h‖ and the loss forwards, and the error that comes back.

    Args:
        network: the network over an input.
        first: the first step.
        steps: the number of steps, at most 12.
        theme: light or dark.
        over: the layers that read the "input", or those that write the "output".

    Raises:
        ArgumentError: the steps are out of range, or no layer runs over them.
    """
    count = len(network.steps if over == "input" else network.outputs)
    steps = min(steps, MOST_STEPS, count - first)
    if not 0 <= first < count or steps < 1:
        raise ArgumentError(f"first, steps: the {over} has {count} steps, found {first} and {steps}")
    layers = [layer for layer in network.layers if layer.over == over]
    if not layers:
        raise ArgumentError(f"unfolding: no layer of this network has the steps of its {over}")
    height = 2.1 + 1.25 * len(layers)
    with figure(theme, height) as (drawn, axes, colours):
        axis = axes[0][0]
        axis.set_axis_off()
        axis.set_xlim(-1.75, steps - 0.4)
        top = len(layers) + 1.15
        axis.set_ylim(-0.4, top + 0.75)
        _draw_loop(axis, colours, layers, (steps + 1.35) / WIDTH)
        for column in range(steps):
            t = first + column
            _draw_box(axis, colours, column, 0, shown(layers[0].steps[t]), colours.series[5])
            for row, layer in enumerate(layers):
                _draw_step(axis, colours, layer, t, column, row, last=column + 1 == steps)
            if network.synced or over == "output":
                _draw_output(axis, colours, network, t, column, top)
        if not (network.synced or over == "output"):
            middle = (steps - 1) / 2
            text = f"{shown(network.outputs[-1])}: {network.said(-1, shown)}"
            if any(layer.over == "output" for layer in network.layers):
                text = "the decoder"
            _draw_box(axis, colours, middle, top, text, colours.series[2])
            for column in range(steps):
                _draw_arrow(axis, colours, (column, top - 1.01), (middle + (column - middle) * 0.3, top - 0.2))
        axis.set_title(
            f"unfolded over steps {first + 1} to {first + steps} of {count}: forwards ‖h‖, backwards ‖∂L/∂h‖ (orange)"
        )
        return drawn


def _draw_step(axis: Axes, colours: Theme, layer: UnfoldedLayer, t: int, column: int, row: int, *, last: bool) -> None:
    """Draw one layer's step: its units, what it reads, and the arrows to and from the next step."""
    _draw_units(axis, colours, column, row + 1, layer.values["h"][t])
    # both directions of a layer read the output below the first of them
    if not layer.name.endswith("_reverse"):
        _draw_arrow(axis, colours, (column, row + (0.22 if row == 0 else 0.14)), (column, row + 0.86))
    # right of the arrow, where the space is empty
    norm, error = np.linalg.norm(layer.values["h"][t]), layer.error_norms[t]
    axis.text(column + 0.06, row + 0.6, f"{norm:.2g}", va="center", fontsize=7.5)
    axis.text(column + 0.06, row + 0.4, f"{error:.1g}", va="center", fontsize=7.5, color=colours.series[1])
    if last:
        return
    for left, right, y, colour in (
        (column + 0.36, column + 0.64, row + 1.07, ""),
        (column + 0.64, column + 0.36, row + 0.93, colours.series[1]),
    ):
        ends = ((left, y), (right, y))
        start, end = ends[::-1] if layer.name.endswith("_reverse") else ends
        _draw_arrow(axis, colours, start, end, colour)


def _draw_output(axis: Axes, colours: Theme, network: UnfoldedNetwork, t: int, column: int, top: float) -> None:
    """Draw a step's output above the layers, with its loss."""
    _draw_arrow(axis, colours, (column, top - 1.01), (column, top - 0.22))
    if network.values:
        text = f"{network.likeliest[t][0][1]:.3g}"
        upper, lower = f"{shown(network.asked[t])} of", f"step {network.outputs[t]}"
    else:
        text = network.said(t, shown)
        upper, lower = f"{network.losses[t]:.2f} nats", f"−ln p({shown(network.asked[t])})"
    _draw_box(axis, colours, column, top, text, colours.series[2])
    axis.text(column, top + 0.53, upper, ha="center", fontsize=7.5)
    axis.text(column, top + 0.32, lower, ha="center", fontsize=7.5)


def _draw_loop(axis: Axes, colours: Theme, layers: Sequence[UnfoldedLayer], inch: float) -> None:
    """Draw the compressed network on the left, with the textbook's letters; `inch` is the width of an inch in steps."""
    x, rows = -1.2, len(layers)
    _draw_box(axis, colours, x, 0, "$x_t$", colours.series[5])
    for row, layer in enumerate(layers):
        _draw_box(axis, colours, x, row + 1, layer.name.split(".")[-1].replace("_reverse", " ←"), colours.grid)
        if not layer.name.endswith("_reverse"):
            _draw_arrow(axis, colours, (x, row + 0.22), (x, row + 0.8))
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
    _draw_arrow(axis, colours, (x, rows + 0.22), (x, rows + 0.93))
    axis.text(x - 0.06, rows + 0.55, "V", ha="right", va="center", fontsize=8.5)
    _draw_box(axis, colours, x, rows + 1.15, "$o_t$", colours.series[2])


def _draw_box(axis: Axes, colours: Theme, x: float, y: float, text: str, colour: str) -> None:
    style = {"boxstyle": "round,pad=0.25", "facecolor": colours.background, "edgecolor": colour, "linewidth": 1.4}
    axis.text(x, y, text, ha="center", va="center", fontsize=8.5, bbox=style)


def _draw_arrow(
    axis: Axes, colours: Theme, start: tuple[float, float], end: tuple[float, float], colour: str = ""
) -> None:
    axis.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": colour or colours.text, "lw": 1})


def _draw_units(axis: Axes, colours: Theme, x: float, y: float, h: Floats, most: int = 32) -> None:
    """Draw the hidden state as a strip of up to 32 coloured units."""
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


def plot_gates(gates: GateStatistics, theme: str = "light", most: int = 64) -> Figure:
    """Plot gates and states over time, a row for each quantity and a line of pixels for each unit.

    Args:
        gates: one layer's gates.
        theme: light or dark.
        most: the largest number of units, counted from the first.
    """
    names = [n for n in gates.values if gates.values[n].ndim == 2 and n != "tanh_c"]
    with figure(theme, 0.9 + 1.15 * len(names), len(names), sharex=True) as (drawn, axes, colours):
        order = column_order(gates.values["h"][:, :most])
        for (axis,), name in zip(axes, names, strict=True):
            value = gates.values[name][:, :most][:, order]
            positive = name in gates.shut
            limit = 1.0 if positive else max(1.0, float(np.abs(value).max()))
            low = 0.0 if positive else -limit
            cmap = colours.sequential if positive else colours.diverging
            image = axis.imshow(value.T, aspect="auto", cmap=cmap, vmin=low, vmax=limit, interpolation="nearest")
            axis.set_ylabel(f"{name}\nunit", fontsize=9)
            axis.set_yticks([])
            drawn.colorbar(image, ax=axis, pad=0.01, fraction=0.03)
        label_steps(axes[-1][0], gates.steps)
        axes[-1][0].set_xlabel(STEPS[gates.over])
        units = min(most, gates.values["h"].shape[1])
        axes[0][0].set_title(f"{gates.layer}: gates (0 shut, 1 open) and states of {units} units over time")
        return drawn


def plot_saturation(gates: GateStatistics, theme: str = "light") -> Figure:
    """Plot histograms of every gate and state, with the saturated share of each."""
    names = [n for n in gates.histograms if n != "h_prev"]
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    with figure(theme, 0.6 + 1.9 * rows, rows, columns) as (drawn, axes, colours):
        cells = [axis for row in axes for axis in row]
        for axis, name in zip(cells, names, strict=False):
            counts, edges = gates.histograms[name]
            axis.bar(edges[:-1], counts / max(1, counts.sum()), np.diff(edges), align="edge", color=colours.series[0])
            saturated = f", {gates.saturated[name]:.0%} saturated" if name in gates.saturated else ""
            axis.set_title(f"{name}{saturated}")
            axis.set_xlabel("value")
        for axis in cells[len(names) :]:
            axis.set_axis_off()
        for row in axes:
            row[0].set_ylabel("share of values")
        drawn.suptitle(f"{gates.layer}: values of its gates and states", fontsize=10.5, x=0.01, ha="left")
        return drawn


def plot_activations(gates: GateStatistics, theme: str = "light") -> Figure:
    """Plot the activation functions and their derivatives, with this layer's operating points under them.

    Raises:
        ArgumentError: the layer's cell does not declare its activations.
    """
    names = list(gates.operating)
    if not names:
        raise ArgumentError(f"{gates.layer}: its cell does not declare the activations of its values")
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    with figure(theme, 0.6 + 2.3 * rows, rows, columns) as (drawn, axes, colours):
        cells = [axis for row in axes for axis in row]
        for axis, name in zip(cells, names, strict=False):
            points = gates.operating[name]
            reach = float(np.clip(np.abs(points).max(initial=1.0) * 1.1, 4, 10))
            x = np.linspace(-reach, reach, 400)
            y, slope, label = _curve(gates.activations[name], x)
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
            f"{gates.layer}: activation functions, and how often (grey) its units operate at each point",
            fontsize=10.5,
            x=0.01,
            ha="left",
        )
        return drawn


def _curve(activation: str, x: Floats) -> tuple[Floats, Floats, str]:
    """Return an activation and its derivative over x, and its symbol."""
    if activation == "relu":
        return np.maximum(x, 0), (x > 0).astype(float), "ReLU"
    if activation == "sigmoid":
        sigmoid = 1 / (1 + np.exp(-x))
        return sigmoid, sigmoid * (1 - sigmoid), "σ"
    return np.tanh(x), 1 - np.tanh(x) ** 2, "tanh"
