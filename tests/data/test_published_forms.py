"""Files in the forms in which their fields publish them: made here, of the shape of public ones."""

from __future__ import annotations

import mailbox
import zipfile
from email.message import EmailMessage
from pathlib import Path

import numpy as np
import pytest

from unrolled.data import Findings, find_sources, read_documents
from unrolled.data.images.labelled import read_labelled_images
from unrolled.data.parallel.read import read_pairs
from unrolled.data.tagged.read import TaggedText, read_tagged
from unrolled.data.text.labelled import LabelledTextOptions, read_labelled
from unrolled.errors import DataError


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# Mail

PIPERMAIL = """From {name} at example.org  Thu Nov  {n} 11:19:12 2001
From: {name} at example.org ({name})
Date: Thu, {n} Nov 2001 11:19:12 +0100
Subject: [list] plans
Message-ID: <{n}@example.org>

On Tue, 30 Oct 2001, Somebody wrote:
> when?

By the end of week {n}.
-------------- next part --------------
An HTML attachment was scrubbed...

"""


def test_archives_of_mailing_lists(tmp_path: Path) -> None:
    path = write(tmp_path / "2001-November.txt", "".join(PIPERMAIL.format(name=f"ann{n}", n=n) for n in range(1, 4)))
    assert [p.text for p in read_documents(path)] == [f"By the end of week {n}." for n in range(1, 4)]


def test_the_footer_of_a_list_is_nobodys_words(tmp_path: Path) -> None:
    body = "Yes.\n_______________________________________________\nExample mailing list\nExample@lists.org\n"
    path = write(tmp_path / "a.eml", f"From: a@b.c\nSubject: x\n\n{body}")
    assert [p.text for p in read_documents(path)] == ["Yes."]


def test_every_message_of_folders_that_mailbox_reads(tmp_path: Path) -> None:
    boxes = {"maildir": mailbox.Maildir(str(tmp_path / "maildir")), "mh": mailbox.MH(str(tmp_path / "mh"))}
    for box in boxes.values():
        for n in range(3):
            mail = EmailMessage()
            # one header alone would not look like mail
            mail["X-Note"] = "x"
            mail.set_content(f"words {n}\n")
            box.add(mail)
        box.close()
    (tmp_path / "mh" / ".mh_sequences").touch()
    for name in boxes:
        assert sorted(p.text for p in read_documents(tmp_path / name)) == ["words 0", "words 1", "words 2"]


def test_a_message_of_apples_mail(tmp_path: Path) -> None:
    message = b"From: a@b.c\nSubject: x\n\nwords\n"
    path = write(tmp_path / "1.emlx", b"%d   \n%s<?xml version='1.0'?><plist/>" % (len(message), message))
    assert [p.text for p in read_documents(path)] == ["words"]


@pytest.mark.parametrize(
    "body",
    [
        'Content-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: text/plain\n\nwords\n',
        "Content-Type: multipart/alternative; boundary=b\n\npreamble\n--b\n\nwords\n--b--\n--b\n",
        'Content-Type: text/plain; charset="no such; \x01"\n\nwords\n',
        "Content-Type: text/plain\nContent-Transfer-Encoding: nonsense\n\nwords\n",
        "Content-Type: multipart/mixed\n\nwords\n",
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nd29yZHM\n",
        "Subject: =?utf-8?Q?=FF?= =?x?y?z?=\n\nwords\n",
    ],
)
def test_broken_mime(tmp_path: Path, body: str) -> None:
    path = write(tmp_path / "a.eml", f"From: a@b.c\nDate: never\n{body}")
    assert [p.text.strip() for p in read_documents(path)] == ["words"]


# Tagged text

CONLLU = """# newdoc id = a
# sent_id = 1
1\tThe\tthe\tDET\tDT\t_\t2\tdet\t_\t_
2-3\tboats\t_\t_\t_\t_\t_\t_\t_\t_
2\tboat\tboat\tNOUN\tNN\tNumber=Sing\t0\troot\t_\t_
3\ts\ts\tPART\tPOS\t_\t2\tcase\t_\t_
3.1\twhich\twhich\tPRON\t_\t_\t_\t_\t_\t_

# newdoc id = b
1\tNew York\tNew York\tPROPN\tNNP\t_\t0\troot\t_\t_
2\t.\t.\tPUNCT\t.\t_\t1\tpunct\t_\t_
"""


def tagged(path: Path, findings: Findings | None = None, **options: object) -> list[TaggedText]:
    return read_tagged(path, Findings() if findings is None else findings, **options)  # type: ignore[arg-type]


def test_conllu_by_the_names_of_its_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "en.conllu", CONLLU)
    first, second = tagged(path)
    assert (first.tokens, first.tags, first.kind) == (("The", "boat", "s"), ("DET", "NOUN", "PART"), "labels")
    assert (second.tokens, second.lines, first.document, second.document) == (("New York", "."), (10, 11), 1, 2)
    assert tagged(path, label_column="XPOS")[0].tags == ("DT", "NN", "POS")
    assert tagged(path, token_column="lemma", label_column="deprel")[1].tokens == ("New York", ".")
    assert tagged(path, label_column=7)[0].tags == ("det", "root", "case")
    with pytest.raises(DataError, match=r"no column 'ner' for --label-column: its columns are id, form, lemma, upos"):
        tagged(path, label_column="ner")
    unnamed = write(tmp_path / "en.txt", CONLLU)
    assert tagged(unnamed)[0].tokens == first.tokens
    plus = write(tmp_path / "plus.txt", "# global.columns = ID FORM NER\n1\tRome\tB-LOC\n2\tis\tO\n")
    assert tagged(plus, label_column="ner")[0].tags == ("S-LOC", "O")


def test_a_first_column_that_counts_the_tokens(tmp_path: Path) -> None:
    path = write(tmp_path / "de.tsv", "#\thttp://a.b [2009]\n1\tRom\tB-LOC\tO\n2\tist\tO\tO\n\n1\tJa\tO\tO\n")
    assert [t.tokens for t in tagged(path, label_column=2)] == [("Rom", "ist"), ("Ja",)]
    with pytest.raises(
        DataError, match=r"no column 'ner' for --label-column: its columns have no names; give a number"
    ):
        tagged(path, label_column="ner")


def test_a_space_is_a_token(tmp_path: Path) -> None:
    path = write(tmp_path / "th.conll", "ฝน\tO\n \tO\nระยอง\tB-LOC\n\nฝน\tO\n")
    assert [t.tokens for t in tagged(path)] == [("ฝน", " ", "ระยอง"), ("ฝน",)]
    line = '{"tokens": ["ฝน", " "], "tags": ["O", "O"]}'
    assert tagged(write(tmp_path / "th.jsonl", line))[0].tokens == ("ฝน", " ")


def test_positions_glued_to_characters_are_named(tmp_path: Path) -> None:
    findings = Findings()
    tagged(write(tmp_path / "zh.conll", "小0\tB-PER\n明1\tI-PER\n去2\tO\n\n北0\tB-LOC\n海1\tI-LOC\n好2\tO\n"), findings)
    assert findings.items[0].message == (
        "the tokens look like characters with a position glued on (小0 明1 去2): remove the numbers from the file"
    )


def test_a_table_of_a_token_a_row(tmp_path: Path) -> None:
    text = "Sentence #,Word,POS,Tag\nSentence: 1,Rome,NNP,B-geo\n,is,VBZ,O\nSentence: 2,Yes,UH,O\n"
    first, second = tagged(write(tmp_path / "ner.csv", text))
    assert (first.tokens, first.tags, second.tokens) == (("Rome", "is"), ("S-geo", "O"), ("Yes",))
    assert tagged(tmp_path / "ner.csv", label_column="POS")[0].tags == ("NNP", "VBZ")
    with pytest.raises(DataError, match=r"which column holds the labels\? .*name it with --label-column"):
        tagged(write(tmp_path / "x.csv", "word,x\na,1\nb,2\n"))


# Translation


def test_a_folder_of_pairs_with_a_note(tmp_path: Path) -> None:
    lines = "".join(f"The boat {n} is red.\t船{n}は赤い。\tCC-BY 2.0 #{n}\n" for n in range(5))
    write(tmp_path / "d" / "jpn.txt", lines)
    write(tmp_path / "d" / "_about.txt", "** Info **\n\nA note.\n")
    findings = Findings()
    pairs = read_pairs([tmp_path / "d"], findings)
    assert (len(pairs), pairs[0].source, pairs[0].target) == (5, "The boat 0 is red.", "船0は赤い。")
    assert [item.path for item in findings.items] == [str(tmp_path / "d" / "_about.txt")]
    with zipfile.ZipFile(tmp_path / "jpn-eng.zip", "w") as archive:
        for name in ("jpn.txt", "_about.txt"):
            archive.write(tmp_path / "d" / name, name)
    assert [p.target for p in read_pairs([tmp_path / "jpn-eng.zip"], Findings())] == [p.target for p in pairs]
    assert read_pairs([tmp_path / "d"], Findings(), source="2", target="1")[0].source == "船0は赤い。"


def test_pairs_with_ids_and_languages(tmp_path: Path) -> None:
    path = write(tmp_path / "p.tsv", "1\teng\tYes.\t7\tdeu\tJa.\n2\teng\tNo.\t8\tdeu\tNein.\n")
    assert [(p.source, p.target) for p in read_pairs([path], Findings())] == [("Yes.", "Ja."), ("No.", "Nein.")]
    named = write(tmp_path / "p.csv", "English words,French words\nYes.,Oui.\nNo.,Non.\n")
    assert [p.source for p in read_pairs([named], Findings())] == ["Yes.", "No."]
    hub = write(tmp_path / "p.jsonl", '{"translation": {"de": "Ja.", "en": "Yes."}}\n')
    assert read_pairs([hub], Findings(), source="de", target="en")[0].target == "Yes."


def test_exports_of_tatoeba(tmp_path: Path) -> None:
    write(tmp_path / "t" / "sentences.csv", "1\teng\tYes.\n2\tdeu\tJa.\n3\tfra\tOui.\n4\teng\tNo.\n5\tdeu\tNein.\n")
    write(tmp_path / "t" / "links.csv", "1\t2\n2\t1\n1\t3\n5\t4\n4\t99\n")
    with pytest.raises(DataError, match=r"3 languages \(deu, eng, fra, …\); name two with --source and --target"):
        read_pairs([tmp_path / "t"], Findings())
    pairs = read_pairs([tmp_path / "t"], Findings(), source="deu", target="eng")
    assert [(p.source, p.target, p.line) for p in pairs] == [("Ja.", "Yes.", 2), ("Nein.", "No.", 4)]


# Images


def pixel_rows(header: str, form: str) -> str:
    return header + "".join(
        form.format(label=n % 2, pixels=",".join(str((n * p) % 256) for p in range(9))) for n in range(6)
    )


@pytest.mark.parametrize(
    ("header", "form"),
    [
        ("label," + ",".join(f"pixel{n}" for n in range(9)) + "\n", "{label},{pixels}\n"),
        (",".join(f"p{n}" for n in range(9)) + ",class\n", "{pixels},{label}\n"),
        ("", "{label},{pixels}\n"),
        ("", "{pixels},{label}\n"),
    ],
)
def test_rows_of_pixels(tmp_path: Path, header: str, form: str) -> None:
    path = write(tmp_path / "mnist.csv", pixel_rows(header, form))
    images = read_labelled_images([path], Findings())
    assert [image.label for image in images] == ["0", "1"] * 3
    assert images[2].picture.pixels()[..., 0].tolist() == [[0, 2, 4], [6, 8, 10], [12, 14, 16]]
    assert images[2].line == 3 + bool(header)


def test_pixels_in_one_column_fractions_and_colours(tmp_path: Path) -> None:
    faces = write(tmp_path / "fer.csv", "emotion,pixels,Usage\n3,0 1 2 3,Training\n4,4 5 6 7,Test\n")
    first = read_labelled_images([faces], Findings())[0]
    assert (first.label, first.picture.pixels()[..., 0].tolist()) == ("3", [[0, 1], [2, 3]])
    shares = write(tmp_path / "f.csv", "label,a,b,c,d\n1,0,0.5,1,0.25\n2,0,0,0,1\n")
    assert read_labelled_images([shares], Findings())[0].picture.pixels()[..., 0].tolist() == [[0, 128], [255, 64]]
    colours = write(
        tmp_path / "c.csv", "label," + ",".join(f"p{n}" for n in range(12)) + "\n1," + ",".join("0" * 4 + "9" * 8)
    )
    assert read_labelled_images([colours], Findings())[0].picture.pixels()[0, 0].tolist() == [0, 9, 9]
    with pytest.raises(DataError, match="7 columns of pixels make no square image"):
        read_labelled_images([write(tmp_path / "x.csv", "label,a,b,c,d,e,f,g\n1,2,3,4,5,6,7,8\n")], Findings())
    findings = Findings(strict=False)
    bad = write(tmp_path / "b.csv", "label,a,b,c,d\n1,2,3,4,5\n1,2,3,4,500\n1,2,3,x,5\n1,2,3\n")
    assert len(read_labelled_images([bad], findings)) == 1
    assert [(item.kind, item.line) for item in findings.items] == [("bad pixels", 3), ("no number", 4), ("ragged", 5)]


def test_arrays_in_two_files_and_labels_of_two_dimensions(tmp_path: Path) -> None:
    np.savez(tmp_path / "kmnist-train-imgs.npz", np.zeros((2, 4, 4), np.uint8))
    np.savez(tmp_path / "kmnist-train-labels.npz", np.array([3, 4]))
    assert [i.label for i in read_labelled_images([tmp_path / "kmnist-train-imgs.npz"], Findings())] == ["3", "4"]
    np.savez(tmp_path / "m.npz", train_images=np.zeros((2, 4, 4), np.uint8), train_labels=np.array([[1], [0]]))
    assert [i.label for i in read_labelled_images([tmp_path / "m.npz"], Findings())] == ["1", "0"]


# Classes of texts


def labels(path: Path, **options: object) -> list[tuple[str, str]]:
    return [(e.label, e.text) for e in read_labelled(path, None, LabelledTextOptions(**options))]  # type: ignore[arg-type]


def test_lines_that_begin_with_their_label(tmp_path: Path) -> None:
    lines = "".join(
        f"{('DESC:manner', 'HUM:ind', 'NUM:rare')[2 if n == 90 else n % 2]} What is number {n} ?\n" for n in range(91)
    )
    found = labels(write(tmp_path / "trec.txt", lines))
    assert (len(found), found[0], found[-1][0]) == (91, ("DESC:manner", "What is number 0 ?"), "NUM:rare")
    begin = ("The", "A", "One", "Some", "It", "We", "So", "If", "No", "All")
    prose = "\n".join(f"{word} is what this line of prose begins with" for word in begin)
    with pytest.raises(DataError, match="one column, where a text and its label are needed"):
        labels(write(tmp_path / "prose.txt", prose + "\n"))


def test_columns_by_a_word_in_their_names(tmp_path: Path) -> None:
    header = "tweet_id,airline_sentiment,airline_sentiment:confidence,name,tweet_text\n"
    rows = "".join(f"{n},{('good', 'bad')[n % 2]},0.{n},user{n},what I say {n} times\n" for n in range(10, 30))
    assert labels(write(tmp_path / "t.csv", header + rows))[0] == ("good", "what I say 10 times")
    # a column that never says the same twice is no column of labels
    plain = "".join(f"{n},user{n},what I say {n} times over\n" for n in range(20))
    with pytest.raises(DataError, match=r"which column holds the labels\? no header was found"):
        labels(write(tmp_path / "u.csv", plain))
    stray = "v1,v2,,,\n" + "".join(f"{'ab'[n % 2]},message {n},,,\n" for n in range(30)) + "a,mess, age,,\n"
    assert len(labels(write(tmp_path / "v.csv", stray))) == 31


# Whatever a stranger sends


def test_hostile_files_are_one_error_each(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("aé.txt", "x")
    broken = (tmp_path / "z.zip").read_bytes().replace("é".encode(), b"\xff\xff")
    with pytest.raises(DataError, match=r"z\.zip: holds a file name that is not the UTF-8 it says it is"):
        find_sources(write(tmp_path / "z.zip", broken))
    np.savez_compressed(
        tmp_path / "n.npz", images=np.arange(4096, dtype=np.uint8).reshape(1, 64, 64), labels=np.zeros(1)
    )
    data = bytearray((tmp_path / "n.npz").read_bytes())
    data[60:90] = b"\xff" * 30
    with pytest.raises(DataError, match=r"not a usable \.npz file"):
        read_labelled_images([write(tmp_path / "n.npz", bytes(data))], Findings())
    rot = write(tmp_path / "m.tmx", '<?xml version="1.0" encoding="rot13"?><tmx version="1.4"><body/></tmx>')
    with pytest.raises(DataError, match=r"says that it is in an encoding that can't be read: .* save it as UTF-8"):
        read_pairs([rot], Findings())
