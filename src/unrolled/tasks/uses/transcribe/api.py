"""How `transcribe` is spoken to: sound in, words out."""

from __future__ import annotations

from typing import ClassVar

from unrolled.tasks.core import api
from unrolled.tasks.inputs.sound.api import Api as SoundApi
from unrolled.tasks.outputs.text.ctc.api import Api as TranscriptApi


class Api(SoundApi, TranscriptApi, api.Api):
    """Sound in, words out."""

    view: ClassVar[str] = "listen"
