"""Damaged and hostile files of every form: read, or refused in one line; no other exception, no hang, no memory.

Each form has a part of a second; `make fuzz SECONDS=60` gives each a minute.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import random
import time
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from unrolled.data import Findings
from unrolled.errors import UnrolledError
from unrolled.tasks import Sources
from unrolled.tasks.core.catalog import task_named

from .conftest import STORED
from .test_strange_folders import MEBIBYTE, bounded

#: of each form, of the process's own time
SECONDS = float(os.environ.get("UNROLLED_FUZZ_SECONDS", "0.75"))
#: what may not be taken beyond, whatever a file of a few kilobytes claims
MEMORY = 768 * MEBIBYTE
SPECIAL = (
    b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\xef\xbb\xbf", b'"', b",", b"\t", b"\r", b"\n\n", b"\x1b[2J", b"9" * 400,
    b"-", b"1e999", b"nan", b"\xe2\x80\xae", b"[" * 2000, b"<a>" * 500, b"PK\x03\x04", b"\x80", b"\x7f\xff\xff\xff",
)  # fmt: skip


class Form(NamedTuple):
    """A form of file, and who reads it."""

    task: str
    name: str
    content: bytes


def stored(model: str, name: str) -> bytes:
    return (STORED / model / "data" / name).read_bytes()


def zipped(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def sound() -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.arange(800, dtype="<i2").tobytes())
    return stream.getvalue()


def parquet() -> bytes:
    arrow, written = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    stream = io.BytesIO()
    written.write_table(arrow.table({"text": ["good", "bad"] * 20, "label": ["pos", "neg"] * 20}), stream)
    return stream.getvalue()


TEXT = b"Thank you for the report.\nCould you send the figures by noon?\n\n" * 20
MAIL = b"From a@b Mon Jan  1 00:00:00 2001\nSubject: x\nContent-Type: text/html\n\n<p>Hi &amp; <b>you</b></p>\n\n" * 5
CONLLU = b"# text = a cat\n1\ta\ta\tDET\tDT\t_\t2\tdet\t_\t_\n2\tcat\tcat\tNOUN\tNN\t_\t0\troot\t_\t_\n\n" * 12
PAIRS = b"".join(b"a cat %d\teine Katze %d\n" % (n, n) for n in range(30))
TMX = (
    b"<?xml version='1.0'?><tmx version='1.4'><header srclang='en'/><body>"
    + b"<tu><tuv xml:lang='en'><seg>a cat</seg></tuv><tuv xml:lang='de'><seg>eine Katze</seg></tuv></tu>" * 12
    + b"</body></tmx>"
)
STAMPED = b"date;load;temp\n" + b"".join(b"%02d.01.2020 00:00;1,%d;-\n" % (n, n) for n in range(1, 29))
LINES = b"".join(json.dumps({"text": f"good {n}", "label": "np"[n % 2]}).encode() + b"\n" for n in range(30))

FORMS: dict[str, Callable[[], Form]] = {
    "text": lambda: Form("generate", "a.txt", TEXT),
    "text.gz": lambda: Form("generate", "a.txt.gz", gzip.compress(TEXT)),
    "text.xz": lambda: Form("generate", "a.txt.xz", lzma.compress(TEXT)),
    "text.zip": lambda: Form("generate", "a.zip", zipped("a.txt", TEXT)),
    "utf-16": lambda: Form("generate", "a.txt", TEXT.decode().encode("utf-16")),
    "mbox": lambda: Form("generate", "a.mbox", MAIL),
    "eml": lambda: Form("generate", "a.eml", MAIL.partition(b"\n")[2]),
    "jsonl": lambda: Form("classify", "a.jsonl", LINES),
    "tsv": lambda: Form("classify", "a.tsv", stored("classify", "dev.tsv")),
    "parquet": lambda: Form("classify", "a.parquet", parquet()),
    "conll": lambda: Form("tag", "a.conll", stored("tag-entities", "dev.txt")),
    "conllu": lambda: Form("tag", "a.conllu", CONLLU),
    "pairs": lambda: Form("translate", "a.tsv", PAIRS),
    "tmx": lambda: Form("translate", "a.tmx", TMX),
    "csv": lambda: Form("forecast", "a.csv", stored("forecast-direct", "all.csv")),
    "dialect": lambda: Form("forecast", "a.csv", STAMPED),
    "npz": lambda: Form("recognize", "a.npz", stored("recognize-rows", "dev.npz")),
    "captions": lambda: Form("caption", "a.txt", stored("caption", "dev.txt")),
    "transcripts": lambda: Form("transcribe", "a.jsonl", stored("transcribe", "dev.jsonl")),
}


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Return a file with up to four faults."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data) + 1)
        end = min(len(data), at + draw.choice((1, 4, 50, 1000)))
        fault = draw.randrange(6)
        if fault == 0 and at < len(data):
            data[at] ^= 1 << draw.randrange(8)
        elif fault == 1:
            data[at:at] = draw.choice(SPECIAL)
        elif fault == 2:
            del data[at:end]
        elif fault == 3:
            data[at:at] = data[at:end] * draw.choice((1, 3))
        elif fault == 4:
            data[at:end] = draw.randbytes(end - at)
        elif fault == 5:
            del data[at:]
    return bytes(data)


def checked(form: Form, path: Path) -> None:
    """Check a file as training data; whatever comes, comes as findings or as an error of one line."""
    use = task_named(form.task)
    try:
        findings = Findings(strict=False)
        use.check(Sources((path,), ()), use.options(), findings, lambda sentence, done, of: None)
        messages = [str(item) for item in findings.items]
    except UnrolledError as error:
        messages = [str(error)]
    for message in messages:
        assert "\n" not in message


@pytest.mark.parametrize("name", FORMS)
def test_damaged_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    form = FORMS[name]()
    path = tmp_path / form.name
    path.write_bytes(form.content)
    checked(form, path)
    began, number = time.process_time(), 0
    while time.process_time() - began < SECONDS:
        number += 1
        content = damaged(form.content, random.Random(f"{name} {number}"))
        path.write_bytes(content)
        try:
            with bounded(seconds=10, memory=MEMORY):
                checked(form, path)
        except BaseException as error:
            kept = tmp_path.parent / f"{number}-{form.name}"
            kept.write_bytes(content)
            raise AssertionError(f"{name}, damage {number} (in {kept}): {type(error).__name__}: {error}") from error
