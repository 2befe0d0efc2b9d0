"""Video files: every frame back as it was written, at other rates and sizes, and everything that may be wrong."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from unrolled.data.images.files import resize
from unrolled.data.video import files as video
from unrolled.data.video.files import VideoLimits, container_of, read_video, video_size, write_video
from unrolled.errors import DataError, LimitError, MissingDependencyError, StorageError

av = pytest.importorskip("av")


def noise(frames: int = 12, height: int = 24, width: int = 32, channels: int = 1) -> np.ndarray:
    shape = (frames, height, width, channels)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "grey.mkv"
    write_video(path, noise(), 25)
    return path


@pytest.mark.parametrize("channels", [1, 3])
def test_every_frame_as_it_was(tmp_path: Path, channels: int) -> None:
    frames = noise(channels=channels)
    write_video(tmp_path / "v.mkv", frames, 25)
    found = read_video(tmp_path / "v.mkv", channels=channels)
    assert np.array_equal(found.frames, frames)
    assert (found.rate, found.count) == (25.0, 12)
    assert found.numbers.tolist() == list(range(12))
    assert video_size(tmp_path / "v.mkv") == (24, 32)


def test_grey_in_colour(grey: Path) -> None:
    found = read_video(grey, channels=3)
    assert found.frames.shape == (12, 24, 32, 3)
    assert np.array_equal(found.frames[..., 0], found.frames[..., 2])


@pytest.mark.parametrize(
    "rate, numbers",
    [
        (12.5, [0, 2, 4, 6, 8, 10]),
        (10.0, [0, 2, 5, 7, 10]),
        (25.0, list(range(12))),
        (50.0, [n for n in range(12) for _ in range(2)]),
    ],
)
def test_another_rate_takes_what_is_on_screen(grey: Path, rate: float, numbers: list[int]) -> None:
    found = read_video(grey, rate=rate, channels=1)
    assert found.numbers.tolist() == numbers
    assert np.array_equal(found.frames, noise()[numbers])
    assert (found.rate, found.count) == (rate, 12)


def test_another_size(grey: Path) -> None:
    found = read_video(grey, size=(12, 16), channels=1)
    assert np.array_equal(found.frames[3], resize(noise()[3], 12, 16))


def test_a_compressed_film(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
        for n in range(10):
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 20 * n, np.uint8), "rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    found = read_video(tmp_path / "v.mp4", channels=1)
    assert found.frames.shape == (10, 32, 32, 1)
    assert found.rate == 30.0
    assert np.abs(found.frames.mean((1, 2, 3)) - 20 * np.arange(10)).max() < 4


@pytest.mark.parametrize(
    "damage, says",
    [
        (lambda b: b"", "not a video, or a damaged one"),
        (lambda b: b"hello " * 200, "not a video, or a damaged one"),
        (lambda b: b[:300], "not a video, or a damaged one|without frames"),
        (lambda b: b[: len(b) // 2], r"cut short: 0\.\d of 0\.5 seconds can be decoded"),
        (lambda b: b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "not a video, or a damaged one"),
        (lambda b: b"ffconcat version 1.0\nfile /etc/passwd\n", "not a video, or a damaged one"),
    ],
)
def test_what_is_no_whole_video_is_named(tmp_path: Path, grey: Path, damage, says: str) -> None:
    path = tmp_path / "bad.mkv"
    path.write_bytes(damage(grey.read_bytes()))
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: .*({says})") as caught:
        read_video(path)
    assert "\n" not in str(caught.value)


def test_limits(grey: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "MOST_PIXELS", 700)
    with pytest.raises(DataError, match="32 × 24 pixels, and no more than 700 are decoded"):
        read_video(grey)
    monkeypatch.undo()
    monkeypatch.setattr(video, "MOST_SECONDS", 0.3)
    with pytest.raises(DataError, match=r"0\.5 seconds, and no more than 0\.3 seconds are read"):
        read_video(grey)
    monkeypatch.undo()
    monkeypatch.setattr(video, "MOST_BYTES", 5000)
    with pytest.raises(DataError, match="GiB of frames; cut the video, or ask for a smaller --frame-size"):
        read_video(grey, channels=1)


def test_out_of_a_stream_of_bytes(grey: Path) -> None:
    data = grey.read_bytes()
    found = read_video(io.BytesIO(data), name="clip", channels=1)
    assert np.array_equal(found.frames, noise())
    for limits, says in (
        (VideoLimits(700, 9), "clip: 32 × 24 pixels, and no more than 700 are decoded"),
        (VideoLimits(800, 0.3), "clip: 0.5 seconds, and no more than 0.3 seconds are read"),
        (VideoLimits(800, 9, frames=5), "clip: more than 5 frames; cut the video"),
        (VideoLimits(800, 9, total=1600), "clip: more than 1,600 pixels in 2 frames; make it smaller, or cut it"),
    ):
        with pytest.raises(LimitError, match=f"^{re.escape(says)}$"):
            read_video(io.BytesIO(data), name="clip", limits=limits)
    # frames that are shown again, to make more of them
    with pytest.raises(LimitError, match="more than 20 frames"):
        read_video(io.BytesIO(data), rate=100, limits=VideoLimits(800, 9, frames=20))


@pytest.mark.parametrize(
    ("head", "format"),
    [
        (b"\0\0\0\x20ftypisom", "mp4"),
        (b"\x1aE\xdf\xa3\x01", "matroska"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
        (b"OggS\0", "ogg"),
        (b"\x00\x00\x01\xba", "mpeg"),
        (b"\x00\x00\x01\xb3", "mpegvideo"),
        (b"G" + b"\0" * 187 + b"G", "mpegts"),
        (b"GIF89a" + b"\0" * 200, None),
        (b"#EXTM3U\n", None),
        (b"", None),
    ],
)
def test_formats_are_told_by_the_first_bytes(head: bytes, format: str | None) -> None:
    assert container_of(head) == format


def test_sound_alone(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "s.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(DataError, match="no video in this file, only other streams"):
        read_video(tmp_path / "s.mkv")


def test_there_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file"):
        read_video(tmp_path / "none.mkv")


def test_without_pyav(grey: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependencyError, match=r"reading video needs av, .* 'unrolled\[video\]'"):
        read_video(grey)
