"""Recordings whose every step is to be labelled: rows of features in tables, or clips with annotations.

T time, F features. A table holds a row for each step: features, a label, perhaps a time, and perhaps a column that says
which recording the row belongs to; without one, a file is a recording. A `.npy` file holds features (T, F) alone. Clips
(`unrolled.data.clips`) and `.npy` files have their annotations beside them, or in a folder named for that, or in a
table with the columns clip, begin, end and label.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unrolled.data.annotations import (
    Annotation,
    Annotations,
    Timed,
    annotated_clips,
    checked_segments,
    inside,
    segment_of,
)
from unrolled.data.clips import Clip, find_clips, is_image, is_video
from unrolled.data.examples import Example
from unrolled.data.findings import Findings
from unrolled.data.tables import SUFFIXES, Row, Table, cell_number, open_tables
from unrolled.errors import DataError, StorageError

#: an interval between two steps that is so many times the usual one is a gap
GAP = 5.0

Features = NDArray[np.floating]


@dataclass(frozen=True)
class Reading:
    """How recordings are read.

    Attributes:
        label_column, time_column, sequence_column: of tables; a time or sequence column of None is not looked for.
        features: columns of features; empty takes all others.
        annotations: a folder or .zip of annotation files; None looks beside each clip.
        units_per_second: of times: 25000 is 1/25000 s. None takes frame numbers in annotations, seconds in tables.
        rate, frame_height: as `unrolled.data.clips.find_clips` takes them.
        encoding: of text.
        labelled: whether a recording without labels is an error.
    """

    label_column: str = "label"
    time_column: str | None = None
    sequence_column: str | None = None
    features: tuple[str, ...] = ()
    annotations: Path | None = None
    units_per_second: float | None = None
    rate: float | None = None
    frame_height: int | None = None
    encoding: str = "utf-8"
    labelled: bool = True


@dataclass(frozen=True, kw_only=True)
class Recording(Example):
    """One recording, and what is said about its steps.

    Attributes:
        name: the clip's, or what its table calls it.
        clip: where its frames are; None for features.
        features: (T, F); None for frames.
        columns: the names of the features, if they have any.
        times: (T,) seconds, if they are known.
        rate: steps a second, if that is known.
        steps: a label for each row of a table, None where the cell is empty.
        lines: (T,) the rows' lines.
        annotation: what an annotation file says.
    """

    name: str
    clip: Clip | None = None
    features: Features | None = field(default=None, repr=False)
    columns: tuple[str, ...] = ()
    times: NDArray[np.float64] | None = field(default=None, repr=False)
    rate: float | None = None
    steps: tuple[str | None, ...] | None = field(default=None, repr=False)
    lines: NDArray[np.int64] | None = field(default=None, repr=False)
    annotation: Annotation | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """A hash of the frames or features."""
        if self.clip is not None:
            return self.clip.digest
        array = np.ascontiguousarray(self.features)
        return hashlib.blake2b(repr(array.shape).encode() + array.tobytes(), digest_size=16).hexdigest()

    @property
    def labels(self) -> tuple[str, ...]:
        """Those that occur, each once."""
        if self.annotation is not None:
            return self.annotation.labels
        return tuple(dict.fromkeys(label for label in self.steps or () if label is not None))

    @property
    def is_empty(self) -> bool:
        """Whether it has no step."""
        return self.features is not None and not len(self.features)

    @property
    def is_labelled(self) -> bool:
        """Whether anything is said about its steps."""
        return self.annotation is not None or self.steps is not None

    def place_of(self, label: str) -> tuple[str, int | None]:
        """File and line where a label first stands."""
        if self.annotation is not None:
            return self.annotation.path, self.annotation.line_of(label)
        if self.steps is not None and self.lines is not None and label in self.steps:
            return self.path, int(self.lines[self.steps.index(label)])
        return self.path, self.line


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
                found += _in_table(table, reading, findings)
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
    before = findings.errors
    annotation = annotations.find(path, stem, findings)
    if findings.errors > before:
        return []
    if annotation is None and reading.labelled:
        findings.error(
            "no annotation",
            f"no annotation of it: put {stem}.txt beside it, or name the folder with --annotations",
            recording.path,
        )
        return []
    return [Recording(**{**vars(recording), "annotation": annotation})]


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


def _in_table(table: Table, reading: Reading, findings: Findings) -> Iterator[Recording]:
    """The recordings of a table: one, or one for each value of the sequence column."""
    try:
        special = {
            "time": reading.time_column and table.column(reading.time_column),
            "sequence": reading.sequence_column and table.column(reading.sequence_column),
        }
        try:
            special["label"] = table.column(reading.label_column)
        except DataError:
            if reading.labelled:
                raise
        features = tuple(map(table.column, reading.features)) or tuple(
            name for name in table.columns if name not in special.values()
        )
        if not features:
            raise DataError(f"no column of features; {table.described()}", table.name, 1)
    except DataError as error:
        findings.caught(error, "missing column")
        return
    groups: dict[str, list[Row]] = {}
    sequence = special["sequence"]
    for row in table.rows(findings):
        groups.setdefault("" if not sequence else str(row[sequence]), []).append(row)
    if not groups:
        findings.error("empty", "a table without rows", table.name, 1)
    for name, rows in groups.items():
        # one wrong row spoils its recording, since the steps around it would follow each other
        before = findings.errors
        times = _times(rows, special["time"], reading, findings)
        matrix = _matrix(rows, features, findings)
        if findings.errors == before:
            label = special.get("label")
            steps = None if label is None else tuple(_label(row.get(label)) for row in rows)
            yield Recording(
                path=table.name,
                line=rows[0].line,
                name=name or table.source.inner_name.rpartition(".")[0] or table.name,
                features=matrix,
                columns=features,
                times=times,
                rate=reading.rate if times is None else _rate(times),
                steps=steps,
                lines=np.array([row.line for row in rows], dtype=np.int64),
            )


def _label(value: object) -> str | None:
    text = "" if value is None else str(value).strip()
    return text or None


def _matrix(rows: list[Row], features: tuple[str, ...], findings: Findings) -> NDArray[np.float32]:
    matrix = np.empty((len(rows), len(features)), dtype=np.float32)
    for n, row in enumerate(rows):
        for k, name in enumerate(features):
            try:
                matrix[n, k] = cell_number(row, name)
            except KeyError:
                findings.error("missing column", f"no column {name!r} in this row", row.path, row.line)
                return matrix
            except DataError:
                hint = "; name the columns of features with --features" if n == 0 else ""
                message = f"column {name!r}: expected a number, found {row[name]!r}{hint}"
                findings.error("no number", message, row.path, row.line)
                return matrix
        if not np.isfinite(matrix[n]).all():
            name = features[int(np.flatnonzero(~np.isfinite(matrix[n]))[0])]
            findings.error("missing value", f"column {name!r}: {row[name]!r} is no number to go by", row.path, row.line)
            return matrix
    return matrix


def _times(rows: list[Row], column: str | None, reading: Reading, findings: Findings) -> NDArray[np.float64] | None:
    """Seconds from the first step; what is irregular about them is found."""
    if not column:
        return None
    times = np.empty(len(rows))
    for n, row in enumerate(rows):
        try:
            times[n] = _moment(row, column, reading.units_per_second)
        except DataError as error:
            findings.caught(error, "bad time")
            return None
    steps = np.diff(times)
    backward = np.flatnonzero(~(steps > 0))
    if len(backward):
        row, many = rows[int(backward[0]) + 1], f" ({len(backward)} times)" if len(backward) > 1 else ""
        findings.warning(
            "irregular time", f"{row[column]} does not come after the time before it{many}", row.path, row.line
        )
    usual = float(np.median(steps)) if len(steps) else 0.0
    gaps = np.flatnonzero(steps > GAP * usual) if usual > 0 else np.array([], dtype=int)
    if len(gaps):
        row, many = rows[int(gaps[0]) + 1], f" ({len(gaps)} such gaps)" if len(gaps) > 1 else ""
        findings.warning(
            "irregular time",
            f"a gap of {steps[gaps[0]]:.3g} s before this step, where {usual:.3g} s are usual{many}",
            row.path,
            row.line,
        )
    return times - times[0]


def _moment(row: Row, column: str, units_per_second: float | None) -> float:
    value = row[column]
    if isinstance(value, datetime):
        return value.timestamp()
    try:
        number = cell_number(row, column)
    except DataError:
        try:
            return datetime.fromisoformat(str(value).strip()).timestamp()
        except ValueError:
            pass
        raise DataError(
            f"column {column!r}: expected seconds or a date and time, found {value!r}", row.path, row.line
        ) from None
    if not np.isfinite(number):
        raise DataError(f"column {column!r}: no time in this row", row.path, row.line)
    return number / (units_per_second or 1.0)


def _rate(times: NDArray[np.float64]) -> float | None:
    """Steps a second, by the median interval."""
    usual = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return 1 / usual if usual > 0 else None
