"""Series and sounds with a label each, in the forms in which their fields publish them."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from unrolled.data import Findings
from unrolled.data.series.labelled import LabelledSeriesOptions, is_labelled_series, read_labelled_series
from unrolled.data.sound.labelled import is_labelled_sound, read_labelled_sounds
from unrolled.errors import DataError, StorageError


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# Series with labels

TS = """#A note.
@problemName Boats
@timeStamps false
@univariate false
@classLabel true slow fast
@data
1,2,3:4,5,6:slow
1,?:4,5:fast
"""


def test_files_of_the_archives_of_series(tmp_path: Path) -> None:
    path = write(tmp_path / "Boats_TRAIN.ts", TS)
    slow, fast = read_labelled_series([path], Findings())
    assert (slow.values.tolist(), slow.label, slow.line) == ([[1, 4], [2, 5], [3, 6]], "slow", 7)
    assert (fast.values.tolist(), fast.target) == ([[1, 4], [1, 5]], "fast")
    stamped = TS.replace("1,2,3:4,5,6:slow", "(0,1),(1,2):(2020-01-01 00:00:00,4),(2020-01-01 00:00:01,5):slow")
    assert read_labelled_series([write(tmp_path / "t.ts", stamped)], Findings())[0].values.tolist() == [[1, 4], [2, 5]]
    arff = "@relation B\n@attribute a relational\n@attribute x numeric\n@end a\n@attribute target {slow,fast}\n@data\n"
    many = write(tmp_path / "m.arff", arff + "'1,2,3\\n4,5,6',slow\n")
    assert read_labelled_series([many], Findings())[0].values.tolist() == slow.values.tolist()
    one = write(tmp_path / "u.arff", "%note\n@relation B\n@attribute a numeric\n@data\n1,2,3,slow\n")
    assert read_labelled_series([one], Findings())[0].values.tolist() == [[1], [2], [3]]
    assert all(map(is_labelled_series, (path, many, one)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TS.replace("true slow fast", "false"), r"t\.ts:6: its series have no labels"),
        (TS.split("@data")[0], "no line @data in it"),
        (TS + "1,2:3:slow\n", r"t\.ts:9: not a series: its dimensions have 1 to 2 steps"),
        (TS + "1,2:slow\n", r"t\.ts:9: 1 dimensions where the series before have 2"),
        (TS + "1,x:1,2:slow\n", r"t\.ts:9: not a series: could not convert string to float: 'x'"),
        (TS + "1,2\n", r"t\.ts:9: not a series: expected dimensions and a label"),
    ],
)
def test_broken_files_of_the_archives(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_labelled_series([write(tmp_path / "t.ts", text)], Findings())


def test_a_row_a_series(tmp_path: Path) -> None:
    steps = [[f"{np.sin(n * s):.3f}" for s in range(9 + n % 3)] + ["NaN"] * (2 - n % 3) for n in range(8)]
    rows = "".join("\t".join([str(n % 2 + 1), *row]) + "\n" for n, row in enumerate(steps))
    path = write(tmp_path / "Gun_TRAIN.tsv", rows)
    series = read_labelled_series([path], Findings())
    assert [s.label for s in series] == ["1", "2"] * 4
    assert [len(s.values) for s in series] == [9, 10, 11, 9, 10, 11, 9, 10]
    last = write(
        tmp_path / "ecg.csv", "".join(f"0.5,0.{n},0.1,0.2,0.3,0.4,0.1,0.2,0.3,{n % 2}.000e+00\n" for n in range(8))
    )
    assert [s.label for s in read_labelled_series([last], Findings())] == ["0", "1"] * 4
    assert is_labelled_series(path)
    assert is_labelled_series(last)
    assert not is_labelled_series(write(tmp_path / "reviews.tsv", "so good\t1\nso bad\t0\n"))
    folder = write(tmp_path / "f" / "Gun_TRAIN.tsv", rows).parent
    write(folder / "Gun_TEST.tsv", rows)
    findings = Findings()
    assert len(read_labelled_series([folder], findings)) == 8
    assert [item.kind for item in findings.items] == ["test data"]


def test_a_row_a_step(tmp_path: Path) -> None:
    path = write(tmp_path / "s.csv", "id,t,x,y,class\na,0,1,2,up\na,1,3,4,up\nb,0,5,6,down\n")
    first, second = read_labelled_series(
        [path], Findings(), LabelledSeriesOptions(sequence_column="id", features=("x", "y"))
    )
    assert (first.values.tolist(), first.label, first.name, first.columns) == ([[1, 2], [3, 4]], "up", "a", ("x", "y"))
    assert second.values.shape == (1, 2)
    two = write(tmp_path / "u.csv", "id,x,class\na,1,up\na,2,down\n")
    with pytest.raises(DataError, match=r"u\.csv:2: series 'a' has 2 labels; each has one"):
        read_labelled_series([two], Findings(), LabelledSeriesOptions(sequence_column="id"))


# Sounds with labels


def sound(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.arange(800, dtype="<i2").tobytes())
    return path


def test_a_folder_of_sounds_for_each_word(tmp_path: Path) -> None:
    for name in ("yes/1.wav", "no/1.wav", "no/2.wav", "_background_noise_/rain.wav", ".hidden/1.wav"):
        sound(tmp_path / "words" / name)
    findings = Findings()
    sounds = read_labelled_sounds(tmp_path / "words", findings)
    assert [(s.audio.name, s.label, s.seconds) for s in sounds] == [
        ("1.wav", "no", 0.1),
        ("2.wav", "no", 0.1),
        ("1.wav", "yes", 0.1),
    ]
    assert len(sounds[0].given.sound().samples) == 800
    assert [item.message for item in findings.items] == [
        "1 sounds in _background_noise_ are left out: a name that begins with _ is no label"
    ]
    digits = sound(tmp_path / "digits" / "0_ann_1.wav").parent
    sound(digits / "7_ben_2.wav")
    assert [s.label for s in read_labelled_sounds(digits, Findings())] == ["0", "7"]
    assert is_labelled_sound(digits)
    assert not is_labelled_sound(write(tmp_path / "t" / "a.txt", "x").parent)
    with pytest.raises(DataError, match="no folder for each label, only sounds"):
        read_labelled_sounds(sound(tmp_path / "flat" / "a.wav").parent, Findings())
    with pytest.raises(StorageError, match="no such file or folder"):
        read_labelled_sounds(tmp_path / "nowhere", Findings())


def test_tables_of_paths_and_labels(tmp_path: Path) -> None:
    sound(tmp_path / "esc" / "audio" / "1-a.wav")
    sound(tmp_path / "esc" / "audio" / "deep" / "2-b.wav")
    path = write(
        tmp_path / "esc" / "meta" / "esc.csv", "filename,fold,target,category\n1-a.wav,1,0,dog\n2-b.wav,1,14,rain\n"
    )
    assert [s.label for s in read_labelled_sounds(path, Findings())] == ["dog", "rain"]
    assert [s.label for s in read_labelled_sounds(path, Findings(), label_column="target")] == ["0", "14"]
    assert is_labelled_sound(path)
    plain = write(tmp_path / "esc" / "p.csv", "audio/1-a.wav,dog\naudio/deep/2-b.wav,rain\nmissing.wav,dog\n")
    findings = Findings(strict=False)
    assert [s.label for s in read_labelled_sounds(plain, findings)] == ["dog", "rain"]
    assert [(item.kind, item.line) for item in findings.items] == [("unreadable sound", 3)]
