"""Pairs out of aligned files, tables, JSON lines and TMX, and what may be wrong with each."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from unrolled.data import Findings
from unrolled.data.parallel.read import Pair, read_pairs
from unrolled.errors import ArgumentError, DataError, EncodingError, StorageError

GERMAN, ENGLISH = ["Ein Hund.", "Zwei Katzen", "Drei"], ["A dog.", "Two cats", "Three"]
EXPECTED = list(zip(GERMAN, ENGLISH, strict=True))


def write(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def found(*paths: Path, **options: Any) -> list[tuple[str, str]]:
    return [(p.source, p.target) for p in read_pairs(paths, Findings(), **options)]


def lenient(*paths: Path, **options: Any) -> tuple[list[tuple[str, str]], list[str]]:
    findings = Findings(strict=False)
    pairs = read_pairs(paths, findings, **options)
    return [(p.source, p.target) for p in pairs], [str(item) for item in findings.items]


# Aligned files


def test_two_files_are_source_and_target(tmp_path: Path) -> None:
    de, en = write(tmp_path / "train.de", GERMAN), write(tmp_path / "train.en", ENGLISH)
    assert found(de, en) == EXPECTED
    assert found(en, de) == [(e, g) for g, e in EXPECTED]
    assert found(en, de, source="de", target="en") == EXPECTED
    pairs = read_pairs((de, en), Findings())
    assert pairs[1] == Pair(source="Zwei Katzen", target="Two cats", path=str(de), line=2)
    assert pairs[1].key == "Zwei Katzen"


def test_a_folder_by_what_its_names_end_in(tmp_path: Path) -> None:
    write(tmp_path / "a" / "train.de", GERMAN[:1])
    write(tmp_path / "a" / "train.en", ENGLISH[:1])
    write(tmp_path / "train.en", ENGLISH[1:])
    write(tmp_path / "train.de", GERMAN[1:])
    write(tmp_path / "train.fr", ["Autre"])
    write(tmp_path / "README.txt", ["no pairs"])
    assert found(tmp_path, source="de", target="en") == EXPECTED
    assert found(tmp_path, source="EN", target="De") == [(e, g) for g, e in EXPECTED]


def test_packed_files(tmp_path: Path) -> None:
    for name, lines in (("t.de", GERMAN), ("t.en", ENGLISH)):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    assert found(tmp_path / "t.de.gz", tmp_path / "t.en.gz") == EXPECTED
    assert found(tmp_path, source="de", target="en") == EXPECTED
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        archive.writestr("x/t.en", "\n".join(ENGLISH))
        archive.writestr("x/t.de", "\n".join(GERMAN))
    assert found(tmp_path / "both.zip", source="de", target="en") == EXPECTED


def test_other_line_separators_do_not_break_a_line(tmp_path: Path) -> None:
    de, en = write(tmp_path / "a.de", ["Ein\u2028Hund", " Ja\x0b\r"]), write(tmp_path / "a.en", ["A\x85dog", "Yes "])
    assert found(de, en) == [("Ein\u2028Hund", "A\x85dog"), ("Ja", "Yes")]


def test_unequal_lengths_name_both(tmp_path: Path) -> None:
    de, en = write(tmp_path / "a.de", GERMAN), write(tmp_path / "a.en", ENGLISH[:2])
    with pytest.raises(DataError, match=r"a\.de: 3 lines, and .*a\.en has 2; line n of one must be"):
        found(de, en)
    assert lenient(de, en)[0] == []


@pytest.mark.parametrize(
    ("german", "english", "says"),
    [("", "A dog", "the source"), ("Ein Hund", "  ", "the target"), (" ", "", "both sides")],
)
def test_empty_sides(tmp_path: Path, german: str, english: str, says: str) -> None:
    de, en = write(tmp_path / "a.de", ["Ja", german]), write(tmp_path / "a.en", ["Yes", english])
    with pytest.raises(DataError, match=rf"a\.de:2: no text on {says}; .*--skip-bad"):
        found(de, en)
    pairs, items = lenient(de, en)
    assert pairs == [("Ja", "Yes")]
    assert len(items) == 1


def test_files_without_partner(tmp_path: Path) -> None:
    write(tmp_path / "a.de", GERMAN)
    write(tmp_path / "a.en", ENGLISH)
    write(tmp_path / "b.en", ENGLISH)
    with pytest.raises(DataError, match=r"b\.en: no file beside it that ends in \.de"):
        found(tmp_path, source="de", target="en")
    with pytest.raises(DataError, match=r"no file whose name ends in \.fr or \.it"):
        found(tmp_path, source="fr", target="it")


def test_which_is_the_source_must_be_said(tmp_path: Path) -> None:
    write(tmp_path / "a.de", GERMAN)
    write(tmp_path / "a.en", ENGLISH)
    with pytest.raises(ArgumentError, match=r"2 text files \(a\.de, a\.en\), and no saying which .* --source"):
        found(tmp_path)
    with pytest.raises(ArgumentError, match="--source and --target go together"):
        found(tmp_path, source="de")
    with pytest.raises(ArgumentError, match="both are 'de'"):
        found(tmp_path, source="de", target="de")
    with pytest.raises(DataError, match="a text file without tabs; name the file with its translations"):
        found(tmp_path / "a.de")


def test_what_is_no_text(tmp_path: Path) -> None:
    en = write(tmp_path / "a.en", ENGLISH)
    (tmp_path / "a.de").write_bytes(b"Ein Hund\nM\xe4dchen\nDrei\n")
    with pytest.raises(EncodingError, match=r"a\.de:2: not valid UTF-8"):
        found(tmp_path / "a.de", en)
    assert found(tmp_path / "a.de", en, encoding="cp1252")[1] == ("Mädchen", "Two cats")
    with pytest.raises(StorageError, match="no such file"):
        found(tmp_path / "c.de", en)


# Tables


def test_tables(tmp_path: Path) -> None:
    tsv = write(tmp_path / "p.tsv", [f"{g}\t{e}\tlicence" for g, e in EXPECTED])
    assert found(tsv) == EXPECTED
    assert found(tsv, source="2", target="1") == [(e, g) for g, e in EXPECTED]
    plain = write(tmp_path / "deu.txt", [f"{g}\t{e}" for g, e in EXPECTED])
    assert found(plain) == EXPECTED
    assert read_pairs((plain,), Findings())[2].line == 3
    assert found(plain, write(tmp_path / "more.txt", ["Vier\tFour"])) == [*EXPECTED, ("Vier", "Four")]
    two = write(tmp_path / "t.de", ["Ein\tHund"]), write(tmp_path / "t.en", ["A\tdog"])
    assert found(*two, format="lines") == [("Ein\tHund", "A\tdog")]
    named = write(tmp_path / "p.csv", ["id,target,source", *(f"{n},{e},{g}" for n, (g, e) in enumerate(EXPECTED))])
    assert found(named) == EXPECTED
    other = write(tmp_path / "q.csv", ["en,de", *(f'"{e}","{g}"' for g, e in EXPECTED)])
    assert found(other, source="de", target="en") == EXPECTED
    with pytest.raises(DataError, match="no column 'fr'; the columns are 'en', 'de'"):
        found(other, source="de", target="fr")
    with pytest.raises(DataError, match="one column; a pair needs two"):
        found(write(tmp_path / "one.tsv", GERMAN))
    with pytest.raises(DataError, match=r"p2\.tsv:2: 1 cell instead of 2"):
        found(write(tmp_path / "p2.tsv", ["a\tb", "c"]))


def test_quotes_in_tabbed_files_are_characters(tmp_path: Path) -> None:
    assert found(write(tmp_path / "p.tsv", ['"Ja', 'x\t"Yes'][1:])) == [("x", '"Yes')]


def test_json_lines(tmp_path: Path) -> None:
    rows = [{"source": g, "target": e, "id": 1} for g, e in EXPECTED]
    path = write(tmp_path / "p.jsonl", [json.dumps(row) for row in rows])
    assert found(path) == EXPECTED
    keyed = write(tmp_path / "q.jsonl", ['{"de": "Ja", "en": "Yes"}', '{"de": "Nein"}', '{"de": "X", "en": 3}'])
    with pytest.raises(DataError, match=r"q\.jsonl:2: 'en': missing; this row has 'de'"):
        found(keyed, source="de", target="en")
    pairs, items = lenient(keyed, source="de", target="en")
    assert pairs == [("Ja", "Yes")]
    assert "q.jsonl:3: error: 'en': expected text, found int" in items[1]


# TMX

TMX = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4">
 <header srclang="{source}" segtype="sentence" o-tmf="x" adminlang="en" datatype="plaintext"/>
 <body>
  <tu>
   <tuv xml:lang="en-GB"><seg>A <bpt i="1">&lt;b&gt;</bpt>dog<ept i="1">&lt;/b&gt;</ept>
      &amp; I.</seg></tuv>
   <tuv xml:lang="de"><seg>Ein <hi>Hund</hi> &amp; ich.</seg></tuv>
  </tu>
  <tu><tuv xml:lang="DE"><seg>Drei</seg></tuv><tuv xml:lang="EN-us"><seg>Three</seg></tuv></tu>
 </body>
</tmx>
"""


def tmx(path: Path, text: str, source: str = "en") -> Path:
    path.write_text(text.replace("{source}", source), encoding="utf-8")
    return path


def test_languages_are_told_by_the_first_unit_that_has_two(tmp_path: Path) -> None:
    begin, end = '<tmx version="1.4"><header srclang="en"/><body>\n', "</body></tmx>"
    alone = '<tu><tuv xml:lang="en"><seg>Alone</seg></tuv></tu>\n'
    pair = '<tu><tuv xml:lang="de"><seg>Drei</seg></tuv><tuv xml:lang="en"><seg>Three</seg></tuv></tu>\n'
    pairs, items = lenient(tmx(tmp_path / "m.tmx", begin + alone + pair + end))
    assert pairs == [("Three", "Drei")]
    assert [item.split("m.tmx")[1] for item in items] == [":2: error: a unit without 'de'; its languages are en"]
    with pytest.raises(DataError, match=r"a\.tmx:2: no unit in it has two languages; found en"):
        found(tmx(tmp_path / "a.tmx", begin + alone + alone + end))


def test_tmx(tmp_path: Path) -> None:
    path = tmx(tmp_path / "m.tmx", TMX)
    expected = [("Ein Hund & ich.", "A dog & I."), ("Drei", "Three")]
    assert found(path, source="de", target="en") == expected
    assert [p.line for p in read_pairs((path,), Findings(), source="de", target="en")] == [6, 11]
    # the header says which is the source; en-US is not en-GB, which the first unit has
    pairs, items = lenient(path)
    assert pairs == [("A dog & I.", "Ein Hund & ich.")]
    assert "m.tmx:11: error: a unit without 'en-gb'; its languages are de, en-us" in items[0]
    with pytest.raises(DataError, match="languages en-gb, de, and no saying which is the source"):
        found(tmx(tmp_path / "n.tmx", TMX, "*all*"))
    with pytest.raises(DataError, match=r"m\.tmx:6: a unit without 'fr'"):
        found(path, source="fr", target="en")


def test_tmx_in_another_encoding_says_so_itself(tmp_path: Path) -> None:
    (tmp_path / "m.tmx").write_bytes(TMX.replace("UTF-8", "UTF-16").replace("Drei", "Drü").encode("utf-16"))
    assert found(tmp_path / "m.tmx", source="de", target="en")[1] == ("Drü", "Three")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<html><body/></html>", "not TMX: its root is <html>"),
        (TMX.replace("</body>", ""), r"m\.tmx:13: not well-formed XML: mismatched tag"),
        (TMX[:400], "not well-formed XML"),
        ("<tmx><body></body></tmx>", "no translation unit in it"),
    ],
)
def test_broken_tmx(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        found(tmx(tmp_path / "m.tmx", text))


def test_entities_are_neither_expanded_nor_fetched(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE tmx [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><tmx><body><tu/></body></tmx>'
    with pytest.raises(DataError, match=r"m\.tmx:1: declares the entity 'a'; entities are not expanded"):
        found(tmx(tmp_path / "m.tmx", bomb))
    write(tmp_path / "secret", ["secret"])
    outside = f'<!DOCTYPE tmx [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]><tmx><body><tu>&x;</tu></body></tmx>'
    with pytest.raises(DataError, match="declares the entity 'x'"):
        found(tmx(tmp_path / "m.tmx", outside))


def test_several_kinds_at_once(tmp_path: Path) -> None:
    write(tmp_path / "a.de", GERMAN)
    write(tmp_path / "a.en", ENGLISH)
    tmx(tmp_path / "m.tmx", TMX)
    write(tmp_path / "p.tsv", ["de\ten", "Ja\tYes"])
    assert found(tmp_path, source="de", target="en") == [
        *EXPECTED,
        ("Ein Hund & ich.", "A dog & I."),
        ("Drei", "Three"),
        ("Ja", "Yes"),
    ]


def test_multi30k(real_data: Path) -> None:
    folder = real_data / "multi30k"
    if not folder.is_dir():
        pytest.skip("no Multi30k here")
    pairs = found(folder / "val.de.gz", folder / "val.en.gz")
    assert len(pairs) == 1014
    assert pairs[0] == (
        "Eine Gruppe von Männern lädt Baumwolle auf einen Lastwagen",
        "A group of men are loading cotton onto a truck",
    )
