"""Images of lines of text, each with its text: beside it in a file of the same name, or in a table.

lines/0001.png, lines/0001.txt                  also 0001.gt.txt, as OCR corpora have it
lines.csv                                       a column that names the image and one of texts
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from unrolled.data.core.dialect import TableOptions
from unrolled.data.core.examples import Example
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.core.folders import files_in
from unrolled.data.core.tables import SUFFIXES as TABLES
from unrolled.data.core.tables import open_tables
from unrolled.data.images.files import IMAGE_NAMES, SUFFIXES, Picture, find_pictures
from unrolled.data.sound.files import SUFFIXES as SOUND
from unrolled.errors import DataError, StorageError

TEXT_NAMES = ("text", "transcription", "transcript", "label", "ground_truth", "sentence", "words")
#: endings of the file with an image's text, beside it
_TEXTS = (".txt", ".gt.txt")


@dataclass(frozen=True, kw_only=True)
class TextLine(Example):
    """A line and its text.

    Attributes:
        picture: the image, not yet decoded.
        text: as the file has it, without blanks at its ends.
    """

    picture: Picture
    text: str

    @property
    def given(self) -> Picture:
        """The image."""
        return self.picture

    @property
    def target(self) -> str:
        """The text."""
        return self.text

    @property
    def key(self) -> str:
        """The image: the same file named twice is a duplicate, or a leak."""
        return self.picture.name

    @property
    def is_empty(self) -> bool:
        """Whether no text is known."""
        return not self.text


def holds_lines(path: Path) -> bool:
    """Return whether a path is a folder with images and no sound, or a table whose first row names an image.

    What can't be read is none: whoever reads it as something else says why.
    """
    if path.is_dir():
        names = [source.inner_name for source in files_in(path, archives=False)]
        return any(n.endswith(SUFFIXES) for n in names) and not any(n.endswith(SOUND) for n in names)
    if not path.is_file() or not Source(path).inner_name.endswith(TABLES):
        return False
    try:
        sample = open_tables(path, known=(*IMAGE_NAMES, *TEXT_NAMES))[0].sample(1)
    except (DataError, StorageError):
        return False
    return bool(sample) and any(str(cell).lower().endswith(SUFFIXES) for cell in sample[0].values())


def read_text_lines(paths: Sequence[Path], findings: Findings, encoding: str = "utf-8") -> list[TextLine]:
    """Return the lines of some folders and tables, in order.

    Args:
        paths: folders of images with a text file beside each, or tables.
        findings: collects images without a text, which are left out.
        encoding: of the text files and tables.

    Raises:
        StorageError: a path that does not exist or can't be read.
        DataError: no image, or a table without a column for images or for texts.
    """
    lines: list[TextLine] = []
    for path in paths:
        if not path.exists():
            raise StorageError(f"{path}: no such file or folder")
        lines += _beside(path, findings, encoding) if path.is_dir() else _in_table(path, findings, encoding)
    return lines


def _beside(folder: Path, findings: Findings, encoding: str) -> Iterator[TextLine]:
    for picture in find_pictures(folder):
        stem = picture.path.name[: len(picture.path.name) - len(picture.path.suffix)]
        texts = [picture.path.with_name(stem + ending) for ending in _TEXTS]
        file = next((text for text in texts if text.is_file()), None)
        if file is None:
            findings.error("no text", f"there is no {texts[0].name} beside it", picture.path)
            continue
        text = " ".join(line.strip() for _, line in Source(file).filled_lines(encoding))
        yield TextLine(path=str(picture.path), picture=picture, text=text)


def _in_table(path: Path, findings: Findings, encoding: str) -> Iterator[TextLine]:
    for table in open_tables(path, TableOptions(encoding=encoding), known=(*IMAGE_NAMES, *TEXT_NAMES)):
        image, text = table.column_like(IMAGE_NAMES), table.column_like(TEXT_NAMES)
        if image is None or text is None:
            kind, name = ("images", "image") if image is None else ("texts", "text")
            raise DataError(f"which column holds the {kind}? {table.described()}; call it {name!r}", table.name, 1)
        table.note(findings, {image: "image", text: "text"})
        for row in table.rows(findings):
            file = path.parent / str(row.get(image) or "")
            if file.is_file():
                place = {"path": row.path, "line": row.line}
                yield TextLine(**place, picture=Picture(file), text=str(row.get(text) or "").strip())  # type: ignore[arg-type]
            else:
                findings.error("missing image", f"no such file: {file}", row.path, row.line)
