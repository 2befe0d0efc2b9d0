"""Commands that take the options of their MODEL's task.

`unrolled predict MODEL --help` shows the options of that model, and `unrolled predict --help` those of all models.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from unrolled.cli.layout import TextCommand, lone_command
from unrolled.cli.options import accepting

if TYPE_CHECKING:
    from unrolled.tasks import AnyUse

#: a folder with this file is a model's
CONFIG = "config.json"
#: returns the options that a task adds to a command
Extra = Callable[["AnyUse"], list[inspect.Parameter]]


class Deferred(Protocol):
    """A command whose options are known only when it is called."""

    def for_arguments(self, command: Any, arguments: Sequence[str]) -> Any:
        """Return the click command with all its options; `command` is the one without them."""
        ...


class Following:
    """A command that takes a model and the options of its task.

    Args:
        function: takes the general options, and those of the task in its `**given`.
        extra: returns the options that a task adds.
    """

    def __init__(self, function: Callable[..., Any], extra: Extra) -> None:
        self._function, self._extra = function, extra
        self.name = function.__name__

    def general(self) -> Callable[..., Any]:
        """Return the function without the options of a task, for the list of commands and for a lone `--help`."""
        return accepting(self._function, [])

    def of_task(self, task: AnyUse) -> Any:
        """Return the click command for models of one task."""
        function = accepting(self._function, self._extra(task))
        return lone_command(function, self.name, inspect.cleandoc(self._function.__doc__ or ""), cls=TextCommand)

    def for_arguments(self, command: Any, arguments: Sequence[str]) -> Any:
        """Return the click command for the model that these arguments name; `command` itself if they name none.

        Raises:
            StorageError, ModelError: there is no such model, or it is incomplete.
            ArgumentError: its task is not installed.
        """
        folder = _model_in(command, arguments)
        if folder is None:
            return command
        from unrolled.tasks import task_of
        from unrolled.tasks.core.folder.config import read_config

        return self.of_task(task_of(read_config(folder)))


def _model_in(command: Any, arguments: Sequence[str]) -> Path | None:
    """Return the first argument that is a model's folder; otherwise the first of all, unless it is an option; otherwise
    the first that is a folder; otherwise the first that is neither an option nor an option's value.

    An option of the task, which only the model defines, may come before the model and have a folder as its value.
    """
    with_value = {name for p in command.params if not getattr(p, "is_flag", True) for name in p.opts}
    plain = [
        argument
        for before, argument in zip(("", *arguments), arguments, strict=False)
        if argument and not argument.startswith("-") and before not in with_value
    ]
    folders = [Path(a) for a in plain if Path(a).is_dir()]
    model = next((folder for folder in folders if (folder / CONFIG).is_file()), None)
    asks_for_help = any(a in ("-h", "--help") for a in arguments)
    if model is None and plain and plain[0] == arguments[0] and not asks_for_help:
        return Path(plain[0])
    folder = model or (folders[0] if folders else None)
    return folder or (Path(plain[0]) if plain and not asks_for_help else None)
