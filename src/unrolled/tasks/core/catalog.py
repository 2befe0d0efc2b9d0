"""Every task there is: ours, and those that other packages declare under the entry point group `unrolled.tasks`."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from importlib.metadata import entry_points
from types import ModuleType

from unrolled.errors import ArgumentError
from unrolled.tasks.core.contract import AnyUse, Use
from unrolled.tasks.core.folder.config import ModelConfig

ENTRY_POINTS = "unrolled.tasks"


#: name → the class that declares it, imported when it is asked for: most commands want one task, not nine
_OURS = {
    "forecast": "Forecasting",
    "generate": "Generate",
    "caption": "Caption",
    "classify": "Classify",
    "label": "Label",
    "recognize": "Recognize",
    "tag": "Tag",
    "translate": "Translate",
    "transcribe": "Transcribe",
    "signal": "SignalUse",
}


@functools.cache
def _our(name: str) -> AnyUse:
    task: AnyUse = getattr(importlib.import_module(f"unrolled.tasks.uses.{name}"), _OURS[name])()
    return task


def task_names() -> list[str]:
    """The names of all tasks, ours first."""
    return [*_OURS, *sorted(point.name for point in entry_points(group=ENTRY_POINTS) if point.name not in _OURS)]


def task_named(name: str) -> AnyUse:
    """The task called `name`.

    Raises:
        ArgumentError: naming those that exist; or if an entry point yields no task.
    """
    if name in _OURS:
        return _our(name)
    for point in entry_points(group=ENTRY_POINTS, name=name):
        found = point.load()
        task = found() if isinstance(found, type) else found
        if not isinstance(task, Use):
            raise ArgumentError(f"task {name!r}: the entry point {point.value} yields no unrolled.tasks.Use")
        return task
    raise ArgumentError(f"task {name!r}: there is none of that name; there are {', '.join(task_names())}")


def task_of(config: ModelConfig) -> AnyUse:
    """Return the task of a model; of several of one name the one that reads its input.

    Raises:
        ArgumentError: as `task_named`.
    """
    return task_named(config.task).for_input(input_of(config))


def input_of(config: ModelConfig) -> str:
    """Return the name of the input that a model reads; empty for models that do not say."""
    return str(config.data.get("input", ""))


def module_beside(package: str, name: str) -> ModuleType | None:
    """Return the module `name` of a use's, an input's or an output's package; None if it has none."""
    full = f"{package}.{name}"
    try:
        missing = importlib.util.find_spec(full) is None
    except ModuleNotFoundError:
        # a use that is one file: there is nothing beside it
        missing = True
    return None if missing else importlib.import_module(full)
