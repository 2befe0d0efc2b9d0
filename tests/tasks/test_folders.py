"""What a model's folder holds after it has been used again, and what a corpus of many short documents teaches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from unrolled.data import load_tokenizer
from unrolled.errors import ArgumentError, StorageError
from unrolled.tasks import Model, generate, load, train
from unrolled.tasks.personal import PERSONAL
from unrolled.tasks.run import claimed

from .conftest import FAST, TINY

Trained = Callable[[str], Model]


def test_merges_are_learned_from_characters_not_from_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # few enough characters that counting pieces of a mebibyte would have taken no document at all
    monkeypatch.setattr(generate, "MERGES_FROM", 3000)
    lines = ['{"text": "a short letter"}'] * 90 + ['{"text": "zyzzyva zyzzyva zyzzyva"}'] * 90
    (tmp_path / "mail.jsonl").write_text("\n".join(lines))
    options = {**TINY, "tokens": "bpe", "vocabulary_size": 400}
    train("generate", tmp_path / "mail.jsonl", tmp_path / "m", options=options, **{**FAST, "steps": 1})
    tokenizer = load_tokenizer(tmp_path / "m" / "tokenizer.json")
    assert len(tokenizer.encode(" letter zyzzyva")) == 2


def test_first_characters() -> None:
    assert list(generate.first_characters(["abc", "", "de", "fgh", "ij"], 6)) == ["abc", "", "de", "f"]


def test_a_model_that_was_adapted_and_is_trained_on_is_adapted_no_more(corpus: Path, tmp_path: Path) -> None:
    given = {"options": {**TINY, "tokens": "char"}, **FAST}
    model = train("generate", corpus / "train.txt", tmp_path / "m", steps=3, **given)
    model.personalise(corpus / "train.txt").save(tmp_path / "m")
    assert load(tmp_path / "m").cache is not None
    train("generate", corpus / "train.txt", tmp_path / "m", resume=True, **{**given, "steps": 5})
    again = load(tmp_path / "m")
    assert again.cache is None
    assert "personal" not in again.fitted
    assert not (tmp_path / "m" / PERSONAL).exists()


@pytest.mark.parametrize(
    "options, says",
    [
        ({"positions": 0}, "--positions"),
        ({"position": 9}, "position: no such option"),
        ({"errors": "skip"}, "--errors"),
    ],
)
def test_options_of_evaluate_are_checked(trained: Trained, corpus: Path, options: dict[str, object], says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        trained("char").evaluate(corpus / "dev.txt", **options)


def test_what_is_replaced_is_gone_afterwards_or_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "m"
    with claimed(out):
        (out / "config.json").write_text("1")
    with pytest.raises(FileNotFoundError), claimed(out):
        # empty while it is being filled
        (out / "config.json").read_text()
    assert (out / "config.json").read_text() == "1"
    monkeypatch.chdir(out)
    with claimed(Path("../m")):
        (tmp_path / "m" / "config.json").write_text("3")
    assert [(path.name, (path / "config.json").read_text()) for path in tmp_path.iterdir()] == [("m", "3")]


def test_a_kill_while_data_are_read_does_not_cost_the_older_model(tmp_path: Path) -> None:
    # what such a kill leaves: the older model out of the way, and a folder that has no config.json yet
    (tmp_path / ".m.overwritten").mkdir()
    (tmp_path / ".m.overwritten" / "config.json").write_text("older")
    (tmp_path / "m" / "data").mkdir(parents=True)
    with pytest.raises(StorageError), claimed(tmp_path / "m"):
        raise StorageError("missing.txt: no such file")
    assert (tmp_path / "m" / "config.json").read_text() == "older"
