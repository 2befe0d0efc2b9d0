"""`unrolled evaluate`: a model's metrics beside its baseline's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unrolled.cli.arguments import AsJson, ModelFolder, Threads, adapted, personal_option, use_threads
from unrolled.cli.console import print_json, progress_line
from unrolled.cli.following import Following
from unrolled.cli.options import parameters

if TYPE_CHECKING:
    from unrolled.tasks import Evaluation


def evaluate(
    model: ModelFolder,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="files and folders to evaluate on")],
    as_json: AsJson = False,
    threads: Threads = None,
    **given: Any,
) -> None:
    """
      unrolled evaluate my-model held-out.txt
      unrolled evaluate my-model held-out.txt --json | jq .metrics.loss
      unrolled evaluate my-mail mail.mbox --personal sent.mbox
      unrolled evaluate my-model --help                       what can be asked of this model

    The standard metrics of the model's task on some data, beside those of a baseline on the same data. With --json
    one object: task, data, metrics, baseline, seconds.
    """
    personal = given.pop("personal", None)
    use_threads(threads)
    from unrolled.tasks import load

    with progress_line() as line:
        found = adapted(load(model), personal, line).evaluate(*paths, progress=line, **given)
    if as_json:
        print_json(found.as_json())
    else:
        print_table(found)


evaluating = Following(
    evaluate,
    lambda task: [
        *personal_option(task),
        *parameters(task.evaluate_options, f"Of the task {task.name}", unset="as in training"),
    ],
)


def print_table(found: Evaluation) -> None:
    """Metrics beside the baseline's, one a line; lists are left to --json."""
    rows = [("", "model", str(found.baseline.get("model", "baseline")) if found.baseline else "")]
    beside = dict(flat(found.baseline))
    rows += [(name, shown(value), shown(beside.get(name, ""))) for name, value in flat(found.metrics)]
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    for name, own, other in rows:
        print(f"{name:<{widths[0]}}  {own:>{widths[1]}}  {other:>{widths[2]}}".rstrip())
    print(f"\n{', '.join(found.data)} · {found.seconds:.1f} s · all of it with --json")


def flat(metrics: Mapping[str, Any], inside: str = "") -> Iterator[tuple[str, Any]]:
    """Nested metrics as lines, the inner ones indented under their group's name by a slash."""
    for name, value in metrics.items():
        path = f"{inside}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from flat(value, f"{path} / ")
        elif not isinstance(value, (list, tuple)):
            yield path, value


def shown(value: Any) -> str:
    """A number for people.

    >>> shown(1.23456), shown(12345), shown(None)
    ('1.235', '12,345', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
