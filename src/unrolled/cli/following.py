"""Commands whose options are those of a model's task: they follow the MODEL that is named.

`unrolled predict MODEL --help` shows what can be asked of that model, and `unrolled predict --help` what holds for all.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.cli.layout import lone_command
from unrolled.cli.options import accepting

if TYPE_CHECKING:
    from unrolled.tasks import AnyUse

#: what a model's folder has
CONFIG = "config.json"
#: what a task adds to a command: options of its own
Extra = Callable[["AnyUse"], list[inspect.Parameter]]


class Following:
    """A command that takes a model, and the options of its task.

    Args:
        function: takes the general options, and those of the task in its `**given`.
        extra: the options that a task adds.
    """

    def __init__(self, function: Callable[..., Any], extra: Extra) -> None:
        self._function, self._extra = function, extra
        self.name = function.__name__

    def general(self) -> Callable[..., Any]:
        """The function without any task's options, for the list of commands and for `--help` alone."""
        return accepting(self._function, [])

    def of_task(self, task: AnyUse) -> Any:
        """The click command for models of one task."""
        function = accepting(self._function, self._extra(task))
        return lone_command(function, self.name, inspect.cleandoc(self._function.__doc__ or ""))

    def for_arguments(self, command: Any, arguments: Sequence[str]) -> Any:
        """The click command for the model that these arguments name; `command` itself if they name none.

        Raises:
            StorageError, ModelError: there is no such model, or it is not whole.
            ArgumentError: its task is not installed.
        """
        folder = _model_in(command, arguments)
        if folder is None:
            return command
        from unrolled.tasks import task_named
        from unrolled.tasks.core.folder.config import read_config

        return self.of_task(task_named(read_config(folder).task))


def _model_in(command: Any, arguments: Sequence[str]) -> Path | None:
    """The first argument that is a model's folder; else the first one of all, unless that is an option; else the first
    that is a folder; else the first that is no option, and no option's value.

    An option of the task, which only the model tells of, may come before the model and have a folder as its value.
    """
    taking = {name for p in command.params if not getattr(p, "is_flag", True) for name in p.opts}
    plain = [
        argument
        for before, argument in zip(("", *arguments), arguments, strict=False)
        if argument and not argument.startswith("-") and before not in taking
    ]
    folders = [Path(a) for a in plain if Path(a).is_dir()]
    model = next((folder for folder in folders if (folder / CONFIG).is_file()), None)
    asks_for_help = any(a in ("-h", "--help") for a in arguments)
    if model is None and plain and plain[0] == arguments[0] and not asks_for_help:
        return Path(plain[0])
    found = model or (folders[0] if folders else None)
    return found or (Path(plain[0]) if plain and not asks_for_help else None)
