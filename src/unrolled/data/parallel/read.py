"""Sentences and their translations, out of aligned files, tables, JSON lines, TMX and Tatoeba's exports.

    train.de train.en                    two files, line by line: first the source, then the target
    corpus/ --source de --target en      every NAME.de with its NAME.en
    pairs.tsv, fra.txt                   two columns of text; --source and --target name others
    memory.tmx --source de --target en   translation units
    tatoeba/ --source deu --target eng   sentences.csv with links.csv (see `unrolled.data.parallel.tatoeba`)

Every one may be .gz, .bz2, .xz or in a .zip. Of a folder or archive that holds tables of pairs, text files without
pairs are left out, with a warning.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unrolled.data.core.dialect import TableOptions
from unrolled.data.core.encodings import check_encoding
from unrolled.data.core.examples import Example
from unrolled.data.core.files import Source
from unrolled.data.core.findings import Findings
from unrolled.data.core.folders import Paths, find_sources
from unrolled.data.core.tables import PARQUET, SUFFIXES, Table, TableFormat, detect_format, open_tables, with_header
from unrolled.data.parallel.tatoeba import is_tatoeba, read_tatoeba
from unrolled.data.parallel.tmx import TranslationUnit, read_tmx, speaks
from unrolled.errors import ArgumentError, DataError

PairFormat = Literal["auto", "lines", "csv", "tsv", "jsonl", "parquet", "tmx"]

_TMX = ".tmx"
#: names of the two columns in published tables
SOURCE_NAMES, _TARGETS = ("source", "src", "input"), ("target", "tgt", "trg", "translation", "output")
#: names that say that a first row names the languages below it
_LANGUAGES = frozenset(
    [
        "arabic",
        "chinese",
        "czech",
        "danish",
        "dutch",
        "english",
        "finnish",
        "french",
        "german",
        "greek",
        "hebrew",
        "hindi",
        "hungarian",
        "indonesian",
        "italian",
        "japanese",
        "korean",
        "norwegian",
        "polish",
        "portuguese",
        "romanian",
        "russian",
        "spanish",
        "swedish",
        "thai",
        "turkish",
        "ukrainian",
        "urdu",
        "vietnamese",
        "deutsch",
        "français",
        "español",
        "italiano",
        "português",
        "nederlands",
    ]
)
#: lines that a text file is judged by, and the share of them that have a tab in a table of pairs
_LOOKED_AT, _TABS = 50, 0.9


@dataclass(frozen=True, kw_only=True)
class Pair(Example):
    """A sentence and its translation.

    Attributes:
        source, target: without white space at their ends.
    """

    source: str
    target: str

    @property
    def given(self) -> str:
        """The source."""
        return self.source

    @property
    def key(self) -> str:
        """The source: whatever its translation, it is the same input."""
        return self.source


def read_pairs(
    paths: Paths,
    findings: Findings,
    *,
    source: str | None = None,
    target: str | None = None,
    format: PairFormat = "auto",
    encoding: str = "utf-8",
    errors: Literal["strict", "replace"] = "strict",
) -> list[Pair]:
    """Return the pairs of some files, in order.

    Args:
        paths: files and folders.
        findings: collects what can't be used: files of unequal length, rows that lack a side, sides without text.
        source, target: the two sides: what the names of aligned files end in, columns of tables (names, or numbers
            from 1), keys of JSON lines, languages of TMX and of Tatoeba.
        format: "auto" tells by name and content; "lines" are aligned files.
        encoding, errors: of text; TMX says its own.

    Raises:
        ArgumentError: it is not clear which side is the source.
        DataError, StorageError: naming file and line.
    """
    check_encoding(encoding, errors)
    if (source is None) != (target is None):
        raise ArgumentError("--source and --target go together: name both sides, or neither")
    if source is not None and source == target:
        raise ArgumentError(f"--source and --target: both are {source!r}; a translation needs two sides")
    sides = None if source is None or target is None else (source, target)
    options = TableOptions(encoding=encoding, errors=errors)
    sources = find_sources(paths, binary=PARQUET if format in ("auto", "parquet") else ())
    if format == "auto" and is_tatoeba(sources):
        return list(read_tatoeba(sources, sides, options, findings, _pair))
    kinds = [format if format != "auto" else _kind(s, sides, options) for s in sources]
    by_kind = list(zip(sources, kinds, strict=True))
    pairs: list[Pair] = []
    aligned = [s for s, kind in by_kind if kind == "lines"]
    endings = tuple(f".{side.lower()}" for side in sides or ())
    named = any(not s.listed or s.inner_name.endswith(endings) for s in aligned)
    if len(aligned) < len(sources) and not named:
        for left_out in aligned:
            message = "a text file without pairs beside files that have them; it is left out"
            findings.warning("no pairs", message, left_out.name)
    elif aligned:
        for first, second in _partners(aligned, sides, findings):
            pairs += _line_pairs(first, second, findings, options)
    for one, kind in by_kind:
        if kind == "tmx":
            pairs += _tmx_pairs(one, sides, findings)
        elif kind != "lines":
            pairs += _table_pairs(_opened(one, kind, sides, options), sides, findings)
    return pairs


def _kind(source: Source, sides: tuple[str, str] | None, options: TableOptions) -> str:
    """lines, tmx, pairs (a text file of pairs), or the format of a table."""
    name = source.inner_name
    if name.endswith(_TMX):
        return "tmx"
    if name.endswith(SUFFIXES):
        return detect_format(source)
    if sides is not None and name.endswith(tuple(f".{side.lower()}" for side in sides)):
        return "lines"
    # aligned files have a sentence a line; where nearly every line has two, a file holds both sides
    lines = [line for _, line in itertools.islice(source.filled_lines(options.encoding, "replace"), _LOOKED_AT)]
    return "pairs" if lines and sum("\t" in line.strip() for line in lines) >= _TABS * len(lines) else "lines"


def _opened(source: Source, kind: str, sides: tuple[str, str] | None, options: TableOptions) -> Table:
    format: TableFormat = "tsv" if kind == "pairs" else kind  # type: ignore[assignment]
    options = with_header(options, sides or ())
    names = sides or (*SOURCE_NAMES, *_TARGETS)
    (table,) = open_tables(source, options, format=format, known=[name for name in names if not name.isdigit()])
    if table.format == "csv" and options.header is None and not table.column_like(names):
        # sentences never tell whether the first row is one; names of languages do
        words = [cell.split()[0].lower() if cell.split() else "" for cell in _first_cells(table)]
        header = sum(word in _LANGUAGES for word in words) > 1
        options = options.model_copy(update={"header": header})
        (table,) = open_tables(source, options, format=format)
    return table


def _first_cells(table: Table) -> list[str]:
    if table.has_header:
        return list(table.columns)
    rows = table.sample(1)
    return [str(cell) for cell in rows[0].values()] if rows else []


def _partners(
    sources: list[Source], sides: tuple[str, str] | None, findings: Findings
) -> Iterator[tuple[Source, Source]]:
    """Files that belong together, source first."""
    if sides is None:
        if len(sources) == 2 and not any(s.listed for s in sources):
            yield sources[0], sources[1]
            return
        if len(sources) == 1:
            raise DataError(
                "a text file without tabs; name the file with its translations after it, or a table of pairs",
                sources[0].name,
            )
        names = ", ".join(s.inner_name for s in sources[:4])
        raise ArgumentError(
            f"PATH: {len(sources)} text files ({names}{', …' if len(sources) > 4 else ''}), and no saying which is the "
            "source; name two files, source first, or give --source and --target, what their names end in (de, en)"
        )
    stems: list[dict[str, Source]] = [{}, {}]
    for source in sources:
        name = str(Path(source.name).with_name(source.inner_name))
        for by_stem, side in zip(stems, sides, strict=True):
            ending = "." + side.lower()
            if source.inner_name.endswith(ending):
                by_stem[name[: -len(ending)]] = source
    if not stems[0] and not stems[1]:
        raise DataError(f"no file whose name ends in .{sides[0]} or .{sides[1]}", sources[0].name)
    for stem in dict.fromkeys([*stems[0], *stems[1]]):
        first, second = (by_stem.get(stem) for by_stem in stems)
        if first is not None and second is not None:
            yield first, second
            continue
        there = first or second
        lacking = sides[0] if first is None else sides[1]
        findings.error("no partner", f"no file beside it that ends in .{lacking}", there.name if there else stem)


def _line_pairs(first: Source, second: Source, findings: Findings, options: TableOptions) -> Iterator[Pair]:
    sides = [[line for _, line in s.text_lines(options.encoding, options.errors)] for s in (first, second)]
    if len(sides[0]) != len(sides[1]):
        findings.error(
            "unaligned",
            f"{len(sides[0]):,} lines, and {second.name} has {len(sides[1]):,}; line n of one must be the translation "
            "of line n of the other",
            first.name,
        )
        return
    findings.understood.append(f"{first.name}: the source, line by line beside {second.name}")
    for line, (one, other) in enumerate(zip(*sides, strict=True), 1):
        yield from _pair(one, other, findings, first.name, line)


def _table_pairs(table: Table, sides: tuple[str, str] | None, findings: Findings) -> Iterator[Pair]:
    try:
        names = _columns(table, sides)
    except DataError as error:
        findings.caught(error, "missing column")
        return
    table.note(findings, {names[0]: "source", names[1]: "target"})
    for row in table.rows(findings):
        if isinstance(row.get("translation"), dict) and sides is not None:
            # as the data sets of the Hugging Face hub nest them
            row.update(row["translation"])
        lacking = [name for name in names if not isinstance(row.get(name), str)]
        if lacking:
            fault = "missing" if lacking[0] not in row else f"expected text, found {type(row[lacking[0]]).__name__}"
            message = f"{lacking[0]!r}: {fault}; this row has {', '.join(map(repr, row)) or 'none'}"
            findings.error("missing side", message, row.path, row.line)
            continue
        yield from _pair(row[names[0]], row[names[1]], findings, row.path, row.line)


def _columns(table: Table, sides: tuple[str, str] | None) -> tuple[str, str]:
    """The columns of source and target.

    Raises:
        DataError: there is none of a name, or fewer than two of text.
    """
    if sides is not None:
        return sides if table.format == "jsonl" else (table.column(sides[0]), table.column(sides[1]))
    source, target = table.column_like(SOURCE_NAMES), table.column_like(_TARGETS)
    if source and target:
        return source, target
    if table.format == "jsonl" and table.has_header:
        return "source", "target"
    if len(table.columns) < 2:
        raise DataError(f"one column; a pair needs two ({table.described()})", table.name, 1)
    # ids and codes of languages stand beside the sentences in some exports
    sample = table.sample()
    texts = [c for c in table.columns if not _is_code([str(row.get(c, "")) for row in sample])]
    return (texts[0], texts[1]) if len(texts) > 1 else (table.columns[0], table.columns[1])


def _is_code(cells: Sequence[str]) -> bool:
    """Whether a column holds numbers, or one code of a language throughout."""
    one_code = len(set(cells)) == 1 and len(cells) > 1 and len(cells[0]) <= 5 and " " not in cells[0]
    return one_code or sum(cell.strip().isdigit() for cell in cells) > 0.9 * len(cells)


def _tmx_pairs(source: Source, sides: tuple[str, str] | None, findings: Findings) -> Iterator[Pair]:
    units = read_tmx(source)
    if sides is None:
        head: list[TranslationUnit] = []
        for unit in units:
            head.append(unit)
            if len(unit.languages) > 1:
                break
        if not head:
            raise DataError("no translation unit in it", source.name)
        if len(head[-1].languages) < 2:
            languages = ", ".join(dict.fromkeys(name for unit in head for name in unit.languages)) or "none"
            raise DataError(f"no unit in it has two languages; found {languages}", source.name, head[0].line)
        sides = _languages(head[-1], source.name)
        units = itertools.chain(head, units)
    for unit in units:
        first, second = (
            next((text for language, text in unit.texts if speaks(language, side)), None) for side in sides
        )
        if first is None or second is None:
            lacking = sides[0] if first is None else sides[1]
            languages = ", ".join(language for language, _ in unit.texts) or "none"
            message = f"a unit without {lacking!r}; its languages are {languages}"
            findings.error("missing side", message, source.name, unit.line)
            continue
        yield from _pair(first, second, findings, source.name, unit.line)


def _languages(unit: TranslationUnit, name: str) -> tuple[str, str]:
    """Source and target by the header and the first unit of more than one language."""
    own = [language for language in unit.languages if unit.source_language and speaks(language, unit.source_language)]
    others = [language for language in unit.languages if language not in own]
    if len(own) == 1 and len(others) == 1:
        return own[0], others[0]
    languages = ", ".join(unit.languages) or "none"
    message = f"languages {languages}, and no saying which is the source; give --source and --target"
    raise DataError(message, name, unit.line)


def _pair(source: str, target: str, findings: Findings, path: str, line: int) -> Iterator[Pair]:
    source, target = source.strip(), target.strip()
    if not source or not target:
        side = "both sides" if not source and not target else "the source" if not source else "the target"
        findings.error("empty side", f"no text on {side}; fill it in, or leave it out with --skip-bad", path, line)
        return
    yield Pair(source=source, target=target, path=path, line=line)
