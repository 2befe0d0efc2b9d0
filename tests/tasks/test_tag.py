"""`tag` from files to predictions, and everything that may be wrong with either."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.strangers import without_digests

from unrolled.data import Findings
from unrolled.data.tagged.read import read_tagged
from unrolled.data.tagged.schemes import spans_of
from unrolled.errors import ArgumentError, DataError, ModelError, StateError
from unrolled.metrics.entities import Score, entity_scores
from unrolled.tasks import Model, Sources, load, train
from unrolled.tasks.core.catalog import task_named
from unrolled.tasks.core.values import silent
from unrolled.tasks.uses.tag.options import TagOptions
from unrolled.tasks.uses.tag.scoring import submission_scores
from unrolled.tasks.uses.tag.session import TagSession

NAMES = {
    "PER": ("Ann Lee", "Bob", "Carl O'Neill", "Dora van Dyk"),
    "LOC": ("Rome", "New York", "Paris", "Oslo"),
    "ORG": ("Acme Corp", "U.N.", "Initech"),
}
FRAMES = ("PER lives in LOC .", "ORG of LOC hired PER .", "It rained in LOC , said PER of ORG .", "PER met PER .",
          "Nobody came .")  # fmt: skip
TINY = {"hidden_size": 24, "embedding_size": 12, "character_size": 6, "spelling_size": 8, "shape_size": 4}
FAST = {
    "lr": 0.03,
    "log_every": 1,
    "evaluate_every": 30,
    "sample_every": 0,
    "save_every": 1000,
    "seed": 7,
    "averaging": "none",
}
CALM = {"dropout": 0.0, "input_dropout": 0.0, "word_dropout": 0.0, "rare_dropout": 0.0}


def conll(sentences: int, seed: int, documents: int = 0, scheme: str = "bio") -> str:
    """Sentences about names, in columns; in IOB1 if asked for."""
    draw, lines = random.Random(seed), []
    for n in range(sentences):
        if documents and n % documents == 0:
            lines.append("-DOCSTART- -X- O\n")
        for word in draw.choice(FRAMES).split():
            if word not in NAMES:
                lines.append(f"{word} w O")
                continue
            for k, part in enumerate(draw.choice(NAMES[word]).split()):
                lines.append(f"{part} w {'I' if k or scheme == 'iob1' else 'B'}-{word}")
        lines.append("")
    return "\n".join(lines)


def learn(path: Path, out: Path, *, options: dict[str, Any] | None = None, **given: Any) -> Model:
    dev = given.pop("dev", ())
    return train("tag", path, out, dev=dev, options={**TINY, **(options or {})}, **{**FAST, "steps": 3, **given})


def losses(folder: Path, split: str = "train") -> list[float]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["split"] == split]


@pytest.fixture(scope="session")
def names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train.txt and dev.txt."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "train.txt").write_text(conll(120, 1, documents=6, scheme="iob1"), encoding="utf-8")
    (folder / "dev.txt").write_text(conll(30, 2, documents=6), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tagger(names: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model that has learned the names, as loaded from its folder. Not to be changed."""
    out = tmp_path_factory.mktemp("models") / "tagger"
    learn(names / "train.txt", out, dev=names / "dev.txt", steps=60, options={"batch_size": 8, "context": 40})
    return load(out)


@pytest.fixture(scope="session")
def causal(names: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model that can be streamed."""
    out = tmp_path_factory.mktemp("models") / "causal"
    options = {"bidirectional": False, "output": "softmax", "context": 0, "batch_size": 16, "spelling": "cnn"}
    learn(names / "train.txt", out, dev=names / "dev.txt", steps=60, options=options)
    return load(out)


# From files to predictions


def test_it_learns_the_names_and_stands_beside_a_baseline(tagger: Model, names: Path) -> None:
    found = json.loads(json.dumps(tagger.evaluate(names / "dev.txt").as_json()))
    metrics, baseline = found["metrics"], found["baseline"]
    assert found["task"] == "tag"
    assert metrics["f1"] > 0.9
    assert metrics["types"]["LOC"]["f1"] > 0.9
    assert metrics["loss"] < 0.2
    assert baseline["model"] == "phrases of the training text"
    # all names of this text are in the training text, and each is of one type
    assert baseline["f1"] == 1
    assert metrics["entities"] == baseline["entities"]
    assert tagger.config.data["labels"] == ["LOC", "ORG", "PER"]


def test_what_is_measured_is_what_is_predicted(tagger: Model, names: Path) -> None:
    texts = read_tagged(names / "dev.txt", Findings())
    predicted = tagger.predict([list(text.tokens) for text in texts])
    pairs = [(spans_of(text.tags), spans_of(one.labels)) for text, one in zip(texts, predicted, strict=True)]
    expected = entity_scores(*zip(*pairs, strict=True)).overall
    # sentences alone, as `predict` reads them
    found = Model(tagger.task, tagger.config.model_copy(deep=True), tagger.parts, tagger.network, tagger.folder)
    found.config.options["context"] = 0
    assert found.evaluate(names / "dev.txt").metrics["f1"] == pytest.approx(expected.f1)


def test_predictions_print_well_and_are_json(tagger: Model) -> None:
    found = tagger.predict("Ann Lee lives in New York.")
    assert str(found) == "[Ann Lee PER] lives in [New York LOC]."
    person, place = found.entities
    assert (person.text, person.start, person.end, person.label) == ("Ann Lee", 0, 7, "PER")
    assert (place.start, place.end, place.first, place.last) == (17, 25, 4, 5)
    assert 0.5 < place.score <= 1
    said = json.loads(json.dumps(found.as_json()))
    assert said["entities"][1]["text"] == "New York"
    assert said["tokens"][0] == {"text": "Ann", "start": 0, "end": 3, "label": "B-PER",
                                 "score": found.tokens[0].score}  # fmt: skip
    page = found._repr_html_()
    assert page.count("<mark") == 2
    assert "&lt;" in tagger.predict("<b> & Bob")._repr_html_()


def test_readings_are_the_best_and_their_probabilities_add_up(tagger: Model) -> None:
    found = tagger.predict(["Bob met Ann Lee ."], n_best=40)[0]
    scores = [one.score for one in found.alternatives]
    assert len(scores) == 40
    assert scores == sorted(scores, reverse=True)
    assert 0.5 < sum(scores) <= 1 + 1e-9
    assert found.alternatives[0].labels == found.labels
    # an entity's score is the probability of all readings that have it
    first = found.entities[0]
    having = sum(one.score for one in found.alternatives if one.labels[0] == found.labels[first.first])
    assert first.score == pytest.approx(having, abs=1 - sum(scores) + 1e-9)
    with pytest.raises(ArgumentError, match="--n-best"):
        tagger.predict("a", n_best=0)


def test_batched_equals_one_by_one(tagger: Model, causal: Model) -> None:
    inputs: list[Any] = ["Bob met Carl O'Neill .", "", ["Rome"], {"tokens": ["U.N.", "of", "Oslo"]}, "It rained . " * 9]
    for model in (tagger, causal):
        together = model.predict(inputs)
        for given, one in zip(inputs, together, strict=True):
            alone = model.predict([given])[0]
            assert (alone.labels, alone.text) == (one.labels, one.text)
            assert [t.score for t in alone.tokens] == pytest.approx([t.score for t in one.tokens], abs=1e-6)
        assert [p.labels for p in model.predictions(iter(inputs))] == [p.labels for p in together]


def test_the_lines_of_a_text_are_sentences_in_context(tagger: Model, causal: Model) -> None:
    text = "Ann Lee lives in Rome .\n\nBob met Carl O'Neill ."
    found = tagger.predict(text)
    assert str(found) == "[Ann Lee PER] lives in [Rome LOC] .\n\n[Bob PER] met [Carl O'Neill PER] ."
    assert [(e.start, e.first, e.last) for e in found.entities] == [(0, 0, 1), (17, 4, 4), (25, 6, 6), (33, 8, 9)]
    sentences = [line.split() for line in text.split("\n\n")]
    same = tagger.predict({"sentences": sentences})
    assert [t.score for t in same.tokens] == pytest.approx([t.score for t in found.tokens])
    # what one sentence says is known while the other is read
    alone = [token for line in tagger.predict(sentences) for token in line.tokens]
    assert [t.score for t in found.tokens] != pytest.approx([t.score for t in alone], abs=1e-7)
    # a model that was trained on sentences alone reads them so
    alone = [token for line in causal.predict(sentences) for token in line.tokens]
    assert [t.score for t in causal.predict(text).tokens] == pytest.approx([t.score for t in alone], abs=1e-6)
    assert tagger.predict({"sentences": []}).tokens == ()


def test_a_text_of_no_tokens_has_no_entities(tagger: Model) -> None:
    for nothing in ("", " \n", []):
        [found] = tagger.predict([nothing])
        assert (found.tokens, found.entities, found.alternatives) == ((), (), ())


@pytest.mark.parametrize("wrong", [7, [1], ["a", ""], None])
def test_what_is_no_text_is_refused(tagger: Model, wrong: Any) -> None:
    with pytest.raises(ArgumentError, match="input: expected a text, or a list of tokens none of which is empty"):
        tagger.predict([wrong])


def test_a_model_saved_elsewhere_is_the_same(tagger: Model, names: Path, tmp_path: Path) -> None:
    tagger_folder = tagger.folder
    tagger.save(tmp_path / "copy")
    tagger.folder = tagger_folder
    copy, expected = load(tmp_path / "copy"), tagger.evaluate(names / "dev.txt")
    found = copy.evaluate(names / "dev.txt")
    assert (found.metrics, found.baseline) == (expected.metrics, expected.baseline)


def test_labels_of_tokens_without_a_scheme(names: Path, tmp_path: Path) -> None:
    text = (names / "train.txt").read_text().replace(" w ", " w-TAG ")
    (tmp_path / "pos.txt").write_text(text.replace(". w-TAG", ". MARK"), encoding="utf-8")
    model = learn(tmp_path / "pos.txt", tmp_path / "m", steps=25, options={"label_column": 1})
    found = model.evaluate(tmp_path / "pos.txt")
    assert found.metrics["accuracy"] > 0.95
    assert set(found.metrics["labels"]) == {"MARK", "w-TAG"}
    assert found.baseline["accuracy"] == 1
    assert str(model.predict([["Rome", "."]])[0]) == "Rome/w-TAG ./MARK"
    assert model.config.training["monitor"] == "accuracy"


def test_published_vectors_are_read_kept_and_used(names: Path, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("rome 1 0\nzurich 1 0\nparis 1 0\n")
    options = {"vectors": str(tmp_path / "v.txt"), "embedding_size": 0, "spelling": "none", "shape_size": 0}
    model = learn(names / "train.txt", tmp_path / "m", options=options)
    (tmp_path / "v.txt").unlink()
    copy = load(tmp_path / "m")
    seen, unseen, none = copy.predict([["Rome"], ["Zurich"], ["Oslo"]])
    assert seen.tokens[0].score == pytest.approx(unseen.tokens[0].score, rel=1e-6)
    assert seen.tokens[0].score != pytest.approx(none.tokens[0].score, rel=1e-6)
    assert copy.fingerprint == model.fingerprint
    (tmp_path / "m" / "vectors.safetensors").unlink()
    with pytest.raises(ModelError, match=r"vectors.safetensors: missing"):
        load(tmp_path / "m")


def test_vectors_of_another_width_are_refused(names: Path, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("rome 1 0\nparis 1\n")
    with pytest.raises(DataError, match=r"v.txt:2: 1 numbers after the word, expected 2"):
        learn(names / "train.txt", tmp_path / "m", options={"vectors": str(tmp_path / "v.txt")})


# Streams


def test_a_stream_gets_the_labels_of_the_whole(causal: Model) -> None:
    text = "Ann Lee of U.N. met Bob in New York . "
    whole = causal.predict(text).tokens
    for pieces in ([text], list(text), [text[:9], text[9:10], text[10:]]):
        session = causal.stream()
        found = [token for piece in pieces for token in session.push(piece)]
        assert [(t.text, t.start, t.end, t.label) for t in found] == [(t.text, t.start, t.end, t.label) for t in whole]
        assert [t.score for t in found] == pytest.approx([t.score for t in whole], abs=1e-5)
    assert causal.stream().push("Rom") == []
    session = causal.stream()
    session.push("Rom")
    assert [t.text for t in session.finish()] == ["Rom"]
    assert [t.label for t in causal.stream().push(["Ann", "Lee"])] == [
        t.label for t in causal.predict([["Ann", "Lee"]])[0].tokens
    ]


def test_streams_fork_are_saved_and_begin_again(causal: Model, tagger: Model, tmp_path: Path) -> None:
    session = causal.stream()
    session.push("Ann Lee met B")
    session.save(tmp_path / "state")
    other, again = session.fork(), causal.stream().load(tmp_path / "state")
    expected = session.push("ob in Rome ")
    assert other.push("ob in Rome ") == again.push("ob in Rome ") == expected
    assert expected[0].start == 12
    assert session.reset().push("Ann ") == causal.stream().push("Ann ")
    strange = Model(causal.task, causal.config, causal.parts, tagger.network)
    assert strange.fingerprint != causal.fingerprint
    with pytest.raises(StateError, match="another model"):
        TagSession.load(_with_fingerprint(causal, "x"), tmp_path / "state")
    with pytest.raises(ArgumentError, match="expected tokens none of which is empty"):
        session.push(["a", ""])


def _with_fingerprint(model: Model, fingerprint: str) -> TagSession:
    class Other(Model):
        @property
        def fingerprint(self) -> str:
            return fingerprint

    return TagSession(Other(model.task, model.config, model.parts, model.network), model.input.stream(model))


def test_models_that_look_ahead_can_not_be_streamed(tagger: Model) -> None:
    with pytest.raises(ArgumentError, match=r"reads sentences from both ends.*--no-bidirectional --output softmax"):
        tagger.stream()


def test_independent_labels_have_one_reading(causal: Model) -> None:
    with pytest.raises(ArgumentError, match="train with --output crf"):
        causal.predict("a", n_best=2)


# The course of training


def test_overfits_a_tiny_batch(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(conll(4, 3))
    options = {**CALM, "batch_size": 4}
    learn(tmp_path / "text.txt", tmp_path / "m", dev=tmp_path / "text.txt", steps=50, options=options)
    found = losses(tmp_path / "m")
    assert found[0] > 1.2
    assert found[-1] < 0.02
    assert load(tmp_path / "m").evaluate(tmp_path / "text.txt").metrics["f1"] == 1


def test_the_first_ten_steps_are_as_they_were(names: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"steps": 10, "lr": 0.01, "schedule": "constant", "warmup_steps": 0}
    learn(names / "train.txt", tmp_path / "m", dev=names / "dev.txt", options={"context": 20, "batch_size": 8}, **given)
    golden = [1.5290, 1.3890, 1.2526, 1.0998, 1.0197, 1.0977, 1.0551, 1.1219, 1.1641, 1.0755]
    assert losses(tmp_path / "m") == pytest.approx(golden, rel=2e-3)


def test_resumed_equals_uninterrupted(names: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"schedule": "constant", "save_every": 2, "averaging": "ema", "monitor": "loss"}
    learn(names / "train.txt", tmp_path / "whole", steps=6, **given)
    learn(names / "train.txt", tmp_path / "parts", steps=3, **given)
    learn(names / "train.txt", tmp_path / "parts", steps=6, resume=True, **given)
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_other_cells_and_depths(cell: str, names: Path, tmp_path: Path) -> None:
    model = learn(names / "train.txt", tmp_path / "m", options={"cell": cell, "num_layers": 2, "spelling": "cnn"})
    assert model.predict("Bob .").tokens[0].label in model.output.labels


def test_labels_that_training_never_saw_count_as_never_found(names: Path, tmp_path: Path) -> None:
    (tmp_path / "dev.txt").write_text("Ann w B-NEW\nLee w I-NEW\n\nBob w B-PER\n")
    model = learn(names / "train.txt", tmp_path / "m", dev=tmp_path / "dev.txt")
    metrics = model.config.result["dev"]
    assert metrics["recall"] <= 0.5
    assert math.isfinite(metrics["loss"])


# What may be wrong with the data


def test_an_unknown_label_at_evaluation_is_named(tagger: Model, tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("Bob w B-PER\nsaw w O\nMars w B-PLANET\n")
    with pytest.raises(
        DataError, match=r"new.txt:3: label 'S-PLANET' is unknown to the model, which has LOC, ORG, PER"
    ):
        tagger.evaluate(tmp_path / "new.txt")
    (tmp_path / "pos.txt").write_text("Bob w NNP\n")
    with pytest.raises(DataError, match=r"pos.txt:1: holds labels, the model was trained on entities"):
        tagger.evaluate(tmp_path / "pos.txt")


def test_files_without_a_sentence_are_refused(tmp_path: Path, tagger: Model) -> None:
    (tmp_path / "none.txt").write_text("\n\n-DOCSTART- O\n\n")
    with pytest.raises(DataError, match="no example to learn from"):
        learn(tmp_path / "none.txt", tmp_path / "m")
    with pytest.raises(DataError, match="no example to evaluate on"):
        tagger.evaluate(tmp_path / "none.txt")


def test_bad_sentences_end_training_or_are_left_out(names: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text((names / "train.txt").read_text() + "\nRome B-LOC\n")
    with pytest.raises(DataError, match=r"bad.txt:\d+: 2 columns where the lines before have 3"):
        learn(tmp_path / "bad.txt", tmp_path / "m")
    model = learn(tmp_path / "bad.txt", tmp_path / "m", options={"skip_bad": True, "context": 0})
    assert model.config.data["train_sentences"] + model.config.data["dev_sentences"] == 120


def test_the_check_finds_what_ruins_runs(names: Path, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("Rome w I-LOC\n\nRome w I-LOC\n\nBob w I-PER\nLee w I-PER\n")
    (tmp_path / "dev.txt").write_text("Rome w B-LOC\n\nMars w B-PLANET\n\nI-X w O\nx w I-LOC\n")
    findings = Findings(strict=False)
    sources = Sources((tmp_path / "train.txt",), (tmp_path / "dev.txt",))
    counts = task_named("tag").check(sources, TagOptions(scheme="bio"), findings, silent)
    assert counts == {"train": 3, "dev": 3}
    kinds = [item.kind for item in findings.items]
    assert kinds.count("impossible transition") == 4
    assert {"scheme", "duplicate", "leak", "unseen label"} <= set(kinds)
    (tmp_path / "o.txt").write_text("a w O\n\nb w O\n")
    findings = Findings(strict=False)
    task_named("tag").check(Sources((tmp_path / "o.txt",)), TagOptions(), findings, silent)
    assert [item.kind for item in findings.items] == ["no entity"]
    (tmp_path / "dev.txt").write_text("Rome w X\n")
    with pytest.raises(DataError, match=r"dev.txt:1: holds labels, the training data entities"):
        learn(tmp_path / "train.txt", tmp_path / "m", dev=tmp_path / "dev.txt")


@pytest.mark.parametrize(
    "name, change, says",
    [
        ("encoders.json", lambda text: text[:40], "encoders.json: corrupt"),
        ("encoders.json", lambda text: text.replace('"words"', '"wards"'), "corrupt, not the encoders of a tagger"),
        ("encoders.json", lambda text: text.replace('"Xxx",', ""), "network: made for"),
        ("config.json", lambda text: text.replace('"hidden_size": 24', '"hidden_size": -1'), "hidden-size"),
    ],
)
def test_a_damaged_model_is_refused(tagger: Model, tmp_path: Path, name: str, change: Any, says: str) -> None:
    folder = tagger.folder
    tagger.save(tmp_path / "m")
    tagger.folder = folder
    path = without_digests(tmp_path / "m") / name
    path.write_text(change(path.read_text()))
    with pytest.raises(ModelError, match=says):
        load(tmp_path / "m")


def test_a_submission_to_wnut17_gets_the_official_score(tmp_path: Path) -> None:
    # by hand: I- after O, or after another type, begins an entity; a form counts once, and only where it is right
    rows = [
        "Rome B-location B-location", "is O O", "", "Rome B-location O", "New B-location I-location",
        "York I-location I-location", "", "Ann B-person B-person", "Lee I-person I-group", "", "rome O B-location",
        "", "Rome O B-location",
    ]  # fmt: skip
    (tmp_path / "team.txt").write_text("\n".join(row.replace(" ", "\t") for row in rows))
    found = submission_scores(tmp_path / "team.txt")
    # gold: Rome, Rome, New York, Ann Lee; found: Rome, New York, Ann, Lee (group), rome, Rome in another sentence
    assert found["entities"] == Score(gold=4, predicted=6, correct=2)
    # forms: Rome, New York, Ann Lee; Rome, New York, Ann, Lee, rome
    assert found["surface forms"] == Score(gold=3, predicted=5, correct=2)
    (tmp_path / "bad.txt").write_text("Rome\tB-location\n")
    with pytest.raises(DataError, match="no label column 2 in a line of 2"):
        submission_scores(tmp_path / "bad.txt")


def test_the_baseline_of_the_shared_task(real_data: Path) -> None:
    # Tjong Kim Sang & De Meulder 2003, table 5: F 59.61 on the English test data
    from unrolled.tasks.uses.tag.baseline import PhraseLookup

    parts = {name: read_tagged(real_data / "conll2003" / f"eng.{name}.gz", Findings()) for name in ("train", "testb")}
    lookup = PhraseLookup.fit((text.tokens, spans_of(text.tags)) for text in parts["train"])
    gold = [spans_of(text.tags) for text in parts["testb"]]
    scores = entity_scores(gold, [lookup.entities(text.tokens) for text in parts["testb"]]).overall
    assert 100 * scores.f1 == pytest.approx(59.61, abs=0.01)
