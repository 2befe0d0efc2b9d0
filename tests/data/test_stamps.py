"""Time stamps as files have them, read a column at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from unrolled.data.core.stamps import localised, parse_stamps, parse_time, stamp_kind, zone_named
from unrolled.errors import ArgumentError


def us(text: str) -> int:
    return int(np.datetime64(text, "us").astype(np.int64))


def read(stamps: Sequence[object], format: str | None = None) -> list[str]:
    column = parse_stamps(stamps, format)
    assert column.readable.all()
    assert not column.ambiguous
    return [str(t.astype("datetime64[us]").astype("datetime64[m]")) for t in column.times]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20200131", "2020-01-31T00:00"),
        ("2020013105", "2020-01-31T05:00"),
        ("202001310530", "2020-01-31T05:30"),
        ("2020-01-31 24:00", "2020-02-01T00:00"),
        ("2020/1/31 5:00 PM", "2020-01-31T17:00"),
        ("2020-01-31 12:30 am", "2020-01-31T00:30"),
        ("31-Jan-2020 05:00", "2020-01-31T05:00"),
        ("Jan 31, 2020", "2020-01-31T00:00"),
        ("31 January 2020", "2020-01-31T00:00"),
        ("2020Q3", "2020-07-01T00:00"),
        ("2020M05", "2020-05-01T00:00"),
        ("Jan-20", "2020-01-01T00:00"),
        ("31.1.20 5:00", "2020-01-31T05:00"),
        ("31/1/2020", "2020-01-31T00:00"),
        ("1/31/20 18.30.00", "2020-01-31T18:30"),
        ("31/01/2020 01:00:00,5", "2020-01-31T01:00"),
        ("2020-01-31T05:00:00+0200", "2020-01-31T03:00"),
        ("2020-01-31 05:00 UTC", "2020-01-31T05:00"),
        ("2020-01-31T05:00-03", "2020-01-31T08:00"),
    ],
)
def test_one_stamp_in_every_form(text: str, expected: str) -> None:
    assert read([text]) == [expected]
    assert stamp_kind(text) in ("date", "moment")
    assert parse_time(text)[1]


@pytest.mark.parametrize(
    "text", ["31/31/2020", "2020-02-30", "25:00", "2020-01-01 25:00", "13:00 PM", "Tasmania", "1.2.3"]
)
def test_what_is_no_stamp(text: str) -> None:
    assert not parse_stamps([text]).readable[0]


def test_a_day_above_twelve_tells_the_order_of_a_whole_column() -> None:
    assert read(["1/2/2020", "2/2/2020", "13/2/2020"])[0] == "2020-02-01T00:00"
    assert read(["1/2/2020", "1/3/2020", "1/13/2020"])[0] == "2020-01-02T00:00"


def test_without_one_the_regular_order_is_right() -> None:
    days = [f"{day}/1/2020 {hour}:00" for day in range(1, 6) for hour in range(24)]
    assert read(days)[24] == "2020-01-02T00:00"
    months = [f"{month}/1/20{year}" for year in range(10, 14) for month in range(1, 13)]
    assert read(months)[1] == "2010-02-01T00:00"


def test_where_nothing_tells_the_order_it_is_ambiguous() -> None:
    assert parse_stamps([f"{n}/1/2020" for n in range(1, 13)]).ambiguous
    assert not parse_stamps(["1/1/2020", "2/2/2020"]).ambiguous
    assert read([f"{n}/1/2020" for n in range(1, 13)], "%d/%m/%Y")[1] == "2020-01-02T00:00"


def test_numbers_are_what_the_whole_column_can_be() -> None:
    assert read(["2019", "2020"]) == ["2019-01-01T00:00", "2020-01-01T00:00"]
    assert read([20200101, 20200102]) == ["2020-01-01T00:00", "2020-01-02T00:00"]
    for scale in (1, 1_000, 1_000_000, 1_000_000_000):
        assert read([1577836800 * scale, 1577836860 * scale]) == ["2020-01-01T00:00", "2020-01-01T00:01"]
    # seconds since the start, though one of them alone could be a year or a day
    seconds = parse_stamps([0, 2019, 20200101])
    assert (seconds.calendar, seconds.times.tolist()) == (False, [0, 2_019_000_000, 20_200_101_000_000])


def test_the_kinds_of_cells() -> None:
    kinds = {"2020-01-01": "date", "1/1/2020 5:00": "moment", "5:00": "clock", "5:00 PM": "clock", "18.00.00": "clock"}
    kinds |= {"5": "number", "2020": "number", "x": "", "": ""}
    assert {text: stamp_kind(text) for text in kinds} == kinds


def test_the_hour_that_comes_twice_in_autumn_is_told_apart_by_the_order_of_rows() -> None:
    zone = zone_named("Europe/Berlin")
    clock = ["2020-10-25T01:00", "2020-10-25T02:00", "2020-10-25T02:00", "2020-10-25T03:00"]
    utc = localised(np.array([us(text) for text in clock]), zone)
    assert utc.tolist() == [us(f"2020-10-2{text}") for text in ("4T23:00", "5T00:00", "5T01:00", "5T02:00")]
    spring = localised(np.array([us("2020-03-29T01:00"), us("2020-03-29T03:00")]), zone)
    assert np.diff(spring).tolist() == [3600 * 1_000_000]
    with pytest.raises(ArgumentError, match=r"--time-zone 'Mars': no such zone; names are like Europe/Berlin"):
        zone_named("Mars")
