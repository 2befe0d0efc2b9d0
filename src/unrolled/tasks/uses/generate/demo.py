"""The documentation that comes with Python, to learn to write from."""

from __future__ import annotations

from pathlib import Path

from unrolled.data.standard.documentation import split_documentation
from unrolled.errors import ArgumentError
from unrolled.storage import make_folder, write_whole
from unrolled.tasks.core.contract.demonstration import Demonstration
from unrolled.tasks.core.values import Sources

#: one text in this many is held out
HELD_OUT = 10


def write_documentation(folder: Path) -> Sources:
    """Write the documentation as two files, one to learn from and one with every tenth text to evaluate on.

    Raises:
        ArgumentError: this Python was installed without it.
    """
    parts = split_documentation(HELD_OUT)
    if not all(parts):
        raise ArgumentError("demo: this Python has no documentation; train on a text of your own instead")
    make_folder(folder)
    paths = folder / "train.txt", folder / "dev.txt"
    for path, texts in zip(paths, parts, strict=True):
        write_whole(path, "\n\n".join(texts).encode("utf-8", "replace"))
    return Sources((paths[0],), (paths[1],))


DEMONSTRATIONS = (
    Demonstration(
        name="python-documentation",
        origin="public",
        about="the language reference and the docstrings that come with Python, by the Python Software Foundation.",
        write=write_documentation,
        share=2.0,
        options={"prompt": "The "},
    ),
)
