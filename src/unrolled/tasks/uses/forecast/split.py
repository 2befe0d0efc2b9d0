"""Where series are cut: what is learned from, what is chosen by, and what is not read, in the order of time."""

from __future__ import annotations

from collections.abc import Sequence

from unrolled.data import Findings
from unrolled.data.series.read import Series
from unrolled.tasks.uses.forecast.options import ForecastOptions


def split_by_time(
    train: Sequence[Series], dev: Sequence[Series], options: ForecastOptions, findings: Findings
) -> tuple[list[Series], list[Series]]:
    """Cut each series where development data begins, and once more where nothing is to be read any more.

    Args:
        train, dev: as read; a series of `dev` that follows one of `train` continues it.
        options: of training.
        findings: collects series that are too short, which are left out.

    Returns:
        Series to learn from, whose times go on to where development data ends; and to choose by, with `first` where it
        begins and all of their past before it.
    """
    learned: list[Series] = []
    held: list[Series] = []
    more = {series.name: series for series in dev}
    for series in train:
        horizon = options.horizon_of(series.frequency)
        least = horizon + options.least_context
        end = len(series) if options.test_from is None else series.index(options.test_from)
        other = more.pop(series.name, None)
        begin = end
        if options.dev_from is not None:
            begin = min(series.index(options.dev_from), end)
        elif not dev:
            begin = end - max(horizon, round(options.holdout * end))
        if begin < least:
            short = "a shorter --horizon or --context" if options.context else "a shorter --horizon"
            message = (
                f"series {series.name!r} has {max(0, begin)} steps to learn from, {end - begin} being held out; a "
                f"horizon of {horizon} and a context of {least - horizon} need {least}: give more of it, or {short}"
            )
            findings.error("too short", message, series.path or None, series.line)
            continue
        whole = series.part(end)
        joined = None if other is None else whole.joined(other)
        if joined is None and other is not None:
            held.append(other)
        whole = whole if joined is None else joined.part(len(joined))
        learned.append(whole.part(begin, len(whole)))
        if begin < len(whole):
            held.append(whole.part(len(whole), first=begin))
    return learned, [*held, *more.values()]
