"""The standard data sets, as sets.json lists them: address, licence, and of each file size, SHA-256 and published name.

Checksums and sizes are of the content; a file that is published as .gz is stored unpacked. They were computed from
copies of the published files. `HEAD` in an address is the default branch: the checksum tells if the file has changed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set.

    Attributes:
        name: its name when stored.
        size: of the content, in bytes.
        sha256: of the content, hex.
        published_as: its place below the set's address, if that is not `name`.
    """

    name: str
    size: int
    sha256: str
    published_as: str = ""


@dataclass(frozen=True)
class DataSet:
    """A published data set.

    Attributes:
        name: what `get` takes.
        description: task and content.
        licence: as the source states it; whoever fetches the set is bound by it.
        address: URL that the files' names are appended to.
        files: its files.
    """

    name: str
    description: str
    licence: str
    address: str
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files as stored."""
        return sum(file.size for file in self.files)


def _listed() -> dict[str, DataSet]:
    sets = json.loads(Path(__file__).with_name("sets.json").read_text("utf-8"))
    return {
        name: DataSet(
            name,
            entry["description"],
            entry["licence"],
            entry["address"],
            tuple(RemoteFile(file, *facts) for file, facts in entry["files"].items()),
        )
        for name, entry in sets.items()
    }


CATALOGUE: dict[str, DataSet] = _listed()
"""Every set by its name."""
