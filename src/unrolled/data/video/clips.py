"""Clips: recordings as frames, out of a video file, a folder of images, or one tall image of them all.

T time, H height, W width, C channels. A clip is named first and decoded when its frames are needed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from unrolled.data.images.files import SUFFIXES as IMAGES
from unrolled.data.images.files import Picture, find_pictures, resize
from unrolled.data.video.files import MOST_BYTES, Footage, read_video
from unrolled.data.video.files import SUFFIXES as VIDEOS
from unrolled.errors import DataError, StorageError

_HEAD = 1 << 20


@dataclass(frozen=True)
class Clip:
    """The frames of a recording, not yet decoded.

    Args:
        path: the file or folder.
        kind: "video"; "strip", one image in which frame i is rows i·h to (i + 1)·h − 1; "folder", an image a frame, in
            the order of their names.
        rate: frames a second: of a video those that are taken, of a strip or folder how fast it was recorded; None
            takes all, and of a strip or folder means that it is unknown.
        frame_height: h, of a strip.
        pictures: the strip's image, or the folder's.
    """

    path: Path
    kind: Literal["video", "strip", "folder"]
    rate: float | None = None
    frame_height: int | None = None
    pictures: tuple[Picture, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """Its name in error messages."""
        return self.pictures[0].name if self.kind == "strip" else str(self.path)

    @property
    def stem(self) -> str:
        """The bare name that its annotation bears as well."""
        last = self.pictures[0].parts[-1] if self.kind == "strip" else self.path.name
        return last if self.kind == "folder" else last.rpartition(".")[0]

    @property
    def digest(self) -> str:
        """A hash of its content: of the images, or of a video's beginning and length.

        Raises:
            StorageError, DataError: it can't be read.
        """
        digest = hashlib.blake2b(digest_size=16)
        for picture in self.pictures:
            digest.update(picture.digest.encode())
        if not self.pictures:
            try:
                with self.path.open("rb") as file:
                    digest.update(f"{os.fstat(file.fileno()).st_size}:".encode() + file.read(_HEAD))
            except OSError as error:
                raise StorageError(f"{self.path}: can't be read: {error.strerror or error}") from error
        return digest.hexdigest()

    def footage(self, size: tuple[int, int] | None = None, channels: int | None = None) -> Footage:
        """Decode it.

        Args:
            size: (H, W) of the frames; None leaves them as they are.
            channels: 1 or 3; None takes as many as the first image has, and colour of a video.

        Raises:
            StorageError, DataError: it can't be read, is damaged, or its frames do not fit together.
        """
        if self.kind == "video":
            return read_video(self.path, rate=self.rate, size=size, channels=channels or 3)
        frames = list(self._strip(channels) if self.kind == "strip" else self._images(size, channels))
        if size is not None:
            frames = [resize(frame, *size) for frame in frames]
        return Footage(np.stack(frames), self.rate, np.arange(len(frames)), len(frames))

    def _strip(self, channels: int | None) -> Iterator[np.ndarray]:
        height = self.frame_height or 0
        strip = self.pictures[0].pixels(channels)
        if height < 1 or strip.shape[0] % height:
            raise DataError(
                f"{strip.shape[0]} rows are no whole number of frames of {height} rows; check --frame-height", self.name
            )
        yield from strip.reshape(-1, height, *strip.shape[1:])

    def _images(self, size: tuple[int, int] | None, channels: int | None) -> Iterator[np.ndarray]:
        shape, taken = None, 0
        for picture in self.pictures:
            pixels = picture.pixels(channels)
            channels = channels or pixels.shape[2]
            pixels = pixels if size is None else resize(pixels, *size)
            if pixels.shape != (shape or pixels.shape):
                raise DataError(
                    f"{pixels.shape[1]} × {pixels.shape[0]} pixels, after frames of another size; name one with "
                    "--frame-size",
                    picture.name,
                )
            shape, taken = pixels.shape, taken + pixels.nbytes
            if taken > MOST_BYTES:
                raise DataError(f"more than {MOST_BYTES >> 30} GiB of frames at this size", self.path)
            yield pixels


def is_video(path: Path) -> bool:
    """Return whether a file is named like a video."""
    return path.suffix.lower() in VIDEOS


def is_image(path: Path) -> bool:
    """Return whether a file is named like an image."""
    return path.suffix.lower() in IMAGES


def find_clips(path: Path, *, rate: float | None = None, frame_height: int | None = None) -> list[Clip]:
    """Return the clips that a path stands for, in a fixed order; there may be none.

    A video is a clip. With a `frame_height` each image is one, those in a .zip too; without, each folder that holds
    images and no folders is. Folders are walked; hidden ones and links are left out.

    Raises:
        StorageError: there is no such path, or it can't be read.
    """
    if not path.exists():
        raise StorageError(f"{path}: no such file or folder")
    if path.is_file():
        if frame_height is not None and path.suffix.lower() == ".zip":
            return [Clip(path, "strip", rate, frame_height, (picture,)) for picture in find_pictures(path)]
        return [clip for clip in [_clip_of(path, rate, frame_height)] if clip is not None]
    return list(_in_folder(path, rate, frame_height))


def _clip_of(path: Path, rate: float | None, frame_height: int | None) -> Clip | None:
    if is_video(path):
        return Clip(path, "video", rate)
    if frame_height is not None and is_image(path):
        return Clip(path, "strip", rate, frame_height, (Picture(path),))
    return None


def _in_folder(folder: Path, rate: float | None, frame_height: int | None) -> Iterator[Clip]:
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise StorageError(f"{folder}: can't be read: {error.strerror or error}") from error
    folders = [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
    files = [entry for entry in entries if entry.is_file()]
    images = [entry for entry in files if is_image(entry)]
    if frame_height is None and images and not folders and not any(map(is_video, files)):
        yield Clip(folder, "folder", rate, None, tuple(map(Picture, sorted(images, key=_by_number))))
        return
    for entry in entries:
        if entry in folders:
            yield from _in_folder(entry, rate, frame_height)
        elif entry in files:
            clip = _clip_of(entry, rate, frame_height)
            if clip is not None:
                yield clip


def _by_number(path: Path) -> tuple[list[tuple[int, str]], str]:
    """A key by which frame 10 comes after frame 9, whether or not the names have leading zeros."""
    parts = re.findall(r"(\D*)(\d+|$)", path.name, re.ASCII)
    return [(int(digits) if digits else -1, text) for text, digits in parts], path.name
