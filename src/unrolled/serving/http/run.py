"""`unrolled serve`: checks options, listens, and serves in one process or several until a signal comes."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from unrolled.errors import ArgumentError, MissingDependencyError
from unrolled.serving.http.naming import named_folders
from unrolled.serving.http.sockets import address_of, allow_connections, listen
from unrolled.serving.limits import Limits
from unrolled.serving.logs import Format, log_to_stderr

if TYPE_CHECKING:
    from unrolled.serving.state import ServerOptions

#: exit status of a server that was stopped at once, as shells count Ctrl-C
INTERRUPTED = 130
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
) -> None:
    """Serve models until SIGINT or SIGTERM comes.

    Args:
        models: folders, each as `FOLDER` or `NAME=FOLDER`.
        host, port: where to listen; other hosts than loopback need a token.
        workers: processes.
        token_file: a file with the token that requests must carry.
        state_key_file: a file with the key that states are signed with.
        allow_hosts: further names of the server.
        runs: folders of training runs to be watched, by name.
        limits: of everything that grows.
        log_inputs: whether inputs are logged.
        log_format: of the lines on standard error.
        threads: of each process, for what a model computes.
        device: where the networks are.

    Raises:
        ArgumentError: an option out of range, or a host without a token.
        StorageError: a file that can't be read; or the port can't be had.
        UnrolledError: a model that can't be served, named.
        MissingDependencyError: a library of the extra `serve` is not installed.
    """
    require_libraries()
    from unrolled.serving.security import read_secret
    from unrolled.serving.state import ServerOptions
    from unrolled.tasks.core.train import chosen_device

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
        threads=threads,
    )
    _listen_and_serve(host, port, options)


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


def _listen_and_serve(host: str, port: int, options: ServerOptions) -> None:
    from unrolled.serving.http.workers import serve_in_processes

    allow_connections(options.limits.connections)
    with listen(host, port, unread_timeout=options.limits.body_timeout) as bound:
        if options.workers == 1:
            serve_in_process(bound, options, lambda: announce(bound))
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


def announce(bound: socket.socket, workers: int = 1) -> None:
    """Print the address of a server that is ready."""
    several = f" with {workers} processes" if workers > 1 else ""
    print(f"serving on {address_of(bound)}{several}", flush=True)


def serve_in_process(
    bound: socket.socket, options: ServerOptions, on_ready: Callable[[], None], end: Callable[[], None] | None = None
) -> None:
    """Serve in this process until a signal comes.

    Args:
        bound: the socket to listen on.
        options: of the process.
        on_ready: called when the models are loaded.
        end: called at a second Ctrl-C; by default `end_at_once`.

    Raises:
        UnrolledError: a model that can't be served, named.
    """
    import torch

    from unrolled.serving.app import Application
    from unrolled.serving.http.server import Server

    torch.set_num_threads(options.threads)
    # the event loop does not wait long for a thread that computes in Python
    sys.setswitchinterval(0.001)
    server = Server(Application(options), bound, on_ready)
    with log_to_stderr(options.log_format), signals(server.stop, end or end_at_once):
        server.start()
        server.join()


def end_at_once() -> None:
    """End this process without waiting for its threads, which compute or wait for clients."""
    print("unrolled: stopped at once; what was being answered is lost", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(INTERRUPTED)


@contextlib.contextmanager
def signals(stop: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
    """Handle signals for as long as the block takes; those of a thread other than the main one are left alone.

    Args:
        stop: called at SIGINT or SIGTERM.
        end: called at a SIGINT after that.
    """
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            end()
        asked = True
        stop()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
