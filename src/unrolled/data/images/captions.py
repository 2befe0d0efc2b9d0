"""Images with sentences about them: the images in a folder, a .zip or an NPZ of features; the sentences in one of

NAME#N<TAB>caption        lines, as Flickr8k's token file; #N may be missing
captions.json             COCO's: {"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}
captions.csv              or any other table, with a column for the image's name and one for the caption
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from unrolled.data.core.examples import Array, Example
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.core.tables import PARQUET, TABS, read_table
from unrolled.data.images.arrays import read_npz
from unrolled.data.images.files import Picture, find_pictures
from unrolled.data.text.plain_words import plain_words
from unrolled.errors import DataError, StorageError

_TABLES = (".csv", *TABS, ".jsonl", ".ndjson", *PARQUET)
_SENTENCES = (".txt", ".token", ".json", *_TABLES)
_NUMBER = re.compile(r"#\d+$")


@dataclass(frozen=True, kw_only=True)
class CaptionedImage(Example):
    """An image, or features of it, and its captions.

    Attributes:
        name: of the image, as the captions call it.
        captions: as they were written.
        digest: of the image's bytes; equal images are one input.
        picture: the image; None for features.
        features: (P, F), one vector for each position, or (1, F) for the whole image.
    """

    name: str
    captions: tuple[str, ...]
    digest: str
    picture: Picture | None = None
    features: Array | None = field(default=None, compare=False, repr=False)

    @property
    def given(self) -> Picture | Array | None:
        """The image, or features of it."""
        return self.picture if self.features is None else self.features

    @property
    def target(self) -> tuple[str, ...]:
        """The captions."""
        return self.captions

    @property
    def key(self) -> str:
        """The image's content."""
        return self.digest

    @property
    def labels(self) -> tuple[str, ...]:
        """None: unknown words are counted elsewhere."""
        return ()


class _Line(NamedTuple):
    name: str
    caption: str
    path: str
    line: int | None


def read_captions(
    paths: Iterable[Path],
    findings: Findings,
    *,
    images: Path | None = None,
    image_column: str = "image",
    caption_column: str = "caption",
) -> list[CaptionedImage]:
    """Return the images that captions are about, each once with all its captions, in the order of their first one.

    Args:
        paths: files of captions; or a folder with one such file in it.
        findings: collects captions without words or image, and images that can't be read.
        images: the folder, .zip or NPZ with the images; by default the folder that the captions lie in. An NPZ holds
            features: arrays `names` (N,) and `features`, (N, F) or (N, P, F).
        image_column, caption_column: of tables.

    Raises:
        StorageError: there is no such path.
        DataError: a file of another format; or a fault that `findings` refuses.
    """
    images_with_captions: list[CaptionedImage] = []
    libraries: dict[Path, _Images] = {}
    for path in paths:
        file = _caption_file(path)
        where = images or (path if path.is_dir() else path.parent)
        library = libraries.get(where) or libraries.setdefault(where, _Images(where))
        about: dict[str, list[_Line]] = {}
        for line in _lines(file, findings, image_column, caption_column):
            if not plain_words(line.caption):
                findings.error("empty", "a caption without any word", line.path, line.line)
            elif line.name not in library:
                findings.error("missing image", f"no image {line.name!r} in {where}", line.path, line.line)
            else:
                about.setdefault(line.name, []).append(line)
        for name, lines in about.items():
            try:
                images_with_captions.append(library.example(name, lines))
            except DataError as error:
                findings.caught(error, "unreadable")
    return images_with_captions


class _Images:
    """The images by the names in captions. Names are looked up among the files of a folder, never opened as paths."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.features: dict[str, Array] = {}
        self.pictures: dict[str, Picture | None] = {}
        if path.suffix.lower() == ".npz":
            if not path.is_file():
                raise StorageError(f"{path}: no such file")
            self.features = _features(path)
            return
        for picture in find_pictures(path):
            parts = picture.parts
            # by its name and by any part of its path that ends with it; a name that two images share stands for neither
            for n in range(1, min(len(parts), 8) + 1):
                key = "/".join(parts[-n:])
                self.pictures[key] = None if key in self.pictures else picture

    def __contains__(self, name: str) -> bool:
        return name in self.features or self._picture(name) is not None

    def _picture(self, name: str) -> Picture | None:
        return self.pictures.get(name) or self.pictures.get("/".join(PurePosixPath(name).parts))

    def example(self, name: str, lines: Sequence[_Line]) -> CaptionedImage:
        features, picture = self.features.get(name), self._picture(name)
        if picture is not None:
            digest = picture.digest
        else:
            digest = hashlib.blake2b(np.ascontiguousarray(features).tobytes(), digest_size=16).hexdigest()
        return CaptionedImage(
            path=lines[0].path,
            line=lines[0].line,
            name=name,
            captions=tuple(line.caption for line in lines),
            digest=digest,
            picture=picture,
            features=features,
        )


def _features(path: Path) -> dict[str, Array]:
    arrays = read_npz(path)
    if not {"names", "features"} <= arrays.keys():
        raise DataError(f"expected arrays 'names' and 'features', found {', '.join(sorted(arrays)) or 'none'}", path)
    names, features = arrays["names"], arrays["features"]
    if names.ndim != 1 or features.ndim not in (2, 3) or len(names) != len(features) or features.dtype.kind != "f":
        raise DataError(
            "expected names (N,) and floating-point features (N, F) or (N, P, F), found "
            f"{names.shape} and {features.dtype} {features.shape}",
            path,
        )
    if not np.isfinite(features).all():
        bad = int(np.flatnonzero(~np.isfinite(features).reshape(len(features), -1).all(1))[0])
        raise DataError(f"features of {names[bad]!s} are not finite", path)
    rows = features[:, None] if features.ndim == 2 else features
    return {str(name): row.astype(np.float32) for name, row in zip(names.tolist(), rows, strict=True)}


def _caption_file(path: Path) -> Path:
    if not path.exists():
        raise StorageError(f"{path}: no such file or folder")
    if not path.is_dir():
        return path
    inside = [p for p in sorted(path.iterdir()) if p.is_file() and _bare(p).endswith(_SENTENCES)]
    if len(inside) != 1:
        names = ", ".join(p.name for p in inside[:4]) or "none"
        raise DataError(f"expected one file of captions in this folder, found {names}; name the file instead", path)
    return inside[0]


def _bare(path: Path) -> str:
    """The name in lower case, without what only says how it is compressed."""
    name = path.name.lower()
    return name.removesuffix(".gz").removesuffix(".xz")


def _lines(path: Path, findings: Findings, image_column: str, caption_column: str) -> Iterator[_Line]:
    name = _bare(path)
    if name.endswith(_TABLES):
        for row in read_table(path, columns=(image_column, caption_column), findings=findings):
            yield _Line(str(row[image_column]).strip(), str(row[caption_column]), row.path, row.line)
        return
    source = Source(path)
    if name.endswith(".json"):
        yield from _coco(source)
        return
    for number, line in source.filled_lines():
        image, tab, caption = line.partition("\t")
        if not tab:
            findings.error("malformed", "expected NAME#N, a tab and a caption", source.name, number)
            continue
        yield _Line(_NUMBER.sub("", image.strip()), caption, source.name, number)


def _coco(source: Source) -> Iterator[_Line]:
    try:
        content = json.loads("".join(source.text()))
        names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        pairs = [(names[note["image_id"]], str(note["caption"])) for note in content["annotations"]]
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"not valid JSON: {error}", source.name) from error
    except (KeyError, TypeError) as error:
        raise DataError(
            f"not COCO captions: {error!r}; expected 'images' with 'id' and 'file_name', and 'annotations' with "
            "'image_id' and 'caption'",
            source.name,
        ) from error
    for image, caption in pairs:
        yield _Line(image, caption, source.name, None)
