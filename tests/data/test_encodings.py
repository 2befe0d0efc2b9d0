"""Text in other encodings: the error names the one that decodes the whole file, and following it reads the file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from unrolled.data import find_sources
from unrolled.errors import DataError, EncodingError

TEXTS = {
    "gb18030": "小船在海上慢慢地走，天亮的时候它已经到了小岛。岛上没有人来看它，于是它又回去了。\n",
    "big5": "小船在海上慢慢地走，天亮的時候它已經到了小島。島上沒有人來看它，於是它又回去了。\n",
    "shift_jis": "これは小さな船の話です。朝になると、船は島に着きました。カタカナもあります。\n",
    "euc_jp": "これは小さな船の話です。朝になると、船は島に着きました。カタカナもあります。\n",
    "euc_kr": "작은 배가 바다 위를 천천히 갑니다. 날이 밝을 때 섬에 도착했습니다.\n",
    "koi8_r": "Маленькая лодка медленно идёт по морю, и утром она уже у острова.\n",
    "cp1251": "Маленькая лодка медленно идёт по морю, и утром она уже у острова.\n",
    "cp1252": "Voilà l’été, où les élèves étudient déjà. Ça coûte 5 € à peu près.\n",
    "cp1253": "Το μικρό πλοίο πηγαίνει αργά στη θάλασσα και το πρωί φτάνει στο νησί.\n",
    "cp874": "เรือลำเล็กแล่นไปในทะเลอย่างช้าๆ และถึงเกาะในตอนเช้า\n",
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_the_encoding_that_decodes_the_whole_file_is_named(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "novel.txt"
    text = "plain words first\n" + TEXTS[encoding] * 30
    path.write_bytes(text.encode(encoding))
    (source,) = find_sources(path)
    with pytest.raises(EncodingError) as caught:
        list(source.text())
    named = re.search(r"all of it is valid (\w+) \(.+\): give --encoding (\w+)$", str(caught.value))
    assert named is not None
    assert str(caught.value).startswith(f"{path}:2: not valid UTF-8 at byte ")
    assert named[1] == named[2]
    # an encoding that holds the other one, such as cp932 Shift JIS, is as good
    assert "".join(source.text(named[2])) == text


def test_a_fault_far_into_the_file_rules_an_encoding_out(tmp_path: Path) -> None:
    path = tmp_path / "novel.txt"
    path.write_bytes((TEXTS["gb18030"] * 30).encode("gb18030") + b"\xff\n")
    (source,) = find_sources(path)
    with pytest.raises(EncodingError, match=r"no encoding fits all of it, .* --errors replace reads U"):
        list(source.text())
    assert "".join(source.text("gb18030", "replace")).endswith("\ufffd\n")


def test_utf16_without_a_mark_is_named(tmp_path: Path) -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        (tmp_path / "a.txt").write_bytes("Hello, world".encode(encoding))
        (source,) = find_sources(tmp_path / "a.txt")
        with pytest.raises(DataError, match=f"if it is UTF-16, try --encoding {encoding}"):
            list(source.text())
        assert "".join(source.text(encoding)) == "Hello, world"
