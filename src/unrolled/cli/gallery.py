"""The gallery, `unrolled demo --all`: a small model of every use, and the page that shows them all."""

from __future__ import annotations

import os
import sys
import time
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from unrolled.cli.console import ProgressLine, progress_line
from unrolled.cli.failures import INTERRUPTED
from unrolled.errors import ModelError
from unrolled.terminal import say

if TYPE_CHECKING:
    from unrolled.tasks import AnyUse, Sources
    from unrolled.tasks.core.contract.demonstration import Demonstration
    from unrolled.training import Reporter, Snapshot

HOST = "127.0.0.1"
#: seconds of training that a model gets however late it is
LEAST = 5.0


class Exhibit(NamedTuple):
    """A use and what it shows."""

    use: AnyUse
    shown: Demonstration


class TimeShares:
    """Divide a span of time among models, by what is left of it.

    What a model took besides its training is measured, and as much is set aside for each that follows: a slower machine
    trains for less time and ends when a faster one does.

    Args:
        seconds: of all models together.
        shares: of each, in any unit.
        clock: seconds, from any origin.
    """

    def __init__(self, seconds: float, shares: Sequence[float], clock: Callable[[], float] = time.monotonic) -> None:
        self._left, self._clock = list(shares), clock
        self._end = clock() + seconds
        self._aside: list[float] = []
        self._begun = 0.0

    def next(self) -> float:
        """Return the seconds that the next model may train."""
        self._begun = self._clock()
        aside = sum(self._aside) / len(self._aside) if self._aside else 0.0
        free = self._end - self._begun - aside * len(self._left)
        return max(LEAST, free * self._left[0] / sum(self._left))

    def done(self, trained: float) -> None:
        """Record that the model is finished, after so many seconds of training."""
        self._left.pop(0)
        self._aside.append(max(0.0, self._clock() - self._begun - trained))


def exhibits() -> tuple[list[Exhibit], list[str]]:
    """Return every demonstration that the uses of the catalogue declare, and the names of uses without any."""
    from unrolled.tasks import task_named, task_names
    from unrolled.tasks.core.contract.demonstration import demonstrations_of

    uses = [task_named(name) for name in task_names()]
    shown = [Exhibit(use, one) for use in uses for one in demonstrations_of(use)]
    return shown, [use.name for use in uses if use not in [exhibit.use for exhibit in shown]]


def gallery(out: Path, minutes: float, port: int) -> int:
    """Train what is not there yet, and serve the page until Ctrl-C.

    Args:
        out: gets a folder for each model, with its data in it.
        minutes: of all training together, preparing and evaluating included.
        port: of the page.

    Returns:
        The exit code.

    Raises:
        MissingDependencyError: a package that carries some data is not installed, or a library of the server.
        StorageError: the port or the folder can't be had.
    """
    from unrolled.serving.http.run import require_libraries, serve
    from unrolled.serving.http.sockets import listen

    # what would fail after a quarter of an hour is tried first
    require_libraries()
    listen(HOST, port).close()
    shown, without = exhibits()
    end = time.monotonic() + 60 * minutes
    with progress_line() as line:
        missing = [(exhibit, sources) for exhibit, sources in written(shown, out, line)]
        line.clear()
        say(f"Unrolled: a small model of every use, in at most {minutes:g} minutes. Ctrl-C stops.\n")
        for name in without:
            say(f"{name}: declares no demonstration, see CONTRIBUTING.md")
        if not trained(missing, out, end - time.monotonic(), line):
            say("\nStopped. The models that are finished are kept; the same command trains the others.")
            return INTERRUPTED
    say("\nThe page:")
    serve([f"{one.shown.name}={out / one.shown.name / 'model'}" for one in shown], port=port, on_ready=open_page)
    return 0


def written(shown: Sequence[Exhibit], out: Path, line: ProgressLine) -> list[tuple[Exhibit, Sources]]:
    """Write the data of all models that are not there yet."""
    from unrolled.storage import make_folder

    missing = []
    for number, exhibit in enumerate(shown):
        line("writing the data", number, len(shown))
        folder = out / exhibit.shown.name
        if is_finished(folder / "model"):
            say(f"{exhibit.use.name}: {folder} is kept from an earlier time; delete it to train it anew")
            continue
        make_folder(folder / "data")
        missing.append((exhibit, exhibit.shown.write(folder / "data")))
    return missing


def trained(missing: Sequence[tuple[Exhibit, Sources]], out: Path, seconds: float, line: ProgressLine) -> bool:
    """Train the models one after the other, and return whether all are finished."""
    from unrolled.tasks import train

    time_shares = TimeShares(seconds, [exhibit.shown.share for exhibit, _ in missing])
    for number, ((use, shown), sources) in enumerate(missing, 1):
        allowed = time_shares.next()
        line.clear()
        say(f"[{number}/{len(missing)}] {use.name}: {use.summary}")
        say(f"      {shown.label}")
        model = train(
            use,
            sources.train,
            out / shown.name / "model",
            dev=sources.dev,
            overwrite=True,
            options=shown.options,
            about=shown.label,
            reporter=_reporter(line, allowed),
            progress=line,
            **{"minutes": allowed / 60, **shown.training},
        )
        line.clear()
        result = model.config.result
        if result["interrupted"]:
            return False
        time_shares.done(result["seconds"])
        say(f"      {_scores(result['dev'])} after {result['seconds']:.0f} s of training")
    return True


def is_finished(model: Path) -> bool:
    """Return whether a folder holds a model whose training came to its end."""
    from unrolled.tasks.core.folder.config import read_config

    if not model.is_dir():
        return False
    try:
        return read_config(model).result.get("interrupted") is False
    except ModelError:
        # a run that was killed before it had a plan
        return False


def open_page(address: str) -> None:
    """Open the page in a browser, where there is a screen to show it on."""
    if sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(address)


def _scores(dev: dict[str, object] | None) -> str:
    """Return the main figures of a model, in words."""
    figures = [(name, value) for name, value in (dev or {}).items() if isinstance(value, float)]
    return ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in figures[:3])


def _reporter(line: ProgressLine, seconds: float) -> Reporter:
    """Return a reporter that shows how much of the time of a model is used, and warnings."""
    from unrolled.training import QuietReporter

    class GalleryReporter(QuietReporter):
        def stepped(self, now: Snapshot) -> None:
            """Show how far the training is."""
            line(f"step {now.step}, loss {now.loss:.3f}", round(now.seconds), round(seconds))

    return GalleryReporter()
