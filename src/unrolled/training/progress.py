"""Progress of a run, through one small protocol that a terminal, a log, a test or a server can implement."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TextIO

from unrolled.terminal import printable, say

if TYPE_CHECKING:
    from rich.console import Console


class Snapshot(NamedTuple):
    """A run right after a step.

    Attributes:
        step, epoch: the position.
        loss: the loss of this step, in nats per item.
        grad_norm: before clipping.
        lr: the learning rate of this step.
        items_per_second: since the last logged line.
        seconds, seconds_left: training time so far, and the estimate until the limit is reached (None without a limit).
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
    """Receives the events of a run. Every method returns quickly and changes nothing about the run."""

    def started(self, text: str) -> None:
        """Report that training begins or resumes."""
        ...

    def stepped(self, now: Snapshot) -> None:
        """Report a step. Called after every step."""
        ...

    def logged(self, record: Mapping[str, Any]) -> None:
        """Report a new line of `metrics.jsonl`."""
        ...

    def sampled(self, step: int, text: str) -> None:
        """Report what the model produced."""
        ...

    def saved(self, step: int, path: Path) -> None:
        """Report a saved checkpoint."""
        ...

    def notice(self, text: str) -> None:
        """Warn the user."""
        ...

    def finished(self, text: str) -> None:
        """Report that training is over."""
        ...

    def close(self) -> None:
        """Clean up; called last, however the run ended."""
        ...


class QuietReporter:
    """Prints only warnings, on standard error. Also the base of the other reporters."""

    def started(self, text: str) -> None:
        """Ignore the start."""

    def stepped(self, now: Snapshot) -> None:
        """Ignore a step."""

    def logged(self, record: Mapping[str, Any]) -> None:
        """Ignore a logged line."""

    def sampled(self, step: int, text: str) -> None:
        """Ignore a sample."""

    def saved(self, step: int, path: Path) -> None:
        """Ignore a checkpoint."""

    def notice(self, text: str) -> None:
        """Print a warning to standard error."""
        say(f"warning: {text}", sys.stderr)

    def finished(self, text: str) -> None:
        """Ignore the end."""

    def close(self) -> None:
        """Do nothing."""


class MuteReporter(QuietReporter):
    """Prints nothing: of several workers one speaks."""

    def notice(self, text: str) -> None:
        """Ignore a warning."""


class PlainReporter(QuietReporter):
    """Prints plain lines, for logs and pipes.

    Args:
        stream: where to print; standard output by default.
        seconds_between: the shortest time between two lines about steps; evaluations are always shown.
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
        """Print the text."""
        self._say(text)

    def stepped(self, now: Snapshot) -> None:
        """Print a line, unless the last one is recent."""
        moment = self._clock()
        if self._last is None or moment - self._last >= self._between:
            self._last = moment
            self._say(describe(now))

    def logged(self, record: Mapping[str, Any]) -> None:
        """Print evaluations."""
        if record["split"] == "dev":
            self._say(describe_evaluation(record))

    def sampled(self, step: int, text: str) -> None:
        """Print the sample, indented."""
        self._say(f"sample at step {step}:")
        self._say("".join(f"    {line}\n" for line in text.splitlines()))

    def notice(self, text: str) -> None:
        """Print a warning."""
        self._say(f"warning: {text}")

    def finished(self, text: str) -> None:
        """Print the text."""
        self._say(text)

    def _say(self, text: str) -> None:
        say(text, self.stream)


class LiveReporter(QuietReporter):
    """Updates one line in place at the bottom of a terminal, with everything else scrolling above it.

    Args:
        console: standard output by default.
        per_second: how often the line may change. It is drawn by no thread, so it costs nothing in between.
        clock: seconds, from any origin.
    """

    def __init__(
        self, console: Console | None = None, per_second: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        self._console = console or Console(highlight=False)
        self._text = Text
        self._live = Live(Text(""), console=self._console, auto_refresh=False)
        self._between, self._clock, self._last = 1 / per_second, clock, float("-inf")

    def started(self, text: str) -> None:
        """Print the text and show the line."""
        self._print(text)
        self._live.start()

    def stepped(self, now: Snapshot) -> None:
        """Update the line, a few times a second."""
        moment = self._clock()
        if moment - self._last >= self._between:
            self._last = moment
            self._live.update(self._text(describe(now), no_wrap=True, overflow="ellipsis"), refresh=True)

    def logged(self, record: Mapping[str, Any]) -> None:
        """Print evaluations."""
        if record["split"] == "dev":
            self._print(describe_evaluation(record), "bold")

    def sampled(self, step: int, text: str) -> None:
        """Print the sample."""
        self._print(f"── step {step} ──", "cyan")
        self._print(text)

    def notice(self, text: str) -> None:
        """Print a warning."""
        self._print(f"warning: {text}", "yellow")

    def finished(self, text: str) -> None:
        """Print the text."""
        self._print(text, "bold")

    def close(self) -> None:
        """Restore the terminal."""
        self._live.stop()

    def _print(self, text: str, style: str = "") -> None:
        # As Text, so that brackets in a sample are not read as markup, nor control characters as commands.
        self._console.print(self._text(printable(text), style=style))


def make_reporter(quiet: bool = False, stream: TextIO | None = None) -> Reporter:
    """Return a reporter: only warnings if quiet, a live line on a terminal, plain lines elsewhere."""
    stream = sys.stdout if stream is None else stream
    if quiet:
        return QuietReporter()
    if not stream.isatty():
        return PlainReporter(stream)
    from rich.console import Console

    return LiveReporter(Console(file=stream, highlight=False))


def describe(now: Snapshot) -> str:
    """Return a snapshot as one line."""
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
    """Return a dev line of `metrics.jsonl` in readable form."""
    about_run = ("step", "split", "epoch", "seconds", "skipped")
    metrics = [f"{name} {value:.4g}" for name, value in record.items() if name not in about_run and value is not None]
    return f"step {record['step']} · dev " + (" · ".join(metrics) or "loss not finite")


def duration(seconds: float) -> str:
    """Return a duration in readable form.

    >>> duration(7.4), duration(187), duration(7500)
    ('7 s', '3 min 07 s', '2 h 05 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
