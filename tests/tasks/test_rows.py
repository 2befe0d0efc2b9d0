"""Rows in memory as data: lists, iterators and data frames, wherever files are taken."""

from __future__ import annotations

import datetime as dt
import decimal
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import unrolled
from unrolled.data import Source, open_tables
from unrolled.data.core.memory import as_places
from unrolled.errors import ArgumentError

TEXTS = [(f"{('bad', 'good')[n % 2]} film number {n}", ("neg", "pos")[n % 2]) for n in range(20)]


def rows(data: object) -> list[dict[str, Any]]:
    (source,) = as_places(data)
    assert isinstance(source, Source)
    (table,) = open_tables(source)
    return [dict(row) for row in table.rows()]


class Frame:
    """A data frame that speaks the interchange protocol and nothing else, as one of an unknown library."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __dataframe__(self, **options: Any) -> Any:
        return self.table.__dataframe__(**options)


class Polars:
    """A data frame of the form of polars, which has no interchange protocol."""

    schema: tuple[str, ...] = ()

    def iter_rows(self, *, named: bool) -> Iterator[dict[str, object]]:
        assert named
        yield {"a": 1}


class Named(NamedTuple):
    text: str
    label: str


@dataclass
class Record:
    text: str
    label: int


def test_paths_stay_paths(tmp_path: Path) -> None:
    source = Source(tmp_path)
    assert as_places(str(tmp_path)) == as_places(tmp_path) == as_places([tmp_path]) == (tmp_path,)
    assert as_places((source, "b")) == (source, Path("b"))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([{"a": 1, "b": "x"}], [{"a": 1, "b": "x"}]),
        ([("x", 2.5), ["y", None]], [{"1": "x", "2": 2.5}, {"1": "y", "2": None}]),
        (iter([{"a": True}]), [{"a": True}]),
        ([Named("x", "y")], [{"text": "x", "label": "y"}]),
        ([Record("x", 3)], [{"text": "x", "label": 3}]),
        (np.array([[1.0, 2.0]]), [{"1": 1.0, "2": 2.0}]),
        ([1, 2.5], [{"value": 1}, {"value": 2.5}]),
        ([{"a": math.nan, "b": np.float32(0.5), "c": decimal.Decimal("1.5")}], [{"a": None, "b": 0.5, "c": 1.5}]),
        ([{"t": dt.datetime(2020, 1, 2, 3), "d": dt.date(2020, 1, 2)}],
         [{"t": "2020-01-02T03:00:00", "d": "2020-01-02"}]),
        ([{"tokens": ("a", "b"), "spans": [{"start": 0}]}], [{"tokens": ["a", "b"], "spans": [{"start": 0}]}]),
        (Polars(), [{"a": 1}]),
    ],
)  # fmt: skip
def test_rows_of_any_form(data: object, expected: list[dict[str, object]]) -> None:
    assert rows(data) == expected


def test_data_frames() -> None:
    arrow = pytest.importorskip("pyarrow")
    columns = {
        "text": ["é", None, "ccc"],
        "count": arrow.array([1, None, 3], arrow.int16()),
        "share": [0.5, 1.5, None],
        "flag": [True, None, False],
        "time": arrow.array([0, None, 3_600_000], arrow.timestamp("ms")),
        "kind": arrow.array(["x", None, "x"]).dictionary_encode(),
    }
    table = arrow.table(columns)
    times = [dt.datetime(1970, 1, 1, hour).isoformat() for hour in (0, 1)]
    expected = [
        {"text": "é", "count": 1, "share": 0.5, "flag": True, "time": times[0], "kind": "x"},
        dict.fromkeys(("text", "count", "flag", "time", "kind")) | {"share": 1.5},
        {"text": "ccc", "count": 3, "share": None, "flag": False, "time": times[1], "kind": "x"},
    ]
    expected[1] = {name: expected[1][name] for name in columns}
    assert rows(table) == expected
    assert rows(Frame(table)) == expected
    # stretches of a column that begin in the middle of its buffers
    assert rows(Frame(table.slice(1))) == expected[1:]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "no file, folder or row was given"),
        ({"text": ["x"]}, "expected paths, rows or a data frame, found dict"),
        (3, "expected paths, rows or a data frame, found int"),
        ([{"a": 1}, "x"], "row 2: expected a mapping or a sequence of values, found str"),
        (["x", {"a": 1}], "paths and rows can't be mixed, found dict among paths"),
        ([{"a": 1}, {"a": object()}], "row 2: a cell can't hold object"),
    ],
)
def test_what_is_no_data_is_named(data: object, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        as_places(data)


def test_training_and_evaluation_take_rows(tmp_path: Path) -> None:
    model = unrolled.train("classify", iter(TEXTS), tmp_path / "a", dev=TEXTS[:4], steps=1)
    assert model.config.sources["dev"][0][:2] == ["rows", 1]
    halves = model.evaluate(TEXTS[:10], TEXTS[10:])
    assert halves.metrics["accuracy"] == model.evaluate(TEXTS).metrics["accuracy"]
    assert halves.data == ["rows", "rows"]
    with pytest.raises(ArgumentError, match="rows in memory hold no images; name files or folders"):
        unrolled.train("recognize", TEXTS, tmp_path / "c", steps=1)


def test_a_fault_is_named_by_the_number_of_its_row(tmp_path: Path) -> None:
    with pytest.raises(unrolled.errors.DataError, match=r"^rows:3: column '2': expected a label, found None"):
        unrolled.train("classify", [*TEXTS[:2], ("x", None), *TEXTS[2:]], tmp_path / "a", steps=1)
