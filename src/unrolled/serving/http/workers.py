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
from unrolled.serving.http.run import INTERRUPTED, Setup, announce, end_at_once, serve_in_process, signals
from unrolled.serving.logs import start_log
from unrolled.serving.metrics import forget_process

log = logging.getLogger(__name__)

#: what a process sends when it is ready; anything else is why it can't serve
READY = "ready"
#: seconds between two looks at the processes, and before one that died is replaced
EVERY, PAUSE = 0.2, 1.0


class Worker:
    """A process that serves.

    Args:
        bound: the socket that all processes listen on.
        setup: what is served.
    """

    def __init__(self, bound: socket.socket, setup: Setup) -> None:
        # spawned: a forked child would share locks with threads that it does not have
        context = multiprocessing.get_context("spawn")
        self._connection, child = context.Pipe(duplex=False)
        self.process: BaseProcess = context.Process(target=_serve, args=(bound, setup, child), daemon=False)
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
        setup: what is served.
    """

    def __init__(self, bound: socket.socket, setup: Setup) -> None:
        self.bound, self.setup = bound, setup
        self.stopping = False
        self._folder = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="unrolled-metrics-")
        self._workers = [Worker(bound, setup) for _ in range(setup.app.workers)]

    def ask_to_stop(self) -> None:
        """Take no more signals into account; called by a signal, which may come at any place."""
        self.stopping = True

    def watch(self) -> None:
        """Announce the server when all processes are ready, and replace those that die, until it stops.

        Raises:
            UnrolledError: a model that can't be served, named.
        """
        announced = False
        while not self.stopping:
            time.sleep(EVERY)
            messages = [worker.look() for worker in self._workers]
            if not announced:
                for message in messages:
                    if message not in (None, READY):
                        raise UnrolledError(str(message))
                if all(messages):
                    announce(self.bound, len(messages))
                    announced = True
            for place, worker in enumerate(self._workers):
                if not worker.process.is_alive() and not self.stopping:
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
        pid, status = worker.process.pid, worker.process.exitcode
        reason = "" if worker.message in (None, READY) else f": {worker.message}"
        log.error("process %s ended with %s%s; another takes its place", pid, status, reason)
        worker.stop()
        if pid is not None:
            forget_process(pid)
        # a process that can't live is not started again at once
        time.sleep(PAUSE)
        return Worker(self.bound, self.setup)

    def _clear(self) -> None:
        del os.environ["PROMETHEUS_MULTIPROC_DIR"]
        shutil.rmtree(self._folder, ignore_errors=True)


def serve_in_processes(bound: socket.socket, setup: Setup) -> None:
    """Serve in `setup.app.workers` processes until a signal comes.

    Args:
        bound: the socket to listen on; it is closed when the server stops.
        setup: what is served.

    Raises:
        UnrolledError: a model that can't be served, named.
    """
    start_log(setup.log_format)
    workers = Workers(bound, setup)
    try:
        with signals(workers.ask_to_stop, workers.end):
            workers.watch()
            workers.stop()
    except BaseException:
        workers.stop()
        raise


def _serve(bound: socket.socket, setup: Setup, connection: Connection) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    try:
        serve_in_process(
            bound, setup, lambda: connection.send_bytes(READY.encode()), end=partial(os._exit, INTERRUPTED)
        )
    except UnrolledError as error:
        connection.send_bytes(str(error).encode())


def _end_with(sentinel: int) -> None:
    """Stop when the parent is gone: this process would hold the port, and nobody could stop it."""
    multiprocessing.connection.wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
