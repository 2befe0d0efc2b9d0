"""`unrolled personalise`: adapts a model to one writer and saves the result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from unrolled.cli.arguments import Encoding, Errors, Format, ModelFolder, TextKey, Threads, use_threads
from unrolled.cli.console import progress_line
from unrolled.errors import ArgumentError
from unrolled.terminal import say


def personalise(
    model: ModelFolder,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="the writer's own texts or mail")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="the folder for the adapted model", show_default=False)],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the model in DIR")] = False,
    method: Annotated[
        str | None, typer.Option(help="cache (seconds; the default), finetune (minutes) or both", show_default=False)
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="the most minutes of fine-tuning", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="seed of all randomness", show_default=False)] = None,
    threads: Threads = None,
    encoding: Encoding = None,
    errors: Errors = None,
    format: Format = None,
    text_key: TextKey = None,
) -> None:
    """
      unrolled personalise english-mail my-sent.mbox --out my-mail
      unrolled personalise english-mail my-sent.mbox --out my-mail --method both --minutes 5

    Adapt a model to the writer of these texts, and save the result in another folder; the model itself does not change.
    Part of the texts is held out to decide how far to adapt.
    """
    use_threads(threads)
    from unrolled.tasks import load
    from unrolled.tasks.core.folder.claim import check_free, claimed

    if out.resolve() == model.resolve():
        raise ArgumentError(f"--out: {out} is the model itself; name another folder")
    given = {"method": method, "minutes": minutes, "seed": seed, "encoding": encoding, "errors": errors}
    given |= {"format": format, "text_key": text_key}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    with progress_line() as line:
        loaded = load(model)
        check_free(out, overwrite=overwrite)
        adapted = loaded.personalise(paths, progress=line, **options)
        # the old model goes only when the new one is ready to replace it
        with claimed(out):
            adapted.save(out)
    say(f"next: unrolled predict {out}")
