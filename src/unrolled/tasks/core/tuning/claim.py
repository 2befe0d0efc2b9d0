"""The folder of a search: whose it is."""

from __future__ import annotations

import json
from pathlib import Path

from unrolled.errors import ModelError, OutputExistsError
from unrolled.storage import is_vacant, make_folder, read_whole, write_whole
from unrolled.tasks.core.tuning.trial import TRIALS, Task
from unrolled.types import Json

_SEARCH = "search.json"
#: bytes of it
_LARGEST = 1 << 20


def claim(out: Path, task: Task) -> None:
    """Make `out` the folder of a search, or check that it is one of the same task, data and given settings.

    Raises:
        OutputExistsError: it is not.
    """
    given = {"options": dict(task.options), "training": dict(task.training)}
    search: Json = {"task": task.use.name, "data": [*map(str, task.paths), *map(str, task.dev)], **given}
    search = json.loads(json.dumps(search, default=str))
    path = out / _SEARCH
    if not path.is_file():
        if not is_vacant(out):
            raise OutputExistsError(f"{out}: holds no search for settings; name another folder")
        make_folder(out / TRIALS)
        write_whole(path, json.dumps(search, indent=1).encode())
        return
    try:
        there = json.loads(read_whole(path, _LARGEST))
    except ValueError as error:
        raise ModelError(f"{path}: corrupt ({error}); name another folder") from error
    for name, value in search.items():
        if not isinstance(there, dict) or there.get(name) != value:
            was = there.get(name) if isinstance(there, dict) else there
            raise OutputExistsError(f"{out}: holds another search, its {name} is {was!r}, not {value!r}")
