"""Tagged text, whatever file it comes from: tokens with a label each, or with entities, which are spans of tokens.

read_tagged(paths)  ─▶  TaggedText, one a sentence  ─ in_context ─▶  TaggedText, one a stretch of a document
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unrolled.data.core.examples import Example
from unrolled.data.core.files import Source, check_encoding, find_sources
from unrolled.data.core.findings import Findings
from unrolled.data.tagged.columns import RawSentence, read_columns
from unrolled.data.tagged.schemes import OUTSIDE, Detected, Scheme, detect, irregular, spans_of, split_tag, tags_of
from unrolled.data.tagged.spans import read_spans
from unrolled.errors import DataError

#: what the labels of some text are: entities in BIOES, or a label for each token
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
        kind: what the tags are.
        document: the number of the document that it belongs to, within its file.
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
        """First token and the one after the last, of each sentence."""
        begin = 0
        for end in self.ends:
            yield begin, end
            begin = end

    def line_of(self, token: int) -> int | None:
        """The line of a token, if it is known."""
        return self.lines[token] if token < len(self.lines) else self.line


def read_tagged(
    paths: str | Path | Iterable[str | Path],
    findings: Findings,
    *,
    format: str = "auto",
    token_column: int = 0,
    label_column: int = -1,
    separator: str = "auto",
    scheme: Literal["auto", "iob1", "bio", "bioes", "labels"] = "auto",
    encoding: str = "utf-8",
    errors: str = "strict",
) -> list[TaggedText]:
    """The sentences of files and folders, in order, with entities in BIOES however the files spell them.

    Args:
        paths: files of CoNLL columns, or of JSON lines with spans; a .jsonl or .ndjson is of the latter.
        findings: told of what can't be used, and of what is suspicious.
        format: "columns" or "jsonl" for all files; "auto" by name, then by content.
        token_column, label_column, separator: as `read_columns` takes them.
        scheme: what columns are in; "auto" looks at each file.
        encoding, errors: of the text.

    Raises:
        StorageError, DataError, EncodingError, ArgumentError: naming file and line.
    """
    check_encoding(encoding, errors)
    found: list[TaggedText] = []
    for source in find_sources(paths):
        wanted: Scheme | None
        if _format(source, format) == "jsonl":
            raw = list(read_spans(source, findings, encoding=encoding, errors=errors))
            wanted = "labels" if scheme == "labels" else None
        else:
            raw = list(
                read_columns(
                    source,
                    findings,
                    token_column=token_column,
                    label_column=label_column,
                    separator=separator,
                    encoding=encoding,
                    errors=errors,
                )
            )
            wanted = None if scheme == "auto" else scheme
        found += _converted(raw, source, wanted, findings)
    odd = next((text for text in found if text.kind != found[0].kind), None)
    if odd is not None:
        said = {"labels": "of no tag scheme", "entities": "of a tag scheme"}
        raise DataError(
            f"the labels here are {said[odd.kind]}, those of {found[0].path} are {said[found[0].kind]}; see "
            "--label-column, or give --scheme labels to take every label as it is",
            odd.path,
            odd.line,
        )
    return found


def _format(source: Source, format: str) -> str:
    if format != "auto":
        return format
    name = source.inner_name
    if name.endswith((".jsonl", ".ndjson")):
        return "jsonl"
    return "jsonl" if source.head(256).lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b'{"') else "columns"


def _converted(
    raw: Sequence[RawSentence], source: Source, wanted: Scheme | None, findings: Findings
) -> Iterator[TaggedText]:
    """Sentences as they were found, in the internal scheme."""
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
            wrong = [n for n, tag in enumerate(tags) if tag in odd or not split_tag(tag)[0]]
            for n in wrong:
                message = f"label {tags[n]!r} belongs to no tag scheme, unlike the others: expected O, or a prefix and "
                message += "a type, such as B-LOC"
                findings.error("no tag", message, source.name, sentence.lines[n])
            if wrong:
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


def _compare(detected: Detected, wanted: Scheme | None, source: Source, findings: Findings) -> None:
    """Warn of a file that is in another scheme than it is said to be in, or in two at once."""
    if wanted in ("iob1", "bio") and detected.scheme in ("iob1", "bio") and wanted != detected.scheme:
        said, other = detected.counted[wanted], detected.counted[detected.scheme]
        if other:
            message = (
                f"read as {wanted.upper()}, but {other} of {said + other} entities begin as only "
                f"{detected.scheme.upper()} lets them; leave out --scheme to have it detected"
            )
            findings.warning("scheme", message, source.name)
    elif wanted is None and detected.scheme in ("iob1", "bio"):
        mine = detected.counted[detected.scheme]
        other = sum(detected.counted.values()) - mine
        if other * 20 > mine:
            message = f"taken for {detected.scheme.upper()}, but {other} of {mine + other} entities begin as in another"
            findings.warning("scheme", f"{message} scheme; is the file put together from two?", source.name)


def in_context(texts: Sequence[TaggedText], tokens: int) -> list[TaggedText]:
    """Neighbouring sentences of one document joined, up to `tokens` in all; a longer sentence stays alone.

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
