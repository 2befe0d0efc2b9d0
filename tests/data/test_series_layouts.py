"""Which column of a table of series is what, in the forms in which tables are published."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from unrolled.data import Findings
from unrolled.data.series.read import Series, SeriesOptions, read_series
from unrolled.data.series.timeline import STEPS, Frequency, written
from unrolled.errors import DataError


def read(path: Path, text: str, findings: Findings | None = None, **options: Any) -> dict[str, Series]:
    (path / "t.csv").write_text(text, encoding="utf-8")
    series = read_series([path / "t.csv"], SeriesOptions(**options), Findings() if findings is None else findings)
    return {one.name: one for one in series}


def rows(header: str, form: str, days: int = 4, hours: int = 24) -> str:
    lines = []
    for n in range(days * hours):
        day = date(2020, 1, 1) + timedelta(days=n // hours)
        values = {
            "n": n,
            "y": day.year,
            "m": day.month,
            "d": day.day,
            "h": n % hours,
            "w": ("NW", "SE", "cv")[n * n * 7 % 13 % 3],
        }
        lines.append(form.format(**values))
    return "\n".join([header, *lines]) + "\n"


@pytest.mark.parametrize(
    ("header", "form"),
    [
        ("Date,Time,x", "{d}/{m}/{y},{h}:00:00,{n}"),
        ("Date,Time,x", "{m}/{d}/{y},{h}:00,{n}"),
        ("Date,Time,x", "{y}-{m:02}-{d:02},{h:02}:00,{n}"),
        ("Date;Time;x", "{d:02}/{m:02}/{y};{h:02}.00.00;{n},0"),
        ("No,year,month,day,hour,x", "{n},{y},{m},{d},{h},{n}"),
        ("YEAR,MO,DY,HR,x", "{y},{m},{d},{h},{n}"),
        ("YYYYMMDD,HH,x", "{y}{m:02}{d:02},{h},{n}"),
        ("instant,dteday,hr,x", "{n},{y}-{m:02}-{d:02},{h},{n}"),
        ("time,x", "{y}-{m:02}-{d:02}T{h:02}:00:00+00:00,{n}"),
        (",x", "{y}{m:02}{d:02}{h:02},{n}"),
        ("x,when", "{n},{d:02}.{m:02}.{y} {h:02}:00"),
    ],
)
def test_every_form_of_time_is_the_same_series(tmp_path: Path, header: str, form: str) -> None:
    series = read(tmp_path, rows(header, form))
    assert list(series) == ["x"]
    assert series["x"].values.tolist() == list(range(96))
    assert series["x"].frequency == Frequency.parse("1h")
    assert written(series["x"].times[[0, -1]], series["x"].frequency) == ["2020-01-01 00:00", "2020-01-04 23:00"]


def test_time_columns_may_be_named(tmp_path: Path) -> None:
    text = rows("a,b,x", "{d}/{m}/{y},{h}:00:00,{n}")
    assert list(read(tmp_path, text, time=["a", "b"])) == ["x"]
    assert list(read(tmp_path, rows("x,t", "{n},{y}-{m:02}-{d:02}", hours=1), time="t")) == ["x"]
    assert SeriesOptions(time=None).time == []  # type: ignore[arg-type]
    series = read(tmp_path, rows("date,x", "{y}-{m:02}-{d:02},{n}", hours=1), time="none")
    assert series["x"].frequency == STEPS


def test_words_name_the_series_only_if_the_times_of_each_are_regular(tmp_path: Path) -> None:
    findings = Findings()
    text = rows("No,time,x,wind", "{n},{y}-{m:02}-{d:02} {h:02}:00,{n},{w}")
    assert list(read(tmp_path, text, findings)) == ["x"]
    assert [item.message for item in findings.items] == [
        "column 'wind' holds categories, no numbers, and is left out",
        "column 'No' numbers the rows and is left out; --values No reads it all the same",
    ]
    assert list(read(tmp_path, text, values=["No"])) == ["No"]
    long = "time,shop,x\n" + "".join(
        f"2020-01-0{day},{shop},{day}\n" for day in range(1, 8) for shop in ("Ulm", "Bonn")
    )
    assert {name: len(series) for name, series in read(tmp_path, long).items()} == {"Ulm": 7, "Bonn": 7}
    pairs = "time,shop,kind,x\n" + "".join(
        f"2020-01-0{day},{shop},{kind},{day}\n" for day in range(1, 8) for shop in "ab" for kind in "uv"
    )
    assert list(read(tmp_path, pairs)) == ["a/u", "a/v", "b/u", "b/v"]


def test_a_column_that_begins_late_is_one_all_the_same(tmp_path: Path) -> None:
    text = "time,x,late\n" + "".join(
        f"{date(2015, 1, 1) + timedelta(days=n)},{n},{n if n > 1100 else ''}\n" for n in range(1200)
    )
    series = read(tmp_path, text)
    assert (len(series["x"]), len(series["late"])) == (1200, 99)


def test_a_row_a_series_with_times_in_the_header(tmp_path: Path) -> None:
    header = "Province,Country,Lat," + ",".join(f"1/{day}/20" for day in range(22, 31))
    text = f"{header}\n,Spain,40,{','.join('123456789')}\nHubei,China,30,{','.join('987654321')}\n"
    series = read(tmp_path, text)
    assert list(series) == ["Spain", "China"]
    spain = series["Spain"]
    assert (spain.values.tolist(), spain.frequency) == (list(range(1, 10)), Frequency.parse("1d"))
    assert written(spain.times[:1], spain.frequency) == ["2020-01-22"]
    years = "Country Name,Country Code,1990,1991,1992,1993,1994\nX,x,1,2,4,4,5\nY,y,2,3,5,5,6\n"
    assert read(tmp_path, years)["X"].frequency == Frequency.parse("1y")


def test_missing_values_and_markers(tmp_path: Path) -> None:
    text = (
        rows("time,x", "{y}-{m:02}-{d:02} {h:02}:00,{n}")
        .replace(":00,5\n", ":00,?\n")
        .replace(":00,7\n", ":00,-9999\n")
    )
    findings = Findings()
    series = read(tmp_path, text, findings, gaps="interpolate")
    assert series["x"].values[5] == pytest.approx((4 + 6) / 2)
    assert [(item.kind, item.line) for item in findings.items] == [("marker", 9), ("missing value", 7)]
    marked = read(tmp_path, text, findings, gaps="interpolate", missing=["-9999"])
    assert marked["x"].values.tolist() == list(range(96))


def test_a_clock_that_is_set_back(tmp_path: Path) -> None:
    hours = [f"2020-10-25 0{h}:00" for h in (0, 1, 2, 2, 3, 4)] + [
        f"2020-10-{d} {h:02}:00" for d in (26, 27) for h in range(24)
    ]
    hours = (
        [f"2020-10-24 {h:02}:00" for h in range(24)]
        + hours[:6]
        + [f"2020-10-25 {h:02}:00" for h in range(5, 24)]
        + hours[6:]
    )
    text = "time,x\n" + "".join(f"{hour},{n}\n" for n, hour in enumerate(hours))
    with pytest.raises(DataError, match=r"has this time twice .* with another value; remove one"):
        read(tmp_path, text)
    assert len(read(tmp_path, text, time_zone="Europe/Berlin")["x"]) == len(hours)


def test_days_and_months_that_nothing_tells_apart(tmp_path: Path) -> None:
    text = "date,x\n" + "".join(f"{n}/1/2020,{n}\n" for n in range(1, 13))
    with pytest.raises(
        DataError, match=r"t.csv:2: column 'date': '1/1/2020' may name the day first or the month first"
    ):
        read(tmp_path, text)
    assert read(tmp_path, text, time_format="%d/%m/%Y")["x"].frequency == Frequency.parse("1d")
    assert read(tmp_path, text, time_format="%m/%d/%Y")["x"].frequency == Frequency.parse("1mo")
