"""Bytes to text: strict, streamed, and with a suggestion where the encoding is wrong."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Iterable, Iterator

from unrolled.errors import ArgumentError, DataError, EncodingError

#: byte-order marks of UTF-16
WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

#: bytes that an encoding is guessed from: the lines that are not ASCII
_SAMPLE = 1 << 18
#: encodings worth naming, the more common of two that decode a text alike first
_COMMON = (
    *("gb18030", "big5", "shift_jis", "cp932", "euc_jp", "euc_kr", "cp949", "koi8_r", "koi8_u", "cp1251", "cp1250"),
    *("iso8859_2", "cp1253", "iso8859_7", "cp1255", "cp1256", "cp874", "cp1254", "cp1257", "cp1258", "iso8859_5"),
    *("big5hkscs", "euc_jis_2004", "johab", "cp866"),
)
_WIDE_WITHOUT_MARK = {"utf-16-le": rb"(?:[^\0]\0){8}", "utf-16-be": rb"(?:\0[^\0]){8}"}

#: returns the way out for bytes that are not of the encoding
Suggest = Callable[[], str]


def check_encoding(encoding: str, errors: str) -> None:
    """Refuse an encoding that Python does not know, or a way of handling errors other than strict and replace.

    Raises:
        ArgumentError: names the option and the values that it takes.
    """
    try:
        # refuses codecs from bytes to bytes too, such as hex
        " ".encode(encoding)
    except (LookupError, ValueError) as error:
        raise ArgumentError(f"--encoding {encoding!r}: no such text encoding; try utf-8, cp1252 or utf-16") from error
    if errors not in ("strict", "replace"):
        raise ArgumentError(f"--errors {errors!r}: must be strict or replace")


def wide_without_mark(head: bytes) -> str | None:
    """Return the encoding of text in UTF-16 without a byte-order mark, judged by its first bytes, or None."""
    return next((name for name, pattern in _WIDE_WITHOUT_MARK.items() if re.match(pattern, head)), None)


def decode(
    chunks: Iterable[bytes],
    name: str,
    encoding: str = "utf-8",
    errors: str = "strict",
    *,
    suggest: Suggest | None = None,
) -> Iterator[str]:
    r"""Decode bytes piece by piece, with every kind of line end turned to ``\n``.

    A character or ``\r\n`` that lies across two chunks comes out whole. A UTF-8 byte-order mark is dropped.

    Args:
        chunks: the bytes in order.
        name: the file's name in error messages.
        encoding: any text encoding of Python's.
        errors: ``strict``, or ``replace`` to read U+FFFD for bytes that can't be decoded.
        suggest: returns the way out that the error names; without it the error names the options alone.

    Raises:
        EncodingError: bytes that are not text in this encoding: byte position (from 0), line, and the way out.
        DataError: a NUL byte, which no text has (encodings of two or four bytes a character aside).
    """
    codec = codecs.lookup(encoding).name
    wide = codec.startswith(("utf-16", "utf-32"))
    utf8 = codec in ("utf-8", "utf-8-sig")
    decoder = codecs.getincrementaldecoder("utf-8" if utf8 else encoding)(errors)
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    fed, line, first = 0, 1, True
    try:
        for chunk in chunks:
            fed += len(chunk)
            if first and utf8:
                if chunk[:2] in WIDE_MARKS:
                    hint = "it begins with the mark of UTF-16: try --encoding utf-16"
                    raise EncodingError(f"not valid UTF-8 at byte 0; {hint}", name, 1)
                chunk = chunk.removeprefix(codecs.BOM_UTF8)
            if not wide and (at := chunk.find(b"\0")) >= 0:
                named = wide_without_mark(chunk) if first else None
                hint = f"; if it is UTF-16, try --encoding {named}" if named else ""
                message = f"a binary file, not text (NUL byte at byte {fed - len(chunk) + at}){hint}"
                raise DataError(message, name, line + chunk.count(b"\n", 0, at))
            first = False
            if text := newlines.decode(decoder.decode(chunk)):
                yield text
            line += chunk.count(b"\n")
        if text := newlines.decode(decoder.decode(b"", final=True), final=True):
            yield text
    except UnicodeDecodeError as error:
        # error.object is what the decoder held back plus the newest chunk
        place = fed - len(error.object) + error.start
        line += error.object.count(b"\n", 0, error.start)
        bad = " ".join(f"{byte:02x}" for byte in error.object[error.start : error.end][:4])
        hint = suggest() if suggest is not None else "give its --encoding, or --errors replace"
        message = f"not valid {codec.upper()} at byte {place} ({bad}: {error.reason}); {hint}"
        raise EncodingError(message, name, line) from error
    except UnicodeError as error:
        # UTF-16 and UTF-32 without a byte-order mark raise the plain class
        raise EncodingError(f"not valid {codec.upper()}: {error}; try utf-16-le or utf-16-be", name) from error


def suggestion(read: Callable[[], Iterable[bytes]]) -> str:
    """Return the way out for a file that is not UTF-8: the encoding that decodes all of it, with a few of its words.

    Args:
        read: returns the file's bytes from the start, each time it is called.
    """
    for name in _likely(_sample(read())):
        text = _decoded_whole(read(), name)
        if text is not None:
            return f"all of it is valid {name} ({text!r}): give --encoding {name}"
    return "no encoding fits all of it, it may be damaged: --errors replace reads U+FFFD for what can't be decoded"


def _sample(chunks: Iterable[bytes]) -> bytes:
    """The lines that are not ASCII, up to `_SAMPLE` bytes: the others say nothing about an encoding."""
    kept, tail = bytearray(), b""
    for chunk in chunks:
        *lines, tail = (tail + chunk).split(b"\n")
        if len(tail) > _SAMPLE:
            lines, tail = [*lines, tail], b""
        for line in lines:
            if not line.isascii():
                kept += line + b"\n"
        if len(kept) >= _SAMPLE:
            return bytes(kept[:_SAMPLE])
    return bytes(kept + (b"" if tail.isascii() else tail))


def _likely(sample: bytes) -> Iterator[str]:
    """Encodings that a sample may be in, the most likely first."""
    import charset_normalizer

    matches = list(charset_normalizer.from_bytes(sample))
    groups = [(match.encoding, *match.could_be_from_charset) for match in matches]
    # charset-normalizer ranks other Latin alphabets before Western Europe's, whose text most of them decode alike
    if groups and groups[0][0].startswith(("cp12", "cp4", "cp7", "cp8", "iso8859", "mac", "latin")):
        groups = sorted(groups, key=lambda names: "cp1252" not in names)
    for names in groups:
        yield from ("cp1252",) if "cp1252" in names else (name for name in _COMMON if name in names)


def _decoded_whole(chunks: Iterable[bytes], encoding: str) -> str | None:
    """The first words of a text that are not ASCII, or None if the encoding does not decode all of it."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    shown: str | None = None
    try:
        for chunk in chunks:
            text = decoder.decode(chunk)
            if shown is None and (foreign := re.search(r"[^\x00-\x7f]", text)):
                begin = max(text.rfind(" ", 0, foreign.start()), foreign.start() - 12) + 1
                shown = " ".join(text[max(0, begin) : begin + 24].split())
        decoder.decode(b"", final=True)
    except UnicodeError:
        return None
    return shown or ""
