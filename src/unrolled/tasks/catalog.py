"""Every task there is: ours, and those that other packages declare under the entry point group `unrolled.tasks`."""

from __future__ import annotations

import functools
from importlib.metadata import entry_points

from unrolled.errors import ArgumentError
from unrolled.tasks.base import Task
from unrolled.tasks.generate import Generate

ENTRY_POINTS = "unrolled.tasks"


@functools.cache
def _ours() -> dict[str, Task]:
    return {task.name: task for task in (Generate(),)}


def task_names() -> list[str]:
    """The names of all tasks, ours first."""
    return [*_ours(), *sorted(point.name for point in entry_points(group=ENTRY_POINTS) if point.name not in _ours())]


def task_named(name: str) -> Task:
    """The task called `name`.

    Raises:
        ArgumentError: naming those that exist; or if an entry point yields no task.
    """
    if name in _ours():
        return _ours()[name]
    for point in entry_points(group=ENTRY_POINTS, name=name):
        found = point.load()
        task = found() if isinstance(found, type) else found
        if not isinstance(task, Task):
            raise ArgumentError(f"task {name!r}: the entry point {point.value} yields no unrolled.tasks.Task")
        return task
    raise ArgumentError(f"task {name!r}: there is none of that name; there are {', '.join(task_names())}")
