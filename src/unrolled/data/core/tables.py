"""Tables: CSV, TSV and anything delimited, JSON lines and Parquet, row by row in bounded memory.

    for row in read_table("reviews.csv.gz", columns=("text", "label")):
        row["text"], row["label"], row.path, row.line

The format of a file is detected by its name (.csv .tsv .tab .jsonl .ndjson .json .parquet .pq, with .gz or .xz behind
it), else by its first bytes. Every format but Parquet, which compresses itself, may be .gz, .xz or in a .zip. How a
delimited table is written is found out by its first rows (see `unrolled.data.core.dialect`) unless `TableOptions` say.
A header is also assumed where a column is asked for by name. Numbers count the columns of every table.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unrolled.data.core import rows as formats
from unrolled.data.core.dialect import Dialect, TableOptions, kind_of_cell, look_at, most_are
from unrolled.data.core.encodings import check_encoding, decode
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.core.folders import Paths, find_sources
from unrolled.data.core.rows import TableRow
from unrolled.errors import DataError

PARQUET = (".parquet", ".pq")
JSON_LINES = (".jsonl", ".ndjson", ".json")
TABS = (".tsv", ".tab")
#: names that say that a file is a table
SUFFIXES = (".csv", *TABS, *JSON_LINES, *PARQUET)

TableFormat = Literal["auto", "csv", "tsv", "jsonl", "parquet"]

#: bytes that a dialect is judged by, and rows of a sample
_HEAD, _LOOKED_AT = 1 << 16, 100


@dataclass(frozen=True)
class Table:
    """One table whose columns are known and whose rows can be read any number of times.

    Attributes:
        source: the file.
        format: csv (anything delimited), jsonl or parquet.
        columns: their names; "1", "2", … without a header; of JSON lines those of the first object.
        dialect: how it is written.
    """

    source: Source
    format: str
    columns: tuple[str, ...]
    dialect: Dialect

    @property
    def name(self) -> str:
        """Its name in error messages."""
        return self.source.name

    @property
    def has_header(self) -> bool:
        """Whether its columns have names."""
        return self.dialect.header

    @property
    def named(self) -> tuple[str, ...]:
        """The columns that have a name of their own; all columns if none has."""
        own = tuple(name for n, name in enumerate(self.columns, 1) if name != str(n))
        return own or self.columns

    def column(self, wanted: str) -> str:
        """Return the column that is meant: by its name, by its name in other letters, or by its number from 1.

        Raises:
            DataError: there is none, naming those that there are.
        """
        if wanted in self.columns:
            return wanted
        alike = [name for name in self.columns if name.lower() == wanted.strip().lower()]
        if len(alike) == 1:
            return alike[0]
        if wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= len(self.columns):
            return self.columns[int(wanted) - 1]
        raise DataError(f"no column {wanted!r}; {self.described()}", self.name, 1)

    def column_like(self, names: Sequence[str]) -> str | None:
        """Return the first column that bears one of some names, given in lower case."""
        lower = {column.strip().lower(): column for column in reversed(self.columns)}
        return next((lower[name] for name in names if name in lower), None)

    def described(self) -> str:
        """Return the columns in words."""
        return self.dialect.described(self.columns)

    def rows(self, findings: Findings | None = None) -> Iterator[TableRow]:
        """Yield the rows in order; blank ones are left out.

        Args:
            findings: collects rows that can't be used, which are left out; None raises for the first.

        Raises:
            DataError: strict, and a row has too many cells or too few, or is no JSON object; the file is damaged.
        """
        findings = Findings() if findings is None else findings
        if self.format == "parquet":
            return formats.parquet_rows(self.source, self.dialect)
        if self.format == "jsonl":
            return formats.json_rows(self.source, self.dialect, findings)
        return formats.delimited_rows(self.source, self.columns, self.dialect, findings)

    def sample(self, most: int = _LOOKED_AT) -> list[TableRow]:
        """Return the first rows that can be read."""
        return list(itertools.islice(self.rows(Findings(strict=False)), most))

    def understood(self, roles: dict[str, str] | None = None) -> list[str]:
        """Return in three lines how the table is read: its columns, their kinds, its first row.

        Args:
            roles: column → what it is used as, which stands for its kind.
        """
        sample, roles = self.sample(), roles or {}
        kinds = [roles.get(name) or _kind_of([row.get(name) for row in sample], self.dialect) for name in self.columns]
        first = [f"{sample[0].get(name, '')!s:.40}" for name in self.columns] if sample else ["(no row)"]
        written = f" ({self.dialect})" if self.dialect.delimiter else ""
        header = "" if self.has_header else " (no header)"
        return [
            f"{self.name}: columns {_listed(self.columns)}{header}{written}",
            f"  kinds  {_listed(kinds)}",
            f"  first  {_listed(first, ' | ')}",
        ]

    def note(self, findings: Findings, roles: dict[str, str]) -> None:
        """Tell `findings` how the table is read; `roles` as for `understood`."""
        findings.understood += self.understood(roles)
        for column, role in roles.items():
            findings.columns.setdefault(role, column)


def _listed(words: Sequence[str], between: str = ", ", most: int = 16) -> str:
    shown = [" ".join(word.split()) for word in words[:most]]
    return between.join(shown) + (f", … ({len(words)} in all)" if len(words) > most else "")


def open_tables(
    paths: Paths,
    options: TableOptions | None = None,
    *,
    format: TableFormat = "auto",
    known: Collection[str] = (),
    beside: Collection[str] = (),
    quoting: bool | None = None,
) -> list[Table]:
    """Return the tables of some files, each looked at as far as is needed to know its columns.

    Args:
        paths: files and folders, of a folder or .zip the members that are named like tables, or all if none is; or
            sources.
        options: how they are written.
        format: of all files; "auto" tells by name and content.
        known: names of columns that make the first row a header, if one of them is in it.
        beside: names of which one must be in it as well; none if empty.
        quoting: whether quotes enclose cells; None finds out.

    Raises:
        ArgumentError: an encoding that does not exist.
        StorageError: a path that does not exist or can't be read.
        DataError: an empty or binary file; a header that names a column twice.
        MissingDependencyError: Parquet without pyarrow.
    """
    options = options or TableOptions()
    check_encoding(options.encoding, options.errors)
    tables = []
    for path in [paths] if isinstance(paths, (str, Path, Source)) else paths:
        sources = find_sources(path, binary=PARQUET)
        if len(sources) > 1 or sources[0].listed:
            sources = [s for s in sources if s.inner_name.endswith(SUFFIXES)] or sources
        for source in sources:
            tables.append(_opened(source, options, format, known, beside, quoting))
    return tables


def _opened(
    source: Source,
    options: TableOptions,
    format: TableFormat,
    known: Collection[str],
    beside: Collection[str],
    quoting: bool | None,
) -> Table:
    kind = detect_format(source) if format == "auto" else format
    if kind == "parquet":
        return Table(source, kind, formats.parquet_columns(source), Dialect.plain(options))
    head = _head(source, options.encoding)
    if kind == "jsonl":
        columns = formats.first_keys(head)
        # rows that were tuples in memory
        numbered = bool(columns) and all(name == str(n) for n, name in enumerate(columns, 1))
        return Table(source, kind, columns, Dialect.plain(options, header=not numbered))
    looked = look_at(head, options, tabs=kind == "tsv", quoting=quoting, known=known, beside=beside)
    twice = next((name for n, name in enumerate(looked.columns) if name in looked.columns[:n]), None)
    if twice is not None:
        raise DataError(f"the header names column {twice!r} twice; rename one", source.name, looked.dialect.notes + 1)
    return Table(source, "csv", looked.columns, looked.dialect)


def read_table(
    paths: Paths,
    options: TableOptions | None = None,
    *,
    columns: Sequence[str] = (),
    findings: Findings | None = None,
    format: TableFormat = "auto",
    quoting: bool | None = None,
) -> Iterator[TableRow]:
    """Yield the rows of some tables, one after the other.

    Args:
        columns: that every row must have, by name or number; each is a key of every row, as it is spelled here.
        findings: collects tables that lack a column and rows that can't be used, which are left out; None raises for
            the first.
        paths, options, format, quoting: as `open_tables` takes them.

    Raises:
        ArgumentError, StorageError, DataError, MissingDependencyError: as `open_tables` and `Table.rows`.
    """
    findings = Findings() if findings is None else findings
    for table in open_tables(paths, with_header(options, columns), format=format, quoting=quoting):
        if table.format == "jsonl":
            # keys may differ from line to line, so each line is asked for them
            names = {wanted: wanted for wanted in columns}
        else:
            try:
                names = {wanted: table.column(wanted) for wanted in columns}
            except DataError as error:
                findings.caught(error, "missing column")
                continue
        for row in table.rows(findings):
            lacking = [wanted for wanted, name in names.items() if name not in row]
            if lacking:
                findings.error("missing column", row.without(lacking[0]), row.path, row.line)
                continue
            row.update({wanted: row[name] for wanted, name in names.items() if name != wanted})
            yield row


def with_header(options: TableOptions | None, columns: Sequence[str | None]) -> TableOptions:
    """Return options by which the first row is a header, if a column is named: there must be names then."""
    options = options or TableOptions()
    named = any(name is not None and not name.isdigit() for name in columns)
    return options.model_copy(update={"header": True}) if named and options.header is None else options


def detect_format(source: Source) -> TableFormat:
    """Return csv, tsv, jsonl or parquet, by a file's name, or by its first bytes if the name does not tell."""
    name = source.inner_name
    suffixes: tuple[tuple[TableFormat, tuple[str, ...]], ...]
    suffixes = (("parquet", PARQUET), ("jsonl", JSON_LINES), ("tsv", TABS), ("csv", (".csv",)))
    for format, endings in suffixes:
        if name.endswith(endings):
            return format
    head = source.head(4096).lstrip(b"\xef\xbb\xbf \r\n\t")
    if head.startswith(b"PAR1"):
        return "parquet"
    return "jsonl" if re.match(rb'\{\s*("|\})|\[\s*\{\s*"', head) else "csv"


def _head(source: Source, encoding: str) -> list[str]:
    """The first lines; the last is left out if it is cut."""
    start = source.head(_HEAD)
    is_cut = len(start) == _HEAD
    # bytes that are not of the encoding are named by the reading itself, which knows what to suggest
    lines = "".join(decode([start], source.name, encoding, "replace")).split("\n")
    return lines[:-1] if is_cut and len(lines) > 1 else lines


def _kind_of(cells: Iterable[object], dialect: Dialect) -> str:
    """Return the kind of a column: number, time, category, text, or empty."""
    texts = [str(cell) for cell in cells if cell is not None]
    kind = most_are(texts, dialect.decimal)
    present = [text for text in texts if kind_of_cell(text, dialect.decimal)]
    if kind or not present:
        return kind or "empty"
    return "category" if len(set(present)) <= max(2, len(present) // 4) else "text"
