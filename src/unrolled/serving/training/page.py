"""The training page: a server in the process of a run, whose thread reads what the run writes and can't disturb it."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unrolled.errors import StorageError
from unrolled.serving.http.run import require_libraries
from unrolled.serving.http.sockets import address_of, listen
from unrolled.serving.limits import Limits

log = logging.getLogger(__name__)

HOST, PORT = "127.0.0.1", 8000
#: ports that are tried, if none is named
TRIED = 100
#: seconds for the page to hear of the end, once training is over
GRACE = 2.0


@contextmanager
def training_page(out: Path, port: int | None = None) -> Iterator[str]:
    """Show a run on a page of this machine for as long as the block takes.

    Args:
        out: the run's folder; it need not exist yet.
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

    # the folder may be moved and made anew, and the process may change its directory
    folder = out.resolve()
    with _listen(port) as bound:
        app = create_app(runs={folder.name: folder}, limits=Limits(grace=GRACE, drain=0.0))
        server = Server(app, bound, name="training page")
        server.start()
        try:
            yield f"{address_of(bound)}/"
        finally:
            server.stop()
            try:
                server.join(2 * GRACE)
            except (Exception, SystemExit):
                log.exception("the page of the run has ended; the training goes on without it")


def _listen(port: int | None) -> socket.socket:
    if port is not None:
        return listen(HOST, port, "--watch")
    for tried in range(PORT, PORT + TRIED):
        try:
            return listen(HOST, tried, "--watch")
        except StorageError as error:
            log.debug("%s", error)
    raise StorageError(f"--watch: none of the ports {PORT} to {PORT + TRIED - 1} is free; name one, as in --watch 9000")
