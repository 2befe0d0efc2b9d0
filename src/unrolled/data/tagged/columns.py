"""Text in columns, as the CoNLL shared tasks and Universal Dependencies publish it: a token and its label a line.

    EU NNP I-NP I-ORG
    rejects VBZ I-VP O

An empty line, or one of spaces and tabs alone, ends a sentence; a line that begins with `-DOCSTART-`, `#begin document`
or `# newdoc` begins a document. Columns are separated by tabs where the first token has one behind it, else by any
space. In files separated by tabs a token may hold spaces, or be one, and a line without a tab that begins with `#` is a
comment.

**Columns by name.** CoNLL-U's ten (https://universaldependencies.org/format.html) are id, form, lemma, upos, xpos,
feats, head, deprel, deps and misc; CoNLL-U Plus names its own in a first line `# global.columns = …`. Tokens are then
in form and labels in upos, unless others are named, and ranges (4-5) and empty nodes (3.1) are skipped. In other files
tokens are in the first column, or in the second if the first counts them, and labels in the last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.errors import ArgumentError, DataError

SEPARATORS = ("auto", "tab", "space")
DOCUMENT = "-DOCSTART-"
CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
_NEW_DOCUMENT = re.compile(r"#\s*(begin document|newdoc\b)")
_GLOBAL = re.compile(r"#\s*global\.columns\s*=\s*(.+)", re.IGNORECASE)
#: ids of tokens that cover several others, and of nodes that stand for nothing in the text
_RANGE = re.compile(r"\d+(-|\.)\d+")
_HEAD = 1 << 15


@dataclass
class RawSentence:
    """A sentence as the file has it.

    Attributes:
        line: its first line.
        document: the number of its document within the file.
        tokens, tags: equally many.
        lines: the 1-based line of each token.
    """

    line: int
    document: int
    tokens: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    is_bad: bool = False


@dataclass(frozen=True)
class ColumnLayout:
    """The layout of one file: how its lines are cut, and which columns are read.

    Attributes:
        by_tab: whether tabs part the columns, else any white space.
        names: of the columns, in lower case; empty if they have none.
        token, label: columns from 0; below 0 from the last.
        counts: whether the first column counts the tokens: lines whose id is a range or an empty node are skipped.
    """

    by_tab: bool
    names: tuple[str, ...]
    token: int
    label: int
    counts: bool

    def described(self) -> str:
        """Return in words which columns are read."""
        if self.names:
            return f"tokens in {self.names[self.token]}, labels in {self.names[self.label]} of {', '.join(self.names)}"
        return f"tokens in column {self.token}, labels in column {self.label} (from 0; below 0 from the last)"


def layout_of(
    source: Source,
    token_column: int | str | None = None,
    label_column: int | str | None = None,
    separator: str = "auto",
    encoding: str = "utf-8",
) -> ColumnLayout:
    """Find out how a file in columns is laid out.

    Args:
        source: the file.
        token_column, label_column: a number from 0, below 0 counted from the last, or a name; None finds out.
        separator: "tab", "space" (any run of white space), or "auto".
        encoding: of the text.

    Raises:
        ArgumentError: a separator that there is not.
        DataError: a column is called by a name, and there is none of it.
    """
    if separator not in SEPARATORS:
        raise ArgumentError(f"--separator: expected {', '.join(SEPARATORS)}, found {separator!r}")
    lines = source.head(_HEAD).decode(encoding, "replace").splitlines()
    tokens = [line for line in lines if line.strip() and not line.startswith("#")]
    first = tokens[0] if tokens else next((line for line in lines if line.strip()), "")
    by_tab = "\t" in first if separator == "auto" else separator == "tab"
    named = next((match for line in lines[:1] if (match := _GLOBAL.match(line))), None)
    # the last line of the head may be cut
    rows = [line.split("\t") if by_tab else line.split() for line in lines[:-1] or lines if not line.startswith("#")]
    counts = _first_counts(rows)
    names: tuple[str, ...] = ()
    if named is not None:
        names = tuple(named[1].lower().split())
    elif source.inner_name.endswith(".conllu") or (counts and by_tab and all(len(r) == 10 for r in rows if len(r) > 1)):
        names = CONLLU
    token = _column(token_column, names, "form", 1 if counts else 0, "token", source)
    label = _column(label_column, names, "upos", -1, "label", source)
    return ColumnLayout(by_tab, names, token, label, counts or names[:1] == ("id",))


def _first_counts(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first column counts the tokens of each sentence from 1, or from 0."""
    expected, seen = -1, 0
    for row in rows:
        if len(row) < 2:
            expected = -1
        elif not _RANGE.fullmatch(row[0]):
            allowed = (0, 1) if expected < 0 else (expected,)
            if not row[0].isdigit() or int(row[0]) not in allowed:
                return False
            expected, seen = int(row[0]) + 1, seen + 1
    return seen > 1


def _column(
    wanted: int | str | None, names: Sequence[str], usual: str, default: int, option: str, source: Source
) -> int:
    if wanted is None:
        return names.index(usual) if usual in names else default
    if isinstance(wanted, int) or wanted.lstrip("-").isdigit():
        return int(wanted)
    if wanted.lower() in names:
        return names.index(wanted.lower())
    known = f"its columns are {', '.join(names)}" if names else "its columns have no names; give a number from 0"
    raise DataError(f"no column {wanted!r} for --{option}-column: {known}", source.name)


def read_columns(
    source: Source,
    findings: Findings,
    *,
    token_column: int | str | None = None,
    label_column: int | str | None = None,
    separator: str = "auto",
    encoding: str = "utf-8",
    errors: str = "strict",
) -> Iterator[RawSentence]:
    """Yield the sentences of one file.

    Args:
        source: the file.
        findings: collects lines that can't be used; their whole sentences are left out.
        token_column, label_column, separator: as `layout_of` takes them.
        encoding, errors: of the text.

    Raises:
        ArgumentError: a separator that there is not.
        DataError, EncodingError, StorageError: as reading text does, or a bad line if `findings` is strict.
    """
    layout = layout_of(source, token_column, label_column, separator, encoding)
    width, document = 0, 0
    sentence: RawSentence | None = None
    for number, line in source.text_lines(encoding, errors):
        cells = line.split("\t") if layout.by_tab else line.split()
        begins = cells[0].strip() == DOCUMENT if cells else False
        is_comment = line.startswith("#") and (
            layout.counts
            or bool(layout.names)
            or (layout.by_tab and "\t" not in line)
            or bool(_NEW_DOCUMENT.match(line))
        )
        if not line.strip() or begins or is_comment:
            document += begins or (is_comment and bool(_NEW_DOCUMENT.match(line)))
            if sentence is not None and not sentence.is_bad and sentence.tokens:
                yield sentence
            sentence = None
            continue
        if layout.counts and _RANGE.fullmatch(cells[0]):
            continue
        sentence = sentence or RawSentence(number, document)
        fault = _fault(cells, width, layout)
        if fault:
            sentence.is_bad = True
            findings.error(*fault, source.name, number)
            continue
        width = width or len(cells)
        # a token may be a space
        sentence.tokens.append(cells[layout.token].strip() or cells[layout.token])
        sentence.tags.append(cells[layout.label].strip())
        sentence.lines.append(number)
    if sentence is not None and not sentence.is_bad and sentence.tokens:
        yield sentence


def _fault(cells: list[str], width: int, layout: ColumnLayout) -> tuple[str, str] | None:
    """Kind and message of what is wrong with a line, or None."""
    if width and len(cells) != width:
        columns = f"{len(cells)} column{'s' * (len(cells) != 1)}"
        return "ragged", f"{columns} where the lines before have {width}; the sentence can't be used"
    for name, column in (("token", layout.token), ("label", layout.label)):
        if not -len(cells) <= column < len(cells):
            return "missing column", f"no {name} column {column} in a line of {len(cells)}; give --{name}-column"
    if layout.token % len(cells) == layout.label % len(cells):
        return "missing column", (
            f"token and label are the same column of {len(cells)}: a line is a token and its label, separated by a tab "
            "or spaces; see --separator"
        )
    if not cells[layout.token]:
        return "empty token", "the token is empty; the sentence can't be used"
    if not cells[layout.label].strip():
        return "empty label", "the label is empty; the sentence can't be used"
    return None
