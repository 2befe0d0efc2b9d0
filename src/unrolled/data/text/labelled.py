"""Texts with a label each, whatever files they come from.

    read_labelled(paths)  ─▶  LabelledText, one an example

=============  =========================================================================================================
table          CSV, TSV, JSON lines, Parquet (see `unrolled.data.core.tables`), a column of texts and one of labels
folders        a folder (or a folder of a .zip) for each label, with a text file for each example
fasttext       lines `__label__LABEL text`
label-first    lines `LABEL text`, with a space or tab between
=============  =========================================================================================================

**Which format.** Folders and archives that hold tables are tables, others are folders. Files named like tables are
tables. Of other files the first lines decide: `__label__` is fasttext; a first word of few kinds, each of them on
several lines, is label-first; everything else is a table.

**Which columns.** Of a table with a header those whose names mean texts and labels (`TEXT_NAMES`, `LABEL_NAMES`, the
first of each list that is there). Without a header, the column with the longest cells holds the texts, and of the
others the one with the fewest kinds of values, two at least, the labels. Both can be named.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from unrolled.data.core.examples import Example
from unrolled.data.core.files import Source, check_encoding, decode, find_sources, text_lines
from unrolled.data.core.findings import Findings
from unrolled.data.core.tables import PARQUET, SUFFIXES, Table, open_tables
from unrolled.errors import DataError

log = logging.getLogger("unrolled.data")

Format = Literal["auto", "table", "folders", "fasttext", "label-first"]

#: names of columns that hold texts, and labels, in the order in which they are looked for
TEXT_NAMES = (
    *("text", "sentence", "review", "document", "content", "body", "comment", "message", "tweet", "phrase"),
    *("utterance", "question", "description", "title", "subject"),
)
LABEL_NAMES = (
    *("label", "labels", "class", "category", "sentiment", "polarity", "target", "intent", "topic", "emotion"),
    *("rating", "stars", "score", "gold", "y"),
)
#: what a label begins with in fastText's format
MARK = "__label__"
#: rows or lines that are looked at to find out
_LOOKED_AT = 1000
#: a first word of more kinds than this is no label
_MOST_KINDS = 50


@dataclass(frozen=True, kw_only=True)
class LabelledText(Example):
    """A text and its label.

    Attributes:
        text: as the file has it, without blanks at its ends.
        label: what it is called.
    """

    text: str
    label: str

    @property
    def given(self) -> str:
        """The text."""
        return self.text

    @property
    def target(self) -> str:
        """The label."""
        return self.label

    @property
    def key(self) -> str:
        """The text, however its words are spaced."""
        return " ".join(self.text.split())

    @property
    def labels(self) -> tuple[str, ...]:
        """The label."""
        return (self.label,)

    @property
    def is_empty(self) -> bool:
        """Whether there is no word in it."""
        return not self.text


@dataclass(frozen=True)
class Reading:
    """How labelled texts are read.

    Attributes:
        format: of all files, or "auto".
        text_column, label_column: of tables, by name or number from 1; None finds out.
        delimiter: of tables; None finds out.
        encoding, errors: how bytes become text.
    """

    format: Format = "auto"
    text_column: str | None = None
    label_column: str | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"
    errors: str = "strict"


def read_labelled(
    paths: str | Path | Iterable[str | Path], findings: Findings | None = None, reading: Reading | None = None
) -> Iterator[LabelledText]:
    """The examples of some files, in order.

    Args:
        paths: files and folders.
        findings: told of examples that can't be used, which are left out; None raises for the first.
        reading: how; None finds out everything.

    Raises:
        ArgumentError: an encoding that does not exist.
        StorageError: a path that does not exist or can't be read.
        DataError, EncodingError: what can't be used, with file and line.
    """
    findings = Findings() if findings is None else findings
    reading = Reading() if reading is None else reading
    check_encoding(reading.encoding, reading.errors)
    for path in [paths] if isinstance(paths, (str, Path)) else list(paths):
        format = detect_format(path, reading) if reading.format == "auto" else reading.format
        log.info("%s: read as %s", path, format)
        if format == "table":
            yield from _from_tables(path, findings, reading)
        elif format == "folders":
            yield from _from_folders(Path(path), findings, reading)
        else:
            for source in find_sources(path):
                yield from _from_lines(source, findings, reading, MARK if format == "fasttext" else "")


def detect_format(path: str | Path, reading: Reading) -> Format:
    """What the files of a path are, as told at the head of this file."""
    sources = find_sources(path, binary=PARQUET)
    if any(source.inner_name.endswith(SUFFIXES) for source in sources):
        return "table"
    if reading.text_column is not None or reading.label_column is not None or reading.delimiter is not None:
        return "table"
    if Path(path).is_dir() or sources[0].member is not None:
        return "folders"
    lines = [line for line in islice(_lines(sources[0], reading), _LOOKED_AT) if line.strip()]
    if any(line.lstrip().startswith(MARK) for line in lines[:1]):
        return "fasttext"
    kinds = Counter(line.split(None, 1)[0] for line in lines)
    several = all(count > 1 for count in kinds.values())
    tab_after_text = all("\t" in line and " " in line.split("\t")[0] for line in lines)
    if lines and 1 < len(kinds) <= _MOST_KINDS and several and not tab_after_text:
        return "label-first"
    return "table"


def _lines(source: Source, reading: Reading) -> Iterator[str]:
    return text_lines(decode(source.chunks(), source.name, reading.encoding, reading.errors), source.name)


def _from_lines(source: Source, findings: Findings, reading: Reading, mark: str) -> Iterator[LabelledText]:
    for number, line in enumerate(_lines(source, reading), 1):
        if not line.strip():
            continue
        first, *rest = line.split(None, 1)
        if mark and not (first.startswith(mark) and len(first) > len(mark)):
            message = f"expected {mark}LABEL, then the text; found {first[:40]!r}"
            findings.error("no label", message, source.name, number)
            continue
        text = rest[0].strip() if rest else ""
        if mark and text.startswith(mark):
            message = f"several labels ({first}, {text.split()[0]}); one a text is what can be learned here"
            findings.error("several labels", message, source.name, number)
            continue
        yield LabelledText(text=text, label=first[len(mark) :], path=source.name, line=number)


def _from_folders(root: Path, findings: Findings, reading: Reading) -> Iterator[LabelledText]:
    sources = find_sources(root)
    places = [_folders_of(source, root) for source in sources]
    # a README beside the labels' folders is no example of a label that is called as the folder around them
    depth = Counter(map(len, places)).most_common(1)[0][0]
    for source, place in zip(sources, places, strict=True):
        if len(place) != depth:
            message = "lies beside the folders that are named like labels, and is left out"
            findings.warning("no label", message, source.name)
            continue
        label = place[-1] if place else root.resolve().name if source.member is None else root.stem
        text = "".join(decode(source.chunks(), source.name, reading.encoding, reading.errors)).strip()
        yield LabelledText(text=text, label=label, path=source.name)


def _folders_of(source: Source, root: Path) -> tuple[str, ...]:
    if source.member is None:
        return source.path.parent.relative_to(root).parts if root.is_dir() else ()
    inside = PurePosixPath(source.member).parent.parts
    return (*source.path.parent.relative_to(root).parts, *inside) if root.is_dir() else inside


def _from_tables(path: str | Path, findings: Findings, reading: Reading) -> Iterator[LabelledText]:
    wanted = [name for name in (reading.text_column, reading.label_column) if name is not None]
    named = [name for name in wanted if not name.isdigit()]
    tables = open_tables(
        path,
        # one of these words alone may well be the first label of a table without a header
        known=TEXT_NAMES,
        beside=LABEL_NAMES,
        # whoever names a column knows that there are names
        header=True if named else None,
        delimiter=reading.delimiter,
        encoding=reading.encoding,
        errors=reading.errors,
    )
    for table in tables:
        try:
            text_column, label_column = columns_of(table, reading.text_column, reading.label_column)
        except DataError as error:
            findings.caught(error, "missing column")
            continue
        for row in table.rows(findings):
            lacking = [name for name in (text_column, label_column) if name not in row]
            if lacking:
                message = f"no column {lacking[0]!r}; this row has {', '.join(map(repr, row)) or 'none'}"
                findings.error("missing column", message, row.path, row.line)
                continue
            label, text = _word(row[label_column]), row[text_column]
            if label is None:
                message = f"column {label_column!r}: expected a label, found {row[label_column]!r}"
                findings.error("no label", message, row.path, row.line)
            elif not isinstance(text, str):
                message = f"column {text_column!r}: expected a text, found {text!r}"
                findings.error("no text", message, row.path, row.line)
            else:
                yield LabelledText(text=text.strip(), label=label, path=row.path, line=row.line)


def columns_of(table: Table, text_column: str | None, label_column: str | None) -> tuple[str, str]:
    """The columns of texts and of labels.

    Raises:
        DataError: one that was named does not exist, or none can be told to be it (names those that exist); no row.
    """
    if not table.columns:
        raise DataError("there is nothing but blank lines in this file", table.name)
    text = None if text_column is None else table.column(text_column)
    label = None if label_column is None else table.column(label_column)
    if table.has_header:
        text = text or _first_of(TEXT_NAMES, table.columns, label)
        label = label or _first_of(LABEL_NAMES, table.columns, text)
    if (text is None or label is None) and len(table.columns) > 1:
        rows = list(islice(table.rows(Findings(strict=False)), _LOOKED_AT))
        values = {name: [str(row.get(name, "")) for row in rows] for name in table.columns}
        if text is None and not table.has_header:
            left = [name for name in table.columns if name != label]
            text = max(left, key=lambda name: sum(map(len, values[name])))
        if label is None and not table.has_header:
            left = [name for name in table.columns if name != text]
            # a column that is the same everywhere tells nothing
            label = min(left, key=lambda name: (len(set(values[name])) < 2, len(set(values[name]))))
        if text is None and label is not None and len(table.columns) == 2:
            text = next(name for name in table.columns if name != label)
        if label is None and text is not None and len(table.columns) == 2:
            label = next(name for name in table.columns if name != text)
    return _sure("text", text, table), _sure("label", label, table)


def _sure(kind: str, found: str | None, table: Table) -> str:
    if found is None:
        message = f"which column holds the {kind}s? {table.described()}; name it with --{kind}-column"
        raise DataError(message, table.name, 1)
    return found


def _first_of(names: Sequence[str], columns: Sequence[str], taken: str | None) -> str | None:
    by_name = {column.lower(): column for column in columns if column != taken}
    return next((by_name[name] for name in names if name in by_name), None)


def _word(value: Any) -> str | None:
    """A label out of a cell of any type; None if there is none."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (str, int, float)) and value == value:
        return str(value).strip() or None
    return None
