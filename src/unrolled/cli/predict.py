"""`unrolled predict`: predicts for inputs, continues a text, or suggests while one types."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unrolled.cli.arguments import AsJson, ModelFolder, Threads, adapted, personal_option, use_threads
from unrolled.cli.console import print_json, progress_line, show
from unrolled.cli.following import Following
from unrolled.cli.options import parameters
from unrolled.errors import ArgumentError

if TYPE_CHECKING:
    from unrolled.tasks import AnyUse, Model

STDIN = "standard input"


def predict(
    model: ModelFolder,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="INPUT", help="an input to predict for", show_default=False),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="a file of inputs, one per line; - is standard input", show_default=False),
    ] = None,
    encoding: Annotated[str, typer.Option(help="encoding of --file and standard input")] = "utf-8",
    errors: Annotated[str, typer.Option(help="strict or replace: invalid bytes")] = "strict",
    as_json: AsJson = False,
    threads: Threads = None,
    **given: Any,
) -> None:
    """
      unrolled predict my-model                               type; suggestions in grey, Tab accepts
      unrolled predict my-model "Thank you for yo"            one prediction for each input
      unrolled predict my-model < lines.txt                   for each line; --json says more
      unrolled predict my-model clip.wav photo.png            models of sound, images or tables take files
      unrolled predict my-model --help                        the options of this model

    Print one prediction per line for each input: arguments, the lines of a --file, or those of standard input. With
    none of them, on a terminal, a model that suggests does so while you type.
    """
    prompt, personal = given.pop("prompt", None), given.pop("personal", None)
    if inputs and file:
        raise ArgumentError("--file: can't be combined with INPUT arguments")
    use_threads(threads)
    from unrolled.tasks import load

    with progress_line() as line:
        loaded = adapted(load(model), personal, line)
    asking = loaded.task.asking_options.model_fields
    loaded = loaded.asked(**{name: given.pop(name) for name in tuple(given) if name in asking})
    writes = loaded.task.writing_options
    writing = {name: given.pop(name) for name in tuple(given) if writes is not None and name in writes.model_fields}
    if prompt is not None and (inputs or file):
        raise ArgumentError("--prompt: continues one text; leave out INPUT and --file, or leave out --prompt")
    if prompt is None and writing:
        raise ArgumentError(f"--{next(iter(writing)).replace('_', '-')}: needs --prompt, which is missing")
    if prompt is not None and given:
        raise ArgumentError(f"--{next(iter(given)).replace('_', '-')}: can't be combined with --prompt")
    if prompt is not None:
        text = "".join(standard_input(encoding, errors)).removesuffix("\n") if prompt == "-" else prompt
        write(loaded, text, writing, as_json)
    elif not inputs and file is None and not as_json and sys.stdin.isatty() and sys.stdout.isatty():
        from unrolled.cli.interactive import type_with

        type_with(loaded, given)
    else:
        answer(loaded, inputs or read_lines(file, encoding, errors), given, as_json)


def options_of(task: AnyUse) -> list[inspect.Parameter]:
    """Return the options that a model of this task adds."""
    predicting = [*personal_option(task), *parameters(task.predict_options, f"The task {task.name}", unset="")]
    if task.writing_options is None:
        return predicting
    prompt = typer.Option(
        "--prompt", metavar="TEXT", help="continue this text; - reads it from standard input", show_default=False
    )
    annotation = Annotated[str | None, prompt]
    first = inspect.Parameter("prompt", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
    both = {parameter.name for parameter in predicting}
    writing = parameters(task.writing_options, "Continuing the --prompt", unset="")
    return [first, *(parameter for parameter in writing if parameter.name not in both), *predicting]


predicting = Following(predict, options_of)


def answer(model: Model, inputs: Iterable[str], options: dict[str, Any], as_json: bool) -> None:
    """Print one prediction per line, each as soon as it is ready."""
    for prediction in model.predictions(inputs, **options):
        if as_json:
            print_json(prediction.as_json())
        else:
            text = str(prediction)
            # a prediction for a line of text is one line, for a file it may be more
            show(" ".join(text.splitlines()) if model.task.reads == "text" else text)


def write(model: Model, prompt: str, options: dict[str, Any], as_json: bool) -> None:
    """Continue a prompt, and print the text as it is generated."""
    if as_json:
        for text in model.predictions([prompt], generate=True, **options):
            print_json(text.as_json())
        return
    from unrolled.decoding import SamplingOptions

    session = model.stream()
    # the other options of writing belong to the session
    shaping = {field.name for field in fields(SamplingOptions)}
    texts = session.push(prompt).generate_many(
        options.get("samples", 1),
        options.get("max_tokens", 400),
        options=SamplingOptions(**{name: value for name, value in options.items() if name in shaping}),
        seed=options.get("seed", 0),
        stop=options.get("stop", ()),
    )
    for k, pieces in enumerate(texts):
        if len(texts) > 1:
            show(f"{'' if k == 0 else chr(10)}── {k + 1} of {len(texts)} ──")
        show(prompt, end="")
        for piece in pieces:
            show(piece, end="")
        show("")


def read_lines(path: Path | None, encoding: str, errors: str) -> Iterator[str]:
    """Yield the lines, without their ends, of a file, which may be compressed, or of standard input as they arrive.

    Args:
        path: None and - are standard input.
        encoding, errors: as for `unrolled.data`.

    Raises:
        ArgumentError: the encoding or the way of handling errors is unknown.
        StorageError, DataError, EncodingError: the text can't be read.
    """
    from unrolled.data import find_sources
    from unrolled.data.core.encodings import check_encoding
    from unrolled.data.core.files import text_lines

    if path is None or str(path) == "-":
        yield from text_lines(standard_input(encoding, errors), STDIN)
        return
    check_encoding(encoding, errors)
    for source in find_sources(path):
        yield from (line for _, line in source.text_lines(encoding, errors))


def standard_input(encoding: str, errors: str) -> Iterator[str]:
    """Return standard input as text, in pieces as they arrive."""
    from unrolled.data.core.encodings import check_encoding, decode

    check_encoding(encoding, errors)
    return decode(sys.stdin.buffer, STDIN, encoding, errors)
