"""What the routes share: the models, the streams, the key that states are signed with, the counters."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from unrolled.serving.limits import Limits
from unrolled.serving.metrics import Metrics
from unrolled.serving.models import Served
from unrolled.serving.security import Signer
from unrolled.serving.streams import Streams


@dataclass
class Work:
    """One process at work.

    Attributes:
        models: by name.
        limits: of everything.
        metrics: counters.
        signer: of states.
        streams: those that are kept.
        workers: processes that answer at the same address.
        runs: folders of training runs that are watched, by name.
        log_inputs: whether what people send may be logged.
        closing: set when the server begins to stop.
        conversations: WebSockets that are open.
        watchers: clients that watch a run.
        reads: types of bodies that routes read by themselves, for the OpenAPI document.
    """

    models: Mapping[str, Served]
    limits: Limits
    metrics: Metrics
    signer: Signer
    streams: Streams
    workers: int = 1
    runs: Mapping[str, Path] = field(default_factory=dict)
    log_inputs: bool = False
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    conversations: int = 0
    watchers: int = 0
    reads: list[type[BaseModel]] = field(default_factory=list)
