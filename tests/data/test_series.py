"""Series out of tables: three layouts, one grid, and everything that can be wrong with it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.data import Findings
from unrolled.data.series.read import Series, SeriesOptions, as_series, read_series
from unrolled.data.series.timeline import STEPS, Frequency, written
from unrolled.errors import ArgumentError, DataError

HOURLY = "time,a,b\n2020-01-01 00:00,1,10\n2020-01-01 01:00,2,20\n2020-01-01 02:00,3,30\n2020-01-01 03:00,4,40\n"


@pytest.fixture
def table(tmp_path: Path) -> Any:
    def write(text: str, name: str = "data.csv") -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def read(*paths: Path, findings: Findings | None = None, **options: Any) -> dict[str, Series]:
    found = read_series(paths, SeriesOptions(**options), Findings() if findings is None else findings)
    return {series.name: series for series in found}


def test_wide(table: Any) -> None:
    found = read(table(HOURLY))
    assert list(found) == ["a", "b"]
    assert found["b"].values.tolist() == [10, 20, 30, 40]
    assert found["a"].frequency == Frequency.parse("1h")
    assert written(found["a"].times[-1:], found["a"].frequency) == ["2020-01-01 03:00"]
    assert (found["a"].line, found["a"].path.endswith("data.csv")) == (2, True)
    assert list(read(table(HOURLY), values=["b"])) == ["b"]


def test_long(table: Any) -> None:
    path = table(
        "id,date,value,shop\nx,2020-01-01,1,Ulm\ny,2020-01-01,5,Bonn\nx,2020-01-02,2,Ulm\ny,2020-01-02,6,Bonn\n"
    )
    found = read(path, static=["shop"], series="id")
    assert {name: s.values.tolist() for name, s in found.items()} == {"x": [1, 2], "y": [5, 6]}
    assert found["y"].static == {"shop": "Bonn"}
    # the column of names is found by its name, or because it is the only one of words
    assert list(read(path, static=["shop"])) == ["x", "y"]
    assert list(read(table("shop,day,sold\nUlm,2020-01-01,1\nUlm,2020-01-02,2\n"))) == ["Ulm"]


def test_long_with_several_values_is_a_series_each(table: Any) -> None:
    found = read(table("id,date,p,q\nx,2020-01-01,1,5\nx,2020-01-02,2,6\n"))
    assert {name: s.values.tolist() for name, s in found.items()} == {"x/p": [1, 2], "x/q": [5, 6]}


def test_rows_as_in_m4(table: Any) -> None:
    path = table('"V1","V2","V3","V4"\n"H1","1","2","3"\n"H2","4","5",""\n')
    found = read(path)
    assert {name: s.values.tolist() for name, s in found.items()} == {"H1": [1, 2, 3], "H2": [4, 5]}
    assert found["H2"].frequency == STEPS
    assert found["H2"].line == 3
    # what stands in a second file goes on
    more = table('"V1","V2"\n"H1","9"\n"H2","8"\n', "more.csv")
    assert read(path, more)["H2"].values.tolist() == [4, 5, 8]


def test_without_header_or_time(table: Any) -> None:
    found = read(table("0.5,1.5\n0.6,1.6\n"))
    assert {name: s.values.tolist() for name, s in found.items()} == {"1": [0.5, 0.6], "2": [1.5, 1.6]}
    assert found["1"].times.tolist() == [0, 1]


def test_json_lines_and_parquet(tmp_path: Path, table: Any) -> None:
    lines = [f'{{"ds": "2020-0{month}", "y": {y}}}' for month, y in ((1, 1), (2, "null"), (3, 3))]
    found = read(table("\n".join(lines), "a.jsonl"), gaps="interpolate")
    assert found["y"].values.tolist() == [1, 2, 3]
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    days = [datetime(2020, 1, day) for day in (1, 2, 3)]
    pq.write_table(pa.table({"when": days, "x": [1.0, 2.0, 4.0]}), tmp_path / "a.parquet")
    series = read(tmp_path / "a.parquet")["x"]
    assert series.values.tolist() == [1, 2, 4]
    assert series.frequency == Frequency.parse("1d")


def test_several_files_go_on_in_time(table: Any) -> None:
    later = table("time,a,b\n2020-01-01 04:00,5,50\n", "later.csv")
    assert read(later, table(HOURLY), findings=Findings())["a"].values.tolist() == [1, 2, 3, 4, 5]
    with pytest.raises(DataError, match=r"plain.csv:1: has no time column, and the file before has one"):
        read(table(HOURLY), table("a,b\n1,2\n", "plain.csv"))


# What may be wrong


def swapped(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


GAP = swapped(HOURLY, "2020-01-01 02:00,3,30\n", "")
EMPTY = swapped(HOURLY, "02:00,3,30", "02:00,,30")
OFF = swapped(HOURLY, "02:00,3", "02:20,3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GAP, r"data.csv:4: series 'a': 1 of its hours missing before this row; repair it, or give --gaps interpolate"),
        (EMPTY, r"data.csv:4: series 'a': no value here; repair it, or give --gaps interpolate or --gaps mask"),
        (OFF, r"data.csv:4: series 'a': 2020-01-01 02:20 is off the grid of hours from 2020-01-01 00:00"),
        (swapped(HOURLY, "02:00,3", "02:00,three"), r"data.csv:4: column 'a': expected a number, found 'three'"),
        (swapped(HOURLY, "02:00,3", "02:00,inf"), r"data.csv:4: column 'a': expected a finite number, found 'inf'"),
        (swapped(HOURLY, "2020-01-01 02:00", "today"), r"data.csv:4: column 'time': 'today' is no time .*--time-f"),
        (swapped(HOURLY, "02:00,3,30", "02:00,3"), r"data.csv:4: 2 cells instead of 3"),
        (swapped(HOURLY, "01:00,2", "02:00,2"), r"data.csv:4: series 'a' has this time twice \(first in .*csv:3\)"),
        (swapped(HOURLY, "2020-01-01 03", "2920-01-01 03"), r"data.csv:5: series 'a': [\d,]+ steps after the row"),
        ("time,a\n2020-01-01,\n2020-01-02,\n", r"series 'a' has no value|no column of numbers"),
        (HOURLY.splitlines()[0] + "\n\n", r"no column of numbers"),
        ("time,word\n2020-01-01,x\n2020-01-02,y\n", r"no column of numbers; name it with --values"),
        ("time,a\n", r"no column of numbers"),
    ],
)  # fmt: skip
def test_what_is_refused(table: Any, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(table(text))


def test_gaps_interpolated(table: Any) -> None:
    for text in (GAP, EMPTY):
        assert read(table(text), gaps="interpolate")["a"].values.tolist() == [1, 2, 3, 4]
    # 02:20 is at 2 ⅓: what 02:00 was lies between 01:00 and 02:20
    off = read(table(OFF), gaps="interpolate")["a"].values
    assert off.tolist() == pytest.approx([1, 2, 2 + 1 / (1 + 1 / 3), 4])


def test_gaps_masked(table: Any) -> None:
    findings = Findings()
    for text in (GAP, EMPTY):
        values = read(table(text), gaps="mask", findings=findings)["a"].values
        assert np.isnan(values).tolist() == [False, False, True, False]
    assert {item.kind for item in findings.items} == {"gap", "missing value"}
    with pytest.raises(DataError, match=r"off the grid .*or resample with --gaps interpolate"):
        read(table(OFF), gaps="mask")


def test_a_series_may_begin_late_and_end_early(table: Any) -> None:
    text = "time,a,b\n2020-01-01,,1\n2020-01-02,5,2\n2020-01-03,6,\n2020-01-04,7,\n"
    found = read(table(text))
    assert (found["a"].values.tolist(), found["b"].values.tolist()) == ([5, 6, 7], [1, 2])
    assert written(found["a"].times[:1], found["a"].frequency) == ["2020-01-02"]


def test_unsorted_rows_and_equal_duplicates_are_told_of(table: Any) -> None:
    lines = HOURLY.splitlines()
    text = "\n".join([lines[0], lines[3], lines[1], lines[2], lines[2], lines[4]]) + "\n"
    findings = Findings()
    assert read(table(text), findings=findings)["b"].values.tolist() == [10, 20, 30, 40]
    told = [(f.kind, f.line) for f in findings.items if "'a'" in f.message]
    assert told == [("unsorted", 3), ("duplicate time", 5)]


def test_bad_series_are_left_out_when_asked(table: Any) -> None:
    findings = Findings(strict=False)
    text = "id,date,v\nx,2020-01-01,1\ny,2020-01-01,1\nx,2020-01-02,2\ny,2020-01-02,2\nx,2020-01-05,3\ny,2020-01-03,3\n"
    assert list(read(table(text), findings=findings)) == ["y"]
    assert [(f.severity, f.kind, f.line) for f in findings.items] == [("error", "gap", 6)]


def test_covariates_known_ahead(table: Any) -> None:
    text = "date,sold,price\n2020-01-01,5,1\n2020-01-02,6,1\n2020-01-03,,2\n2020-01-04,,3\n"
    series = read(table(text), known=["price"])["sold"]
    assert (len(series), len(series.times), series.known[:, 0].tolist()) == (2, 4, [1, 1, 2, 3])
    assert written(series.following(3), series.frequency) == ["2020-01-03", "2020-01-04", "2020-01-05"]
    with pytest.raises(DataError, match="a known covariate is missing at 2020-01-03"):
        read(table(swapped(text, ",,2", ",,")), known=["price"])
    with pytest.raises(DataError, match="column 'price': expected a number, found 'much'"):
        read(table(swapped(text, ",,2", ",,much")), known=["price"])


def test_static_covariates_stay(table: Any) -> None:
    text = "id,date,v,kind\nx,2020-01-01,1,big\nx,2020-01-02,2,small\n"
    with pytest.raises(DataError, match=r"data.csv:3: series 'x': column 'kind' changes from 'big' to 'small'"):
        read(table(text), static=["kind"])
    with pytest.raises(DataError, match="--static belongs to the long layout"):
        read(table(HOURLY), static=["b"], layout="wide")
    with pytest.raises(ArgumentError, match="--layout rows: has no columns"):
        read(table(HOURLY), static=["b"], layout="rows")


@pytest.mark.parametrize("option", ["time", "series"])
def test_a_column_that_is_not_there(table: Any, option: str) -> None:
    with pytest.raises(DataError, match="no column 'when'; the columns are 'time', 'a', 'b'"):
        read(table(HOURLY), **{option: "when"})


def test_a_frequency_of_ones_own(table: Any) -> None:
    found = read(table(HOURLY), frequency="30min", gaps="mask")["a"]
    assert len(found) == 7
    with pytest.raises(DataError, match="is off the grid of 2 hours"):
        read(table(HOURLY), frequency="2h")


# A series in memory


def hourly(values: list[float]) -> Series:
    step = Frequency.parse("1h")
    begin = int(np.datetime64("2020-01-01", "us").astype(np.int64))
    times = np.concatenate([[begin], step.after(begin, len(values) - 1)])
    return as_series(values, "a", times=times, frequency=step)


def test_places_in_a_series() -> None:
    series = hourly([0.0] * 48)
    assert series.index("10") == 10
    assert series.index("-8") == 40
    assert series.index("2020-01-02") == 24
    assert series.index("2020-01-02 03:30") == 28
    assert series.index("2020") == 0
    assert series.index("99") == 48
    with pytest.raises(ArgumentError, match="'soon': expected a time or a number of steps"):
        series.index("soon")
    with pytest.raises(ArgumentError, match="has no such times"):
        as_series([1.0, 2.0]).index("2020-01-02")


def test_parts_and_what_follows() -> None:
    series = hourly([1.0, 2.0, 3.0, 4.0])
    part = series.part(2, 3, first=1)
    assert (part.values.tolist(), len(part.times), part.first) == ([1, 2], 3, 1)
    joined = series.part(2).joined(series)
    assert joined is not None
    assert (joined.values.tolist(), joined.first) == ([1, 2, 3, 4], 2)
    assert series.part(1).joined(as_series([1.0])) is None
    assert hourly([1.0]).joined(as_series([5.0], "a", times=series.times[3:], frequency=series.frequency)) is None
    plain = as_series([1.0, 2.0]).joined(as_series([3.0]))
    assert plain is not None
    assert (plain.values.tolist(), plain.times.tolist(), plain.first) == ([1, 2, 3], [0, 1, 2], 2)


def test_arrays_that_are_no_series() -> None:
    with pytest.raises(DataError, match=r"expected one dimension, \(T,\), found shape \(1, 2\)"):
        as_series([[1.0, 2.0]])
    with pytest.raises(DataError, match="step 1 is infinite"):
        as_series([1.0, float("inf")])


def test_what_a_series_says_of_itself() -> None:
    assert as_series([2.0, 2.0]).is_constant
    assert not as_series([2.0]).is_constant
    assert as_series([np.nan]).is_empty
    assert as_series([1.0], "x").key == as_series([1.0], "y").key != as_series([2.0], "x").key


@pytest.mark.parametrize(
    ("path", "count", "length", "frequency"),
    [
        ("ett/ETTh1.csv.gz", 7, 17420, "hours"),
        ("exchange_rate/exchange_rate.txt.gz", 8, 7588, "steps"),
        ("small_series/airline-passengers.csv", 1, 144, "months"),
        ("m4_hourly/Hourly-test.csv.gz", 414, 48, "steps"),
    ],
)
def test_published_tables(real_data: Path, path: str, count: int, length: int, frequency: str) -> None:
    if not (real_data / path).is_file():
        pytest.skip(f"{path} is not here")
    found = list(read(real_data / path).values())
    assert (len(found), len(found[0]), found[0].frequency.name) == (count, length, frequency)
