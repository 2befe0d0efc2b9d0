"""Names of folders, as the command line gives them: `FOLDER` or `NAME=FOLDER`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from unrolled.errors import ArgumentError


def named_folders(given: Iterable[str | Path], kind: str, option: str = "") -> dict[str, Path]:
    """Return folders by name; a folder without a name goes by its own.

    Args:
        given: each as it was written.
        kind: of the folders, for errors: "model" or "run".
        option: that they were given by, for errors.

    Raises:
        ArgumentError: two have the same name.
    """
    folders: dict[str, Path] = {}
    for argument in map(str, given):
        name, equals, folder = argument.partition("=")
        path = Path(folder if equals else argument)
        name = name if equals else path.resolve().name
        if name in folders:
            place = f"{option} {argument}".strip()
            raise ArgumentError(f"{place}: there is a {kind} {name!r} already; name it, as in other={path}")
        folders[name] = path
    return folders
