"""Everything that grows has a bound: these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from unrolled.settings import Settings

if TYPE_CHECKING:
    from unrolled.tasks.core.api import Bounds


class Limits(Settings):
    """What the server takes on. Times in seconds, sizes in bytes, unless said otherwise."""

    max_body: Annotated[int, Field(ge=1024)] = Field(default=32_000_000, description="bytes of a request")
    max_message: Annotated[int, Field(ge=1024)] = Field(
        default=8_000_000, description="bytes of a message of a WebSocket"
    )
    pending_bytes: Annotated[int, Field(ge=1024)] = Field(
        default=512_000_000, description="bytes of all that is coming in or waits, together; beyond: 429"
    )
    max_inputs: Annotated[int, Field(ge=1, le=4096)] = Field(default=64, description="inputs of a request")
    max_characters: Annotated[int, Field(ge=1)] = Field(default=20_000, description="characters of a text")
    max_pixels: Annotated[int, Field(ge=1)] = Field(default=25_000_000, description="pixels of an image or frame")
    max_seconds: Annotated[float, Field(gt=0)] = Field(default=300.0, description="seconds of a sound or clip")
    max_frames: Annotated[int, Field(ge=1)] = Field(default=3_000, description="frames of a clip")
    max_rows: Annotated[int, Field(ge=1)] = Field(default=100_000, description="rows of a table or array")
    queue: Annotated[int, Field(ge=1)] = Field(
        default=256, description="requests that may wait for a model; beyond: 429"
    )
    max_batch: Annotated[int, Field(ge=1)] = Field(default=32, description="requests computed together")
    batch_wait: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.002, description="seconds to wait for others to join"
    )
    deadline: Annotated[float, Field(gt=0)] = Field(default=60.0, description="seconds from a request to its answer")
    body_timeout: Annotated[float, Field(gt=0)] = Field(
        default=20.0, description="seconds in which a request has to come in, and a client to take what it is sent"
    )
    header_timeout: Annotated[float, Field(gt=0)] = Field(
        default=10.0, description="seconds for a request's head to come in"
    )
    connections: Annotated[int, Field(ge=1)] = Field(default=2_000, description="connections at the same time")
    streams: Annotated[int, Field(ge=1)] = Field(default=1_000, description="streams that are kept; beyond: 503")
    stream_idle: Annotated[float, Field(gt=0)] = Field(
        default=600.0, description="seconds without a push after which one ends"
    )
    stream_bytes: Annotated[int, Field(ge=1024)] = Field(default=16_000_000, description="bytes that a stream may keep")
    forks: Annotated[int, Field(ge=1)] = Field(default=16, description="streams of one WebSocket")
    inspections: Annotated[int, Field(ge=1)] = Field(
        default=8, description="requests to look inside that are answered at a time; beyond: 429"
    )
    inspect_steps: Annotated[int, Field(ge=1, le=2_048)] = Field(
        default=256, description="steps of an input that are looked into"
    )
    watchers: Annotated[int, Field(ge=1)] = Field(default=32, description="watchers of training runs; beyond: 429")
    grace: Annotated[float, Field(ge=0)] = Field(default=30.0, description="seconds for running requests when it stops")

    @property
    def bounds(self) -> Bounds:
        """Of inputs, as wires take them."""
        # the command's help is to come at once, and does not wait for torch
        from unrolled.tasks.core.api import Bounds

        return Bounds(self.max_characters, self.max_pixels, self.max_seconds, self.max_frames, self.max_rows)
