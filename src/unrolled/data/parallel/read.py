"""Sentences and their translations, out of aligned files, tables, JSON lines and TMX.

    train.de train.en                    two files, line by line: first the source, then the target
    corpus/ --source de --target en      every NAME.de with its NAME.en
    pairs.tsv                            two columns; --source and --target name others
    memory.tmx --source de --target en   translation units

Every one may be .gz, .xz or in a .zip.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unrolled.data.core.examples import Example
from unrolled.data.core.files import Source, check_encoding, decode, find_sources, text_lines
from unrolled.data.core.findings import Findings
from unrolled.data.core.tables import PARQUET, SUFFIXES, Format, Table, open_tables
from unrolled.data.parallel.tmx import Unit, read_tmx, speaks
from unrolled.errors import ArgumentError, DataError

PairFormat = Literal["auto", "lines", "csv", "tsv", "jsonl", "parquet", "tmx"]

_TMX = ".tmx"


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
    paths: Sequence[Path],
    findings: Findings,
    *,
    source: str | None = None,
    target: str | None = None,
    format: PairFormat = "auto",
    encoding: str = "utf-8",
    errors: str = "strict",
) -> list[Pair]:
    """The pairs of some files, in order.

    Args:
        paths: files and folders.
        findings: told of what can't be used: files of unequal length, rows that lack a side, sides without text.
        source, target: the two sides: what the names of aligned files end in, columns of tables (names, or numbers
            from 1), keys of JSON lines, languages of TMX.
        format: "auto" tells by name and content; "lines" are aligned files.
        encoding, errors: of text; TMX says its own.

    Raises:
        ArgumentError: it can't be told which file or language is the source.
        DataError, StorageError: naming file and line.
    """
    check_encoding(encoding, errors)
    if (source is None) != (target is None):
        raise ArgumentError("--source and --target go together: name both sides, or neither")
    if source is not None and source == target:
        raise ArgumentError(f"--source and --target: both are {source!r}; a translation needs two sides")
    sides = None if source is None or target is None else (source, target)
    binary = PARQUET if format in ("auto", "parquet") else ()
    sources = find_sources(paths, binary=binary)
    kinds = _kinds(sources) if format == "auto" else [format] * len(sources)
    pairs: list[Pair] = []
    aligned = [s for s, kind in zip(sources, kinds, strict=True) if kind == "lines"]
    if aligned:
        for first, second in _partners(aligned, sides, findings):
            pairs += _line_pairs(first, second, findings, encoding, errors)
    for one, kind in zip(sources, kinds, strict=True):
        if kind == "tmx":
            pairs += _tmx_pairs(one, sides, findings)
    tables = [s.path for s, kind in zip(sources, kinds, strict=True) if kind not in ("lines", "tmx")]
    if tables:
        form: Format = "auto" if format == "auto" else format  # type: ignore[assignment]
        for path in dict.fromkeys(tables):
            # a .txt that was found to hold tabs says nothing by its name
            plain = form == "auto" and not path.name.lower().removesuffix(".gz").removesuffix(".xz").endswith(SUFFIXES)
            known = sides or ("source", "target")
            for table in open_tables(
                path,
                format="tsv" if plain and path.suffix != ".zip" else form,
                known=known,
                encoding=encoding,
                errors=errors,
            ):
                pairs += _table_pairs(table, sides, findings)
    return pairs


def _kinds(sources: list[Source]) -> list[str]:
    """lines, tmx, or table, of each file."""
    kinds = []
    for source in sources:
        name = source.inner_name
        kinds.append("tmx" if name.endswith(_TMX) else "table" if name.endswith(SUFFIXES) else "lines")
    plain = [s for s, kind in zip(sources, kinds, strict=True) if kind == "lines"]
    # aligned files have a sentence a line; where every first line has two, each file holds both sides
    if plain and all(b"\t" in source.head().split(b"\n", 1)[0].strip() for source in plain):
        return ["table" if kind == "lines" else kind for kind in kinds]
    return kinds


def _partners(
    sources: list[Source], sides: tuple[str, str] | None, findings: Findings
) -> Iterator[tuple[Source, Source]]:
    """Which files belong together, source first."""
    if sides is None:
        if len(sources) == 2 and not any(s.found for s in sources):
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
        for found, side in zip(stems, sides, strict=True):
            ending = "." + side.lower()
            if source.inner_name.endswith(ending):
                found[name[: -len(ending)]] = source
    if not stems[0] and not stems[1]:
        raise DataError(f"no file whose name ends in .{sides[0]} or .{sides[1]}", sources[0].name)
    for stem in dict.fromkeys([*stems[0], *stems[1]]):
        pair = [found.get(stem) for found in stems]
        if pair[0] is None or pair[1] is None:
            there = pair[0] or pair[1]
            lacking = sides[0] if pair[0] is None else sides[1]
            findings.error("no partner", f"no file beside it that ends in .{lacking}", there.name if there else stem)
        else:
            yield pair[0], pair[1]


def _line_pairs(first: Source, second: Source, findings: Findings, encoding: str, errors: str) -> Iterator[Pair]:
    sides = [list(text_lines(decode(s.chunks(), s.name, encoding, errors), s.name)) for s in (first, second)]
    if len(sides[0]) != len(sides[1]):
        findings.error(
            "unaligned",
            f"{len(sides[0]):,} lines, and {second.name} has {len(sides[1]):,}; line n of one must be the translation "
            "of line n of the other",
            first.name,
        )
        return
    for line, (one, other) in enumerate(zip(*sides, strict=True), 1):
        yield from _pair(one, other, findings, first.name, line)


def _table_pairs(table: Table, sides: tuple[str, str] | None, findings: Findings) -> Iterator[Pair]:
    if table.format == "jsonl":
        names = sides or ("source", "target")
    elif sides is None and {"source", "target"} <= {c.lower() for c in table.columns}:
        names = (table.column("source"), table.column("target"))
    elif sides is None and len(table.columns) < 2:
        findings.error("missing column", f"one column; a pair needs two ({table.described()})", table.name, 1)
        return
    else:
        try:
            names = (table.column((sides or ("1", "2"))[0]), table.column((sides or ("1", "2"))[1]))
        except DataError as error:
            findings.caught(error, "missing column")
            return
    for row in table.rows(findings):
        lacking = [name for name in names if not isinstance(row.get(name), str)]
        if lacking:
            what = "missing" if lacking[0] not in row else f"expected text, found {type(row[lacking[0]]).__name__}"
            message = f"{lacking[0]!r}: {what}; this row has {', '.join(map(repr, row)) or 'none'}"
            findings.error("missing side", message, row.path, row.line)
            continue
        yield from _pair(row[names[0]], row[names[1]], findings, row.path, row.line)


def _tmx_pairs(source: Source, sides: tuple[str, str] | None, findings: Findings) -> Iterator[Pair]:
    units = read_tmx(source)
    if sides is None:
        head: list[Unit] = []
        for unit in units:
            head.append(unit)
            if len(_named(unit)) > 1:
                break
        if not head:
            raise DataError("no translation unit in it", source.name)
        if len(_named(head[-1])) < 2:
            found = ", ".join(dict.fromkeys(name for unit in head for name in _named(unit))) or "none"
            raise DataError(f"no unit in it has two languages; found {found}", source.name, head[0].line)
        sides = _languages(head[-1], source.name)
        units = itertools.chain(head, units)
    for unit in units:
        texts = [next((text for language, text in unit.texts if speaks(language, side)), None) for side in sides]
        if texts[0] is None or texts[1] is None:
            lacking = sides[0] if texts[0] is None else sides[1]
            found = ", ".join(language for language, _ in unit.texts) or "none"
            message = f"a unit without {lacking!r}; its languages are {found}"
            findings.error("missing side", message, source.name, unit.line)
            continue
        yield from _pair(texts[0], texts[1], findings, source.name, unit.line)


def _named(unit: Unit) -> list[str]:
    return list(dict.fromkeys(language for language, _ in unit.texts))


def _languages(unit: Unit, name: str) -> tuple[str, str]:
    """Source and target by the header and the first unit of more than one language."""
    found = _named(unit)
    mine = [language for language in found if unit.source_language and speaks(language, unit.source_language)]
    others = [language for language in found if language not in mine]
    if len(mine) == 1 and len(others) == 1:
        return mine[0], others[0]
    raise DataError(
        f"languages {', '.join(found) or 'none'}, and no saying which is the source; give --source and --target",
        name,
        unit.line,
    )


def _pair(source: str, target: str, findings: Findings, path: str, line: int) -> Iterator[Pair]:
    source, target = source.strip(), target.strip()
    if not source or not target:
        side = "both sides" if not source and not target else "the source" if not source else "the target"
        findings.error("empty side", f"no text on {side}; fill it in, or leave it out with --skip-bad", path, line)
        return
    yield Pair(source=source, target=target, path=path, line=line)
