"""Tables: CSV, TSV and anything delimited, JSON lines and Parquet, row by row in bounded memory.

    for row in read_table("reviews.csv.gz", columns=("text", "label")):
        row["text"], row["label"], row.path, row.line

Which format a file has is told by its name (.csv .tsv .tab .jsonl .ndjson .json .parquet .pq, with .gz or .xz behind
it), else by its first bytes. Every format but Parquet, which compresses itself, may be .gz, .xz or in a .zip.

**Delimiter.** Tab in .tsv and .tab; elsewhere the one of comma, tab, semicolon and bar that cuts most of the first
lines into as many cells as the first line (two at least); of equals the one that makes most cells, then in that order.
**Quotes.** As RFC 4180 has them, delimiters, line ends and doubled quotes within them included. In tab-separated files,
whose definition (IANA text/tab-separated-values) has no quoting, a quote is a character like any other.
**Header.** The first line names the columns if a column is asked for by name, if a name that the caller knows is in
it, or if none of its cells is a number and a column below it holds nothing but numbers. Columns of a table without a
header are called "1", "2", …; numbers count columns of every other table too.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unrolled.data.core.files import (
    LONGEST_LINE,
    Source,
    check_encoding,
    decode,
    filled_lines,
    find_sources,
    text_lines,
)
from unrolled.data.core.findings import Findings
from unrolled.errors import ArgumentError, DataError, MissingDependencyError

PARQUET = (".parquet", ".pq")
JSON_LINES = (".jsonl", ".ndjson", ".json")
TABS = (".tsv", ".tab")
#: names that say that a file is a table
SUFFIXES = (".csv", *TABS, *JSON_LINES, *PARQUET)

Format = Literal["auto", "csv", "tsv", "jsonl", "parquet"]

_DELIMITERS = (",", "\t", ";", "|")
_NAMES = {",": "a comma", "\t": "a tab", ";": "a semicolon", "|": "a bar"}
#: bytes and lines that delimiter and header are judged by
_HEAD, _LOOKED_AT = 1 << 16, 100
#: rows of Parquet in memory at a time
_ROWS = 1024
_SURROGATE = re.compile("[\ud800-\udfff]")


class Row(dict[str, Any]):
    """One row: column → value, a string in delimited text, whatever it is in JSON lines and Parquet.

    Attributes:
        path: the file it comes from.
        line: the line it begins on, 1-based; in Parquet the number of the row.
    """

    __slots__ = ("line", "path")

    def __init__(self, values: Iterable[tuple[str, Any]], path: str, line: int) -> None:
        super().__init__(values)
        self.path, self.line = path, line


@dataclass(frozen=True)
class Table:
    """One table whose columns are known and whose rows can be read any number of times.

    Attributes:
        source: the file.
        format: what it is in.
        columns: their names; "1", "2", … without a header; of JSON lines those of the first object.
        delimiter: between cells; None where the format has none.
        has_header: whether the first line names the columns.
        quoting: whether quotes enclose cells.
        encoding, errors: how text is decoded.
    """

    source: Source
    format: str
    columns: tuple[str, ...]
    delimiter: str | None = None
    has_header: bool = True
    quoting: bool = True
    encoding: str = "utf-8"
    errors: str = "strict"

    @property
    def name(self) -> str:
        """What error messages call it."""
        return self.source.name

    def column(self, wanted: str) -> str:
        """The column that somebody means: by its name, by its name in other letters, or by its number from 1.

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

    def described(self) -> str:
        """The columns, in words."""
        if self.has_header:
            return f"the columns are {', '.join(map(repr, self.columns)) or 'none'}"
        between = "" if self.delimiter is None else f" with {_NAMES.get(self.delimiter, repr(self.delimiter))} between"
        return f"no header was found; the columns are numbered 1 to {len(self.columns)}{between}"

    def rows(self, findings: Findings | None = None) -> Iterator[Row]:
        """The rows in order; blank lines are none.

        Args:
            findings: told of rows that can't be used, which are left out; None raises for the first.

        Raises:
            DataError: strict, and a row has too many cells or too few, or is no JSON object; the file is damaged.
        """
        findings = Findings() if findings is None else findings
        if self.format == "parquet":
            return _parquet_rows(self)
        return _json_rows(self, findings) if self.format == "jsonl" else _delimited_rows(self, findings)


def open_tables(
    paths: str | Path | Iterable[str | Path | Source],
    *,
    format: Format = "auto",
    header: bool | None = None,
    known: Collection[str] = (),
    beside: Collection[str] = (),
    delimiter: str | None = None,
    quoting: bool | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
) -> list[Table]:
    """The tables of some files, each looked at as far as is needed to know its columns.

    Args:
        paths: files and folders, of a folder or .zip the members that are named like tables, or all if none is; or
            sources that somebody has found.
        format: of all files; "auto" tells by name and content.
        header: whether the first line names the columns; None finds out.
        known: names of columns that make the first line a header, if one of them is in it.
        beside: names of which one must be in it as well; none if empty.
        delimiter: one character; None finds out.
        quoting: whether quotes enclose cells; None says no for tab-separated files and yes for others.
        encoding, errors: of text, as `read_documents` takes them.

    Raises:
        ArgumentError: an encoding that does not exist, a delimiter that is not one character.
        StorageError: a path that does not exist or can't be read.
        DataError: an empty or binary file; a header that names a column twice.
        MissingDependencyError: Parquet without pyarrow.
    """
    check_encoding(encoding, errors)
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise ArgumentError(f"delimiter: expected one character, no quote or line end, found {delimiter!r}")
    tables = []
    for path in [paths] if isinstance(paths, (str, Path)) else list(paths):
        sources = [path] if isinstance(path, Source) else find_sources(path, binary=PARQUET)
        if len(sources) > 1 or sources[0].found:
            sources = [s for s in sources if s.inner_name.endswith(SUFFIXES)] or sources
        for source in sources:
            kind = detect_format(source) if format == "auto" else format
            if kind == "parquet":
                tables.append(Table(source, kind, _parquet_columns(source)))
                continue
            head = _head(source, encoding, errors)
            if kind == "jsonl":
                columns = _first_keys(head)
                tables.append(Table(source, kind, columns, encoding=encoding, errors=errors))
                continue
            between = delimiter or ("\t" if kind == "tsv" else _detect_delimiter(head))
            quotes = quoting if quoting is not None else between != "\t"
            cells = list(itertools.islice(_cells(head, between, quotes), _LOOKED_AT))
            named = header if header is not None else _has_header(cells, known, beside)
            columns = _column_names(cells[0] if cells else [], named, source)
            tables.append(Table(source, kind, columns, between, named, quotes, encoding, errors))
    return tables


def read_table(
    paths: str | Path | Iterable[str | Path],
    *,
    columns: Sequence[str] = (),
    findings: Findings | None = None,
    format: Format = "auto",
    header: bool | None = None,
    delimiter: str | None = None,
    quoting: bool | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
) -> Iterator[Row]:
    """The rows of some tables, one after the other.

    Args:
        columns: that every row must have, by name or number; each is a key of every row, as it is spelled here.
        findings: told of tables that lack a column and of rows that can't be used, which are left out; None raises for
            the first.
        paths, format, header, delimiter, quoting, encoding, errors: as `open_tables` takes them.

    Raises:
        ArgumentError, StorageError, DataError, MissingDependencyError: as `open_tables` and `Table.rows`.
    """
    findings = Findings() if findings is None else findings
    tables = open_tables(
        paths,
        format=format,
        # whoever names a column knows that there are names
        header=True if header is None and any(not name.isdigit() for name in columns) else header,
        delimiter=delimiter,
        quoting=quoting,
        encoding=encoding,
        errors=errors,
    )
    for table in tables:
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
                message = f"no column {lacking[0]!r}; this row has {', '.join(map(repr, row)) or 'none'}"
                findings.error("missing column", message, row.path, row.line)
                continue
            row.update({wanted: row[name] for wanted, name in names.items() if name != wanted})
            yield row


def detect_format(source: Source) -> str:
    """csv, tsv, jsonl or parquet, by a file's name, or by its first bytes if the name does not tell."""
    name = source.inner_name
    for format, suffixes in (("parquet", PARQUET), ("jsonl", JSON_LINES), ("tsv", TABS), ("csv", (".csv",))):
        if name.endswith(suffixes):
            return format
    head = source.head(4096).lstrip(b"\xef\xbb\xbf \r\n\t")
    if head.startswith(b"PAR1"):
        return "parquet"
    return "jsonl" if re.match(rb'\{\s*("|\})', head) else "csv"


def _head(source: Source, encoding: str, errors: str) -> list[str]:
    """The first lines; the last is left out if it is cut."""
    start = source.head(_HEAD)
    is_cut = len(start) == _HEAD
    # a character may be cut in two as well
    lines = "".join(decode([start], source.name, encoding, "replace" if is_cut else errors)).split("\n")
    return lines[:-1] if is_cut and len(lines) > 1 else lines


def _cells(lines: Iterable[str], delimiter: str, quoting: bool) -> Iterator[list[str]]:
    """Rows of a head; what is cut short at its end or is malformed is for the real reading to tell."""
    reader = _reader((line + "\n" for line in lines), delimiter, quoting)
    try:
        for cells in reader:
            if cells:
                yield cells
    except csv.Error:
        return


def _reader(lines: Iterable[str], delimiter: str, quoting: bool) -> Any:
    # its limit holds for the whole process and guards against quotes that are never closed; documents may be longer
    # than its 128 Ki characters, so it is raised to ours and never lowered
    if csv.field_size_limit() < LONGEST_LINE:
        csv.field_size_limit(LONGEST_LINE)
    return csv.reader(
        lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE, strict=quoting
    )


def _detect_delimiter(head: list[str]) -> str:
    best, found = (0.0, 0), ","
    for delimiter in _DELIMITERS:
        rows = list(itertools.islice(_cells(head, delimiter, delimiter != "\t"), _LOOKED_AT))
        width = len(rows[0]) if rows else 0
        if width < 2:
            continue
        fit = (sum(len(row) == width for row in rows) / len(rows), width)
        if fit > best:
            best, found = fit, delimiter
    return found


def _has_header(rows: list[list[str]], known: Collection[str], beside: Collection[str]) -> bool:
    if not rows:
        return False
    first = [cell.strip().lower() for cell in rows[0]]
    if _occurs(known, first) and (not beside or _occurs(beside, first)):
        return True
    if any(_is_number(cell) for cell in first) or len(set(first)) < len(first):
        return False
    below = [row for row in rows[1:] if len(row) == len(first)]
    columns = [[cell.strip() for cell in column if cell.strip()] for column in zip(*below, strict=True)]
    return any(column and all(map(_is_number, column)) for column in columns)


def _occurs(names: Collection[str], cells: list[str]) -> bool:
    return any(name.strip().lower() in cells for name in names)


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _column_names(first: list[str], named: bool, source: Source) -> tuple[str, ...]:
    numbers = [str(n) for n in range(1, len(first) + 1)]
    if not named:
        return tuple(numbers)
    # some programs leave the name of a column of row numbers empty
    names = [cell.strip() or number for cell, number in zip(first, numbers, strict=True)]
    for n, name in enumerate(names):
        if name in names[:n]:
            raise DataError(f"the header names column {name!r} twice; rename one", source.name, 1)
    return tuple(names)


def _first_keys(head: list[str]) -> tuple[str, ...]:
    for line in head:
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                break
            return tuple(value) if isinstance(value, dict) else ()
    return ()


def _delimited_rows(table: Table, findings: Findings) -> Iterator[Row]:
    name, width = table.name, len(table.columns)
    lines = text_lines(decode(table.source.chunks(), name, table.encoding, table.errors), name)
    reader = _reader((line + "\n" for line in lines), str(table.delimiter), table.quoting)
    is_header = table.has_header
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            message = f"not a row of a table: {error}; a quote that is not closed, or that should be doubled?"
            findings.error("malformed", message, name, line)
            continue
        if not cells:
            continue
        if is_header:
            is_header = False
            continue
        if len(cells) != width:
            message = f"{len(cells)} cell{'s' * (len(cells) != 1)} instead of {width}; {table.described()}"
            hint = "; enclose cells that hold the delimiter in quotes" if len(cells) > width and table.quoting else ""
            findings.error("ragged", message + hint, name, line)
            continue
        yield Row(zip(table.columns, cells, strict=True), name, line)


def _json_rows(table: Table, findings: Findings) -> Iterator[Row]:
    name = table.name
    for number, line in filled_lines(table.source, table.encoding, table.errors):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            findings.error("malformed", f"not valid JSON: {error}; one object a line is expected", name, number)
            continue
        if not isinstance(value, dict):
            message = f"expected a JSON object, found {type(value).__name__}; one object a line is expected"
            findings.error("malformed", message, name, number)
            continue
        if "\\ud" in line.lower() and _SURROGATE.search(json.dumps(value, ensure_ascii=False)):
            # JSON can spell half a surrogate pair, which is no character and has no UTF-8
            if table.errors == "strict":
                findings.error("malformed", "half a surrogate pair; use --errors replace", name, number)
                continue
            value = json.loads(_SURROGATE.sub("\ufffd", json.dumps(value, ensure_ascii=False)))
        yield Row(value.items(), name, number)


def _parquet_file(source: Source) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError("pyarrow", "hub", "reading Parquet") from error
    if source.member is not None or not source.path.name.lower().endswith(PARQUET):
        raise DataError("Parquet compresses itself and is read as it is: unpack it, and name it .parquet", source.name)
    try:
        return pyarrow.parquet.ParquetFile(source.path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"not a usable Parquet file: {error}", source.name) from error


def _parquet_columns(source: Source) -> tuple[str, ...]:
    with _parquet_file(source) as file:
        return tuple(file.schema_arrow.names)


def _parquet_rows(table: Table) -> Iterator[Row]:
    import pyarrow

    number = 0
    with _parquet_file(table.source) as file:
        batches = file.iter_batches(batch_size=_ROWS)
        while True:
            try:
                batch = next(batches, None)
            except (pyarrow.ArrowException, OSError) as error:
                raise DataError(f"damaged after row {number}: {error}", table.name) from error
            if batch is None:
                return
            for values in batch.to_pylist():
                number += 1
                yield Row(values.items(), table.name, number)


def cell_number(row: Row, column: str) -> float:
    """A cell as a number; an empty one, and "nan" or "null" in any letters, is NaN.

    Raises:
        DataError: it holds something else.
    """
    value = row[column]
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "nan", "na", "null", "none")):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DataError(f"column {column!r}: expected a number, found {value!r}", row.path, row.line) from None
