"""Pictures of the error on its way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unrolled.inspection.gradients import GradientFlow, Jacobians
from unrolled.inspection.plot.theme import figure, note, whole_ticks
from unrolled.training.gradients.verdict import EXPLODED, VANISHED


def plot_gradient_flow(found: GradientFlow, theme: str = "light") -> Any:
    """‖∂L_t/∂h_{t−k}‖ by lag, relative to lag 0, with the borders of vanishing and exploding."""
    with figure(theme, 3.6) as (drawn, axes, colours):
        axis = axes[0][0]
        longest = max(len(norms) for norms in found.norms.values())
        for number, (name, norms) in enumerate(found.norms.items()):
            if norms[0] <= 0:
                continue
            verdict = found.verdicts[list(found.norms).index(name)].kind
            colour = colours.series[number % len(colours.series)]
            axis.semilogy(np.maximum(norms / norms[0], 1e-30), color=colour, label=f"{name}: {verdict}")
        draw_borders(axis, colours, longest)
        axis.set_title("how much of the error is left on its way back through time")
        room_for_legend(axis, len(found.norms))
        axis.legend(fontsize=8.5, loc="upper right")
        return drawn


def draw_borders(axis: Any, colours: Any, longest: int) -> None:
    """Lag and share as axes, with the two borders, as far as they are in sight."""
    low, high = axis.get_ylim()
    axis.set_ylim(max(low, 1e-12), min(high, 1e12))
    low, high = axis.get_ylim()
    for border, text in ((VANISHED, "vanished below"), (EXPLODED, "exploded above")):
        if low < border < high:
            axis.axhline(border, color=colours.text, ls=":", lw=1)
            note(axis, colours, longest - 1, border, text)
    axis.set_xlabel("lag k, steps back from the loss")
    axis.set_ylabel("‖∂L/∂h‖ at lag k ÷ at lag 0")
    axis.set_xlim(0, max(1, longest - 1))
    whole_ticks(axis)
    axis.grid(alpha=0.5)


def room_for_legend(axis: Any, entries: int) -> None:
    """Make a logarithmic axis higher, so that the legend above lies on no curve."""
    low, high = np.log(axis.get_ylim())
    axis.set_ylim(np.exp(low), np.exp(high + (0.08 + 0.09 * entries) * (high - low)))


def plot_jacobians(found: Sequence[Jacobians], theme: str = "light") -> Any:
    """Spectral radius and norm of the recurrent Jacobian at each step, and the norm of its products."""
    with figure(theme, 3.4, 1, 2) as (drawn, axes, colours):
        left, right = axes[0]
        for number, one in enumerate(found):
            colour = colours.series[number % len(colours.series)]
            steps = np.arange(-len(one.radius) + 1, 1)
            # a pass of one step is a point, and no line
            mark = "." if len(steps) == 1 else ""
            left.plot(steps, one.radius, color=colour, marker=mark)
            left.plot(steps, one.norm, color=colour, ls="--", marker=mark)
            label = f"{one.layer}: × {one.rate:.3g} a step"
            back = np.arange(1, len(one.product) + 1)
            right.semilogy(back, np.maximum(one.product, 1e-30), color=colour, marker=mark, label=label)
        for style, name in (("-", "spectral radius"), ("--", "spectral norm")):
            left.plot([], [], color=colours.text, ls=style, label=name)
        left.axhline(1, color=colours.text, ls=":", lw=1)
        left.set_xlabel("step, counted from the last")
        left.set_ylabel("radius or norm, per step")
        left.set_title("what one step does to an error (colours as right)")
        right.set_xlabel("steps back")
        right.set_ylabel("‖product of Jacobians‖")
        right.set_title("what many steps do, at most")
        for axis in (left, right):
            axis.grid(alpha=0.5)
            whole_ticks(axis)
        low, high = left.get_ylim()
        left.set_ylim(low, high + 0.3 * (high - low))
        left.legend(fontsize=8, loc="upper left", ncols=2)
        room_for_legend(right, len(found))
        right.legend(fontsize=8, loc="upper right")
        return drawn
