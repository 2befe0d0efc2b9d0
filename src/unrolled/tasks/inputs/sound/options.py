"""Options of sound."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from unrolled.settings import Settings
from unrolled.tasks.core.recurrent import Rate


class SoundOptions(Settings):
    """How sound is heard, and varied while training; None lets the data decide."""

    rate: Annotated[int, Field(ge=4000, le=48000)] | None = Field(
        None, description="samples a second that the model hears; all else is resampled"
    )
    bands: Annotated[int, Field(ge=8, le=256)] | None = Field(None, description="mel bands of a frame")
    stride: Annotated[int, Field(ge=1, le=8)] | None = Field(None, description="frames, 10 ms each, a step")
    per_utterance: bool = Field(False, description="standardise each utterance by itself; such a model can't stream")
    input_dropout: Rate | None = Field(None, description="probability, on what the frames are mapped to")
    augment: bool = Field(True, description="vary speed, loudness and noise, and hide parts, while training")
    speed: Annotated[float, Field(ge=0, le=0.5)] = Field(0.1, description="slower or faster by up to this share")
    gain: Annotated[float, Field(ge=0, le=30)] = Field(4.0, description="standard deviation of the loudness, dB")
    noise: Annotated[float, Field(ge=0, le=1)] = Field(0.2, description="probability that noise is added")
    hide_time: Rate = Field(0.1, description="share of the time that is hidden, at most")
    hide_bands: Rate = Field(0.15, description="share of the bands that is hidden by each of two masks, at most")
