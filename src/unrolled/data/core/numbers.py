"""Numbers as people write them in tables, and the marks that stand for a missing one."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

#: cells that stand for a missing value wherever a number is expected, in lower case
MISSING = frozenset(
    ("", "?", "na", "n/a", "#n/a", "n.a.", "nan", "null", "none", "nil", "missing", "-", "--", "–", "—", ".", "..")
)
#: thousands set apart by the same mark throughout, and an optional fraction after the other one
_GROUPED = {
    ".": re.compile(r"[-+]?\d{1,3}(?:([ \u00a0\u202f'’,])\d{3})(?:\1\d{3})*(?:\.\d+)?"),
    ",": re.compile(r"[-+]?\d{1,3}(?:([ \u00a0\u202f'’.])\d{3})(?:\1\d{3})*(?:,\d+)?"),
}
_MARKS = re.compile(r"[ \u00a0\u202f'’]")
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?")
_DECIMAL_POINT = re.compile(r"[-+]?\d*\.\d+(?:[eE][-+]?\d+)?")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+")
_WHOLE = re.compile(r"[-+]?\d+")
_NINES = re.compile(r"-?9{2,}(?:\.9+|\.0+)?")


def parse_number(text: str, decimal: str = ".") -> float:
    """Return a number as it is written in a cell, with or without marks between thousands, and with or without a %.

    >>> parse_number("1,234.5"), parse_number("1.234,5", ","), parse_number("-0,5", ","), parse_number("12 %")
    (1234.5, 1234.5, -0.5, 12.0)

    Raises:
        ValueError: it is none.
    """
    text = text.strip().replace("−", "-").removesuffix("%").rstrip()
    if "_" in text:
        raise ValueError(f"{text!r} is no number")
    if decimal == "." and "," not in text:
        try:
            return float(text)
        except ValueError:
            pass
    if _GROUPED[decimal].fullmatch(text):
        text = _MARKS.sub("", text.replace("," if decimal == "." else ".", ""))
    elif decimal == "," and "." in text:
        # 1.5 in a table of decimal commas may be a misprint or fifteen hundred: nobody can tell
        raise ValueError(f"{text!r} is no number with a decimal comma")
    return float(text.replace(",", ".") if decimal == "," else text)


def is_number(text: str, decimal: str = ".") -> bool:
    """Return whether a cell holds a number."""
    try:
        parse_number(text, decimal)
    except ValueError:
        return False
    return True


def decimal_mark(rows: Iterable[Sequence[str]], delimiter: str | None) -> str:
    """Return the decimal mark, "." or ",", that the cells of a table use.

    A comma before three digits is a mark between thousands where commas part the cells, where there are points as well,
    and where its column says so: another number there has two such commas, or none as it is below a thousand, and none
    is larger without one. Elsewhere it is a decimal comma.

    >>> decimal_mark([["1,234", "0,5"]], ";"), decimal_mark([["1,234"], ["987"]], ";")
    (',', '.')
    """
    commas = points = 0
    grouped: dict[int, list[str]] = {}
    for row in rows:
        for column, cell in enumerate(row):
            text = cell.strip()
            if _THOUSANDS.fullmatch(text) or _WHOLE.fullmatch(text):
                grouped.setdefault(column, []).append(text.lstrip("+-"))
            elif _DECIMAL_POINT.fullmatch(text) or ("." in text and "," in text and _GROUPED["."].fullmatch(text)):
                points += 1
            elif _DECIMAL_COMMA.fullmatch(text) or ("." in text and "," in text and _GROUPED[","].fullmatch(text)):
                commas += 1
    if commas:
        return "," if commas > points else "."
    of_thousands = [_are_thousands(cells) for cells in grouped.values() if any("," in cell for cell in cells)]
    return "," if of_thousands and not all(of_thousands) and not points and delimiter not in (",", None) else "."


def _are_thousands(cells: Sequence[str]) -> bool:
    """Whether the commas in a column of whole numbers, some before three digits, are marks between thousands."""
    if any(cell.startswith("0,") or ("," not in cell and len(cell) > 3) for cell in cells):
        return False
    return any("," not in cell or cell.count(",") > 1 for cell in cells)


def likely_marker(values: NDArray[np.float64]) -> float | None:
    """Return the value that most likely stands for a missing one, such as -9999 among temperatures, or None.

    It is the smallest or the largest, lies far from all others, and is written in nines or occurs again and again.

    >>> likely_marker(np.array([10.8, 11.0, -9999, 12.1])), likely_marker(np.array([1.0, 2.0, 500.0]))
    (-9999.0, None)
    """
    distinct, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    if len(distinct) < 3:
        return None
    for at, rest in ((0, distinct[1:]), (-1, distinct[:-1])):
        value, spread = float(distinct[at]), float(rest[-1] - rest[0])
        apart = float(rest[0] - value if at == 0 else value - rest[-1])
        nines = bool(_NINES.fullmatch(f"{value:.15g}"))
        round_mark = value == math.trunc(value) and abs(value) >= 99 and counts[at] > 1 and value < 0
        if apart > max(1.5 * spread, 1e-12) and abs(value) >= 9 and (nines or round_mark):
            return value
    return None
