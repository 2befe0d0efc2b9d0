r"""Files of labelled series as the archives of UCR and UEA publish them: .ts and .arff.

    @problemName Boats                      @relation Boats
    @dimensions 2                           @attribute values relational … @end values
    @classLabel true slow fast              @attribute target {slow,fast}
    @data                                   @data
    1,2,3:4,5,6:slow                        '1,2,3\n4,5,6',slow

A dimension may be given as (time,value) pairs, whose times are left out; `?` and `NaN` are missing.

Source: https://www.timeseriesclassification.com; Löning et al. 2019, sktime, arXiv 1909.07872, "ts file format".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.data.core.dialect import TableOptions
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.errors import DataError

_DATA = re.compile(r"\s*@data\b", re.IGNORECASE)
_PAIR = re.compile(r"\(([^(),]*(?:,[^(),]*)*),([^(),]*)\)")
_MISSING = frozenset(("?", "nan", "", "na"))
_HEAD = 1 << 15


class SeriesRow(NamedTuple):
    """One series of a file: its values (T, F), its label, which may be empty, its line, and its name if it has one."""

    values: NDArray[np.float64]
    label: str
    line: int
    name: str = ""


def is_published(source: Source) -> bool:
    """Return whether a file is in one of these formats: by its name, and a line that begins with @."""
    return source.inner_name.endswith((".ts", ".arff")) and re.search(rb"^\s*@\w", source.head(_HEAD), re.M) is not None


def read_published(
    source: Source, options: TableOptions, findings: Findings, *, labelled: bool = True
) -> Iterator[SeriesRow]:
    """Yield the series of a .ts or .arff file.

    Args:
        source: the file.
        options: how its text is decoded.
        findings: collects lines that can't be used, which are left out.
        labelled: whether series must have labels.

    Raises:
        DataError: no @data in it, or series without labels.
    """
    arff = source.inner_name.endswith(".arff")
    in_data, has_labels, width = False, True, 0
    for number, line in source.filled_lines(options.encoding, options.errors):
        text = line.strip()
        if text.startswith(("#", "%")):
            continue
        if not in_data:
            in_data = _DATA.match(text) is not None
            has_labels = has_labels and not text.lower().startswith("@classlabel false")
            if in_data and labelled and not has_labels:
                raise DataError("its series have no labels (@classLabel false)", source.name, number)
            continue
        try:
            values, label = _arff_row(text) if arff else _ts_row(text, has_labels)
        except ValueError as error:
            findings.error("malformed", f"not a series: {error}", source.name, number)
            continue
        width = width or values.shape[1]
        if values.shape[1] != width:
            message = f"{values.shape[1]} dimensions where the series before have {width}"
            findings.error("ragged", message, source.name, number)
            continue
        yield SeriesRow(values, label, number)
    if not in_data:
        raise DataError("no line @data in it; is it cut short?", source.name)


def _ts_row(text: str, has_label: bool) -> tuple[NDArray[np.float64], str]:
    # a time may hold colons, within the brackets of its pair
    dimensions = re.split(r":(?![^()]*\))", text)
    label = dimensions.pop() if has_label else ""
    if not dimensions or (has_label and not label.strip()):
        raise ValueError("expected dimensions and a label, with : between")
    return _stacked([_values(dimension) for dimension in dimensions]), label.strip()


def _arff_row(text: str) -> tuple[NDArray[np.float64], str]:
    quote = text[:1]
    if quote in "'\"":
        inside, _, label = text[1:].rpartition(quote)
        dimensions = inside.split("\\n")
    else:
        inside, _, label = text.rpartition(",")
        dimensions = [inside]
    label = label.strip().strip(",").strip().strip("'\"")
    if not inside or not label:
        raise ValueError("expected values and a label, with a comma between")
    return _stacked([_values(dimension) for dimension in dimensions]), label


def _values(text: str) -> NDArray[np.float64]:
    cells = [pair[1] for pair in _PAIR.findall(text)] if "(" in text else text.split(",")
    return np.array([float("nan") if cell.strip().lower() in _MISSING else float(cell) for cell in cells])


def _stacked(dimensions: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    lengths = {len(dimension) for dimension in dimensions}
    if len(lengths) != 1:
        raise ValueError(f"its dimensions have {min(lengths)} to {max(lengths)} steps")
    return np.stack(dimensions, 1)
