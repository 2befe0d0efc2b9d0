"""`unrolled predict`: predictions for inputs, a text written on, or typing with a model."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel, Field

from unrolled.cli.arguments import AsJson, ModelFolder, Personal, Threads, adapted, use_threads
from unrolled.cli.console import print_json, progress_line, show
from unrolled.cli.options import accepting, parameters
from unrolled.errors import ArgumentError

if TYPE_CHECKING:
    from unrolled.tasks import Model

STDIN = "standard input"

#: fields of `unrolled.decoding.SamplingOptions`; the rest of `Writing` belongs to the session
SAMPLING = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
    "no_repeat_ngram",
)


class Writing(BaseModel):
    """Options of writing on from a prompt. Ranges are checked where they are used."""

    max_tokens: int | None = Field(None, description="length, at most [400]")
    samples: int | None = Field(None, description="how many texts [1]")
    seed: int | None = Field(None, description="the same seed writes the same text [0]")
    temperature: float | None = Field(None, description="below 1 more careful, above 1 wilder; 0 the likeliest [1]")
    top_k: int | None = Field(None, description="draw from the k likeliest tokens")
    top_p: float | None = Field(None, description="draw from the likeliest that make up this probability")
    min_p: float | None = Field(None, description="leave out what is less likely than this share of the likeliest")
    repetition_penalty: float | None = Field(None, description="above 1: repeat less")
    frequency_penalty: float | None = Field(None, description="nats off for each time a token was used")
    presence_penalty: float | None = Field(None, description="nats off if a token was used")
    no_repeat_ngram: int | None = Field(None, description="do not write the same n tokens twice within 256")
    stop: list[str] | None = Field(None, description="end before this text; may be repeated")


class Suggesting(BaseModel):
    """Options of completing an input."""

    threshold: float | None = Field(None, description="nats a token below which nothing is shown [as fitted]")
    max_words: int | None = Field(None, description="words in a suggestion, at most")
    beam_size: int | None = Field(None, description="hypotheses kept by the search")
    n: int | None = Field(None, description="suggestions of each length, for --json")


def _predict(
    model: ModelFolder,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="INPUT", help="what to predict for", show_default=False),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="write on from this text; - reads it from standard input"),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="a file of inputs, one a line; - is standard input", show_default=False),
    ] = None,
    encoding: Annotated[str, typer.Option(help="of --file and standard input")] = "utf-8",
    errors: Annotated[str, typer.Option(help="strict or replace: bytes that are no text")] = "strict",
    as_json: AsJson = False,
    personal: Personal = None,
    threads: Threads = None,
    **given: Any,
) -> None:
    """
      unrolled predict my-model                               type; suggestions in grey, Tab accepts
      unrolled predict my-model "Thank you for yo"            complete this
      unrolled predict my-model < lines.txt                   complete each line; --json says more
      unrolled predict my-model --prompt "Dear all," --temperature 0.8

    One prediction for each input, one a line: inputs are arguments, the lines of a --file, or those of standard input.
    With none of them, on a terminal, you type and the model suggests.
    """
    writing = {name: value for name, value in given.items() if name in Writing.model_fields}
    suggesting = {name: value for name, value in given.items() if name in Suggesting.model_fields}
    if prompt is not None and (inputs or file):
        raise ArgumentError("--prompt: writes on from one text; leave out INPUT and --file, or leave out --prompt")
    if prompt is None and writing:
        raise ArgumentError(f"--{next(iter(writing)).replace('_', '-')}: belongs to --prompt, which is missing")
    if prompt is not None and suggesting:
        raise ArgumentError(f"--{next(iter(suggesting)).replace('_', '-')}: does not go with --prompt")
    if inputs and file:
        raise ArgumentError("--file: does not go with INPUT arguments")
    use_threads(threads)
    from unrolled.tasks import load

    with progress_line() as line:
        loaded = adapted(load(model), personal, line)
    if prompt is not None:
        write(
            loaded,
            "".join(standard_input(encoding, errors)).removesuffix("\n") if prompt == "-" else prompt,
            writing,
            as_json,
        )
    elif not inputs and file is None and not as_json and sys.stdin.isatty() and sys.stdout.isatty():
        from unrolled.cli.interactive import type_with

        type_with(loaded, suggesting)
    else:
        lines = inputs or read_lines(file, encoding, errors)
        answer(loaded, lines, suggesting, as_json)


predict = accepting(
    _predict,
    [
        *parameters(Writing, "Writing on from --prompt", sure=False),
        *parameters(Suggesting, "Completing", sure=False),
    ],
)
predict.__name__ = "predict"


def answer(model: Model, inputs: Iterable[str], options: dict[str, Any], as_json: bool) -> None:
    """One prediction a line, each as soon as it is there."""
    for prediction in model.predictions(inputs, **options):
        if as_json:
            print_json(prediction.as_json())
        else:
            show(" ".join(str(prediction).splitlines()))


def write(model: Model, prompt: str, options: dict[str, Any], as_json: bool) -> None:
    """Write on from a prompt, on the terminal as it comes."""
    if as_json:
        for text in model.predictions([prompt], generate=True, **options):
            print_json(text.as_json())
        return
    from unrolled.decoding import SamplingOptions

    session = model.stream()
    if not hasattr(session, "generate_many"):
        raise ArgumentError(f"--prompt: a model of the task {model.task.name!r} does not write")
    shaped = SamplingOptions(**{name: options[name] for name in SAMPLING if name in options})
    texts = session.push(prompt).generate_many(
        options.get("samples", 1),
        options.get("max_tokens", 400),
        options=shaped,
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
    """The lines of a file, which may be compressed, or of standard input as they come; without their ends.

    Args:
        path: None and - are standard input.
        encoding, errors: as for `unrolled.data`.

    Raises:
        ArgumentError: no such encoding, or way of handling errors.
        StorageError, DataError, EncodingError: as reading text does.
    """
    from unrolled.data.files import check_encoding, decode, find_sources, text_lines

    if path is None or str(path) == "-":
        yield from text_lines(standard_input(encoding, errors), STDIN)
        return
    check_encoding(encoding, errors)
    for source in find_sources(path):
        yield from text_lines(decode(source.chunks(), source.name, encoding, errors), source.name)


def standard_input(encoding: str, errors: str) -> Iterator[str]:
    """Standard input as text, in pieces as they come."""
    from unrolled.data.files import check_encoding, decode

    check_encoding(encoding, errors)
    return decode(sys.stdin.buffer, STDIN, encoding, errors)
