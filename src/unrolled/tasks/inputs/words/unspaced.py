"""Raw text cut into tokens as those of the training data are, where its words alone don't tell.

Whether tokens of Chinese, Japanese, Thai and their like are words or characters, and whether spaces are tokens, only
the training data tells. Each run of a script without spaces is cut into the fewest tokens that training has seen, as
text put together from them would be. What it has not seen stays together, or is cut into characters where tokens are
characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from unrolled.data.text.words import Word, split_words

#: Thai, Lao, Tibetan, Burmese, Khmer, Japanese and Chinese
_SCRIPTS = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_RUN = re.compile(f"[{_SCRIPTS}\U00020000-\U0003ffff]+")
#: share of tokens that decides about all
_MOST = 0.9
#: characters of the longest token that is looked for
_LONGEST = 32


class _Way(NamedTuple):
    """The cheapest way to cut a run up to a place: its unknown characters, its tokens, the length of the last one."""

    unknown: int
    tokens: int
    last: int


class TokenCutter:
    """Cuts raw text into the tokens of some training data.

    Args:
        counts: how often each of these tokens occurred.

    >>> [word.text for word in TokenCutter(dict.fromkeys(["ฝน", "ตก", " ", "ที่"], 1))("ฝนตก ที่นา")]
    ['ฝน', 'ตก', ' ', 'ที่', 'นา']
    >>> [word.text for word in TokenCutter({"小": 3, "明": 2})("小明去 Rome")]
    ['小', '明', '去', 'Rome']
    """

    def __init__(self, counts: Mapping[str, int]) -> None:
        unspaced = {token: count for token, count in counts.items() if _RUN.fullmatch(token)}
        self._known = frozenset(token for token in unspaced if len(token) <= _LONGEST)
        self._longest = max(map(len, self._known), default=1)
        single = sum(count for token, count in unspaced.items() if len(token) == 1)
        self._by_character = single > _MOST * sum(unspaced.values())
        #: blanks that are tokens
        self.blanks = frozenset(token for token in counts if token.isspace())

    def __call__(self, text: str) -> list[Word]:
        """Return the tokens of a text, in order, with their places."""
        words: list[Word] = []
        at = 0
        for match in _RUN.finditer(text) if self._known else ():
            words += self._between(text, at, match.start())
            words += self._run(match.group(), match.start())
            at = match.end()
        return [*words, *self._between(text, at, len(text))]

    def settled(self, text: str) -> int:
        """Return how many characters of a text have tokens that nothing behind it changes."""
        if self.blanks:
            return len(re.sub(r"(?<!\S)\S*$", "", text).rstrip())
        each = self._by_character and self._longest == 1
        return max((n for n, c in enumerate(text, 1) if c.isspace() or (each and _RUN.match(c))), default=0)

    def _between(self, text: str, start: int, end: int) -> Iterator[Word]:
        """Tokens of other scripts, and blanks where these are tokens."""
        at = start
        for word in split_words(text[start:end]):
            yield from self._blank(text, at, start + word.start)
            at = start + word.end
            yield Word(word.text, start + word.start, at)
        yield from self._blank(text, at, end)

    def _blank(self, text: str, start: int, end: int) -> Iterator[Word]:
        blank = text[start:end]
        if blank and self.blanks and "\n" not in blank:
            # of more spaces than training has seen together the first one is the token
            blank = blank if blank in self.blanks else blank[0]
            yield Word(blank, start, start + len(blank))

    def _run(self, text: str, start: int) -> list[Word]:
        """The fewest known tokens, as few characters as possible left between them."""
        best = [_Way(0, 0, 0)]
        for end in range(1, len(text) + 1):
            ways = [_Way(best[-1].unknown + 1, best[-1].tokens + 1, 0)]
            for length in range(1, min(self._longest, end) + 1):
                if text[end - length : end] in self._known:
                    before = best[end - length]
                    ways.append(_Way(before.unknown, before.tokens + 1, length))
            best.append(min(ways, key=lambda way: (way.unknown, way.tokens, -way.last)))
        words: list[Word] = []
        end, joins = len(text), False
        while end > 0:
            is_unknown = best[end].last == 0
            begin = end - (best[end].last or 1)
            if is_unknown and joins and not self._by_character:
                words[-1] = Word(text[begin] + words[-1].text, start + begin, words[-1].end)
            else:
                words.append(Word(text[begin:end], start + begin, start + end))
            end, joins = begin, is_unknown
        return words[::-1]
