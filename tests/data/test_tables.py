"""Tables, in every format and however they are packed."""

from __future__ import annotations

import csv
import gzip
import json
import lzma
import math
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest

from unrolled.data import Findings, TableOptions, TableRow, open_tables, read_table
from unrolled.errors import ArgumentError, DataError, EncodingError, MissingDependencyError, StorageError

CSV = 'text,label,n\n"a, ""b""",pos,1\n"two\nlines",neg,2\n\nplain,pos,3\n'


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def plain(rows: Any) -> list[tuple[dict[str, Any], int]]:
    return [(dict(row), row.line) for row in rows]


EXPECTED = [
    ({"text": 'a, "b"', "label": "pos", "n": "1"}, 2),
    ({"text": "two\nlines", "label": "neg", "n": "2"}, 3),
    ({"text": "plain", "label": "pos", "n": "3"}, 6),
]


@pytest.mark.parametrize("packed", ["plain", "gz", "xz", "zip", "folder"])
def test_the_same_rows_however_it_is_packed(tmp_path: Path, packed: str) -> None:
    path = tmp_path / "a.csv"
    if packed == "gz":
        path = tmp_path / "a.csv.gz"
        path.write_bytes(gzip.compress(CSV.encode()))
    elif packed == "xz":
        path = tmp_path / "a.csv.xz"
        path.write_bytes(lzma.compress(CSV.encode()))
    elif packed == "zip":
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("inner/a.csv", CSV)
            archive.writestr("README.txt", "not a table")
    else:
        write(path, CSV)
        if packed == "folder":
            write(tmp_path / "README.txt", "not a table")
            path = tmp_path
    rows = list(read_table(path, columns=("text", "label")))
    assert plain(rows) == EXPECTED
    assert rows[0].path.endswith("a.csv" + {"gz": ".gz", "xz": ".xz"}.get(packed, ""))


def test_cells_are_those_of_the_csv_module(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", CSV)
    with path.open(newline="", encoding="utf-8") as file:
        assert [dict(row) for row in read_table(path)] == list(csv.DictReader(file))


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    lines = [["when", "value"], ["2020-01-01", "1"], ["2020-01-02", "2"]]
    path = write(tmp_path / "a.txt", "".join(delimiter.join(line) + "\n" for line in lines))
    (table,) = open_tables(path)
    assert (table.dialect.delimiter, table.columns, table.has_header) == (delimiter, ("when", "value"), True)


def test_commas_within_sentences_are_not_taken_for_delimiters(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "good, really good, that\t1\nbad, so bad, no\t0\nno comma\t0\n")
    (table,) = open_tables(path)
    assert (table.dialect.delimiter, table.columns, table.has_header) == ("\t", ("1", "2"), False)
    assert plain(table.rows())[2] == ({"1": "no comma", "2": "0"}, 3)


def test_decimal_commas_do_not_hide_semicolons(tmp_path: Path) -> None:
    (table,) = open_tables(write(tmp_path / "a.csv", "t;x\n1;1,5\n2;2,5\n"))
    assert (table.dialect.delimiter, table.columns) == (";", ("t", "x"))


def test_quotes_are_characters_in_tab_separated_files(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'text\tlabel\n"open\t1\nsaid "no"\t0\n')
    assert [row["text"] for row in read_table(path)] == ['"open', 'said "no"']
    quoted = write(tmp_path / "b.tsv", 'text\tlabel\n"a\tb"\t1\n')
    assert [row["text"] for row in read_table(quoted, quoting=True)] == ["a\tb"]


@pytest.mark.parametrize(
    ("text", "known", "header"),
    [
        ("text,label\na,b\n", ("label",), True),
        ("Text,LABEL\na,b\n", ("label",), True),
        ("this,that\na,b\n", (), False),
        ("when,value\nx,1\ny,\nz,-2.5e3\n", (), True),
        ("1,2\n3,4\n", (), False),
        ("x,x\n1,2\n", (), False),
        ("only\n1\n", (), True),
        ("", (), False),
    ],
)
def test_the_header_is_found(tmp_path: Path, text: str, known: tuple[str, ...], header: bool) -> None:
    (table,) = open_tables(write(tmp_path / "a.csv", text or "\n"), known=known)
    assert table.has_header is header


def test_columns_by_number(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "so good\tpos\nso bad\tneg\n")
    rows = read_table(path, columns=("1", "2"))
    assert plain(rows) == [({"1": "so good", "2": "pos"}, 1), ({"1": "so bad", "2": "neg"}, 2)]
    path = write(tmp_path / "b.tsv", "words\tclass\nso good\tpos\n")
    assert plain(read_table(path, TableOptions(header=True), columns=("2",))) == [
        ({"words": "so good", "class": "pos", "2": "pos"}, 2)
    ]


def test_a_name_in_other_letters_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "Text,Label\na,b\n")
    assert plain(read_table(path, columns=("text",))) == [({"Text": "a", "Label": "b", "text": "a"}, 2)]


def test_an_unnamed_first_column_gets_its_number(tmp_path: Path) -> None:
    (table,) = open_tables(write(tmp_path / "a.csv", ",x\n0,5\n"))
    assert table.columns == ("1", "x")


def test_ragged_rows_are_found_with_their_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text,label\na,b\nx, y,c\n"m\nn",d\nshort\n')
    with pytest.raises(DataError) as caught:
        list(read_table(path, columns=("text",)))
    assert str(caught.value) == (
        f"{path}:3: 3 cells instead of 2; the columns are 'text', 'label'; "
        "enclose cells that hold the delimiter in quotes"
    )
    findings = Findings(strict=False)
    assert [row["text"] for row in read_table(path, columns=("text",), findings=findings)] == ["a", "m\nn"]
    assert [(f.kind, f.line) for f in findings.items] == [("ragged", 3), ("ragged", 6)]
    assert findings.items[1].message == "1 cell instead of 2; the columns are 'text', 'label'"


def test_a_missing_column_names_those_that_exist(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "review,stars\ngood,5\n")
    with pytest.raises(DataError) as caught:
        list(read_table(path, columns=("text",)))
    assert str(caught.value) == f"{path}:1: no column 'text'; the columns are 'review', 'stars'"
    bare = write(tmp_path / "b.tsv", "so good\tpos\n")
    with pytest.raises(DataError) as caught:
        list(read_table(bare, columns=("3",)))
    assert str(caught.value) == (
        f"{bare}:1: no column '3'; no header was found; the columns are numbered 1 to 2 with a tab between"
    )
    findings = Findings(strict=False)
    good = write(tmp_path / "c.csv", "text\nhello\n")
    assert [row["text"] for row in read_table([path, good], columns=("text",), findings=findings)] == ["hello"]
    assert [f.kind for f in findings.items] == ["missing column"]


def test_an_unclosed_quote_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text,label\na,b\n"never closed,c\nd,e\n')
    with pytest.raises(DataError, match=r"a\.csv:3: not a row of a table: unexpected end of data; a quote that is not"):
        list(read_table(path))
    stray = write(tmp_path / "b.csv", 'text,label\n"in" or out,b\nc,d\n')
    findings = Findings(strict=False)
    assert [row["text"] for row in read_table(stray, columns=("text",), findings=findings)] == ["c"]
    assert [(f.kind, f.line) for f in findings.items] == [("malformed", 2)]


def test_a_header_that_repeats_itself(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.csv:1: the header names column 'x' twice; rename one"):
        open_tables(write(tmp_path / "a.csv", "x,y,x\n1,2,3\n"), TableOptions(header=True))


def test_json_lines_keep_types(tmp_path: Path) -> None:
    rows = [{"text": "a\u00e9\U0001f600", "n": 1, "x": [1.5, None]}, {"text": "b", "n": 2}]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n")
    assert plain(read_table(path, columns=("text",))) == [(rows[0], 1), (rows[1], 2)]
    with pytest.raises(DataError, match=r"a\.jsonl:2: no column 'x'; this row has 'text', 'n'"):
        list(read_table(path, columns=("x",)))
    unnamed = write(tmp_path / "a.txt", path.read_text("utf-8"))
    assert [t.format for t in open_tables(unnamed)] == ["jsonl"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{bad", "2: not valid JSON: .*; one object a line is expected"),
        ("[1, 2]", "2: expected a JSON object, found list; one object a line is expected"),
        ('{"a": "\\ud800"}', "2: half a surrogate pair; use --errors replace"),
    ],
)
def test_bad_json_lines(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "a.jsonl", f'{{"a": "x"}}\n{line}\n{{"a": "y"}}\n')
    with pytest.raises(DataError, match=message):
        list(read_table(path))
    findings = Findings(strict=False)
    assert [row["a"] for row in read_table(path, findings=findings)] == ["x", "y"]
    assert [(f.kind, f.line) for f in findings.items] == [("malformed", 2)]


def test_half_a_surrogate_pair_can_be_replaced(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"a": "x\\ud800"}\n')
    assert [row["a"] for row in read_table(path, TableOptions(errors="replace"))] == ["x\ufffd"]


def test_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow
    import pyarrow.parquet

    values = {"text": ["a", None, "c"], "n": [1, 2, 3], "when": [0.5, 1.5, math.inf]}
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table(values), path, row_group_size=2)
    rows = list(read_table(tmp_path, columns=("n",)))
    assert plain(rows) == [
        ({"text": "a", "n": 1, "when": 0.5}, 1),
        ({"text": None, "n": 2, "when": 1.5}, 2),
        ({"text": "c", "n": 3, "when": math.inf}, 3),
    ]
    with pytest.raises(DataError, match=r"a\.parquet:1: no column 'x'; the columns are 'text', 'n', 'when'"):
        list(read_table(path, columns=("x",)))
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"cut\.parquet: not a usable Parquet file: "):
        open_tables(cut)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "a.parquet")
    with pytest.raises(DataError, match=r"a\.zip!a\.parquet: Parquet compresses itself and is read as it is"):
        open_tables(tmp_path / "a.zip")


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 and so on PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r"reading Parquet needs pyarrow.*unrolled\[hub\]"):
        open_tables(path)


def test_bad_arguments_and_files(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text\nhé\n", "latin-1")
    with pytest.raises(EncodingError, match=r"a\.csv:2: not valid UTF-8 at byte 6"):
        list(read_table(path))
    assert [row["text"] for row in read_table(path, TableOptions(encoding="latin-1", header=True))] == ["hé"]
    with pytest.raises(ArgumentError, match="--delimiter: '::' is not possible: expected one character"):
        TableOptions(delimiter="::")
    with pytest.raises(StorageError, match="no such file or folder"):
        open_tables(tmp_path / "none.csv")
    with pytest.raises(DataError, match="the file is empty"):
        open_tables(write(tmp_path / "empty.csv", ""))


def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w") as file:
        file.write("text,label\n")
        for n in range(20_000):
            file.write(f"{f'row {n} of a table that is longer than what may be in memory ' * 9},{n % 3}\n")
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_table(path, columns=("label",))) == 20_000
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size * 0.8
    finally:
        tracemalloc.stop()


def test_long_documents_are_cells(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f'text,label\n"{"word " * 40_000}",a\n')
    assert [len(row["text"]) for row in read_table(path, columns=("text",))] == [200_000]


def test_numbers() -> None:
    row = TableRow([("a", "1.5"), ("b", ""), ("c", None), ("d", 3), ("e", "x"), ("f", "NaN")], "t.csv", 7)
    assert (row.number("a"), row.number("d")) == (1.5, 3.0)
    assert all(math.isnan(row.number(name)) for name in "bcf")
    with pytest.raises(DataError, match=r"t\.csv:7: column 'e': expected a number, found 'x'"):
        row.number("e")
