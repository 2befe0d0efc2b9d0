"""The learning curves of several runs in one plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unrolled.errors import ArgumentError
from unrolled.inspection.comparison import Compared
from unrolled.inspection.plot.theme import figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_curves(models: Sequence[Compared], theme: str = "light") -> Figure:
    """Plot the development loss by step and by minutes, a line for each model.

    Raises:
        ArgumentError: no model was evaluated while it trained.
    """
    if not any(model.curve for model in models):
        raise ArgumentError("curves: none of these models was evaluated while it trained")
    with figure(theme, 3.4, 1, 2, sharey=True) as (drawn, axes, colours):
        for number, model in enumerate(models):
            colour = colours.series[number % len(colours.series)]
            loss = [point[2] for point in model.curve]
            axes[0][0].plot(
                [point[0] for point in model.curve], loss, color=colour, marker=".", label=plain(model.name)
            )
            axes[0][1].plot([point[1] for point in model.curve], loss, color=colour, marker=".")
        axes[0][0].set_xlabel("step")
        axes[0][1].set_xlabel("minutes of training")
        axes[0][0].set_ylabel("development loss, nats per item")
        axes[0][0].legend(fontsize=8)
        for axis in axes[0]:
            axis.grid(alpha=0.5)
        return drawn
