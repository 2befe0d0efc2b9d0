"""The dialect of a delimited table: what parts its cells, which line names them, how its numbers are written.

**Delimiter.** Tab in .tsv and .tab; elsewhere the one of comma, tab, semicolon and bar that cuts most of the first
rows into equally many cells (two at least); of equals the one that leaves no decimal comma apart, then the one that
makes most cells, then in that order. Runs of spaces, where nothing else cuts and every row is numbers or times.
**Lines before the table.** Titles and notes that have fewer cells than the rows below are left out, with a warning.
**Quotes.** As RFC 4180 has them, delimiters, line ends and doubled quotes within them included. In tab-separated files,
whose definition (IANA text/tab-separated-values) has no quoting, a quote is a character like any other, unless every
cell of words is quoted.
**Header.** The first row names the columns if a name that the caller knows is in it; if a column below it holds numbers
or times and it does not; if its numbers count years or columns; or if its word in a column of few, recurring values
never recurs. Columns without a header are called "1", "2", …; so are columns without a name, and columns at the end
that have no name and hardly any content are left out. A header that lacks the first name (R's row names) is read so.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import Field, field_validator

from unrolled.data.core.files import LONGEST_LINE
from unrolled.data.core.numbers import MISSING, decimal_mark, is_number, parse_number
from unrolled.settings import Settings

DELIMITERS = (",", "\t", ";", "|")
_NAMES = {",": "a comma", "\t": "a tab", ";": "a semicolon", "|": "a bar", " ": "spaces"}
#: rows that a dialect is judged by, and lines that may stand before a table
_LOOKED_AT, _MOST_NOTES = 100, 60
#: share of the cells below a name that must be numbers or times for the column to be one of them
_MOST = 0.8
_TIME = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}([T ].*)?|\d{4}-\d\d|\d{1,2}[:.]\d\d([:.]\d\d)?(\s*[AaPp][Mm])?")
#: a name of a column as programs and people write them
_NAME = re.compile(r"[^\W\d][\w .,:/()#%°*-]{0,40}|[vV]\d+")


_DELIMITER, _DECIMAL = "between the cells of a table: one character, or tab", "of tables: the mark before a fraction"
_MISSING = "of tables: a cell that means a missing value, beside empty ones, ?, NA and the like; may be repeated"
_HEADER = "of tables: whether the first row names the columns"


class TableOptions(Settings):
    """Options by which tables are read; None finds out."""

    delimiter: str | None = Field(default=None, description=_DELIMITER)
    decimal: Literal[".", ","] | None = Field(default=None, description=_DECIMAL)
    missing: list[str] = Field(default=[], description=_MISSING)
    header: bool | None = Field(default=None, description=_HEADER)
    encoding: str = "utf-8"
    errors: Literal["strict", "replace"] = "strict"

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        named = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "bar": "|", "space": " "}.get(
            value or "", value
        )
        if named is not None and (len(named) != 1 or named in '"\r\n'):
            raise ValueError("expected one character, no quote or line end; a tab may be written as tab")
        return named


class TableOverrides(Settings):
    """Options by which tables are read that are written otherwise than the training data; None reads them alike."""

    delimiter: str | None = Field(default=None, description=_DELIMITER)
    decimal: Literal[".", ","] | None = Field(default=None, description=_DECIMAL)
    missing: list[str] | None = Field(default=None, description=_MISSING)
    header: bool | None = Field(default=None, description=_HEADER)
    encoding: str | None = None
    errors: Literal["strict", "replace"] | None = None


@dataclass(frozen=True)
class Dialect:
    """The dialect in which one table is written.

    Attributes:
        delimiter: between cells; " " stands for any number of spaces, None where the format has no delimiter.
        quoting: whether quotes enclose cells.
        header: whether a row names the columns.
        notes: lines before the table.
        decimal: the mark before a fraction.
        missing: cells that stand for a missing value, in lower case.
        unnamed: columns at the end that are left out.
        encoding, errors: how text is decoded.
    """

    delimiter: str | None = None
    quoting: bool = True
    header: bool = True
    notes: int = 0
    decimal: str = "."
    missing: frozenset[str] = MISSING
    unnamed: int = 0
    encoding: str = "utf-8"
    errors: str = "strict"

    @classmethod
    def plain(cls, options: TableOptions, *, header: bool = True) -> Dialect:
        """Return the dialect of a format that knows its columns and numbers itself."""
        return cls(
            header=header,
            missing=_markers(options.missing, options.decimal or "."),
            encoding=options.encoding,
            errors=options.errors,
        )

    def number(self, value: object) -> float:
        """Return a cell as a number; NaN if it is missing.

        Raises:
            ValueError: it is none.
        """
        if value is None:
            return float("nan")
        if isinstance(value, str):
            if value.strip().lower() in self.missing:
                return float("nan")
            number = parse_number(value, self.decimal)
        else:
            try:
                number = float(value)  # type: ignore[arg-type]
            except (TypeError, OverflowError) as error:
                raise ValueError(f"{value!r:.40} is no number") from error
        return float("nan") if f"{number:.15g}" in self.missing else number

    def described(self, columns: Sequence[str]) -> str:
        """Return the columns of a table in words."""
        if self.header:
            return f"the columns are {', '.join(map(repr, columns)) or 'none'}"
        between = f" with {_NAMES.get(self.delimiter, repr(self.delimiter))} between" if self.delimiter else ""
        return f"no header was found; the columns are numbered 1 to {len(columns)}{between}"

    def __str__(self) -> str:
        if self.delimiter is None:
            return ""
        words = [f"{_NAMES.get(self.delimiter, repr(self.delimiter))} between"]
        words += ["a decimal comma"] * (self.decimal == ",")
        words += [f"{self.notes} lines before it left out"] * (self.notes > 0)
        words += [f"{self.unnamed} columns without a name left out"] * (self.unnamed > 0)
        return ", ".join(words)


class Looked(NamedTuple):
    """A table's dialect and the names of its columns."""

    dialect: Dialect
    columns: tuple[str, ...]


def look_at(
    head: Sequence[str],
    options: TableOptions,
    *,
    tabs: bool = False,
    quoting: bool | None = None,
    known: Collection[str] = (),
    beside: Collection[str] = (),
) -> Looked:
    """Find out the dialect of a table by its first lines.

    Args:
        head: the lines.
        options: what is known of it.
        tabs: whether the file's name says that tabs part its cells.
        quoting: whether quotes enclose cells; None finds out.
        known: names of columns that make the first row a header, if one of them is in it.
        beside: names of which one must be in it as well; none if empty.
    """
    tabs = tabs and any("\t" in line for line in head)
    delimiter = options.delimiter or ("\t" if tabs else _delimiter(head))
    quotes = quoting if quoting is not None else delimiter != "\t" or _all_quoted(head)
    rows = _rows(head, delimiter, quotes, _LOOKED_AT + _MOST_NOTES)
    notes = _notes(rows)
    lines = rows[notes - 1].last if notes else 0
    cells = [row.cells for row in rows[notes:]]
    decimal = options.decimal or decimal_mark(cells[1:], delimiter)
    header = options.header
    if header is None:
        header = _has_header(cells, known, beside, decimal)
    columns, unnamed = _names(cells, header)
    missing = _markers(options.missing, decimal)
    dialect = Dialect(delimiter, quotes, header, lines, decimal, missing, unnamed, options.encoding, options.errors)
    return Looked(dialect, columns)


def _markers(given: Sequence[str], decimal: str) -> frozenset[str]:
    """Cells that stand for a missing value, numbers in the form in which they are compared."""
    numbers = {f"{parse_number(marker, decimal):.15g}" for marker in given if is_number(marker, decimal)}
    return MISSING | {marker.strip().lower() for marker in given} | numbers


class CellRow(NamedTuple):
    """A row of a delimited table.

    Attributes:
        cells: its cells.
        line, last: the 1-based lines that it begins and ends on.
        fault: what is wrong with it, if it can't be read.
    """

    cells: list[str]
    line: int
    last: int
    fault: str = ""


def cells_of(lines: Iterable[str], delimiter: str, quoting: bool) -> Iterator[CellRow]:
    """Yield the rows of a delimited table that have any content, and those that can't be read.

    Args:
        lines: with their line ends.
        delimiter: " " stands for any number of spaces.
        quoting: whether quotes enclose cells.
    """
    # its limit holds for the whole process and guards against quotes that are never closed; documents may be longer
    # than its 128 Ki characters, so it is raised to ours and never lowered
    if csv.field_size_limit() < LONGEST_LINE:
        csv.field_size_limit(LONGEST_LINE)
    spaces = delimiter == " "
    reader = csv.reader(
        lines,
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE,
        strict=quoting,
        skipinitialspace=spaces,
    )
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield CellRow([], line, reader.line_num, str(error))
            continue
        if spaces and cells and not cells[-1]:
            cells.pop()
        if any(cell.strip() for cell in cells):
            yield CellRow(cells, line, reader.line_num)


def _rows(head: Sequence[str], delimiter: str, quoting: bool, most: int = _LOOKED_AT) -> list[CellRow]:
    """The first rows, up to one that can't be read: it may be cut short."""
    rows = cells_of((line + "\n" for line in head), delimiter, quoting)
    return list(itertools.takewhile(lambda row: not row.fault, itertools.islice(rows, most)))


def _delimiter(head: Sequence[str]) -> str:
    best, chosen = (0.0, False, 0), ","
    for delimiter in DELIMITERS:
        rows = [row.cells for row in _rows(head, delimiter, delimiter != "\t")]
        width, share = _width(rows)
        # 1,5;2,5 is cut by both: the semicolon leaves numbers, the comma their halves
        whole = delimiter == ";" and decimal_mark(rows[1:], delimiter) == ","
        if width > 1 and (share, whole, width) > best:
            best, chosen = (share, whole, width), delimiter
    if best[2]:
        return chosen
    rows = [row.cells for row in _rows(head, " ", True)]
    width, share = _width(rows)
    kinds = [[kind_of_cell(cell, ".") for cell in row] for row in rows[1:]]
    # columns of numbers or times, and no more than two of words, a name and a class in data sets of UCI
    words = sum(all(kind == "text" for kind in column) for column in zip(*kinds, strict=False))
    typed = all(row.count("text") == words for row in kinds)
    return " " if width > 1 + words and words < 3 and share == 1 and typed and len(rows) > 2 else chosen


def _width(rows: Sequence[Sequence[str]]) -> tuple[int, float]:
    """The most frequent number of cells, and the share of the rows that have it, a header one shorter among them."""
    if not rows:
        return 0, 0.0
    width, count = max(Counter(map(len, rows)).items(), key=lambda item: (item[1], item[0]))
    return width, count / len(rows)


def _all_quoted(head: Sequence[str]) -> bool:
    """Whether every cell of words is quoted, as R and statistics programs write tab-separated files."""
    cells = [cell for line in head for cell in line.split("\t") if cell.strip() and not is_number(cell)]
    quoted = sum(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in cells)
    return bool(cells) and quoted > _MOST * len(cells) and all(cell[0] == '"' for cell in head[0].split("\t") if cell)


def _notes(rows: Sequence[CellRow]) -> int:
    """Return how many rows before the table are titles or notes: they have fewer cells."""
    widths = [len(row.cells) for row in rows]
    usual, _ = _width([row.cells for row in rows])
    if len(rows) < 4 or usual < 2:
        return 0
    # a header may lack the first name, as R writes it
    least = usual - 1 if usual > 2 else usual
    first = next(n for n, width in enumerate(widths) if least <= width <= usual)
    agree = sum(width == usual for width in widths[first:])
    return first if agree > _MOST * (len(rows) - first) else 0


def _has_header(rows: Sequence[list[str]], known: Collection[str], beside: Collection[str], decimal: str) -> bool:
    if not rows:
        return False
    first, below = [cell.strip() for cell in rows[0]], rows[1:]
    lower = [cell.lower() for cell in first]
    if _occurs(known, lower) and (not beside or _occurs(beside, lower)):
        return True
    named = [cell for cell in first if cell]
    if len(set(named)) < len(named):
        return False
    numbers = [is_number(cell, decimal) for cell in named]
    if any(numbers):
        return _counts_columns(first, decimal) and not any(_counts_columns(row, decimal) for row in below[:5])
    # a header that is one short names the columns from the second on
    shift = 1 if below and len(below[0]) == len(first) + 1 else 0
    columns = [[row[n + shift].strip() for row in below if len(row) > n + shift] for n in range(len(first))]
    typed = [(name, most_are(cells, decimal)) for name, cells in zip(first, columns, strict=True) if name]
    if any(kind and kind_of_cell(name, decimal) != kind for name, kind in typed):
        return True
    return not any(kind for _, kind in typed) and _never_recurs(first, columns)


def _occurs(names: Collection[str], cells: Collection[str]) -> bool:
    return any(name.strip().lower() in cells for name in names)


def kind_of_cell(cell: str, decimal: str) -> str:
    """number, time, text, or "" for a missing cell."""
    text = cell.strip()
    if text.lower() in MISSING:
        return ""
    return "number" if is_number(text, decimal) else "time" if _TIME.fullmatch(text) else "text"


def most_are(cells: Sequence[str], decimal: str) -> str:
    """number or time, if most cells of a column that are not missing are that; else ""."""
    kinds = Counter(kind_of_cell(cell, decimal) for cell in cells)
    present = sum(kinds.values()) - kinds[""]
    return next((kind for kind in ("number", "time") if present and kinds[kind] > _MOST * present), "")


def _counts_columns(cells: Sequence[str], decimal: str) -> bool:
    """Whether the numbers of a row follow each other, as names do that are years or numbers of columns."""
    numbers = [parse_number(cell, decimal) for cell in cells if is_number(cell, decimal)]
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    others = len(cells) - len(numbers)
    return steps == {1.0} and (len(numbers) > 3 or (len(numbers) > 1 and others > 0)) and len(numbers) >= others


def _never_recurs(first: Sequence[str], columns: Sequence[Sequence[str]]) -> bool:
    """Whether a row of words can't be data: its word in a column of recurring values occurs there nowhere else."""
    longest = [max(map(len, column), default=0) for column in columns]
    widest = longest.index(max(longest))
    # a name is no longer than the texts below it
    if not all(_NAME.fullmatch(name) for name in first if name) or len(columns[0]) < 8:
        return False
    if not 0 < len(first[widest]) < max(longest):
        return False
    for name, cells in zip(first, columns, strict=True):
        counts = Counter(cell for cell in cells if cell)
        few = 1 < len(counts) <= max(2, len(cells) // 4) and min(counts.values()) > 1
        if name and few and name not in counts:
            return True
    return False


def _names(rows: Sequence[list[str]], header: bool) -> tuple[tuple[str, ...], int]:
    """The names of the columns, and how many at the end are left out: they have no name and hardly any content."""
    if not rows:
        return (), 0
    first = [cell.strip() for cell in rows[0]]
    if header and _lacks_a_name(first, rows[1:]):
        first = ["", *first]
    width = len(first)
    while header and width > 1 and not first[width - 1]:
        filled = sum(len(row) >= width and bool(row[width - 1].strip()) for row in rows[1:])
        if filled * 10 > len(rows):
            break
        width -= 1
    numbers = [str(n) for n in range(1, width + 1)]
    if not header:
        return tuple(numbers), 0
    taken = set(first)
    own = [f"unnamed {number}" if number in taken else number for number in numbers]
    return tuple(name or number for name, number in zip(first, own, strict=False)), len(first) - width


def _lacks_a_name(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether the first name is left out, as R does it for the names of rows, which are all different."""
    if len(below) < 2 or not all(len(row) == len(first) + 1 for row in below):
        return False
    return len({row[0] for row in below}) == len(below) and any(row[-1].strip() for row in below)
