"""Sound files to samples: WAV, FLAC and whatever else soundfile reads; plain WAV without it.

Samples are float32 from −1 to 1, one channel, N of them, `rate` a second. Nothing is resampled or scaled here.
"""

from __future__ import annotations

import io
import wave
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.errors import ArgumentError, DataError, LimitError, MissingDependencyError, ShapeError, StorageError

Samples = NDArray[np.float32]

#: names that say that a file is sound
SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au", ".w64")
#: samples a second that make sense, Hz
SLOWEST, FASTEST = 1_000, 384_000
#: samples of all channels that are decoded at most: three hours of stereo at 48 kHz; FLAC packs silence a thousandfold
MOST_SAMPLES = 1 << 30


@dataclass(frozen=True)
class Sound:
    """Samples and their rate, e.g. for `predict` where there is no file.

    Args:
        samples: (N,), floating point from −1 to 1 or signed integers, which are scaled; (N, C) is mixed down.
        rate: samples a second, Hz.

    Attributes:
        channels: the number that was mixed into one.

    Raises:
        ShapeError, ArgumentError: it is no such array, holds NaN, or the rate makes no sense.
    """

    samples: Samples
    rate: int
    channels: int = field(init=False, default=1)

    def __post_init__(self) -> None:
        if np.ndim(self.samples) == 2:
            object.__setattr__(self, "channels", np.shape(self.samples)[1])
        object.__setattr__(self, "samples", as_samples(self.samples))
        object.__setattr__(self, "rate", checked_rate(self.rate))

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / self.rate

    @property
    def is_silent(self) -> bool:
        """Whether all samples are equal, or there is none."""
        return not len(self.samples) or bool((self.samples == self.samples[0]).all())


class SoundHeader(NamedTuple):
    """Rate, channels and length as the file states them.

    Attributes:
        rate: samples a second, Hz.
        channels: 2 is stereo.
        samples: N, of one channel.
    """

    rate: int
    channels: int
    samples: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.samples / self.rate


@dataclass(frozen=True)
class Excerpt:
    """A sound file, or a part of one, not yet decoded.

    Attributes:
        path: the file.
        header: its rate and length.
        begin, end: seconds, of a part; an `end` of None is the file's.
    """

    path: Path
    header: SoundHeader
    begin: float = 0.0
    end: float | None = None

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.header.seconds if self.end is None else min(self.end, self.header.seconds)) - self.begin

    def sound(self) -> Sound:
        """Decode it.

        Raises:
            StorageError, DataError: as `read_sound`.
        """
        return read_sound(self.path, begin=self.begin, end=self.end)


def wav(sound: Sound) -> bytes:
    """Return sound as the bytes of a WAV file of 16 bits, one channel."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sound.rate)
        file.writeframes(np.rint(np.clip(sound.samples, -1, 1) * 32767).astype("<i2").tobytes())
    return stream.getvalue()


def as_samples(array: ArrayLike, name: str = "samples") -> Samples:
    """Return samples as float32 from −1 to 1, one channel.

    Args:
        array: (N,) or (N, C), C at most 32; floating point is taken as it is, signed integers are divided by the
            largest value of their type, channels are averaged.

    Raises:
        ShapeError: another shape.
        ArgumentError: another dtype, or a value that is not finite.
    """
    try:
        given = np.asarray(array)
    except ValueError as error:
        raise ArgumentError(f"{name}: expected an array of numbers, found rows of several lengths") from error
    if given.ndim not in (1, 2) or (given.ndim == 2 and not 1 <= given.shape[1] <= 32):
        raise ShapeError(name, "(N,) or (N, C ≤ 32)", given.shape)
    if given.dtype.kind == "i":
        given = given.astype(np.float64) / (float(np.iinfo(given.dtype).max) + 1)
    elif given.dtype.kind != "f":
        raise ArgumentError(f"{name}: expected floating point or signed integers, found {given.dtype}")
    mono = (given if given.ndim == 1 else given.mean(axis=1)).astype(np.float32)
    if not np.isfinite(mono).all():
        raise ArgumentError(
            f"{name}: not finite; sample {int(np.flatnonzero(~np.isfinite(mono))[0])} is NaN or infinite"
        )
    return mono


def checked_rate(rate: object) -> int:
    """Return the rate as an int.

    Raises:
        ArgumentError: it is no whole number from `SLOWEST` to `FASTEST`.
    """
    if isinstance(rate, bool) or not isinstance(rate, (int, np.integer, float)) or int(rate) != rate:
        raise ArgumentError(f"rate: expected a whole number of samples a second, found {rate!r}")
    if not SLOWEST <= rate <= FASTEST:
        raise ArgumentError(f"rate: expected {SLOWEST} to {FASTEST} samples a second, found {rate}")
    return int(rate)


def read_header(source: str | Path | BinaryIO, name: str | None = None) -> SoundHeader:
    """Read the header of a sound file, without decoding it.

    Args, Raises: as `read_sound`.
    """
    with ExitStack() as stack:
        stream, name = _opened(source, name, stack)
        with _decoder(stream, name) as decoder:
            return decoder.header


def read_sound(
    source: str | Path | BinaryIO, name: str | None = None, *, begin: float = 0.0, end: float | None = None
) -> Sound:
    """Decode a sound file. Several channels are averaged into one.

    Args:
        source: a path, or a stream that can seek.
        name: its name in error messages.
        begin, end: seconds, to read a part; an `end` beyond the file's is its end.

    Raises:
        StorageError: there is no such file, or it can't be read.
        DataError: it is no sound file, is damaged, cut short, empty, too long, or the part lies outside.
        MissingDependencyError: its format needs soundfile, which is not installed.
    """
    with ExitStack() as stack:
        stream, name = _opened(source, name, stack)
        with _decoder(stream, name) as decoder:
            header = decoder.header
            first = round(begin * header.rate)
            last = header.samples if end is None else min(header.samples, round(end * header.rate))
            if not 0 <= first < last:
                raise DataError(
                    f"no sound from {begin:g} to {last / header.rate:g} s; it lasts {header.seconds:g} s", name
                )
            if (last - first) * header.channels > MOST_SAMPLES:
                raise LimitError(
                    f"{header.seconds / 3600:.1f} hours, and no more than {MOST_SAMPLES:,} samples are decoded", name
                )
            samples = decoder.read(first, last - first)
    if len(samples) != last - first:
        raise DataError(f"cut short: {len(samples)} of {last - first} samples are there", name)
    try:
        return Sound(samples, header.rate)
    except ArgumentError as error:
        raise DataError(str(error), name) from error


def _opened(source: str | Path | BinaryIO, name: str | None, stack: ExitStack) -> tuple[BinaryIO, str]:
    if not isinstance(source, (str, Path)):
        return source, name or "sound"
    path = Path(source)
    try:
        return stack.enter_context(path.open("rb")), name or str(path)
    except FileNotFoundError as error:
        raise StorageError(f"{name or path}: no such file") from error
    except OSError as error:
        raise StorageError(f"{name or path}: can't be read: {error.strerror or error}") from error


def _decoder(stream: BinaryIO, name: str) -> _SoundFile | _Wave:
    head = stream.read(12)
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    if not size:
        raise DataError("the file is empty", name)
    is_wave = head[:4] == b"RIFF" and head[8:12] == b"WAVE"
    if is_wave:
        # libsndfile reads the rest of a file that is cut short without a word; 0 and −1 stand for "unknown"
        declared = int.from_bytes(head[4:8], "little")
        if declared not in (0, 0xFFFFFFFF) and size < declared + 8:
            raise DataError(f"cut short: {size} of {declared + 8} bytes are there", name)
    try:
        import soundfile
    except ImportError as error:
        if is_wave:
            return _Wave(stream, name)
        raise MissingDependencyError("soundfile", "sound", f"{name}: sound other than plain WAV") from error
    return _SoundFile(soundfile, stream, name)


class _SoundFile:
    """Reads with libsndfile."""

    def __init__(self, soundfile: ModuleType, stream: BinaryIO, name: str) -> None:
        self._errors = (soundfile.LibsndfileError, RuntimeError, ValueError)
        self._name = name
        try:
            self._file = soundfile.SoundFile(stream)
        except self._errors as error:
            raise DataError(f"not a sound file, or a damaged one: {_reason(error)}", name) from error
        self.header = _checked(SoundHeader(self._file.samplerate, self._file.channels, self._file.frames), name)

    def __enter__(self) -> _SoundFile:
        return self

    def __exit__(self, *details: object) -> None:
        self._file.close()

    def read(self, first: int, count: int) -> Samples:
        try:
            self._file.seek(first)
            samples: Samples = self._file.read(count, dtype="float32", always_2d=True)
        except self._errors as error:
            raise DataError(f"damaged: {_reason(error)}", self._name) from error
        return samples if samples.shape[1] > 1 else samples[:, 0]


class _Wave:
    """Reads with the standard library: WAV of integers."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._name = name
        try:
            self._file = wave.open(stream, "rb")  # noqa: SIM115 (closed by __exit__)
        except (wave.Error, EOFError) as error:
            if "format" in str(error):
                raise MissingDependencyError("soundfile", "sound", f"{name}: WAV of this kind ({error})") from error
            raise DataError(f"not a WAV file, or a damaged one: {error or 'it ends too early'}", name) from error
        header = SoundHeader(self._file.getframerate(), self._file.getnchannels(), self._file.getnframes())
        self.header = _checked(header, name)

    def __enter__(self) -> _Wave:
        return self

    def __exit__(self, *details: object) -> None:
        self._file.close()

    def read(self, first: int, count: int) -> Samples:
        width = self._file.getsampwidth()
        try:
            self._file.setpos(first)
            data = self._file.readframes(count)
        except (wave.Error, EOFError) as error:
            raise DataError(f"damaged: {error}", self._name) from error
        data = data[: len(data) // (width * self.header.channels) * width * self.header.channels]
        if width == 1:
            # eight bits are unsigned, all others signed
            whole = np.frombuffer(data, np.uint8).astype(np.int32) - 128
        elif width == 3:
            octets = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.int32)
            whole = (octets[:, 0] << 8 | octets[:, 1] << 16 | octets[:, 2] << 24) >> 8
        else:
            whole = np.frombuffer(data, f"<i{width}")
        scaled = (whole / float(1 << (8 * width - 1))).astype(np.float32)
        return scaled if self.header.channels == 1 else scaled.reshape(-1, self.header.channels)


def _checked(header: SoundHeader, name: str) -> SoundHeader:
    if header.samples < 1:
        raise DataError("no sample in it", name)
    if not SLOWEST <= header.rate <= FASTEST or not 1 <= header.channels <= 32:
        raise DataError(f"{header.channels} channels at {header.rate} Hz make no sense; damaged?", name)
    return header


def _reason(error: Exception) -> str:
    """The message of a library, as one line without its own preface."""
    text = " ".join(str(getattr(error, "error_string", error)).split())
    return text.removeprefix("Error : ").rstrip(".") or type(error).__name__
