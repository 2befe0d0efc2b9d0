"""Video files to frames, by PyAV: upright, grey or in colour, small, at a given rate, and never more than memory holds.

T time, H height, W width, C channels. This is the only file that knows PyAV.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.data.images.files import Pixels, resize
from unrolled.errors import DataError, LimitError, MissingDependencyError, StorageError

SUFFIXES = (".mp4", ".m4v", ".mov", ".mpg", ".mpeg", ".avi", ".mkv", ".webm", ".ogv", ".wmv", ".flv")

MOST_PIXELS = 4096 * 4096
"""Frames that say they are larger are refused before any is decoded."""

MOST_SECONDS = 4 * 3600.0
"""A longer video is refused: cut it into recordings."""

MOST_BYTES = 2 << 30
"""Bytes that the decoded frames of one clip may take, at the size asked for."""


PLAYABLE = 96
"""Pixels of the shorter side of a clip that is written to be played."""

CODECS = frozenset(
    ("av1", "ffv1", "h263", "h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v3", "rawvideo",
     "theora", "vp8", "vp9")
)  # fmt: skip
"""The codecs that are decoded of video that comes as a stream of bytes, and not as a file that somebody named."""


class VideoLimits(NamedTuple):
    """The most that is read of a video.

    Attributes:
        pixels: of a frame.
        seconds: of the video.
        frames: that are decoded, and that are returned; None for any number.
        total: pixels of all frames that are decoded; None for any number.
    """

    pixels: int
    seconds: float
    frames: int | None = None
    total: int | None = None


class Footage(NamedTuple):
    """Decoded frames.

    Attributes:
        frames: (T, H, W, C) uint8.
        rate: frames a second, or None if it is unknown.
        numbers: (T,) the number of each frame in the file, from 0.
        count: frames of the file.
    """

    frames: NDArray[np.uint8]
    rate: float | None
    numbers: NDArray[np.int64]
    # typing has no way to say that a field may be called as tuple.count is
    count: int  # type: ignore[assignment]


def read_video(
    source: Path | BinaryIO,
    *,
    name: str | None = None,
    rate: float | None = None,
    size: tuple[int, int] | None = None,
    channels: int = 3,
    limits: VideoLimits | None = None,
) -> Footage:
    """Decode a video.

    Args:
        source: a file; or a stream that can seek, of MP4, MOV, Matroska, WebM, AVI, MPEG or Ogg and one of `CODECS`.
        name: its name in error messages.
        rate: frames a second that are wanted, each the one that is on screen at that moment; None takes all of them.
        size: (H, W) that frames are brought to; None leaves them as they are.
        channels: 1 or 3.
        limits: instead of those above.

    Raises:
        StorageError: there is no such file, or it can't be read.
        DataError: no video, damaged, or cut short.
        LimitError: beyond the limits.
        MissingDependencyError: PyAV is not installed.
    """
    kept, numbers, taken = list[Pixels](), list[int](), 0
    previous: tuple[float, int, Pixels] | None = None
    where = name or (source if isinstance(source, Path) else "video")
    limits = limits or VideoLimits(MOST_PIXELS, MOST_SECONDS)
    with _opened(source, where, limits) as stream:
        own_rate = float(stream.average_rate or stream.guessed_rate or 0) or None
        for number, (seconds, pixels) in enumerate(_decoded(stream, where, channels, limits)):
            if size is not None:
                pixels = resize(pixels, *size)
            if rate is None:
                kept.append(pixels)
                numbers.append(number)
                taken += pixels.nbytes
            # a frame is on screen until the next one comes, so it is taken when that one's time is known
            elif previous is not None:
                while len(kept) / rate < seconds - 1e-6:
                    kept.append(previous[2])
                    numbers.append(previous[1])
                    taken += pixels.nbytes
                    _check_count(len(kept), where, limits)
            previous = (seconds, number, pixels)
            _check_bytes(taken, where)
        if previous is None:
            raise DataError("a video without frames: damaged, or cut short", where)
        _check_whole(previous[0] + (1 / own_rate if own_rate else 0.0), _seconds(stream), where)
    if rate is not None:
        # the last frame is on screen for as long as one of the file's own
        end = previous[0] + (1 / own_rate if own_rate else 1 / rate)
        while len(kept) / rate < end - 1e-6:
            kept.append(previous[2])
            numbers.append(previous[1])
    if len({frame.shape for frame in kept}) > 1:
        raise DataError("frames of different sizes; name one with --frame-size", where)
    return Footage(np.stack(kept), rate or own_rate, np.array(numbers, dtype=np.int64), previous[1] + 1)


def _check_bytes(taken: int, where: Path | str) -> None:
    if taken > MOST_BYTES:
        most = f"more than {MOST_BYTES >> 30} GiB of frames"
        raise LimitError(f"{most}; cut the video, or ask for a smaller --frame-size or --rate", where)


def _check_whole(decoded: float, promised: float | None, where: Path | str) -> None:
    if promised is not None and decoded < 0.9 * promised - 0.2:
        raise DataError(f"damaged or cut short: {decoded:.1f} of {promised:.1f} seconds can be decoded", where)


def video_size(path: Path) -> tuple[int, int]:
    """Return (H, W) of a video's frames, without decoding any.

    Raises:
        StorageError, DataError, MissingDependencyError: as `read_video`.
    """
    with _opened(path, path, VideoLimits(MOST_PIXELS, MOST_SECONDS)) as stream:
        return int(stream.codec_context.height), int(stream.codec_context.width)


def write_video(path: Path, frames: NDArray[np.uint8], rate: float) -> None:
    """Write frames (T, H, W, C) as a lossless video (FFV1 in Matroska).

    Raises:
        MissingDependencyError: PyAV is not installed.
        StorageError: the file can't be written.
    """
    av = _av()
    grey = frames.shape[-1] == 1
    try:
        with av.open(str(path), "w", format="matroska") as container:
            stream = container.add_stream("ffv1", rate=Fraction(rate).limit_denominator(1000))
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "gray" if grey else "bgr0"
            for frame in frames:
                picture = av.VideoFrame.from_ndarray(frame[..., 0] if grey else frame, "gray" if grey else "rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
    except OSError as error:
        raise StorageError(f"{path}: can't be written: {error}") from error


def webm(frames: NDArray[np.uint8], rate: float) -> bytes:
    """Return frames (T, H, W, C) as the bytes of a video that browsers play (VP8 in WebM); small ones are magnified.

    Raises:
        MissingDependencyError: PyAV is not installed.
    """
    av = _av()
    scale = max(1, PLAYABLE // min(frames.shape[1:3]))
    scale += scale % 2 if any(side % 2 for side in frames.shape[1:3]) else 0
    stream = io.BytesIO()
    with av.open(stream, "w", format="webm") as container:
        track = container.add_stream("libvpx", rate=Fraction(rate).limit_denominator(1000))
        track.height, track.width = (side * scale for side in frames.shape[1:3])
        track.pix_fmt = "yuv420p"
        for frame in frames:
            pixels = np.broadcast_to(frame, (*frame.shape[:2], 3)).repeat(scale, 0).repeat(scale, 1)
            container.mux(track.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(track.encode(None))
    return stream.getvalue()


def container_of(head: bytes) -> str | None:
    """Return the format of a video file by its first bytes, as libav calls it; None for one that is not read.

    Playlists and the like, which would have other files opened, are none.
    """
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
        return "mp4"
    if head[:4] == b"RIFF":
        return "avi" if head[8:12] == b"AVI " else None
    for magic, format in (
        (b"\x1aE\xdf\xa3", "matroska"),
        (b"OggS", "ogg"),
        (b"\x00\x00\x01\xba", "mpeg"),
        (b"\x00\x00\x01\xb3", "mpegvideo"),
    ):
        if head.startswith(magic):
            return format
    return "mpegts" if head[:1] == b"G" and head[188:189] in (b"G", b"") else None


@contextmanager
def _opened(source: Path | BinaryIO, where: str | Path, limits: VideoLimits) -> Iterator[Any]:
    """The first video stream of a file; any failure of it is a DataError that names the file."""
    av = _av()
    format = None
    if isinstance(source, Path):
        if not source.is_file():
            raise StorageError(f"{where}: no such file")
        try:
            # through a file of ours: a path might be taken for an address, and playlists would open other files
            content: Any = io.FileIO(source)
        except OSError as error:
            raise StorageError(f"{where}: can't be read: {error.strerror or error}") from error
    else:
        # libav would try all of its formats, and some of these open what the content names
        content, format = source, container_of(source.read(189))
        source.seek(0)
        if format is None:
            raise DataError("not a video that is read (MP4, MOV, Matroska, WebM, AVI, MPEG and Ogg are)", where)
    try:
        with content, av.open(content, "r", format=format, options={"protocol_whitelist": ""}) as container:
            if container.format.name in ("hls", "concat", "dash", "image2"):
                raise DataError("a playlist, not a video", where)
            if not container.streams.video:
                raise DataError("no video in this file, only other streams", where)
            stream = container.streams.video[0]
            codec = stream.codec_context
            if codec is None or (format is not None and codec.name not in CODECS):
                raise DataError(f"its codec, {codec and codec.name}, is not one that is read here", where)
            if codec.height * codec.width > limits.pixels:
                size = f"{codec.width} × {codec.height} pixels"
                raise LimitError(f"{size}, and no more than {limits.pixels:,} are decoded", where)
            # frames within a stream may turn out larger than it said; libav counts what it adds at the edges too
            codec.options = {"max_pixels": str(max(4 * limits.pixels, 1 << 20))}
            # libav counts durations of files in microseconds
            seconds = None if container.duration is None else container.duration / 1_000_000
            if seconds is not None and seconds > limits.seconds:
                raise LimitError(f"{_span(seconds)}, and no more than {_span(limits.seconds)} are read", where)
            yield stream
    except (av.FFmpegError, ValueError, EOFError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"not a video, or a damaged one: {getattr(error, 'strerror', None) or error}", where) from error


def _span(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{round(seconds, 1):g} seconds"


def _check_count(frames: int, where: str | Path, limits: VideoLimits) -> None:
    if limits.frames is not None and frames > limits.frames:
        raise LimitError(f"more than {limits.frames:,} frames; cut the video", where)


def _seconds(stream: Any) -> float | None:
    """The length of the video that the file states, unless it may be another stream's."""
    if stream.duration is not None and stream.time_base:
        return float(stream.duration * stream.time_base)
    container = stream.container
    if container.duration is None or len(container.streams) > 1:
        return None
    return float(container.duration) / 1_000_000


def _decoded(stream: Any, where: str | Path, channels: int, limits: VideoLimits) -> Iterator[tuple[float, Pixels]]:
    """The frames with their times, seconds from the first."""
    rate = stream.average_rate or stream.guessed_rate or 25
    first: float | None = None
    last = -math.inf
    total = 0
    for number, frame in enumerate(stream.container.decode(stream)):
        if frame.is_corrupt:
            raise DataError(f"frame {number} is damaged", where)
        total += frame.width * frame.height
        if frame.width * frame.height > limits.pixels:
            raise LimitError(f"frame {number} has more than {limits.pixels:,} pixels", where)
        if limits.total is not None and total > limits.total:
            raise LimitError(f"more than {limits.total:,} pixels in {number} frames; make it smaller, or cut it", where)
        _check_count(number + 1, where, limits)
        seconds = float(frame.time) if frame.time is not None else number / float(rate)
        first = seconds if first is None else first
        # a file whose clock stands still or jumps back is read at its nominal rate
        seconds = seconds - first if seconds - first > last else last + 1 / float(rate)
        last = seconds
        if seconds > limits.seconds:
            raise LimitError(f"longer than {_span(limits.seconds)}", where)
        array = frame.to_ndarray(format="gray" if channels == 1 else "rgb24")
        pixels = array[..., None] if array.ndim == 2 else array
        turns = round(getattr(frame, "rotation", 0) / 90) % 4
        yield seconds, np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError("av", "video", "reading video") from error
    # our own errors name what is wrong with a file
    av.logging.set_level(av.logging.PANIC)
    return av
