"""Ctrl-C and SIGTERM: the first asks the loop to finish its step and save, the second stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TypeAlias

_Handler: TypeAlias = Callable[[int, FrameType | None], object] | int


class Interrupt:
    """Catches SIGINT and SIGTERM within a `with` block. Does nothing outside the main thread.

    Attributes:
        asked: the number of the signal that asked to stop, or 0.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._before: dict[int, _Handler] = {}

    def __enter__(self) -> Interrupt:
        # Python sets signal handlers from the main thread only.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                before = signal.signal(number, self._handle)
                # None stands for a handler that was not set from Python and can't be restored from it.
                self._before[number] = signal.SIG_DFL if before is None else before
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.asked:
            self.asked = number
            return
        self._restore()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())
