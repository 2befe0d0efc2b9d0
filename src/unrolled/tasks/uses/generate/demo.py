"""The language reference that comes with Python, to learn to write from."""

from __future__ import annotations

from pathlib import Path

from unrolled.errors import ArgumentError
from unrolled.storage import make_folder, write_whole
from unrolled.tasks.core.contract.demonstration import Demonstration
from unrolled.tasks.core.values import Sources

#: one topic in this many is held out
HELD_OUT = 10


def write_text(folder: Path) -> Sources:
    """Write the language reference as two files, one to learn from and one with every tenth topic to evaluate on.

    Topics quote each other at length. A paragraph is kept only where it first occurs, so that no evaluated text has
    been memorised.

    Raises:
        ArgumentError: this Python was installed without `pydoc_data`.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise ArgumentError("demo: this Python has no pydoc_data; train on a text of your own instead") from error
    make_folder(folder)
    seen: set[str] = set()
    parts: tuple[list[str], list[str]] = ([], [])
    # the held-out topics come first, so that they stay whole
    order = sorted(enumerate(sorted(topics)), key=lambda item: item[0] % HELD_OUT != 0)
    for number, name in order:
        paragraphs = [p for p in topics[name].split("\n\n") if p.strip() and p.strip() not in seen]
        seen.update(p.strip() for p in paragraphs)
        if paragraphs:
            parts[number % HELD_OUT == 0].append("\n\n".join(paragraphs).strip("\n") + "\n")
    paths = folder / "train.txt", folder / "dev.txt"
    for path, texts in zip(paths, parts, strict=True):
        write_whole(path, "\n\n".join(texts).encode())
    return Sources((paths[0],), (paths[1],))


DEMONSTRATIONS = (
    Demonstration(
        name="python-reference",
        origin="public",
        about="the language reference that comes with Python, by the Python Software Foundation.",
        write=write_text,
        share=2.0,
        options={"prompt": "The "},
    ),
)
