"""Sound over HTTP: files of a few formats, and samples as they come from a microphone."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from unrolled.data.sound.files import Samples, Sound, read_header, read_sound
from unrolled.errors import ArgumentError
from unrolled.tasks.core.api import Bounds, InputApi, Message, Push, TooLarge
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.core.payloads import Base64, decoded_base64, within_limits
from unrolled.types import Json

#: samples a second that are taken, Hz, beside the model's own: between rates without a large common divisor a filter
#: takes hundreds of megabytes
RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000)
#: samples of all channels for each second that is allowed: stereo at 48 kHz
DENSEST = 96_000
#: full scale is 1; beyond this a spectrum overflows
LOUDEST = 100.0

#: a FLAC file of a second of silence, for examples
SILENCE = (
    "ZkxhQwAAACIQABAAAAALAAANAfQA8AAAH0Ae4Bk2cWCcfWPP6JuSCtMThAAAKCAAAAByZWZlcmVuY2UgbGliRkxBQyAxLjQuMyAy"
    "MDIzMDYyMwAAAAD/+MQIAAQAAAD4VP/4dAgBDz+AAAAASPM="
)


class SoundMessage(Message):
    """Sound."""

    sound: Base64 = Field(description="a WAV, FLAC or OGG file; several channels are mixed into one")


class SoundPush(Push):
    """More sound."""

    samples: Base64 = Field(
        "", description="float32, little-endian, one channel, full scale from −1 to 1; as many as there are"
    )
    rate: int | None = Field(
        None, description="samples a second, Hz, the same through a stream; by default the model's"
    )
    last: bool = Field(False, description="whether no more comes")


class Heard(NamedTuple):
    """Sound out of a binary message."""

    samples: Samples
    rate: int | None
    last: bool = False


class Seconds(BaseModel):
    """Where a stream of sound is after a push."""

    seconds: float = Field(description="of sound that was pushed")


class Api(InputApi):
    """A sound file; for a stream samples as they come."""

    Input: ClassVar[type[BaseModel]] = SoundMessage
    media = ("audio/wav", "audio/x-wav", "audio/vnd.wave", "audio/flac", "audio/x-flac", "audio/ogg")
    Push: ClassVar[type[Push] | None] = SoundPush
    Place: ClassVar[type[BaseModel]] = Seconds
    example: ClassVar[Json] = {"inputs": [{"sound": SILENCE}]}
    push_example: ClassVar[Json] = {"samples": "AAAAAAAAgD4AAAC/", "rate": 16_000}

    def read(self, model: AnyModel, given: SoundMessage, bounds: Bounds) -> Sound:
        """Return its samples."""
        return read_file(decoded_base64(given.sound, "sound"), model, bounds)

    def raw(self, model: AnyModel, data: bytes, content_type: str, bounds: Bounds) -> Sound:
        """Return the samples of a body that is a sound file."""
        return read_file(data, model, bounds)

    def check(self, push: SoundPush | Heard, bounds: Bounds) -> None:
        """Check that there is no more than may be sent in a file."""
        if isinstance(push, SoundPush):
            _check_length(len(push.samples) * 3 // 16, push.rate, bounds)

    def samples(self, data: bytes, query: Mapping[str, str], bounds: Bounds) -> Heard:
        """Return a message of samples; their rate is in the address, `?rate=16000`, or the model's."""
        given = query.get("rate")
        if given is not None and not (given.isascii() and given.isdigit() and len(given) < 7):
            raise ArgumentError(f"rate: expected samples a second, found {given[:20]!r}")
        rate = None if given is None else int(given)
        _check_length(len(data) // 4, rate, bounds)
        return Heard(as_floats(data), rate)

    def piece(self, model: AnyModel, push: SoundPush | Heard) -> tuple[Samples, int | None]:
        """Return samples and their rate."""
        if isinstance(push, SoundPush):
            data = decoded_base64(push.samples, "samples") if push.samples else b""
            push = Heard(as_floats(data), push.rate)
        if push.rate is not None:
            _check_rate(push.rate, model)
        return push.samples, push.rate

    def take(self, model: AnyModel, stream: Any, push: SoundPush | Heard) -> tuple[Json, Any, Any]:
        """Hear more, and if no more comes, what is left."""
        pushed = stream.push(self.piece(model, push))
        if push.last:
            pushed = [*pushed, *stream.finish()]
        ended = stream.fork()
        ended.finish()
        return {"seconds": stream.steps.seconds}, pushed, ended


def read_file(data: bytes, model: AnyModel, bounds: Bounds) -> Sound:
    """Decode a WAV, FLAC or OGG file.

    Raises:
        TooLarge: longer than the bound, or more samples than that many seconds have.
        ArgumentError: of another format or rate, or of samples beyond all sound.
        DataError: it is damaged.
    """
    kind = data[:4]
    if not (kind in (b"fLaC", b"OggS") or (kind == b"RIFF" and data[8:12] == b"WAVE")):
        raise ArgumentError("sound: not a WAV, FLAC or OGG file")
    header = read_header(io.BytesIO(data), "sound")
    if header.seconds > bounds.seconds:
        raise TooLarge(f"sound: {header.seconds:,.1f} s, and at most {bounds.seconds:g} s are heard in one")
    _check_rate(header.rate, model)
    if header.samples * header.channels > bounds.seconds * DENSEST:
        raise TooLarge(f"sound: {header.samples:,} samples of {header.channels} channels; mix it down, or cut it")
    with within_limits():
        sound = read_sound(io.BytesIO(data), "sound")
    _check_level(sound.samples, "sound")
    return sound


def as_floats(data: bytes) -> Samples:
    """Return bytes as float32.

    Raises:
        ArgumentError: they are none, or beyond all sound.
    """
    if len(data) % 4:
        raise ArgumentError(f"samples: {len(data)} bytes are no whole number of float32")
    samples = np.frombuffer(data, "<f4").astype(np.float32)
    _check_level(samples, "samples")
    return samples


def _check_length(samples: int, rate: int | None, bounds: Bounds) -> None:
    # the slowest of the rates, where the model's is not known
    if samples > bounds.seconds * (rate or min(RATES)):
        raise TooLarge(f"samples: {samples:,} of them, and at most {bounds.seconds:g} s are heard in one")


def _check_rate(rate: int, model: AnyModel) -> None:
    own = model.input.format.mel.rate
    if rate not in (*RATES, own):
        known = ", ".join(map(str, sorted({*RATES, own})))
        raise ArgumentError(f"rate: {rate} Hz; sound is taken at {known}")


def _check_level(samples: Samples, name: str) -> None:
    # written so that NaN fails too
    if len(samples) and not float(np.abs(samples).max()) <= LOUDEST:
        raise ArgumentError(f"{name}: expected numbers from about −1 to 1, found some beyond ±{LOUDEST:g}, or NaN")
