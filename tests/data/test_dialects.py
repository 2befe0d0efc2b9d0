"""The dialects of tables that people bring: found out, or named by an option."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.data import Findings, Table, TableOptions, open_tables
from unrolled.data.core.dialect import look_at
from unrolled.data.core.numbers import decimal_mark, is_number, likely_marker, parse_number
from unrolled.errors import ArgumentError, DataError, LimitError


def table(path: Path, text: str, name: str = "t.csv", **options: Any) -> Table:
    (path / name).write_text(text, encoding=options.get("encoding", "utf-8"))
    return open_tables(path / name, TableOptions(**options))[0]


def cells(table: Table, findings: Findings | None = None) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in table.rows(findings)]


READINGS = [f"2020-01-0{n};{n},5;{n}00" for n in range(1, 6)]


@pytest.mark.parametrize(
    ("text", "columns", "count"),
    [
        # a name above numbers, with marks for missing values among them
        ("time,temp\n2020-01-01,1.5\n2020-01-02,?\n2020-01-03,NA\n2020-01-04,-\n2020-01-05,2\n", ("time", "temp"), 5),
        # names that are empty at the end, above columns that are
        ("v1,v2,,,\n" + "".join(f"{'ab'[n % 2]},words {n},,,\n" for n in range(10)), ("v1", "v2"), 10),
        # names that are years, or numbers of columns
        ("Country,2000,2001,2002\nx,1.5,2,3\ny,2,3,9\n", ("Country", "2000", "2001", "2002"), 2),
        (",0,1,2\n0,0.5,1,0\n1,0.1,7,2\n", ("unnamed 1", "0", "1", "2"), 2),
        # words alone: the first row's label never recurs
        (
            "Label\tSMS text\n" + "".join(f"{'ab'[n % 2]}\twords number {n}\n" for n in range(10)),
            ("Label", "SMS text"),
            10,
        ),
        # R leaves out the name of the column of row names
        ("x,y\n1,2,3\n2,4,5\n3,6,7\n", ("1", "x", "y"), 3),
        # titles and notes before the table
        ("A title\nsource: somebody\n\na,b,c\n1,2,3\n4,5,6\n7,8,9\n2,3,5\n", ("a", "b", "c"), 4),
        # rows of nothing but delimiters
        ("a;b\n1;2\n;\n\n3;4\n;;\n", ("a", "b"), 2),
        # runs of spaces
        ("a    b\n 1    2.5\n 10  3.5\n", ("a", "b"), 2),
        ("x  0.1 0.2\ny  0.3  0.4\nz 0.5 0.6\n", ("1", "2", "3"), 3),
        # a trailing delimiter
        ("a,b\n1,2,\n3,4,\n", ("a", "b"), 2),
    ],
)
def test_headers_and_rows(tmp_path: Path, text: str, columns: tuple[str, ...], count: int) -> None:
    read = table(tmp_path, text, "t.tsv" if "\t" in text else "t.csv")
    assert read.columns == columns
    assert len(cells(read, Findings(strict=False))) == count


def test_a_header_may_be_named(tmp_path: Path) -> None:
    text = "a,b\nc,d\n"
    assert table(tmp_path, text).columns == ("1", "2")
    assert table(tmp_path, text, header=True).columns == ("a", "b")
    assert cells(table(tmp_path, "when,x\n2020,1\n2021,2\n", header=False))[0] == ("when", "x")


def test_what_is_left_out_is_reported(tmp_path: Path) -> None:
    findings = Findings()
    rows = "".join(f"{'ab'[n % 2]},words {n},,\n" for n in range(20))
    read = table(tmp_path, "A title\n\nlabel,text,,\n" + rows + 'a,words" and, more,\n')
    assert len(cells(read, findings)) == 21
    assert [(f.kind, f.line) for f in findings.items] == [("lines before the table", 1), ("unnamed column", 24)]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_decimal_commas_in_values(tmp_path: Path, delimiter: str) -> None:
    text = "\n".join(["day;x;y", *READINGS]).replace(";", delimiter)
    read = table(tmp_path, text)
    assert (read.dialect.delimiter, read.dialect.decimal) == (delimiter, ",")
    assert [row.number("x") for row in read.rows()] == [n + 0.5 for n in range(1, 6)]
    assert str(read.dialect).endswith("between, a decimal comma")


def test_semicolons_win_over_the_commas_within_numbers(tmp_path: Path) -> None:
    read = table(tmp_path, "1,5;2,5\n3,5;4,5\n5,5;6,5\n")
    assert [[row.number(c) for c in read.columns] for row in read.rows()] == [[1.5, 2.5], [3.5, 4.5], [5.5, 6.5]]


def test_thousands_and_options(tmp_path: Path) -> None:
    read = table(tmp_path, 'name,pay\nx,"1,250"\ny,"12,000.50"\n')
    assert [row.number("pay") for row in read.rows()] == [1250, 12000.5]
    read = table(tmp_path, "a|b\n1|1.000\n2|2.000\n", decimal=",")
    assert [row.number("b") for row in read.rows()] == [1000, 2000]
    read = table(tmp_path, "a b|1\nc d|2\n", delimiter="|")
    assert cells(read) == [("a b", "1"), ("c d", "2")]
    assert TableOptions(delimiter="tab").delimiter == "\t"
    read = table(tmp_path, "x\n1\n-99\n-99,0\n3\n", delimiter=";", decimal=",", missing=["-99", "lost"])
    assert [math.isnan(row.number("x")) for row in read.rows()] == [False, True, True, False]


def test_quoted_cells_in_tab_separated_files_of_statistics_programs(tmp_path: Path) -> None:
    read = table(tmp_path, '"name"\t"x"\n"a"\t1\n"b"\t2\n', "t.tsv")
    assert cells(read) == [("a", "1"), ("b", "2")]


def test_a_json_array_is_read_like_lines(tmp_path: Path) -> None:
    read = table(tmp_path, '[\n {"a": 1, "b": "x"},\n {"a": 2, "b": "y"}\n]\n', "t.json")
    assert (read.columns, cells(read)) == (("a", "b"), [(1, "x"), (2, "y")])
    assert [row.line for row in read.rows()] == [1, 2]
    assert cells(table(tmp_path, '[{"a": 1}, {"a": 2}]', "u.json")) == [(1,), (2,)]
    with pytest.raises(DataError, match="not valid JSON"):
        cells(table(tmp_path, '[{"a": 1}, {"a": ', "v.json"))


def test_a_json_array_beyond_what_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrolled.data.core.rows._LONGEST_ARRAY", 20)
    with pytest.raises(LimitError, match="one JSON array, too long to be read whole; write an object a line"):
        cells(table(tmp_path, "[\n" + ",\n".join('{"a": 1}' for _ in range(9)) + "]", "t.json"))


@pytest.mark.parametrize(
    ("text", "decimal", "number"),
    [
        ("1", ".", 1),
        (" -1.5e3 ", ".", -1500),
        ("1,234", ".", 1234),
        ("1,234,567.5", ".", 1234567.5),
        ("1 234.5", ".", 1234.5),
        ("1'234", ".", 1234),
        ("−3", ".", -3),
        ("12.5 %", ".", 12.5),
        ("1,5", ",", 1.5),
        ("-0,25", ",", -0.25),
        ("1.234,5", ",", 1234.5),
        ("1.234", ",", 1234),
        ("1\u202f234,5", ",", 1234.5),
    ],
)
def test_numbers_as_people_write_them(text: str, decimal: str, number: float) -> None:
    assert parse_number(text, decimal) == number


@pytest.mark.parametrize(
    "text, decimal", [("1,5", "."), ("1.5", ","), ("1_000", "."), ("", "."), ("1,2,3", ","), ("x", ".")]
)
def test_what_is_no_number(text: str, decimal: str) -> None:
    assert not is_number(text, decimal)


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([".", ","]))
def test_every_number_of_python_is_read(value: float, decimal: str) -> None:
    assert parse_number(repr(value).replace(".", decimal), decimal) == value


def test_the_decimal_mark() -> None:
    def mark(*cells: str, delimiter: str = ";") -> str:
        return decimal_mark([[cell] for cell in cells], delimiter)

    assert mark("1,5", "2") == ","
    assert mark("1,234", "5,000") == ","
    assert mark("1,234", "5,000", delimiter=",") == "."
    assert mark("1,234", "5.5") == "."
    assert mark("18.00.00", "01/01/2020") == "."


@pytest.mark.parametrize(
    ("column", "mark"),
    [
        # two commas, or numbers below a thousand without any: thousands
        (["1,234,567", "2,000"], "."),
        (["1,234", "987", "12,000"], "."),
        (["1,234.50", "2,000"], "."),
        (["-1,234", "-20"], "."),
        # a nought before it, or a thousand without it: a decimal comma
        (["0,125", "1,250", "3"], ","),
        (["1,234", "1500", "7"], ","),
        (["1,234", "5,678"], ","),
    ],
)
def test_a_comma_before_three_digits_is_what_its_column_says(column: list[str], mark: str) -> None:
    assert decimal_mark([["a", cell, str(1000 + n)] for n, cell in enumerate(column)], ";") == mark
    looked = look_at(["name;v;id", *(f"a;{cell};{1000 + n}" for n, cell in enumerate(column))], TableOptions())
    assert looked.dialect.decimal == mark


@pytest.mark.parametrize(
    ("values", "marker"),
    [
        ([10.8, 11, 12, -9999], -9999),
        ([5, 6, 7, -200, 5.5, -200], -200),
        ([1, 2, 3, 999], 999),
        ([1, 2, 3, 500], None),
        ([-9, -99, -50, -99, -20], None),
        ([1, 1, 1, -9999], None),
        ([100, 200, 300, 650], None),
        ([float("nan"), 1, 2], None),
    ],
)
def test_a_marker_lies_far_from_all_other_values(values: list[float], marker: float | None) -> None:
    assert likely_marker(np.array(values)) == marker


def test_wrong_options_are_named() -> None:
    with pytest.raises(ArgumentError, match=r"--decimal: ';' is not possible"):
        TableOptions(decimal=";")  # type: ignore[arg-type]


def test_how_a_table_is_understood(tmp_path: Path) -> None:
    read = table(tmp_path, "Date;CO;kind;;\n" + "".join(f"0{n}/01/2020;{n},5;{'ab'[n % 2]};;\n" for n in range(1, 10)))
    assert read.understood({"Date": "time"}) == [
        f"{tmp_path}/t.csv: columns Date, CO, kind "
        "(a semicolon between, a decimal comma, 2 columns without a name left out)",
        "  kinds  time, number, category",
        "  first  01/01/2020 | 1,5 | b",
    ]
