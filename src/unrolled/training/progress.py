"""What a run says while it goes on, through one small protocol: a terminal, a log, a test or a server can listen."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TextIO


class Snapshot(NamedTuple):
    """A run right after a step.

    Attributes:
        step, epoch: how far it has come.
        loss: this step's, in nats per item.
        grad_norm: before clipping.
        lr: the learning rate of this step.
        items_per_second: since the last logged line.
        seconds, seconds_left: training time so far, and estimated until the budget is used up (None without one).
        skipped: steps skipped so far.
    """

    step: int
    epoch: float
    loss: float
    grad_norm: float
    lr: float
    items_per_second: float
    seconds: float
    seconds_left: float | None
    skipped: int


class Reporter(Protocol):
    """Listens to a run. Every method returns quickly and changes nothing about the run."""

    def started(self, text: str) -> None:
        """Training begins or goes on."""
        ...

    def stepped(self, now: Snapshot) -> None:
        """A step is done. Called every step."""
        ...

    def logged(self, record: Mapping[str, Any]) -> None:
        """A line was added to `metrics.jsonl`."""
        ...

    def sampled(self, step: int, text: str) -> None:
        """The model produced this."""
        ...

    def saved(self, step: int, path: Path) -> None:
        """A checkpoint was saved."""
        ...

    def notice(self, text: str) -> None:
        """Something the user should know."""
        ...

    def finished(self, text: str) -> None:
        """Training is over."""
        ...

    def close(self) -> None:
        """The run has ended, in whatever way; nothing more will come."""
        ...


class QuietReporter:
    """Says nothing but what the user should know, on standard error. Also the base of the other reporters."""

    def started(self, text: str) -> None:
        """Silent."""

    def stepped(self, now: Snapshot) -> None:
        """Silent."""

    def logged(self, record: Mapping[str, Any]) -> None:
        """Silent."""

    def sampled(self, step: int, text: str) -> None:
        """Silent."""

    def saved(self, step: int, path: Path) -> None:
        """Silent."""

    def notice(self, text: str) -> None:
        """To standard error."""
        print(f"warning: {text}", file=sys.stderr, flush=True)

    def finished(self, text: str) -> None:
        """Silent."""

    def close(self) -> None:
        """Nothing to close."""


class PlainReporter(QuietReporter):
    """Plain lines, for logs and pipes.

    Args:
        stream: where to; standard output by default.
        seconds_between: at most one line about steps in that time; evaluations are always shown.
        clock: seconds, from any origin.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        seconds_between: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stream = sys.stdout if stream is None else stream
        self._between, self._clock = seconds_between, clock
        self._last: float | None = None

    def started(self, text: str) -> None:
        """One line."""
        self._say(text)

    def stepped(self, now: Snapshot) -> None:
        """A line now and then."""
        moment = self._clock()
        if self._last is None or moment - self._last >= self._between:
            self._last = moment
            self._say(describe(now))

    def logged(self, record: Mapping[str, Any]) -> None:
        """Evaluations."""
        if record["split"] == "dev":
            self._say(describe_evaluation(record))

    def sampled(self, step: int, text: str) -> None:
        """The sample, indented."""
        self._say(f"sample at step {step}:")
        self._say("".join(f"    {line}\n" for line in text.splitlines()))

    def notice(self, text: str) -> None:
        """One line."""
        self._say(f"warning: {text}")

    def finished(self, text: str) -> None:
        """One line."""
        self._say(text)

    def _say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)


class LiveReporter(QuietReporter):
    """A line that changes in place at the foot of a terminal, everything else scrolling by above it.

    Args:
        console: a `rich.console.Console`; standard output by default.
        per_second: how often the line may change. No thread draws it: it costs the training nothing in between.
        clock: seconds, from any origin.
    """

    def __init__(
        self, console: Any = None, per_second: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        self._console = console or Console(highlight=False)
        self._text = Text
        self._live = Live(Text(""), console=self._console, auto_refresh=False)
        self._between, self._clock, self._last = 1 / per_second, clock, float("-inf")

    def started(self, text: str) -> None:
        """Shows the line."""
        self._print(text)
        self._live.start()

    def stepped(self, now: Snapshot) -> None:
        """Changes the line, a few times a second."""
        moment = self._clock()
        if moment - self._last >= self._between:
            self._last = moment
            self._live.update(self._text(describe(now), no_wrap=True, overflow="ellipsis"), refresh=True)

    def logged(self, record: Mapping[str, Any]) -> None:
        """Evaluations scroll by."""
        if record["split"] == "dev":
            self._print(describe_evaluation(record), "bold")

    def sampled(self, step: int, text: str) -> None:
        """Samples scroll by."""
        self._print(f"── step {step} ──", "cyan")
        self._print(text)

    def notice(self, text: str) -> None:
        """Scrolls by."""
        self._print(f"warning: {text}", "yellow")

    def finished(self, text: str) -> None:
        """The last line."""
        self._print(text, "bold")

    def close(self) -> None:
        """Leaves the terminal as it was."""
        self._live.stop()

    def _print(self, text: str, style: str = "") -> None:
        # As Text, so that brackets in a sample aren't taken for markup, nor control characters for commands.
        self._console.print(
            self._text("".join(c if c.isprintable() or c in "\n\t" else "�" for c in text), style=style)
        )


def make_reporter(quiet: bool = False, stream: TextIO | None = None) -> Reporter:
    """The reporter that suits: nothing if quiet, a live line on a terminal, plain lines elsewhere."""
    stream = sys.stdout if stream is None else stream
    if quiet:
        return QuietReporter()
    if not stream.isatty():
        return PlainReporter(stream)
    from rich.console import Console

    return LiveReporter(Console(file=stream, highlight=False))


def describe(now: Snapshot) -> str:
    """A snapshot as one line."""
    parts = [
        f"step {now.step}",
        f"epoch {now.epoch:.2f}",
        f"loss {now.loss:.4f}",
        f"{now.items_per_second:,.0f} items/s",
        f"grad {now.grad_norm:.3g}",
        f"lr {now.lr:.3g}",
    ]
    if now.skipped:
        parts.append(f"{now.skipped} skipped")
    parts.append(duration(now.seconds) if now.seconds_left is None else f"{duration(now.seconds_left)} left")
    return " · ".join(parts)


def describe_evaluation(record: Mapping[str, Any]) -> str:
    """A dev line of `metrics.jsonl` for people."""
    about_run = ("step", "split", "epoch", "seconds", "skipped")
    metrics = [f"{name} {value:.4g}" for name, value in record.items() if name not in about_run and value is not None]
    return f"step {record['step']} · dev " + (" · ".join(metrics) or "loss not finite")


def duration(seconds: float) -> str:
    """A time for people.

    >>> duration(7.4), duration(187), duration(7500)
    ('7 s', '3 min 07 s', '2 h 05 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
