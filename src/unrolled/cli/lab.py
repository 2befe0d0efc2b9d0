"""`unrolled lab`: experiments on two limits of recurrent networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unrolled.cli.arguments import AsJson, Threads, use_threads
from unrolled.cli.console import print_json, progress_line
from unrolled.cli.layout import CONTEXT, Command, new_group
from unrolled.terminal import say

if TYPE_CHECKING:
    from unrolled.inspection.lab import MemoryRun

HELP = """
  unrolled lab gradients --out lab                        exploding and vanishing, and their cures
  unrolled lab memory --length 200 --minutes 10 --out lab

Run experiments on the limits of recurrent networks: how far they remember, and how their gradients vanish or explode.
Each is limited in time, seeded, and plotted into a folder.
"""

lab_app = new_group(HELP)
Out = Annotated[Path, typer.Option(metavar="DIR", help="the folder for the plot")]
Seed = Annotated[int, typer.Option(help="seed of weights and sequences")]
HiddenSize = Annotated[int, typer.Option(help="units, H")]
Only = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="a contestant's name in the table; may be repeated", show_default=False),
]


@lab_app.command("memory", cls=Command, context_settings=CONTEXT, short_help="how far networks remember")
def memory(
    problem: Annotated[str, typer.Option(help="adding, copying, or digits read pixel by pixel")] = "adding",
    length: Annotated[int, typer.Option(help="steps over which something must be remembered")] = 100,
    only: Only = None,
    minutes: Annotated[float, typer.Option(help="total minutes, shared among the contestants")] = 5.0,
    hidden_size: HiddenSize = 64,
    batch_size: Annotated[int, typer.Option(help="sequences in a batch, B")] = 32,
    lr: Annotated[float, typer.Option(help="learning rate of Adam")] = 2e-3,
    seed: Seed = 0,
    out: Out = Path("lab"),
    as_json: AsJson = False,
    threads: Threads = None,
) -> None:
    """
      unrolled lab memory
      unrolled lab memory --problem adding --length 200 --minutes 15
      unrolled lab memory --problem copying --only LSTM --only GRU --json

    Train every cell and initialisation on a problem that can only be solved by remembering, all on the same sequences,
    and follow their gradients back in time before and after.
    """
    use_threads(threads)
    from unrolled.errors import ArgumentError
    from unrolled.inspection.lab import CONTESTANTS, make_problem, memory_lab

    chosen = [contestant for contestant in CONTESTANTS if not only or contestant.name in only]
    unknown = set(only or ()) - {contestant.name for contestant in chosen}
    if unknown:
        known = ", ".join(contestant.name for contestant in CONTESTANTS)
        raise ArgumentError(f"--only: there is no {sorted(unknown)[0]!r}; there are {known}")
    if not minutes > 0:
        raise ArgumentError(f"--minutes: expected more than 0, found {minutes}")
    made = make_problem(problem, length)
    with progress_line() as line:
        runs = memory_lab(
            made,
            chosen,
            hidden_size=hidden_size,
            batch_size=batch_size,
            lr=lr,
            seconds=60 * minutes / len(chosen),
            seed=seed,
            progress=lambda name, share, loss: line(f"{name}, loss {loss:.3g}", int(100 * share), 100),
        )
    if as_json:
        for run in runs:
            print_json(run.as_json())
    else:
        say(f"{made.name}, {made.length} steps: {made.unit}; {made.chance:.4g} without memory")
        show_runs(runs)
    from unrolled.inspection.plot import plot_memory_lab, save

    written = save(plot_memory_lab(runs), out / f"memory-{made.name}-{made.length}")
    if not as_json:
        say(f"drawn: {', '.join(map(str, written))}")


def show_runs(runs: Sequence[MemoryRun]) -> None:
    """Print the result of each contestant on a line."""
    width = max(len(run.contestant) for run in runs)
    for run in runs:
        end = f"solved at step {run.solved_at:,}" if run.solved_at else f"{run.reason} at step {run.steps[-1]:,}"
        kinds = " → ".join(v.kind + (f" from {v.lag}" if v.lag else "") for v in (run.verdicts[0], run.verdicts[-1]))
        say(f"{run.contestant:<{width}}  {run.best:8.4g}  {end}; {run.seconds:.0f} s; gradients {kinds}")


@lab_app.command("gradients", cls=Command, context_settings=CONTEXT, short_help="exploding and vanishing, and cures")
def gradients(
    length: Annotated[int, typer.Option(help="steps, T")] = 100,
    hidden_size: HiddenSize = 32,
    steps: Annotated[int, typer.Option(help="training steps")] = 300,
    lr: Annotated[float, typer.Option(help="learning rate of SGD")] = 0.05,
    clip: Annotated[float, typer.Option(help="the norm that gradients are scaled down to")] = 0.2,
    seed: Seed = 0,
    out: Out = Path("lab"),
    as_json: AsJson = False,
    threads: Threads = None,
) -> None:
    """
      unrolled lab gradients
      unrolled lab gradients --length 200 --out pictures --json

    Compare plain networks whose recurrent matrix shrinks, keeps or amplifies the error with an LSTM and a GRU, and show
    the effect of clipping in training.
    """
    use_threads(threads)
    from unrolled.inspection.lab import gradient_lab
    from unrolled.inspection.plot import plot_gradient_lab, save

    with progress_line() as line:
        line("training five small networks", 0, None)
        experiment = gradient_lab(length, hidden_size, steps, lr, clip, seed)
    written = save(plot_gradient_lab(experiment), out / "gradients")
    if as_json:
        print_json(experiment.as_json())
        return
    for verdict in experiment.verdicts:
        say(str(verdict))
    for name, losses in experiment.losses.items():
        lost = next((n for n, loss in enumerate(losses) if not loss < float("inf")), None)
        end = f"not finite from step {lost + 1} on" if lost is not None else f"{losses[-1]:.4g}"
        say(f"{name}: mean squared error {losses[0]:.4g} → {end}")
    say(f"drawn: {', '.join(map(str, written))}")
