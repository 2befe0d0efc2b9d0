"""Documents out of files of text, JSON lines and mail, as a stream of pieces of about a mebibyte."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from unrolled.data.core.encodings import check_encoding
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.core.folders import Paths, find_sources
from unrolled.data.core.rows import json_values
from unrolled.data.text.mail.messages import read_mbox, read_message, starts_like_mbox, starts_like_message
from unrolled.errors import ArgumentError, DataError

PIECE = 1 << 20
"""Characters in a piece, at most."""

FORMATS = ("auto", "text", "jsonl", "mbox", "eml")

_JSONL_SUFFIXES = (".jsonl", ".ndjson")
_MBOX_SUFFIXES = (".mbox", ".mbx")
_MESSAGE_SUFFIXES = (".eml", ".emlx")
# beyond its first lines, content is looked at only where the name says nothing: a .txt that quotes a mail is text
_TEXT_SUFFIXES = (".txt", ".text", ".md", ".rst", ".html", ".htm", ".xml", ".csv", ".tsv", ".json", ".tex", ".log")


class Piece(NamedTuple):
    r"""A stretch of one document.

    Attributes:
        text: its characters, never empty; line ends are ``\n``.
        source: the file it comes from, with the line for formats that hold many documents.
        ends_document: True for the last piece of a document.
    """

    text: str
    source: str
    ends_document: bool


def read_documents(
    paths: Paths,
    *,
    encoding: str = "utf-8",
    errors: str = "strict",
    text_key: str = "text",
    format: str = "auto",
) -> Iterator[Piece]:
    """Stream the documents of files and folders in constant memory.

    A text file is one document; so is a line of JSONL (an object with `text_key`, or a plain string) and a mail
    message (the words its writer typed; see `unrolled.data.text.mail`). Every format may be .gz, .xz or in a .zip.
    Messages and lines without any text are no documents.

    Args:
        paths: a file or folder, or several; see `find_sources` for what a folder stands for.
        encoding: of text and JSONL files; mail says its own.
        errors: ``strict``, or ``replace``: U+FFFD for bytes that can't be decoded, and a message that can't be
            parsed is left out.
        text_key: the key under which a JSON object holds its text.
        format: ``text``, ``jsonl``, ``mbox`` or ``eml`` for all files, or ``auto``: by name, then by content.

    Raises:
        ArgumentError: an unknown format, encoding or way of handling errors.
        StorageError: a path that does not exist or can't be read; raised by the call, before the first piece.
        DataError: an empty or binary file, a folder without text (by the call); a bad line or message (when reached).
        EncodingError: bytes that are no text in this encoding, with their position.
    """
    check_encoding(encoding, errors)
    if format not in FORMATS:
        raise ArgumentError(f"format {format!r}: must be one of {', '.join(FORMATS)}")
    return _pieces(find_sources(paths), encoding, errors, text_key, format)


def _pieces(sources: list[Source], encoding: str, errors: str, text_key: str, format: str) -> Iterator[Piece]:
    empty = True
    for source in sources:
        for piece in _read(source, encoding, errors, text_key, detect_format(source) if format == "auto" else format):
            empty = False
            yield piece
    if empty:
        raise DataError("no document with any text in it", sources[0].path)


def detect_format(source: Source) -> str:
    """Return the format of a file by its name, or by its first bytes if the name does not tell."""
    name = source.inner_name
    if source.message or name.endswith(_MESSAGE_SUFFIXES):
        return "eml"
    if name.endswith(_JSONL_SUFFIXES):
        return "jsonl"
    if name.endswith(_MBOX_SUFFIXES) or name == "mbox":
        return "mbox"
    # archives of mailing lists are mbox files called .txt
    if starts_like_mbox(head := source.head()):
        return "mbox"
    return "text" if name.endswith(_TEXT_SUFFIXES) or not starts_like_message(head) else "eml"


def _read(source: Source, encoding: str, errors: str, text_key: str, format: str) -> Iterator[Piece]:
    if format == "text":
        yield from _cut(source.text(encoding, errors), source.name)
        return
    documents: Iterable[tuple[int | None, str]]
    if format == "jsonl":
        documents = _read_jsonl(source, encoding, errors, text_key)
    elif format == "mbox":
        documents = read_mbox(source, errors)
    else:
        documents = ((None, text) for text in read_message(source, errors))
    for line, text in documents:
        place = source.name if line is None else f"{source.name}:{line}"
        yield from _cut((text[at : at + PIECE] for at in range(0, len(text), PIECE)), place)


def _cut(texts: Iterable[str], source: str) -> Iterator[Piece]:
    """Pieces of one document: each is held back until it is known whether another follows."""
    last = ""
    for text in texts:
        if text and last:
            yield Piece(last, source, False)
        last = text or last
    if last:
        yield Piece(last, source, True)


def _read_jsonl(source: Source, encoding: str, errors: str, text_key: str) -> Iterator[tuple[int, str]]:
    for number, value in json_values(source, Findings(), encoding, errors):
        if isinstance(value, dict):
            if text_key not in value:
                keys = ", ".join(map(repr, list(value)[:8])) or "none"
                message = f"no key {text_key!r} in this object (keys: {keys}); name the right one with --text-key"
                raise DataError(message, source.name, number)
            value = value[text_key]
        if not isinstance(value, str):
            message = f"expected a string, or an object with a string under {text_key!r}, found {type(value).__name__}"
            raise DataError(message, source.name, number)
        if text := value.replace("\r\n", "\n").replace("\r", "\n"):
            yield number, text
