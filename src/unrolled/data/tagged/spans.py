"""Tagged text in rows: JSON lines or Parquet with spans of characters or with tokens and tags; tables of tokens.

    {"text": "Rome is old", "spans": [{"start": 0, "end": 4, "label": "LOC"}]}
    {"tokens": ["Rome", "is", "old"], "tags": ["B-LOC", "O", "O"]}
    Sentence #,Word,Tag

Text is cut into words by `split_words`; a word in which an entity begins or ends is cut there as well. Instead of
`tags`, the names of `TAGS` are read. In a table of tokens a sentence begins where its column changes; without such a
column the table is one sentence.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from unrolled.data.core.findings import Findings
from unrolled.data.core.rows import TableRow
from unrolled.data.core.tables import Table
from unrolled.data.tagged.columns import RawSentence
from unrolled.data.tagged.schemes import Span, tags_of
from unrolled.data.text.words import Word, split_words
from unrolled.errors import DataError

#: keys of tags beside `tokens`, in the order in which they are looked for
TAGS = ("tags", "ner_tags", "labels", "ner", "pos_tags", "pos", "upos")
#: names of columns in a table of tokens
ONE_TOKEN = ("token", "word", "form")
TOKEN_NAMES = (*ONE_TOKEN, "tokens", "words")
TAG_NAMES = ("tag", "label", "ner", "ner_tag", "entity", "pos", "upos", *TAGS)
SENTENCE_NAMES = ("sentence #", "sentence", "sentence_id", "sentence_idx", "sent_id", "sent")


class _WrongError(Exception):
    """A fault of a row: kind and message."""


def read_token_rows(table: Table, token: str, tag: str, findings: Findings) -> Iterator[RawSentence]:
    """Yield the sentences of a table with a token a row.

    Args:
        table: as it was opened.
        token, tag: its columns.
        findings: collects rows that can't be used; their whole sentences are left out.
    """
    for rows in sentence_rows(table, findings):
        sentence = RawSentence(rows[0].line, 0)
        for row in rows:
            word, label = row.get(token), str(row.get(tag) or "").strip()
            if not word or not label:
                sentence.is_bad = True
                findings.error("empty token", f"{'token' if not word else 'label'} is empty", row.path, row.line)
                continue
            sentence.tokens.append(str(word).strip() or str(word))
            sentence.tags.append(label)
            sentence.lines.append(row.line)
        if sentence.tokens and not sentence.is_bad:
            yield sentence


def sentence_rows(table: Table, findings: Findings) -> Iterator[list[TableRow]]:
    """Yield the rows of each sentence of a table with a token a row; without a column of sentences all are one."""
    column = table.column_like(SENTENCE_NAMES)
    rows: list[TableRow] = []
    name = ""
    for row in table.rows(findings):
        named = "" if column is None else str(row.get(column) or "").strip()
        # some files name a sentence at its first token alone
        if rows and named and named != name:
            yield rows
            rows = []
        name = named or name
        rows.append(row)
    if rows:
        yield rows


def read_spans(rows: Iterator[TableRow], findings: Findings) -> Iterator[RawSentence]:
    """Yield the texts of some rows, tags in BIOES where they are given as spans.

    Args:
        rows: of JSON lines or Parquet.
        findings: collects rows that can't be used, which are left out, and entities that begin or end within a word.

    Raises:
        DataError, EncodingError, StorageError: as reading them does, or a bad row if `findings` is strict.
    """
    for row in rows:
        try:
            tokens, tags, cut = _tokens_and_tags(row)
        except _WrongError as error:
            kind, message = error.args
            findings.error(kind, message, row.path, row.line)
            continue
        for word in cut:
            message = f"an entity begins or ends within {word!r}, which is cut there; the model will rarely find it"
            findings.warning("cut word", message, row.path, row.line)
        yield RawSentence(row.line, row.line, tokens, tags, [row.line] * len(tokens))


def columns_of_tokens(table: Table, token_column: int | str | None, label_column: int | str | None) -> tuple[str, str]:
    """Return the columns of tokens and labels of a table with a token a row.

    Raises:
        DataError: one does not exist or can't be found by its name; names those that exist.
    """
    chosen = []
    for wanted, names, option in ((token_column, TOKEN_NAMES, "token"), (label_column, TAG_NAMES, "label")):
        if isinstance(wanted, int) or (wanted or "").lstrip("-").isdigit():
            # counted from 0, as in text in columns
            number = int(wanted or 0)
            if not -len(table.columns) <= number < len(table.columns):
                raise DataError(f"no {option} column {number}; {table.described()}", table.name, 1)
            chosen.append(table.columns[number])
            continue
        column = table.column_like(names) if wanted is None else table.column(str(wanted))
        if column is None:
            raise DataError(f"which column holds the {option}s? {table.described()}; name it with --{option}-column",
                            table.name, 1)  # fmt: skip
        chosen.append(column)
    return chosen[0], chosen[1]


def _tokens_and_tags(row: Mapping[str, object]) -> tuple[list[str], list[str], list[str]]:
    if "tokens" in row:
        key = next((key for key in TAGS if key in row), "tags")
        tokens, tags = (_strings(row.get(name), name) for name in ("tokens", key))
        if len(tokens) != len(tags):
            raise _WrongError("unequal", f"{len(tokens)} tokens and {len(tags)} tags")
        return tokens, tags, []
    text, spans = row.get("text"), row.get("spans", row.get("entities"))
    if not isinstance(text, str):
        keys = ", ".join(map(repr, list(row)[:8])) or "none"
        raise _WrongError("no text", f"expected a string under 'text', or 'tokens' and 'tags' (keys: {keys})")
    if not isinstance(spans, list):
        raise _WrongError("no spans", "expected a list under 'spans', empty where the text has no entity")
    entities = sorted(_entity(span, text) for span in spans)
    for (_, end, label), (start, _, other) in itertools.pairwise(entities):
        if start < end:
            raise _WrongError("overlap", f"spans overlap at character {start}: {label!r} and {other!r}")
    borders = {at for start, end, _ in entities for at in (start, end)}
    words, cut = _cut(split_words(text), borders)
    covered = []
    for start, end, label in entities:
        inside = [n for n, word in enumerate(words) if start <= word.start and word.end <= end]
        if not inside:
            raise _WrongError("empty span", f"span {start} to {end} ({label!r}) covers no word")
        covered.append(Span(inside[0], inside[-1] + 1, label))
    return [word.text for word in words], tags_of(covered, len(words)), cut


def _strings(value: object, name: str) -> list[str]:
    """A list of strings, or of numbers as strings; a string may be a space, and not empty."""
    if not isinstance(value, list) or not all(isinstance(item, (str, int)) and item != "" for item in value):
        raise _WrongError("no tokens", f"{name!r}: expected a list of strings, none of them empty")
    return [str(item) for item in value]


def _entity(span: object, text: str) -> tuple[int, int, str]:
    if isinstance(span, (list, tuple)) and len(span) == 3:
        # spaCy's and doccano's
        span = dict(zip(("start", "end", "label"), span, strict=True))
    if not isinstance(span, Mapping):
        raise _WrongError("no spans", f"a span: expected an object with start, end and label, found {span!r:.40}")
    start, end, label = (span.get(name) for name in ("start", "end", "label"))
    for name, place in (("start", start), ("end", end)):
        if not isinstance(place, int) or isinstance(place, bool):
            raise _WrongError("no spans", f"a span's {name}: expected a number of characters, found {place!r:.40}")
    if not isinstance(label, str) or not label.strip():
        raise _WrongError("no spans", f"a span's label: expected text, found {label!r:.40}")
    begin, stop = int(start or 0), int(end or 0)
    if not 0 <= begin < stop <= len(text):
        raise _WrongError("outside", f"span {begin} to {stop} does not lie in the text of {len(text)} characters")
    return begin, stop, label


def _cut(words: Sequence[Word], borders: set[int]) -> tuple[list[Word], list[str]]:
    """Words cut at the borders that lie within them, and the words that were cut."""
    pieces: list[Word] = []
    cut: list[str] = []
    for word in words:
        inner = sorted(at for at in borders if word.start < at < word.end)
        if inner:
            cut.append(word.text)
        places = [word.start, *inner, word.end]
        pieces += [Word(word.text[a - word.start : b - word.start], a, b) for a, b in itertools.pairwise(places)]
    return pieces, cut
