"""Annotations: segments and labels in every spelling, what frame gets which, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unrolled.data import Findings
from unrolled.data.core.files import Source
from unrolled.data.video.annotations import Annotation, Annotations, Timed, inside, read_annotation
from unrolled.errors import DataError, StorageError

ALIGN = "0 2000 sil\n2000 3250 bin\n3250 5000 blue\n"


def read(path: Path, text: str, **how: float) -> tuple[Annotation | None, Findings]:
    path.write_text(text, encoding="utf-8")
    findings = Findings(strict=False)
    return read_annotation(Source(path), findings, **how), findings


def spread(annotation: Annotation, count: int, rate: float | None = None) -> list[str | None]:
    return annotation.spread(np.arange(count), count, rate, "clip")


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.align", ALIGN),
        ("a.txt", "\n" + ALIGN.replace(" ", "\t") + "\n\n"),
        ("a.csv", "label,begin,end\nsil,0,2000\nbin,2000,3250\nblue,3250,5000\n"),
        ("a.tsv", "Start\tStop\tLabel\n3250\t5000\tblue\n0\t2000\tsil\n2000\t3250\tbin\n"),
        (
            "a.jsonl",
            '{"begin": 0, "end": 2000, "label": "sil"}\n{"begin": 2000, "end": 3250, "label": "bin"}\n'
            '{"begin": 3250, "end": 5000, "label": "blue"}\n',
        ),
    ],
)
def test_segments_however_they_are_written(tmp_path: Path, name: str, text: str) -> None:
    found, findings = read(tmp_path / name, text, units_per_second=25000.0)
    assert not findings.items
    assert found is not None
    assert [s[:3] for s in found.segments] == [(0, 2000, "sil"), (2000, 3250, "bin"), (3250, 5000, "blue")]
    # at 25 a second a frame is 1000 units long; frame 3 has its middle at 3500, in blue
    assert spread(found, 5, 25.0) == ["sil", "sil", "bin", "blue", "blue"]
    assert found.labels == ("sil", "bin", "blue")


def test_frames_belong_to_the_segment_of_their_middle(tmp_path: Path) -> None:
    frames, _ = read(tmp_path / "a.txt", "1 3 wave\n")
    assert frames is not None
    assert spread(frames, 5) == [None, "wave", "wave", None, None]
    # of a video of which every second frame was taken
    assert frames.spread(np.array([0, 2, 4]), 6, 12.5, "clip") == [None, "wave", None]
    seconds, _ = read(tmp_path / "b.txt", "0.05 0.12 nod\n0.121 0.122 short\n", units_per_second=1.0)
    assert seconds is not None
    assert spread(seconds, 5, 25.0) == [None, "nod", "nod", None, None]


def test_a_label_a_line(tmp_path: Path) -> None:
    found, _ = read(tmp_path / "a.txt", "take cup\ntake cup\npour\n\n")
    assert found is not None
    assert spread(found, 3) == ["take cup", "take cup", "pour"]
    assert found.line_of("pour") == 3
    # of the file's frames, of which fewer were taken
    assert found.spread(np.array([0, 2]), 3, 1.0, "clip") == ["take cup", "pour"]
    # or of those that were taken
    assert found.spread(np.array([0, 4, 8]), 12, 1.0, "clip") == ["take cup", "take cup", "pour"]
    with pytest.raises(DataError, match=r"a.txt: 3 labels, and clip has 4 frames"):
        spread(found, 4)
    table, _ = read(tmp_path / "b.csv", "label\nx\ny\n")
    assert table is not None
    assert spread(table, 2) == ["x", "y"]


@pytest.mark.parametrize(
    "name, text, line, says",
    [
        ("a.align", "0 5 a\n5 b\n", 2, "expected `begin end label`, found '5 b'"),
        ("a.align", "0 5 a\n7 6 b\n", 2, "a segment from 7 to 6"),
        ("a.align", "-3 5 a\n", 1, "a segment from -3 to 5"),
        ("a.align", "", None, "without labels"),
        ("a.txt", "a\n\nb\n", 2, "a line without a label"),
        ("a.csv", "begin,end\n1,2\n", 1, "no column 'label'"),
        ("a.csv", "begin,label\n1,a\n", 1, "segments need columns begin and end"),
        ("a.csv", "begin,end,label\n1,2,a\nx,3,b\n", 3, "column 'begin': expected a number, found 'x'"),
        ("a.csv", "begin,end,label\n1,2,\n", 2, "no 'label' in this row"),
    ],
)
def test_wrong_annotations_are_named(tmp_path: Path, name: str, text: str, line: int | None, says: str) -> None:
    found, findings = read(tmp_path / name, text)
    assert found is None
    [item] = findings.items
    assert item.severity == "error"
    assert says in item.message
    assert (item.path, item.line) == (str(tmp_path / name), line)


def test_odd_segments_are_found(tmp_path: Path) -> None:
    found, findings = read(tmp_path / "a.align", "0 4 a\n3 5 b\n5 5 c\n")
    assert found is not None
    assert spread(found, 6) == ["a", "a", "a", "b", "b", None]
    overlap, empty = sorted(findings.items, key=lambda item: item.kind)
    assert (overlap.kind, overlap.line) == ("overlap", 2)
    assert "'b' begins at 3, before 'a' ends at 4; the later one holds" in overlap.message
    assert (empty.kind, empty.line, empty.severity) == ("zero-length segment", 3, "warning")


def test_times_that_can_not_be_placed(tmp_path: Path) -> None:
    found, _ = read(tmp_path / "a.align", ALIGN)
    assert found is not None
    with pytest.raises(DataError, match=r"a.align:2: begins at 2000, and clip ends at 75 \(frames\); is --units-per"):
        spread(found, 75, 25.0)
    seconds = Annotation("a", (Timed(0, 1, "x"),), units_per_second=1.0)
    with pytest.raises(DataError, match=r"clip does not say how many frames make one: give its --rate"):
        spread(seconds, 5)


def test_where_annotations_lie(tmp_path: Path) -> None:
    (tmp_path / "a.mkv").touch()
    (tmp_path / "a.align").write_text("0 5 x\n")
    findings = Findings(strict=False)
    beside = Annotations(None)
    found = beside.find(tmp_path / "a.mkv", "a", findings)
    assert found is not None
    assert found.labels == ("x",)
    assert beside.find(tmp_path / "b.mkv", "b", findings) is None
    assert not findings.items
    (tmp_path / "a.txt").write_text("0 5 y\n")
    assert beside.find(tmp_path / "a.mkv", "a", findings) is None
    assert findings.items[0].kind == "two annotations"
    (tmp_path / "apart").mkdir()
    (tmp_path / "apart" / "B.lab").write_text("0 5 z\n")
    apart = Annotations(tmp_path / "apart").find(tmp_path / "b.mkv", "b", findings)
    assert apart is not None
    assert apart.labels == ("z",)


def test_paths_stay_inside(tmp_path: Path) -> None:
    (tmp_path / "clip.mkv").touch()
    assert inside(tmp_path, "clip.mkv", "t.csv", 2) == tmp_path / "clip.mkv"
    for named in ("../clip.mkv", str(tmp_path / "clip.mkv"), "a/../../b"):
        with pytest.raises(DataError, match=r"t.csv:2: .* leads out of the folder of this file"):
            inside(tmp_path, named, "t.csv", 2)
    with pytest.raises(StorageError, match=r"none.mkv: no such file"):
        inside(tmp_path, "none.mkv", "t.csv", 2)
