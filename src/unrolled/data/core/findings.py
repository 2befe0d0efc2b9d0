"""Faults of data: refused at the first one, or collected so that all can be shown or left out."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unrolled.errors import DataError
from unrolled.types import Json

log = logging.getLogger("unrolled.data")

#: findings of one kind that are logged before training, and findings that say the same that are shown by a check
SHOWN, ALIKE = 5, 3
#: what differs between findings that say the same
_PARTICULARS = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\S*:\d+\b|[-+]?\d[\d.,:]*")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that may ruin a run without a word.

    Attributes:
        severity: "error" for data that can't be used, "warning" for data that can but should be looked at.
        kind: a word for findings of the same sort, e.g. "duplicate".
        message: the fault and the way out.
        path, line: the place; the line is 1-based.
    """

    severity: Literal["error", "warning"]
    kind: str
    message: str
    path: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = "" if self.path is None else (f"{self.path}: " if self.line is None else f"{self.path}:{self.line}: ")
        return f"{place}{self.severity}: {self.message}"

    def as_json(self) -> Json:
        """Return it as one JSON object."""
        return dict(vars(self))


class Findings:
    """Collects what readers and checks report.

    A reader calls `findings.error(…)` about an example that can't be used and continues with the next: strict, that
    raises at once; otherwise the example is left out and the finding kept.

    Args:
        strict: raise for the first error.

    Attributes:
        items: the findings, in order.
        understood: lines that say how the data is read.
        columns: of the tables: what a column is used as → its name.
    """

    def __init__(self, strict: bool = True) -> None:
        self.strict = strict
        self.items: list[Finding] = []
        self.understood: list[str] = []
        self.columns: dict[str, str] = {}

    def error(self, kind: str, message: str, path: str | Path | None = None, line: int | None = None) -> None:
        """Report data that can't be used.

        Raises:
            DataError: if strict.
        """
        if self.strict:
            raise DataError(message, path, line)
        self.items.append(Finding("error", kind, message, None if path is None else str(path), line))

    def warning(self, kind: str, message: str, path: str | Path | None = None, line: int | None = None) -> None:
        """Report data that can be used, and should be looked at."""
        self.items.append(Finding("warning", kind, message, None if path is None else str(path), line))

    def caught(self, error: DataError, kind: str) -> None:
        """Report an error that was raised while an example was read.

        Raises:
            DataError: if strict.
        """
        if self.strict:
            raise error
        place = "" if error.path is None else f"{error.path}: "
        message = str(error).removeprefix(f"{error.path}:{error.line}: ").removeprefix(place)
        self.items.append(Finding("error", kind, message, None if error.path is None else str(error.path), error.line))

    @property
    def errors(self) -> int:
        """Return the number of findings that are errors."""
        return sum(item.severity == "error" for item in self.items)

    def log(self, way_out: str) -> None:
        """Log the first few findings of each kind.

        Args:
            way_out: how all of them can be seen.
        """
        for items in _grouped(self.items, lambda item: item.kind):
            for item in items[:SHOWN]:
                log.warning("%s%s", item, " (left out)" if item.severity == "error" else "")
            if len(items) > SHOWN:
                log.warning("… and %d more of this kind: %s", len(items) - SHOWN, way_out)

    def summary(self) -> Iterator[str]:
        """Yield a line for each finding, and one for all beyond the first few that say the same."""
        for items in _grouped(self.items, lambda item: (item.severity, item.kind, _PARTICULARS.sub("…", item.message))):
            yield from map(str, items[:ALIKE])
            if len(items) > ALIKE:
                places = {item.path for item in items}
                lines = ", ".join(str(item.line) for item in items[ALIKE : 2 * ALIKE] if item.line is not None)
                where = f": lines {lines}{', …' * (len(items) > 2 * ALIKE)}" if len(places) == 1 and lines else ""
                yield f"… and {len(items) - ALIKE:,} more {items[0].severity}s like it{where}"


def _grouped(items: Iterable[Finding], key: Callable[[Finding], Hashable]) -> Iterator[list[Finding]]:
    groups: dict[Hashable, list[Finding]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    yield from groups.values()
