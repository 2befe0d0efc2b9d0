"""examples.json: a few inputs that are kept with a model, to be shown before anybody has given one."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from unrolled.data import Example
from unrolled.errors import UnrolledError
from unrolled.storage import write_json
from unrolled.tasks.core.contract import AnyInput
from unrolled.tasks.core.folder.files import read_json
from unrolled.types import Json

log = logging.getLogger("unrolled.tasks")

EXAMPLES = "examples.json"
#: examples that are kept, and looked at
KEPT, LOOKED_AT = 3, 24
#: characters of an example as JSON, at most
LARGEST = 300_000


def chosen_examples(source: AnyInput, examples: Sequence[Example]) -> list[Json | str]:
    """Return a few inputs as JSON: those with most labels first, and of equal ones the longest of usual length.

    Args:
        source: the fitted input.
        examples: the development data.
    """
    step = max(1, len(examples) // LOOKED_AT)
    sized: list[tuple[int, int, int, Json | str]] = []
    for number, example in enumerate(examples[::step][:LOOKED_AT]):
        try:
            shown = source.to_json(source.given(example.given))
        except UnrolledError as error:
            log.info("not kept as an example: %s", error)
            continue
        size = len(json.dumps(shown))
        if shown is not None and size <= LARGEST:
            sized.append((len(set(example.labels)), size, number, shown))
    if not sized:
        return []
    usual = sorted(size for _, size, _, _ in sized)[3 * len(sized) // 4]
    ranked = sorted(sized, key=lambda one: (one[1] > usual, -one[0], -one[1], one[2]))
    return [shown for *_, shown in ranked[:KEPT]]


def write_examples(folder: Path, examples: Sequence[Json | str]) -> None:
    """Write examples into a folder; none leaves no file."""
    path = folder / EXAMPLES
    if examples:
        write_json(path, {"inputs": list(examples)}, indent=None)
    else:
        path.unlink(missing_ok=True)


def read_examples(folder: Path) -> list[Json | str]:
    """Return the examples of a folder; none where there is no such file.

    Raises:
        ModelError, StorageError: the file is damaged, or can't be read.
    """
    path = folder / EXAMPLES
    if not path.is_file():
        return []
    content = read_json(path)
    inputs = content.get("inputs") if isinstance(content, dict) else None
    return list(inputs) if isinstance(inputs, list) else []
