"""The files of a model's folder: replaced all at once, and checked against their digests whenever they are read.

    MODEL/manifest.json     bytes and SHA-256 of every file that belongs to the model
    MODEL/.saving/          files of a save in progress; void if it ended early
    MODEL/.saved/           files of a save that is complete, on their way to their places

A save fills `.saving`, brings it to the disk and renames it to `.saved`: from that moment on the new model is there.
What still lies in `.saved` counts instead of the file of that name in the folder, so that a kill or a power cut at any
moment leaves the whole old model or the whole new one. A folder without a manifest, as earlier versions wrote them, is
read unchecked.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unrolled.errors import ModelError, StorageError
from unrolled.storage.reading import opened, read_whole
from unrolled.storage.writing import storage_error, sync_folder, write_whole

MANIFEST = "manifest.json"
_SAVING, _SAVED = ".saving", ".saved"
_FORMAT, _VERSION = "unrolled.manifest", 1
#: bytes of a manifest, and of any other JSON file of a model
_LARGEST_MANIFEST, LARGEST_JSON = 1 << 20, 256 << 20
_BLOCK = 1 << 20
RESTORE = "restore it from a copy of the model"


def digest(data: bytes) -> dict[str, Any]:
    """Return what a manifest says of a file: its bytes and its SHA-256."""
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def part_path(path: Path) -> Path:
    """Return where a file of a model lies: its own place, or `.saved` while a finished save is on its way there."""
    saved = path.parent / _SAVED
    # a link would lead out of the folder
    return saved / path.name if not saved.is_symlink() and (saved / path.name).is_file() else path


def has_part(path: Path) -> bool:
    """Return whether a file belongs to a model; one that is listed and gone does, and reading it says so.

    Raises:
        ModelError, StorageError: as `read_part`, of the manifest.
    """
    listed = _listed(path.parent)
    if listed is not None:
        return path.name in listed
    # a link that leads nowhere is there, and reading it says so
    return os.path.lexists(part_path(path))


def read_part(path: Path, most: int = LARGEST_JSON, way: str = RESTORE) -> bytes:
    """Return a file of a model's folder, as its manifest says that it was written.

    Args:
        path: the file.
        most: bytes that it may have.
        way: what is to be done if it is missing or damaged.

    Raises:
        ModelError: it is missing, no regular file, larger than `most`, or not what was written.
        StorageError: it can't be read.
    """
    data: bytes = b""

    def fits(place: Path, expected: Any) -> bool:
        nonlocal data
        data = read_whole(place, most)
        return expected is None or digest(data) == expected

    _check(path, fits, way)
    return data


def check_part(path: Path, way: str = RESTORE) -> Path:
    """Return where a file of a model's folder lies, to be mapped; as `read_part`, without taking memory for it."""

    def fits(place: Path, expected: Any) -> bool:
        with opened(place):
            return expected is None or _digest_of_file(place) == expected

    return _check(path, fits, way)


def _check(path: Path, fits: Callable[[Path, Any], bool], way: str) -> Path:
    """Check a file where it lies now against what its folder's manifest says, if there is one; return where that is."""
    before: object = ()
    try:
        # a save that ends in between replaces the manifest: then the file is read once more
        while (listed := _listed(path.parent)) != before:
            before, place = listed, part_path(path)
            expected = None if listed is None else listed.get(path.name)
            try:
                is_right = fits(place, expected)
            except FileNotFoundError:
                # it may have been moved to its place just now
                place = path
                is_right = fits(place, expected)
            if is_right:
                return place
    except FileNotFoundError as error:
        raise ModelError(f"{path}: missing; {way}") from error
    except OSError as error:
        raise storage_error(error, path, "reading it") from error
    raise ModelError(
        f"{path}: corrupt or cut short (its SHA-256 is not the one in {MANIFEST}); {way}, "
        f"or delete {MANIFEST} if it was changed on purpose"
    )


def _digest_of_file(path: Path) -> dict[str, Any]:
    """Return what a manifest says of a file, read block by block."""
    sha256, count = hashlib.sha256(), 0
    with opened(path) as (stream, _):
        while block := stream.read(_BLOCK):
            sha256.update(block)
            count += len(block)
    return {"bytes": count, "sha256": sha256.hexdigest()}


def unlist(path: Path) -> None:
    """Take a file out of its folder's manifest, because it is about to be replaced alone.

    Raises:
        ModelError, StorageError: the manifest can't be read or written.
    """
    listed = _listed(path.parent)
    if listed and listed.pop(path.name, None) is not None:
        write_whole(path.parent / MANIFEST, _manifest(listed))


@contextmanager
def replaced_parts(folder: Path) -> Iterator[Path]:
    """Yield an empty folder; the files put into it replace the model's, all at once, when the block ends without error.

    Files of the model before that are not among them are removed; others stay as they are. One process at a time may do
    this, see `locked`.

    Raises:
        StorageError: the system refused; either model is then whole.
    """
    saving, saved = folder / _SAVING, folder / _SAVED
    try:
        if saved.exists():
            _settle(folder)
        _remove(saving)
        saving.mkdir()
        yield saving
        files = {entry.name: _digest_of_file(entry) for entry in sorted(saving.iterdir())}
        write_whole(saving / MANIFEST, _manifest(files))
        os.rename(saving, saved)
        sync_folder(folder)
        _settle(folder)
    except BaseException as error:
        shutil.rmtree(saving, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            raise storage_error(error, folder, "saving the model") from error
        raise


def _settle(folder: Path) -> None:
    """Move the files of a complete save to their places, the manifest last."""
    saved = folder / _SAVED
    if saved.is_symlink() or not saved.is_dir():
        _remove(saved)
        return
    listed = _listed(folder) or {}
    for name in _replaced(folder) - listed.keys():
        if not (folder / name).is_dir():
            (folder / name).unlink(missing_ok=True)
    for name in [*sorted(listed), MANIFEST]:
        if (saved / name).exists():
            os.replace(saved / name, folder / name)
    sync_folder(folder)
    _remove(saved)


def _replaced(folder: Path) -> set[str]:
    """Return the names of the files of the model before; none if its manifest is damaged, which stops no save."""
    try:
        return set(_read_manifest(folder / MANIFEST) or ())
    except ModelError:
        return set()


def _remove(path: Path) -> None:
    """Remove a folder, or whatever lies in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _manifest(files: Mapping[str, Any]) -> bytes:
    return (json.dumps({"format": _FORMAT, "version": _VERSION, "files": files}, indent=1) + "\n").encode()


def _listed(folder: Path) -> dict[str, Any] | None:
    """Return what the manifest that counts says of each file; None where there is none."""
    return _read_manifest(part_path(folder / MANIFEST))


def _read_manifest(path: Path) -> dict[str, Any] | None:
    try:
        raw = json.loads(read_whole(path, _LARGEST_MANIFEST))
        files = raw["files"]
        if raw["format"] != _FORMAT or not isinstance(files, dict):
            raise ValueError("its format is another")
        if any(name in ("", ".", "..") or set(name) & set("/\\\0") for name in files):
            raise ValueError("a name in it leads elsewhere")
        version = raw["version"]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, path, "reading it") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{path}: corrupt ({error}); {RESTORE}") from error
    if version != _VERSION:
        raise ModelError(f"{path}: of a later release (format version {version!r}); upgrade")
    return files
