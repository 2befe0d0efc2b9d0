"""Tagged text from columns and from spans: every format, and everything that may be wrong with it."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from unrolled.data import Findings
from unrolled.data.tagged.read import TaggedText, in_context, read_tagged
from unrolled.data.tagged.schemes import Span, spans_of
from unrolled.data.text.words import split_words
from unrolled.errors import ArgumentError, DataError, EncodingError

CONLL = """-DOCSTART- -X- O O

EU NNP I-NP I-ORG
rejects VBZ I-VP O
German JJ I-NP I-MISC

Peter NNP I-NP I-PER
Blackburn NNP I-NP I-PER

-DOCSTART- -X- O O

Rome NNP I-NP I-LOC
Paris NNP I-NP B-LOC
"""


def read(path: Path, content: str | bytes, **options: Any) -> list[TaggedText]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_tagged(path, options.pop("findings", None) or Findings(), **options)


def warnings(path: Path, content: str, **options: Any) -> list[str]:
    findings = Findings(strict=False)
    read(path, content, findings=findings, **options)
    return [str(item).removeprefix(str(path)) for item in findings.items]


def test_conll_columns(tmp_path: Path) -> None:
    path = tmp_path / "eng.train"
    first, second, third = read(path, CONLL)
    assert first.tokens == ("EU", "rejects", "German")
    assert first.tags == ("S-ORG", "O", "S-MISC")
    assert (first.path, first.line, first.lines, first.document) == (str(path), 3, (3, 4, 5), 1)
    assert (first.kind, first.scheme, first.labels) == ("entities", "iob1", ("MISC", "ORG"))
    assert second.tags == ("B-PER", "E-PER")
    assert (third.tags, third.document, third.line_of(1)) == (("S-LOC", "S-LOC"), 2, 13)
    assert [spans_of(text.tags) for text in read(path, CONLL.replace("I-LOC", "B-LOC"))] == [
        [Span(0, 1, "ORG"), Span(2, 3, "MISC")],
        [Span(0, 2, "PER")],
        [Span(0, 1, "LOC"), Span(1, 2, "LOC")],
    ]


def test_other_columns_and_other_labels(tmp_path: Path) -> None:
    parts = read(tmp_path / "a", CONLL, label_column=1)
    assert (parts[0].tags, parts[0].kind, parts[0].labels) == (("NNP", "VBZ", "JJ"), "labels", ("JJ", "NNP", "VBZ"))
    chunks = read(tmp_path / "a", CONLL, label_column=2)
    assert chunks[0].tags == ("S-NP", "S-VP", "S-NP")
    turned = read(tmp_path / "b", "B-LOC Rome\nO is\n", token_column=-1, label_column=0)
    assert (turned[0].tokens, turned[0].tags) == (("Rome", "is"), ("S-LOC", "O"))
    plain = read(tmp_path / "a", CONLL, scheme="labels")
    assert plain[0].tags == ("I-ORG", "O", "I-MISC")


def test_tabs_blank_lines_comments_and_compression(tmp_path: Path) -> None:
    text = "# source: web\nNew York\tB-loc\n#\tO\n\t\n\n  \nRome\tB-loc\r\nis\tO"
    path = tmp_path / "x.conll.gz"
    found = read(path, gzip.compress(text.encode()))
    assert [t.tokens for t in found] == [("New York", "#"), ("Rome", "is")]
    assert found[1].lines == (7, 8)
    by_space = read(tmp_path / "y", "a\tb O\n", separator="space")
    assert by_space[0].tokens == ("a",)


@pytest.mark.parametrize(
    "content, says",
    [
        ("Rome NNP B-LOC\nis O\n", ":2: 2 columns where the lines before have 3"),
        ("Rome\tB-LOC\n\tO\n", ":2: the token is empty"),
        ("Rome\tB-LOC\nis\t\n", ":2: the label is empty"),
        ("Rome\nis\n", ":1: token and label are the same column of 1"),
        ("Rome B-LOC\n" * 9 + "is LOC\n", ":10: label 'LOC' belongs to no tag scheme, unlike the others"),
    ],
)
def test_bad_lines_are_refused_or_left_out(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path / "bad", content)
    assert says in str(caught.value)
    findings = Findings(strict=False)
    found = read(tmp_path / "bad", content + "\nParis B-LOC\n".replace(" ", "\t" if "\t" in content else " "),
                 findings=findings)  # fmt: skip
    assert [t.tokens for t in found][-1:] in ([("Paris",)], [])
    assert findings.errors >= 1


def test_options_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r":1: no label column 7 in a line of 2; give --label-column"):
        read(tmp_path / "a", "Rome B-LOC\n", label_column=7)
    with pytest.raises(ArgumentError, match="--separator"):
        read(tmp_path / "a", "Rome B-LOC\n", separator="comma")
    with pytest.raises(EncodingError):
        read(tmp_path / "a", b"caf\xe9 O\n")
    assert read(tmp_path / "a", b"caf\xe9 O\n", encoding="latin-1")[0].tokens == ("café",)


def test_iob1_taken_for_bio_is_found(tmp_path: Path) -> None:
    found = warnings(tmp_path / "a", CONLL, scheme="bio")
    assert "read as BIO, but 4 of 4 entities begin as only IOB1 lets them" in found[0]
    assert ":3: warning: I-ORG at the beginning of a sentence is impossible in BIO" in found[1]
    assert warnings(tmp_path / "a", CONLL) == []
    assert warnings(tmp_path / "a", CONLL, scheme="iob1") == []


def test_a_file_of_two_schemes_is_found(tmp_path: Path) -> None:
    mixed = "a I-X\n\n" * 3 + "b O\nc B-X\n\n" * 5
    assert "taken for BIO, but 3 of 8 entities begin as in another" in warnings(tmp_path / "a", mixed)[0]


def test_files_whose_labels_differ_in_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Rome B-LOC\n")
    (tmp_path / "b.txt").write_text("Rome NNP\n")
    with pytest.raises(DataError, match=r"b.txt:1: the labels here are of no tag scheme, those of .*a.txt are of a"):
        read_tagged(tmp_path, Findings())


def test_long_sentences_are_found(tmp_path: Path) -> None:
    assert "a sentence of 251 tokens" in warnings(tmp_path / "a", "a O\n" * 251)[0]


def test_spans_of_characters(tmp_path: Path) -> None:
    lines = [
        {"text": "Rome, Georgia is old", "spans": [{"start": 6, "end": 13, "label": "LOC"},
                                                   {"start": 0, "end": 4, "label": "LOC"}]},
        {"text": "Jean-Luc Picard", "spans": [{"start": 0, "end": 15, "label": "PER"}]},
        {"text": "", "spans": []},
        {"tokens": ["New York", "is"], "tags": ["U-LOC", "O"]},
    ]  # fmt: skip
    findings = Findings(strict=False)
    content = "\n".join(map(json.dumps, lines))
    first, second, third = read(tmp_path / "a.jsonl", content, findings=findings)
    assert (first.tokens, first.tags) == (("Rome", ",", "Georgia", "is", "old"), ("S-LOC", "O", "S-LOC", "O", "O"))
    assert (second.tokens, second.tags, second.line) == (("Jean-Luc", "Picard"), ("B-PER", "E-PER"), 2)
    assert (third.tokens, third.tags) == (("New York", "is"), ("S-LOC", "O"))
    assert [str(item).partition("jsonl")[2] for item in findings.items] == [
        ":3: warning: no token in this text, which is left out"
    ]


def test_words_are_cut_where_an_entity_begins(tmp_path: Path) -> None:
    line = json.dumps({"text": "pre-Roman", "spans": [{"start": 4, "end": 9, "label": "MISC"}]})
    findings = Findings(strict=False)
    [found] = read(tmp_path / "a.jsonl", line, findings=findings)
    assert (found.tokens, found.tags) == (("pre-", "Roman"), ("O", "S-MISC"))
    assert "an entity begins or ends within 'pre-Roman'" in findings.items[0].message


@pytest.mark.parametrize(
    "line, says",
    [
        ("{", "not valid JSON"),
        ("[1]", "expected a JSON object, found list"),
        ('{"body": "a"}', "expected a string under 'text', or 'tokens' and 'tags' (keys: 'body')"),
        ('{"text": "a"}', "expected a list under 'spans'"),
        ('{"text": "Rome", "spans": [{"start": 0, "end": 5, "label": "X"}]}', "span 0 to 5 does not lie in the text"),
        ('{"text": "Rome", "spans": [{"start": 2, "end": 2, "label": "X"}]}', "span 2 to 2 does not lie"),
        ('{"text": "Rome", "spans": [{"start": "0", "end": 2, "label": "X"}]}', "a span's start: expected a number"),
        ('{"text": "Rome", "spans": [{"start": 0, "end": 2, "label": 3}]}', "a span's label: expected text"),
        ('{"text": "Rome", "spans": [3]}', "a span: expected an object"),
        ('{"text": "a  b", "spans": [{"start": 1, "end": 3, "label": "X"}]}', "covers no word"),
        (
            '{"text": "Rome", "spans": [{"start": 0, "end": 3, "label": "X"}, {"start": 2, "end": 4, "label": "Y"}]}',
            "spans overlap at character 2: 'X' and 'Y'",
        ),
        ('{"tokens": ["a", ""], "tags": ["O", "O"]}', "'tokens': expected a list of strings, none of them empty"),
        ('{"tokens": ["a"], "tags": ["O", "O"]}', "1 tokens and 2 tags"),
    ],
)
def test_bad_spans_are_refused_or_left_out(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path / "a.jsonl", f"\n{line}\n")
    assert "a.jsonl:2: " in str(caught.value)
    assert says in str(caught.value)
    findings = Findings(strict=False)
    good = '{"text": "Rome", "spans": []}'
    assert len(read(tmp_path / "a.jsonl", f"{line}\n{good}\n", findings=findings)) == 1
    assert findings.errors == 1


def test_sentences_of_a_document_are_joined(tmp_path: Path) -> None:
    texts = read(tmp_path / "a", CONLL)
    one, other = in_context(texts, 100)
    assert (one.tokens, one.ends, one.lines) == (texts[0].tokens + texts[1].tokens, (3, 5), (3, 4, 5, 7, 8))
    assert list(one.sentences()) == [(0, 3), (3, 5)]
    assert other == texts[2]
    assert in_context(texts, 4) == texts
    assert in_context(texts, 1) == texts


def test_texts_are_cut_into_words_with_their_places() -> None:
    text = "Visit https://x.org/a?b=1, mail a.b@c.de; @user #tag 3.5% U.S. isn't it? O'Neill's 1996-08-22 …"
    words = split_words(text)
    assert all(text[w.start : w.end] == w.text for w in words)
    assert "".join(w.text for w in words) == "".join(text.split())
    expected = "Visit https://x.org/a?b=1 , mail a.b@c.de ; @user #tag 3.5 % U.S. is n't it ? O'Neill 's 1996-08-22 …"
    assert [w.text for w in words] == expected.split()
    assert split_words(" \t\n") == []
    assert [w.text for w in split_words("北京 и Ελλάδα, naïve")] == ["北京", "и", "Ελλάδα", ",", "naïve"]


def test_published_data_has_its_published_counts(real_data: Path) -> None:
    findings = Findings(strict=False)
    texts = read_tagged(real_data / "conll2003" / "eng.testb.gz", findings)
    entities = Counter(span.label for text in texts for span in spans_of(text.tags))
    assert (len(texts), sum(len(t.tokens) for t in texts), texts[-1].document) == (3453, 46435, 231)
    # Tjong Kim Sang & De Meulder 2003, table 2
    assert entities == {"LOC": 1668, "MISC": 702, "ORG": 1661, "PER": 1617}
    assert {t.scheme for t in texts} == {"iob1"}
    wnut = read_tagged(real_data / "wnut17" / "emerging.test.annotated.gz", findings)
    assert (len(wnut), sum(len(spans_of(t.tags)) for t in wnut), wnut[0].scheme) == (1287, 1079, "bio")
