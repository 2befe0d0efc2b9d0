"""The rows of tables, a reader for each format."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from unrolled.data.core.dialect import Dialect, cells_of
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.errors import DataError, LimitError, MissingDependencyError

#: rows of Parquet in memory at a time
_ROWS = 1024
#: characters of a JSON array, which is read whole
_LONGEST_ARRAY = 256 << 20
_SURROGATE = re.compile("[\ud800-\udfff]")


class TableRow(dict[str, Any]):
    """One row: column → value, a string in delimited text, its own type in JSON lines and Parquet.

    Attributes:
        path: the file it comes from.
        line: the line it begins on, 1-based; in Parquet the number of the row.
        dialect: how its numbers are written.
    """

    __slots__ = ("dialect", "line", "path")

    def __init__(
        self,
        values: Iterable[tuple[str, Any]],
        path: str,
        line: int,
        dialect: Dialect = Dialect(),  # noqa: B008
    ) -> None:
        super().__init__(values)
        self.path, self.line, self.dialect = path, line, dialect

    def number(self, column: str) -> float:
        """Return a cell as a number; a missing one is NaN.

        Raises:
            DataError: it holds something else.
        """
        try:
            return self.dialect.number(self[column])
        except ValueError:
            message = f"column {column!r}: expected a number, found {self[column]!r:.80}"
            raise DataError(message, self.path, self.line) from None

    def without(self, column: str) -> str:
        """Return the message about a column that this row lacks."""
        return f"no column {column!r}; this row has {', '.join(map(repr, self)) or 'none'}"


def delimited_rows(source: Source, columns: Sequence[str], dialect: Dialect, findings: Findings) -> Iterator[TableRow]:
    """Yield the rows of a delimited table with these columns; those that can't be used go to `findings`."""
    name, width = source.name, len(columns)
    lines = source.text_lines(dialect.encoding, dialect.errors)
    notes = [line for _, (_, line) in zip(range(dialect.notes), lines, strict=False)]
    if notes:
        message = f"{len(notes)} lines before the table are left out: {' / '.join(notes)!r:.80}"
        findings.warning("lines before the table", message, name, 1)
    is_header, warned = dialect.header, False
    for row in cells_of((line + "\n" for _, line in lines), str(dialect.delimiter), dialect.quoting):
        line, cells = row.line + len(notes), row.cells
        if row.fault:
            message = f"not a row of a table: {row.fault}; a quote that is not closed, or that should be doubled?"
            findings.error("malformed", message, name, line)
            continue
        if is_header:
            is_header = False
            continue
        extra, cells = cells[width:], cells[:width]
        if any(cell.strip() for cell in extra) and len(extra) <= dialect.unnamed and not warned:
            warned = True
            message = f"{extra[0]!r:.40} stands in a column without a name, which is left out; is a quote missing?"
            findings.warning("unnamed column", message, name, line)
        elif len(cells) != width or (any(cell.strip() for cell in extra) and len(extra) > dialect.unnamed):
            count = len(row.cells)
            message = f"{count} cell{'s' * (count != 1)} instead of {width}; {dialect.described(columns)}"
            hint = "; enclose cells that hold the delimiter in quotes" if count > width and dialect.quoting else ""
            findings.error("ragged", message + hint, name, line)
            continue
        yield TableRow(zip(columns, cells, strict=True), name, line, dialect)


def first_keys(head: Sequence[str]) -> tuple[str, ...]:
    """Return the keys of the first object of JSON lines, or of a JSON array."""
    text = "\n".join(head).lstrip("\ufeff \n\t")
    try:
        value, _ = json.JSONDecoder().raw_decode(text.lstrip("[ \n\t"))
    except (ValueError, RecursionError):
        return ()
    return tuple(value) if isinstance(value, dict) else ()


def json_rows(source: Source, dialect: Dialect, findings: Findings) -> Iterator[TableRow]:
    """Yield the objects of JSON lines, or of one JSON array, whose rows are numbered."""
    for number, value in json_values(source, findings, dialect.encoding, dialect.errors):
        if not isinstance(value, dict):
            message = f"expected a JSON object, found {type(value).__name__}; one object a line is expected"
            findings.error("malformed", message, source.name, number)
            continue
        yield TableRow(value.items(), source.name, number, dialect)


def json_values(
    source: Source, findings: Findings, encoding: str = "utf-8", errors: str = "strict"
) -> Iterator[tuple[int, Any]]:
    """Yield the values of JSON lines with their lines, or those of one JSON array, numbered.

    Args:
        findings: collects lines that are no JSON, or hold half a surrogate pair, which is no character and has no
            UTF-8; with `errors` "replace" U+FFFD is read for it.

    Raises:
        DataError, EncodingError, StorageError: as reading text does; strict, and a line can't be used.
        LimitError: an array that is too long to be read whole.
    """
    lines = source.filled_lines(encoding, errors)
    for number, line in lines:
        if number == 1 and re.match(r"\s*\[\s*(\{|$)", line):
            texts, size = [line], len(line)
            for _, more in lines:
                texts.append(more)
                size += len(more)
                if size > _LONGEST_ARRAY:
                    raise LimitError("one JSON array, too long to be read whole; write an object a line", source.name)
            for values in _parsed("\n".join(texts), source, 1, findings, errors):
                yield from enumerate(values, 1)
            return
        for value in _parsed(line, source, number, findings, errors):
            yield number, value


def _parsed(text: str, source: Source, number: int, findings: Findings, errors: str) -> Iterator[Any]:
    """The value of some JSON; none if it can't be used."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"not valid JSON: {error}; one object a line is expected"
        findings.error("malformed", message, source.name, number)
        return
    if "\\ud" in text.lower() and _SURROGATE.search(json.dumps(value, ensure_ascii=False)):
        if errors == "strict":
            findings.error("malformed", "half a surrogate pair; use --errors replace", source.name, number)
            return
        value = json.loads(_SURROGATE.sub("\ufffd", json.dumps(value, ensure_ascii=False)))
    yield value


def _line(error: Exception) -> str:
    """Return what another library says, which may be of several lines, on one."""
    return " ".join(str(error).split())


def _parquet_file(source: Source) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError("pyarrow", "hub", "reading Parquet") from error
    if source.member is not None or not source.path.name.lower().endswith((".parquet", ".pq")):
        raise DataError("Parquet compresses itself and is read as it is: unpack it, and name it .parquet", source.name)
    try:
        return pyarrow.parquet.ParquetFile(source.path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"not a usable Parquet file: {_line(error)}", source.name) from error


def parquet_columns(source: Source) -> tuple[str, ...]:
    """Return the names of a Parquet file's columns."""
    with _parquet_file(source) as file:
        try:
            return tuple(file.schema_arrow.names)
        except ValueError as error:
            raise DataError(f"not a usable Parquet file: {_line(error)}", source.name) from error


def parquet_rows(source: Source, dialect: Dialect) -> Iterator[TableRow]:
    """Yield the rows of a Parquet file."""
    import pyarrow

    number = 0
    with _parquet_file(source) as file:
        batches = file.iter_batches(batch_size=_ROWS)
        while True:
            try:
                batch = next(batches, None)
                rows = None if batch is None else batch.to_pylist()
            except (pyarrow.ArrowException, OSError, ValueError) as error:
                raise DataError(f"damaged after row {number}: {_line(error)}", source.name) from error
            if rows is None:
                return
            for values in rows:
                number += 1
                yield TableRow(values.items(), source.name, number, dialect)
