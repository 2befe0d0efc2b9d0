"""The courses of several runs in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unrolled.errors import ArgumentError
from unrolled.inspection.comparison import Compared
from unrolled.inspection.plot.theme import figure, plain


def plot_curves(found: Sequence[Compared], theme: str = "light") -> Any:
    """Development loss by step and by minutes, a line a model.

    Raises:
        ArgumentError: no model was ever evaluated while it trained.
    """
    if not any(one.curve for one in found):
        raise ArgumentError("curves: none of these models was evaluated while it trained")
    with figure(theme, 3.4, 1, 2, sharey=True) as (drawn, axes, colours):
        for number, one in enumerate(found):
            colour = colours.series[number % len(colours.series)]
            loss = [point[2] for point in one.curve]
            axes[0][0].plot([point[0] for point in one.curve], loss, color=colour, marker=".", label=plain(one.name))
            axes[0][1].plot([point[1] for point in one.curve], loss, color=colour, marker=".")
        axes[0][0].set_xlabel("step")
        axes[0][1].set_xlabel("minutes of training")
        axes[0][0].set_ylabel("development loss, nats per item")
        axes[0][0].legend(fontsize=8)
        for axis in axes[0]:
            axis.grid(alpha=0.5)
        return drawn
