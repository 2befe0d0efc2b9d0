"""Plots of the error as it flows back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from unrolled.inspection.gradients import GradientFlow, Jacobians
from unrolled.inspection.plot.theme import Theme, figure, note, whole_ticks
from unrolled.training.gradients.verdict import EXPLODED, VANISHED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_gradient_flow(flow: GradientFlow, theme: str = "light") -> Figure:
    """Plot ‖∂L_t/∂s_{t−k}‖ by lag, relative to lag 0, with the thresholds of vanishing and exploding."""
    with figure(theme, 3.6) as (drawn, axes, colours):
        axis = axes[0][0]
        longest = max(len(norms) for norms in flow.norms.values())
        for number, (name, norms) in enumerate(flow.norms.items()):
            if norms[0] <= 0:
                continue
            verdict = flow.verdicts[list(flow.norms).index(name)].kind
            colour = colours.series[number % len(colours.series)]
            axis.semilogy(np.maximum(norms / norms[0], 1e-30), color=colour, label=f"{name}: {verdict}")
        draw_thresholds(axis, colours, longest)
        axis.set_title("how much of the error is left as it flows back through time")
        # none is drawn where the loss sends no error to any layer
        if axis.get_legend_handles_labels()[1]:
            room_for_legend(axis, len(flow.norms))
            axis.legend(fontsize=8.5, loc="upper right")
        return drawn


def draw_thresholds(axis: Axes, colours: Theme, longest: int) -> None:
    """Label the axes with lag and share, and draw those of the two thresholds that are in view."""
    low, high = axis.get_ylim()
    axis.set_ylim(max(low, 1e-12), min(high, 1e12))
    low, high = axis.get_ylim()
    for threshold, text in ((VANISHED, "vanished below"), (EXPLODED, "exploded above")):
        if low < threshold < high:
            axis.axhline(threshold, color=colours.text, ls=":", lw=1)
            note(axis, colours, longest - 1, threshold, text)
    axis.set_xlabel("lag k, steps back from the loss")
    axis.set_ylabel("‖∂L/∂s‖ at lag k ÷ at lag 0")
    axis.set_xlim(0, max(1, longest - 1))
    whole_ticks(axis)
    axis.grid(alpha=0.5)


def room_for_legend(axis: Axes, entries: int) -> None:
    """Extend a logarithmic axis upwards, so that the legend covers no curve."""
    low, high = np.log(axis.get_ylim())
    axis.set_ylim(np.exp(low), np.exp(high + (0.08 + 0.09 * entries) * (high - low)))


def plot_jacobians(layers: Sequence[Jacobians], theme: str = "light") -> Figure:
    """Plot spectral radius and norm of the recurrent Jacobian at each step, and the norm of its products."""
    with figure(theme, 3.4, 1, 2) as (drawn, axes, colours):
        left, right = axes[0]
        for number, layer in enumerate(layers):
            colour = colours.series[number % len(colours.series)]
            steps = np.arange(-len(layer.radius) + 1, 1)
            # a single step is a point, not a line
            mark = "." if len(steps) == 1 else ""
            left.plot(steps, layer.radius, color=colour, marker=mark)
            left.plot(steps, layer.norm, color=colour, ls="--", marker=mark)
            label = f"{layer.layer}: × {layer.rate:.3g} a step"
            back = np.arange(1, len(layer.product) + 1)
            right.semilogy(back, np.maximum(layer.product, 1e-30), color=colour, marker=mark, label=label)
        for style, name in (("-", "spectral radius"), ("--", "spectral norm")):
            left.plot([], [], color=colours.text, ls=style, label=name)
        left.axhline(1, color=colours.text, ls=":", lw=1)
        left.set_xlabel("step, counted from the last")
        left.set_ylabel("radius or norm, per step")
        left.set_title("effect of one step on an error (colours as right)")
        right.set_xlabel("steps back")
        right.set_ylabel("‖product of Jacobians‖")
        right.set_title("largest effect of many steps")
        for axis in (left, right):
            axis.grid(alpha=0.5)
            whole_ticks(axis)
        low, high = left.get_ylim()
        left.set_ylim(low, high + 0.3 * (high - low))
        left.legend(fontsize=8, loc="upper left", ncols=2)
        room_for_legend(right, len(layers))
        right.legend(fontsize=8, loc="upper right")
        return drawn
