"""Recordings that files and manifests name: looked at, and decoded when they are read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from unrolled.data.core.examples import Example
from unrolled.data.core.findings import Findings
from unrolled.data.sound.files import Excerpt, SoundHeader, read_header
from unrolled.errors import DataError, StorageError


@dataclass(frozen=True, kw_only=True)
class SoundExample(Example):
    """A recording, or a part of one.

    Attributes:
        audio: the sound file.
        header: its rate and length.
        begin, end: seconds, of a part; an `end` of None is the file's.
    """

    audio: Path
    header: SoundHeader
    begin: float = 0.0
    end: float | None = None

    @property
    def given(self) -> Excerpt:
        """The recording, not yet decoded."""
        return Excerpt(self.audio, self.header, self.begin, self.end)

    @property
    def key(self) -> str:
        """The sound: the same file named twice is a duplicate, or a leak."""
        part = "" if self.end is None and not self.begin else f"#{self.begin}-{self.end}"
        return f"{os.path.abspath(self.audio)}{part}"

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.given.seconds


def header_of(
    audio: Path, findings: Findings, path: str | Path, line: int | None, begin: float = 0.0, end: float | None = None
) -> SoundHeader | None:
    """Return the header of a sound file, or of a part of it; None, and a finding, if it can't be used.

    Args:
        path, line: the manifest that names it.
    """
    try:
        header = read_header(audio)
        last = header.seconds if end is None else min(end, header.seconds)
        if not 0 <= begin < last:
            raise DataError(f"no sound from {begin:g} to {last:g} s; it lasts {header.seconds:g} s", audio)
    except (StorageError, DataError) as error:
        findings.error("unreadable sound", str(error), path, line)
        return None
    return header


def named_inside(audio: str, base: Path, path: str | Path, line: int, findings: Findings) -> Path | None:
    """Return the file that a manifest names; None, and a finding, if the path leads out of the manifest's folder.

    Absolute paths are followed, since whoever wrote the manifest could have named any file.
    """
    if "\0" in audio or not audio:
        findings.error("malformed", f"{audio!r} is no path", path, line)
        return None
    named = Path(audio)
    if named.is_absolute():
        return named
    inside = os.path.normpath(named)
    if inside.startswith(".."):
        message = f"{audio!r} leads out of {base}; use an absolute path, or --audio-folder"
        findings.error("path leads out", message, path, line)
        return None
    return base / inside
