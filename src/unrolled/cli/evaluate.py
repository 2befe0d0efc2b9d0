"""`unrolled evaluate`: measures a model beside its baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unrolled.cli.arguments import AsJson, ModelFolder, Threads, adapted, personal_option, use_threads
from unrolled.cli.console import print_json, progress_line
from unrolled.cli.following import Following
from unrolled.cli.options import parameters
from unrolled.terminal import say

if TYPE_CHECKING:
    from unrolled.tasks import Evaluation

#: lines of a table that are printed without --all
PAGE = 40


def evaluate(
    model: ModelFolder,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="files and folders to evaluate on")],
    every: Annotated[bool, typer.Option("--all", help="print all lines of a long table")] = False,
    as_json: AsJson = False,
    threads: Threads = None,
    **given: Any,
) -> None:
    """
      unrolled evaluate my-model held-out.txt
      unrolled evaluate my-model held-out.txt --json | jq .metrics.loss
      unrolled evaluate my-mail mail.mbox --personal sent.mbox
      unrolled evaluate my-model --help                       the options of this model

    Print the standard metrics of the model's task on some data, beside those of a baseline on the same data. With
    --json one object: task, data, metrics, baseline, seconds.
    """
    personal = given.pop("personal", None)
    use_threads(threads)
    from unrolled.tasks import load

    with progress_line() as line:
        evaluation = adapted(load(model), personal, line).evaluate(*paths, progress=line, **given)
    if as_json:
        print_json(evaluation.as_json())
    else:
        print_table(evaluation, every=every)


evaluating = Following(
    evaluate,
    lambda task: [
        *personal_option(task),
        *parameters(task.evaluate_options, f"The task {task.name}", unset="as in training"),
    ],
)


def print_table(evaluation: Evaluation, *, every: bool) -> None:
    """Print the metrics beside the baseline's, one per line; lists are left to --json.

    Args:
        evaluation: with the metrics.
        every: whether a table that is longer than a page is printed whole, rather than without the lines of classes.
    """
    rows = [("", "model", str(evaluation.baseline.get("model", "baseline")) if evaluation.baseline else "")]
    beside = dict(flat(evaluation.baseline))
    rows += [(name, shown(value), shown(beside.get(name, ""))) for name, value in flat(evaluation.metrics)]
    left_out = 0
    if not every and len(rows) > PAGE:
        # what is said of all comes before what is said of each class
        overall = [row for row in rows if " / " not in row[0]]
        of_each = [row for row in rows if " / " in row[0]]
        room = max(0, PAGE - len(overall))
        rows, left_out = [*overall, *of_each[:room]], len(of_each) - room
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    for name, own, other in rows:
        say(f"{name:<{widths[0]}}  {own:>{widths[1]}}  {other:>{widths[2]}}".rstrip())
    if left_out > 0:
        say(f"… and {left_out} more lines with --all")
    say(f"\n{', '.join(evaluation.data)} · {evaluation.seconds:.1f} s · all of it with --json")


def flat(metrics: Mapping[str, Any], inside: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested metrics with their paths, the group's name and a slash before the inner name."""
    for name, value in metrics.items():
        path = f"{inside}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from flat(value, f"{path} / ")
        elif not isinstance(value, (list, tuple)):
            yield path, value


def shown(value: object) -> str:
    """Return a value in readable form.

    >>> shown(1.23456), shown(12345), shown(None)
    ('1.235', '12,345', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
