"""Time stamps, their step, and counting on."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import numpy as np
import pytest

from unrolled.data.core.stamps import parse_time
from unrolled.data.series.timeline import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    STEPS,
    Frequency,
    calendar_features,
    infer_frequency,
    phases_for,
    written,
)
from unrolled.errors import ArgumentError


def us(text: str) -> int:
    return int(np.datetime64(text, "us").astype(np.int64))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2016-07-01 00:00:00", "2016-07-01T00:00"),
        ("2016-07-01T13:05:01.250000", "2016-07-01T13:05:01.25"),
        ("1949-01", "1949-01-01"),
        (" 1981-01-02 ", "1981-01-02"),
        ("2020", "2020-01-01"),
        (2020, "2020-01-01"),
        ("1593561600", "2020-07-01"),
        ("2016-07-01T02:00:00+02:00", "2016-07-01T00:00"),
        ("2016-07-01T00:00:00Z", "2016-07-01T00:00"),
        ("31.12.2020", "2020-12-31"),
        ("31.12.2020 23:59", "2020-12-31T23:59"),
        ("2020/12/31 23:59:58", "2020-12-31T23:59:58"),
        (date(2020, 2, 29), "2020-02-29"),
        (datetime(2020, 2, 29, 1), "2020-02-29T01:00"),
        (datetime(2020, 2, 29, 1, tzinfo=timezone(timedelta(hours=1))), "2020-02-29T00:00"),
        (datetime(2020, 2, 29, tzinfo=timezone.utc), "2020-02-29T00:00"),
    ],
)
def test_stamps_that_are_dates(value: object, expected: str) -> None:
    assert parse_time(value) == (us(expected), True)


def test_stamps_that_are_numbers_of_seconds() -> None:
    assert parse_time("0.02") == (20_000, False)
    assert parse_time(-3) == (-3 * SECOND, False)
    assert parse_time("12") == (12 * SECOND, False)


def test_a_form_of_ones_own() -> None:
    assert parse_time("3/4/2020", "%d/%m/%Y") == (us("2020-04-03"), True)
    with pytest.raises(ValueError, match="is no time"):
        parse_time("2020-04-03", "%d/%m/%Y")


@pytest.mark.parametrize(
    "value", ["", "soon", "3/4/2020", "2020-13-01", "2021-02-29", None, True, "1e30", "nan", "inf"]
)
def test_what_is_no_time(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_time(value)


@pytest.mark.parametrize(
    ("text", "name", "season"),
    [
        ("1h", "hours", 24),
        ("15min", "15 minutes", 96),
        ("d", "days", 7),
        ("1w", "weeks", 52),
        ("1mo", "months", 12),
        ("q", "quarters", 4),
        ("1y", "years", 1),
        ("2mo", "2 months", 6),
        ("5mo", "5 months", 1),
        ("12h", "12 hours", 2),
        ("36h", "36 hours", 1),
        ("0.5s", "0.5 seconds", 120),
        ("5d", "5 days", 1),
    ],
)
def test_frequencies(text: str, name: str, season: int) -> None:
    found = Frequency.parse(text)
    assert (found.name, found.season) == (name, season)


@pytest.mark.parametrize("text", ["", "h1", "0h", "1 fortnight", "-1d", "0.3mo", "1e9d"])
def test_what_is_no_frequency(text: str) -> None:
    with pytest.raises(ArgumentError, match=r"--frequency: .* is no step of time; try 1h"):
        Frequency.parse(text)


@pytest.mark.parametrize(
    ("text", "begin"),
    [
        ("1h", "2020-02-28T05:00"),
        ("15min", "2020-02-28"),
        ("1mo", "2020-01-01"),
        ("1q", "2020-01-01"),
        ("1y", "1999-06-01"),
    ],
)
def test_a_grid_is_found_again(text: str, begin: str) -> None:
    step = Frequency.parse(text)
    times = np.concatenate([[us(begin)], step.after(us(begin), 40)])
    assert infer_frequency([times], True) == step
    assert step.positions(times, us(begin)).tolist() == list(range(41))


def test_the_step_is_the_most_frequent_one() -> None:
    hours = np.array([0, 1, 2, 3, 7, 8, 9]) * HOUR
    assert infer_frequency([hours, np.array([0])], True) == Frequency("us", HOUR)
    assert infer_frequency([hours], False) == Frequency("us", HOUR, False)
    assert infer_frequency([np.array([5])], True) is None


def test_four_weeks_are_no_month() -> None:
    assert infer_frequency([np.arange(30) * 28 * DAY], True) == Frequency("us", 28 * DAY)


def test_months_keep_their_day() -> None:
    step = Frequency.parse("1mo")
    assert written(step.after(us("2020-01-31"), 3), step) == ["2020-02-29", "2020-03-31", "2020-04-30"]
    assert written(step.after(us("2020-01-15"), 2), step) == ["2020-02-15", "2020-03-15"]
    assert written(step.after(us("2021-02-28"), 2, anchor=us("2021-01-30")), step) == ["2021-03-30", "2021-04-30"]
    assert written(step.after(us("1960-12-01"), 2), step) == ["1961-01", "1961-02"]


def test_times_are_written_no_finer_than_they_are() -> None:
    assert written(np.array([us("2020-01-01T10:30")]), Frequency.parse("1h")) == ["2020-01-01 10:30"]
    assert written(np.array([us("2020-01-01T10:30:01")]), Frequency.parse("1h")) == ["2020-01-01 10:30:01"]
    assert written(np.array([us("2020-01-01")]), Frequency.parse("1d")) == ["2020-01-01"]
    assert written(np.array([20_000]), Frequency("us", 20_000, False)) == ["0.02"]
    assert written(np.array([7]), STEPS) == ["7"]


def test_calendar_features_are_turns_of_the_clock() -> None:
    # a Monday at midnight and a Thursday at 18:00
    times = np.array([us("2024-01-01"), us("2024-01-04T18:00")])
    found = calendar_features(times, ("day", "week"))
    assert found.shape == (2, 10)
    assert found[0].tolist() == [0, 1] * 5
    assert found[1, :4].tolist() == pytest.approx([-1, 0, 0, -1], abs=1e-6)
    turn = 3.75 / 7 * 2 * np.pi
    assert found[1, 4:6].tolist() == pytest.approx([np.sin(turn), np.cos(turn)], abs=1e-6)
    year = calendar_features(np.array([us("2023-07-02T12:00")]), ("year",))
    assert year[0, :2].tolist() == pytest.approx([0, -1], abs=1e-6)
    assert calendar_features(times, ()).shape == (2, 0)


def test_phases_are_read_where_they_were_seen_twice() -> None:
    assert phases_for(Frequency.parse("1h"), 3 * DAY) == ("day",)
    assert phases_for(Frequency.parse("1h"), 800 * DAY) == ("day", "week", "year")
    assert phases_for(Frequency.parse("1d"), 800 * DAY) == ("week", "year")
    assert phases_for(Frequency.parse("1y"), 8000 * DAY) == ()
    assert phases_for(Frequency("us", MINUTE, False), 800 * DAY) == ()
