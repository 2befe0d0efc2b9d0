"""The page beside a training, in the same process: a thread that reads what the run writes, and can't disturb it."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unrolled.errors import StorageError
from unrolled.serving.http.run import listening, require_libraries
from unrolled.serving.limits import Limits

log = logging.getLogger(__name__)

HOST, PORT = "127.0.0.1", 8000
#: ports that are tried, if none is named
TRIED = 100
#: seconds for watchers to be told of the end, once training is over
GRACE = 2.0


@contextmanager
def watched(out: Path, port: int | None = None) -> Iterator[str]:
    """Show a run on a page of this machine for as long as the block takes.

    Args:
        out: the run's folder; it need not be there yet.
        port: where; None takes 8000 or the next one that is free.

    Yields:
        The page's address.

    Raises:
        StorageError: the port can't be had.
        MissingDependencyError: a library of the extra `serve` is not installed.
    """
    require_libraries()
    from unrolled.serving.app import create_app
    from unrolled.serving.http.server import Server

    # the folder may be moved aside and made anew, and the process may go elsewhere
    folder = out.resolve()
    with _listening(port) as bound:
        server = Server(create_app(runs={folder.name: folder}, limits=Limits(grace=GRACE)))
        # no signals: those are the training's
        thread = threading.Thread(target=_serve, args=(server, bound), name="watch", daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{bound.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(2 * GRACE)


def _serve(server: object, bound: socket.socket) -> None:
    """Whatever goes wrong here is told, and the training goes on."""
    try:
        server.run(sockets=[bound])  # type: ignore[attr-defined]
    except (Exception, SystemExit):
        log.exception("the page of the run has ended; the training goes on without it")


def _listening(port: int | None) -> socket.socket:
    if port is not None:
        return listening(HOST, port, "--watch")
    for tried in range(PORT, PORT + TRIED):
        try:
            return listening(HOST, tried, "--watch")
        except StorageError as error:
            log.debug("%s", error)
    raise StorageError(f"--watch: none of the ports {PORT} to {PORT + TRIED - 1} is free; name one, as in --watch 9000")
