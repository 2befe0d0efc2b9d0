"""Bounds on everything that grows."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from unrolled.settings import Settings


class Limits(Settings):
    """Limits of a server. Times in seconds, sizes in bytes, unless said otherwise."""

    max_body: Annotated[int, Field(ge=1024)] = Field(default=32_000_000, description="bytes of a request")
    max_message: Annotated[int, Field(ge=1024)] = Field(default=8_000_000, description="bytes of a WebSocket message")
    pending_bytes: Annotated[int, Field(ge=1024)] = Field(
        default=512_000_000, description="bytes of all bodies, messages and decoded inputs together; beyond: 503"
    )
    max_inputs: Annotated[int, Field(ge=1, le=4096)] = Field(default=64, description="inputs of a request")
    max_characters: Annotated[int, Field(ge=1)] = Field(default=20_000, description="characters of a text")
    max_pixels: Annotated[int, Field(ge=1)] = Field(default=25_000_000, description="pixels of an image or frame")
    max_seconds: Annotated[float, Field(gt=0)] = Field(default=300.0, description="seconds of a sound or clip")
    max_frames: Annotated[int, Field(ge=1)] = Field(default=3_000, description="frames of a clip")
    max_rows: Annotated[int, Field(ge=1)] = Field(default=100_000, description="rows of a table or array")
    queue: Annotated[int, Field(ge=1)] = Field(
        default=256, description="pieces of work that may wait for a model; beyond: 503"
    )
    max_wait: Annotated[float, Field(gt=0)] = Field(
        default=0.2, description="seconds that a push may have to wait, and a request five times as long; beyond: 503"
    )
    max_batch: Annotated[int, Field(ge=1)] = Field(default=32, description="pieces of work computed together")
    batch_wait: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.002, description="seconds to wait for others to join"
    )
    deadline: Annotated[float, Field(gt=0)] = Field(default=60.0, description="seconds from a request to its answer")
    body_timeout: Annotated[float, Field(gt=0)] = Field(
        default=20.0, description="seconds in which a client has to send its request and to accept the answer"
    )
    connections: Annotated[int, Field(ge=1)] = Field(default=2_000, description="connections at a time; beyond: 503")
    streams: Annotated[int, Field(ge=1)] = Field(default=1_000, description="streams at a time; beyond: 503")
    stream_idle: Annotated[float, Field(gt=0)] = Field(
        default=600.0, description="seconds without a push after which a stream ends"
    )
    stream_bytes: Annotated[int, Field(ge=1024)] = Field(default=16_000_000, description="bytes that a stream may keep")
    forks: Annotated[int, Field(ge=1)] = Field(default=16, description="streams of one WebSocket")
    inspections: Annotated[int, Field(ge=1)] = Field(default=8, description="inspections at a time; beyond: 503")
    inspect_steps: Annotated[int, Field(ge=1, le=2_048)] = Field(
        default=256, description="steps of an input that are inspected"
    )
    watchers: Annotated[int, Field(ge=1)] = Field(
        default=32, description="clients that watch training runs; beyond: 503"
    )
    drain: Annotated[float, Field(ge=0)] = Field(
        default=0.25, description="seconds in which new requests are still answered when the server stops"
    )
    grace: Annotated[float, Field(ge=0)] = Field(
        default=30.0, description="seconds for running requests when the server stops"
    )
