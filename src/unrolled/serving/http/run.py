"""`unrolled serve`: checks options, listens, and serves in one process or several until a signal comes."""

from __future__ import annotations

import importlib.util
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unrolled.errors import ArgumentError, MissingDependencyError
from unrolled.serving.http.naming import named_folders
from unrolled.serving.http.process import announce, serve_in_process
from unrolled.serving.http.sockets import address_of, allow_connections, listen
from unrolled.serving.http.workers import serve_in_processes
from unrolled.serving.limits import Limits
from unrolled.serving.logs import Format

if TYPE_CHECKING:
    from unrolled.serving.state import ServerOptions

#: libraries of the extra `serve` that the server needs
LIBRARIES = ("fastapi", "uvicorn", "websockets", "prometheus_client", "itsdangerous")


def serve(
    models: Sequence[str] = (),
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    token_file: Path | None = None,
    state_key_file: Path | None = None,
    allow_hosts: Sequence[str] = (),
    runs: Mapping[str, Path] | None = None,
    limits: Limits | None = None,
    log_inputs: bool = False,
    log_format: Format = "text",
    threads: int = 1,
    device: str = "cpu",
    adapt: str | None = None,
    on_ready: Callable[[str], object] | None = None,
) -> None:
    """Serve models until SIGINT or SIGTERM comes.

    Args:
        models: folders, each as `FOLDER` or `NAME=FOLDER`.
        host, port: where to listen; other hosts than loopback need a token.
        workers: processes.
        token_file: a file with the token that requests must carry.
        state_key_file: a file with the key that states are signed with.
        allow_hosts: further names of the server.
        limits, runs, log_inputs, log_format, threads, adapt: as in `ServerOptions`.
        device: where the networks are.
        on_ready: called with the address once the models are loaded; by one process alone.

    Raises:
        ArgumentError: an option out of range, or a host without a token.
        StorageError: a file that can't be read; or the port can't be had.
        UnrolledError: a model that can't be served, named.
        MissingDependencyError: a library of the extra `serve` is not installed.
    """
    require_libraries()
    from unrolled.serving.security import read_secret
    from unrolled.serving.state import ServerOptions
    from unrolled.tasks.core.plan import chosen_device

    token = None if token_file is None else read_secret(token_file, "--token-file")
    key = secrets.token_hex(32) if state_key_file is None else read_secret(state_key_file, "--state-key-file")
    options = ServerOptions(
        # processes that are spawned may have another working directory
        folders={name: path.resolve() for name, path in named_folders(models, "model").items()},
        limits=limits or Limits(),
        hosts=_names(host, allow_hosts, token is not None),
        token=token,
        state_key=key.encode(),
        workers=workers,
        runs={name: Path(path).resolve() for name, path in (runs or {}).items()},
        log_inputs=log_inputs,
        log_format=log_format,
        device=str(chosen_device(device)),
        adapt=adapt,
        threads=threads,
    )
    _listen_and_serve(host, port, options, on_ready)


def _names(host: str, allow_hosts: Sequence[str], has_token: bool) -> Sequence[str]:
    """Return the names of a server that listens on a host; empty for any.

    Raises:
        ArgumentError: others than this machine could use it without a token.
    """
    from unrolled.serving.security import LOOPBACK

    if host not in LOOPBACK and not has_token:
        raise ArgumentError(
            f"--host {host}: everybody on the network could use it; name a file with a token, --token-file PATH"
        )
    # an address of all interfaces is no name; then whoever knows the token may use any
    has_name = host not in ("0.0.0.0", "::")
    return sorted({host, *LOOPBACK, *allow_hosts}) if has_name or allow_hosts else ()


def _listen_and_serve(host: str, port: int, options: ServerOptions, on_ready: Callable[[str], object] | None) -> None:
    allow_connections(options.limits.connections)
    with listen(host, port, unread_timeout=options.limits.body_timeout) as bound:
        if options.workers == 1:

            def ready() -> None:
                announce(bound)
                if on_ready is not None:
                    on_ready(address_of(bound))

            serve_in_process(bound, options, ready)
        else:
            serve_in_processes(bound, options)


def require_libraries() -> None:
    """Check that the libraries of the extra `serve` are installed.

    Raises:
        MissingDependencyError: one is not.
    """
    for library in LIBRARIES:
        if importlib.util.find_spec(library) is None:
            raise MissingDependencyError(library, "serve", "the server")
