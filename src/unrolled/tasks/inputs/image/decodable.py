"""What the uses on images share: looking for images that can't be decoded, batches of inputs, the baseline's file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays

from unrolled.data import Findings
from unrolled.errors import DataError, ModelError
from unrolled.tasks.core.values import Progress, Sources

if TYPE_CHECKING:
    from unrolled.tasks.core.example_task import ExampleTask
    from unrolled.tasks.core.fitted import Fitted

T = TypeVar("T")


def check_decodable(task: ExampleTask, sources: Sources, options: Any, findings: Findings, progress: Progress) -> None:
    """Decode every image once, and tell of those that can't be."""
    for paths in filter(None, (sources.train, sources.dev)):
        # what else is wrong with them is known by now
        examples: Any = task.read(paths, options, Findings(strict=False))
        for n, example in enumerate(examples):
            progress("decoding the images", n, len(examples))
            if example.picture is None:
                continue
            try:
                example.picture.pixels()
            except DataError as error:
                findings.caught(error, "unreadable")


def pieces(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Items in lists of `size`, the last one shorter.

    >>> list(pieces("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    items = iter(items)
    while some := list(islice(items, size)):
        yield some


def load_baseline(model: Fitted, name: str) -> dict[str, NDArray[Any]] | None:
    """The arrays of the baseline in the model's folder; None for a model that lies in none.

    Raises:
        ModelError: the file is missing or damaged.
    """
    if model.folder is None:
        return None
    path: Path = model.folder / name
    try:
        return dict(load_arrays(path.read_bytes()))
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelError(f"{path}: missing or corrupt ({error}); restore it from a copy of the model") from error
