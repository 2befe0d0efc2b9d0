"""Raw text is cut into tokens as the training data of a tagger was: characters, words without spaces, spaces."""

from __future__ import annotations

from pathlib import Path

import pytest

from unrolled.errors import ArgumentError
from unrolled.tasks import Model, train
from unrolled.tasks.inputs.words.unspaced import TokenCutter


def cut(text: str, *known: str) -> list[str]:
    words = TokenCutter(dict.fromkeys(known, 1))(text)
    assert all(text[word.start : word.end] == word.text for word in words)
    return [word.text for word in words]


def test_runs_fall_into_the_fewest_tokens_that_are_known() -> None:
    assert cut("abc", "a", "b") == ["abc"]
    assert cut("小明去", "小", "明") == ["小", "明", "去"]
    assert cut("小明去", "小明", "小", "明") == ["小明", "去"]
    assert cut("ฝนตกที่ระยอง", "ฝน", "ตก", "ที่") == ["ฝน", "ตก", "ที่", "ระยอง"]
    # a known token within an unknown one is cut out, what is left stays together
    assert cut("กขคงจ", "คค", "กข") == ["กข", "คงจ"]
    assert cut("在 Rome, 2020年", "在", "年") == ["在", "Rome", ",", "2020", "年"]


def test_spaces_are_tokens_where_they_were() -> None:
    assert cut("ฝน ตก\nที่", "ฝน", "ตก", " ", "ที่") == ["ฝน", " ", "ตก", "ที่"]
    assert cut("ฝน  ตก", "ฝน", "ตก", " ") == ["ฝน", " ", "ตก"]
    assert cut("a b", "a", " ") == ["a", " ", "b"]


@pytest.mark.parametrize("known", [("小", "明"), ("小明", "去"), ("ฝน", "ตก", " ")])
def test_what_is_settled_is_cut_alike_whatever_comes(known: tuple[str, ...]) -> None:
    cutter = TokenCutter(dict.fromkeys(known, 1))
    text = "小明 去\u3000ฝนตก  a-b c小明去"
    whole = [word.text for word in cutter(text)]
    for at in range(len(text) + 1):
        settled = cutter.settled(text[:at])
        pieces = [word.text for part in (text[:settled], text[settled:]) for word in cutter(part)]
        assert pieces == whole


def learned(folder: Path, sentences: str) -> Model:
    (folder / "t.conll").write_text("\n".join([sentences] * 12), encoding="utf-8")
    options = {"hidden_size": 8, "separator": "tab"}
    data = folder / "t.conll"
    return train("tag", data, folder / "m", dev=data, options=options, steps=2)


def test_a_model_of_characters_reads_characters(tmp_path: Path) -> None:
    model = learned(tmp_path, "小\tB-PER\n明\tI-PER\n去\tO\n北\tB-LOC\n海\tI-LOC\n")
    tagging = model.predict("小明去北海")
    assert [(token.text, token.start) for token in tagging.tokens] == list(zip("小明去北海", range(5), strict=True))
    assert tagging.labels == model.predict([list("小明去北海")])[0].labels


def test_a_model_of_spaces_reads_spaces(tmp_path: Path) -> None:
    model = learned(tmp_path, "ฝน\tO\nตก\tO\n \tO\nที่\tO\nระยอง\tB-LOC\n")
    tokens = ["ฝน", "ตก", " ", "ที่", "ระยอง"]
    assert [token.text for token in model.predict("ฝนตก ที่ระยอง").tokens] == tokens
    assert [token.text for token in model.predict([tokens])[0].tokens] == tokens
    assert [token.text for token in model.predict({"tokens": tokens}).tokens] == tokens
    with pytest.raises(ArgumentError, match="none of which is empty"):
        model.predict([["ฝน", ""]])
