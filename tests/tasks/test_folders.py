"""A model's folder: guarded, damaged, used again; and what a corpus of many short documents teaches."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from tests.strangers import without_digests

from unrolled.data import load_tokenizer
from unrolled.errors import ArgumentError, DataError, ModelError, OutputExistsError, StorageError
from unrolled.tasks import Model, load, train
from unrolled.tasks.core.folder.claim import claimed
from unrolled.tasks.uses.generate import encode
from unrolled.tasks.uses.generate.personal import PERSONAL

from .conftest import FAST, TINY, learn

Trained = Callable[[str], Model]


def test_merges_are_learned_from_characters_not_from_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # few enough characters that counting pieces of a mebibyte would have taken no document at all
    monkeypatch.setattr(encode, "MERGES_FROM", 3000)
    lines = ['{"text": "a short letter"}'] * 90 + ['{"text": "zyzzyva zyzzyva zyzzyva"}'] * 90
    (tmp_path / "mail.jsonl").write_text("\n".join(lines))
    options = {**TINY, "tokens": "bpe", "vocabulary_size": 400}
    train("generate", tmp_path / "mail.jsonl", tmp_path / "m", options=options, **{**FAST, "steps": 1})
    tokenizer = load_tokenizer(tmp_path / "m" / "tokenizer.json")
    assert len(tokenizer.encode(" letter zyzzyva")) == 2


def test_first_characters() -> None:
    assert list(encode.first_characters(["abc", "", "de", "fgh", "ij"], 6)) == ["abc", "", "de", "f"]


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


# What may be wrong with the model's folder


def test_an_existing_folder_is_not_overwritten_unasked(trained: Trained, corpus: Path, tmp_path: Path) -> None:
    source = trained("char").folder
    assert source is not None
    shutil.copytree(source, tmp_path / "m")
    before = (tmp_path / "m" / "model.safetensors").read_bytes()
    with pytest.raises(OutputExistsError, match="--resume to go on, --overwrite to replace"):
        learn(corpus / "train.txt", tmp_path / "m")
    with pytest.raises(ArgumentError, match="exclude each other"):
        learn(corpus / "train.txt", tmp_path / "m", resume=True, overwrite=True)
    with pytest.raises(StorageError):
        learn(tmp_path / "missing.txt", tmp_path / "m", overwrite=True)
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == before
    learn(corpus / "train.txt", tmp_path / "m", overwrite=True)
    assert (tmp_path / "m" / "model.safetensors").read_bytes() != before
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_what_is_no_model_is_never_overwritten(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("…")
    with pytest.raises(OutputExistsError, match="holds no model"):
        learn(corpus / "train.txt", tmp_path / "thesis", overwrite=True)
    with pytest.raises(OutputExistsError, match="is a file"):
        learn(corpus / "train.txt", tmp_path / "thesis" / "chapter1.tex", overwrite=True)
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "…"


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Path:
    """A model's folder that may be damaged."""
    source = trained("char").folder
    assert source is not None
    return without_digests(shutil.copytree(source, tmp_path / "m"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def set_network(path: Path, **changes: Any) -> None:
    edit(path, network=json.loads(path.read_text())["network"] | changes)


def drop_tensor(path: Path) -> None:
    tensors = load_file(path)
    del tensors["output.bias"]
    save_file(tensors, path)


def reshape_tensor(path: Path) -> None:
    tensors = load_file(path)
    save_file(tensors | {"output.bias": tensors["output.bias"][:-1].clone()}, path)


@pytest.mark.parametrize(
    "name, damage, says",
    [
        ("config.json", Path.unlink, "not a model folder"),
        ("config.json", cut, "config.json: corrupt, not JSON"),
        ("config.json", lambda path: path.write_bytes(b"\xff\xfe"), "config.json: corrupt, not JSON"),
        ("config.json", lambda path: path.write_text("[]"), "not a model of unrolled"),
        ("config.json", lambda path: path.write_text("[" * 100_000), "config.json: corrupt"),
        ("config.json", lambda path: edit(path, format="other"), "not a model of unrolled"),
        ("config.json", lambda path: edit(path, version=99), "later release .*upgrade"),
        ("config.json", lambda path: edit(path, surprise=1), "surprise|corrupt"),
        ("config.json", lambda path: edit(path, task="dance"), "dance.*is the package"),
        ("config.json", lambda path: edit(path, network={}), "network: "),
        ("config.json", lambda path: set_network(path, hidden_size=10**6), "don't fit|doesn't fit|network"),
        ("config.json", lambda path: set_network(path, hidden_size=-3), "network"),
        ("config.json", lambda path: set_network(path, cell="transformer"), "network"),
        ("config.json", lambda path: set_network(path, vocabulary_size=7), "network: made for 7 tokens"),
        ("model.safetensors", Path.unlink, "model.safetensors: missing"),
        ("model.safetensors", cut, "model.safetensors: corrupt or cut short"),
        ("model.safetensors", lambda path: path.write_bytes(b""), "model.safetensors: corrupt or cut short"),
        ("model.safetensors", lambda path: path.write_bytes(b"\x80\x04cos\nsystem\n."), "model.safetensors: corrupt"),
        ("model.safetensors", drop_tensor, r"model.safetensors: .*missing \['output.bias'\]"),
        ("model.safetensors", reshape_tensor, "model.safetensors: output.bias"),
        ("tokenizer.json", Path.unlink, "tokenizer.json"),
        ("tokenizer.json", cut, "tokenizer.json: corrupt"),
        ("tokenizer.json", lambda path: edit(path, version=99), "tokenizer.json: .*later"),
        ("tokenizer.json", lambda path: edit(path, characters="aa"), "tokenizer.json"),
        ("tokenizer.json", lambda path: edit(path, characters="abc"), "network: made for"),
    ],
)
def test_damaged_folders_are_named(copied: Path, name: str, damage: Callable[[Path], Any], says: str) -> None:
    damage(copied / name)
    with pytest.raises((ModelError, StorageError), match=says) as caught:
        load(copied)
    assert "\n" not in str(caught.value)


def test_a_damaged_n_gram_is_named(copied: Path, corpus: Path) -> None:
    whole = (copied / "baseline.safetensors").read_bytes()
    cut(copied / "baseline.safetensors")
    with pytest.raises(ModelError, match=r"baseline\.safetensors: corrupt or cut short"):
        load(copied)
    (copied / "baseline.safetensors").write_bytes(whole)
    assert load(copied).predict("Thank").suggestions
    (copied / "baseline.safetensors").unlink()
    with pytest.raises(ModelError, match=r"baseline\.safetensors: missing"):
        load(copied).evaluate(corpus / "dev.txt", completion=False)


def test_a_file_that_is_listed_and_gone_is_missed(trained: Trained, tmp_path: Path) -> None:
    trained("char").save(tmp_path / "m")
    (tmp_path / "m" / "baseline.safetensors").unlink()
    with pytest.raises(ModelError, match=r"baseline\.safetensors: missing; restore it"):
        load(tmp_path / "m")


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such model folder"):
        load(tmp_path / "missing")


@pytest.mark.parametrize("name", ["train.tokens", "dev.tokens"])
def test_resuming_without_its_data_is_refused(copied: Path, corpus: Path, name: str) -> None:
    cut(copied / "data" / name)
    with pytest.raises((ModelError, DataError), match=name):
        train("generate", corpus / "train.txt", copied, resume=True)
