"""Texts with a label each, whatever files they come from.

    read_labelled(paths)  ─▶  LabelledText, one an example

=============  =========================================================================================================
table          CSV, TSV, JSON lines, Parquet (see `unrolled.data.core.tables`), a column of texts and one of labels
folders        a folder (or a folder of a .zip) for each label, with a text file for each example
fasttext       lines `__label__LABEL text`
label-first    lines `LABEL text`, with a space between
=============  =========================================================================================================

**Which format.** Folders and archives that hold tables are tables, others are folders. Files named like tables are
tables. Of other files the first lines decide: `__label__` is fasttext; lines without tabs whose first words are of few
kinds, nearly all of them recurring, are label-first; everything else is a table.

**Which columns.** Those whose names mean texts and labels (`TEXT_NAMES`, `LABEL_NAMES`, the first of each list that is
there), or have such a word in them (comment_text, airline_sentiment). Where no name tells, and the table has no header
or no more than two columns with names, the column with the longest cells holds the texts, and of the others the one
with the fewest kinds of values, two at least, most of them recurring, the labels. Both can be named.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import Field

from unrolled.data.core.dialect import TableOptions
from unrolled.data.core.encodings import check_encoding
from unrolled.data.core.examples import Example
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.core.folders import Paths, find_sources
from unrolled.data.core.tables import PARQUET, SUFFIXES, Table, open_tables, with_header
from unrolled.errors import DataError

log = logging.getLogger("unrolled.data")

TextFormat = Literal["auto", "table", "folders", "fasttext", "label-first"]

#: names of columns that hold texts, and labels, in the order in which they are looked for
TEXT_NAMES = (
    *("text", "sentence", "review", "document", "content", "body", "comment", "message", "tweet", "phrase", "sms"),
    *("utterance", "question", "description", "headline", "title", "subject"),
)
LABEL_NAMES = (
    *("label", "labels", "class", "category", "sentiment", "polarity", "target", "intent", "topic", "emotion"),
    *("rating", "stars", "score", "gold", "y"),
)
#: the beginning of a label in fastText's format
MARK = "__label__"
#: rows or lines that are looked at to find out
_LOOKED_AT = 1000
#: first words of more kinds than this are no labels, nor are kinds with fewer lines each than this
_MOST_KINDS, _FEWEST_LINES = 200, 4


class LabelledTextOptions(TableOptions):
    """Options by which labelled texts are read; None finds out."""

    format: TextFormat = "auto"
    text_column: str | None = Field(default=None, description="of a table, by name or number from 1")
    label_column: str | None = Field(default=None, description="of a table, by name or number from 1")


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


def read_labelled(
    paths: Paths, findings: Findings | None = None, options: LabelledTextOptions | None = None
) -> Iterator[LabelledText]:
    """Yield the examples of some files, in order.

    Args:
        paths: files and folders.
        findings: collects examples that can't be used, which are left out; None raises for the first.
        options: how they are read; None finds out everything.

    Raises:
        ArgumentError: an encoding that does not exist.
        StorageError: a path that does not exist or can't be read.
        DataError, EncodingError: data that can't be used, with file and line.
    """
    findings = Findings() if findings is None else findings
    options = LabelledTextOptions() if options is None else options
    check_encoding(options.encoding, options.errors)
    for path in [paths] if isinstance(paths, (str, Path, Source)) else list(paths):
        format = detect_format(path, options) if options.format == "auto" else options.format
        name = path.name if isinstance(path, Source) else path
        log.info("%s: read as %s", name, format)
        if format == "table":
            yield from _from_tables(path, findings, options)
        elif format == "folders" and not isinstance(path, Source):
            yield from _from_folders(Path(path), findings, options)
        else:
            for source in find_sources(path):
                findings.understood.append(f"{source.name}: lines of {MARK if format == 'fasttext' else ''}LABEL text")
                yield from _from_lines(source, findings, options, MARK if format == "fasttext" else "")


def detect_format(path: str | Path | Source, options: LabelledTextOptions) -> TextFormat:
    """Return the format of the files of a path, as described at the head of this file."""
    sources = find_sources(path, binary=PARQUET)
    if any(source.inner_name.endswith(SUFFIXES) for source in sources):
        return "table"
    if options.text_column is not None or options.label_column is not None or options.delimiter is not None:
        return "table"
    if sources[0].listed:
        return "folders"
    lines = [line for _, line in islice(sources[0].filled_lines(options.encoding, options.errors), _LOOKED_AT)]
    if lines and lines[0].lstrip().startswith(MARK):
        return "fasttext"
    kinds = Counter(line.split(None, 1)[0] for line in lines)
    recurring = sum(count for count in kinds.values() if count > 1)
    few = 1 < len(kinds) <= min(_MOST_KINDS, max(2, len(lines) // _FEWEST_LINES)) and recurring > 0.95 * len(lines)
    return "label-first" if few and sum("\t" in line for line in lines) < 0.5 * len(lines) else "table"


def _from_lines(source: Source, findings: Findings, options: LabelledTextOptions, mark: str) -> Iterator[LabelledText]:
    for number, line in source.filled_lines(options.encoding, options.errors):
        first, *rest = line.split(None, 1)
        if mark and not (first.startswith(mark) and len(first) > len(mark)):
            message = f"expected {mark}LABEL, then the text; found {first[:40]!r}"
            findings.error("no label", message, source.name, number)
            continue
        text = rest[0].strip() if rest else ""
        if mark and text.startswith(mark):
            message = f"several labels ({first}, {text.split()[0]}); a text can have one: leave the others out"
            findings.error("several labels", message, source.name, number)
            continue
        yield LabelledText(text=text, label=first[len(mark) :], path=source.name, line=number)


def _from_folders(root: Path, findings: Findings, options: LabelledTextOptions) -> Iterator[LabelledText]:
    sources = find_sources(root)
    places = [_folders_of(source, root) for source in sources]
    # a README beside the labels' folders is no example of a label that is called as the folder around them
    depth = Counter(map(len, places)).most_common(1)[0][0]
    labels = sorted({place[-1] for place in places if len(place) == depth and place})
    findings.understood.append(f"{root}: a folder for each label: {', '.join(labels[:16]) or root.resolve().name}")
    for source, place in zip(sources, places, strict=True):
        if len(place) != depth:
            message = "lies beside the folders that are named like labels, and is left out"
            findings.warning("no label", message, source.name)
            continue
        label = place[-1] if place else root.resolve().name if source.member is None else root.stem
        text = "".join(source.text(options.encoding, options.errors)).strip()
        yield LabelledText(text=text, label=label, path=source.name)


def _folders_of(source: Source, root: Path) -> tuple[str, ...]:
    inside = source.parts[:-1] if source.member is not None else ()
    return (*source.path.parent.relative_to(root).parts, *inside) if root.is_dir() else inside


def _from_tables(path: str | Path | Source, findings: Findings, options: LabelledTextOptions) -> Iterator[LabelledText]:
    # one of these words alone may well be the first label of a table without a header
    tables = open_tables(
        path, with_header(options, [options.text_column, options.label_column]), known=TEXT_NAMES, beside=LABEL_NAMES
    )
    for table in tables:
        try:
            text_column, label_column = columns_of(table, options.text_column, options.label_column)
        except DataError as error:
            findings.caught(error, "missing column")
            continue
        table.note(findings, {text_column: "text", label_column: "label"})
        for row in table.rows(findings):
            lacking = [name for name in (text_column, label_column) if name not in row]
            if lacking:
                findings.error("missing column", row.without(lacking[0]), row.path, row.line)
                continue
            label, text = _word(row[label_column]), row[text_column]
            if label is None:
                message = f"column {label_column!r}: expected a label, found {row[label_column]!r:.80}"
                findings.error("no label", message, row.path, row.line)
            elif not isinstance(text, str):
                message = f"column {text_column!r}: expected a text, found {text!r:.80}"
                findings.error("no text", message, row.path, row.line)
            else:
                yield LabelledText(text=text.strip(), label=label, path=row.path, line=row.line)


def columns_of(table: Table, text_column: str | None, label_column: str | None) -> tuple[str, str]:
    """Return the columns of texts and of labels.

    Raises:
        DataError: one that was named does not exist, or none can be recognised (names those that exist); no row.
    """
    if not table.columns:
        raise DataError("there is nothing but blank lines in this file", table.name)
    if len(table.columns) < 2:
        message = "one column, where a text and its label are needed, with a tab or a comma between"
        raise DataError(f"{message}; {table.described()}; --delimiter names another mark", table.name, 1)
    text = None if text_column is None else table.column(text_column)
    label = None if label_column is None else table.column(label_column)
    if table.has_header:
        text = text or _first_of(TEXT_NAMES, table.columns, label)
        label = label or _first_of(LABEL_NAMES, table.columns, text)
    if text is not None and label is not None:
        return text, label
    rows = table.sample(_LOOKED_AT)
    values = {name: [str(row.get(name, "")) for row in rows] for name in table.columns}
    kinds = {name: len(set(cells)) for name, cells in values.items()}
    # a column that is the same everywhere tells nothing, and one that never says the same twice names its rows
    recurs = {name: 1 < count <= max(2, len(rows) // 2) or len(rows) < 8 for name, count in kinds.items()}
    if table.has_header:
        text = text or _with_word(TEXT_NAMES, [name for name in table.named if name != label and not recurs[name]])
        label = label or _with_word(LABEL_NAMES, [name for name in table.named if name != text and recurs[name]])
    candidates = [name for name in table.named if name not in (text, label)]
    if (text is None or label is None) and (not table.has_header or len(table.named) <= 2):
        if text is None and candidates and (len(candidates) > 1 or label is not None):
            text = max(candidates, key=lambda name: sum(map(len, values[name])))
            candidates.remove(text)
        fits = [name for name in candidates if recurs[name]]
        if label is None and fits and text is not None:
            label = min(fits, key=lambda name: (kinds[name] < 2, kinds[name]))
    return _sure("text", text, table), _sure("label", label, table)


def _sure(kind: str, column: str | None, table: Table) -> str:
    if column is None:
        message = f"which column holds the {kind}s? {table.described()}; name it with --{kind}-column"
        raise DataError(message, table.name, 1)
    return column


def _first_of(names: Sequence[str], columns: Sequence[str], taken: str | None) -> str | None:
    by_name = {column.lower(): column for column in columns if column != taken}
    return next((by_name[name] for name in names if name in by_name), None)


def _with_word(names: Sequence[str], columns: Sequence[str]) -> str | None:
    """The first column whose name has one of some words in it."""
    words = {column: re.split(r"[\W_]+", column.lower()) for column in columns}
    return next((column for name in names if len(name) > 1 for column in columns if name in words[column]), None)


def _word(value: object) -> str | None:
    """A label out of a cell of any type; None if there is none."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (str, int, float)) and value == value:
        return str(value).strip() or None
    return None
