"""What strangers may send to a wire: files that lie, are cut short, or would have other files opened."""

from __future__ import annotations

import gzip
import json
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unrolled.errors import ArgumentError, DataError, UnrolledError
from unrolled.tasks import Model
from unrolled.tasks.core.api import Bounds, TooLarge, api_of

from . import forecast_data
from .wire_models import BOUNDS, answered, image, sound, video

Wired = Callable[[str], Model]


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def claimed_png(width: int, height: int, *more: bytes) -> bytes:
    """A PNG of a few bytes that says that it is large."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"".join([b"\x89PNG\r\n\x1a\n", header, *more, pixels, chunk(b"IEND", b"")])


def claimed_wav(seconds: float, rate: int = 8000, riff: int | None = None) -> bytes:
    """A WAV of 100 samples that says that it lasts long."""
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    body = head + b"data" + struct.pack("<I", min(0xFFFFFFFF, round(2 * rate * seconds))) + b"\0" * 200
    return b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body


def claimed_flac(samples: int, rate: int = 8000, channels: int = 1) -> bytes:
    """The header of a FLAC file, and no sound."""
    packed = rate << 44 | (channels - 1) << 41 | 15 << 36 | samples
    info = struct.pack(">HH", 4096, 4096) + b"\0" * 6 + packed.to_bytes(8, "big") + b"\0" * 16
    return b"fLaC" + b"\x80" + len(info).to_bytes(3, "big") + info


def read(model: Model, data: bytes, bounds: Bounds = BOUNDS) -> Any:
    return api_of(model.task).raw(model, data, "", bounds)


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (claimed_png(60_000, 60_000), TooLarge, "image: more than .* pixels, which are not decoded"),
        (claimed_png(8_000, 8_000), TooLarge, "image: 8000 × 8000 pixels, and at most 25,000,000 are decoded"),
        (claimed_png(500, 500), DataError, "image: a damaged image"),
        (claimed_png(4, 4, chunk(b"zTXt", b"x\0\0" + zlib.compress(b"a" * (80 << 20)))), DataError, "image: "),
        (b"", DataError, "image: not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", DataError, "image: not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", DataError, "image: not an image"),
        (b"P6\n2 2\n255\n" + b"\0" * 12, ArgumentError, "image: PPM is not read here; send one of PNG, JPEG"),
        (b"II*\0\x08\0\0\0" + b"\0" * 20, UnrolledError, "image: "),
    ],
)
def test_images_that_lie(wired: Wired, data: bytes, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=f"^{says}"):
        read(wired("recognize"), data)


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (claimed_flac(8000 * 3600 * 5), TooLarge, "sound: 18,000.0 s, and at most 300 s are heard in one"),
        (claimed_flac(96_000 * 299, 96_000, 8), TooLarge, "sound: 28,704,000 samples of 8 channels; mix it down"),
        (claimed_flac(8_000), DataError, "sound: "),
        (claimed_flac(8_000, 8_001), ArgumentError, "rate: 8001 Hz; sound is taken at 8000, 11025"),
        (claimed_wav(3600, riff=0x7FFFFFFF), DataError, "sound: cut short: 244 of 2147483655 bytes are there"),
        (b"RIFF\0\0\0\0WAVE" + b"x" * 40, DataError, "sound: not a sound file, or a damaged one"),
        (b"OggS" + b"\0" * 40, DataError, "sound: "),
        (b"", ArgumentError, "sound: not a WAV, FLAC or OGG file"),
        (b"ID3\x04\0\0\0\0\0\0", ArgumentError, "sound: not a WAV, FLAC or OGG file"),
    ],
)
def test_sound_that_lies(wired: Wired, data: bytes, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=f"^{says}"):
        read(wired("transcribe"), data)


def test_a_wav_is_as_long_as_its_bytes(wired: Wired) -> None:
    for data in (claimed_wav(5 * 3600), claimed_wav(5 * 3600, riff=0), claimed_wav(1e9, riff=0xFFFFFFFF)):
        assert len(read(wired("transcribe"), data).samples) == 100


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9.0,\nfile://{path}\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXTINF:9.0,\n{path}\n",
        "ffconcat version 1.0\nfile '{path}'\n",
        "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><BaseURL>file://{path}</BaseURL></MPD>",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
        "{path}",
        "file:{path}",
        "concat:{path}|{path}",
    ],
)
def test_playlists_open_no_file(wired: Wired, tmp_path: Path, text: str) -> None:
    path = tmp_path / "secret.mkv"
    path.write_bytes(video())
    with pytest.raises(DataError, match=r"^clip: not a video that is read \(MP4, MOV, Matroska, WebM, AVI, MPEG"):
        read(wired("label-frames"), text.format(path=path).encode())


def test_codecs_that_nobody_films_with(wired: Wired) -> None:
    with pytest.raises(DataError, match="clip: its codec, ffvhuff, is not one that is read here"):
        read(wired("label-frames"), video(format="avi", codec="ffvhuff"))


def test_a_frame_that_is_larger_than_its_file_says(wired: Wired) -> None:
    large = video(width=640, height=480, format="mpegts", codec="mpeg2video")
    with pytest.raises(TooLarge, match=r"clip: (640 × 480 pixels|frame 0 has more than)"):
        read(wired("label-frames"), large, Bounds(pixels=100_000))


TAKES: dict[str, bytes] = {
    "recognize": image(1, 31),
    "transcribe": sound(["do", "re"]),
    "label-frames": video(7, "mp4", "mpeg4"),
}


@pytest.mark.parametrize("kind", TAKES)
def test_files_that_are_cut_short_are_named(wired: Wired, kind: str) -> None:
    """By what the request calls them, whatever the length; never by a path, and in one line."""
    name, data = {"recognize": "image", "transcribe": "sound", "label-frames": "clip"}[kind], TAKES[kind]
    # what a clip lacks at its very end is not always missed
    for end in range(0, 3 * len(data) // 4, max(1, len(data) // 60)):
        with pytest.raises((DataError, ArgumentError), match=f"^{name}: ") as caught:
            read(wired(kind), data[:end])
        assert "\n" not in str(caught.value)
        assert "/" not in str(caught.value)


@pytest.mark.parametrize("kind", [*TAKES, "forecast"])
def test_damage_is_an_error_of_ours_or_none(wired: Wired, kind: str) -> None:
    draw, model = random.Random(7), wired(kind)
    whole = TAKES.get(kind, forecast_data.wide(20).encode())
    errors = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 5)):
            data[draw.randrange(draw.choice((60, len(data))))] = draw.randrange(256)
        try:
            answered(api_of(model.task), model, [read(model, bytes(data), Bounds(frames=50))])
        except UnrolledError:
            errors += 1
    assert errors > 20


def test_a_packed_table_is_not_unpacked(wired: Wired) -> None:
    model = wired("forecast")
    packed = gzip.compress(forecast_data.wide(40).encode())
    with pytest.raises(ArgumentError, match="is not UTF-8"):
        read(model, packed)
    wire = api_of(model.task)
    for text in (packed.decode("latin-1"), "\0" * 30, "PAR1" + "x" * 30, '{"a": 1}\n{"a": 2}', "a,a\n1,2\n"):
        given = wire.Input.model_validate({"table": text})
        with pytest.raises(DataError, match=r"^table\.csv"):
            answered(wire, model, [wire.read(model, given, BOUNDS)])


def test_a_path_is_a_text_or_a_table_of_one_cell(wired: Wired, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(forecast_data.wide(40))
    model = wired("forecast")
    wire = api_of(model.task)
    with pytest.raises(DataError, match=r"^table\.csv"):
        answered(wire, model, [wire.read(model, wire.Input.model_validate({"table": str(tmp_path / "t.csv")}), BOUNDS)])
    (tmp_path / "i.png").write_bytes(image(1))
    with pytest.raises(DataError, match=r"^image: not an image"):
        read(wired("recognize"), str(tmp_path / "i.png").encode())


@pytest.mark.parametrize("size", [1e29, -1e29])
def test_numbers_near_the_end_of_their_range(wired: Wired, size: float) -> None:
    """They are answered with numbers, or refused: NaN is no JSON."""
    for kind, given in (
        ("label", {"features": [[size, -size], [0.0, size]]}),
        ("caption-features", {"features": [[size, -size, size]] * 4}),
        ("forecast", {"values": [size, -size] * 10}),
        ("forecast-sampled", {"values": [size, -size] * 20}),
    ):
        model = wired(kind)
        wire = api_of(model.task)
        read_of = wire.read(model, wire.Input.model_validate(given), BOUNDS)
        try:
            found = answered(wire, model, [read_of])
        except ArgumentError as error:
            found = [{"refused": str(error)}]
        json.dumps(found, allow_nan=False)
