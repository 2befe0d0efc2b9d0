"""`transcribe` on the wire: sound files and their words, and sound as it comes from a microphone."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from unrolled.data.sound.files import Samples, Sound, read_header, read_sound
from unrolled.errors import ArgumentError
from unrolled.tasks.core.api import Bounds, Message, Push, TooLarge, Wire, one_by_one
from unrolled.tasks.core.model import Model
from unrolled.tasks.core.payloads import Base64, decoded_base64, within_limits
from unrolled.tasks.inputs.text.api import Probability
from unrolled.tasks.uses.transcribe.session import TranscriptSession

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


class SoundInput(Message):
    """Sound."""

    sound: Base64 = Field(description="a WAV, FLAC or OGG file; several channels are mixed into one")


class HeardWord(BaseModel):
    """A word that was heard."""

    text: str
    begin: float = Field(ge=0, description="where the network begins to say it, seconds")
    end: float = Field(ge=0, description="where it has said it, seconds")
    confidence: Probability = Field(description="mean probability of its units")


class TranscriptCandidate(BaseModel):
    """A text that may have been said."""

    text: str
    log_prob: float = Field(description="of the text given the sound, over all its alignments, nats")
    score: float = Field(description="what it was ranked by, nats")


class TranscribedSound(BaseModel):
    """What is said in a sound."""

    text: str
    words: list[HeardWord]
    log_prob: float | None = Field(description="of the text given the sound, over all its alignments, nats")
    score: float | None = Field(description="what it was ranked by, nats")
    alternatives: list[TranscriptCandidate] = Field(description="n_best, the best first")
    seconds: float = Field(description="of the sound")
    notes: list[str] = Field(description="what was done to the sound before it was heard")


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
    """More sound, out of a binary message."""

    samples: Samples
    rate: int | None
    last: bool = False


class TranscribedPush(BaseModel):
    """What was heard by now."""

    seconds: float = Field(description="of sound that was pushed")
    words: list[HeardWord] = Field(description="those that are over since the push before")
    text: str = Field(description="all that was said, as if it ended here")


class TranscribeWire(Wire):
    """Sound in, words out."""

    view = "listen"
    Input = SoundInput
    Output = TranscribedSound
    media = ("audio/wav", "audio/x-wav", "audio/vnd.wave", "audio/flac", "audio/x-flac", "audio/ogg")
    Push = SoundPush
    Pushed = TranscribedPush
    # `predict` hears one after the other
    together = False
    example: ClassVar = {"inputs": [{"sound": SILENCE}]}
    push_example: ClassVar = {"samples": "AAAAAAAAgD4AAAC/", "rate": 16_000}

    def read(self, model: Model, given: Any, bounds: Bounds) -> Sound:
        """Its samples."""
        return read_file(decoded_base64(given.sound, "sound"), model, bounds)

    def raw(self, model: Model, data: bytes, content_type: str, bounds: Bounds) -> Sound:
        """A body that is a sound file."""
        return read_file(data, model, bounds)

    def check(self, push: Any, bounds: Bounds) -> None:
        """No more than may be sent in a file."""
        if isinstance(push, SoundPush):
            _check_length(len(push.samples) * 3 // 16, push.rate, bounds)

    def samples(self, data: bytes, query: Mapping[str, str], bounds: Bounds) -> Heard:
        """A message of samples; their rate is in the address, `?rate=16000`, or the model's."""
        given = query.get("rate")
        if given is not None and not (given.isascii() and given.isdigit() and len(given) < 7):
            raise ArgumentError(f"rate: expected samples a second, found {given[:20]!r}")
        rate = None if given is None else int(given)
        _check_length(len(data) // 4, rate, bounds)
        return Heard(as_floats(data), rate)

    def push(self, model: Model, pairs: Sequence[tuple[TranscriptSession, SoundPush | Heard]]) -> list[Any]:
        """Hear more."""
        return one_by_one(pairs, lambda stream, given: _pushed(model, stream, given))

    def held(self, stream: TranscriptSession) -> int:
        """Its state, and the words."""
        return super().held(stream) + 256 * len(stream.words)


def read_file(data: bytes, model: Model, bounds: Bounds) -> Sound:
    """A WAV, FLAC or OGG file, decoded.

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
    """Bytes as float32.

    Raises:
        ArgumentError: they are none, or beyond all sound.
    """
    if len(data) % 4:
        raise ArgumentError(f"samples: {len(data)} bytes are no whole number of float32")
    samples = np.frombuffer(data, "<f4").astype(np.float32)
    _check_level(samples, "samples")
    return samples


def _pushed(model: Model, stream: TranscriptSession, given: SoundPush | Heard) -> dict[str, Any]:
    if isinstance(given, SoundPush):
        data = decoded_base64(given.samples, "samples") if given.samples else b""
        given = Heard(as_floats(data), given.rate, given.last)
    if given.rate is not None:
        _check_rate(given.rate, model)
    words = stream.push(given.samples, given.rate)
    if given.last:
        words += stream.finish()
    return {
        "seconds": stream.seconds,
        "words": [word.as_json() for word in words],
        "text": stream.transcript().text,
    }


def _check_length(samples: int, rate: int | None, bounds: Bounds) -> None:
    # the slowest of the rates, where the model's is not known
    if samples > bounds.seconds * (rate or min(RATES)):
        raise TooLarge(f"samples: {samples:,} of them, and at most {bounds.seconds:g} s are heard in one")


def _check_rate(rate: int, model: Model) -> None:
    own = model.encoders.mel.rate
    if rate not in (*RATES, own):
        known = ", ".join(map(str, sorted({*RATES, own})))
        raise ArgumentError(f"rate: {rate} Hz; sound is taken at {known}")


def _check_level(samples: Samples, name: str) -> None:
    # written so that NaN fails too
    if len(samples) and not float(np.abs(samples).max()) <= LOUDEST:
        raise ArgumentError(f"{name}: expected numbers from about −1 to 1, found some beyond ±{LOUDEST:g}, or NaN")
