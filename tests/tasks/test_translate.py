"""`translate` from files to predictions, and everything that may be wrong with either."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.cli.running import unrolled
from tests.strangers import without_digests

from unrolled.data import Findings
from unrolled.data.text.sentences import decode_sentence, encode_sentence
from unrolled.errors import ArgumentError, DataError, ModelError
from unrolled.metrics.translation import translation_scores
from unrolled.tasks import Model, load, train
from unrolled.tasks.core.values import Sources, silent
from unrolled.tasks.outputs.text.attention.decode import Search, search_all
from unrolled.tasks.uses.translate import Translate
from unrolled.tasks.uses.translate.plan import TranslateOptions, scale_for

WORDS = {"ein": "a", "der": "the", "rote": "red", "große": "big", "Hund": "dog", "Mann": "man", "Haus": "house"}
VERBS = {"rennt": "runs", "schläft": "sleeps"}


def sentences(count: int, seed: int) -> list[tuple[str, str]]:
    """German with the verb at its end, English with the verb in front: no word-by-word translation."""
    draw, found = random.Random(seed), []
    for _ in range(count):
        noun = [draw.choice(["ein", "der"]), *draw.sample(["rote", "große"], draw.randint(0, 2))]
        noun.append(draw.choice(["Hund", "Mann", "Haus"]))
        verb = draw.choice(list(VERBS))
        english = " ".join([VERBS[verb], *(WORDS[word] for word in noun)])
        found.append((" ".join([*noun, verb]) + ".", f"{english}!"))
    return found


def write(folder: Path, name: str, pairs: list[tuple[str, str]]) -> tuple[Path, Path]:
    paths = folder / f"{name}.de", folder / f"{name}.en"
    for path, side in zip(paths, zip(*pairs, strict=True), strict=True):
        path.write_text("".join(f"{line}\n" for line in side), encoding="utf-8")
    return paths


TINY: dict[str, Any] = {
    "vocabulary_size": 300,
    "embedding_size": 24,
    "hidden_size": 32,
    "batch_size": 10,
    "dropout": 0.0,
    "label_smoothing": 0.0,
}
FAST: dict[str, Any] = {
    "lr": 0.01,
    "log_every": 1,
    "evaluate_every": 100,
    "sample_every": 0,
    "seed": 3,
    "averaging": "none",
}


def learn(folder: Path, out: Path, *, options: dict[str, Any] | None = None, **given: Any) -> Model:
    paths = (folder / "train.de", folder / "train.en")
    dev = (folder / "dev.de", folder / "dev.en")
    return train("translate", paths, out, dev=dev, options={**TINY, **(options or {})}, **{**FAST, "steps": 3, **given})


def losses(folder: Path) -> list[float]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["split"] == "train"]


@pytest.fixture(scope="module", autouse=True)
def _few_pairs() -> Iterator[None]:
    """Length penalties from fewer translations than in earnest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Translate.output, "fitted_on", 12)
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    write(folder, "train", sentences(60, 1))
    write(folder, "dev", sentences(12, 2))
    return folder


@pytest.fixture(scope="module")
def model(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """As loaded from its folder; not to be changed."""
    out = tmp_path_factory.mktemp("models") / "m"
    learn(corpus, out, steps=200, schedule="constant", warmup_steps=1)
    return load(out)


# From files to predictions


def test_it_learns_what_word_by_word_can_not(model: Model, corpus: Path, tmp_path: Path) -> None:
    found = model.evaluate(corpus / "dev.de", corpus / "dev.en", write=tmp_path / "out.txt")
    said = json.loads(json.dumps(found.as_json()))
    assert said["metrics"]["bleu"] > 90
    assert said["metrics"]["pairs"] == 12
    assert 0 < said["metrics"]["loss"] < 0.2
    assert "tok:13a" in said["metrics"]["signatures"]["bleu"]
    assert said["baseline"]["model"] == "word by word (IBM Model 1)"
    assert 0 < said["baseline"]["bleu"] < 60
    assert said["baseline"]["copy"]["bleu"] < 10
    written = (tmp_path / "out.txt").read_text("utf-8").splitlines()
    references = (corpus / "dev.en").read_text("utf-8").splitlines()
    assert translation_scores(written, references)["bleu"] == said["metrics"]["bleu"]


def test_predictions_print_well_and_are_json(model: Model) -> None:
    found = model.predict("der rote Hund schläft.", n_best=3)
    assert str(found) == found.text == "sleeps the red dog!"
    said = json.loads(json.dumps(found.as_json()))
    assert said["source"] == "der rote Hund schläft."
    assert said["candidates"][0]["text"] == found.text
    assert len(said["candidates"]) == 3
    scores = [c["score"] for c in said["candidates"]]
    assert scores == sorted(scores, reverse=True)
    assert "".join(said["source_tokens"]) == " der rote Hund schläft.</s>"
    assert "".join(said["target_tokens"]) == " sleeps the red dog!</s>"
    weights = np.array(said["attention"])
    assert weights.shape == (len(said["target_tokens"]), len(said["source_tokens"]))
    assert weights.sum(1) == pytest.approx(1, abs=1e-2)
    page = found._repr_html_()
    assert "<table>" in page
    assert "sleeps the red dog!" in page
    assert "<b>" not in model.predict("<b>ein</b> Hund")._repr_html_()


def test_scores_are_nats(model: Model) -> None:
    found = model.predict("ein Mann rennt.", length_penalty=1.0)
    source = torch.from_numpy(encode_sentence("ein Mann rennt.", model.input.tokenizer)).long().unsqueeze(1)
    ids = encode_sentence(found.text, model.output.tokenizer).tolist()
    target = torch.tensor([0, *ids[:-1]]).unsqueeze(1)
    with torch.no_grad():
        log_probs = model.network(source, None, target).log_softmax(-1)[:, 0]
    assert found.log_prob == pytest.approx(sum(log_probs[t, token].item() for t, token in enumerate(ids)), rel=1e-4)
    assert found.score == pytest.approx(found.log_prob / len(ids))


def test_a_batch_equals_one_by_one(model: Model) -> None:
    texts = [source for source, _ in sentences(9, 5)] + ["Hund", "der der große rote große Mann schläft rennt schläft."]
    together = model.predict(texts, beam_size=3, coverage_penalty=0.1)
    for text, found in zip(texts, together, strict=True):
        alone = model.predict(text, beam_size=3, coverage_penalty=0.1)
        assert (alone.source, alone.text) == (text, found.text)
        assert alone.score == pytest.approx(found.score, rel=1e-4)
        np.testing.assert_allclose(alone.attention, found.attention, atol=1e-4)
    assert [str(t) for t in model.predict(texts, batch_size=2, beam_size=3)] == [
        str(t) for t in model.predict(texts, batch_size=11, beam_size=3)
    ]


def test_blank_lines_stay_blank(model: Model) -> None:
    blank, full = model.predict(["  ", "ein Hund rennt."])
    assert (str(blank), blank.score, blank.candidates) == ("", 0.0, ())
    assert json.loads(json.dumps(blank.as_json()))["attention"] == []
    assert str(full) == "runs a dog!"


def test_a_stream_of_inputs_is_answered_as_it_comes(model: Model) -> None:
    asked: list[str] = []

    def lines() -> Any:
        for text in ("ein Hund rennt.", "der Mann schläft."):
            asked.append(text)
            yield text

    first = next(iter(model.predictions(lines())))
    assert str(first) == "runs a dog!"
    assert len(asked) == 1


def test_the_network_sees_the_search(model: Model) -> None:
    sources = [model.input.encode("der große rote Hund rennt.")]
    [[one]] = search_all(model, sources, Search(beam_size=1))
    [[wide]] = search_all(model, sources, Search(beam_size=8, length_penalty=0.0))
    assert wide.log_prob >= one.log_prob - 1e-6


@pytest.mark.parametrize("tokens", ["bpe", "byte", "char"])
def test_tokens_are_reversible(tokens: str, tmp_path: Path) -> None:
    texts = ["Ein «Hund» läuft - 3.5 km!", "a  b", "x"]
    options = TranslateOptions(tokens=tokens, vocabulary_size=None if tokens == "byte" else 270)
    examples = [Translate().read((write(tmp_path, "t", [(text, text) for text in texts])), options, Findings())][0]
    tokenizer = Translate().fit(examples, options, silent).output.tokenizer
    for text in texts:
        ids = encode_sentence(text, tokenizer)
        assert ids[-1] == 0
        assert decode_sentence(ids, tokenizer) == text
        assert decode_sentence(ids[:-1].tolist(), tokenizer) == text


def test_characters_that_training_never_saw_are_never_written(corpus: Path, tmp_path: Path) -> None:
    model = learn(corpus, tmp_path / "m", options={"tokens": "char"}, evaluate_every=0)
    found = model.predict("日本 ein", beam_size=20, n_best=20)
    assert all("\ufffd" not in candidate.text for candidate in found.candidates)


# The course of training


def test_overfits_a_tiny_batch(tmp_path: Path) -> None:
    pairs = [("ein Hund rennt.", "runs a dog!"), ("der Mann schläft.", "sleeps the man!")]
    for name in ("train", "dev"):
        write(tmp_path, name, pairs)
    given: dict[str, Any] = {"evaluate_every": 0, "log_every": 10, "schedule": "constant", "lr": 0.02}
    for options in ({"input_feeding": True}, {"input_feeding": False, "decoder_layers": 2, "cell": "lstm"}):
        out = tmp_path / str(len(options))
        learn(tmp_path, out, options=options, steps=100, **given)
        assert losses(out)[0] > 3
        assert losses(out)[-1] < 0.1


def test_the_first_ten_steps_are_as_they_were(corpus: Path, tmp_path: Path) -> None:
    options = {"label_smoothing": 0.1, "input_feeding": True, "attention": "additive"}
    learn(corpus, tmp_path / "m", steps=10, options=options, lr=0.01, schedule="constant", warmup_steps=1)
    golden = [5.6664, 5.3705, 5.0760, 4.6302, 4.1516, 3.7516, 3.4707, 3.1695, 2.9378, 2.7565]
    assert losses(tmp_path / "m") == pytest.approx(golden, rel=2e-3)


def test_resumed_equals_uninterrupted(corpus: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"schedule": "constant", "save_every": 2, "evaluate_every": 4}
    options = {"dropout": 0.3, "word_dropout": 0.1}
    learn(corpus, tmp_path / "whole", steps=8, options=options, **given)
    learn(corpus, tmp_path / "parts", steps=4, options=options, **given)
    learn(corpus, tmp_path / "parts", steps=8, options=options, resume=True, **given)
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.parametrize("joint", [False, True])
def test_a_model_saved_elsewhere_is_the_same(joint: bool, corpus: Path, tmp_path: Path) -> None:
    model = learn(corpus, tmp_path / "m", options={"joint": joint, "input_feeding": False, "attention": "general"})
    assert (model.network.source.weight is model.network.decoder.embedding.weight) is joint  # type: ignore[union-attr]
    expected = model.evaluate(corpus / "dev.de", corpus / "dev.en")
    load(tmp_path / "m").save(tmp_path / "copy")
    copy = load(tmp_path / "copy")
    found = copy.evaluate(corpus / "dev.de", corpus / "dev.en")
    assert (found.metrics, found.baseline) == (expected.metrics, expected.baseline)
    assert copy.fitted == model.fitted
    assert (tmp_path / "copy" / "tokenizer.json").is_file() is joint


def test_more_pairs_get_more(corpus: Path) -> None:
    scales = [scale_for(n) for n in (100, 10_000, 29_000, 200_000, 10**7)]
    assert [s.hidden_size for s in scales] == sorted(s.hidden_size for s in scales)
    assert [s.epochs for s in scales] == sorted((s.epochs for s in scales), reverse=True)


# What may be wrong


def test_what_ruins_runs_is_found(corpus: Path, tmp_path: Path) -> None:
    good = sentences(30, 7)
    train_paths = write(tmp_path, "train", [*good, ("ein Haus", "ein Haus"), good[0], ("Ja", "x" * 60)])
    dev_paths = write(tmp_path, "dev", [good[1], ("völlig neu", "brand new")])
    findings = Findings(strict=False)
    counts = Translate().check(Sources(train_paths, dev_paths), TranslateOptions(), findings, silent)
    assert counts == {"train": 33, "dev": 2}
    said = [str(item) for item in findings.items]

    def one(text: str) -> str:
        (item,) = [s for s in said if text in s]
        return item

    assert "train.de:31: warning: the target is the source" in one("the target is the source")
    assert any("train.de:32: warning: the same input as" in item for item in said)
    assert "train.de:33: warning: 2 characters of source, 60 of target" in one("characters of source")
    assert "dev.de:1: warning: also in the training data" in one("also in the training data")


def test_unaligned_files_are_refused(corpus: Path, tmp_path: Path) -> None:
    paths = corpus / "train.de", corpus / "dev.en"
    with pytest.raises(DataError, match=r"train\.de: 60 lines, and .*dev\.en has 12"):
        train("translate", paths, tmp_path / "m", steps=1)
    assert not (tmp_path / "m").exists()


def test_inputs_and_options_out_of_range(model: Model, corpus: Path) -> None:
    with pytest.raises(ArgumentError, match=r"(reads|expected) text, found int"):
        model.predict(7)
    with pytest.raises(ArgumentError, match="--beam-size: 0 is not possible"):
        model.predict("ein", beam_size=0)
    with pytest.raises(ArgumentError, match="--length-penalty: -1"):
        model.evaluate(corpus / "dev.de", corpus / "dev.en", length_penalty=-1)
    with pytest.raises(ArgumentError, match="reads the whole sentence before it writes"):
        model.stream()


def test_strangers_settings_are_validated(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    path = without_digests(tmp_path / "m") / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "network": {**config["network"], "hidden_size": -3}}))
    with pytest.raises(ModelError, match="--hidden-size: -3 is not possible"):
        load(tmp_path / "m")
    path.write_text(json.dumps({**config, "network": {**config["network"], "target_size": 77}}))
    with pytest.raises(ModelError, match="its vocabularies have 295, 77 tokens"):
        load(tmp_path / "m")
    path.write_text(json.dumps({**config, "network": {**config["network"], "joint": True}}))
    with pytest.raises(ModelError, match="its vocabularies have 295, "):
        load(tmp_path / "m")
    path.write_text(json.dumps({**config, "fitted": {"length_penalty": "much"}}))
    with pytest.raises(ModelError, match="length_penalty: expected a number from 0 to 10, found 'much'"):
        load(tmp_path / "m")
    path.write_text(json.dumps(config))
    (tmp_path / "m" / "tokenizer-target.json").write_text("{}")
    with pytest.raises(ModelError, match="tokenizer-target"):
        load(tmp_path / "m")


# The command, and real data


def test_the_command(corpus: Path, tmp_path: Path) -> None:
    out, options = tmp_path / "m", [f"--{k.replace('_', '-')}={v}" for k, v in TINY.items()]
    end = ["--source=de", "--target=en"]
    made = unrolled(
        "train", "translate", corpus, "--out", out, *end, *options, "--epochs=1", "--quiet", "--holdout=0.2"
    )
    assert made.code == 0, made.err
    scored = unrolled("evaluate", out, corpus / "dev.de", corpus / "dev.en", "--json", "--beam-size=2")
    assert scored.code == 0, scored.err
    assert scored.json[0]["metrics"]["pairs"] == 12
    said = unrolled("predict", out, "--json", "--n-best=2", stdin=b"ein Hund rennt.\n\nder Mann\n")
    assert said.code == 0, said.err
    assert [line["source"] for line in said.json] == ["ein Hund rennt.", "", "der Mann"]
    assert len(said.json[0]["candidates"]) == 2


def test_multi30k_is_read_and_learned_from(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "multi30k"
    if not folder.is_dir():
        pytest.skip("no Multi30k here")
    paths = folder / "val.de.gz", folder / "val.en.gz"
    options = {**TINY, "vocabulary_size": 600, "batch_size": 32}
    model = train("translate", paths, tmp_path / "m", options=options, **{**FAST, "steps": 12, "evaluate_every": 0})
    assert losses(tmp_path / "m")[-1] < 6 < losses(tmp_path / "m")[0]
    assert model.config.data["train_examples"] + model.config.data["dev_examples"] == 1014
