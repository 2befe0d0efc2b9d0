"""`unrolled serve`: models behind an HTTP API, streams, and a page where they can be tried."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from unrolled.cli.options import accepting, parameters
from unrolled.serving.limits import Limits


def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=]MODEL", help="folders of models, each with or without another name", show_default=False
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="where to listen; other than loopback needs --token-file")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=256, help="processes that answer")] = 1,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="a file with the token that requests must carry", show_default=False),
    ] = None,
    state_key_file: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="a file with the key that saved states are signed with", show_default=False),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="a further name that it goes by; may be repeated", show_default=False),
    ] = None,
    watch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]MODEL",
            help="the folder of a run in training, shown on the page; may be repeated",
            show_default=False,
        ),
    ] = None,
    log_inputs: Annotated[bool, typer.Option("--log-inputs", help="write what people send into the log")] = False,
    log_format: Annotated[
        Literal["text", "json"], typer.Option(help="of the log: lines for people, or a JSON object each")
    ] = "text",
    threads: Annotated[int, typer.Option(min=1, help="threads of a process, for what a model computes")] = 1,
    device: Annotated[str, typer.Option(help="where the networks are")] = "cpu",
    **limits: Any,
) -> None:
    """
      unrolled serve my-mail ner sentiment          on http://127.0.0.1:8000: a page, an API, streams
      unrolled serve mail=runs/17 --port 9000       under another name, at another port
      unrolled serve --watch my-run                 a run in training, as it goes
      unrolled serve ner --host 0.0.0.0 --token-file token.txt

    Serve trained models: what docs/server.md describes. It stops at Ctrl-C, when running requests are answered.
    """
    from unrolled.serving.http.naming import named_folders
    from unrolled.serving.http.run import serve as run

    run(
        models or (),
        host=host,
        port=port,
        workers=workers,
        token_file=token_file,
        state_key_file=state_key_file,
        allow_hosts=allow_host or (),
        runs=named_folders(watch or (), "run", "--watch"),
        limits=Limits(**limits),
        log_inputs=log_inputs,
        log_format=log_format,
        threads=threads,
        device=device,
    )


def options() -> list[inspect.Parameter]:
    """The limits, as options."""
    return parameters(Limits, "Limits")


serving = accepting(serve, options())
