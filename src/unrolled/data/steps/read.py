"""Recordings whose every step is to be labelled: rows of features in tables, or clips with annotations.

T time, F features. A table holds a row for each step: features, a label, perhaps a time, and perhaps a column that says
which recording the row belongs to; without one, a file is a recording. A `.npy` file holds features (T, F) alone. Clips
(`unrolled.data.video.clips`) and `.npy` files have their annotations beside them, or in a folder named for that, or in
a table with the columns clip, begin, end and label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.core.folders import Place
from unrolled.data.core.tables import SUFFIXES, Table, open_tables
from unrolled.data.steps.recordings import Recording, StepOptions
from unrolled.data.steps.tables import recordings_of
from unrolled.data.video.annotations import (
    Annotations,
    Timed,
    annotated_clips,
    checked_segments,
    inside,
    segment_of,
)
from unrolled.data.video.clips import find_clips, is_image, is_video
from unrolled.errors import DataError, StorageError


def read_steps(
    paths: Sequence[Place], options: StepOptions, findings: Findings, *, labelled: bool = True
) -> list[Recording]:
    """Return the recordings of some files and folders, in order.

    Args:
        paths: tables, videos, folders of them, strips (with a `frame_height`, also in a .zip), `.npy` files;
            or rows in memory.
        options: how they are read.
        findings: collects data that can't be used, which is left out, and oddities.
        labelled: whether recordings must have labels; if not, no annotations are read.

    Raises:
        StorageError, DataError: a path that can't be read, or holds nothing that is a recording.
    """
    where = Path(options.annotations) if options.annotations is not None and labelled else None
    annotations = Annotations(where, options.units_per_second, options.encoding)
    reader = _Reader(options, annotations, labelled, findings)
    recordings: list[Recording] = []
    for path in paths:
        before = (len(recordings), findings.errors)
        recordings += reader.read(path)
        if (len(recordings), findings.errors) == before:
            kinds = "tables (.csv, .tsv, .jsonl, .parquet), videos, folders of images or .npy files"
            hint = "" if options.frame_height is not None else "; images that hold many frames need --frame-height"
            raise DataError(f"no recording here: {kinds} are read{hint}", str(path))
    return recordings


def _is_table(path: Path) -> bool:
    name = path.name.lower()
    return name.removesuffix(".gz").removesuffix(".xz").endswith(SUFFIXES)


def _stem(path: Path) -> str:
    name = path.name.lower()
    for packed in (".gz", ".xz"):
        name = name.removesuffix(packed)
    return name.rpartition(".")[0]


def _arrays(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".npy" else []
    return sorted(p for p in path.rglob("*.npy") if p.is_file() and not p.name.startswith("."))


@dataclass(frozen=True)
class _Reader:
    """Reads one path after the other."""

    options: StepOptions
    annotations: Annotations
    labelled: bool
    findings: Findings

    def read(self, path: Place) -> Iterator[Recording]:
        options = self.options
        if isinstance(path, Source):
            for table in self._opened(path):
                yield from recordings_of(table, options, self.findings, labelled=self.labelled)
            return
        clips = find_clips(path, rate=options.rate, frame_height=options.frame_height)
        arrays = _arrays(path)
        beside = {(c.path.parent, c.stem.lower()) for c in clips} | {(a.parent, a.stem.lower()) for a in arrays}
        named: set[Path] = set()
        for table in self._tables(path, beside, bool(clips or arrays)):
            columns = annotated_clips(table)
            if columns is None:
                yield from recordings_of(table, options, self.findings, labelled=self.labelled)
                continue
            for recording in self._of_annotated_clips(table, columns):
                if recording.clip is not None:
                    named.add(recording.clip.path)
                yield recording
        for clip in clips:
            if clip.path not in named:
                recording = Recording(path=clip.name, name=clip.stem, clip=clip, rate=clip.rate, annotation=None)
                yield from self._with_annotation(recording, clip.path, clip.stem)
        for array in arrays:
            yield from self._of_array(array)

    def _tables(self, path: Path, beside: set[tuple[Path, str]], has_clips: bool) -> Iterator[Table]:
        """The tables that a path stands for, without those that are the annotation of one clip."""
        if path.is_file():
            if has_clips or path.suffix.lower() == ".npy" or is_video(path) or is_image(path):
                return
            files = [path]
        else:
            files = sorted(p for p in path.rglob("*") if p.is_file() and _is_table(p))
            if self.annotations.where is not None:
                kept_apart = self.annotations.where.resolve()
                files = [p for p in files if kept_apart not in (p.resolve(), *p.resolve().parents)]
            files = [p for p in files if not any(part.startswith(".") for part in p.relative_to(path).parts)]
        for file in files:
            if (file.parent, _stem(file)) not in beside:
                yield from self._opened(file)

    def _opened(self, place: Place) -> list[Table]:
        return open_tables(place, self.options, known=(self.options.label_column, *self.options.features))

    def _with_annotation(self, recording: Recording, path: Path, stem: str) -> list[Recording]:
        if not self.labelled:
            return [recording]
        before = self.findings.errors
        annotation = self.annotations.find(path, stem, self.findings)
        if self.findings.errors > before:
            return []
        if annotation is None:
            message = f"no annotation of it: put {stem}.txt beside it, or name the folder with --annotations"
            self.findings.error("no annotation", message, recording.path)
            return []
        return [replace(recording, annotation=annotation)]

    def _of_array(self, path: Path) -> list[Recording]:
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except OSError as error:
            raise StorageError(f"{path}: can't be read: {error.strerror or error}") from error
        except (ValueError, EOFError) as error:
            self.findings.error("unreadable", f"not an array of NumPy, or a damaged one: {error}", path)
            return []
        if array.ndim != 2 or array.dtype.kind not in "fiu":
            message = f"expected numbers (T steps, F features), found {array.dtype} {array.shape}"
            self.findings.error("unreadable", message, path)
            return []
        recording = Recording(path=str(path), name=path.stem, features=array, rate=self.options.rate)
        return self._with_annotation(recording, path, path.stem)

    def _of_annotated_clips(self, table: Table, columns: tuple[str, str, str, str]) -> Iterator[Recording]:
        """The clips that a table annotates, in the order in which it names them."""
        clip_column, begin, end, label = columns
        options, findings = self.options, self.findings
        segments: dict[str, list[Timed]] = {}
        lines: dict[str, int] = {}
        for row in table.rows(findings):
            segment = segment_of(row, begin, end, label, findings)
            if segment is not None:
                named = str(row[clip_column])
                segments.setdefault(named, []).append(segment)
                lines.setdefault(named, row.line)
        for named, own in segments.items():
            try:
                target = inside(table.source.path.parent, named, table.name, lines[named])
            except DataError as error:
                findings.caught(error, "bad path")
                continue
            except StorageError as error:
                findings.error("missing clip", str(error), table.name, lines[named])
                continue
            clips = find_clips(target, rate=options.rate, frame_height=options.frame_height)
            annotation = checked_segments(table.name, own, findings, options.units_per_second)
            if len(clips) != 1:
                findings.error("bad path", f"{named!r} is no clip", table.name, lines[named])
            elif annotation is not None:
                clip = clips[0]
                yield Recording(path=clip.name, name=clip.stem, clip=clip, rate=options.rate, annotation=annotation)
