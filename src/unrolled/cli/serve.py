"""`unrolled serve`: serves models over HTTP, with streams and a page to try them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from unrolled.cli.layout import lone_command
from unrolled.cli.options import accepting, parameters

Models = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME=]MODEL", help="folders of models, optionally renamed", show_default=False),
]
Host = Annotated[str, typer.Option(help="where to listen; other than loopback needs --token-file")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port")]
Workers = Annotated[int, typer.Option(min=1, max=256, help="processes that answer")]
TokenFile = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="a file with the token that requests must carry", show_default=False),
]
StateKeyFile = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="a file with the key that signs saved states", show_default=False),
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="a further host name of the server; may be repeated", show_default=False),
]
Watch = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[NAME=]MODEL", help="the folder of a run in training, shown on the page; may be repeated",
        show_default=False,
    ),
]  # fmt: skip
LogInputs = Annotated[bool, typer.Option("--log-inputs", help="log what people send")]
LogFormat = Annotated[Literal["text", "json"], typer.Option(help="format of the log: lines of text, or JSON objects")]
ModelThreads = Annotated[int, typer.Option(min=1, help="threads per process for computing models")]
Device = Annotated[str, typer.Option(help="the device of the networks")]
Adapt = Annotated[
    Literal["cache", "dynamic", "both"] | None,
    typer.Option(help="streams of text learn from what they read, each for itself", show_default=False),
]


def serve(
    models: Models = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Workers = 1,
    token_file: TokenFile = None,
    state_key_file: StateKeyFile = None,
    allow_host: AllowHost = None,
    watch: Watch = None,
    log_inputs: LogInputs = False,
    log_format: LogFormat = "text",
    threads: ModelThreads = 1,
    device: Device = "cpu",
    adapt: Adapt = None,
    **limits: Any,
) -> None:
    """
      unrolled serve my-mail ner sentiment          on http://127.0.0.1:8000: a page, an API, streams
      unrolled serve mail=runs/17 --port 9000       under another name, at another port
      unrolled serve --watch my-run                 a run in training, as it goes
      unrolled serve ner --host 0.0.0.0 --token-file token.txt

    Serve trained models, as docs/server.md describes. Ctrl-C stops the server once running requests are answered.
    """
    from unrolled.serving.http.naming import named_folders
    from unrolled.serving.http.run import serve as run
    from unrolled.serving.limits import Limits

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
        adapt=adapt,
    )


class ServeCommand:
    """The command. Its options for the limits are added when it is called: `unrolled --help` needs no server."""

    name = "serve"

    def general(self) -> Callable[..., Any]:
        """Return the function without the limits, for the list of commands."""
        return accepting(serve, [])

    def for_arguments(self, command: Any, arguments: Sequence[str]) -> Any:
        """Return the click command with an option for each limit."""
        from unrolled.serving.limits import Limits

        return lone_command(accepting(serve, parameters(Limits, "Limits")), self.name)


serving = ServeCommand()
