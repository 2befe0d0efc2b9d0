"""Everything that may be wrong with what `label` is given, found beforehand or when it is used; real recordings."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.data import Findings
from unrolled.data.images.files import png
from unrolled.data.steps.read import read_steps
from unrolled.data.steps.recordings import StepOptions
from unrolled.errors import ArgumentError, DataError
from unrolled.tasks import Model, Sources, load, task_named
from unrolled.tasks.core.values import silent
from unrolled.tasks.uses.label import Label
from unrolled.tasks.uses.label.options import StepLabelOptions

from .label_data import SMALL_FRAMES, learn, write_strip, write_table


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three good tables."""
    (tmp_path / "data").mkdir()
    for n in range(3):
        write_table(tmp_path / "data" / f"{n}.csv", n, steps=20)
    return tmp_path / "data"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Over features. Not to be changed."""
    folder = tmp_path_factory.mktemp("data")
    for n in range(3):
        write_table(folder / f"{n}.csv", n, steps=20)
    learn(folder, folder / "m", folder / "0.csv", options={"time_column": "seconds"}, steps=1)
    return load(folder / "m")


def found(data: Path, dev: Path | None = None, **options: Any) -> tuple[dict[str, Any], list[tuple[str, str, str]]]:
    """What `unrolled data check label` finds: kind, file:line, message."""
    findings = Findings(strict=False)
    sources = Sources((data,), () if dev is None else (dev,))
    counts = task_named("label").check(sources, StepLabelOptions(**options), findings, silent)
    places = [(i.kind, f"{Path(i.path or '').name}:{i.line}", i.message) for i in findings.items]
    return counts, places


# What `data check` finds


def test_good_data_are_good(data: Path) -> None:
    counts, places = found(data, time_column="seconds")
    assert places == []
    assert counts == {"train": 3, "dev": 0, "steps": 60, "labels": 2}


def test_the_check_finds_what_ruins_runs(data: Path, tmp_path: Path) -> None:
    dev = tmp_path / "dev.csv"
    text = (data / "0.csv").read_text().replace(",rest\n", ",Rest\n")
    lines = text.splitlines()
    lines[5:7] = []
    dev.write_text("\n".join(lines) + "\n")
    (data / "3.csv").write_text((data / "0.csv").read_text())
    (data / "4.csv").write_text("on,off,seconds,label\n1,,0,rest\n")
    _, places = found(data, dev, time_column="seconds")
    assert [(kind, place) for kind, place, _ in places] == [
        ("missing value", "4.csv:2"),
        ("duplicate", "3.csv:2"),
        ("unseen label", "dev.csv:2"),
    ]
    gap = (data / "2.csv").read_text().replace(f",{10 / 20},", ",9.0,")
    (data / "2.csv").write_text(gap)
    assert ("irregular time", "2.csv:12") in [place[:2] for place in found(data, time_column="seconds")[1]]


def test_the_check_decodes_every_clip(tmp_path: Path) -> None:
    for n in range(4):
        write_strip(tmp_path, f"c{n}", n)
    (tmp_path / "c1.align").write_text("0 8 left\n8 8 left\n7 16 right\n")
    (tmp_path / "c2.png").write_bytes((tmp_path / "c2.png").read_bytes()[:200])
    (tmp_path / "c3.align").write_text("\n".join(["left", "right"] * 7) + "\n")
    counts, places = found(tmp_path, frame_height=12, rate=25.0)
    assert [place[:2] for place in places] == [
        ("zero-length segment", "c1.align:2"),
        ("overlap", "c1.align:3"),
        ("unreadable", "c2.png:None"),
        ("unreadable", "c3.align:None"),
    ]
    assert places[-1][2] == "14 labels, and c3 has 16 frames"
    assert counts["steps"] == 32


# A corrupt recording among good ones


def test_a_corrupt_clip_is_named_or_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "clips").mkdir()
    for n in range(4):
        write_strip(tmp_path / "clips", f"c{n}", n)
    bad = tmp_path / "clips" / "c2.png"
    bad.write_bytes(b"\x89PNG and no more")
    with pytest.raises(DataError, match=r"c2.png: .*image"):
        learn(tmp_path / "clips", tmp_path / "m", tmp_path / "clips" / "c1.png", options=SMALL_FRAMES, steps=1)
    options = {**SMALL_FRAMES, "skip_bad": True}
    model = learn(tmp_path / "clips", tmp_path / "m", tmp_path / "clips" / "c1.png", options=options, steps=1)
    assert model.config.data["train_examples"] == 3
    assert any("c2.png" in message and "left out" in message for message in caplog.messages)
    with pytest.raises(DataError, match=r"c2.png: "):
        model.evaluate(tmp_path / "clips")
    assert model.evaluate(tmp_path / "clips", skip_bad=True).metrics["recordings"] == 3
    with pytest.raises(DataError, match=r"c2.png: "):
        model.predict(str(bad))


# What does not fit together


@pytest.mark.parametrize(
    "options, says",
    [
        ({"label_column": "phase"}, r"0.csv:1: no column 'phase'; the columns are 'on', 'off', 'seconds', 'label'"),
        ({"time_column": "when"}, r"0.csv:1: no column 'when'"),
        ({"features": ("on", "label2")}, r"0.csv:1: no column 'label2'"),
    ],
)
def test_columns_that_are_missing(data: Path, tmp_path: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        learn(data, tmp_path / "m", (), options=options, steps=1)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    "options, names",
    [
        ({"hidden_size": 0}, "--hidden-size"),
        ({"window": 1}, "--window"),
        ({"rate": 0}, "--rate"),
        ({"units_per_second": -1}, "--units-per-second"),
        ({"frame_size": (2, 50)}, "--frame-size"),
        ({"augment": 3}, "--augment"),
        ({"cell": "elman"}, "--cell"),
        ({"colours": True}, "colours"),
    ],
)
def test_options_out_of_range(data: Path, tmp_path: Path, options: dict[str, Any], names: str) -> None:
    with pytest.raises(ArgumentError, match=names):
        learn(data, tmp_path / "m", (), options=options, steps=1)
    assert not (tmp_path / "m").exists()


def test_one_label_is_none(tmp_path: Path) -> None:
    for n in range(2):
        (tmp_path / f"{n}.csv").write_text(f"x,label\n{n},a\n1,a\n")
    with pytest.raises(DataError, match="one label, a: there is nothing to tell apart"):
        learn(tmp_path, tmp_path / "m", (), steps=1)


def test_recordings_of_different_kinds(data: Path, tmp_path: Path) -> None:
    (data / "3.csv").write_text("on,off,more,seconds,label\n1,2,3,0,rest\n")
    with pytest.raises(DataError, match=r"3.csv:2: the columns of features in another order; expected on, off"):
        learn(data, tmp_path / "m", (), options={"time_column": "seconds"}, steps=1)
    (data / "3.csv").unlink()
    write_strip(data, "clip", 0)
    with pytest.raises(DataError, match=r"clip.png: frames, and .*[0-2].csv has features; train on one of them"):
        learn(data, tmp_path / "m", (), options={**SMALL_FRAMES, "time_column": "seconds"}, steps=1)
    strips = tmp_path / "strips"
    strips.mkdir()
    for n in range(2):
        write_strip(strips, f"c{n}", n)
    with pytest.raises(ArgumentError, match="--standardise recording: is for features, and these are frames"):
        learn(strips, tmp_path / "m", (), options={**SMALL_FRAMES, "standardise": "recording"}, steps=1)


def test_what_a_model_is_not_for(model: Model, data: Path, tmp_path: Path) -> None:
    (data / "3.csv").write_text("on,off,seconds,label\n1,0,0,rest\n1,0,0.1,sleep\n")
    with pytest.raises(DataError, match=r"3.csv:3: label 'sleep' is not one of the model's \(rest, work\)"):
        model.evaluate(data)
    assert model.evaluate(data, skip_bad=True).metrics["recordings"] == 3
    (tmp_path / "other.csv").write_text("x,y\n1,2\n")
    with pytest.raises(DataError, match=r"other.csv:1: no column 'on'; the columns are 'x', 'y'"):
        model.predict(str(tmp_path / "other.csv"))
    write_strip(tmp_path, "clip", 0)
    with pytest.raises(DataError, match="no recording here"):
        model.predict(str(tmp_path / "clip.png"))
    with pytest.raises(DataError, match="no recording here"):
        model.evaluate(tmp_path / "clip.png")
    np.save(tmp_path / "wide.npy", np.zeros((4, 3)))
    with pytest.raises(DataError, match=r"wide.npy: 3 features, and 2 are wanted"):
        model.predict(str(tmp_path / "wide.npy"))
    np.save(tmp_path / "nan.npy", np.full((4, 2), np.nan))
    with pytest.raises(DataError, match=r"nan.npy: step 0 has no finite features"):
        model.predict(str(tmp_path / "nan.npy"))
    np.save(tmp_path / "none.npy", np.zeros((0, 2)))
    with pytest.raises(DataError, match=r"none.npy: no step in this recording"):
        model.predict(str(tmp_path / "none.npy"))


def test_more_columns_than_the_model_reads_do_no_harm(model: Model, data: Path) -> None:
    lines = (data / "0.csv").read_text().splitlines()
    more = [f"{'who' if n == 0 else 'me'},{line}" for n, line in enumerate(lines)]
    (data / "more.csv").write_text("\n".join(more) + "\n")
    assert model.predict(str(data / "more.csv")).labels == model.predict(str(data / "0.csv")).labels
    one, other = (model.evaluate(data / name).metrics for name in ("0.csv", "more.csv"))
    assert one == other


# Labels


def test_gaps_between_segments_are_the_background(tmp_path: Path) -> None:
    for n, text in enumerate(("2 5 wave\n", "0 3 wave\n8 9 nod\n")):
        write_strip(tmp_path, f"c{n}", n)
        (tmp_path / f"c{n}.align").write_text(text)
    options = StepLabelOptions(frame_height=12)
    recordings = read_steps([tmp_path], options.reading(), Findings())
    parts = Label().fit(recordings, options, silent)
    assert (parts.output.labels, parts.output.background) == (("background", "nod", "wave"), "background")
    assert parts.input.size == (12, 16)
    targets = Label().encode(recordings[1], parts)["targets"].tolist()
    assert targets == [2, 2, 2, 0, 0, 0, 0, 0, 1, *[0] * 7]


def test_videos_with_segments_in_seconds(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from unrolled.data.video.files import write_video

    frames = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 1)).astype(np.uint8)
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.mkv", frames, 20)
    rows = [("a.mkv", 0, 0.5, "x"), ("a.mkv", 0.5, 1, "y"), ("b.mkv", 0.25, 1, "y")]
    lines = [json.dumps(dict(zip(("video", "start", "end", "label"), row, strict=True))) for row in rows]
    (tmp_path / "all.jsonl").write_text("\n".join(lines) + "\n")
    options = StepLabelOptions(units_per_second=1.0, rate=10.0, colour=False)
    recordings = read_steps([tmp_path], options.reading(), Findings())
    parts = Label().fit(recordings, options, silent)
    source = parts.input
    assert (parts.output.labels, source.size, source.rate) == (("background", "x", "y"), (16, 16), 10.0)
    first, second = (Label().encode(r, parts) for r in recordings)
    assert np.array_equal(first["x"], frames[::2])
    assert first["targets"].tolist() == [1] * 5 + [2] * 5
    assert second["targets"].tolist() == [0] * 2 + [2] * 8
    (tmp_path / "b.mkv").write_bytes((tmp_path / "b.mkv").read_bytes()[:700])
    with pytest.raises(DataError, match=r"b.mkv: "):
        Label().encode(recordings[1], parts)


def test_annotations_kept_apart(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    for part in ("train", "dev"):
        (tmp_path / part).mkdir()
        for n in range(2):
            write_strip(tmp_path / part, f"{part}{n}", n)
            (tmp_path / part / f"{part}{n}.align").rename(tmp_path / "notes" / f"{part}{n}.align")
    notes = str(tmp_path / "notes")
    options = {**SMALL_FRAMES, "annotations": notes}
    model = learn(tmp_path / "train", tmp_path / "m", tmp_path / "dev", options=options, steps=1, sample_every=0)
    expected = model.evaluate(tmp_path / "dev").metrics
    (tmp_path / "notes").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"dev0.png: no annotation of it"):
        model.evaluate(tmp_path / "dev")
    assert model.evaluate(tmp_path / "dev", annotations=str(tmp_path / "elsewhere")).metrics == expected
    for n in range(2):
        (tmp_path / "elsewhere" / f"dev{n}.align").rename(tmp_path / "dev" / f"dev{n}.align")
    assert model.evaluate(tmp_path / "dev").metrics == expected


def test_steps_without_a_label_are_not_counted(model: Model, data: Path) -> None:
    lines = (data / "0.csv").read_text().splitlines()
    kept = [line if n % 2 else line.rpartition(",")[0] + "," for n, line in enumerate(lines[1:])]
    (data / "half.csv").write_text("\n".join([lines[0], *kept]) + "\n")
    predicted = model.predict(str(data / "0.csv")).labels
    gold = [line.rpartition(",")[2] for line in lines[1:]]
    expected = np.mean([p == g for p, g in list(zip(predicted, gold, strict=True))[1::2]])
    assert model.evaluate(data / "half.csv").metrics["accuracy"] == pytest.approx(expected)


# Real recordings


def test_grid_frames_have_words(real_data: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(real_data / "grid_s1" / "mouth_strips.zip") as strips:
        (tmp_path / "bbaf3s.jpg").write_bytes(strips.read("bbaf3s.jpg"))
    reading = StepOptions(
        annotations=str(real_data / "grid_s1" / "align.zip"), units_per_second=25000.0, rate=25.0, frame_height=56
    )
    [recording] = read_steps([tmp_path], reading, Findings())
    parts = Label().fit([recording], StepLabelOptions(), silent)
    assert (parts.input.size, parts.input.channels, parts.output.background) == ((28, 56), 1, "sil")
    arrays = Label().encode(recording, parts)
    assert arrays["x"].shape == (75, 28, 56, 1)
    words = [parts.output.labels[n] for n in arrays["targets"]]
    runs = [w for n, w in enumerate(words) if n == 0 or words[n - 1] != w]
    assert runs == ["sil", "bin", "blue", "at", "f", "three", "soon", "sil"]
    # bin begins at 17750/25000 s: the middle of frame 17, 17.5, lies before it, and that of frame 18 after it
    assert words.index("bin") == 18


def test_gestures_are_read_with_their_clock(real_data: Path, tmp_path: Path) -> None:
    with gzip.open(real_data / "gesture_phase" / "b1_raw.csv.gz") as file:
        (tmp_path / "b1.csv").write_bytes(file.read())
    findings = Findings(strict=False)
    reading = StepOptions(label_column="phase", time_column="timestamp", units_per_second=1000.0)
    [recording] = read_steps([tmp_path], reading, findings)
    assert recording.features is not None
    assert recording.features.shape == (1073, 18)
    assert recording.rate == pytest.approx(30, abs=1)
    assert {"Preparação", "Rest", "Stroke"} <= set(recording.labels)
    assert {item.kind for item in findings.items} <= {"irregular time"}


def test_a_frame_is_as_large_as_asked(tmp_path: Path) -> None:
    frames = np.zeros((2, 120, 160, 3), np.uint8)
    (tmp_path / "a.png").write_bytes(png(frames.reshape(-1, 160, 3)))
    (tmp_path / "a.txt").write_text("x\ny\n")
    recordings = read_steps([tmp_path], StepOptions(frame_height=120), Findings())
    assert Label().fit(recordings, StepLabelOptions(), silent).input.size == (36, 48)
    chosen = Label().fit(recordings, StepLabelOptions(frame_size=(20, 30), colour=False), silent)
    assert (chosen.input.size, chosen.input.channels) == ((20, 30), 1)
    assert Label().encode(recordings[0], chosen)["x"].shape == (2, 20, 30, 1)
