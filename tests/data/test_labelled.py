"""Labelled texts, from every kind of file."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from unrolled.data import Findings
from unrolled.data.text.labelled import LabelledText, LabelledTextOptions, read_labelled
from unrolled.errors import DataError

PAIRS = [("so good", "pos"), ("so very bad", "neg"), ("good again", "pos"), ("bad, again", "neg")]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def pairs(path: Path, **reading: object) -> list[tuple[str, str]]:
    return [(e.text, e.label) for e in read_labelled(path, None, LabelledTextOptions(**reading))]  # type: ignore[arg-type]


def lines(form: str) -> str:
    return "".join(form.format(text=text, label=label) + "\n" for text, label in PAIRS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text,label\n" + lines('"{text}",{label}')),
        ("a.csv", "id,Sentiment,Review\n" + lines('7,{label},"{text}"')),
        ("a.tsv", lines("{text}\t{label}")),
        ("a.tsv", lines("{label}\t{text}")),
        ("a.tsv", lines("0\t{label}\t{text}\tx y")),
        ("a.txt", lines("{text}\t{label}")),
        ("a.txt", lines("{label}\t{text}")),
        ("a.txt", lines("{label} {text}")),
        ("a", lines("{label}  {text} ")),
        ("a.txt", lines("__label__{label} {text}")),
        ("a.csv", lines('"{text}",{label}')),
        ("a.jsonl", "".join(json.dumps({"n": 1, "text": t, "label": y}) + "\n" for t, y in PAIRS)),
    ],
)
def test_every_format_is_told_from_the_others(tmp_path: Path, name: str, content: str) -> None:
    assert pairs(write(tmp_path / name, content)) == PAIRS


def test_a_line_and_a_file_for_each(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "text\tlabel\n" + lines("{text}\t{label}"))
    found = list(read_labelled(path))
    assert found[1] == LabelledText(text="so very bad", label="neg", path=str(path), line=3)
    assert (found[1].key, found[1].labels, found[1].is_empty) == ("so very bad", ("neg",), False)


def test_folders_name_labels(tmp_path: Path) -> None:
    for n, (text, label) in enumerate(PAIRS):
        write(tmp_path / "d" / label / f"{n}.txt", text + "\n")
    write(tmp_path / "d" / "README.txt", "about this data")
    found = sorted(PAIRS, key=lambda pair: pair[1])
    findings = Findings()
    assert [(e.text, e.label) for e in read_labelled(tmp_path / "d", findings)] == found
    assert [f.message for f in findings.items] == [
        "lies beside the folders that are named like labels, and is left out"
    ]
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for n, (text, label) in enumerate(PAIRS):
            archive.writestr(f"all/{label}/{n}.txt", text)
        archive.writestr("all/README", "about this data")
    assert pairs(tmp_path / "d.zip") == found
    assert pairs(tmp_path / "d" / "pos") == [("so good", "pos"), ("good again", "pos")]


def test_a_folder_of_tables_is_read_as_tables(tmp_path: Path) -> None:
    write(tmp_path / "d" / "a.csv", "text,label\n" + lines('"{text}",{label}'))
    write(tmp_path / "d" / "b.csv", 'text,label\n"more",pos\n')
    assert pairs(tmp_path / "d") == [*PAIRS, ("more", "pos")]


def test_columns_by_name_and_by_number(tmp_path: Path) -> None:
    content = "id,long words here and there,stars,text\n1,much longer cells than these,5,yes\n"
    path = write(tmp_path / "a.csv", content)
    assert pairs(path) == [("yes", "5")]
    assert pairs(path, text_column="long words here and there") == [("much longer cells than these", "5")]
    assert pairs(path, text_column="2", label_column="1") == [("much longer cells than these", "1")]
    with pytest.raises(DataError) as caught:
        pairs(path, label_column="mood")
    columns = "'id', 'long words here and there', 'stars', 'text'"
    assert str(caught.value) == f"{path}:1: no column 'mood'; the columns are {columns}"


def test_columns_that_cant_be_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,a,b\n1,x,y\n")
    with pytest.raises(DataError) as caught:
        pairs(path)
    assert str(caught.value) == (
        f"{path}:1: which column holds the texts? the columns are 'id', 'a', 'b'; name it with --text-column"
    )


def test_labels_of_any_type_are_words(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": value} for value in (1, 2.0, 2.5, True, " x ")]
    path = write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert [label for _, label in pairs(path)] == ["1", "2", "2.5", "true", "x"]


@pytest.mark.parametrize(
    ("name", "content", "kind", "message"),
    [
        ("a.tsv", "text\tlabel\nx\t\ny\tb\n", "no label", ":2: column 'label': expected a label, found ''"),
        ("a.jsonl", '{"text": 3, "label": "a"}\n', "no text", ":1: column 'text': expected a text, found 3"),
        ("a.jsonl", '{"text": "x", "label": ["a", "b"]}\n', "no label", r":1: column 'label': expected a label"),
        (
            "a.jsonl",
            '{"text": "x", "label": "a"}\n{"text": "x"}\n',
            "missing column",
            ":2: no column 'label'; this row",
        ),
        ("a.txt", "__label__a x\nb y\n", "no label", ":2: expected __label__LABEL, then the text; found 'b'"),
        ("a.txt", "__label__a __label__b x\n", "several labels", r":1: several labels \(__label__a, __label__b\)"),
        ("a.csv", "text,label\na,b,c\n", "ragged", ":2: 3 cells instead of 2; the columns are 'text', 'label'"),
    ],
)
def test_what_cant_be_used(tmp_path: Path, name: str, content: str, kind: str, message: str) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=name + message):
        list(read_labelled(path))
    findings = Findings(strict=False)
    list(read_labelled(path, findings))
    assert [f.kind for f in findings.items] == [kind]


def test_a_file_of_blank_lines_is_told_as_such(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "\n\n\n")
    with pytest.raises(DataError) as raised:
        list(read_labelled(path))
    assert str(raised.value) == f"{path}: there is nothing but blank lines in this file"


def test_an_empty_text_is_an_example(tmp_path: Path) -> None:
    (found,) = read_labelled(write(tmp_path / "a.txt", "__label__a\n"))
    assert (found.text, found.label, found.is_empty) == ("", "a", True)


def test_the_published_files_are_read_as_they_are(real_data: Path) -> None:
    sst2 = list(read_labelled(real_data / "sst2" / "dev.tsv.gz"))
    assert (len(sst2), {e.label for e in sst2}) == (872, {"0", "1"})
    sst5 = list(read_labelled(real_data / "sst5" / "sentiment-dev.gz"))
    assert (len(sst5), {e.label for e in sst5}) == (1101, {"0", "1", "2", "3", "4"})
    with gzip.open(real_data / "sst5" / "sentiment-dev.gz", "rt", encoding="utf-8") as file:
        assert file.readline().rstrip("\n") == f"{sst5[0].label} {sst5[0].text}"
    reviews = list(read_labelled(real_data / "movie_reviews" / "movie_reviews.zip"))
    assert sorted({(e.label, sum(x.label == e.label for x in reviews)) for e in reviews}) == [
        ("neg", 1000),
        ("pos", 1000),
    ]
