"""Plots of the lab's experiments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from unrolled.errors import ArgumentError
from unrolled.inspection.lab.gradients import GradientLab
from unrolled.inspection.lab.memory import MemoryRun
from unrolled.inspection.plot.gradients import draw_thresholds, room_for_legend
from unrolled.inspection.plot.theme import figure, note, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_memory_lab(runs: Sequence[MemoryRun], theme: str = "light") -> Figure:
    """Plot each contestant's loss over training, and its gradient by lag at the beginning and at the end.

    Raises:
        ArgumentError: there is no run.
    """
    if not runs:
        raise ArgumentError("runs: expected at least one to plot, found none")
    first = runs[0]
    with figure(theme, 6.6, 2, 1) as (drawn, axes, colours):
        course, flow = axes[0][0], axes[1][0]
        for number, run in enumerate(runs):
            colour = colours.series[number % len(colours.series)]
            # the colours repeat: a dashed line is another contestant
            line = "-" if number < len(colours.series) else "--"
            outcome = f"solved at step {run.solved_at:,}" if run.solved_at else run.reason
            course.semilogy(run.steps, run.losses, color=colour, ls=line, label=plain(f"{run.contestant}: {outcome}"))
            for (_, norms), style in ((run.flows[0], ":"), (run.flows[-1], line)):
                if norms[0] > 0:
                    flow.semilogy(np.maximum(np.array(norms) / norms[0], 1e-30), color=colour, ls=style)
            flow.plot([], [], color=colour, ls=line, label=plain(run.contestant))
        course.axhline(first.chance, color=colours.text, ls="--", lw=1)
        course.axhline(first.limit, color=colours.text, ls=":", lw=1)
        left = course.get_xlim()[0]
        note(course, colours, left, first.chance, " without memory", "left")
        note(course, colours, left, first.limit, " solved", "left")
        course.set_xlabel("step of training")
        course.set_ylabel(first.unit)
        course.set_title(f"{first.problem}, {first.length} steps: loss over training")
        columns = 1 + (len(runs) > len(colours.series))
        room_for_legend(course, -(-len(runs) // columns))
        course.legend(fontsize=8, loc="upper right", ncols=columns)
        course.grid(alpha=0.5)
        draw_thresholds(flow, colours, max(len(norms) for run in runs for _, norms in run.flows))
        flow.set_title("the error as it flows back, before training (dotted) and after it")
        flow.legend(fontsize=8, loc="lower left", ncols=columns)
        return drawn


def plot_gradient_lab(experiment: GradientLab, theme: str = "light") -> Figure:
    """Plot gradients by lag before training, and the gradient norm and the loss over training."""
    with figure(theme, 8.6, 3, 1) as (drawn, axes, colours):
        flow, norm, loss = (row[0] for row in axes)
        for number, (name, norms) in enumerate(experiment.flows.items()):
            kind = experiment.verdicts[number].kind
            colour = colours.series[number % len(colours.series)]
            flow.semilogy(np.maximum(norms, 1e-30), color=colour, label=f"{name}: {kind}")
        draw_thresholds(flow, colours, experiment.length)
        flow.set_title("before training: the recurrent matrix shrinks or amplifies the error, step by step")
        room_for_legend(flow, len(experiment.flows))
        flow.legend(fontsize=8, loc="upper left")
        for number, name in enumerate(experiment.norms):
            colour = colours.series[number % len(colours.series)]
            for axis, values in ((norm, experiment.norms[name]), (loss, experiment.losses[name])):
                finite = np.array([v if np.isfinite(v) and v < 1e12 else np.nan for v in values])
                axis.semilogy(np.arange(1, len(finite) + 1), np.maximum(finite, 1e-30), color=colour, label=name)
                if np.isnan(finite).any():
                    end = int(np.argmax(np.isnan(finite)))
                    axis.plot([end], [finite[end - 1] if end else 1.0], "x", color=colour, ms=9, mew=2)
        norm.axhline(experiment.clip, color=colours.text, ls=":", lw=1)
        note(norm, colours, norm.get_xlim()[1], experiment.clip, f"clipped at {experiment.clip:g} ")
        norm.set_ylabel("‖gradient‖, before clipping")
        norm.set_title("in training by SGD (× diverged)")
        loss.set_ylabel("mean squared error")
        loss.set_title("effect of clipping and gates")
        for axis in (norm, loss):
            axis.set_xlabel("step of training")
            axis.grid(alpha=0.5)
            axis.legend(fontsize=8, loc="upper right")
        return drawn
