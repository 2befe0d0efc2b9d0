"""The options and the state of one process, which middleware and routes share."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from unrolled.errors import ArgumentError
from unrolled.serving.inspection import Inspector
from unrolled.serving.limits import Limits
from unrolled.serving.logs import Format
from unrolled.serving.metrics import Metrics
from unrolled.serving.models import ServedModel
from unrolled.serving.resources import DecodingThreads, MemoryBudget
from unrolled.serving.security import LOOPBACK, Access, StateSigner
from unrolled.serving.streams import Streams


@dataclass(frozen=True)
class ServerOptions:
    """Options of a process; they are sent to processes that are spawned.

    Attributes:
        folders: of models, by name.
        limits: of everything that grows.
        hosts: names in `Host` that it answers to; empty for any.
        token: what requests must carry; None asks for nothing.
        state_key: what states are signed with; None draws a key.
        workers: processes that serve at the same address.
        runs: folders of training runs to be watched, by name.
        log_inputs: whether inputs are logged.
        log_format: of the lines on standard error.
        device: where the networks are.
        adapt: how streams learn from what they read, of models whose streams can.
        threads: for what a model computes.

    Raises:
        ArgumentError: no worker.
    """

    folders: Mapping[str, Path] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    hosts: Collection[str] = LOOPBACK
    token: str | None = None
    state_key: bytes | None = None
    workers: int = 1
    runs: Mapping[str, Path] = field(default_factory=dict)
    log_inputs: bool = False
    log_format: Format = "text"
    device: str = "cpu"
    adapt: str | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ArgumentError(f"--workers: expected at least 1, found {self.workers}")


class ServerState:
    """The state of a process.

    Args:
        options: of the process.

    Attributes:
        models: by name.
        ready: whether the models are loaded.
        closing: set when the server begins to stop.
        conversations: number of WebSockets that are open.
        watchers: number of clients that watch a run.

    Raises:
        MissingDependencyError: a library of the extra `serve` is not installed.
    """

    def __init__(self, options: ServerOptions) -> None:
        self.options, self.limits = options, options.limits
        self.access = Access(frozenset(host.lower() for host in options.hosts), options.token)
        self.signer = StateSigner(options.state_key)
        self.metrics = Metrics()
        self.budget = MemoryBudget(self.limits.pending_bytes)
        self.decoder = DecodingThreads()
        self.streams = Streams(self.limits, self.metrics.streams)
        self.inspector = Inspector(self.limits, self.metrics.observer("inspection"))
        self.models: dict[str, ServedModel] = {}
        self.ready = False
        self.closing = asyncio.Event()
        self.conversations = self.watchers = 0

    def close(self) -> None:
        """End all threads when their work is done."""
        self.inspector.close()
        self.decoder.close()
        for served in self.models.values():
            served.close()
