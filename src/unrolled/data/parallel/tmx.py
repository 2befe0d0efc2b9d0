"""TMX (Translation Memory eXchange): sentences and their translations as XML, read as a stream.

Nothing is expanded or fetched: a file that declares entities is refused, since a few lines of them may stand for
gigabytes, or for another file of this machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from xml.parsers import expat

from unrolled.data.core.files import Source
from unrolled.errors import DataError

#: what stands in these is markup of the program that the text comes from, not text
_CODES = frozenset({"bpt", "ept", "ph", "it", "ut"})
#: characters of one unit; more is no sentence, and would have to be gathered in memory
_LONGEST = 1 << 22


class Unit(NamedTuple):
    """One translation unit.

    Attributes:
        line: where it begins.
        texts: (language, text) of each variant, in the order of the file; the language in lower case.
        source_language: of the file's header, in lower case; "" if it names none.
    """

    line: int
    texts: list[tuple[str, str]]
    source_language: str


def read_tmx(source: Source) -> Iterator[Unit]:
    """The translation units of a file, in order.

    Raises:
        DataError: it is not well-formed, is not TMX, or declares entities; with the line.
    """
    reader = _Reader(source.name)
    for chunk in source.chunks():
        reader.feed(chunk)
        yield from reader.taken()
    reader.feed(b"", last=True)
    yield from reader.taken()


class _Reader:
    """What expat calls; complete units wait in `units`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.units: list[Unit] = []
        self._parser = parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.EntityDeclHandler = self._entity
        parser.buffer_text = True
        self._source_language = ""
        self._unit: Unit | None = None
        self._language = ""
        self._segment: list[str] | None = None
        self._size = self._codes = 0
        self._is_tmx = False

    def feed(self, data: bytes, last: bool = False) -> None:
        """Parse the next bytes."""
        try:
            self._parser.Parse(data, last)
        except expat.ExpatError as error:
            raise DataError(f"not well-formed XML: {expat.errors.messages[error.code]}", self.name, error.lineno) from (
                error
            )

    def taken(self) -> list[Unit]:
        """The units that have become complete."""
        units, self.units = self.units, []
        return units

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._is_tmx:
            if tag != "tmx":
                raise DataError(f"not TMX: its root is <{tag}>, not <tmx>", self.name, self._line)
            self._is_tmx = True
        elif tag == "header":
            language = attributes.get("srclang", "").lower()
            self._source_language = "" if language == "*all*" else language
        elif tag == "tu":
            self._unit = Unit(self._line, [], attributes.get("srclang", self._source_language).lower())
        elif tag == "tuv":
            self._language = attributes.get("xml:lang", attributes.get("lang", "")).lower()
        elif tag == "seg":
            self._segment, self._size, self._codes = [], 0, 0
        elif tag in _CODES:
            self._codes += 1

    def _end(self, tag: str) -> None:
        if tag == "tu" and self._unit is not None:
            self.units.append(self._unit)
            self._unit = None
        elif tag == "seg" and self._segment is not None:
            if self._unit is not None:
                self._unit.texts.append((self._language, " ".join("".join(self._segment).split())))
            self._segment = None
        elif tag in _CODES:
            self._codes -= 1

    def _text(self, text: str) -> None:
        if self._segment is None or self._codes:
            return
        self._segment.append(text)
        self._size += len(text)
        if self._size > _LONGEST:
            raise DataError(f"a segment longer than {_LONGEST >> 20} Mi characters", self.name, self._line)

    def _entity(self, name: str, *rest: Any) -> None:
        raise DataError(
            f"declares the entity {name!r}; entities are not expanded, write them out", self.name, self._line
        )

    @property
    def _line(self) -> int:
        return int(self._parser.CurrentLineNumber)


def speaks(language: str, wanted: str) -> bool:
    """Whether a language code is the one that somebody means: equal, or a dialect of it.

    >>> speaks("en-gb", "en"), speaks("en", "EN"), speaks("eng", "en")
    (True, True, False)
    """
    language, wanted = language.lower().replace("_", "-"), wanted.lower().replace("_", "-")
    return language == wanted or language.startswith(wanted + "-")
