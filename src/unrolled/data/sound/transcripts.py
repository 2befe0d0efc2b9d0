"""Recordings with their transcripts: LJSpeech, LibriSpeech, Kaldi, JSON lines and tables.

| path | format |
|---|---|
| a folder with `metadata.csv` | LJSpeech: `id|text` or `id|text|normalised text`, the sound in `wavs/id.wav` |
| a folder with `wav.scp` and `text` | Kaldi, with `segments` if there is one |
| a folder with `*.trans.txt` in it | LibriSpeech: `id text`, the sound beside it as `id.flac` or `id.wav` |
| a file `*.trans.txt`, `metadata.csv`, `wav.scp` | the same, that file alone |
| any other table (.jsonl .tsv .csv .parquet), or a folder of them | a column for the sound and one for the text |

A relative path in a manifest starts at the manifest's folder (or at `folder`) and may not lead out of it. Commands in
`wav.scp` are never run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from unrolled.data.core.dialect import TableOptions
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.core.tables import open_tables, read_table
from unrolled.data.sound.clips import SoundExample, header_of, named_inside
from unrolled.data.sound.files import SUFFIXES
from unrolled.errors import DataError, StorageError

#: names that the columns have in published manifests, the first that is there is taken
AUDIO_KEYS = ("audio", "audio_filepath", "audio_path", "path", "file", "wav", "filename")
TEXT_KEYS = ("text", "sentence", "transcript", "transcription", "normalized_text")


@dataclass(frozen=True, kw_only=True)
class Utterance(SoundExample):
    """A recording, or a part of one, and the words that are said in it.

    Attributes:
        text: as the manifest has it.
    """

    text: str

    @property
    def target(self) -> str:
        """The text."""
        return self.text

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said."""
        return not self.text.strip()


@dataclass(frozen=True)
class _Entry:
    """A line of a manifest, its sound not yet looked at."""

    audio: Path
    text: str
    path: str
    line: int
    begin: float = 0.0
    end: float | None = None


def read_transcripts(
    paths: str | Path | Iterable[str | Path],
    findings: Findings,
    *,
    audio_key: str | None = None,
    text_key: str | None = None,
    folder: Path | None = None,
    encoding: str = "utf-8",
) -> list[Utterance]:
    """Return the utterances of some manifests, in order, their sound looked at but not decoded.

    Args:
        paths: manifests, or folders that hold them.
        findings: collects lines and sound files that can't be used, which are left out.
        audio_key, text_key: columns of tables; None takes the first of `AUDIO_KEYS` and `TEXT_KEYS` that is there.
        folder: where relative paths start; None is each manifest's own.
        encoding: of manifests.

    Raises:
        StorageError: a manifest that does not exist or can't be read.
        DataError: no manifest in a folder; strict, and a line or a sound file is wrong.
    """
    utterances = []
    keys = (audio_key, text_key)
    for path in [Path(paths)] if isinstance(paths, (str, Path)) else [Path(p) for p in paths]:
        for entry in _entries(path, findings, keys, folder, encoding):
            header = header_of(entry.audio, findings, entry.path, entry.line, entry.begin, entry.end)
            if header is not None:
                utterances.append(Utterance(header=header, **vars(entry)))
    return utterances


def _entries(
    path: Path, findings: Findings, keys: tuple[str | None, str | None], folder: Path | None, encoding: str
) -> Iterator[_Entry]:
    if not path.exists():
        raise StorageError(f"{path}: no such file or folder")
    if path.is_dir():
        if (path / "metadata.csv").is_file() and (path / "wavs").is_dir():
            yield from _ljspeech(path / "metadata.csv", findings, encoding)
        elif (path / "wav.scp").is_file():
            yield from _kaldi(path / "wav.scp", findings, folder, encoding)
        elif transcripts := sorted(path.rglob("*.trans.txt")):
            for transcript in transcripts:
                yield from _librispeech(transcript, findings, encoding)
        else:
            tables = sorted(p for p in path.iterdir() if p.suffix in (".jsonl", ".tsv", ".csv", ".parquet"))
            if not tables:
                raise DataError(
                    "no manifest in this folder: expected metadata.csv and wavs/ (LJSpeech), wav.scp and text (Kaldi), "
                    "*.trans.txt (LibriSpeech), or a table such as a .jsonl",
                    path,
                )
            for table in tables:
                yield from _table(table, findings, keys, folder, encoding)
    elif path.name.endswith(".trans.txt"):
        yield from _librispeech(path, findings, encoding)
    elif path.name == "wav.scp":
        yield from _kaldi(path, findings, folder, encoding)
    elif path.name == "metadata.csv" and (path.parent / "wavs").is_dir():
        yield from _ljspeech(path, findings, encoding)
    elif path.suffix.lower() in SUFFIXES:
        raise DataError("is sound; name the manifest that has its text", path)
    else:
        yield from _table(path, findings, keys, folder, encoding)


def _ljspeech(path: Path, findings: Findings, encoding: str) -> Iterator[_Entry]:
    for number, line in _lines(path, encoding):
        cells = line.split("|")
        if len(cells) not in (2, 3):
            findings.error(
                "malformed", f"expected id|text or id|text|normalised, found {len(cells)} cells", path, number
            )
            continue
        yield from _beside(path.parent / "wavs", cells[0], cells[-1] or cells[1], path, number, findings)


def _librispeech(path: Path, findings: Findings, encoding: str) -> Iterator[_Entry]:
    for number, line in _lines(path, encoding):
        name, _, text = line.partition(" ")
        yield from _beside(path.parent, name, text, path, number, findings)


def _beside(folder: Path, name: str, text: str, path: Path, line: int, findings: Findings) -> Iterator[_Entry]:
    """The sound called `name` in a folder, whatever kind it is."""
    if not name or name in (".", "..") or "/" in name or "\\" in name:
        findings.error("malformed", f"{name!r} is no name of a recording", path, line)
        return
    candidates = [folder / f"{name}{suffix}" for suffix in SUFFIXES]
    audio = next((c for c in candidates if c.is_file()), None)
    if audio is None:
        findings.error("missing sound", f"no sound file {name}.wav or the like in {folder}", path, line)
        return
    yield _Entry(audio, text.strip(), str(path), line)


def _kaldi(path: Path, findings: Findings, folder: Path | None, encoding: str) -> Iterator[_Entry]:
    base = path.parent
    if not (base / "text").is_file():
        raise DataError("no file 'text' beside it", path)
    recordings: dict[str, Path] = {}
    for number, line in _lines(path, encoding):
        name, _, audio = line.partition(" ")
        if audio.rstrip().endswith("|"):
            findings.error(
                "command", f"{name!r} is a command, and none is run; write its output to a file", path, number
            )
        elif (file := named_inside(audio.strip(), folder or base, path, number, findings)) is not None:
            recordings[name] = file
    parts: dict[str, tuple[str, float, float | None]] = {name: (name, 0.0, None) for name in recordings}
    segments = base / "segments"
    if segments.is_file():
        parts = {}
        for number, line in _lines(segments, encoding):
            cells = line.split()
            try:
                name, recording, begin, end = cells[0], cells[1], float(cells[2]), float(cells[3])
            except (IndexError, ValueError):
                findings.error("malformed", "expected: utterance recording begin end", segments, number)
                continue
            # Kaldi writes −1 for the end of the recording
            parts[name] = (recording, begin, None if end < 0 else end)
    texts = base / "text"
    for number, line in _lines(texts, encoding):
        name, _, text = line.partition(" ")
        recording, begin, until = parts.get(name, (name, 0.0, None))
        if name not in parts or recording not in recordings:
            missing_in = segments if name not in parts and segments.is_file() else path
            findings.error("missing sound", f"{name!r} is not in {missing_in}", texts, number)
            continue
        yield _Entry(recordings[recording], text.strip(), str(texts), number, begin, until)


def _table(
    path: Path, findings: Findings, keys: tuple[str | None, str | None], folder: Path | None, encoding: str
) -> Iterator[_Entry]:
    options = TableOptions(encoding=encoding)
    table = open_tables(path, options, known=(*AUDIO_KEYS, *TEXT_KEYS))[0]
    names = []
    for key, candidates, option in ((keys[0], AUDIO_KEYS, "audio"), (keys[1], TEXT_KEYS, "text")):
        chosen = key or next((c for c in candidates if c in table.columns), None)
        if chosen is None:
            raise DataError(f"no column for the {option}; {table.described()}; name it with --{option}-key", path, 1)
        names.append(chosen)
    table.note(findings, {names[0]: "sound", names[1]: "text"})
    for row in read_table(path, options, columns=names, findings=findings):
        audio, text = row[names[0]], row[names[1]]
        if not isinstance(audio, str) or not isinstance(text, str):
            wrong = names[0] if not isinstance(audio, str) else names[1]
            findings.error("malformed", f"{wrong!r} is no text: {row[wrong]!r}", row.path, row.line)
            continue
        file = named_inside(audio, folder or path.parent, row.path, row.line, findings)
        if file is not None:
            yield _Entry(file, text, row.path, row.line)


def _lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers from 1."""
    return ((number, line.strip()) for number, line in Source(path).filled_lines(encoding))
