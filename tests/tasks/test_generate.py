"""`generate` from files to predictions, and everything that may be wrong with either."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.strangers import without_digests
from torch.nn import functional as F

from unrolled.data import evaluation_windows
from unrolled.errors import (
    ArgumentError,
    DataError,
    DivergenceError,
    EncodingError,
    ModelError,
    StorageError,
)
from unrolled.tasks import Model, load
from unrolled.tasks.outputs.next import network as network_of_text
from unrolled.tasks.outputs.next import predictor
from unrolled.tasks.outputs.next.encode import BASELINE
from unrolled.tasks.outputs.next.mixture import load_ngram
from unrolled.tasks.outputs.next.network import Penalties, score, token_scores
from unrolled.tasks.outputs.next.ngram import NGram
from unrolled.tasks.outputs.next.predictor import predictor_of
from unrolled.tasks.outputs.next.results import Completion, GeneratedText
from unrolled.tasks.uses.generate import plan

from .conftest import learn, make_text

KINDS = ["char", "byte", "bpe", "word"]
Trained = Callable[[str], Model]


def metrics(folder: Path, split: str = "train") -> dict[int, float]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["loss"] for line in lines if line["split"] == split}


# From files to predictions


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_what_it_is_shown(trained: Trained, kind: str, corpus: Path) -> None:
    model = trained(kind)
    found = model.evaluate(corpus / "dev.txt", positions=40)
    said = json.loads(json.dumps(found.as_json()))
    assert (said["task"], said["data"]) == ("generate", [str(corpus / "dev.txt")])
    # six sentences in random order: ln 6 nats a sentence of about 35 characters, and ln 2 for what is between
    least = (math.log(6) + math.log(2)) / 36
    assert least * 0.8 < said["metrics"]["nats_per_character"] < 0.45
    assert 0 < said["baseline"]["nats_per_character"] < 0.6
    assert said["metrics"]["completion"]["keystrokes_saved"] > 0.1
    assert said["baseline"]["completion"]["places"] == 40
    assert said["seconds"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_the_network_itself(trained: Trained, kind: str, tmp_path: Path) -> None:
    model = trained(kind)
    text = make_text(8, 5)
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    ids = torch.from_numpy(model.input.tokenizer.encode(text).astype(np.int64))
    with torch.no_grad():
        logits, _ = model.network(ids[:-1].unsqueeze(1))
    nats = float(F.cross_entropy(logits.squeeze(1).double(), ids[1:], reduction="sum"))
    characters = len(text) - (kind == "char")
    whole = model.evaluate(tmp_path / "text.txt", completion=False)
    assert whole.metrics["network"]["nats_per_character"] == pytest.approx(nats / characters, rel=1e-5)
    found = model.evaluate(tmp_path / "text.txt", completion=False, ngram=0)
    assert found.metrics["network"] == whole.metrics["network"]
    assert found.metrics["nats_per_character"] == pytest.approx(nats / characters, rel=1e-5)
    assert found.metrics["bits_per_character"] == pytest.approx(nats / characters / math.log(2), rel=1e-5)
    assert found.metrics["perplexity"] == pytest.approx(math.exp(nats / (len(ids) - 1)), rel=1e-5)
    assert found.metrics["tokens"] == len(ids) - 1
    assert "completion" not in found.metrics
    assert "completion" not in found.baseline


def test_the_baseline_is_the_ngram_of_the_training_text(trained: Trained, corpus: Path) -> None:
    model = trained("char")
    encode, size = model.input.tokenizer.encode, model.input.tokenizer.vocabulary_size
    ngram = NGram.fit(encode((corpus / "train.txt").read_text("utf-8")), 6, size)
    ids = encode((corpus / "dev.txt").read_text("utf-8"))
    expected = -ngram.log_probabilities(ids)[1:].mean()
    found = model.evaluate(corpus / "dev.txt", completion=False).baseline
    # its shares are rounded to 16 bits
    assert found["loss"] == pytest.approx(expected, rel=1e-3)
    assert found["model"] == "6-gram, modified Kneser-Ney"


def test_the_baseline_says_the_same_in_pieces(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = trained("char").folder
    assert folder is not None
    ngram, ids = load_ngram(folder / BASELINE), trained("char").input.tokenizer.encode(make_text(10, 5))
    whole = -ngram.log_probabilities(ids)[1:].sum()
    for chunk in (1, 3, 64, len(ids)):
        monkeypatch.setattr(predictor, "SCORED", chunk)
        assert predictor.NGramPredictor(ngram).score(ids) == (pytest.approx(whole, rel=1e-12), len(ids) - 1)


@pytest.mark.parametrize("lanes", [1, 3, 32])
def test_log_probabilities_are_in_the_order_of_the_text(trained: Trained, lanes: int) -> None:
    model = trained("char")
    ids = model.input.tokenizer.encode(make_text(20, 9))
    found = token_scores(model.network, ids, lanes=lanes, window=16)[0]
    assert found.shape == (len(ids) - 1,)
    assert -found.sum() == pytest.approx(score(model.network, ids, lanes=lanes, window=16)[0], rel=1e-5)
    whole = token_scores(model.network, ids, lanes=1, window=1000)[0]
    # lanes begin in the middle of the text, after a warm-up, so nearly the same
    assert np.abs(found - whole).mean() < (1e-6 if lanes == 1 else 0.05)
    assert len(list(evaluation_windows(ids, lanes, 16, warmup=128))) > 1


# over words the network alone knows all that there is to know of six sentences
@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_with_its_ngram_it_is_better_than_either(trained: Trained, kind: str, corpus: Path) -> None:
    model = trained(kind)
    found = model.evaluate(corpus / "dev.txt", completion=False)
    parts = found.metrics["network"]["nats_per_character"], found.baseline["nats_per_character"]
    assert found.metrics["nats_per_character"] < min(parts)
    assert (
        model.evaluate(corpus / "dev.txt", completion=False, ngram=4 if kind == "bpe" else 6).metrics == found.metrics
    )


def test_a_model_may_leave_its_ngram_out(trained: Trained, corpus: Path, tmp_path: Path) -> None:
    alone = learn(corpus / "train.txt", tmp_path / "m", options={"ngram": 0})
    loaded = load(tmp_path / "m")
    assert loaded.output.mixture is alone.output.mixture is None
    found = loaded.evaluate(corpus / "dev.txt", completion=False)
    assert "network" not in found.metrics
    assert found.baseline["model"] == "6-gram, modified Kneser-Ney"
    model = trained("char")
    asked = model.asked(ngram=0)
    assert asked.fingerprint != model.fingerprint == model.asked(ngram=6).fingerprint
    expected = asked.predict("Thank you f", beam_size=4).suggestions
    assert model.predict("Thank you f", ngram=0, beam_size=4).suggestions == expected
    assert model.predict("Thank you f", beam_size=4).suggestions != expected
    written = model.predict("I ", generate=True, max_tokens=9, seed=2, ngram=0)
    assert written == asked.predict("I ", generate=True, max_tokens=9, seed=2)
    with pytest.raises(ArgumentError, match="this model's n-gram is 6, or 0 to leave it out; found 2"):
        model.predict("Thank", ngram=2)
    with pytest.raises(ArgumentError, match="--ngram: the order of this model's n-gram is 0, as it has no n-gram"):
        loaded.predict("Thank", ngram=2)
    with pytest.raises(ArgumentError, match="--ngram"):
        learn(corpus / "train.txt", tmp_path / "n", options={"ngram": 13})


def test_a_damaged_ngram_or_one_of_another_tokeniser_is_named(trained: Trained, tmp_path: Path) -> None:
    for kind in ("char", "byte"):
        trained(kind).save(tmp_path / kind)
    path = without_digests(tmp_path / "char") / BASELINE
    whole = path.read_bytes()
    for damaged, says in (
        (whole[: len(whole) // 2], r"baseline\.safetensors: corrupt or cut short .*; restore it from a copy"),
        (whole[:-40] + bytes(40), r"baseline\.safetensors: n-gram: the saved arrays of order \d are damaged"),
        ((tmp_path / "byte" / BASELINE).read_bytes(), r"baseline\.safetensors: counted over another tokeniser"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match=says):
            load(tmp_path / "char")
    path.write_bytes(whole)
    load(tmp_path / "char")


def test_what_inspection_asks_is_the_mixture(trained: Trained) -> None:
    model = trained("char")
    text = "I will see you to"
    logits = model.probe(text, limit=8).run()
    ids = model.input.tokenizer.encode(text).tolist()
    predictor = predictor_of(model)
    after, state = predictor.read(ids[:-9], predictor.stepper.start(1))
    for n, token in enumerate(ids[-9:-1]):
        after, state = predictor.read([token], state)
        torch.testing.assert_close(logits[n], after[0], rtol=0, atol=1e-4)
    assert logits.requires_grad


def test_unknown_characters_are_counted(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Thank 日本 you.", encoding="utf-8")
    assert trained("char").evaluate(tmp_path / "text.txt", completion=False).metrics["unknown_characters"] == 2
    assert "unknown_characters" not in trained("byte").evaluate(tmp_path / "text.txt", completion=False).metrics


def test_predictions_print_well_and_are_json(trained: Trained) -> None:
    model = trained("char")
    completion = model.predict("Please let me know if you have any quest")
    assert isinstance(completion, Completion)
    assert str(completion).startswith("Please let me know if you have any questions")
    assert completion.threshold == model.fitted["threshold"]
    assert json.loads(json.dumps(completion.as_json()))["shown"] == completion.shown.text  # type: ignore[union-attr]
    hidden = model.predict("Please", threshold=0.0)
    assert hidden.shown is None
    assert str(hidden) == "Please"
    one, two = model.predict(["Thank", "Where is the"], n=1, max_words=2)
    assert {s.words for s in one.suggestions} == {1, 2}
    assert two.typed == "Where is the"


def test_written_texts_can_be_had_again_by_their_seed(trained: Trained) -> None:
    model = trained("char")
    two = model.predict("I will ", generate=True, samples=2, seed=3, max_tokens=20, temperature=1.2)
    assert [type(text) for text in two] == [GeneratedText] * 2
    assert [text.seed for text in two] == [3, 4]
    again = model.predict("I will ", generate=True, seed=two[1].seed, max_tokens=20, temperature=1.2)
    assert again == two[1]
    assert str(again) == "I will " + again.text
    assert json.loads(json.dumps(again.as_json())) == {"prompt": "I will ", "text": again.text, "seed": 4}


@pytest.mark.parametrize(
    "options", [{"temperature": -1.0}, {"top_k": 0}, {"top_p": 0.0}, {"samples": 0}, {"max_tokens": -1}, {"seed": -1}]
)
def test_generation_out_of_range_is_refused(trained: Trained, options: dict[str, float]) -> None:
    with pytest.raises(ArgumentError):
        trained("char").predict("I", generate=True, **options)


def test_what_is_no_text_is_refused(trained: Trained) -> None:
    with pytest.raises(ArgumentError, match=r"(reads|expected) text, found int"):
        trained("char").predict(7)


def test_the_folder_holds_what_it_should(trained: Trained) -> None:
    folder = trained("char").folder
    assert folder is not None
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "metrics.jsonl", "card.md", "checkpoints"} <= names
    config = json.loads((folder / "config.json").read_text())
    assert (config["format"], config["version"], config["task"]) == ("unrolled.model", 1, "generate")
    assert set(metrics(folder)) == set(range(1, 121))


def test_a_model_saved_elsewhere_is_the_same(trained: Trained, corpus: Path, tmp_path: Path) -> None:
    model = trained("char")
    expected = model.evaluate(corpus / "dev.txt", completion=False)
    model.save(tmp_path / "copy")
    copy = load(tmp_path / "copy")
    found = copy.evaluate(corpus / "dev.txt", completion=False)
    assert (found.metrics, found.baseline) == (expected.metrics, expected.baseline)
    assert copy.fingerprint == model.fingerprint


# The course of training


def test_overfits_a_tiny_batch(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog")
    options = {"batch_size": 1, "window": 50}
    learn(tmp_path / "text.txt", tmp_path / "m", dev=tmp_path / "text.txt", options=options, steps=150)
    losses = metrics(tmp_path / "m")
    assert losses[1] > 2.5
    assert losses[150] < 0.02


def test_the_first_ten_steps_are_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("pack my box with five dozen liquor jugs. " * 20)
    learn(tmp_path / "text.txt", tmp_path / "m", dev=tmp_path / "text.txt", steps=10, lr=0.01, schedule="constant")
    golden = [3.1005, 3.0703, 3.0508, 3.0037, 3.0851, 2.9834, 2.8712, 2.7763, 2.6686, 2.6429]
    assert list(metrics(tmp_path / "m").values()) == pytest.approx(golden, rel=2e-3)


def test_same_seed_same_result(tmp_path: Path, corpus: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        learn(corpus / "train.txt", tmp_path / name, seed=seed, options={"dropout": 0.2})
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b != c
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b") != metrics(tmp_path / "c")
    assert load(tmp_path / "a").fitted == load(tmp_path / "b").fitted


def test_resumed_equals_uninterrupted(tmp_path: Path, corpus: Path) -> None:
    given: dict[str, Any] = {"schedule": "constant", "save_every": 2, "options": {"dropout": 0.2}}
    learn(corpus / "train.txt", tmp_path / "whole", steps=8, **given)
    learn(corpus / "train.txt", tmp_path / "parts", steps=4, **given)
    learn(corpus / "train.txt", tmp_path / "parts", steps=8, resume=True, **given)
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "parts")
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_resumed_run_keeps_its_options(tmp_path: Path, corpus: Path) -> None:
    learn(corpus / "train.txt", tmp_path / "m")
    with pytest.raises(ArgumentError, match=r"--hidden-size: the run was begun with 48"):
        learn(corpus / "train.txt", tmp_path / "m", options={"hidden_size": 64}, resume=True)
    with pytest.raises(ArgumentError, match=r"--lr: the run was begun with 0.02"):
        learn(corpus / "train.txt", tmp_path / "m", lr=0.5, resume=True)


def test_a_learning_rate_that_diverges_is_named(tmp_path: Path, corpus: Path) -> None:
    with pytest.raises(DivergenceError, match="lr"):
        learn(corpus / "train.txt", tmp_path / "m", lr=1e30, steps=60, clip_norm=1e30, warmup_steps=0)
    with pytest.raises(ModelError, match="has not come to an end"):
        load(tmp_path / "m")


# What may be wrong with the data


@pytest.mark.parametrize(
    "content, error, says",
    [
        (b"", DataError, "empty"),
        (b"a", DataError, "too few|at least 2"),
        (b"ab", DataError, "at least 2"),
        (b"abc \xff def" * 20, EncodingError, "byte"),
        (b"\x00\x01\x02" * 200, DataError, "binary"),
    ],
)
def test_text_that_is_none_or_too_little(tmp_path: Path, content: bytes, error: type[Exception], says: str) -> None:
    (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(error, match=says) as caught:
        learn(tmp_path / "text.txt", tmp_path / "m")
    assert "\n" not in str(caught.value)
    # so that the next try is not refused
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("text", ["ab", "abcabc"])
def test_a_corpus_shorter_than_a_window_is_enough(tmp_path: Path, text: str) -> None:
    (tmp_path / "text.txt").write_text(text)
    model = learn(tmp_path / "text.txt", tmp_path / "m", dev=tmp_path / "text.txt")
    assert model.fitted["threshold"] is None
    loaded = load(tmp_path / "m")
    assert loaded.predict("a").shown is None
    found = loaded.evaluate(tmp_path / "text.txt", positions=10)
    json.dumps(found.as_json())
    assert found.metrics["tokens"] == len(text) - 1
    assert found.metrics["completion"]["keystrokes_saved"] is None


def test_evaluation_of_one_token_is_refused(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("a")
    with pytest.raises(DataError, match="at least 2"):
        trained("char").evaluate(tmp_path / "one.txt")
    with pytest.raises(StorageError, match="missing"):
        trained("char").evaluate(tmp_path / "missing.txt")
    with pytest.raises(ArgumentError, match="at least one file"):
        trained("char").evaluate()


@pytest.mark.parametrize(
    "options, names",
    [
        ({"coverage": 0.0}, "--coverage"),
        ({"coverage": 1.5}, "--coverage"),
        ({"tokens": "words"}, "--tokens"),
        ({"hidden_size": 0}, "--hidden-size"),
        ({"dropout": 1.0}, "--dropout"),
        ({"window": 0}, "--window"),
        ({"max_words": 0}, "--max-words"),
        ({"holdout": 1.0}, "--holdout"),
        ({"hiden_size": 3}, "hiden_size"),
        ({"vocabulary_size": 2}, "--vocabulary-size"),
    ],
)
def test_options_out_of_range_leave_nothing_behind(
    tmp_path: Path, corpus: Path, options: dict[str, Any], names: str
) -> None:
    with pytest.raises(ArgumentError, match=names):
        learn(corpus / "train.txt", tmp_path / "m", options=options)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("given", [{"lr": -1.0}, {"steps": 0}, {"minutes": 0}, {"seed": -1}, {"device": "toaster"}])
def test_training_settings_out_of_range(tmp_path: Path, corpus: Path, given: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=f"--{next(iter(given))}"):
        learn(corpus / "train.txt", tmp_path / "m", **given)
    assert not (tmp_path / "m").exists()


def test_penalties_are_those_of_their_formula() -> None:
    h = torch.tensor([[[1.0, 2.0]], [[3.0, 2.0]], [[3.0, 6.0]]])
    # (1 + 4 + 9 + 4 + 9 + 36) / 6, and of the differences (4 + 0 + 0 + 16) / 4
    assert float(Penalties(2.0, 0.0).of(h, h)) == pytest.approx(2 * 63 / 6)
    assert float(Penalties(0.0, 3.0).of(h, 0 * h)) == pytest.approx(3 * 20 / 4)
    assert float(Penalties(0.0, 3.0).of(h[:1], h[:1])) == 0


def test_penalties_change_what_is_learned(tmp_path: Path, corpus: Path) -> None:
    learn(corpus / "train.txt", tmp_path / "free")
    learn(corpus / "train.txt", tmp_path / "bound", options={"activation_penalty": 5.0, "temporal_penalty": 5.0})
    squares = [h.square().mean() for h in (_states(load(tmp_path / name), corpus) for name in ("free", "bound"))]
    assert squares[1] < 0.9 * squares[0]


def _states(model: Model, corpus: Path) -> torch.Tensor:
    network: Any = model.network
    ids = model.input.tokenizer.encode((corpus / "dev.txt").read_text())
    with torch.no_grad():
        h: torch.Tensor = network.states(torch.from_numpy(ids).unsqueeze(1))[0]
    return h


def test_an_adaptive_softmax_learns_and_says_what_it_lacks(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (network_of_text, plan):
        monkeypatch.setattr(module, "CLUSTERS", (5, 12))
    options = {"tokens": "word", "softmax": "adaptive"}
    model = learn(corpus / "train.txt", tmp_path / "m", dev=corpus / "dev.txt", options=options, steps=120, lr=0.01)
    evaluated = load(tmp_path / "m").evaluate(corpus / "dev.txt", completion=False).metrics
    assert evaluated["network"]["loss"] < 0.6 * math.log(model.input.tokenizer.vocabulary_size)
    ids = model.input.tokenizer.encode((corpus / "dev.txt").read_text())[:50]
    network: Any = model.network
    with torch.no_grad():
        h, _ = network.features(torch.from_numpy(ids[:-1]).unsqueeze(1))
        targets = torch.from_numpy(ids[1:].astype(np.int64)).unsqueeze(1)
        targets[3] = -100
        mean, total, count = network.output.loss(h, targets, -100)
        expected = F.cross_entropy(network.output(h).flatten(0, 1), targets.flatten(), reduction="sum")
    assert (float(total), count) == (pytest.approx(float(expected), rel=1e-5), 48)
    assert float(mean) == pytest.approx(float(total) / 48)
    with pytest.raises(ArgumentError, match="--softmax full"):
        model.evaluate(corpus / "dev.txt", completion=False, adapt="cache")
    with pytest.raises(ArgumentError, match="--softmax adaptive: has no weight"):
        learn(corpus / "train.txt", tmp_path / "t", options={**options, "tied": True})
    with pytest.raises(ArgumentError, match="is for more than 5 words"):
        learn(corpus / "train.txt", tmp_path / "t", options={"softmax": "adaptive"})
