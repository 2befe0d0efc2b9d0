"""Fetching a standard data set: checked against its checksum, from its source, a mirror or a folder."""

from __future__ import annotations

import gzip
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from unrolled.data.standard.sets import CATALOGUE, DataSet, RemoteFile
from unrolled.errors import ArgumentError, DataError, StorageError
from unrolled.storage import written_aside

if TYPE_CHECKING:
    import pooch

MIRROR_VARIABLE, CACHE_VARIABLE = "UNROLLED_MIRROR", "UNROLLED_CACHE"

Progress = Callable[[str, int, int], None]
"""Called with the file's name, the bytes that have come, and the bytes expected (0 if that is unknown)."""

_TIMEOUT = 60
_BLOCK = 1 << 20


def find(name: str) -> DataSet:
    """A data set by its name.

    Raises:
        ArgumentError: there is none of this name; lists those that are.
    """
    if name not in CATALOGUE:
        raise ArgumentError(f"no data set {name!r}; there are {', '.join(sorted(CATALOGUE))}")
    return CATALOGUE[name]


def cache_folder(cache: str | Path | None = None) -> Path:
    """Where data sets are kept: `cache`, or the variable UNROLLED_CACHE, or the system's folder for caches."""
    if cache is None and not (cache := os.environ.get(CACHE_VARIABLE)):
        import pooch

        cache = pooch.os_cache("unrolled")
    return Path(cache)


def get(
    name: str,
    *,
    mirror: str | Path | None = None,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """A folder with the files of a data set, fetched if they are not there yet.

    A file in the cache is used only if its checksum is right, else it is fetched again. Every file is checked when it
    comes, and takes its place only if it is right. The licence is `find(name).licence`.

    Args:
        name: of the set, see `CATALOGUE`.
        mirror: a folder or URL that stands in for the network, holding ``NAME/FILE`` or ``NAME/FILE.gz``; by default
            the variable UNROLLED_MIRROR.
        cache: the folder to keep sets in, see `cache_folder`.
        progress: see `Progress`.
    Returns:
        ``CACHE/NAME``.
    Raises:
        ArgumentError: no such set.
        StorageError: no network, a server that refuses, a file that the mirror does not have, or a cache that can't be
            written.
        DataError: what came has not the checksum of the published file.
    """
    data_set = find(name)
    mirror = mirror or os.environ.get(MIRROR_VARIABLE) or None
    folder = cache_folder(cache) / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: can't be created: {error.strerror or error}") from error
    for file in data_set.files:
        target = folder / file.name
        if not _is_right(target, file):
            _fetch(data_set, file, target, mirror, progress)
    return folder


def _is_right(path: Path, file: RemoteFile) -> bool:
    import pooch

    return path.is_file() and path.stat().st_size == file.size and pooch.file_hash(str(path)) == file.sha256


def _fetch(
    data_set: DataSet, file: RemoteFile, target: Path, mirror: str | Path | None, progress: Progress | None
) -> None:
    raw = target.with_name(f".{target.name}.download")
    try:
        address = _transfer(data_set, file, raw, mirror, progress)
        with written_aside(target) as stream:
            _unpack(raw, stream.write, file, address)
            stream.flush()
            # Checked before it takes the place of `target`.
            if not _is_right(Path(stream.name), file):
                raise DataError(
                    f"has not the checksum of the published {file.name}: the file has changed or the transfer failed; "
                    "try again, or another mirror",
                    address,
                )
    finally:
        raw.unlink(missing_ok=True)


def _transfer(
    data_set: DataSet, file: RemoteFile, raw: Path, mirror: str | Path | None, progress: Progress | None
) -> str:
    """Bring the published bytes to `raw`; says where they came from."""
    published = data_set.address + (file.published_as or file.name)
    if mirror is None:
        _download(published, raw, file, progress)
        return published
    if not str(mirror).startswith(("http://", "https://")):
        for candidate in (Path(mirror) / data_set.name / file.name, Path(mirror) / data_set.name / f"{file.name}.gz"):
            if candidate.is_file():
                try:
                    shutil.copyfile(candidate, raw)
                except OSError as error:
                    raise StorageError(f"{candidate}: can't be copied: {error.strerror or error}") from error
                return str(candidate)
        raise StorageError(f"{mirror}: the mirror has no {data_set.name}/{file.name}, nor with .gz")
    plain = f"{str(mirror).rstrip('/')}/{data_set.name}/{file.name}"
    try:
        _download(plain, raw, file, progress)
    except _NotThereError:
        _download(plain + ".gz", raw, file, progress)
        return plain + ".gz"
    return plain


class _NotThereError(StorageError):
    """The server answers, and has no such file."""


def _download(url: str, raw: Path, file: RemoteFile, progress: Progress | None) -> None:
    import pooch
    import requests

    bar = _Bar(file, progress) if progress is not None else False
    downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=_BLOCK, timeout=_TIMEOUT)
    try:
        downloader(url, str(raw), _no_pooch())
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        kind = _NotThereError if status in (404, 410) else StorageError
        raise kind(f"{url}: the server answers {status}; try later, or another mirror") from error
    except (requests.RequestException, ValueError) as error:
        raise StorageError(
            f"{url}: can't be fetched ({type(error).__name__}); without a network give a folder or URL that has it: "
            f"--mirror, or {MIRROR_VARIABLE}"
        ) from error
    except OSError as error:
        raise StorageError(f"{raw}: can't be written: {error.strerror or error}") from error


def _no_pooch() -> pooch.Pooch | None:
    # The downloader's third argument, which the one for HTTP does not look at.
    return None


class _Bar:
    """What pooch wants of a progress bar, on top of a callback."""

    def __init__(self, file: RemoteFile, progress: Progress) -> None:
        self._name, self._progress = file.name, progress
        self.total, self._done = 0, 0

    def update(self, count: int) -> None:
        # Pooch counts whole blocks, also for the last one.
        self._done = min(self._done + count, self.total) if self.total else self._done + count
        self._progress(self._name, self._done, self.total)

    def reset(self) -> None:
        # Pooch resets the bar and then counts the whole file once more, to make short bars end full.
        self._done = 0

    def close(self) -> None:
        pass


def _unpack(raw: Path, write: Callable[[bytes], int], file: RemoteFile, address: str) -> None:
    """Copy, decompressing what is gzip and is not meant to be; never more than a byte over the size expected."""
    with raw.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b" and not file.name.endswith(".gz")
    left = file.size + 1
    try:
        with gzip.open(raw) if packed else raw.open("rb") as source:
            while left > 0 and (block := source.read(min(_BLOCK, left))):
                write(block)
                left -= len(block)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"compressed data is damaged or cut short: {error}; try again", address) from error
