"""Recordings out of tables, arrays and clips with annotations, and what is wrong with them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from unrolled.data import ExampleStore, Findings
from unrolled.data.core.pieces import Pieces, drawn_window
from unrolled.data.images.files import png
from unrolled.data.steps.read import read_steps
from unrolled.data.steps.recordings import Recording, StepOptions
from unrolled.errors import ArgumentError, DataError, StorageError

TABLE = "x,y,time,label\n1,-2,0.0,rest\n2,0.5,0.1,move\n3,1e-3,0.2,\n"


def read(path: Path, **how: object) -> tuple[list[Recording], Findings]:
    findings = Findings(strict=False)
    labelled = bool(how.pop("labelled", True))
    options = StepOptions(**how)  # type: ignore[arg-type]
    return read_steps([path], options, findings, labelled=labelled), findings


def test_a_table_is_a_recording(tmp_path: Path) -> None:
    (tmp_path / "walk.csv").write_text(TABLE)
    [found], findings = read(tmp_path / "walk.csv", time_column="time")
    assert not findings.items
    assert (found.name, found.line, found.columns) == ("walk", 2, ("x", "y"))
    assert found.features is not None
    assert found.features.tolist() == np.array([[1, -2], [2, 0.5], [3, 1e-3]], np.float32).tolist()
    assert found.steps == ("rest", "move", None)
    assert found.labels == ("rest", "move")
    assert found.rate == pytest.approx(10.0)
    assert found.times is not None
    assert found.times.tolist() == [0.0, 0.1, 0.2]
    assert found.place_of("move") == (str(tmp_path / "walk.csv"), 3)


def test_a_column_says_where_a_recording_ends(tmp_path: Path) -> None:
    text = "who\tx\tact\na\t1\tl\nb\t2\tm\na\t3\tl\n"
    with gzip.open(tmp_path / "all.tsv.gz", "wt") as file:
        file.write(text)
    found, findings = read(tmp_path, label_column="act", sequence_column="who")
    assert not findings.items
    assert [r.name for r in found] == ["a", "b"]
    assert [r.features.ravel().tolist() for r in found if r.features is not None] == [[1.0, 3.0], [2.0]]
    assert [r.steps for r in found] == [("l", "l"), ("m",)]


def test_chosen_columns_in_a_chosen_order(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,x,y,label\nq1,1,2,a\nq2,3,4,b\n")
    [found], _ = read(tmp_path / "a.csv", features=("y", "x"))
    assert found.features is not None
    assert found.features.tolist() == [[2.0, 1.0], [4.0, 3.0]]


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"x": [1.0, 2.0], "label": ["a", "b"]}), tmp_path / "a.parquet")
    [found], _ = read(tmp_path)
    assert found.steps == ("a", "b")


def test_an_array_with_labels_beside_it(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(6.0).reshape(3, 2))
    (tmp_path / "a.txt").write_text("x\nx\ny\n")
    [found], _ = read(tmp_path)
    assert found.features is not None
    assert found.features.shape == (3, 2)
    assert found.annotation is not None
    assert found.annotation.steps == ("x", "x", "y")
    assert found.place_of("y") == (str(tmp_path / "a.txt"), 3)
    np.save(tmp_path / "a.npy", np.array([{"an": "object"}]), allow_pickle=True)
    found_none, findings = read(tmp_path)
    assert found_none == []
    assert findings.items[0].message.startswith("not an array of NumPy, or a damaged one")


def strips(folder: Path, names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for n, name in enumerate(names):
        frames = np.random.default_rng(n).integers(0, 256, (3, 4, 4, 1)).astype(np.uint8)
        (folder / f"{name}.png").write_bytes(png(frames.reshape(-1, 4, 1)))


def test_clips_with_their_annotations(tmp_path: Path) -> None:
    strips(tmp_path / "clips", "ab")
    (tmp_path / "clips" / "a.align").write_text("0 2 x\n2 3 y\n")
    found, findings = read(tmp_path / "clips", frame_height=4)
    assert [r.name for r in found] == ["a"]
    [item] = findings.items
    assert item.message.startswith("no annotation of it: put b.txt beside it, or name the folder with --annotations")
    assert item.path == str(tmp_path / "clips" / "b.png")
    both, _ = read(tmp_path / "clips", frame_height=4, labelled=False)
    assert [r.is_labelled for r in both] == [False, False]
    assert found[0].is_labelled
    (tmp_path / "clips" / "notes").mkdir()
    for name in "ab":
        (tmp_path / "clips" / "notes" / f"{name}.csv").write_text("begin,end,label\n0,3,z\n")
    apart, findings = read(tmp_path / "clips", frame_height=4, annotations=str(tmp_path / "clips" / "notes"))
    assert not findings.items
    assert [r.labels for r in apart] == [("z",), ("z",)]


def test_one_table_that_annotates_many_clips(tmp_path: Path) -> None:
    strips(tmp_path / "clips", "ab")
    lines = ["clip,begin,end,label", "clips/a.png,0,1,x", "clips/b.png,0,3,y", "clips/a.png,1,3,y", "clips/c.png,0,1,x"]
    (tmp_path / "all.csv").write_text("\n".join(lines) + "\n")
    for path in (tmp_path / "all.csv", tmp_path):
        found, findings = read(path, frame_height=4)
        assert [(r.name, r.labels) for r in found] == [("a", ("x", "y")), ("b", ("y",))]
        [item] = findings.items
        assert (item.kind, item.line) == ("missing clip", 5)
    (tmp_path / "all.csv").write_text("clip,begin,end,label\n../x.png,0,1,x\n")
    with pytest.raises(DataError, match=r"all.csv:2: '../x.png' leads out of the folder"):
        read_steps([tmp_path / "all.csv"], StepOptions(frame_height=4), Findings())


@pytest.mark.parametrize(
    "text, line, says",
    [
        ("x,label\n1,a\n2\n3,b\n", 3, "cell"),
        ("x,label\n1,a\n,b\n", 3, "column 'x': '' is no number that can be read"),
        ("x,label\n1,a\ninf,b\n", 3, "column 'x': 'inf' is no number that can be read"),
        ("x,label\n1,a\ntwo,b\n", 3, "column 'x': expected a number, found 'two'"),
        ("x,who,label\n1,me,a\n", 2, "column 'who': expected a number, found 'me'; name the columns of features with"),
        ("x,y\n1,2\n", 1, "no column 'label'"),
        ("label\na\n", 1, "no column of features"),
        ("x,label\n", 1, "a table without rows"),
    ],
)
def test_wrong_tables_are_named(tmp_path: Path, text: str, line: int, says: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    (tmp_path / "good.csv").write_text(TABLE)
    found, findings = read(tmp_path)
    assert [r.name for r in found] == ["good"]
    [item] = findings.items
    assert item.line == line
    assert says in item.message
    with pytest.raises(DataError, match=rf"bad.csv:{line}: "):
        read_steps([tmp_path / "bad.csv"], StepOptions(), Findings())


def test_a_row_that_is_missing_spoils_the_recording_it_may_belong_to(tmp_path: Path) -> None:
    text = "who,x,label\na,1,k\na,2,k\nb,1,k\nb\nb,2,k\nc,1,k\nc,2,k\n"
    (tmp_path / "a.csv").write_text(text)
    found, findings = read(tmp_path, sequence_column="who")
    assert [r.name for r in found] == ["a", "c"]
    assert [item.line for item in findings.items] == [5]


def test_irregular_times_are_found(tmp_path: Path) -> None:
    rows = [(0, "a"), (100, "a"), (200, "a"), (200, "b"), (1300, "b"), (1400, "b"), (1500, "b")]
    (tmp_path / "a.csv").write_text("x,ms,label\n" + "".join(f"1,{t},{k}\n" for t, k in rows))
    [found], findings = read(tmp_path, time_column="ms", units_per_second=1000.0)
    assert found.rate == pytest.approx(10.0)
    still, gap = findings.items
    assert (still.kind, still.line, still.severity) == ("irregular time", 5, "warning")
    assert still.message == "200 does not come after the time before it"
    assert gap.line == 6
    assert gap.message == "a gap of 1.1 s before this step, where 0.1 s are usual"


def test_times_as_dates(tmp_path: Path) -> None:
    days = "".join(f"{n},2024-03-01T10:00:{n:02}.5,a\n" for n in range(4))
    (tmp_path / "a.csv").write_text("x,when,label\n" + days)
    [found], findings = read(tmp_path, time_column="when")
    assert not findings.items
    assert found.times is not None
    assert found.times.tolist() == [0.0, 1.0, 2.0, 3.0]
    (tmp_path / "a.csv").write_text("x,when,label\n1,noon,a\n")
    _, findings = read(tmp_path, time_column="when")
    assert findings.items[0].message == "column 'when': expected seconds or a date and time, found 'noon'"


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "strip.png").write_bytes(png(np.zeros((8, 4, 1), np.uint8)))
    with pytest.raises(DataError, match=r"no recording here: .*; images that hold many frames need --frame-height"):
        read(tmp_path / "strip.png")
    with pytest.raises(StorageError, match="no such file or folder"):
        read(tmp_path / "none")


def test_equal_recordings_have_equal_keys(tmp_path: Path) -> None:
    for name, value in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / f"{name}.csv").write_text(f"x,label\n{value},k\n")
    found, _ = read(tmp_path)
    assert found[0].key == found[1].key != found[2].key


# Pieces of long recordings


def test_pieces_cover_every_step(tmp_path: Path) -> None:
    lengths = [5, 150, 151, 400, 1]
    store = ExampleStore.write(tmp_path / "s", ({"x": np.arange(n), "targets": np.arange(n)} for n in lengths))
    pieces = Pieces(store, "targets", 100)
    assert pieces.longest == 150
    assert pieces.lengths.tolist() == [len(pieces[k]["x"]) for k in range(len(pieces))]
    assert pieces.lengths.max() == 150
    places = [(int(pieces[k]["x"][0]), len(pieces[k]["x"])) for k in range(len(pieces))]
    assert places == [
        (0, 5), (0, 150), (0, 150), (1, 150), *((start, 150) for start in (0, 50, 100, 150, 200, 250)), (0, 1)
    ]  # fmt: skip
    with pytest.raises(ArgumentError, match="window: expected at least 2 steps, found 1"):
        Pieces(store, "targets", 1)


def test_a_window_is_drawn_from_a_piece() -> None:
    example = {"x": np.arange(150), "targets": np.arange(150)}
    draw = np.random.default_rng(0)
    starts = set()
    for _ in range(200):
        window = drawn_window(example, "x", 100, draw)
        assert np.array_equal(window["x"], window["targets"])
        assert len(window["x"]) == 100
        starts.add(int(window["x"][0]))
    assert min(starts) < 5
    assert max(starts) > 45
    assert drawn_window(example, "x", 150, draw) is example
