"""`unrolled demo`: watch a network learn to write, then type with it; or every use at once, on the page."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from unrolled.cli.arguments import Threads, use_threads
from unrolled.cli.console import ProgressLine, progress_line
from unrolled.cli.failures import INTERRUPTED
from unrolled.terminal import printable

if TYPE_CHECKING:
    from unrolled.tasks import Model
    from unrolled.training import Snapshot

#: shares of the time at which a sample is shown, besides the first and the last; learning is fastest at the start
SHOWN_AT = (0.0, 0.04, 0.12, 0.3, 0.6)
LINES = 7

#: unfinished text in the style of the Python documentation
TYPED = (
    "If the object does no",
    "a list of st",
    'The "try" state',
    "is evaluated before the func",
    "Changed in vers",
    'raises a "TypeErr',
)


def demo(
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="the folder [demo; of --all: gallery]", show_default=False),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="the most minutes of training [3; of --all, in all: 15]", envvar="DEMO_MINUTES", show_default=False
        ),
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="a small model of every use, then the page with all of them")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="of --all: where the page is; 0 takes any free port")
    ] = 8000,
    threads: Threads = None,
) -> int:
    """
      unrolled demo
      unrolled demo --minutes 1 --out /tmp/demo
      unrolled demo --all

    Train on the documentation that comes with Python, show what the network writes on its way from noise to prose,
    compare its loss with an n-gram's, complete some half-typed phrases, and say what to type next. With --all, train a
    small model of every use, on data that comes with Python packages or is made on the spot, and show them on the page
    until Ctrl-C; models that are there from an earlier time are kept.
    """
    use_threads(threads)
    if all_:
        from unrolled.cli.gallery import gallery

        return gallery(out or Path("gallery"), 15.0 if minutes is None else minutes, port)
    return write(out or Path("demo"), 3.0 if minutes is None else minutes)


def write(out: Path, minutes: float) -> int:
    """Train a network to write, show how it learns, and complete some phrases.

    Args:
        out: the demo's own folder, replaced each time.
        minutes: of training, at most.

    Returns:
        The exit code.
    """
    import torch

    from unrolled.tasks import train
    from unrolled.tasks.uses.generate.demo import DEMONSTRATIONS

    (demonstration,) = DEMONSTRATIONS
    print("Unrolled: a recurrent network learns to write.\n")
    with progress_line() as line:
        line("reading the documentation of Python's library", 0, None)
        demonstration.write(out / "text")
    train_text, dev_text = out / "text" / "train.txt", out / "text" / "dev.txt"
    print(f"Text     the documentation that comes with Python: {_characters(train_text)} characters to learn from,")
    print(f"         {_characters(dev_text)} characters of other topics and modules held out to judge by")
    print(f"Machine  {torch.get_num_threads()} threads, no network connection; at most {minutes:g} minutes of training")
    print("Stop     Ctrl-C, whenever you have seen enough\n")
    model_folder = out / "model"
    with progress_line() as line:
        reporter = DemoReporter(minutes * 60)
        model = train(
            "generate",
            train_text,
            model_folder,
            dev=dev_text,
            overwrite=True,
            options=demonstration.options,
            about=demonstration.label,
            reporter=line.before(reporter),
            progress=line,
            minutes=minutes,
        )
        if model.config.result["interrupted"]:
            line.clear()
            print(f"\nStopped. The model so far is in {model_folder}; to continue:")
            print(f"  {command()} train generate {train_text} --dev {dev_text} --out {model_folder} --resume")
            return INTERRUPTED
        judge(model, dev_text, line)
        complete(model)
    farewell(model_folder, dev_text)
    return 0


class DemoReporter:
    """A reporter that shows samples from noise to prose at a few moments, and a live line in between on a terminal.

    Args:
        seconds: the training time.
        stream: standard output by default.
    """

    def __init__(self, seconds: float, stream: TextIO | None = None) -> None:
        self._seconds, self._stream = seconds, sys.stdout if stream is None else stream
        self._line = ProgressLine()
        self._due = list(SHOWN_AT)
        self._now = 0.0
        self._dev: float | None = None
        self._last: tuple[int, str] | None = None

    def started(self, text: str) -> None:
        """Ignore the start."""

    def stepped(self, now: Snapshot) -> None:
        """Update the live line."""
        from unrolled.training.progress import duration

        self._now = now.seconds
        left = duration(max(0.0, self._seconds - now.seconds))
        speed = f"{now.items_per_second:,.0f} characters a second"
        self._line(f"step {now.step} · loss {now.loss:.3f} · {speed} · {left} left", 0, None)

    def logged(self, record: Mapping[str, Any]) -> None:
        """Keep the development loss, which is shown with the samples."""
        if record["split"] == "dev":
            self._dev = record["loss"]

    def sampled(self, step: int, text: str) -> None:
        """Show the sample if it is due."""
        self._last = (step, text)
        if self._due and self._now >= self._due[0] * self._seconds:
            while self._due and self._now >= self._due[0] * self._seconds:
                self._due.pop(0)
            self._show()

    def saved(self, step: int, path: Path) -> None:
        """Ignore a checkpoint."""

    def notice(self, text: str) -> None:
        """Print a warning."""
        self._line.clear()
        print(f"warning: {text}", file=sys.stderr)

    def finished(self, text: str) -> None:
        """Show the last sample, if it has not been shown."""
        self._show()

    def close(self) -> None:
        """Erase the live line."""
        self._line.clear()

    def _show(self) -> None:
        if self._last is None:
            return
        (step, text), self._last = self._last, None
        self._line.clear()
        loss = "" if self._dev is None else f" · loss {self._dev:.3f} nats per character on the held-out text"
        print(f"── step {step}{loss} · {self._now:.0f} s", file=self._stream)
        for line in printable(text).split("\n")[:LINES]:
            print(f"   {line}".rstrip(), file=self._stream)
        print(file=self._stream, flush=True)


def judge(model: Model, dev_text: Path, line: ProgressLine) -> None:
    """Print the model's loss on the held-out text, beside the n-gram's."""
    evaluation = model.evaluate(dev_text, progress=line, completion=False)
    line.clear()
    own, other = evaluation.metrics["nats_per_character"], evaluation.baseline["nats_per_character"]
    network = evaluation.metrics["network"]["nats_per_character"]
    print("Loss on the held-out text, in nats per character; lower is better:")
    print(f"  {network:.3f}  this network alone, {model.parameters:,} parameters")
    print(f"  {other:.3f}  {evaluation.baseline['model']}, counted on the same text")
    print(f"  {own:.3f}  both together, which is the model")
    print(f"In short: the model is {abs(1 - own / other):.1%} {'below' if own < other else 'above'} the n-gram.")
    if network >= other:
        print("  The n-gram is ahead of the network alone, which has had too little time: give it more with --minutes.")
    print()


def complete(model: Model) -> None:
    """Print the network's best completion of each unfinished text, whether it would show it or not."""
    print("Completing text as it is typed; the network adds what is in [ ]:")
    for prediction in model.predictions(TYPED):
        shown = prediction.shown
        best = shown or next(iter(prediction.suggestions), None)
        added = f"[{printable(best.text)}]" if best is not None else "[]"
        # below the fitted threshold it would show nothing while you type
        unsure = "" if shown is not None or best is None else "   (not sure enough to show it while you type)"
        print(f"  {prediction.typed}{added}{unsure}")
    print()


def farewell(model: Path, dev_text: Path) -> None:
    """Print what to type next."""
    print("Next:")
    for words, meaning in (
        (f"predict {model}", "type with it: grey text is a suggestion, Tab accepts it"),
        (f'predict {model} --prompt "The "', "let it write"),
        (f"evaluate {model} {dev_text}", "all its metrics, completion too"),
        ("train generate YOUR-TEXT --out my-model", "train a model on your own text or mail"),
    ):
        print(f"  {command()} {words}\n      {meaning}")


def command() -> str:
    """Return the command as it can be typed here: by its path, if it is in a virtual environment."""
    name = "unrolled"
    if Path(sys.prefix, "bin", name).is_file() and sys.prefix != sys.base_prefix:
        home = Path(sys.prefix)
        return f"{home.name if home.parent == Path.cwd() else home}/bin/{name}"
    return name


def _characters(path: Path) -> str:
    return f"{len(path.read_text('utf-8')):,}"
