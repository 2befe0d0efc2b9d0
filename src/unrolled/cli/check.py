"""`unrolled data check TASK`: finds faults of data before a run is spent on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unrolled.cli.arguments import AsJson, TaskGroup
from unrolled.cli.console import print_json, progress_line
from unrolled.cli.layout import lone_command
from unrolled.terminal import say

if TYPE_CHECKING:
    from unrolled.tasks import AnyUse

CHECK_HELP = """
  unrolled data check tag train.conll --dev dev.conll
  unrolled data check classify reviews.csv --json | jq -r .message

Print how data is read; find examples that can't be used, and problems that ruin a run silently: labels that training
never sees, examples that are in training and development data alike, and whatever else matters to a task. `train`
checks too, and reports less.
"""

Paths = Annotated[list[Path], typer.Argument(metavar="PATH", help="files and folders, as for train")]
Dev = Annotated[
    list[Path] | None,
    typer.Option(metavar="PATH", help="development or test data to compare with; may be repeated", show_default=False),
]


class CheckGroup(TaskGroup):
    """A command for each task."""

    def command_of(self, task: AnyUse) -> Any:
        """Return the check of one task's data, with the options that say how it is read."""
        from unrolled.cli.options import accepting, parameters
        from unrolled.data import Findings
        from unrolled.tasks import Sources

        def check(paths: Paths, dev: Dev = None, as_json: AsJson = False, **given: Any) -> int:
            use = task.for_data(paths[0], given)
            options = use.options(**given)
            findings = Findings(strict=False)
            with progress_line() as line:
                counts = use.check(Sources(tuple(paths), tuple(dev or ())), options, findings, line)
            for line_of_check in [] if as_json else [*findings.understood, *findings.summary()]:
                say(line_of_check)
            for item in findings.items if as_json else ():
                print_json(item.as_json())
            if not as_json:
                counted = ", ".join(f"{name} {count:,}" for name, count in counts.items())
                warnings = len(findings.items) - findings.errors
                say(f"{findings.errors} errors, {warnings} warnings ({counted})")
            return 2 if findings.errors else 0

        begin = f"unrolled data check {task.name} DATA…"
        text = (
            f"\n  {begin}\n  {begin} --dev HELD-OUT --json\n\nPrint how data for `{task.name}` is read, and its "
            "faults, equal ones together (--json has them all); exit code 2 if something can't be used.\n"
        )
        extra = parameters(task.all_options, f"The task {task.name}")
        return lone_command(accepting(check, extra), task.name, text, task.summary)
