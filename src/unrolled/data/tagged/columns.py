"""Text in columns, as the CoNLL shared tasks publish it: a token a line, its label in the last column.

    EU NNP I-NP I-ORG
    rejects VBZ I-VP O

An empty line, or one of spaces and tabs alone, ends a sentence; a line that begins with `-DOCSTART-` begins a document.
Columns are separated by tabs where the first token has one behind it, else by any space. In files separated by tabs a
token may hold spaces, and a line without a tab that begins with `#` is a comment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from unrolled.data.core.files import Source, decode, text_lines
from unrolled.data.core.findings import Findings
from unrolled.errors import ArgumentError

SEPARATORS = ("auto", "tab", "space")
DOCUMENT = "-DOCSTART-"


@dataclass
class RawSentence:
    """A sentence as the file has it.

    Attributes:
        line: where it begins.
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


def read_columns(
    source: Source,
    findings: Findings,
    *,
    token_column: int = 0,
    label_column: int = -1,
    separator: str = "auto",
    encoding: str = "utf-8",
    errors: str = "strict",
) -> Iterator[RawSentence]:
    """The sentences of one file, as they are found.

    Args:
        source: the file.
        findings: told of each line that can't be used; its whole sentence is then left out.
        token_column, label_column: from 0; below 0 counted from the last.
        separator: "tab", "space" (any run of white space), or "auto".
        encoding, errors: of the text.

    Raises:
        ArgumentError: a separator that there is not.
        DataError, EncodingError, StorageError: as reading text does, or a bad line if `findings` is strict.
    """
    if separator not in SEPARATORS:
        raise ArgumentError(f"--separator: expected {', '.join(SEPARATORS)}, found {separator!r}")
    by_tab = _is_by_tab(source) if separator == "auto" else separator == "tab"
    width, document = 0, 0
    sentence: RawSentence | None = None
    for number, line in enumerate(text_lines(decode(source.chunks(), source.name, encoding, errors), source.name), 1):
        if not line.strip():
            if sentence is not None and not sentence.is_bad:
                yield sentence
            sentence = None
            continue
        if by_tab and line.startswith("#") and "\t" not in line:
            continue
        cells = line.rstrip("\r\n").split("\t") if by_tab else line.split()
        if cells[0].strip() == DOCUMENT:
            document += 1
            if sentence is not None and not sentence.is_bad:
                yield sentence
            sentence = None
            continue
        sentence = sentence or RawSentence(number, document)
        wrong = _fault(cells, width, token_column, label_column)
        if wrong:
            sentence.is_bad = True
            findings.error(*wrong, source.name, number)
            continue
        width = width or len(cells)
        sentence.tokens.append(cells[token_column].strip())
        sentence.tags.append(cells[label_column].strip())
        sentence.lines.append(number)
    if sentence is not None and not sentence.is_bad:
        yield sentence


def _is_by_tab(source: Source) -> bool:
    """Whether the first line that is neither empty nor looks like a comment has a tab."""
    lines = [line for line in source.head().split(b"\n") if line.strip()]
    return b"\t" in next((line for line in lines if not line.startswith(b"#")), lines[0] if lines else b"")


def _fault(cells: list[str], width: int, token_column: int, label_column: int) -> tuple[str, str] | None:
    """Kind and message of what is wrong with a line, or None."""
    if width and len(cells) != width:
        columns = f"{len(cells)} column{'s' * (len(cells) != 1)}"
        return "ragged", f"{columns} where the lines before have {width}; the sentence can't be used"
    for name, column in (("token", token_column), ("label", label_column)):
        if not -len(cells) <= column < len(cells):
            return "missing column", f"no {name} column {column} in a line of {len(cells)}; give --{name}-column"
    if token_column % len(cells) == label_column % len(cells):
        return "missing column", (
            f"token and label are the same column of {len(cells)}: a line is a token and its label, separated by a tab "
            "or spaces; see --separator"
        )
    for name, column in (("token", token_column), ("label", label_column)):
        if not cells[column].strip():
            return f"empty {name}", f"the {name} is empty; the sentence can't be used"
    return None
