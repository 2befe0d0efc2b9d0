"""Recordings with a label each: a folder of sounds for each label, or a table of paths.

words/yes/0a7c2a8d.wav                          label "yes"; folders whose names begin with _ or . are left out
meta/esc50.csv                                  a column that names the sound and one of labels
0_jackson_3.wav, 7_theo_12.wav                  a folder of sounds whose names all begin with a label and an underscore
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unrolled.data.core.dialect import TableOptions
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.core.folders import Paths, files_in
from unrolled.data.core.tables import SUFFIXES as TABLES
from unrolled.data.core.tables import Table, open_tables, with_header
from unrolled.data.sound.clips import SoundExample, header_of, named_inside
from unrolled.data.sound.files import SUFFIXES
from unrolled.data.sound.transcripts import AUDIO_KEYS
from unrolled.errors import DataError, StorageError

#: names of columns, the first that is there is taken
_PATHS = (*AUDIO_KEYS, "slice_file_name", "fname", "filepath", "file_name", "sound", "recording", "clip")
_LABELS = ("label", "category", "class", "word", "target", "classid", "command", "emotion", "tag", "y")
#: folders of sounds beside that of a table
_BESIDE = ("audio", "audios", "sounds", "wav", "wavs", "clips")


@dataclass(frozen=True, kw_only=True)
class LabelledSound(SoundExample):
    """A recording and its label.

    Attributes:
        label: its name.
    """

    label: str

    @property
    def target(self) -> str:
        """The label."""
        return self.label

    @property
    def labels(self) -> tuple[str, ...]:
        """The label."""
        return (self.label,)


def is_labelled_sound(path: Path) -> bool:
    """Return whether a path holds sounds: a folder with sound files, or a table whose first row names one.

    What can't be read is none: whoever reads it as something else says why.
    """
    if path.is_dir():
        return any(source.inner_name.endswith(SUFFIXES) for source in files_in(path, archives=False))
    if not path.is_file() or not Source(path).inner_name.endswith(TABLES):
        return False
    try:
        sample = open_tables(path, known=_PATHS)[0].sample(1)
    except (DataError, StorageError):
        return False
    return bool(sample) and any(str(cell).lower().endswith(SUFFIXES) for cell in sample[0].values())


def read_labelled_sounds(
    paths: Paths,
    findings: Findings,
    *,
    audio_key: str | None = None,
    label_column: str | None = None,
    folder: Path | None = None,
    options: TableOptions | None = None,
) -> list[LabelledSound]:
    """Return the recordings of some folders and tables, in order, their headers read but not decoded.

    Args:
        paths: folders, or tables whose relative paths start at their own folder, or name a file in a folder below it.
        findings: collects rows and sound files that can't be used, which are left out.
        audio_key, label_column: of tables; None takes one by its name, or that of paths by its content.
        folder: where relative paths start instead.
        options: how tables are written.

    Raises:
        StorageError: a path that does not exist or can't be read.
        DataError: a folder without labels; a column that can't be recognised; strict, and a row or file is wrong.
    """
    sounds: list[LabelledSound] = []
    for path in [paths] if isinstance(paths, (str, Path, Source)) else paths:
        if not isinstance(path, Source) and not Path(path).exists():
            raise StorageError(f"{path}: no such file or folder")
        if not isinstance(path, Source) and Path(path).is_dir():
            entries = _in_folder(Path(path), findings)
        else:
            entries = _in_table(path, findings, (audio_key, label_column), folder, options)
        for audio, label, place, line in entries:
            header = header_of(audio, findings, place, line)
            if header is not None:
                sounds.append(LabelledSound(path=place, line=line, audio=audio, header=header, label=label))
    return sounds


#: sound file, label, and the path and line that name both
_Entry = tuple[Path, str, str, int | None]


def _in_folder(root: Path, findings: Findings) -> Iterator[_Entry]:
    files = [s.path for s in files_in(root, archives=False) if s.inner_name.endswith(SUFFIXES)]
    if not files:
        raise DataError(
            f"no sound in this folder ({', '.join(SUFFIXES[:3])} and the like; hidden ones are skipped)", root
        )
    places = [file.parent.relative_to(root).parts for file in files]
    kept = [(file, place) for file, place in zip(files, places, strict=True) if not _is_aside(place)]
    if len(kept) < len(files):
        aside = sorted({place[0] for place in places if _is_aside(place)})
        message = (
            f"{len(files) - len(kept)} sounds in {', '.join(aside)} are left out: a name that begins with _ is no label"
        )
        findings.warning("no label", message, root)
    depth = Counter(len(place) for _, place in kept).most_common(1)[0][0] if kept else 0
    if depth == 0:
        stems = {file: file.stem.split("_")[0] for file, _ in kept}
        if len(set(stems.values())) < 2 or not all("_" in file.stem for file in stems):
            raise DataError(
                "no folder for each label, only sounds; put those of a label into a folder of its name", root
            )
        findings.understood.append(f"{root}: labels before the _ of a name: {', '.join(sorted(set(stems.values())))}")
        yield from ((file, label, str(file), None) for file, label in stems.items())
        return
    labels = sorted({place[-1] for _, place in kept if len(place) == depth})
    findings.understood.append(f"{root}: a folder for each of {len(labels)} labels: {', '.join(labels[:16])}")
    for file, place in kept:
        if len(place) != depth:
            findings.warning("no label", "lies beside the folders that are named like labels, and is left out", file)
        else:
            yield file, place[-1], str(file), None


def _is_aside(place: tuple[str, ...]) -> bool:
    return any(part.startswith("_") for part in place)


def _in_table(
    path: str | Path | Source,
    findings: Findings,
    wanted: tuple[str | None, str | None],
    folder: Path | None,
    options: TableOptions | None,
) -> Iterator[_Entry]:
    for table in open_tables(path, with_header(options, wanted), known=_PATHS):
        audio = table.column(wanted[0]) if wanted[0] else table.column_like(_PATHS) or _column_of_paths(table)
        label = table.column(wanted[1]) if wanted[1] else table.column_like(_LABELS) or _other(table, audio)
        if audio is None or label is None:
            kind = "sounds" if audio is None else "labels"
            raise DataError(
                f"which column holds the {kind}? {table.described()}; call it {_hint(audio)}", table.name, 1
            )
        table.note(findings, {audio: "sound", label: "label"})
        base = folder or table.source.path.parent
        below: dict[str, Path] | None = None
        for row in table.rows(findings):
            file = named_inside(str(row.get(audio) or ""), base, row.path, row.line, findings)
            if file is None:
                continue
            if not file.is_file():
                # published tables name files of a folder beside theirs, or below it
                below = _by_name(base) if below is None else below
                file = below.get(file.name, file)
            name = str(row.get(label) or "").strip()
            if not name:
                findings.error(
                    "no label", f"column {label!r}: expected a label, found an empty cell", row.path, row.line
                )
            else:
                yield file, name, row.path, row.line


def _hint(audio: str | None) -> str:
    return "'label'" if audio is not None else "'audio'"


def _column_of_paths(table: Table) -> str | None:
    sample = table.sample()
    fits = (
        c for c in table.columns if sum(str(row.get(c)).lower().endswith(SUFFIXES) for row in sample) > len(sample) / 2
    )
    return next(fits, None)


def _other(table: Table, audio: str | None) -> str | None:
    rest = [column for column in table.columns if column != audio]
    return rest[0] if len(rest) == 1 else None


def _by_name(base: Path) -> dict[str, Path]:
    """The sounds of a folder and of those that published sets have beside it, by their names; a name that two share
    stands for neither.
    """
    roots = [base, *(base.parent / name for name in _BESIDE if (base.parent / name).is_dir())]
    paths = [s.path for root in roots for s in files_in(root, archives=False) if s.inner_name.endswith(SUFFIXES)]
    counts = Counter(path.name for path in paths)
    return {path.name: path for path in paths if counts[path.name] == 1}
