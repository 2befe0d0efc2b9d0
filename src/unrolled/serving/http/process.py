"""Serving in one process: its signals, its announcement, and its end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

from unrolled.serving.http.sockets import address_of
from unrolled.serving.logs import log_to_stderr

if TYPE_CHECKING:
    from unrolled.serving.state import ServerOptions

#: exit status of a server that was stopped at once, as shells count Ctrl-C
INTERRUPTED = 130


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
