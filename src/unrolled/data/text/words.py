"""Raw text cut into words, with their places in it, for taggers.

The rules are few, hold for any script that puts spaces between words, and never join what a space separates. At each
place the first that fits is taken:

1. an address (`https://…`, `www.…`, `name@host.org`), a user (`@name`) or a tag (`#name`), each whole;
2. a number with its inner marks: `1,234.5`, `12:30`, `1996-08-22`, `3/4`;
3. an abbreviation of single letters with dots: `U.S.`, `e.g.`;
4. an English clitic, from its apostrophe on: `'s`, `'re`, `'ll`; and `n't`, before which the word ends (`do|n't`);
5. a word: letters, digits, marks and underscores, joined inside by `-`, `&`, `.` or an apostrophe
   (`Jean-Luc`, `AT&T`, `O'Neill`, `Yahoo.com`);
6. the same mark several times: `...`, `--`, `!!!`;
7. any other single character that is no space.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_CLITIC = r"['’](?:s|S|m|M|d|D|re|RE|ve|VE|ll|LL)\b"
_NOT = r"[nN]['’][tT]\b"
_TOKEN = re.compile(
    rf"""
      (?:https?://|www\.)[^\s<>"]*[^\s<>".,;:!?)\]}}'’]     # 1
    | [\w.+-]+@\w[\w-]*(?:\.\w[\w-]*)+
    | [@\#]\w+
    | \d+(?:[.,:/-]\d+)*(?![^\W\d_])                        # 2
    | (?:[^\W\d_]\.){{2,}}                                  # 3
    | {_NOT} | {_CLITIC}                                    # 4
    | \w(?:(?!{_NOT})\w|(?!{_CLITIC})['’&.-](?=\w)(?!{_NOT}))*   # 5
    | ([^\w\s])\1+                                          # 6
    | \S                                                    # 7
    """,
    re.VERBOSE,
)


class Word(NamedTuple):
    """A token of a text.

    Attributes:
        text: its characters.
        start, end: their place in the text, in characters.
    """

    text: str
    start: int
    end: int


def split_words(text: str) -> list[Word]:
    """Return the tokens of a text, in order, with their places.

    >>> [word.text for word in split_words("Mr. O'Neill doesn't live in the U.S. (he's in Rome)...")]
    ['Mr', '.', "O'Neill", 'does', "n't", 'live', 'in', 'the', 'U.S.', '(', 'he', "'s", 'in', 'Rome', ')', '...']
    >>> split_words("a  b")[1]
    Word(text='b', start=3, end=4)
    """
    return [Word(match.group(), *match.span()) for match in _TOKEN.finditer(text)]


def plain_text(text: str) -> str:
    """Return what is spoken of a text: lower case, letters, digits and apostrophes within words, one space between.

    >>> plain_text("Don't — he said “No”, on 5th Avenue.")
    "don't he said no on 5th avenue"
    """
    lowered = unicodedata.normalize("NFC", text).lower().replace("\u2019", "'")
    kept = "".join(c if c == "'" or unicodedata.category(c)[0] in "LMN" else " " for c in lowered)
    words = (word.strip("'") for word in kept.split())
    return " ".join(word for word in words if word)
