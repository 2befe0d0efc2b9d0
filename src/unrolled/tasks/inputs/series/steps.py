"""The names of steps that stand at a time, or at a number."""

from __future__ import annotations


def step_names(first: int, end: int, rate: float | None) -> list[str]:
    """Return what steps are called: their times where their rate a second is known, else their numbers from 1.

    >>> step_names(1, 3, 4.0), step_names(1, 3, None)
    (['0.25 s', '0.50 s'], ['2', '3'])
    """
    return [str(n + 1) if rate is None else f"{n / rate:.2f} s" for n in range(first, end)]
