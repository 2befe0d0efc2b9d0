"""What is wrong with data: refused at the first fault, or gathered so that all of it can be shown or left out."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unrolled.errors import DataError

log = logging.getLogger("unrolled.data")

#: findings of one kind that are logged before training; `unrolled data check` shows all
SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that may ruin a run without a word.

    Attributes:
        severity: "error" for what can't be used, "warning" for what can but should be looked at.
        kind: a word for findings of the same sort, e.g. "duplicate".
        message: what it is and what to do.
        path, line: where; the line is 1-based.
    """

    severity: Literal["error", "warning"]
    kind: str
    message: str
    path: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = "" if self.path is None else (f"{self.path}: " if self.line is None else f"{self.path}:{self.line}: ")
        return f"{place}{self.severity}: {self.message}"

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return dict(vars(self))


class Findings:
    """Where readers and checks say what they found.

    A reader says `findings.error(…)` about an example that can't be used and goes on with the next: strict, that raises
    at once; otherwise the example is left out and the finding kept.

    Args:
        strict: raise for the first error.
    """

    def __init__(self, strict: bool = True) -> None:
        self.strict = strict
        self.items: list[Finding] = []

    def error(self, kind: str, message: str, path: str | Path | None = None, line: int | None = None) -> None:
        """Something that can't be used.

        Raises:
            DataError: if strict.
        """
        if self.strict:
            raise DataError(message, path, line)
        self.items.append(Finding("error", kind, message, None if path is None else str(path), line))

    def warning(self, kind: str, message: str, path: str | Path | None = None, line: int | None = None) -> None:
        """Something that can be used, and should be looked at."""
        self.items.append(Finding("warning", kind, message, None if path is None else str(path), line))

    def caught(self, error: DataError, kind: str) -> None:
        """An error that was raised while an example was read: raised again if strict, else kept.

        Raises:
            DataError: if strict.
        """
        if self.strict:
            raise error
        place = "" if error.path is None else f"{error.path}: "
        text = str(error)
        message = text.removeprefix(f"{error.path}:{error.line}: ").removeprefix(place)
        self.items.append(Finding("error", kind, message, None if error.path is None else str(error.path), error.line))

    @property
    def errors(self) -> int:
        """How many can't be used."""
        return sum(item.severity == "error" for item in self.items)

    def log(self, way_out: str) -> None:
        """Log what was found, the first few of each kind, with where to see the rest.

        Args:
            way_out: how all of it can be seen.
        """
        by_kind: dict[str, list[Finding]] = {}
        for item in self.items:
            by_kind.setdefault(item.kind, []).append(item)
        for items in by_kind.values():
            for item in items[:SHOWN]:
                log.warning("%s%s", item, " (left out)" if item.severity == "error" else "")
            if len(items) > SHOWN:
                log.warning("… and %d more of this kind: %s", len(items) - SHOWN, way_out)
