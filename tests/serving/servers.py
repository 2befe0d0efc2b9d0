"""Servers for tests: in a thread of this process, or as the command runs them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from unrolled.serving import Client, Limits, create_app
from unrolled.serving.http.server import Server
from unrolled.serving.http.sockets import listen

#: what the installed script `unrolled` does
COMMAND = "import sys; from unrolled.cli.app import main; sys.exit(main())"


class Running:
    """A server in a thread: its address, its application, and clients of it."""

    def __init__(self, models: Mapping[str, Path], **options: Any) -> None:
        self.limits = options.pop("limits", None) or Limits(grace=5, drain=0.05, max_wait=30)
        self.app = create_app([f"{name}={path}" for name, path in models.items()], limits=self.limits, **options)
        self.state = self.app.state
        self.bound = listen("127.0.0.1", 0, unread_timeout=self.limits.body_timeout)
        self.port: int = self.bound.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.token: str | None = options.get("token")
        ready = threading.Event()
        self.server = Server(self.app, self.bound, on_ready=ready.set)
        self.server.start()
        assert ready.wait(30)

    @property
    def client(self) -> Client:
        return Client(self.address, token=self.token, timeout=20)

    def http(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=20, trust_env=False, **options)

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        with self.http() as client:
            return client.request(method, path, **given)

    def counted(self, name: str, **labels: str) -> float:
        """A counter of /metrics, over all labels that are not named."""
        return counted(self.ask("GET", "/metrics").text, name, **labels)

    def stop(self) -> None:
        self.server.stop()
        self.server.join(30)
        self.bound.close()


@contextlib.contextmanager
def running(models: Mapping[str, Path], **options: Any) -> Iterator[Running]:
    server = Running(models, **options)
    try:
        yield server
    finally:
        server.stop()


class Process:
    """`unrolled serve` in a process of its own."""

    def __init__(self, *arguments: str, port: int = 0) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
        environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "serve", "--port", str(port), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://[\w.\[\]:]+:(\d+)", line)
        if not found:
            self.stop()
            raise AssertionError("".join(self.log))
        self.address, self.port = found[0], int(found[1])

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.log.extend(self.process.stderr)

    def stop(self, wanted: int = signal.SIGTERM) -> int:
        """Ask it to stop; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(wanted)
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()
            self._reader.join(5)
            assert self.process.stdout is not None
            assert self.process.stderr is not None
            self.process.stdout.close()
            self.process.stderr.close()


@contextlib.contextmanager
def process(*arguments: str, port: int = 0) -> Iterator[Process]:
    server = Process(*arguments, port=port)
    try:
        yield server
    finally:
        server.stop()


def counted(text: str, name: str, **labels: str) -> float:
    total = 0.0
    for line in text.splitlines():
        found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
        if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
            total += float(found[2])
    return total


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem that a response must be."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert set(found) <= {"type", "title", "status", "detail", "instance", "errors"}
    assert found["status"] == status
    assert found["type"] == "about:blank"
    assert found["title"]
    assert found["detail"]
    assert "\n" not in found["detail"]
    assert found["instance"] == response.headers["x-request-id"]
    return found


def events(text: str) -> list[tuple[str, Any]]:
    """Server-sent events."""
    found = []
    for block in text.split("\n\n")[:-1]:
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def raw(port: int, data: bytes, timeout: float = 10.0) -> bytes:
    """What comes back for some bytes, until the server closes or a time is over."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        found = b""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(data)
            while piece := connection.recv(65536):
                found += piece
        return found


def together(*coroutines: Any) -> list[Any]:
    """Run some at the same time."""

    async def run() -> list[Any]:
        return list(await asyncio.gather(*coroutines))

    return asyncio.run(run())
