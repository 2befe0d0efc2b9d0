"""Harmless text on terminals, whoever wrote it: it can neither move the cursor nor fail for a character."""

from __future__ import annotations

import sys
from typing import TextIO


def printable(text: str) -> str:
    r"""Return a text with � for characters that could move the cursor or change colours, and for halves of characters.

    >>> printable("a\x1b[2Jb")
    'a�[2Jb'
    """
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)


def say(text: str, file: TextIO | None = None, end: str = "\n") -> None:
    """Print a text: made harmless on a terminal, unchanged into a pipe or file.

    What a stream's encoding lacks is written as Python and JSON escape it.

    Args:
        text: from anywhere.
        file: standard output by default.
        end: after it.
    """
    stream = sys.stdout if file is None else file
    safe = (printable(text) if stream.isatty() else text) + end
    try:
        stream.write(safe)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(safe.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
