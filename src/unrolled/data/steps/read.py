"""Recordings whose every step is to be labelled: rows of features in tables, or clips with annotations.

T time, F features. A table holds a row for each step: features, a label, perhaps a time, and perhaps a column that says
which recording the row belongs to; without one, a file is a recording. A `.npy` file holds features (T, F) alone. Clips
(`unrolled.data.video.clips`) and `.npy` files have their annotations beside them, or in a folder named for that, or in
a table with the columns clip, begin, end and label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from unrolled.data.core.findings import Findings
from unrolled.data.core.tables import SUFFIXES, Table, open_tables
from unrolled.data.steps.recordings import Reading, Recording
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


def read_steps(paths: Sequence[Path], reading: Reading, findings: Findings) -> list[Recording]:
    """The recordings of some files and folders, in order.

    Args:
        paths: tables, videos, folders of them, strips (with a `frame_height`, also in a .zip), `.npy` files.
        reading: how.
        findings: told of what can't be used, which is left out, and of what is odd.

    Raises:
        StorageError, DataError: a path that can't be read, or holds nothing that is a recording.
    """
    annotations = Annotations(reading.annotations, reading.units_per_second, reading.encoding)
    found: list[Recording] = []
    for path in paths:
        before = (len(found), findings.errors)
        clips = find_clips(path, rate=reading.rate, frame_height=reading.frame_height)
        arrays = _arrays(path)
        beside = {(c.path.parent, c.stem.lower()) for c in clips} | {(a.parent, a.stem.lower()) for a in arrays}
        named: set[Path] = set()
        for table in _tables(path, beside, reading, bool(clips or arrays)):
            columns = annotated_clips(table)
            if columns is None:
                found += recordings_of(table, reading, findings)
            else:
                recordings = list(_of_annotated_clips(table, columns, reading, findings))
                named |= {r.clip.path for r in recordings if r.clip is not None}
                found += recordings
        for clip in clips:
            if clip.path not in named:
                recording = Recording(path=clip.name, name=clip.stem, clip=clip, rate=clip.rate, annotation=None)
                found += _with_annotation(recording, clip.path, clip.stem, annotations, reading, findings)
        for array in arrays:
            found += _of_array(array, annotations, reading, findings)
        if (len(found), findings.errors) == before:
            kinds = "tables (.csv, .tsv, .jsonl, .parquet), videos, folders of images or .npy files"
            hint = "" if reading.frame_height is not None else "; images that hold many frames need --frame-height"
            raise DataError(f"no recording here: {kinds} are read{hint}", path)
    return found


def _tables(path: Path, beside: set[tuple[Path, str]], reading: Reading, has_clips: bool) -> Iterator[Table]:
    """The tables that a path stands for, without those that are the annotation of one clip."""
    if path.is_file():
        if has_clips or path.suffix.lower() == ".npy" or is_video(path) or is_image(path):
            return
        files = [path]
    else:
        files = sorted(p for p in path.rglob("*") if p.is_file() and _is_table(p))
        if reading.annotations is not None:
            kept_apart = reading.annotations.resolve()
            files = [p for p in files if kept_apart not in (p.resolve(), *p.resolve().parents)]
        files = [p for p in files if not any(part.startswith(".") for part in p.relative_to(path).parts)]
    known = (reading.label_column, *reading.features)
    for file in files:
        if (file.parent, _stem(file)) not in beside:
            yield from open_tables(file, known=known, encoding=reading.encoding)


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


def _with_annotation(
    recording: Recording, path: Path, stem: str, annotations: Annotations, reading: Reading, findings: Findings
) -> list[Recording]:
    if not reading.labelled:
        return [recording]
    before = findings.errors
    annotation = annotations.find(path, stem, findings)
    if findings.errors > before:
        return []
    if annotation is None:
        findings.error(
            "no annotation",
            f"no annotation of it: put {stem}.txt beside it, or name the folder with --annotations",
            recording.path,
        )
        return []
    return [replace(recording, annotation=annotation)]


def _of_array(path: Path, annotations: Annotations, reading: Reading, findings: Findings) -> list[Recording]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise StorageError(f"{path}: can't be read: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        findings.error("unreadable", f"not an array of NumPy, or a damaged one: {error}", path)
        return []
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        message = f"expected numbers (T steps, F features), found {array.dtype} {array.shape}"
        findings.error("unreadable", message, path)
        return []
    recording = Recording(path=str(path), name=path.stem, features=array, rate=reading.rate)
    return _with_annotation(recording, path, path.stem, annotations, reading, findings)


def _of_annotated_clips(
    table: Table, columns: tuple[str, str, str, str], reading: Reading, findings: Findings
) -> Iterator[Recording]:
    """The clips that a table annotates, in the order in which it names them."""
    clip_column, begin, end, label = columns
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
        clips = find_clips(target, rate=reading.rate, frame_height=reading.frame_height)
        annotation = checked_segments(table.name, own, findings, reading.units_per_second)
        if len(clips) != 1:
            findings.error("bad path", f"{named!r} is no clip", table.name, lines[named])
        elif annotation is not None:
            yield Recording(
                path=clips[0].name, name=clips[0].stem, clip=clips[0], rate=reading.rate, annotation=annotation
            )
