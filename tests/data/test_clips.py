"""Clips: strips, folders and videos found and decoded."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from unrolled.data.images.files import png, resize
from unrolled.data.video.clips import find_clips
from unrolled.data.video.files import write_video
from unrolled.errors import DataError, StorageError


def frames(count: int = 5, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 6, 8, channels)).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_strip_is_its_frames(tmp_path: Path, channels: int) -> None:
    given = frames(channels=channels)
    (tmp_path / "clip.png").write_bytes(png(given.reshape(-1, 8, channels)))
    [clip] = find_clips(tmp_path, rate=25.0, frame_height=6)
    assert (clip.kind, clip.stem, clip.name) == ("strip", "clip", str(tmp_path / "clip.png"))
    found = clip.footage()
    assert np.array_equal(found.frames, given)
    assert (found.rate, found.count, found.numbers.tolist()) == (25.0, 5, [0, 1, 2, 3, 4])
    small = clip.footage((3, 4), 1)
    assert small.frames.shape == (5, 3, 4, 1)
    if channels == 1:
        assert np.array_equal(small.frames[2], resize(given[2], 3, 4))


def test_strips_in_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "strips.zip", "w") as archive:
        for name in ("b", "a"):
            archive.writestr(f"deep/{name}.png", png(frames().reshape(-1, 8, 1)))
    clips = find_clips(tmp_path / "strips.zip", frame_height=6)
    assert [clip.stem for clip in clips] == ["a", "b"]
    assert np.array_equal(clips[1].footage().frames, frames())
    assert clips[0].digest == clips[1].digest


def test_a_strip_of_no_whole_number_of_frames(tmp_path: Path) -> None:
    (tmp_path / "clip.png").write_bytes(png(frames().reshape(-1, 8, 1)))
    [clip] = find_clips(tmp_path, frame_height=7)
    with pytest.raises(DataError, match=r"clip.png: 30 rows are no whole number of frames of 7 rows; check --frame-h"):
        clip.footage()


def test_a_folder_of_images_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    given = frames(12)
    folder = tmp_path / "clips" / "wave"
    folder.mkdir(parents=True)
    for n, frame in enumerate(given):
        (folder / f"frame{n}.png").write_bytes(png(frame))
    (folder / ".hidden.png").write_bytes(b"")
    [clip] = find_clips(tmp_path / "clips", rate=10.0)
    assert (clip.kind, clip.stem) == ("folder", "wave")
    assert np.array_equal(clip.footage().frames, given)
    (folder / "frame3.png").write_bytes(png(frames()[0][:4]))
    with pytest.raises(DataError, match=r"frame3.png: 8 × 4 pixels, after frames of another size"):
        find_clips(folder)[0].footage()
    assert find_clips(folder)[0].footage((6, 8)).frames.shape == (12, 6, 8, 1)
    (folder / "frame5.png").write_bytes(b"\x89PNG no more")
    with pytest.raises(DataError, match=r"frame5.png: "):
        find_clips(folder)[0].footage((6, 8))


def test_videos_and_what_else_lies_there(tmp_path: Path) -> None:
    pytest.importorskip("av")
    (tmp_path / "in").mkdir()
    write_video(tmp_path / "in" / "b.mkv", frames(), 25)
    write_video(tmp_path / "a.MKV", frames(4), 25)
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "cover.png").write_bytes(png(frames()[0]))
    clips = find_clips(tmp_path, rate=12.5)
    assert [(c.kind, c.stem) for c in clips] == [("video", "a"), ("video", "b")]
    assert np.array_equal(clips[1].footage(channels=1).frames, frames()[[0, 2, 4]])
    assert clips[0].digest != clips[1].digest
    assert find_clips(tmp_path / "notes.txt") == []


def test_no_such_path(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file or folder"):
        find_clips(tmp_path / "none")
