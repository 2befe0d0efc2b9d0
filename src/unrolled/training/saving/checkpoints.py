"""Checkpoints of a run: one folder per step, in plain formats, either complete or absent.

    checkpoints/step-00001000/
        tensors.safetensors     network.*, optimiser.*, carried.*, … under dotted names
        state.json              everything that is not a tensor, with references to the tensors
        manifest.json           format, version, step, the run's identity, and the SHA-256 of the two files above

A checkpoint is written under another name, synced to the disk and renamed. One that does not match its manifest is not
used.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError

from unrolled.errors import CheckpointError
from unrolled.storage import digest, make_folder, read_whole, storage_error, sync_folder, write_durably
from unrolled.training.saving.packing import pack, unpack
from unrolled.types import Json

FORMAT = "unrolled-checkpoint"
VERSION = 1
#: bytes
_LARGEST_MANIFEST = 16 << 20
_FILES = ("tensors.safetensors", "state.json")
_BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError)


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: created if need be; unfinished checkpoints of a killed process are removed from it.
        identity: what this run is (network, data …), as a JSON object. A checkpoint of another run is not used.
        writes: False to load only, and leave the folder as it is.

    Raises:
        StorageError: the folder can't be written.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any] | None = None, *, writes: bool = True) -> None:
        self.folder = folder
        self.identity: Json = json.loads(json.dumps(dict(identity or {})))
        # Steps whose checkpoints this object wrote or verified; only these are ever removed.
        self._own: set[int] = set()
        if not writes:
            return
        make_folder(folder)
        for left in folder.glob(".*-step-*"):
            shutil.rmtree(left, ignore_errors=True)

    def path(self, step: int) -> Path:
        """Return the folder of a step's checkpoint."""
        return self.folder / f"step-{step:08d}"

    def steps(self) -> list[int]:
        """Return the steps with a checkpoint, valid or not, in order."""
        names = [re.fullmatch(r"step-(\d{8,})", entry.name) for entry in self.folder.iterdir()]
        return sorted(int(name[1]) for name in names if name)

    def save(self, step: int, state: Mapping[str, Any]) -> Path:
        """Save a step's state; it is on the disk when this returns.

        Args:
            step: the number of steps done.
            state: a nest of tensors and plain values, see `packing.pack`.

        Raises:
            StorageError: the disk is full, or the like. Earlier checkpoints are untouched, and no partial file is left.
        """
        tree, tensors = pack(state)
        contents = (safetensors.torch.save(tensors), json.dumps(tree, allow_nan=False).encode())
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "step": step,
            "identity": self.identity,
            "files": {name: digest(data) for name, data in zip(_FILES, contents, strict=True)},
        }
        path, aside, old = (self.path(step), self.folder / f".new-step-{step}", self.folder / f".old-step-{step}")
        try:
            aside.mkdir()
            for name, data in zip(_FILES, contents, strict=True):
                write_durably(aside / name, data)
            write_durably(aside / "manifest.json", json.dumps(manifest, indent=1).encode())
            sync_folder(aside)
            if path.exists():
                # No system renames onto a non-empty folder. Between the two renames the previous checkpoint serves.
                os.rename(path, old)
            os.rename(aside, path)
            sync_folder(self.folder)
        except OSError as error:
            shutil.rmtree(aside, ignore_errors=True)
            if old.exists() and not path.exists():
                os.rename(old, path)
            raise storage_error(error, path, f"saving the checkpoint of step {step}") from error
        shutil.rmtree(old, ignore_errors=True)
        self._own.add(step)
        return path

    def load(self, step: int) -> dict[str, Any]:
        """Return the state that was saved at a step.

        Raises:
            CheckpointError: it is damaged, foreign, of another run or of a later version; says which.
        """
        path = self.path(step)
        try:
            manifest = json.loads(read_whole(path / "manifest.json", _LARGEST_MANIFEST))
            if manifest["format"] != FORMAT:
                raise ValueError(f"its format is {manifest['format']!r}")
            if manifest["version"] > VERSION:
                raise CheckpointError(f"{path}: written by a later version of Unrolled, which can read it: upgrade")
            difference = _first_difference(manifest["identity"], self.identity)
            if difference:
                raise CheckpointError(f"{path}: belongs to another run: {difference}")
            contents = [_checked(path / name, manifest["files"][name]) for name in _FILES]
            state = unpack(json.loads(contents[1]), safetensors.torch.load(contents[0]))
            if manifest["step"] != step or not isinstance(state, dict):
                raise ValueError(f"it holds step {manifest['step']}")
        except _BROKEN as error:
            if isinstance(error, FileNotFoundError):
                raise CheckpointError(f"{path}: incomplete: {Path(error.filename).name} is missing") from error
            raise CheckpointError(f"{path}: damaged or foreign: {error or type(error).__name__}") from error
        self._own.add(step)
        return state

    def load_latest(self, warn: Callable[[str], None]) -> tuple[int, dict[str, Any]] | None:
        """Return the step and state of the latest usable checkpoint; None if none was ever saved here.

        Args:
            warn: called with a message for each checkpoint that had to be skipped.

        Raises:
            CheckpointError: there are checkpoints, but none can be used.
        """
        steps = self.steps()
        problem: CheckpointError | None = None
        for step in reversed(steps):
            try:
                state = self.load(step)
            except CheckpointError as error:
                warn(f"{error}; using the checkpoint before it" if step != steps[0] else str(error))
                problem = problem or error
                continue
            for earlier in steps:
                if earlier < step and self._is_own(earlier):
                    self._own.add(earlier)
            return step, state
        if problem is None:
            return None
        count = (
            f"the only checkpoint can't be used ({problem})"
            if len(steps) == 1
            else f"none of {len(steps)} checkpoints can be used, the last because: {problem}"
        )
        raise CheckpointError(f"can't resume: {count}. Start anew with another folder or --overwrite") from problem

    def prune(self, keep: Collection[int], every: int = 0) -> None:
        """Remove this run's checkpoints except the last two, those to keep, and multiples of `every`.

        Raises:
            StorageError: the system refused.
        """
        last = sorted(self._own)[-2:]
        for step in sorted(self._own):
            if step in last or step in keep or (every and step and step % every == 0):
                continue
            # Renamed first, so that a kill in between leaves nothing that looks like a damaged checkpoint.
            old = self.folder / f".old-step-{step}"
            try:
                os.rename(self.path(step), old)
                shutil.rmtree(old)
            except FileNotFoundError:
                pass
            except OSError as error:
                raise storage_error(error, self.path(step), "removing an old checkpoint") from error
            self._own.discard(step)

    def _is_own(self, step: int) -> bool:
        """Return whether a checkpoint's manifest says that it belongs to this run."""
        try:
            manifest = json.loads(read_whole(self.path(step) / "manifest.json", _LARGEST_MANIFEST))
            return bool(manifest["format"] == FORMAT and manifest["identity"] == self.identity)
        except _BROKEN:
            return False


def _checked(path: Path, expected: Mapping[str, Any]) -> bytes:
    """Return the bytes of a file, after checking its length and digest."""
    if path.stat().st_size != expected["bytes"]:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes, and was written with {expected['bytes']}")
    data = read_whole(path, expected["bytes"])
    if digest(data) != expected:
        raise ValueError(f"{path.name} has been damaged: its SHA-256 is not the one it was written with")
    return data


def _first_difference(there: object, here: object, name: str = "") -> str | None:
    """Return the first difference between two nests of plain values, in words; None if they are equal."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in sorted({*there, *here}):
            difference = _first_difference(there.get(key), here.get(key), f"{name}.{key}".lstrip("."))
            if difference:
                return difference
        return None
    return None if there == here else f"{name} is {there!r} there and {here!r} here"
