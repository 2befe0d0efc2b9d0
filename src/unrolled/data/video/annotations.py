"""Annotations of the steps of a recording: segments with begin, end and label, or one label a step.

Three kinds of files are read. **Segments as text** (`.align`, `.lab`, `.txt` and the like): `begin end label` a line.
**Segments as a table** (CSV, TSV, JSON lines, Parquet): columns begin (or start), end (or stop) and label.
**Labels**: one a line, as many as there are frames; or a table with a column label and neither begin nor end.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.data.core.dialect import TableOptions
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.core.folders import find_sources
from unrolled.data.core.rows import TableRow
from unrolled.data.core.tables import SUFFIXES as TABLES
from unrolled.data.core.tables import Table, open_tables
from unrolled.errors import DataError, StorageError

#: how annotation files are named, besides tables
TEXTS = (".align", ".lab", ".labels", ".seg", ".txt")
BEGIN, END, LABEL, CLIP = ("begin", "start"), ("end", "stop"), ("label",), ("clip", "video", "file")

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class Timed(NamedTuple):
    """One segment as annotated, in whatever units: from `begin` to before `end`."""

    begin: float
    end: float
    label: str
    line: int | None = None


@dataclass(frozen=True)
class Annotation:
    """The annotation of one recording: segments, or a label for each step.

    Attributes:
        path: the file.
        segments: in order of their beginnings; empty for an annotation of steps.
        steps: a label for each step, or None for an annotation of segments.
        lines: the line of each of `steps`.
        units_per_second: of the segments' times; None says that they are frame numbers.
    """

    path: str
    segments: tuple[Timed, ...] = ()
    steps: tuple[str, ...] | None = None
    lines: tuple[int, ...] = ()
    units_per_second: float | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Those that occur, each once."""
        return tuple(dict.fromkeys(self.steps if self.steps is not None else (s.label for s in self.segments)))

    def line_of(self, label: str) -> int | None:
        """Return the line where a label first occurs."""
        if self.steps is not None:
            return self.lines[self.steps.index(label)] if label in self.steps else None
        return next((s.line for s in self.segments if s.label == label), None)

    def spread(self, numbers: NDArray[np.int64], count: int, rate: float | None, name: str) -> list[str | None]:
        """Return the label of each frame that was read; None where there is no segment.

        A frame has the label of the segment in which its middle lies.

        Args:
            numbers: (T,) the number of each frame in the file.
            count: frames of the file.
            rate: frames a second of those that were read.
            name: of the recording.

        Raises:
            DataError: another number of labels than of frames; a segment that begins beyond the end; times in seconds,
                and an unknown rate.
        """
        if self.steps is not None:
            if len(self.steps) not in (count, len(numbers)):
                raise DataError(f"{len(self.steps)} labels, and {name} has {count} frames", self.path)
            own = self.steps if len(self.steps) != count else [self.steps[n] for n in numbers]
            return list(own)
        if self.units_per_second is None:
            middles = numbers + 0.5
            end = float(count)
        elif rate is None:
            raise DataError(
                f"times in seconds, and {name} does not say how many frames make one: give its --rate", self.path
            )
        else:
            middles = (np.arange(len(numbers)) + 0.5) / rate * self.units_per_second
            end = len(numbers) / rate * self.units_per_second
        labels: list[str | None] = [None] * len(numbers)
        for segment in self.segments:
            if segment.begin > end:
                unit = "frames" if self.units_per_second is None else f"1/{self.units_per_second:g} s"
                raise DataError(
                    f"begins at {segment.begin:g}, and {name} ends at {end:g} ({unit}); is --units-per-second right?",
                    self.path,
                    segment.line,
                )
            first, last = np.searchsorted(middles, (segment.begin, segment.end))
            labels[first:last] = [segment.label] * int(last - first)
        return labels


class Annotations:
    """The annotation of each clip, named like it: in a folder (or .zip) of annotations, or beside the clip.

    Args:
        where: that folder; an annotation that is not in it, and with None every one, is looked for beside the clip.
        units_per_second, encoding: as `read_annotation` takes them.
    """

    def __init__(self, where: Path | None, units_per_second: float | None = None, encoding: str = "utf-8") -> None:
        self.where, self._units, self._encoding = where, units_per_second, encoding
        self._sources: dict[str, list[Source]] = {}
        for source in find_sources(where) if where is not None else ():
            stem, _, suffix = source.inner_name.rpartition(".")
            if f".{suffix}" in (*TEXTS, *TABLES):
                self._sources.setdefault(stem, []).append(source)

    def find(self, path: Path, stem: str, findings: Findings) -> Annotation | None:
        """Return the annotation of a clip, or None if it has none.

        Args:
            path: the clip's file or folder.
            stem: its bare name.

        Raises:
            DataError: strict, and it has two, or one that can't be used. Otherwise that goes to `findings`, and None is
                returned with the number of errors grown.
        """
        sources = self._sources.get(stem.lower(), [])
        if not sources:
            paths = (path.parent / f"{stem}{suffix}" for suffix in (*TEXTS, *TABLES))
            sources = [Source(p) for p in paths if p.is_file() and p != path]
        if len(sources) > 1:
            names = ", ".join(sorted(s.name for s in sources))
            findings.error("two annotations", f"more than one annotation is named like it: {names}", path)
            return None
        if not sources:
            return None
        return read_annotation(sources[0], findings, units_per_second=self._units, encoding=self._encoding)


def read_annotation(
    source: Source, findings: Findings, *, units_per_second: float | None = None, encoding: str = "utf-8"
) -> Annotation | None:
    """Read an annotation file; None if a part of it can't be used.

    Args:
        source: the file.
        findings: collects what can't be used, segments without length, and overlaps.
        units_per_second: of times; None says that they are frame numbers.
        encoding: of text.
    """
    before = findings.errors
    try:
        if source.inner_name.endswith(TABLES) and source.member is None:
            table = open_tables(source.path, TableOptions(encoding=encoding), known=(*BEGIN, *LABEL))[0]
            annotation = _of_table(table, findings)
        else:
            annotation = _of_text(source, findings, encoding)
    except DataError as error:
        findings.caught(error, "unreadable annotation")
        return None
    if findings.errors > before:
        return None
    if isinstance(annotation, list):
        return checked_segments(source.name, annotation, findings, units_per_second)
    return annotation


def _of_text(source: Source, findings: Findings, encoding: str) -> list[Timed] | Annotation:
    lines = [(number, line.strip()) for number, line in source.text_lines(encoding)]
    while lines and not lines[-1][1]:
        lines.pop()
    if not lines:
        raise DataError("an annotation without labels", source.name)
    first = next(line for _, line in lines if line).split(maxsplit=2)
    if len(first) == 3 and all(map(_NUMBER.fullmatch, first[:2])):
        segments = []
        for number, line in lines:
            parts = line.split(maxsplit=2)
            if len(parts) == 3 and all(map(_NUMBER.fullmatch, parts[:2])):
                segments.append(Timed(float(parts[0]), float(parts[1]), parts[2], number))
            elif line:
                findings.error("bad segment", f"expected `begin end label`, found {line[:60]!r}", source.name, number)
        return segments
    for number, line in lines:
        if not line:
            findings.error("missing label", "a line without a label: each frame needs one", source.name, number)
    return Annotation(source.name, steps=tuple(t for _, t in lines), lines=tuple(n for n, _ in lines))


def _of_table(table: Table, findings: Findings) -> list[Timed] | Annotation:
    begin, end, label = (table.column_like(names) for names in (BEGIN, END, LABEL))
    if label is None:
        raise DataError(f"no column 'label'; {table.described()}", table.name, 1)
    if begin is None and end is None:
        rows = [(row[label], row.line) for row in table.rows(findings)]
        return Annotation(table.name, steps=tuple(str(v) for v, _ in rows), lines=tuple(n for _, n in rows))
    if begin is None or end is None:
        raise DataError(f"segments need columns begin and end; {table.described()}", table.name, 1)
    segments = (segment_of(row, begin, end, label, findings) for row in table.rows(findings))
    return [segment for segment in segments if segment is not None]


def segment_of(row: TableRow, begin: str, end: str, label: str, findings: Findings) -> Timed | None:
    """Return the segment that a row of a table describes; None, and a finding, if it can't be used."""
    missing = [name for name in (begin, end, label) if row.get(name) in (None, "")]
    if missing:
        findings.error("bad segment", f"no {missing[0]!r} in this row", row.path, row.line)
        return None
    try:
        return Timed(row.number(begin), row.number(end), str(row[label]), row.line)
    except DataError as error:
        findings.caught(error, "bad segment")
        return None


def checked_segments(
    path: str, segments: list[Timed], findings: Findings, units_per_second: float | None
) -> Annotation | None:
    """Return segments in order of time, and report overlaps; None if a segment ends before it begins, an error."""
    usable = True
    for segment in segments:
        if not (segment.begin <= segment.end and segment.begin >= 0 and np.isfinite(segment.end)):
            message = f"a segment from {segment.begin:g} to {segment.end:g}"
            findings.error("bad segment", message, path, segment.line)
            usable = False
        elif segment.begin == segment.end:
            findings.warning(
                "zero-length segment", f"{segment.label!r} begins and ends at {segment.begin:g}", path, segment.line
            )
    if not usable:
        return None
    ordered = sorted(segments, key=lambda s: s.begin)
    for before, after in itertools.pairwise([s for s in ordered if s.begin < s.end]):
        if after.begin < before.end:
            message = (
                f"{after.label!r} begins at {after.begin:g}, before {before.label!r} ends at {before.end:g}; the later "
                "one holds"
            )
            findings.warning("overlap", message, path, after.line)
    return Annotation(path, tuple(ordered), units_per_second=units_per_second)


def annotated_clips(table: Table) -> tuple[str, str, str, str] | None:
    """Return the columns clip, begin, end and label of a table that annotates many clips; None if one is missing."""
    clip, begin, end, label = (table.column_like(names) for names in (CLIP, BEGIN, END, LABEL))
    if clip is None or begin is None or end is None or label is None:
        return None
    return clip, begin, end, label


def inside(folder: Path, named: str, path: str, line: int) -> Path:
    """Return a file that a table names, relative to the table's own folder.

    Raises:
        DataError: it leads out of that folder.
        StorageError: there is no such file.
    """
    relative = Path(named)
    if relative.is_absolute() or ".." in relative.parts:
        raise DataError(f"{named!r} leads out of the folder of this file; name clips relative to it", path, line)
    target = folder / relative
    if not target.exists():
        raise StorageError(f"{target}: no such file or folder (named in {path}:{line})")
    return target
