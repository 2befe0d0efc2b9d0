"""Windows over series: which there are, and what is in them."""

from __future__ import annotations

import numpy as np
import pytest

from unrolled.data.core.examples import Arrays
from unrolled.data.series.windows import SeriesWindows
from unrolled.errors import ArgumentError

NAN = float("nan")


def example(values: list[float], first: int = 0, channel: int = 0) -> Arrays:
    series = np.array(values)
    return {
        "values": series,
        "known": np.stack([series * 10, series * 0 + 1], 1).astype(np.float32),
        "static": np.array([series[0]], np.float32),
        "first": np.array([first]),
        "channel": np.array([channel]),
        "scale": np.array([channel, 0.5]),
    }


def test_every_window_once_and_none_across_series() -> None:
    windows = SeriesWindows([example([1, 2, 3, 4, 5]), example([6, 7]), example([11, 12, 13, 14], channel=7)], 2, 2, 1)
    assert len(windows) == 5
    arrays = windows.gather(np.arange(5))
    assert arrays.values.T.tolist() == [[1, 2, 3], [2, 3, 4], [3, 4, 5], [11, 12, 13], [12, 13, 14]]
    assert arrays.known[:, 3, 0].tolist() == [110, 120, 130]
    assert windows.series.tolist() == [0, 0, 0, 2, 2]
    assert arrays.channel.tolist() == arrays.scale[:, 0].tolist() == [0, 0, 0, 7, 7]
    assert arrays.static[:, 0].tolist() == [1, 1, 1, 11, 11]
    assert windows.origins.tolist() == [2, 3, 4, 2, 3]
    assert [int(windows[n]["window"][0]) for n in range(5)] == list(range(5))
    assert len(windows[1:3]) == 2
    with pytest.raises(IndexError):
        windows[5]


def test_targets_begin_with_the_first_and_windows_keep_their_stride() -> None:
    windows = SeriesWindows([example([0, 1, 2, 3, 4, 5, 6, 7, 8], first=4)], 2, 2, 2, stride=2)
    assert windows.origins.tolist() == [4, 6]
    assert windows.gather(np.array([1])).values[:, 0].tolist() == [4, 5, 6, 7]


def test_what_lies_before_a_series_is_nothing() -> None:
    windows = SeriesWindows([example([9, 9]), example([1, 2, 3])], 2, 4, 1)
    found = windows.gather(np.array([0]))
    assert found.values[:, 0].tolist() == pytest.approx([NAN, NAN, 1, 2, 3], nan_ok=True)
    assert found.known[:2, 0].tolist() == [[0, 0], [0, 0]]


def test_windows_of_which_nothing_is_known_are_none() -> None:
    series = example([1, 2, NAN, NAN, 5, 6, NAN, NAN])
    series["known"] = np.nan_to_num(series["known"])
    assert SeriesWindows([series], 2, 2, 2).origins.tolist() == [3, 5]
    assert len(SeriesWindows([], 2, 2, 2)) == 0


def test_sizes_out_of_range() -> None:
    with pytest.raises(ArgumentError, match="context, horizon, stride: expected at least 1, found 0, 1, 1"):
        SeriesWindows([], 0, 1, 1)
