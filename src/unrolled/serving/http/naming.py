"""Names of folders, as the command line gives them: `FOLDER` or `NAME=FOLDER`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from unrolled.errors import ArgumentError


def named_folders(given: Iterable[str | Path], what: str, option: str = "") -> dict[str, Path]:
    """Names and folders; a folder without a name goes by its own.

    Args:
        given: each as it was written.
        what: they are, for errors: "model" or "run".
        option: they were given by, for errors.

    Raises:
        ArgumentError: two of one name.
    """
    found: dict[str, Path] = {}
    for one in map(str, given):
        name, equals, folder = one.partition("=")
        path = Path(folder if equals else one)
        name = name if equals else path.resolve().name
        if name in found:
            place = f"{option} {one}".strip()
            raise ArgumentError(f"{place}: there is a {what} {name!r} already; name it, as in other={path}")
        found[name] = path
    return found
