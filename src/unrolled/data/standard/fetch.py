"""Fetching a standard data set with pooch: from its source, a mirror or a folder, checked against its checksum."""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

from unrolled.data.standard.sets import CATALOGUE, DataSet, RemoteFile
from unrolled.errors import ArgumentError, DataError, StorageError

MIRROR_VARIABLE, CACHE_VARIABLE = "UNROLLED_MIRROR", "UNROLLED_CACHE"

OnProgress = Callable[[str, int, int], None]
"""Called with the file's name, the bytes that have come, and the bytes expected (0 if that is unknown)."""

_TIMEOUT = 60
_BLOCK = 1 << 20


def find(name: str) -> DataSet:
    """Return a data set by its name.

    Raises:
        ArgumentError: there is none of this name; lists those that are.
    """
    if name not in CATALOGUE:
        raise ArgumentError(f"no data set {name!r}; there are {', '.join(sorted(CATALOGUE))}")
    return CATALOGUE[name]


def cache_folder(cache: str | Path | None = None) -> Path:
    """Return where data sets are kept: `cache`, or the variable UNROLLED_CACHE, or the system's folder for caches."""
    if cache is None and not (cache := os.environ.get(CACHE_VARIABLE)):
        import pooch

        cache = pooch.os_cache("unrolled")
    return Path(cache)


def get(
    name: str,
    *,
    mirror: str | Path | None = None,
    cache: str | Path | None = None,
    progress: OnProgress | None = None,
) -> Path:
    """Return a folder with the files of a data set, fetched if they are not there yet.

    A file in the cache is used only if its checksum is right, else it is fetched again. Every file is checked when it
    comes, and takes its place only if it is right. The licence is `find(name).licence`.

    Args:
        name: of the set, see `CATALOGUE`.
        mirror: a folder or URL that stands in for the network, holding ``NAME/FILE`` or ``NAME/FILE.gz``; by default
            the variable UNROLLED_MIRROR.
        cache: the folder to keep sets in, see `cache_folder`.
        progress: see `OnProgress`.

    Returns:
        ``CACHE/NAME``.

    Raises:
        ArgumentError: no such set.
        StorageError: no network, a server that refuses, a file that the mirror does not have, or a cache that can't be
            written.
        DataError: a file does not have the checksum of the published one.
    """
    import pooch

    data_set = find(name)
    mirror = mirror or os.environ.get(MIRROR_VARIABLE) or None
    folder = cache_folder(cache) / name
    # pooch would write on standard error what the progress says already
    pooch.get_logger().setLevel(logging.ERROR)
    registry = {file.name: f"sha256:{file.sha256}" for file in data_set.files}
    store = pooch.create(path=folder, base_url=data_set.address, registry=registry)
    for file in data_set.files:
        download = _Download(data_set, file, mirror, progress)
        try:
            store.fetch(file.name, downloader=download)
        except ValueError as error:
            if isinstance(error, DataError):
                raise
            message = f"does not have the checksum of the published {file.name}: the file has changed or the transfer"
            raise DataError(f"{message} failed; try again, or another mirror", download.address) from error
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise StorageError(f"{folder}: can't be written: {error.strerror or error}") from error
    return folder


class _Download:
    """Brings one file, unpacked, to where pooch checks it."""

    def __init__(
        self, data_set: DataSet, file: RemoteFile, mirror: str | Path | None, progress: OnProgress | None
    ) -> None:
        self.data_set, self.file, self.mirror, self.progress = data_set, file, mirror, progress
        self.address = data_set.address + (file.published_as or file.name)
        self.total = self._done = 0

    def __call__(self, url: str, target: str, store: object) -> None:
        raw = Path(f"{target}.download")
        try:
            self._transfer(raw)
            _unpack(raw, Path(target), self.file, self.address)
        finally:
            raw.unlink(missing_ok=True)

    def _transfer(self, raw: Path) -> None:
        """Bring the published bytes to `raw`, and keep in `address` where they came from."""
        if self.mirror is None:
            self._download(raw)
            return
        place = f"{str(self.mirror).rstrip('/')}/{self.data_set.name}/{self.file.name}"
        if not place.startswith(("http://", "https://")):
            there = next((path for path in (place, f"{place}.gz") if Path(path).is_file()), None)
            if there is None:
                message = f"the mirror has no {self.data_set.name}/{self.file.name}, nor with .gz"
                raise StorageError(f"{self.mirror}: {message}")
            self.address = there
            try:
                shutil.copyfile(there, raw)
            except OSError as error:
                raise StorageError(f"{there}: can't be copied: {error.strerror or error}") from error
            return
        self.address = place
        try:
            self._download(raw)
        except _NotThereError:
            self.address = f"{place}.gz"
            self._download(raw)

    def _download(self, raw: Path) -> None:
        import pooch
        import requests

        bar = self if self.progress is not None else False
        downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=_BLOCK, timeout=_TIMEOUT)
        try:
            downloader(self.address, str(raw), None)
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            kind = _NotThereError if status in (404, 410) else StorageError
            raise kind(f"{self.address}: the server answers {status}; try later, or another mirror") from error
        except (requests.RequestException, ValueError) as error:
            raise StorageError(
                f"{self.address}: can't be fetched ({type(error).__name__}); without a network give a folder or URL "
                f"that has it: --mirror, or {MIRROR_VARIABLE}"
            ) from error

    # what pooch asks of a progress bar

    def update(self, count: int) -> None:
        # pooch counts whole blocks, also for the last one
        self._done = min(self._done + count, self.total) if self.total else self._done + count
        if self.progress is not None:
            self.progress(self.file.name, self._done, self.total)

    def reset(self) -> None:
        # pooch then counts the whole file once more, to make short bars end full
        self._done = 0

    def close(self) -> None:
        pass


class _NotThereError(StorageError):
    """The server answers, and has no such file."""


def _unpack(raw: Path, target: Path, file: RemoteFile, address: str) -> None:
    """Copy, decompressing gzip that is not meant to stay; never more than a byte over the size expected."""
    with raw.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b" and not file.name.endswith(".gz")
    left = file.size + 1
    try:
        with gzip.open(raw) if packed else raw.open("rb") as source, target.open("wb") as out:
            while left > 0 and (block := source.read(min(_BLOCK, left))):
                left -= out.write(block)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"compressed data is damaged or cut short: {error}; try again", address) from error
