"""TMX (Translation Memory eXchange): sentences and their translations as XML, read as a stream.

Nothing is expanded or fetched: a file that declares entities is refused, since a few lines of them may stand for
gigabytes, or for another file of this machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from xml.parsers import expat

from unrolled.data.core.files import Source
from unrolled.errors import DataError

#: elements that hold markup of the program that the text comes from, not text
_CODES = frozenset({"bpt", "ept", "ph", "it", "ut"})
#: characters of one unit; more is no sentence, and would have to be gathered in memory
_LONGEST = 1 << 22


class TranslationUnit(NamedTuple):
    """One translation unit.

    Attributes:
        line: where it begins.
        texts: (language, text) of each variant, in the order of the file; the language in lower case.
        source_language: of the file's header, in lower case; "" if it names none.
    """

    line: int
    texts: list[tuple[str, str]]
    source_language: str

    @property
    def languages(self) -> list[str]:
        """Its languages, each once."""
        return list(dict.fromkeys(language for language, _ in self.texts))


def read_tmx(source: Source) -> Iterator[TranslationUnit]:
    """Yield the translation units of a file, in order.

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
    """The handlers of expat; complete units are kept in `units` until they are taken."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.units: list[TranslationUnit] = []
        self._parser = parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.EntityDeclHandler = self._entity
        parser.buffer_text = True
        self._source_language = ""
        self._unit: TranslationUnit | None = None
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
        except (LookupError, ValueError) as error:
            # expat asks Python for encodings that it does not know itself
            if isinstance(error, DataError):
                raise
            message = f"says that it is in an encoding that can't be read: {error}; save it as UTF-8"
            raise DataError(message, self.name, 1) from error

    def taken(self) -> list[TranslationUnit]:
        """Return the units that have become complete."""
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
            self._unit = TranslationUnit(self._line, [], attributes.get("srclang", self._source_language).lower())
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

    def _entity(self, name: str, *rest: object) -> None:
        raise DataError(
            f"declares the entity {name!r}; entities are not expanded, write them out", self.name, self._line
        )

    @property
    def _line(self) -> int:
        return int(self._parser.CurrentLineNumber)


def speaks(language: str, wanted: str) -> bool:
    """Return whether a language code is the wanted one, or a dialect of it.

    >>> speaks("en-gb", "en"), speaks("en", "EN"), speaks("eng", "en")
    (True, True, False)
    """
    language, wanted = language.lower().replace("_", "-"), wanted.lower().replace("_", "-")
    return language == wanted or language.startswith(wanted + "-")
