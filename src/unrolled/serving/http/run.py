"""Running the server: uvicorn, with a bound on how long a request's head may take, and a stop that is told."""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.errors import ArgumentError, MissingDependencyError, StorageError
from unrolled.serving.http.naming import named_folders
from unrolled.serving.limits import Limits
from unrolled.serving.logs import Format, start_log
from unrolled.serving.metrics import forget
from unrolled.storage import storage_error

if TYPE_CHECKING:
    from unrolled.serving.middleware import Guard

log = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "localhost", "::1")
#: characters of a token, at least
LEAST_TOKEN = 16


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
    """Serve models until the process is told to stop (SIGINT, SIGTERM).

    Args:
        models: folders, each as `FOLDER` or `NAME=FOLDER`.
        host, port: where to listen; other hosts than loopback need a token.
        workers: processes.
        token_file: a file with the token that requests must carry.
        state_key_file: a file with the key that states are signed with.
        allow_hosts: further names that it goes by.
        runs: folders of training runs to be watched.
        limits: of everything that grows.
        log_inputs: whether what people send is logged.
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
    if workers < 1:
        raise ArgumentError(f"--workers: expected at least 1, found {workers}")
    token = None if token_file is None else _secret(token_file, "--token-file")
    if host not in LOOPBACK and token is None:
        raise ArgumentError(
            f"--host {host}: everybody who reaches it could ask; name a file with a token, --token-file PATH"
        )
    key = secrets.token_hex(32) if state_key_file is None else _secret(state_key_file, "--state-key-file")
    # an address of all interfaces is no name; then whoever knows the token may use any
    named = host not in ("0.0.0.0", "::")
    told = {
        # children may be in another folder
        "models": [f"{name}={path.resolve()}" for name, path in named_folders(models, "model").items()],
        "limits": (limits or Limits()).model_dump(),
        "hosts": sorted({host, *LOOPBACK, *allow_hosts}) if named or allow_hosts else [],
        "token": token,
        "state_key": key,
        "workers": workers,
        "runs": {name: str(Path(path).resolve()) for name, path in (runs or {}).items()},
        "log_inputs": log_inputs,
        "threads": threads,
        "device": device,
        "log_format": log_format,
    }
    _allow_connections((limits or Limits()).connections)
    bound = listening(host, port)
    with bound:
        if workers == 1:
            _work_on(bound, told, lambda: _announce(bound, 1))
        else:
            # what is wrong with a model is said before processes are made
            for one in _application(told).app.state.work.models.values():
                one.close()
            _work_together(bound, told)


def require_libraries() -> None:
    """See that the libraries of the extra `serve` are there.

    Raises:
        MissingDependencyError: one is not.
    """
    for library in ("fastapi", "uvicorn", "websockets", "prometheus_client"):
        try:
            __import__(library)
        except ImportError as error:
            raise MissingDependencyError(library, "serve", "the server") from error


def _application(told: Mapping[str, Any]) -> Guard:
    import torch

    from unrolled.serving.app import create_app
    from unrolled.tasks.core.train import chosen_device

    torch.set_num_threads(told["threads"])
    return create_app(
        told["models"],
        limits=Limits(**told["limits"]),
        hosts=told["hosts"],
        token=told["token"],
        state_key=told["state_key"].encode(),
        workers=told["workers"],
        runs={name: Path(path) for name, path in told["runs"].items()},
        log_inputs=told["log_inputs"],
        device=str(chosen_device(told["device"])),
    )


def _announce(bound: socket.socket, workers: int) -> None:
    host, port = bound.getsockname()[:2]
    several = f" with {workers} processes" if workers > 1 else ""
    print(f"serving on http://{f'[{host}]' if ':' in host else host}:{port}{several}", flush=True)


def _work_on(bound: socket.socket, told: dict[str, Any], ready: Callable[[], None]) -> None:
    """Serve in this process.

    Args:
        bound: where to listen.
        told: what `serve` was told.
        ready: called when requests are taken.
    """
    from unrolled.serving.http.server import Server

    application = _application(told)
    start_log(told["log_format"])
    # the loop that answers does not wait long for a lane that is in Python
    sys.setswitchinterval(0.001)
    Server(application, ready).run(sockets=[bound])


def _work_together(bound: socket.socket, told: dict[str, Any]) -> None:
    """Serve in several processes; one that dies is replaced, and a signal to stop reaches all."""
    # spawned: a child of a fork would share threads that are not there
    making = multiprocessing.get_context("spawn")
    stopping = threading.Event()
    start_log(told["log_format"])
    with tempfile.TemporaryDirectory(prefix="unrolled-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder

        def begun() -> tuple[Any, Any]:
            serving = making.Event()
            process = making.Process(target=_child, args=(bound, told, serving), daemon=False)
            process.start()
            return process, serving

        for wanted in (signal.SIGINT, signal.SIGTERM):
            signal.signal(wanted, lambda *_: stopping.set())
        workers = [begun() for _ in range(told["workers"])]
        announced = False
        while not stopping.wait(0.2):
            if not announced and all(serving.is_set() for _, serving in workers):
                _announce(bound, len(workers))
                announced = True
            for place, (process, _) in enumerate(workers):
                if not process.is_alive() and not stopping.is_set():
                    log.error("process %d ended with %s; another takes its place", process.pid, process.exitcode)
                    forget(process.pid)
                    # one that can't live is not made again at once
                    stopping.wait(1)
                    workers[place] = begun()
        # the last process that closes it resets who has not been accepted, so that must be one that accepts: not this
        # one, nor one that is still loading its models
        bound.close()
        for process, serving in workers:
            if not serving.is_set():
                process.kill()
                process.join()
        for process, _ in workers:
            if process.is_alive():
                process.terminate()
        for process, _ in workers:
            process.join()
        del os.environ["PROMETHEUS_MULTIPROC_DIR"]


def _child(bound: socket.socket, told: dict[str, Any], serving: Any) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        # whose parent is gone would hold the port, and nobody could stop it
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()
    _work_on(bound, told, serving.set)


def _follow(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _allow_connections(count: int) -> None:
    """Each connection is an open file, and systems allow few unless they are asked."""
    try:
        import resource
    except ImportError:
        # where there are no such limits
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 256
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def listening(host: str, port: int, option: str = "--port") -> socket.socket:
    """A socket that listens.

    Args:
        host, port: where; port 0 takes any that is free.
        option: that the port was given with, for the error.

    Raises:
        StorageError: it can't be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # the protocol is named, because asyncio sets TCP_NODELAY only where it is: else the body of an answer waits, some
    # 40 ms, until the client has acknowledged its head
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        raise StorageError(f"{option} {port}: can't listen on {host}: {error}; name another port") from error
    bound.listen(1024)
    return bound


def _secret(path: Path, option: str) -> str:
    try:
        found = path.read_text("utf-8").strip()
    except OSError as error:
        raise storage_error(error, path, f"reading {option}") from error
    except UnicodeDecodeError as error:
        raise ArgumentError(f"{option} {path}: expected text") from error
    if len(found) < LEAST_TOKEN or not found.isascii() or not found.isprintable() or " " in found:
        raise ArgumentError(
            f"{option} {path}: expected at least {LEAST_TOKEN} printable ASCII characters without spaces; one way to "
            'make them: python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    return found
