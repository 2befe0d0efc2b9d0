"""The state of one process, which middleware and routes share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from unrolled.serving.decoding import Decoder
from unrolled.serving.inspection import Inspector
from unrolled.serving.limits import Budget, Limits
from unrolled.serving.metrics import Metrics
from unrolled.serving.models import ServedModel
from unrolled.serving.security import StateSigner
from unrolled.serving.streams import Streams


@dataclass
class ServerState:
    """The state of one process.

    Attributes:
        limits: of the server.
        signer: of states.
        workers: processes that serve at the same address.
        runs: folders of training runs to be watched, by name.
        log_inputs: whether inputs are logged.
        models: by name.
        ready: whether the models are loaded.
        closing: set when the server begins to stop.
        conversations: WebSockets that are open.
        watchers: clients that watch a run.
    """

    limits: Limits
    signer: StateSigner
    workers: int = 1
    runs: Mapping[str, Path] = field(default_factory=dict)
    log_inputs: bool = False
    models: dict[str, ServedModel] = field(default_factory=dict)
    ready: bool = False
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    conversations: int = 0
    watchers: int = 0

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        self.budget = Budget(self.limits.pending_bytes)
        self.decoder = Decoder()
        self.streams = Streams(self.limits, self.metrics.streams)
        self.inspector = Inspector(self.limits, self.metrics.observer("inspection"))

    def close(self) -> None:
        """End all threads when their work is done."""
        self.inspector.close()
        self.decoder.close()
        for served in self.models.values():
            served.close()
