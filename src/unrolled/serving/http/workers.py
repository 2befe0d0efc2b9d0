"""Several processes that serve at one address; a process that dies is replaced."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from unrolled.errors import UnrolledError
from unrolled.serving.http.process import INTERRUPTED, announce, end_at_once, serve_in_process, signals
from unrolled.serving.logs import log_to_stderr
from unrolled.serving.metrics import forget_process
from unrolled.serving.state import ServerOptions

log = logging.getLogger(__name__)

#: what a process sends when it is ready; anything else is why it can't serve
READY = "ready"
#: seconds between two looks at the processes, and before one that died is replaced
EVERY, PAUSE = 0.2, 1.0


class Worker:
    """A process that serves.

    Args:
        bound: the socket that all processes listen on.
        options: of each process.
    """

    def __init__(self, bound: socket.socket, options: ServerOptions) -> None:
        # spawned: a forked child would share locks with threads that it does not have
        context = multiprocessing.get_context("spawn")
        self._connection, child = context.Pipe(duplex=False)
        self.process: BaseProcess = context.Process(target=_serve, args=(bound, options, child), daemon=False)
        self.process.start()
        child.close()
        #: READY, why it can't serve, or None while it is loading
        self.message: str | None = None

    def look(self) -> str | None:
        """Return its message, if there is one by now."""
        if self.message is None and self._connection.poll():
            # a process that died has closed its end
            with contextlib.suppress(EOFError):
                self.message = self._connection.recv_bytes().decode()
        return self.message

    def stop(self) -> None:
        """Ask it to stop, and wait until it has."""
        if self.process.is_alive():
            self.process.terminate()
        self.process.join()
        self._connection.close()


class Workers:
    """All processes of a server.

    Args:
        bound: the socket that they listen on.
        options: of each process.
    """

    def __init__(self, bound: socket.socket, options: ServerOptions) -> None:
        self.bound, self.options = bound, options
        self.stopping = False
        self._folder = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="unrolled-metrics-")
        self._workers = [Worker(bound, options) for _ in range(options.workers)]

    def ask_to_stop(self) -> None:
        """Ask all to stop; called by a signal, so no lock may be needed."""
        self.stopping = True

    def watch(self) -> None:
        """Announce the server when all processes are ready, and replace those that die, until it stops.

        Raises:
            UnrolledError: a model that can't be served, named; or a process died before it was ready.
        """
        ready = False
        while not self.stopping:
            time.sleep(EVERY)
            messages = [worker.look() for worker in self._workers]
            if not ready and all(message == READY for message in messages):
                ready = True
                announce(self.bound, len(messages))
            for place, worker in enumerate(self._workers):
                if worker.process.is_alive() or self.stopping:
                    continue
                if not ready:
                    raise UnrolledError(worker.message or "a process ended before it was ready; the log may say why")
                log.error("process %s ended; another takes its place", worker.process.pid)
                self._workers[place] = self._replaced(worker)

    def stop(self) -> None:
        """Stop all processes when what they accepted is answered."""
        # the system resets connections that nobody has accepted when the last copy of the socket is closed
        self.bound.close()
        for worker in self._workers:
            if worker.process.is_alive():
                worker.process.terminate()
        for worker in self._workers:
            worker.stop()
        self._clear()

    def end(self) -> None:
        """End all processes, this one among them, at once."""
        for worker in self._workers:
            worker.process.kill()
        self._clear()
        end_at_once()

    def _replaced(self, worker: Worker) -> Worker:
        worker.stop()
        if worker.process.pid is not None:
            forget_process(worker.process.pid)
        # a process that can't live is not started again at once
        time.sleep(PAUSE)
        return Worker(self.bound, self.options)

    def _clear(self) -> None:
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
        shutil.rmtree(self._folder, ignore_errors=True)


def serve_in_processes(bound: socket.socket, options: ServerOptions) -> None:
    """Serve in `options.workers` processes until a signal comes.

    Args:
        bound: the socket to listen on; it is closed when the server stops.
        options: of each process.

    Raises:
        UnrolledError: a model that can't be served, named.
    """
    with log_to_stderr(options.log_format):
        workers = Workers(bound, options)
        with signals(workers.ask_to_stop, workers.end):
            try:
                workers.watch()
            finally:
                workers.stop()


def _serve(bound: socket.socket, options: ServerOptions, connection: Connection) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    try:
        serve_in_process(
            bound, options, lambda: connection.send_bytes(READY.encode()), end=partial(os._exit, INTERRUPTED)
        )
    except UnrolledError as error:
        connection.send_bytes(str(error).encode())


def _end_with(sentinel: int) -> None:
    """Stop when the parent is gone: this process would hold the port, and nobody could stop it."""
    multiprocessing.connection.wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
