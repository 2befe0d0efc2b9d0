"""JSON lines with entities as spans of characters, or with tokens and tags.

    {"text": "Rome is old", "spans": [{"start": 0, "end": 4, "label": "LOC"}]}
    {"tokens": ["Rome", "is", "old"], "tags": ["B-LOC", "O", "O"]}

Text is cut into words by `split_words`; a word in which an entity begins or ends is cut there as well.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from unrolled.data.core.files import Source, filled_lines
from unrolled.data.core.findings import Findings
from unrolled.data.tagged.columns import RawSentence
from unrolled.data.tagged.schemes import Span, tags_of
from unrolled.data.text.words import Word, split_words


class _WrongError(Exception):
    """What is wrong with a line: kind and message."""


def read_spans(
    source: Source, findings: Findings, *, encoding: str = "utf-8", errors: str = "strict"
) -> Iterator[RawSentence]:
    """The texts of one file, tags in BIOES where they are given as spans.

    Args:
        source: the file.
        findings: told of each line that can't be used, which is left out; and of entities that begin or end within a
            word.
        encoding, errors: of the text.

    Raises:
        DataError, EncodingError, StorageError: as reading text does, or a bad line if `findings` is strict.
    """
    for number, line in filled_lines(source, encoding, errors):
        try:
            value = json.loads(line)
            tokens, tags, cut = _tokens_and_tags(value)
        except (_WrongError, ValueError, RecursionError) as error:
            kind, message = error.args if isinstance(error, _WrongError) else ("not JSON", f"not valid JSON: {error}")
            findings.error(kind, message, source.name, number)
            continue
        for word in cut:
            message = f"an entity begins or ends within {word!r}, which is cut there; the model will rarely find it"
            findings.warning("cut word", message, source.name, number)
        yield RawSentence(number, number, tokens, tags, [number] * len(tokens))


def _tokens_and_tags(value: Any) -> tuple[list[str], list[str], list[str]]:
    if not isinstance(value, dict):
        raise _WrongError("no text", f"expected an object, found {type(value).__name__}")
    if "tokens" in value:
        tokens: Any = value["tokens"]
        tags: Any = value.get("tags")
        for name, found in (("tokens", tokens), ("tags", tags)):
            if not isinstance(found, list) or not all(isinstance(one, str) and one.strip() for one in found):
                raise _WrongError("no tokens", f"{name!r}: expected a list of strings, none of them empty")
        if len(tokens) != len(tags):
            raise _WrongError("unequal", f"{len(tokens)} tokens and {len(tags)} tags")
        return tokens, tags, []
    text, spans = value.get("text"), value.get("spans")
    if not isinstance(text, str):
        keys = ", ".join(map(repr, list(value)[:8])) or "none"
        raise _WrongError("no text", f"expected a string under 'text', or 'tokens' and 'tags' (keys: {keys})")
    if not isinstance(spans, list):
        raise _WrongError("no spans", "expected a list under 'spans', empty where the text has no entity")
    entities = sorted(_entity(span, text) for span in spans)
    for (_, end, label), (start, _, other) in itertools.pairwise(entities):
        if start < end:
            raise _WrongError("overlap", f"spans overlap at character {start}: {label!r} and {other!r}")
    borders = {at for start, end, _ in entities for at in (start, end)}
    words, cut = _cut(split_words(text), borders)
    found = []
    for start, end, label in entities:
        inside = [n for n, word in enumerate(words) if start <= word.start and word.end <= end]
        if not inside:
            raise _WrongError("empty span", f"span {start} to {end} ({label!r}) covers no word")
        found.append(Span(inside[0], inside[-1] + 1, label))
    return [word.text for word in words], tags_of(found, len(words)), cut


def _entity(span: Any, text: str) -> tuple[int, int, str]:
    if not isinstance(span, dict):
        raise _WrongError("no spans", f"a span: expected an object with start, end and label, found {span!r:.40}")
    start, end, label = (span.get(name) for name in ("start", "end", "label"))
    for name, place in (("start", start), ("end", end)):
        if not isinstance(place, int) or isinstance(place, bool):
            raise _WrongError("no spans", f"a span's {name}: expected a number of characters, found {place!r:.40}")
    if not isinstance(label, str) or not label.strip():
        raise _WrongError("no spans", f"a span's label: expected text, found {label!r:.40}")
    if not 0 <= start < end <= len(text):  # type: ignore[operator]
        raise _WrongError("outside", f"span {start} to {end} does not lie in the text of {len(text)} characters")
    return start, end, label  # type: ignore[return-value]


def _cut(words: list[Word], borders: set[int]) -> tuple[list[Word], list[str]]:
    """Words cut at the borders that lie within them, and which were."""
    pieces: list[Word] = []
    cut: list[str] = []
    for word in words:
        inner = sorted(at for at in borders if word.start < at < word.end)
        if inner:
            cut.append(word.text)
        places = [word.start, *inner, word.end]
        pieces += [Word(word.text[a - word.start : b - word.start], a, b) for a, b in itertools.pairwise(places)]
    return pieces, cut
