"""Manifests of recordings: every form, every way that they may be wrong."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import pytest

from unrolled.data import Findings
from unrolled.data.sound.transcripts import read_transcripts
from unrolled.data.text.words import plain_text
from unrolled.errors import DataError, StorageError


def sound(path: Path, seconds: float = 0.1, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.zeros(round(8000 * seconds) * channels, "<i2").tobytes())
    return path


def said(paths: Path | list[Path], **options: object) -> list[tuple[str, str]]:
    return [(u.audio.name, u.text) for u in read_transcripts(paths, Findings(), **options)]  # type: ignore[arg-type]


@pytest.fixture
def ljspeech(tmp_path: Path) -> Path:
    for name in ("LJ1", "LJ2"):
        sound(tmp_path / "lj" / "wavs" / f"{name}.wav")
    (tmp_path / "lj" / "metadata.csv").write_text('LJ1|He said "2".|He said "two".\nLJ2|Yes.\n', encoding="utf-8")
    return tmp_path / "lj"


@pytest.fixture
def librispeech(tmp_path: Path) -> Path:
    for chapter, count in (("19/198", 2), ("26/495", 1)):
        stem = chapter.replace("/", "-")
        for n in range(count):
            sound(tmp_path / "ls" / chapter / f"{stem}-{n:04}.wav")
        lines = "".join(f"{stem}-{n:04} WORD {n}\n" for n in range(count))
        (tmp_path / "ls" / chapter / f"{stem}.trans.txt").write_text(lines)
    return tmp_path / "ls"


@pytest.fixture
def kaldi(tmp_path: Path) -> Path:
    sound(tmp_path / "k" / "audio" / "one.wav", 0.5)
    (tmp_path / "k" / "wav.scp").write_text("rec1 audio/one.wav\n")
    (tmp_path / "k" / "text").write_text("rec1 hello there\n")
    return tmp_path / "k"


def test_ljspeech(ljspeech: Path) -> None:
    expected = [("LJ1.wav", 'He said "two".'), ("LJ2.wav", "Yes.")]
    assert said(ljspeech) == said(ljspeech / "metadata.csv") == expected


def test_librispeech(librispeech: Path) -> None:
    expected = [("19-198-0000.wav", "WORD 0"), ("19-198-0001.wav", "WORD 1"), ("26-495-0000.wav", "WORD 0")]
    assert said(librispeech) == expected
    assert said(librispeech / "26" / "495" / "26-495.trans.txt") == expected[2:]


def test_kaldi_and_its_segments(kaldi: Path) -> None:
    assert said(kaldi) == said(kaldi / "wav.scp") == [("one.wav", "hello there")]
    (kaldi / "segments").write_text("a rec1 0.1 0.3\nb rec1 0.3 -1\n")
    (kaldi / "text").write_text("a hello\nb there\n")
    found = read_transcripts(kaldi, Findings())
    assert [(u.text, u.begin, u.end) for u in found] == [("hello", 0.1, 0.3), ("there", 0.3, None)]
    assert [round(u.seconds, 6) for u in found] == [0.2, 0.2]
    assert [len(u.given.sound().samples) for u in found] == [1600, 1600]
    assert found[0].key != found[1].key


def test_tables(tmp_path: Path) -> None:
    sound(tmp_path / "x" / "a.wav")
    sound(tmp_path / "b.wav")
    lines = [{"audio": "x/a.wav", "text": "one"}, {"audio": str(tmp_path / "b.wav"), "text": "two", "more": 1}]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert said(tmp_path / "m.jsonl") == said(tmp_path) == [("a.wav", "one"), ("b.wav", "two")]
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "m.tsv").write_text("client\tpath\tsentence\n1\tx/a.wav\tHello, you\n")
    assert said(tmp_path / "t" / "m.tsv", folder=tmp_path) == [("a.wav", "Hello, you")]
    (tmp_path / "n.csv").write_text('clip,words\nx/a.wav,"one, two"\n')
    assert said(tmp_path / "n.csv", audio_key="clip", text_key="words") == [("a.wav", "one, two")]


def test_several_at_once(ljspeech: Path, kaldi: Path) -> None:
    assert len(said([ljspeech, kaldi])) == 3


@pytest.mark.parametrize(
    "line, kind, says",
    [
        ('{"audio": "../out.wav", "text": "x"}', "path leads out", r"m\.jsonl:2: '\.\./out\.wav' leads out of"),
        ('{"audio": "a/../../out.wav", "text": "x"}', "path leads out", "leads out of"),
        ('{"audio": "missing.wav", "text": "x"}', "unreadable sound", r"m\.jsonl:2: .*missing\.wav: no such file"),
        ('{"audio": "bad.wav", "text": "x"}', "unreadable sound", r"m\.jsonl:2: .*bad\.wav: .*not a|damaged"),
        ('{"audio": "good.wav", "text": 7}', "malformed", r"m\.jsonl:2: 'text' is no text: 7"),
        ('{"audio": "", "text": "x"}', "malformed", "'' is no path"),
        ('{"text": "x"}', "missing column", r"m\.jsonl:2: no column 'audio'"),
    ],
)
def test_bad_lines_are_named_and_skipped(tmp_path: Path, line: str, kind: str, says: str) -> None:
    sound(tmp_path / "good.wav")
    (tmp_path / "bad.wav").write_bytes(b"RIFF nothing")
    good = '{"audio": "good.wav", "text": "fine"}'
    (tmp_path / "m.jsonl").write_text(f"{good}\n{line}\n{good}\n")
    with pytest.raises(DataError, match=says):
        read_transcripts(tmp_path / "m.jsonl", Findings())
    findings = Findings(strict=False)
    found = read_transcripts(tmp_path / "m.jsonl", findings)
    assert [u.line for u in found] == [1, 3]
    assert [(item.severity, item.kind, item.line) for item in findings.items] == [("error", kind, 2)]


def test_bad_kaldi(kaldi: Path) -> None:
    (kaldi / "wav.scp").write_text("rec1 audio/one.wav\nrec2 sph2pipe -f wav x.sph |\n")
    (kaldi / "text").write_text("rec1 hello\nrec3 lost\n")
    with pytest.raises(DataError, match=r"wav\.scp:2: 'rec2' is a command, and none is run"):
        read_transcripts(kaldi, Findings())
    findings = Findings(strict=False)
    assert [u.text for u in read_transcripts(kaldi, findings)] == ["hello"]
    assert [item.kind for item in findings.items] == ["command", "missing sound"]
    (kaldi / "wav.scp").write_text("rec1 audio/one.wav\n")
    (kaldi / "text").write_text("a hello\n")
    (kaldi / "segments").write_text("a rec1 0.7 0.9\n")
    with pytest.raises(DataError, match=r"no sound from 0\.7 to 0\.5 s; it lasts 0\.5 s"):
        read_transcripts(kaldi, Findings())
    (kaldi / "segments").write_text("a rec1 soon\n")
    with pytest.raises(DataError, match=r"segments:1: expected: utterance recording begin end"):
        read_transcripts(kaldi, Findings())
    (kaldi / "text").unlink()
    with pytest.raises(DataError, match="no file 'text' beside it"):
        read_transcripts(kaldi, Findings())


def test_bad_ljspeech(ljspeech: Path) -> None:
    (ljspeech / "metadata.csv").write_text("LJ1|a|b|c\n../LJ1|x\nLJ9|x\n")
    findings = Findings(strict=False)
    assert read_transcripts(ljspeech, findings) == []
    assert [(item.kind, item.line) for item in findings.items] == [
        ("malformed", 1),
        ("malformed", 2),
        ("missing sound", 3),
    ]


def test_what_is_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file or folder"):
        read_transcripts(tmp_path / "nothing", Findings())
    sound(tmp_path / "folder" / "a.wav")
    with pytest.raises(DataError, match=r"no manifest in this folder: expected metadata\.csv"):
        read_transcripts(tmp_path / "folder", Findings())
    with pytest.raises(DataError, match="is sound; name the manifest"):
        read_transcripts(tmp_path / "folder" / "a.wav", Findings())
    (tmp_path / "t.csv").write_text("a,b\nx,1\n")
    with pytest.raises(DataError, match=r"no column for the audio; .*name it with --audio-key"):
        read_transcripts(tmp_path / "t.csv", Findings())


@pytest.mark.parametrize(
    "text, plain",
    [
        ("", ""),
        ("  Two   words ", "two words"),
        ("Don't “quote” me—ever!", "don't quote me ever"),
        ("'tis the dogs' own", "tis the dogs own"),
        ("Ärger, naïve 3.5", "ärger naïve 3 5"),
        ("it\u2019s", "it's"),
        ("हिन्दी।", "हिन्दी"),
    ],
)
def test_plain_text(text: str, plain: str) -> None:
    assert plain_text(text) == plain
