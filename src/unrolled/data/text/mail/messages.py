"""Mail to the words its writer typed: mbox files, archives of mailing lists, single messages, MIME of any state.

The body of a message is read, as plain text if the message has it, else its HTML turned to text; headers, attachments
and forwarded messages are left out, then quoted replies and the signature (see `typed`).

Real mail is full of bytes that do not match their header, and no mail program refuses them. So a body is decoded by its
declared character set, else as UTF-8, else as Windows-1252, whatever `errors` says. `errors` decides about a message
that can't be parsed at all: ``strict`` raises, ``replace`` leaves that message out.
"""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from typing import cast

from unrolled.data.core.files import Source
from unrolled.data.core.folders import require_text
from unrolled.data.text.mail.typed import html_to_text, typed_text
from unrolled.errors import DataError

LONGEST_MESSAGE = 32 << 20
"""Bytes of one message that are looked at; what follows (attachments: text comes first) is skipped."""

# a date with a time tells a separator from a sentence that begins with "From"
_SEPARATOR = re.compile(rb"From (?=.*\d:\d\d)(?=.*\b\d{4}\b)")
_ESCAPED = re.compile(rb">+From ")
_HEADER = re.compile(rb"[A-Za-z][A-Za-z0-9-]*:")
_COMMON_HEADER = re.compile(
    rb"^(From|To|Subject|Date|Message-ID|Received|Return-Path|Delivered-To|MIME-Version|Reply-To|X-[\w-]+):",
    re.IGNORECASE | re.MULTILINE,
)
# labels that in practice mean Windows-1252, which has curly quotes where these have control codes
_WESTERN = ("us-ascii", "ascii", "iso-8859-1", "latin-1", "latin1")


def starts_like_mbox(head: bytes) -> bool:
    """Return whether a file's first bytes are an mbox separator and a header."""
    first, _, rest = head.lstrip(b"\r\n").partition(b"\n")
    return bool(_SEPARATOR.match(first) and _HEADER.match(rest))


def starts_like_message(head: bytes) -> bool:
    """Return whether a file's first bytes are mail headers: nothing else, and two or more that mail has."""
    block = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0]
    lines = block.splitlines()
    if not lines or not _HEADER.match(lines[0]):
        return False
    # a long header block may be cut by the end of the bytes
    headers = all(_HEADER.match(line) or line[:1] in (b" ", b"\t") for line in lines[:-1])
    return headers and len({name.lower() for name in _COMMON_HEADER.findall(block)}) >= 2


def read_mbox(source: Source, errors: str = "strict") -> Iterator[tuple[int, str]]:
    """Yield the messages of an mbox file, one at a time: (line of its separator, text).

    A separator is a line ``From ADDRESS DATE`` at the start of the file or after a blank line, with a time and a
    year in it. ``>From`` in a body is unescaped (mboxrd).

    Args:
        source: the file.
        errors: ``strict`` or ``replace``, see the module.

    Raises:
        DataError: the file does not begin with a separator, or (strict) a message can't be parsed; with the line.

    Source: RFC 4155; the mboxrd variant for the unescaping.
    """
    for line, raw in split_mbox(source):
        if text := _text_or_nothing(raw, source, line, errors):
            yield line, text


def read_message(source: Source, errors: str = "strict") -> Iterator[str]:
    """Yield the text of a file that is one message (.eml, .emlx, Maildir, MH); nothing if it has none.

    Raises:
        DataError: (strict) it can't be parsed, or has no headers.
    """
    raw = bytearray()
    for chunk in source.chunks():
        raw += chunk
        if len(raw) > LONGEST_MESSAGE:
            break
    require_text(bytes(raw[:8192]), source.name)
    if source.inner_name.endswith(".emlx"):
        # Apple's Mail: the length of the message, the message, an XML property list
        length, _, rest = bytes(raw).partition(b"\n")
        raw = bytearray(rest[: int(length)] if length.strip().isdigit() else raw)
    if text := _text_or_nothing(bytes(raw), source, None, errors):
        yield text


def split_mbox(source: Source) -> Iterator[tuple[int, bytes]]:
    """Cut an mbox file into messages: yields (line of the separator, counted from 1; bytes after it)."""
    message: list[bytes] = []
    start = kept = 0
    after_blank = True
    for number, line in enumerate(source.lines(), 1):
        blank = not line.strip()
        if after_blank and _SEPARATOR.match(line):
            if start:
                yield start, b"".join(message)
            start, message, kept = number, [], 0
        elif not start:
            if not blank:
                raise DataError(
                    'not an mbox file: it must begin with a line "From ADDRESS DATE"; '
                    "a single message is named .eml, plain text .txt",
                    source.name,
                    number,
                )
        elif kept < LONGEST_MESSAGE:
            line = line[1:] if _ESCAPED.match(line) else line
            message.append(line)
            kept += len(line)
        after_blank = blank
    if start:
        yield start, b"".join(message)
    else:
        raise DataError("not an mbox file: there is no message in it", source.name, 1)


def _text_or_nothing(raw: bytes, source: Source, line: int | None, errors: str) -> str:
    try:
        return message_text(raw)
    except Exception as error:
        # the standard library's header parser fails on malformed mail with almost any class of exception
        if errors == "replace":
            return ""
        raise DataError(
            f"this message can't be parsed ({type(error).__name__}: {error}); --errors replace leaves it out",
            source.name,
            line,
        ) from error


def message_text(raw: bytes) -> str:
    """Return the words that the writer of a message typed.

    Args:
        raw: the message as it was sent, headers first.

    Returns:
        The text, with no blank lines around it; empty if there is none.

    Raises:
        ValueError: there is no header.
    """
    message = email.message_from_bytes(raw, policy=policy.default)
    if not message.keys():
        raise ValueError("it has no headers")
    text = typed_text(_body(message))
    # some character sets decode to half surrogate pairs
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _body(part: EmailMessage) -> str:
    kind = part.get_content_type()
    if part.get_content_disposition() == "attachment" or kind == "message/rfc822":
        return ""
    if part.is_multipart():
        bodies = [(child.get_content_type(), _body(child)) for child in cast("list[EmailMessage]", part.get_payload())]
        bodies = [(child_kind, text) for child_kind, text in bodies if text.strip()]
        if kind == "multipart/alternative":
            # the same words in several forms: the plain one is the one that was typed
            bodies.sort(key=lambda body: body[0] != "text/plain")
        if kind in ("multipart/alternative", "multipart/related", "multipart/signed", "multipart/report"):
            bodies = bodies[:1]
        return "\n\n".join(text.strip("\n") for _, text in bodies)
    if part.get_content_maintype() == "multipart":
        # it has no parts: its boundary is missing, and its words are there all the same
        kind = "text/plain"
    if kind not in ("text/plain", "text/html"):
        return ""
    payload = part.get_payload(decode=True)
    text = _decoded(payload if isinstance(payload, bytes) else b"", part.get_content_charset() or "utf-8")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if kind == "text/html":
        return html_to_text(text)
    if str(part.get_param("format", "")).lower() == "flowed":
        return _unflowed(text, str(part.get_param("delsp", "")).lower() == "yes")
    return text


def _decoded(payload: bytes, charset: str) -> str:
    declared = "cp1252" if charset in _WESTERN else charset
    # Windows-1252 would accept most UTF-8, which a message that only says ASCII usually is
    first = ("utf-8", declared) if charset in ("us-ascii", "ascii") else (declared, "utf-8", "cp1252")
    for encoding in first:
        try:
            return payload.decode(encoding)
        except (LookupError, ValueError):
            continue
    return payload.decode("cp1252", "replace")


def _unflowed(text: str, delete_space: bool) -> str:
    """Join the lines that a mail program broke (RFC 3676): those that end in a space."""
    lines: list[str] = []
    joined = False
    for line in text.split("\n"):
        # a leading space is stuffing; quoted lines keep their marks and are dropped later
        line = line[1:] if line.startswith(" ") else line
        soft = line.endswith(" ") and line != "-- " and not line.startswith(">")
        if joined and not line.startswith(">") and line != "-- ":
            lines[-1] += line
        else:
            lines.append(line)
        joined = soft
        if soft and delete_space:
            lines[-1] = lines[-1][:-1]
    return "\n".join(lines)
