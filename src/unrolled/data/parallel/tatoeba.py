"""Tatoeba's exports: sentences in many languages, and links between those that translate each other.

    sentences.csv, deu_sentences.tsv        id, language, text
    links.csv, deu-eng_links.tsv            id, id

Source: https://tatoeba.org/en/downloads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from unrolled.data.core.dialect import TableOptions
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.errors import DataError

_SENTENCES = re.compile(r"(\w+_)?sentences(_detailed)?\.(csv|tsv)")
_LINKS = re.compile(r"([\w-]+_)?links\.(csv|tsv)")

P = TypeVar("P")


def is_tatoeba(sources: Sequence[Source]) -> bool:
    """Return whether some files are an export: sentences with links."""
    names = [source.inner_name for source in sources]
    return any(map(_SENTENCES.fullmatch, names)) and any(map(_LINKS.fullmatch, names))


def read_tatoeba(
    sources: Sequence[Source],
    sides: tuple[str, str] | None,
    options: TableOptions,
    findings: Findings,
    pair: Callable[[str, str, Findings, str, int], Iterator[P]],
) -> Iterator[P]:
    """Yield the pairs of an export, in the order of its links.

    Args:
        sides: the languages, source first; None takes the only two, in the order of the first link.
        pair: makes a pair of source, target, findings, file and line.

    Raises:
        DataError: more than two languages, and none was named.
    """
    texts: dict[str, tuple[str, str]] = {}
    for source in sources:
        if _SENTENCES.fullmatch(source.inner_name):
            for number, line in source.filled_lines(options.encoding, options.errors):
                cells = line.split("\t")
                if len(cells) < 3:
                    findings.error("malformed", "expected id, language and text with tabs", source.name, number)
                elif sides is None or cells[1] in sides:
                    texts[cells[0].strip()] = (cells[1], cells[2])
    languages = list(dict.fromkeys(language for language, _ in texts.values()))
    if sides is None and len(languages) != 2:
        shown = ", ".join(sorted(languages)[:12])
        raise DataError(
            f"{len(languages)} languages ({shown}, …); name two with --source and --target", sources[0].path
        )
    links = (source for source in sources if _LINKS.fullmatch(source.inner_name))
    for source in links:
        for number, line in source.filled_lines(options.encoding, options.errors):
            ids = line.split("\t")
            first, second = (texts.get(each.strip()) for each in (*ids, "", "")[:2])
            if first is None or second is None or first[0] == second[0]:
                continue
            sides = sides or (first[0], second[0])
            if (first[0], second[0]) == sides:
                yield from pair(first[1], second[1], findings, source.name, number)
