"""Tagged text, whatever file it comes from: tokens with a label each, or with entities, which are spans of tokens.

read_tagged(paths)  ─▶  TaggedText, one a sentence  ─ in_context ─▶  TaggedText, one a stretch of a document
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from unrolled.data.core.dialect import TableOptions
from unrolled.data.core.encodings import check_encoding
from unrolled.data.core.examples import Example
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.core.folders import Paths, find_sources
from unrolled.data.core.tables import JSON_LINES, PARQUET, open_tables
from unrolled.data.tagged.columns import RawSentence, layout_of, read_columns
from unrolled.data.tagged.schemes import OUTSIDE, Detected, Scheme, detect, irregular, spans_of, split_tag, tags_of
from unrolled.data.tagged.spans import TAG_NAMES, TOKEN_NAMES, columns_of_tokens, read_spans, read_token_rows
from unrolled.errors import DataError

#: the labels of some text: entities in BIOES, or a label for each token
Kind = Literal["entities", "labels"]
FORMATS = ("auto", "columns", "jsonl")
#: a sentence of more tokens than this is most likely several, whose borders got lost
LONG = 250


@dataclass(frozen=True, kw_only=True)
class TaggedText(Example):
    """One sentence, or several of one document in a row.

    Attributes:
        tokens: of all its sentences.
        tags: one a token: BIOES for entities, the labels themselves otherwise.
        ends: for each sentence the token after its last.
        lines: the 1-based line of each token.
        kind: entities or labels.
        document: the number of its document within its file.
        scheme: how the file spelled its tags.
    """

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    ends: tuple[int, ...]
    lines: tuple[int, ...] = ()
    kind: Kind = "entities"
    document: int = 0
    scheme: Scheme = "bio"

    @property
    def given(self) -> dict[str, list[tuple[str, ...]]]:
        """Return the tokens, sentence by sentence."""
        return {"sentences": [self.tokens[begin:end] for begin, end in self.sentences()]}

    @property
    def target(self) -> tuple[str | None, ...]:
        """Return the tags, None between two sentences."""
        target: list[str | None] = []
        for begin, end in self.sentences():
            target += [*([None] if target else []), *self.tags[begin:end]]
        return tuple(target)

    @property
    def key(self) -> str:
        """The tokens."""
        return "\x1f".join(self.tokens)

    @property
    def labels(self) -> tuple[str, ...]:
        """The types of its entities, or the labels of its tokens."""
        if self.kind == "labels":
            return tuple(sorted(set(self.tags)))
        return tuple(sorted({split_tag(tag)[1] for tag in self.tags if tag != OUTSIDE}))

    @property
    def is_empty(self) -> bool:
        """Whether it has no token."""
        return not self.tokens

    def sentences(self) -> Iterator[tuple[int, int]]:
        """Yield the first token and the one after the last, of each sentence."""
        begin = 0
        for end in self.ends:
            yield begin, end
            begin = end

    def line_of(self, token: int) -> int | None:
        """Return the line of a token, if it is known."""
        return self.lines[token] if token < len(self.lines) else self.line


def read_tagged(
    paths: Paths,
    findings: Findings,
    *,
    format: str = "auto",
    token_column: int | str | None = None,
    label_column: int | str | None = None,
    separator: str = "auto",
    scheme: Literal["auto", "iob1", "bio", "bioes", "labels"] = "auto",
    encoding: str = "utf-8",
    errors: Literal["strict", "replace"] = "strict",
) -> list[TaggedText]:
    """Return the sentences of files and folders, in order, with entities in BIOES however the files spell them.

    Args:
        paths: files of CoNLL columns; JSON lines or Parquet, with spans, or tokens and tags; CSV of a token a row.
        findings: collects data that can't be used, and suspicious data.
        format: "columns" or "jsonl" for all files; "auto" by name, then by content.
        token_column, label_column, separator: as `layout_of` takes them.
        scheme: of columns; "auto" looks at each file.
        encoding, errors: of the text.

    Raises:
        StorageError, DataError, EncodingError, ArgumentError: naming file and line.
    """
    check_encoding(encoding, errors)
    options = TableOptions(encoding=encoding, errors=errors)
    texts: list[TaggedText] = []
    for source in find_sources(paths, binary=PARQUET):
        wanted: Scheme | None = None if scheme == "auto" else scheme
        kind = _format(source, format)
        if kind == "columns":
            layout = layout_of(source, token_column, label_column, separator, encoding)
            findings.understood.append(f"{source.name}: {layout.described()}")
            reading = {"separator": separator, "encoding": encoding, "errors": errors}
            columns = {"token_column": token_column, "label_column": label_column}
            raw = list(read_columns(source, findings, **columns, **reading))  # type: ignore[arg-type]
        elif kind == "jsonl":
            (table,) = open_tables(
                source, options, format="parquet" if source.inner_name.endswith(PARQUET) else "jsonl"
            )
            raw = list(read_spans(table.rows(findings), findings))
            wanted = "labels" if scheme == "labels" else None
        else:
            (table,) = open_tables(source, options, known=TOKEN_NAMES, beside=TAG_NAMES)
            token, tag = columns_of_tokens(table, token_column, label_column)
            table.note(findings, {token: "token", tag: "label"})
            raw = list(read_token_rows(table, token, tag, findings))
        texts += _converted(raw, source, wanted, findings)
    odd = next((text for text in texts if text.kind != texts[0].kind), None)
    if odd is not None:
        words = {"labels": "of no tag scheme", "entities": "of a tag scheme"}
        raise DataError(
            f"the labels here are {words[odd.kind]}, those of {texts[0].path} are {words[texts[0].kind]}; see "
            "--label-column, or give --scheme labels to take every label as it is",
            odd.path,
            odd.line,
        )
    return texts


def _format(source: Source, format: str) -> str:
    if format != "auto":
        return format
    name = source.inner_name
    if name.endswith((*JSON_LINES, *PARQUET)):
        return "jsonl"
    if name.endswith(".csv"):
        return "table"
    return "jsonl" if re.match(rb'\{"|\[\s*\{"', source.head(256).lstrip(b"\xef\xbb\xbf \r\n\t")) else "columns"


def _converted(
    raw: Sequence[RawSentence], source: Source, wanted: Scheme | None, findings: Findings
) -> Iterator[TaggedText]:
    """Sentences of a file, in the internal scheme."""
    _warn_of_positions(raw, source, findings)
    detected = detect(sentence.tags for sentence in raw)
    scheme, odd = wanted or detected.scheme, detected.odd
    _compare(detected, wanted, source, findings)
    kind: Kind = "labels" if scheme == "labels" else "entities"
    for sentence in raw:
        tags: Sequence[str] = sentence.tags
        if not tags:
            findings.warning("empty", "no token in this text, which is left out", source.name, sentence.line)
            continue
        if kind == "entities":
            strays = [n for n, tag in enumerate(tags) if tag in odd or not split_tag(tag)[0]]
            for n in strays:
                message = f"label {tags[n]!r} belongs to no tag scheme, unlike the others: expected O, or a prefix and "
                message += "a type, such as B-LOC"
                findings.error("no tag", message, source.name, sentence.lines[n])
            if strays:
                continue
            for n, message in irregular(tags, scheme):
                findings.warning("impossible transition", message, source.name, sentence.lines[n])
            tags = tags_of(spans_of(tags), len(tags))
        if len(tags) > LONG:
            message = f"a sentence of {len(tags)} tokens; is an empty line missing between sentences?"
            findings.warning("long sentence", message, source.name, sentence.line)
        yield TaggedText(
            path=source.name,
            line=sentence.line,
            tokens=tuple(sentence.tokens),
            tags=tuple(tags),
            ends=(len(tags),),
            lines=tuple(sentence.lines),
            kind=kind,
            document=sentence.document,
            scheme=scheme,
        )


def _warn_of_positions(raw: Sequence[RawSentence], source: Source, findings: Findings) -> None:
    """Warn of tokens that are characters with their position glued on: 小0 明1 去2."""
    tokens = [(n, token) for sentence in raw for n, token in enumerate(sentence.tokens)]
    glued = sum(token.endswith((str(n), str(n + 1))) and len(token) > len(str(n)) for n, token in tokens)
    if len(tokens) > 5 and glued > 0.9 * len(tokens):
        shown = " ".join(raw[0].tokens[:3])
        message = (
            f"the tokens look like characters with a position glued on ({shown}): remove the numbers from the file"
        )
        findings.warning("glued position", message, source.name, raw[0].lines[0])


def _compare(detected: Detected, wanted: Scheme | None, source: Source, findings: Findings) -> None:
    """Warn of a file that is in another scheme than stated, or in two at once."""
    if wanted in ("iob1", "bio") and detected.scheme in ("iob1", "bio") and wanted != detected.scheme:
        own, other = detected.counted[wanted], detected.counted[detected.scheme]
        if other:
            message = (
                f"read as {wanted.upper()}, but {other} of {own + other} entities begin as only "
                f"{detected.scheme.upper()} lets them; leave out --scheme to have it detected"
            )
            findings.warning("scheme", message, source.name)
    elif wanted is None and detected.scheme in ("iob1", "bio"):
        own = detected.counted[detected.scheme]
        other = sum(detected.counted.values()) - own
        if other * 20 > own:
            message = f"taken for {detected.scheme.upper()}, but {other} of {own + other} entities begin as in another"
            findings.warning("scheme", f"{message} scheme; is the file put together from two?", source.name)


def in_context(texts: Sequence[TaggedText], tokens: int) -> list[TaggedText]:
    """Join neighbouring sentences of a document, up to `tokens` in all; a longer sentence stays alone.

    >>> a, b = (TaggedText(tokens=(w,), tags=("O",), ends=(1,), lines=(n,)) for n, w in enumerate("ab", 1))
    >>> in_context([a, b], 2)[0].tokens, in_context([a, b], 2)[0].ends, len(in_context([a, b], 1))
    (('a', 'b'), (1, 2), 2)
    """
    joined: list[TaggedText] = []
    group: list[TaggedText] = []
    count = 0
    for text in texts:
        fits = count + len(text.tokens) <= tokens
        if group and not (fits and (group[-1].path, group[-1].document) == (text.path, text.document)):
            joined.append(_joined(group))
            group, count = [], 0
        group.append(text)
        count += len(text.tokens)
    if group:
        joined.append(_joined(group))
    return joined


def _joined(group: Sequence[TaggedText]) -> TaggedText:
    if len(group) == 1:
        return group[0]
    ends, at = [], 0
    for text in group:
        ends += [at + end for end in text.ends]
        at += len(text.tokens)
    return dataclasses.replace(
        group[0],
        tokens=tuple(token for text in group for token in text.tokens),
        tags=tuple(tag for text in group for tag in text.tags),
        lines=tuple(line for text in group for line in text.lines),
        ends=tuple(ends),
    )
