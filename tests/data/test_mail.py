"""Mail: hand-worked messages, and mbox files against the standard library's own reader."""

from __future__ import annotations

import base64
import mailbox
import random
import time
from email.message import EmailMessage
from pathlib import Path

import pytest

from unrolled.data import find_sources, read_documents
from unrolled.data.text.mail.messages import message_text, split_mbox, starts_like_mbox, starts_like_message
from unrolled.data.text.mail.typed import html_to_text, typed_text
from unrolled.errors import DataError

HEADERS = "From: Ann <ann@example.org>\nTo: bob@example.org\nSubject: Lunch\nMIME-Version: 1.0\n"


def message(body: str, kind: str = "text/plain; charset=utf-8", encoding: str = "utf-8", extra: str = "") -> bytes:
    return f"{HEADERS}Content-Type: {kind}\n{extra}\n".encode() + body.encode(encoding)


# What stays of a body, case by case.
TYPED = {
    "nothing to drop": ("Hello Bob,\n\nsee you at 3.\n", "Hello Bob,\n\nsee you at 3."),
    "reply above a quotation": ("Yes.\n\nOn Mon, Jan 5, 2004, Ann wrote:\n> Lunch?\n> At 1?\n", "Yes."),
    "answers between quotations": (
        "On Mon, Jan 5, 2004, Ann wrote:\n> Lunch?\nYes.\n> At 1?\nAt 2.\n",
        "Yes.\nAt 2.",
    ),
    "attribution over two lines": (
        "Yes.\n\nOn Mon, Jan 5, 2004 at 10:00 AM Ann Example\n<a@b.c> wrote:\n> L?\n",
        "Yes.",
    ),
    "quotation without marks": ("Yes.\n\nOn Mon, Jan 5, 2004, Ann wrote:\n\nLunch?\nAt 1?\n", "Yes."),
    "no date, no attribution": ("On Monday 5 people wrote:\nhello.", "On Monday 5 people wrote:\nhello."),
    "not an attribution": (
        "On Monday I saw 3 plays that Shaw\nwrote. Good.",
        "On Monday I saw 3 plays that Shaw\nwrote. Good.",
    ),
    "German": ("Ja.\n\nAm 05.01.2004 um 10:00 schrieb Ann:\n> Essen?\n", "Ja."),
    "French": ("Oui.\n\nLe 5 janv. 2004 à 10:00, Ann a écrit :\n> Midi ?\n", "Oui."),
    "Spanish": ("Sí.\n\nEl lun, 5 ene 2004, Ann escribió:\n> ¿Comer?\n", "Sí."),
    "Italian": ("Sì.\n\nIl giorno 5 gen 2004 Ann ha scritto:\n> Pranzo?\n", "Sì."),
    "Dutch": ("Ja.\n\nOp 5 jan. 2004 schreef Ann:\n> Lunch?\n", "Ja."),
    "original message": ("Yes.\n\n-----Original Message-----\nFrom: Ann\nSent: Monday\n\nLunch?\n", "Yes."),
    "Ursprüngliche Nachricht": ("Ja.\n\n-----Ursprüngliche Nachricht-----\nVon: Ann\nEssen?\n", "Ja."),
    "Message d'origine": ("Oui.\n-----Message d'origine-----\nDe : Ann\n", "Oui."),
    "forwarded, Gmail": ("FYI\n\n---------- Forwarded message ---------\nFrom: Ann\nHi\n", "FYI"),
    "forwarded, Notes": (
        "FYI\n---------------------- Forwarded by Bob/HOU on 01/05/2004 10:00 AM ----------------\nHi",
        "FYI",
    ),
    "forwarded, Apple": ("FYI\n\nBegin forwarded message:\n\nFrom: Ann\n", "FYI"),
    "block of headers": (
        "Yes.\n\n________________________________\nFrom: Ann <a@b.c>\nSent: Monday\nTo: Bob\nSubject: Lunch\n\nLunch?",
        "Yes.",
    ),
    "block of headers, German": ("Ja.\n\nVon: Ann\nGesendet: Montag\nAn: Bob\nBetreff: Essen\n\nEssen?", "Ja."),
    "block of headers, bold": ("Yes.\n\n*From:* Ann\n*Sent:* Monday\n*To:* Bob\n*Subject:* Lunch\n\nLunch?", "Yes."),
    "From: in prose": ("From: the lobby, 2 pm\nthen the bus.", "From: the lobby, 2 pm\nthen the bus."),
    "signature": ("Yes.\n\n-- \nAnn Example\n+1 555 0100", "Yes."),
    "signature whose space is lost": ("Yes.\n--\nAnn", "Yes."),
    "a dash is none": ("Yes\n--- and no\n-- maybe", "Yes\n--- and no\n-- maybe"),
    "closing": ("Yes.\n\nBest regards,\n\nAnn Example\nVice President\n+1 555 0100", "Yes.\n\nBest regards,"),
    "closing, German": ("Ja.\n\nMit freundlichen Grüßen\nAnn", "Ja.\n\nMit freundlichen Grüßen"),
    "thanks within the letter": (
        "Thanks,\nthe plan that you sent on Monday looks good.\nAnn",
        "Thanks,\nthe plan that you sent on Monday looks good.\nAnn",
    ),
    "device": ("Yes.\n\nSent from my iPhone", "Yes."),
    "only a quotation": ("> Lunch?\n> At 1?\n", ""),
    "blank lines": ("\n\na\n\n\n\n\nb  \n", "a\n\nb"),
}


@pytest.mark.parametrize("case", TYPED)
def test_what_the_writer_typed(case: str) -> None:
    body, expected = TYPED[case]
    assert typed_text(body) == expected
    assert message_text(message(body)) == expected


HTML = {
    "<p>One  two\nthree</p><p>four</p>": "One two three\n\nfour",
    "a<br>b<br/>c<br><br>d": "a\nb\nc\n\nd",
    "<div>a</div><div>b</div><div><br></div><div>c</div>": "a\nb\n\nc",
    "<div>a<br></div><div>b</div>": "a\nb",
    "<style>p {}</style><script>if (a<b) {}</script><title>T</title>x": "x",
    "&lt;b&gt; &amp; &eacute;&nbsp;&#8364;": "<b> & é €",
    "<ul><li>a</li><li>b</li></ul>c": "a\nb\n\nc",
    "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>": "a b\nc",
    "x<blockquote type=cite><p>quoted <blockquote>deeper</blockquote></p></blockquote>y": "xy",
    "x<div class='gmail_quote'>On … wrote:<div>q</div></div>": "x",
    "x<div class='a gmail_signature'>Ann</div>": "x",
    "<blockquote>a poem</blockquote>": "a poem",
    "<pre>a\n  b</pre>": "a\nb",
    "<p>unclosed <b>bold": "unclosed bold",
    "a<!-- <b>no</b> -->b<!DOCTYPE html>c<?xml x?>d": "abcd",
    "a<![if !mso]>b<![endif]><![foo[x]]><![ >c": "abc",
    "1 < 2 <3 <b>bold</b> <a": "1 < 2 <3 bold <a",
    "a<!-- never closed": "a",
    "": "",
}


@pytest.mark.parametrize("html", HTML)
def test_html_to_text(html: str) -> None:
    assert html_to_text(html) == HTML[html]


@pytest.mark.parametrize("part", ["<a", "<!--", "<!", "<![", "<", "<a ", "x='", "&", "<script>", "</", "<p>", "<td ><"])
def test_hostile_html_takes_no_time(part: str) -> None:
    for html in (part * 100_000, "<a " + part * 100_000 + ">"):
        start = time.process_time()
        html_to_text(html)
        assert time.process_time() - start < 5


@pytest.mark.parametrize("line", ["Thanks%s x", "Sent from my %s!", "On 1/1 %s", "--%s", "From:%s", ">%s", "%s-"])
def test_hostile_lines_take_no_time(line: str) -> None:
    start = time.process_time()
    for filler in (" ", "-", " wrote", "a "):
        typed_text(line.replace("%s", filler * 100_000))
        typed_text((line.replace("%s", filler) + "\n") * 10_000)
    assert time.process_time() - start < 5


def test_html_of_any_kind_is_read() -> None:
    choose = random.Random(0)
    parts = ["<", "!", "[", ">", "-", "--", "a", "]", "div", " ", "=", "'", '"', "&", "#", "/", "?", "br", "\n", "if"]
    for _ in range(3000):
        html_to_text("".join(choose.choices(parts, k=25)))


def test_html_only_mail() -> None:
    assert message_text(message("<p>Hello</p><p>Bob &amp; all</p>", "text/html; charset=utf-8")) == "Hello\n\nBob & all"


def test_plain_text_is_preferred_and_attachments_are_left_out() -> None:
    mail = EmailMessage()
    mail["From"], mail["To"] = "ann@example.org", "bob@example.org"
    mail.set_content("plain words\n")
    mail.add_alternative("<p>html words</p>", subtype="html")
    mail.add_attachment("attached words", filename="a.txt")
    mail.add_attachment(b"\x89PNG", maintype="image", subtype="png")
    forwarded = EmailMessage()
    forwarded["From"] = "carl@example.org"
    forwarded.set_content("forwarded words")
    mail.add_attachment(forwarded)
    assert message_text(mail.as_bytes()) == "plain words"


def test_html_stands_in_for_an_empty_plain_part() -> None:
    mail = EmailMessage()
    mail["From"] = "ann@example.org"
    mail.set_content(" \n")
    mail.add_alternative("<p>html words</p>", subtype="html")
    assert message_text(mail.as_bytes()) == "html words"


def test_related_html_inside_an_alternative() -> None:
    mail = EmailMessage()
    mail["From"] = "ann@example.org"
    mail.set_content("<p>with a <img src='cid:x'> picture</p>", subtype="html")
    mail.add_related(b"\x89PNG", "image", "png", cid="x")
    assert message_text(mail.as_bytes()) == "with a picture"


@pytest.mark.parametrize(
    ("charset", "raw", "expected"),
    [
        ("utf-8", "Grüße €".encode(), "Grüße €"),
        ("iso-8859-1", b"Gr\xfc\xdfe", "Grüße"),
        ("iso-8859-1", b"\x93quoted\x94 \x80", "“quoted” €"),
        ("us-ascii", "Grüße".encode(), "Grüße"),
        ("us-ascii", b"Gr\xfc\xdfe", "Grüße"),
        ("utf-8", b"Gr\xfc\xdfe", "Grüße"),
        ("x-unknown", "Grüße".encode(), "Grüße"),
        ("hex", b"Gr\xfc\xdfe", "Grüße"),
        ("koi8-r", "привет".encode("koi8-r"), "привет"),
        ("iso-2022-jp", "日本".encode("iso-2022-jp"), "日本"),
        ("utf-8", b"\x81\xff", "\ufffdÿ"),
    ],
)
@pytest.mark.parametrize("transfer", ["8bit", "base64"])
def test_character_sets_true_and_broken(charset: str, raw: bytes, expected: str, transfer: str) -> None:
    head = f"{HEADERS}Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: {transfer}\n\n".encode()
    assert message_text(head + (base64.encodebytes(raw) if transfer == "base64" else raw)) == expected


def test_quoted_printable_and_broken_base64() -> None:
    extra = "Content-Transfer-Encoding: quoted-printable\n"
    assert message_text(message("Gr=C3=BC=C3=9Fe soft=\nbroken", extra=extra)) == "Grüße softbroken"
    assert "hello" in message_text(message("aGVsbG8", extra="Content-Transfer-Encoding: base64\n"))


def test_flowed_lines_are_joined() -> None:
    body = "One long \nline.\n\nNext.\n> q \n> q\n-- \nAnn"
    assert message_text(message(body, "text/plain; charset=utf-8; format=flowed")) == "One long line.\n\nNext."
    assert message_text(message(body)) == "One long\nline.\n\nNext."
    assert message_text(message("日 \n本", "text/plain; charset=utf-8; format=flowed; delsp=yes")) == "日本"


def mbox_messages(tmp_path: Path, data: bytes, **options: str) -> list[str]:
    (tmp_path / "x.mbox").write_bytes(data)
    return [piece.text for piece in read_documents(tmp_path / "x.mbox", **options)]


def test_mbox_is_cut_at_separators_only(tmp_path: Path) -> None:
    separator = b"From ann@example.org Mon Jan  5 10:00:00 2004\n"
    body = "First.\nFrom here on 10:00 2004 it is prose, no blank line before.\n\nFrom then on too.\n\n>From escaped.\n"
    data = separator + message(body) + b"\n" + separator + message("Second.") + b"\n\n"
    assert mbox_messages(tmp_path, data) == [body.replace(">From", "From").strip(), "Second."]
    pieces = list(read_documents(tmp_path / "x.mbox"))
    line = 1 + data[: data.rindex(separator)].count(b"\n")
    assert [piece.source for piece in pieces] == [f"{tmp_path}/x.mbox:1", f"{tmp_path}/x.mbox:{line}"]
    assert mbox_messages(tmp_path, data.replace(b"\n", b"\r\n")) == [piece.text for piece in pieces]


def test_mbox_agrees_with_the_standard_library(tmp_path: Path) -> None:
    choose = random.Random(0)
    box = mailbox.mbox(str(tmp_path / "box.mbox"))
    for number in range(40):
        mail = EmailMessage()
        mail["From"], mail["Subject"] = f"ann{number}@example.org", "x" * number
        lines = choose.choices(["From me to you", "word", "", "> not a reply", "Grüße"], k=choose.randrange(30))
        mail.set_content("\n".join([f"number {number}", *lines]) + "\n")
        box.add(mailbox.mboxMessage(mail))
    box.close()
    box = mailbox.mbox(str(tmp_path / "box.mbox"))
    theirs = [box.get_bytes(key).replace(b"\n>From ", b"\nFrom ").strip() for key in box.keys()]  # noqa: SIM118
    box.close()
    (source,) = find_sources(tmp_path / "box.mbox")
    ours = [raw.strip() for _, raw in split_mbox(source)]
    assert ours == theirs


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"Hello, this is no mbox.\n", 1),
        (b"\n\nFrom: Ann <a@b.c>\nSubject: x\n\nbody\n", 3),
        (b"From the beginning\nSubject: x\n\nbody\n", 1),
        (b"\n\n\n", 1),
    ],
)
def test_a_malformed_mbox_is_named_with_its_line(tmp_path: Path, data: bytes, line: int) -> None:
    with pytest.raises(DataError, match=rf"x\.mbox:{line}: not an mbox file: "):
        mbox_messages(tmp_path, data)


def test_a_message_that_cannot_be_parsed(tmp_path: Path) -> None:
    separator = b"From ann@example.org Mon Jan  5 10:00:00 2004\n"
    data = separator + message("First.") + b"\n\n" + separator + b"\nno headers\n\n" + separator + message("Third.")
    with pytest.raises(DataError, match=r"x\.mbox:10: this message can't be parsed .*no headers.*--errors replace"):
        mbox_messages(tmp_path, data)
    assert mbox_messages(tmp_path, data, errors="replace") == ["First.", "Third."]
    (tmp_path / "x.eml").write_bytes(b"no mail at all")
    with pytest.raises(DataError, match=r"x\.eml: this message can't be parsed"):
        list(read_documents(tmp_path / "x.eml"))


def test_deeply_nested_parts_do_no_harm(tmp_path: Path) -> None:
    depth = 1500
    nested = "".join(f'Content-Type: multipart/mixed; boundary="{n}"\n\n--{n}\n' for n in range(depth))
    (tmp_path / "x.eml").write_text(HEADERS + nested + "Content-Type: text/plain\n\ninnermost")
    try:
        assert [piece.text for piece in read_documents(tmp_path / "x.eml")] == ["innermost"]
    except DataError as error:
        assert "can't be parsed (RecursionError" in str(error)  # noqa: PT017


def test_messages_of_others_only_are_no_documents(tmp_path: Path) -> None:
    separator = b"From ann@example.org Mon Jan  5 10:00:00 2004\n"
    data = separator + message("> quoted only\n") + b"\n\n" + separator + message("Mine.")
    assert mbox_messages(tmp_path, data) == ["Mine."]


def test_sniffing() -> None:
    assert starts_like_mbox(b"From - Mon Jan 05 10:00:00 2004\nX-Mozilla-Status: 0001\n")
    assert starts_like_mbox(b"From 12@xxx Mon Jan 05 10:00:00 +0000 2004\r\nX-GM-THRID: 12\r\n")
    assert not starts_like_mbox(b"From the 5th, 10:00, of 2004\nwe saw\n")
    assert starts_like_message(message("x"))
    assert starts_like_message(message("x").replace(b"\n", b"\r\n"))
    assert not starts_like_message(b"Dear Bob,\nFrom: x\n")
    assert not starts_like_message(b"Note: this\nis prose\nFrom: a\nTo: b\n\n")
    assert not starts_like_message(b"")
