"""`classify` from files to predictions, and everything that may be wrong with either."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.cli.running import complaint, unrolled
from tests.strangers import without_digests

from unrolled.data import Findings
from unrolled.errors import ArgumentError, DataError, ModelError, StateError
from unrolled.metrics.classification import calibration_error
from unrolled.tasks import Model, Sources, load, train
from unrolled.tasks.core.catalog import task_named
from unrolled.tasks.core.values import silent
from unrolled.tasks.inputs.text.collate import collated
from unrolled.tasks.inputs.text.encode import TextInput
from unrolled.tasks.outputs.label.decode import log_probabilities
from unrolled.tasks.outputs.label.network import difference
from unrolled.tasks.uses.classify.plan import ClassifyOptions
from unrolled.tasks.uses.classify.words import beginnings

MOODS = {"pos": ["great", "superb", "fine", "lovely"], "neg": ["awful", "dull", "poor", "boring"]}
FILLING = ["the", "film", "was", "a", "story", "with", "actors", "and", "music", ",", "quite"]
TINY = {"hidden_size": 12, "embedding_size": 12, "batch_size": 8}
CALM = {"dropout": 0.0, "input_dropout": 0.0, "word_dropout": 0.0, "unknown": 0.0, "smoothing": 0.0, "consistency": 0.0}
FAST = {"lr": 0.02, "log_every": 1, "sample_every": 0, "evaluate_every": 20, "seed": 7, "averaging": "none"}


def reviews(count: int, seed: int) -> str:
    """A table; only one word of each text tells its label."""
    draw, lines = random.Random(seed), ["text\tlabel"]
    for _ in range(count):
        label = draw.choice(sorted(MOODS))
        words = draw.choices(FILLING, k=draw.randint(3, 8))
        words.insert(draw.randrange(len(words) + 1), draw.choice(MOODS[label]))
        lines.append(f"{' '.join(words)}\t{label}")
    return "\n".join(lines) + "\n"


def learn(path: Path, out: Path, *, options: dict[str, Any] | None = None, **given: Any) -> Model:
    dev = given.pop("dev", ())
    return train("classify", path, out, dev=dev, options={**TINY, **(options or {})}, **{**FAST, "steps": 3, **given})


def losses(folder: Path, split: str = "train") -> list[float]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["split"] == split]


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train.tsv and dev.tsv."""
    folder = tmp_path_factory.mktemp("films")
    (folder / "train.tsv").write_text(reviews(160, 1))
    (folder / "dev.tsv").write_text(reviews(40, 2))
    return folder


@pytest.fixture(scope="session")
def critic(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model that has learned the moods, as loaded from its folder. Not to be changed."""
    out = tmp_path_factory.mktemp("models") / "critic"
    learn(films / "train.tsv", out, dev=films / "dev.tsv", steps=60)
    return load(out)


@pytest.fixture(scope="session")
def causal(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model that can be streamed."""
    out = tmp_path_factory.mktemp("models") / "causal"
    options = {
        "bidirectional": False,
        "cell": "gru",
        "pooling": "attention+max+last",
        "num_layers": 2,
        "consistency": 0,
    }
    learn(films / "train.tsv", out, dev=films / "dev.tsv", steps=60, options={**options, "consistency": 0.0})
    return load(out)


# From files to predictions


def test_it_learns_the_moods_and_stands_beside_baselines(critic: Model, films: Path) -> None:
    found = json.loads(json.dumps(critic.evaluate(films / "dev.tsv").as_json()))
    metrics, baseline = found["metrics"], found["baseline"]
    assert metrics["accuracy"] > 0.9
    assert metrics["macro_f1"] > 0.9
    assert metrics["loss"] < 0.3
    assert metrics["examples"] == 40
    assert sum(map(sum, metrics["confusion"])) == 40
    assert set(metrics["classes"]) == {"neg", "pos"}
    assert baseline["model"] == "TF-IDF and logistic regression"
    assert baseline["accuracy"] > 0.9
    assert baseline["majority_accuracy"] < 0.7
    assert critic.config.data["labels"].keys() == {"neg", "pos"}


def test_predictions_print_well_and_are_json(critic: Model) -> None:
    found = critic.predict("a lovely story")
    assert str(found).startswith(f"pos {found.probability:.1%}")
    assert "\n" not in str(critic.predict("a lovely story", words=True))
    assert list(found.probabilities) == ["pos", "neg"]
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert found.probability > 0.8
    said = json.loads(json.dumps(found.as_json()))
    assert said == {
        "text": "a lovely story",
        "label": "pos",
        "probability": found.probability,
        "probabilities": found.probabilities,
    }
    page = critic.predict("<b> a great film", words=True)._repr_html_()
    assert page.count("<mark") == 6
    assert "<b>" not in page
    assert "&lt;" in page


def test_word_by_word_is_each_beginning(critic: Model, causal: Model) -> None:
    text = "The film was dull , quite"
    for model in (critic, causal):
        found = model.predict(text, words=True)
        words = text.split()
        assert [one.word for one in found.words] == words
        assert [text[one.start : one.end] for one in found.words] == words
        for n, one in enumerate(found.words, 1):
            alone = model.predict(" ".join(words[:n]))
            assert one.probabilities == pytest.approx(alone.probabilities, abs=1e-5)
        assert found.words[-1].label == found.label == "neg"
        assert found.as_json()["words"][0].keys() == {"word", "start", "end", "probabilities"}


def test_a_stream_says_what_each_beginning_says(causal: Model) -> None:
    text = "The film wasn't dull , it's great"
    for cut in range(len(text) + 1):
        session = causal.stream()
        found = session.push(text[:cut]) + session.push(text[cut:])
        assert session.prediction().probabilities == pytest.approx(causal.predict(text).probabilities, abs=1e-5)
        found += session.finish()
        expected = causal.predict(text, words=True).words
        assert [(one.word, one.start, one.end) for one in found] == [(w.word, w.start, w.end) for w in expected]
        for one, other in zip(found, expected, strict=True):
            assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


def test_streams_fork_are_saved_and_begin_anew(causal: Model, critic: Model, tmp_path: Path) -> None:
    session = causal.stream()
    session.push("a dull film , qui")
    twin = session.fork()
    twin.push("te great great ")
    session.save(tmp_path / "state")
    back = causal.stream().load(tmp_path / "state")
    assert back.prediction() == session.prediction() != twin.prediction()
    assert [one.word for one in back.push("te ")] == ["quite"]
    assert causal.stream().prediction().probabilities == pytest.approx(causal.predict("").probabilities)
    assert twin.reset().prediction().probabilities == pytest.approx(causal.predict("").probabilities)
    with pytest.raises(ArgumentError, match=r"reads texts from both ends.*--no-bidirectional"):
        critic.stream()
    other = load(causal.folder)  # type: ignore[arg-type]
    with torch.no_grad():
        next(other.network.parameters()).mul_(2)
    with pytest.raises(StateError, match="belongs to another model"):
        other.stream().load(tmp_path / "state")


def test_an_empty_text_is_judged_by_what_is_expected(critic: Model) -> None:
    found = critic.predict(["", "  ", "a great film"])
    assert found[0].probabilities == found[1].probabilities
    bias = critic.network.output.bias.double() / critic.fitted["temperature"]  # type: ignore[union-attr, operator]
    expected = dict(zip(critic.output.labels, bias.softmax(0).tolist(), strict=True))
    assert found[0].probabilities == pytest.approx(expected)


def test_batched_is_one_by_one(critic: Model, films: Path) -> None:
    texts = [line.split("\t")[0] for line in (films / "dev.tsv").read_text().splitlines()[1:]]
    texts.insert(3, " ".join(texts))
    together = critic.predict(texts)
    for text, one in zip(texts, together, strict=True):
        alone = critic.predict(text)
        assert (one.text, one.label) == (text, alone.label)
        assert one.probabilities == pytest.approx(alone.probabilities, abs=1e-6)
    assert [str(p) for p in critic.predictions(iter(texts[:2]))] == [str(p) for p in together[:2]]


def test_the_temperature_is_fitted_on_development_data(critic: Model, films: Path) -> None:
    fitted = critic.fitted
    assert fitted.keys() == {"temperature", "ece_before", "ece_after"}
    task = critic.task
    texts = task.read((films / "dev.tsv",), ClassifyOptions(), Findings())  # type: ignore[attr-defined]
    encoded = [task.encode(text, critic.parts) for text in texts]  # type: ignore[attr-defined]
    gold = [int(text["label"][0]) for text in encoded]
    raw = log_probabilities(critic, encoded, temperature=1.0)
    assert calibration_error(np.exp(raw), gold) == pytest.approx(fitted["ece_before"], abs=1e-4)
    scaled = torch.from_numpy(raw / fitted["temperature"]).softmax(-1).numpy()
    assert np.exp(log_probabilities(critic, encoded)) == pytest.approx(scaled, abs=1e-6)
    assert critic.evaluate(films / "dev.tsv").metrics["ece_uncalibrated"] == pytest.approx(
        fitted["ece_before"], abs=1e-4
    )


def test_a_model_saved_elsewhere_is_the_same(critic: Model, films: Path, tmp_path: Path) -> None:
    critic_copy = load(critic.folder)  # type: ignore[arg-type]
    critic_copy.save(tmp_path / "copy")
    copy = load(tmp_path / "copy")
    assert copy.predict("a dull film") == critic.predict("a dull film")
    assert copy.evaluate(films / "dev.tsv").baseline == critic.evaluate(films / "dev.tsv").baseline
    names = {path.name for path in (tmp_path / "copy").iterdir()}
    assert names == {"config.json", "model.safetensors", "labels.json", "encoders.json", "card.md", "manifest.json",
                     "majority.json", "tfidf.safetensors"}  # fmt: skip


# The course of training


def test_overfits_a_tiny_batch(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(reviews(8, 3))
    learn(tmp_path / "a.tsv", tmp_path / "m", dev=tmp_path / "a.tsv", options=CALM, steps=60)
    course = losses(tmp_path / "m")
    assert course[0] > 0.6
    assert course[-1] < 0.01


def test_the_first_ten_steps_are_as_they_were(films: Path, tmp_path: Path) -> None:
    learn(films / "train.tsv", tmp_path / "m", dev=films / "dev.tsv", steps=10, lr=0.01, schedule="constant")
    golden = [0.6776, 0.63, 0.6719, 0.7672, 0.729, 0.5334, 0.7376, 0.5736, 0.5598, 0.5243]
    assert losses(tmp_path / "m") == pytest.approx(golden, rel=5e-3)


def test_a_resumed_run_is_an_uninterrupted_one(films: Path, tmp_path: Path) -> None:
    options = {"num_layers": 2}
    whole = learn(films / "train.tsv", tmp_path / "a", options=options, steps=16, averaging="ema", save_every=8)
    learn(films / "train.tsv", tmp_path / "b", options=options, steps=8, averaging="ema", save_every=8,
          schedule="constant")  # fmt: skip
    learn(films / "train.tsv", tmp_path / "c", options=options, steps=16, averaging="ema", save_every=8,
          schedule="constant")  # fmt: skip
    learn(films / "train.tsv", tmp_path / "b", options=options, steps=16, averaging="ema", resume=True)
    b, c = (load_file(tmp_path / name / "model.safetensors") for name in "bc")
    assert all(torch.equal(b[name], c[name]) for name in c)
    assert losses(tmp_path / "b") == losses(tmp_path / "c")
    assert whole.config.batching == {"batch_size": 8, "unknown": 0.5, "readings": 2}


# What may be wrong


def test_checks_find_what_ruins_runs(films: Path, tmp_path: Path) -> None:
    rows = ["text\tlabel", "a great film\tpos", "an awful film\tneg", "a  great film\tneg", "x\tpso", "\tpos"]
    (tmp_path / "train.tsv").write_text("\n".join(rows + [f"good {n}\tpos" for n in range(9)]) + "\n")
    (tmp_path / "dev.tsv").write_text("text\tlabel\nan awful film\tneg\nso so\tmeh\n")
    findings = Findings(strict=False)
    sources = Sources((tmp_path / "train.tsv",), (tmp_path / "dev.tsv",))
    counts = task_named("classify").check(sources, ClassifyOptions(), findings, silent)
    assert counts == {"train": 14, "dev": 2}
    found = sorted((f.kind, f.line, Path(str(f.path)).name) for f in findings.items)
    assert found == [
        ("duplicate", 4, "train.tsv"),
        ("empty", 6, "train.tsv"),
        ("leak", 2, "dev.tsv"),
        ("rare label", 3, "train.tsv"),
        ("rare label", 5, "train.tsv"),
        ("unseen label", 3, "dev.tsv"),
    ]
    by_kind = {(f.kind, f.line): f.message for f in findings.items}
    assert by_kind["duplicate", 4].endswith("train.tsv:2, with another label")
    assert by_kind["rare label", 5] == "label 'pso' has 1 training example: too few to learn; misspelled?"


def test_one_label_cant_be_learned(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("text\tlabel\na\tx\nb\tx\nc\tx\n")
    with pytest.raises(DataError, match="all examples to learn from have one label, 'x'; at least 2 are needed"):
        learn(tmp_path / "a.tsv", tmp_path / "m")


def test_bad_rows_are_left_out_if_asked_for(films: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(reviews(40, 1) + "broken\n")
    with pytest.raises(DataError, match=r"a\.tsv:42: 1 cell instead of 2; the columns are 'text', 'label'"):
        learn(tmp_path / "a.tsv", tmp_path / "m")
    model = learn(tmp_path / "a.tsv", tmp_path / "m", dev=films / "dev.tsv", options={"skip_bad": True})
    assert model.config.data["train_examples"] == 40


def test_an_unknown_label_at_evaluation(critic: Model, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("text\tlabel\nfine\tpos\nso so\tmeh\n")
    with pytest.raises(DataError) as caught:
        critic.evaluate(tmp_path / "a.tsv")
    assert str(caught.value) == f"{tmp_path}/a.tsv:3: label 'meh' is unknown to the model, which has neg, pos"
    with pytest.raises(DataError, match=r"a\.tsv:1: no column 'words'; the columns are 'text', 'label'"):
        critic.evaluate(tmp_path / "a.tsv", text_column="words")


def test_what_is_no_text_is_refused(critic: Model) -> None:
    with pytest.raises(ArgumentError, match="input: expected text, found int"):
        critic.predict([3])
    with pytest.raises(
        ArgumentError, match="--pooling: 'median' is not possible: pooling: expected last, mean, max, attention"
    ):
        ClassifyOptions(pooling="median")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("labels.json", lambda value: ["one"], "labels.json: corrupt, expected a list of at least two labels"),
        ("encoders.json", lambda value: {**value, "counts": []}, "encoders.json: corrupt, not the words of a"),
        ("encoders.json", lambda value: {**value, "pairs": 2**40}, "encoders.json: corrupt, not the words of a"),
        ("encoders.json", lambda value: {**value, "buckets": 2**40}, "encoders.json: corrupt, not the words of a"),
        ("encoders.json", lambda value: {**value, "words": value["words"][1:], "counts": value["counts"][1:]},
         "network: made for vocabulary_size="),
        ("config.json", lambda value: {**value, "fitted": {"temperature": "hot"}}, "corrupt, temperature: expected"),
        ("config.json", lambda value: {**value, "network": {**value["network"], "pooling": "x"}}, "network: pooling"),
    ],
)  # fmt: skip
def test_a_damaged_model_is_refused(
    critic: Model, tmp_path: Path, name: str, change: Callable[[Any], Any], message: str
) -> None:
    folder = without_digests(shutil.copytree(critic.folder or "", tmp_path / "m"))
    value = json.loads((folder / name).read_text("utf-8"))
    (folder / name).write_text(json.dumps(change(value)), "utf-8")
    with pytest.raises(ModelError, match=message):
        load(folder)


def test_a_damaged_baseline_is_refused(critic: Model, films: Path, tmp_path: Path) -> None:
    folder = without_digests(shutil.copytree(critic.folder or "", tmp_path / "m"))
    (folder / "majority.json").write_text("[1, -1]")
    with pytest.raises(ModelError, match=r"majority\.json: corrupt, expected a count for each label"):
        load(folder).evaluate(films / "dev.tsv")


def test_without_scikit_learn_the_majority_is_the_baseline(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    model = learn(films / "train.tsv", tmp_path / "m", dev=films / "dev.tsv")
    assert "beside the most frequent label alone: the TF-IDF baseline needs scikit-learn" in caplog.text
    assert model.evaluate(films / "dev.tsv").baseline["model"] == "the most frequent label"


def test_word_vectors_help_with_words_that_training_never_saw(films: Path, tmp_path: Path) -> None:
    # words of one mood lie close together; two of these are in no training text
    rows = [f"{word} {1 if label == 'pos' else -1} 0.5" for label, words in MOODS.items() for word in words]
    (tmp_path / "v.txt").write_text("\n".join([*rows, "splendid 1 0.5", "rotten -1 0.5"]) + "\n")
    options = {"vectors": str(tmp_path / "v.txt"), "parts": False, "votes": False, "min_count": 1}
    learn(films / "train.tsv", tmp_path / "m", dev=films / "dev.tsv", steps=60, options=options)
    model = load(tmp_path / "m")
    assert [one.label for one in model.predict(["splendid film", "rotten film"])] == ["pos", "neg"]
    (tmp_path / "w.txt").write_text("good 1 2\nbad 1 2 3\n")
    with pytest.raises(DataError, match=r"w\.txt:2: 3 numbers after the word, expected 2"):
        learn(films / "train.tsv", tmp_path / "n", options={"vectors": str(tmp_path / "w.txt")})


def test_long_texts_are_read_at_both_ends() -> None:
    encoders = TextInput(("x",), (1,), longest=5)
    words = [word.text for word in encoders.words_of(" ".join(map(str, range(9))))]
    assert words == ["0", "1", "2", "7", "8"]
    assert len(encoders.words_of("1 2 3 4 5")) == 5


def test_parts_stand_in_the_order_of_the_words() -> None:
    encoders = TextInput(("xy",), (3,), buckets=1 << 20)
    texts = [encoders.encode_words(words) for words in (["xy", "film"], ["q"], [])]
    batch = collated(texts, encoders.counts, 0.0, None)
    assert batch["words"].tolist() == [[1, 0, 0], [0, 0, 0]]
    assert batch["lengths"].tolist() == [2, 1, 0]
    begins = [*batch["begins"].tolist(), len(batch["parts"])]
    pieces = [batch["parts"][a:b].tolist() for a, b in itertools.pairwise(begins)]
    expected = [list(encoders.encode_words([word])["parts"]) for word in ("xy", "q", "film")]
    assert pieces == [expected[0], expected[1], [], expected[2], [], []]


def test_texts_of_no_words_can_be_learned_from(critic: Model) -> None:
    nothing = [critic.input.encode_words([])] * 2
    data = collated(nothing, critic.input.counts, 0.5, np.random.default_rng(0))
    data["labels"] = torch.tensor([0, 1])
    assert data["words"].shape == (1, 2)
    assert data["lengths"].tolist() == [0, 0]
    scored = critic.task.score(critic, data)  # type: ignore[attr-defined]
    assert (scored.count, bool(torch.isfinite(scored.mean))) == (2, True)


def test_rare_words_are_read_as_unknown_now_and_then() -> None:
    encoders = TextInput(("often", "once"), (1000, 1))
    text = encoders.encode_words(["often", "once"] * 2000)
    words = collated([text], encoders.counts, 0.5, np.random.default_rng(0))["words"][:, 0]
    assert (words[::2] == 0).float().mean() < 0.01
    assert (words[1::2] == 0).float().mean().item() == pytest.approx(1 / 3, abs=0.03)


def test_what_two_readings_differ_by() -> None:
    logits = torch.tensor([[1.0, 0.0], [0.5, 2.0], [0.0, 1.0], [0.5, 2.0]], dtype=torch.float64)
    p, q = logits[0].softmax(0), logits[2].softmax(0)
    both = (p * (p / q).log()).sum() + (q * (q / p).log()).sum()
    assert difference(logits).item() == pytest.approx(both.item() / 2 / 2)


def test_beginnings_of_nothing(critic: Model) -> None:
    assert beginnings(critic, []).shape == (0, 2)
    assert critic.predict("", words=True).words == ()


# The command


def test_the_command_from_end_to_end(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    small = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]
    done = unrolled("train", "classify", films / "train.tsv", "--dev", films / "dev.tsv", "--out", out, "--steps", 60,
                    "--lr", 0.02, "--averaging", "none", "--threads", 1, *small)  # fmt: skip
    assert done.code == 0, done.err
    (found,) = unrolled("evaluate", out, films / "dev.tsv", "--json").json
    assert found["metrics"]["accuracy"] > 0.8
    (said,) = unrolled("predict", out, "a dull film", "--json").json
    assert said["label"] == "neg"
    lines = unrolled("predict", out, stdin=b"a great film\nan awful film\n").out.splitlines()
    assert [line.split()[0] for line in lines] == ["pos", "neg"]
    steps = unrolled("predict", out, "a dull film", "--words", "--json").json[0]["words"]
    assert [step["word"] for step in steps] == ["a", "dull", "film"]
    assert "no column 'x'" in complaint(unrolled("evaluate", out, films / "dev.tsv", "--text-column", "x"))


# Real data


def test_a_little_of_sst2(real_data: Path, tmp_path: Path) -> None:
    import gzip

    with gzip.open(real_data / "sst2" / "train.tsv.gz", "rt", encoding="utf-8") as file:
        (tmp_path / "train.tsv").write_text("".join(file.readlines()[:200]), encoding="utf-8")
    with gzip.open(real_data / "sst2" / "dev.tsv.gz", "rt", encoding="utf-8") as file:
        (tmp_path / "dev.tsv").write_text("".join(file.readlines()[:50]), encoding="utf-8")
    model = learn(tmp_path / "train.tsv", tmp_path / "m", dev=tmp_path / "dev.tsv", steps=40,
                  options={"batch_size": 32, "hidden_size": 16})  # fmt: skip
    assert model.config.data["labels"].keys() == {"0", "1"}
    course = losses(tmp_path / "m")
    assert sum(course[-10:]) < 0.97 * sum(course[:10])
    found = model.evaluate(tmp_path / "train.tsv")
    assert found.baseline["accuracy"] > 0.8
