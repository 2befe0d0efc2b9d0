"""Output to the terminal: progress on standard error, results on standard output."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast

from unrolled.storage import plain_json
from unrolled.terminal import printable, say

if TYPE_CHECKING:
    from unrolled.training import Reporter

_SECONDS_BETWEEN = 0.1


class ProgressLine:
    """A line on standard error that says what is being done and is erased afterwards. Silent unless on a terminal.

    Args:
        stream: standard error by default.
        quiet: whether to stay silent.
    """

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._silent = quiet or not self._stream.isatty()
        self._shown, self._sentence, self._last = False, "", 0.0

    def __call__(self, sentence: str, done: int, of: int | None) -> None:
        """Show progress, as `unrolled.tasks.core.values.Progress`."""
        now = time.monotonic()
        if self._silent or (sentence == self._sentence and now - self._last < _SECONDS_BETWEEN):
            return
        self._sentence, self._last, self._shown = sentence, now, True
        count = "" if not done else f" {done:,}" if not of else f" {done / of:.0%}"
        self._stream.write(f"\r\x1b[K{printable(sentence)} …{count}")
        self._stream.flush()

    def clear(self) -> None:
        """Erase the line, before something else is printed."""
        if self._shown:
            self._shown = False
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def before(self, reporter: Reporter) -> Reporter:
        """Return a reporter that erases this line before every event."""
        return cast("Reporter", _ClearingFirst(self, reporter))


class _ClearingFirst:
    def __init__(self, line: ProgressLine, reporter: Reporter) -> None:
        self._line, self._reporter = line, reporter

    def __getattr__(self, name: str) -> Any:
        self._line.clear()
        return getattr(self._reporter, name)


@contextmanager
def progress_line(quiet: bool = False) -> Iterator[ProgressLine]:
    """Yield a `ProgressLine` that is erased at the end, even after an error."""
    line = ProgressLine(quiet=quiet)
    try:
        yield line
    finally:
        line.clear()


def print_json(value: object) -> None:
    """Print a JSON object on one line, with null for numbers that are not finite."""
    say(json.dumps(plain_json(value), ensure_ascii=False, allow_nan=False))
