"""Parts of words by number, without a list of them: an unknown word has known parts.

Source: Bojanowski et al. 2017, Enriching Word Vectors with Subword Information, arXiv 1607.04606; numbers by hashing:
Weinberger et al. 2009, arXiv 0902.2206.
"""

from __future__ import annotations

import zlib

#: characters of a part, borders of the word included
SHORTEST, LONGEST = 3, 5


def parts_of(word: str) -> list[str]:
    """Return the stretches of 3 to 5 characters of a word between its borders; the whole of one that is shorter.

    >>> parts_of("film")
    ['<fi', 'fil', 'ilm', 'lm>', '<fil', 'film', 'ilm>', '<film', 'film>']
    >>> parts_of("a")
    ['<a>']
    """
    marked = f"<{word}>"
    return [
        marked[at : at + length] for length in range(SHORTEST, LONGEST + 1) for at in range(len(marked) - length + 1)
    ] or [marked]


def pair_number(first: str, second: str, buckets: int) -> int:
    """Return a number from 0 to below `buckets` for two neighbouring words."""
    return zlib.crc32(f"{first} {second}".encode("utf-8", "surrogatepass")) % buckets


def part_numbers(word: str, buckets: int) -> list[int]:
    """Return the parts of a word as numbers from 0 to below `buckets`, the same on every machine and in every process.

    >>> part_numbers("film", 1000)[:3]
    [779, 285, 27]
    """
    return [zlib.crc32(part.encode("utf-8", "surrogatepass")) % buckets for part in parts_of(word)]
