"""`unrolled predict`: predicts for inputs, continues a text, or suggests while one types."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unrolled.cli.arguments import AsJson, ModelFolder, Threads, adapted, personal_option, use_threads
from unrolled.cli.console import print_json, progress_line
from unrolled.cli.following import Following
from unrolled.cli.layout import AS_TEXT
from unrolled.cli.options import parameters
from unrolled.errors import ArgumentError
from unrolled.terminal import say

if TYPE_CHECKING:
    from unrolled.tasks import AnyUse, Model

STDIN = "standard input"
#: characters; a longer INPUT is no path of a file
LONGEST_PATH = 1000


Inputs = Annotated[
    list[str] | None, typer.Argument(metavar="INPUT", help="an input to predict for", show_default=False)
]
File = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH", help="a table, or a file of inputs, one per line; - is standard input", show_default=False
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="write the rows of the table with predictions beside them: .csv, .tsv, .jsonl, .parquet",
        show_default=False,
    ),
]
Column = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="of a table: which column holds the inputs [as in training]", show_default=False),
]
Delimiter = Annotated[
    str | None, typer.Option(help="between the cells of a table [as in training]", show_default=False)
]
Header = Annotated[
    bool | None,
    typer.Option("--header/--no-header", help="whether a table's first row names its columns", show_default=False),
]
Encoding = Annotated[
    str | None,
    typer.Option(help="of files and standard input [utf-8; of tables as in training]", show_default=False),
]
Errors = Annotated[str | None, typer.Option(help="strict or replace: invalid bytes [strict]", show_default=False)]


def predict(
    model: ModelFolder,
    inputs: Inputs = None,
    file: File = None,
    out: Out = None,
    column: Column = None,
    delimiter: Delimiter = None,
    header: Header = None,
    encoding: Encoding = None,
    errors: Errors = None,
    as_json: AsJson = False,
    threads: Threads = None,
    **given: Any,
) -> None:
    """
      unrolled predict my-model                               type; suggestions in grey, Tab accepts
      unrolled predict my-model "Thank you for yo"            one prediction for each input
      unrolled predict my-model < lines.txt                   for each line; --json says more
      unrolled predict my-model clip.wav photo.png            models of sound, images or tables take files
      unrolled predict my-model --file t.csv --out u.csv      a table's rows, with predictions beside them
      unrolled predict my-model --help                        the options of this model

    Print one prediction per line for each input: arguments, the lines of a --file, or those of standard input. With
    none of them, on a terminal, a model that suggests does so while you type. A table (.csv .tsv .jsonl .parquet) is
    read as the training data was: the column of the same name holds the inputs.
    """
    inputs = [text.removeprefix(AS_TEXT) for text in inputs or ()]
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
    table = table_in(loaded, inputs, file, is_wanted=out is not None)
    reading = {"delimiter": delimiter, "header": header, "encoding": encoding, "errors": errors}
    given_reading = {name: value for name, value in reading.items() if value is not None}
    check_together(prompt, bool(inputs or file), writing, given, out)
    of_tables = {"column": column, "delimiter": delimiter, "header": header}
    needless = next((name for name, value in of_tables.items() if value is not None and table is None), None)
    if needless is not None:
        raise ArgumentError(f"--{needless}: is for tables; name one with --file, such as rows.csv")
    decoding = (encoding or "utf-8", errors or "strict")
    if prompt is not None:
        text = "".join(standard_input(*decoding)).removesuffix("\n") if prompt == "-" else prompt
        write(loaded, text, writing, as_json)
    elif table is not None:
        answer_rows(loaded, table, out, as_json, column=column, reading=given_reading, **given)
    elif not inputs and file is None and not as_json and out is None and sys.stdin.isatty() and sys.stdout.isatty():
        from unrolled.cli.interactive import type_with

        type_with(loaded, given)
    else:
        answer(loaded, inputs or read_lines(file, *decoding), given, as_json, out)


def check_together(
    prompt: str | None, has_inputs: bool, writing: dict[str, Any], given: dict[str, Any], out: Path | None
) -> None:
    """Check that the options given go together.

    Raises:
        ArgumentError: two exclude each other, or one needs another.
    """
    if prompt is not None and out is not None:
        raise ArgumentError("--out: can't be combined with --prompt; redirect standard output")
    if prompt is not None and has_inputs:
        raise ArgumentError("--prompt: continues one text; leave out INPUT and --file, or leave out --prompt")
    if prompt is None and writing:
        raise ArgumentError(f"--{next(iter(writing)).replace('_', '-')}: needs --prompt, which is missing")
    if prompt is not None and given:
        raise ArgumentError(f"--{next(iter(given)).replace('_', '-')}: can't be combined with --prompt")


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


def table_in(model: Model, inputs: Sequence[str], file: Path | None, *, is_wanted: bool) -> Path | None:
    """Return the table that holds the inputs, if one does: the --file, or the only INPUT.

    Args:
        model: the model.
        inputs: arguments.
        file: the --file.
        is_wanted: whether a model that reads whole tables by itself is to read its INPUT as one.

    Raises:
        ArgumentError: a table among other inputs.
    """
    from unrolled.tasks.core.rows.columns import is_table

    if file is not None:
        return file if is_table(file) else None
    if model.task.reads == "path" and model.input.whole_tables and not is_wanted:
        return None
    files = [text for text in inputs if len(text) < LONGEST_PATH and "\0" not in text and Path(text).is_file()]
    tables = [text for text in files if is_table(Path(text))]
    if tables and len(inputs) > 1:
        raise ArgumentError(f"{tables[0]}: is a table; give it alone, or name it with --file")
    if files and not tables and model.task.reads == "text":
        say(f"unrolled: {files[0]!r} is read as a text; --file {files[0]} reads the lines of the file", sys.stderr)
    return Path(tables[0]) if tables else None


def answer_rows(model: Model, table: Path, out: Path | None, as_json: bool, **options: Any) -> None:
    """Write the rows of a table with predictions beside them, or print the predictions."""
    if out is None:
        for row in model.predicted_rows(table, **options):
            print_prediction(row.prediction, model, as_json)
    else:
        count = model.predict_table(table, out, **options)
        say(f"unrolled: {count:,} row{'s' * (count != 1)} in {out}", sys.stderr)


def answer(model: Model, inputs: Iterable[str], options: dict[str, Any], as_json: bool, out: Path | None) -> None:
    """Print one prediction per line, each as soon as it is ready; or write a row for each."""
    predictions = model.predictions(inputs, **options)
    if out is not None and out.suffix.lower() in model.output.Result.files:
        from unrolled.storage import write_whole

        first, *more = predictions
        if more:
            raise ArgumentError(f"--out: {out.name} holds the prediction of one INPUT, found {len(more) + 1}")
        write_whole(out, first.as_file(out.suffix.lower()))
        return
    if out is not None:
        from unrolled.data.tables.write import write_table
        from unrolled.tasks.core.rows.predict import written_alone

        write_table(out, written_alone(predictions))
        return
    for prediction in predictions:
        print_prediction(prediction, model, as_json)


def print_prediction(prediction: Any, model: Model, as_json: bool) -> None:
    """Print one prediction on a line."""
    if as_json:
        print_json(prediction.as_json())
        return
    text = str(prediction)
    # a prediction for a line of text is one line, for a file it may be more
    say(" ".join(text.splitlines()) if model.task.reads == "text" else text)


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
            say(f"{'' if k == 0 else chr(10)}── {k + 1} of {len(texts)} ──")
        say(prompt, end="")
        for piece in pieces:
            say(piece, end="")
        say("")


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
