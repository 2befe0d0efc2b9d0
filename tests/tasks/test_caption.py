"""`caption` from files to sentences, from images and from features; and everything that may be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.strangers import without_digests

from unrolled.data import Findings
from unrolled.data.images.files import png
from unrolled.data.text.plain_words import WordTokenizer, plain_words, sentence
from unrolled.errors import ArgumentError, DataError, ModelError, ShapeError
from unrolled.metrics.captions import caption_metrics
from unrolled.tasks import Model, Sources, load, task_named, train
from unrolled.tasks.core.values import silent
from unrolled.tasks.outputs.text.attention.decode import Search, search_all
from unrolled.tasks.uses.caption import Caption
from unrolled.tasks.uses.caption.attributes import frequent_words
from unrolled.tasks.uses.caption.layer import FeatureFormat
from unrolled.tasks.uses.caption.results import CaptionedPrediction, shade

TINY: dict[str, Any] = {
    "image_size": 12,
    "margin": 1.0,
    "mirror": False,
    "widths": (6, 8),
    "hidden_size": 16,
    "embedding_size": 10,
    "batch_size": 8,
    "dropout": 0.0,
    "image_dropout": 0.0,
    "smoothing": 0.0,
}
FAST = {"lr": 0.02, "log_every": 1, "seed": 5, "evaluate_every": 40, "sample_every": 0, "save_every": 1000}
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}


def make_scenes(folder: Path, count: int = 36) -> Path:
    """Boxes of three colours left or right, two captions each: images/, train.txt, dev.txt, and features.npz."""
    draw = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    lines, features = [], []
    for n in range(count):
        colour, side = list(COLOURS)[n % 3], "left" if n // 3 % 2 else "right"
        image = draw.integers(100, 140, (12, 12, 3), dtype=np.uint8)
        image[4:8, 1:5] = COLOURS[colour] if side == "left" else image[4:8, 1:5]
        image[4:8, 7:11] = COLOURS[colour] if side == "right" else image[4:8, 7:11]
        (folder / "images" / f"{n}.png").write_bytes(png(image))
        features.append(image[:, :, :].reshape(2, 6, 2, 6, 3).mean((1, 3)).reshape(4, 3))
        lines += [f"{n}.png#0\tA {colour} box is {side} .", f"{n}.png#1\tThere is a {colour} box on the {side}"]
    (folder / "train.txt").write_text("\n".join(lines[:-24]) + "\n")
    (folder / "dev.txt").write_text("\n".join(lines[-24:]) + "\n")
    names = np.array([f"{n}.png" for n in range(count)])
    np.savez(folder / "features.npz", names=names, features=np.array(features, dtype=np.float32))
    return folder


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scenes(tmp_path_factory.mktemp("scenes") / "scenes")


def learn(data: Path, out: Path, **given: Any) -> Model:
    options = {"images": str(data / "images"), **TINY, **given.pop("options", {})}
    return train("caption", data / "train.txt", out, options=options, **{**FAST, "dev": data / "dev.txt", **given})


Trained = Callable[[str], Model]


@pytest.fixture(scope="session")
def captioner(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The model of a kind, as loaded from its folder; trained when first asked for. Not to be changed."""
    folder = tmp_path_factory.mktemp("captioners")

    def model(kind: str) -> Model:
        if not (folder / kind).exists():
            more = {} if kind == "images" else {"images": str(scenes / "features.npz"), "cell": "gru"}
            learn(scenes, folder / kind, steps=120, options=more)
        return load(folder / kind)

    return model


def losses(folder: Path) -> list[float]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["split"] == "train"]


@pytest.mark.parametrize("kind", ["images", "features"])
def test_it_learns_what_it_is_shown(captioner: Trained, kind: str, scenes: Path) -> None:
    model = captioner(kind)
    found = json.loads(json.dumps(model.evaluate(scenes / "dev.txt").as_json()))
    assert found["metrics"]["bleu4"] > 0.9
    assert found["metrics"]["cider"] > 4
    assert found["metrics"]["images"] == 12
    assert found["metrics"]["loss"] < 0.4
    assert found["baseline"]["bleu4"] < 0.8
    assert found["baseline"]["model"] in {
        f"always 'A {colour} box is {side}.'" for colour in COLOURS for side in ("left", "right")
    }
    assert model.fitted["beam_size"] in (3, 5)
    assert model.fitted["dev_bleu4"] == pytest.approx(found["metrics"]["bleu4"])


def test_what_is_measured_is_what_is_written(captioner: Trained, scenes: Path) -> None:
    model = captioner("images")
    names = list(dict.fromkeys(line.split("#")[0] for line in (scenes / "dev.txt").read_text().splitlines()))
    lines = [line.split("\t") for line in (scenes / "dev.txt").read_text().splitlines()]
    references = [[plain_words(text) for name, text in lines if name.startswith(f"{wanted}#")] for wanted in names]
    written = model.predict([scenes / "images" / name for name in names])
    expected = caption_metrics([p.captions[0].words for p in written], references)
    found = model.evaluate(scenes / "dev.txt").metrics
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    beside = model.evaluate(scenes / "dev.txt", beam_size=1, length_penalty=0.0).metrics
    assert (beside["beam_size"], beside["length_penalty"]) == (1, 0.0)


@pytest.mark.parametrize("kind", ["images", "features"])
def test_together_or_one_by_one_it_is_the_same(captioner: Trained, kind: str, scenes: Path) -> None:
    model = captioner(kind)
    features = np.load(scenes / "features.npz", allow_pickle=False)["features"]
    inputs: list[Any] = (
        [scenes / "images" / f"{n}.png" for n in (24, 25, 30)] if kind == "images" else list(features[24:27])
    )
    together = model.predict(inputs, n=2)
    for prediction, one in zip(together, inputs, strict=True):
        alone = model.predict(one, n=2)
        assert [c.text for c in alone.captions] == [c.text for c in prediction.captions]
        for mine, other in zip(alone.captions, prediction.captions, strict=True):
            assert mine.log_prob == pytest.approx(other.log_prob, abs=1e-4)
            assert np.allclose(mine.attention, other.attention, atol=1e-4)


def test_scores_are_those_of_the_network(captioner: Trained, scenes: Path) -> None:
    model = captioner("images")
    found = model.predict(scenes / "images" / "25.png", n=3, length_penalty=0.6)
    image = torch.from_numpy(found.seen).unsqueeze(0)
    assert len(found.captions) == 3
    scores = [c.score for c in found.captions]
    assert scores == sorted(scores, reverse=True)
    for caption in found.captions:
        numbers = model.output.words.encode(" ".join(caption.words)).astype(np.int64)
        tokens = torch.from_numpy(np.concatenate([[0], numbers]))
        with torch.no_grad():
            logits, _ = model.network(image, tokens.unsqueeze(1))
        targets = torch.from_numpy(np.concatenate([numbers, [0]]))
        log_prob = float(logits.squeeze(1).log_softmax(-1).gather(1, targets.unsqueeze(1)).sum())
        assert caption.log_prob == pytest.approx(log_prob, abs=1e-4)
        assert caption.score == pytest.approx(log_prob / len(targets) ** 0.6, abs=1e-4)
        assert caption.attention.shape == (len(numbers), 6, 6)
        assert np.allclose(caption.attention.sum((1, 2)), 1, atol=1e-5)


def test_predictions_print_well_and_are_json(captioner: Trained, scenes: Path) -> None:
    path = scenes / "images" / "24.png"
    found = captioner("images").predict(str(path), n=2)
    assert isinstance(found, CaptionedPrediction)
    assert str(found) == f"{path}: {found.text}"
    assert found.text == sentence(found.captions[0].words)
    said = json.loads(json.dumps(found.as_json()))
    assert [c["text"] for c in said["captions"]] == [c.text for c in found.captions]
    assert np.array(said["captions"][0]["attention"]).shape == found.captions[0].attention.shape
    page = found._repr_html_()
    assert page.count("data:image/png;base64,") == 1 + len(found.captions[0].words)
    features = np.load(scenes / "features.npz", allow_pickle=False)["features"]
    plain = captioner("features").predict(features[24])
    assert (plain.image, plain.seen) == ("features", None)
    assert plain.captions[0].attention.shape[1:] == (1, 4)
    assert plain._repr_html_().startswith("<ol>")


def test_shading_darkens_what_is_not_looked_at() -> None:
    image = np.full((4, 4, 3), 200, np.uint8)
    shaded = shade(image, np.array([[1.0, 0.0], [0.5, 0.0]], dtype=np.float32))
    assert shaded[0, 0, 0] == 200
    assert shaded[0, 3, 0] == 50
    assert shaded[3, 0, 0] == 125


def test_search_keeps_its_rules(captioner: Trained, scenes: Path) -> None:
    model = captioner("images")
    image = scenes / "images" / "24.png"
    short = model.predict(image, max_words=2)
    assert len(short.captions[0].words) == 2
    with torch.no_grad():
        model.network.output.bias[2:] += torch.tensor([9.0] + [0.0] * (len(model.output.words.words) - 1))
        model.network.output.bias[1] += 100
    repeated = model.predict(image, max_words=6)
    assert "?" not in repeated.captions[0].words
    assert len(set(repeated.captions[0].words)) < 6
    once = model.predict(image, max_words=6, no_repeat_ngram=1)
    assert len(set(once.captions[0].words)) == len(once.captions[0].words)
    wide = model.predict(image, n=7)
    assert len(wide.captions) == 7
    with pytest.raises(ArgumentError, match="n: expected at most the beam's 2"):
        model.predict(image, n=3, beam_size=2)


def test_a_wide_beam_is_exhaustive_search(captioner: Trained, scenes: Path) -> None:
    model = captioner("features")
    features = np.load(scenes / "features.npz", allow_pickle=False)["features"]
    image = torch.from_numpy(features[24:25])
    search = Search(400, 0.0, n_best=5, max_tokens=3, may_be_empty=False, exact=True)
    (found,) = search_all(model, [{"image": features[24]}], search)
    words = range(2, model.output.words.vocabulary_size)
    every = [[w] for w in words] + [[w, v] for w in words for v in words]
    scored = []
    for caption in every:
        tokens, targets = torch.tensor([[0, *caption]]).t(), torch.tensor([[*caption, 0]]).t()
        with torch.no_grad():
            logits, _ = model.network(image, tokens)
        scored.append((float(logits.log_softmax(-1).gather(2, targets.unsqueeze(2)).sum()), (*caption, 0)))
    best = sorted(scored, reverse=True)[:5]
    assert [h.tokens for h in found] == [tokens for _, tokens in best]
    assert [h.log_prob for h in found] == pytest.approx([score for score, _ in best], abs=1e-4)


def test_ten_steps_are_always_the_same(scenes: Path, tmp_path: Path) -> None:
    learn(scenes, tmp_path / "m", steps=10, options={"margin": 1.2, "mirror": True, "dropout": 0.2})
    assert losses(tmp_path / "m") == pytest.approx(GOLDEN, rel=5e-3)


GOLDEN = [2.3929, 2.2909, 2.2266, 2.0928, 2.0136, 1.9305, 1.861, 1.8242, 1.7709, 1.7205]


def test_a_resumed_run_is_an_uninterrupted_one(scenes: Path, tmp_path: Path) -> None:
    options = {"margin": 1.2, "mirror": True, "dropout": 0.2, "image_dropout": 0.2}
    given = {"options": options, "schedule": "constant"}
    learn(scenes, tmp_path / "whole", steps=7, **given)
    learn(scenes, tmp_path / "parts", steps=4, **given)
    learn(scenes, tmp_path / "parts", steps=7, resume=True, **given)
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")


def test_saved_elsewhere_it_is_whole(captioner: Trained, scenes: Path, tmp_path: Path) -> None:
    model = captioner("images")
    before = model.evaluate(scenes / "dev.txt")
    load(model.folder or "").save(tmp_path / "copy")
    after = load(tmp_path / "copy").evaluate(scenes / "dev.txt")
    assert (after.metrics, after.baseline) == (before.metrics, before.baseline)
    with pytest.raises(ArgumentError, match="can't be streamed"):
        model.stream()


def test_a_batch_holds_what_examples_say(captioner: Trained, scenes: Path) -> None:
    model = captioner("images")
    task, vocabulary = Caption(), model.output.words
    words = ["a red box", "the box"]
    example = {
        "image": np.zeros((12, 12, 3), np.uint8),
        "words": np.concatenate([vocabulary.encode(w) for w in words]),
        "lengths": np.array([3, 2], np.int32),
    }
    data = task.collate(model, [example, example], None)
    assert data["previous"].shape == (4, 4)
    assert vocabulary.decode(data["previous"][1:, 0].tolist()) == "A red box."
    assert data["targets"][:, 1].tolist() == [*vocabulary.encode(words[1]).tolist(), 0, -100]
    assert data["target_lengths"].tolist() == [4, 3, 4, 3]
    assert data["target_rows"].tolist() == [0, 0, 1, 1]
    present = {
        vocabulary.words[n - 2]: float(p) for n, p in zip(model.output.attributes, data["present"][0], strict=True)
    }
    assert present["red"] == 0.5
    assert present.get("green") == 0.0
    drawn = task.collate(model, [example, example], np.random.default_rng(0))
    assert len(drawn["target_rows"]) == 4


def test_attributes_are_words_of_some_images() -> None:
    captions = [["a dog", "A red dog."]] * 6 + [["a cat"]] * 12
    vocabulary = WordTokenizer(["a", "cat", "dog", "red"])
    # "a" is everywhere and "cat" in two thirds of the images
    assert [vocabulary.words[n - 2] for n in frequent_words(captions, vocabulary, 9)] == ["dog", "red"]
    assert len(frequent_words(captions, vocabulary, 1)) == 1


# What may be wrong


def test_an_image_that_can_not_be_read_is_named_or_left_out(scenes: Path, tmp_path: Path) -> None:
    data = make_scenes(tmp_path / "scenes", 24)
    (data / "images" / "3.png").write_bytes((data / "images" / "3.png").read_bytes()[:60])
    with pytest.raises(DataError, match=r"images/3\.png: "):
        learn(data, tmp_path / "m", steps=1)
    model = learn(data, tmp_path / "m", steps=1, options={"skip_bad": True})
    assert model.config.data["train_examples"] == 11
    with pytest.raises(DataError, match=r"images/3\.png: "):
        model.evaluate(data / "train.txt", skip_bad=False)
    assert model.evaluate(data / "train.txt").metrics["images"] == 11


def test_the_check_finds_what_ruins_runs(tmp_path: Path) -> None:
    data = make_scenes(tmp_path / "scenes", 24)
    (data / "images" / "3.png").write_bytes(b"\x89PNG none")
    lines = (data / "train.txt").read_text()
    twice = "1.png#7\ta Green BOX is right\n"
    (data / "train.txt").write_text(lines + twice + "99.png#0\tnothing\nno tab here\n2.png#3\t...\n")
    (data / "dev.txt").write_text("0.png#0\tagain\n")
    task, findings = task_named("caption"), Findings(strict=False)
    options = task.options(images=str(data / "images"))
    task.check(Sources((data / "train.txt",), (data / "dev.txt",)), options, findings, silent)
    kinds = {(item.severity, item.kind) for item in findings.items}
    assert {
        ("error", "missing image"),
        ("error", "malformed"),
        ("error", "empty"),
        ("error", "unreadable"),
        ("warning", "leak"),
        ("warning", "duplicate caption"),
    } <= kinds
    assert any(item.line == 26 and item.kind == "missing image" for item in findings.items)


def test_inputs_of_another_kind(captioner: Trained, scenes: Path) -> None:
    features = np.load(scenes / "features.npz", allow_pickle=False)["features"]
    with pytest.raises(ShapeError, match="this model reads features, not images"):
        captioner("features").predict(np.zeros((12, 12, 3), np.uint8))
    with pytest.raises(ArgumentError, match=r"reads features, arrays of \(4, 3\), found 'a/photo.png'; hand over"):
        captioner("features").predict("a/photo.png")
    with pytest.raises(ShapeError, match=r"features: expected shape \(P=4, F=3\)"):
        captioner("features").predict(features[0, :2])
    with pytest.raises(DataError, match="not an image"):
        captioner("images").predict(str(scenes / "dev.txt"))
    with pytest.raises(DataError, match=r"no image '24\.png' in"):
        captioner("images").evaluate(scenes / "dev.txt", images=str(_one(scenes)))


def _one(scenes: Path) -> Path:
    folder = scenes / "one"
    folder.mkdir(exist_ok=True)
    (folder / "7.png").write_bytes((scenes / "images" / "7.png").read_bytes())
    return folder


def test_features_of_several_shapes_or_kinds_are_refused(scenes: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    task = Caption()
    common: dict[str, Any] = {"captions": ("a box",), "digest": "x"}
    from unrolled.data.images.captions import CaptionedImage

    some = [CaptionedImage(name=str(n), features=draw.random((n, 3), dtype=np.float32), **common) for n in (2, 3)]
    with pytest.raises(DataError, match="features of different shapes"):
        task.fit(some, task.options(), silent)
    with pytest.raises(DataError, match="give all the same way"):
        task.fit([some[0], CaptionedImage(name="i", **common)], task.options(), silent)
    with pytest.raises(DataError, match="no word occurs 9 times"):
        task.fit(some[:1], task.options(min_count=9), silent)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("words.json", '{"words": ["a", "a"], "attributes": []}'),
        ("words.json", "[]"),
        ("images.json", "{}"),
        ("images.json", '{"features": {"mean": [1], "std": [], "positions": 1}}'),
        ("baseline.json", '{"caption": []}'),
    ],
)
def test_a_damaged_model_is_named(captioner: Trained, scenes: Path, tmp_path: Path, file: str, content: str) -> None:
    load(captioner("images").folder or "").save(tmp_path / "m")
    without_digests(tmp_path / "m")
    (tmp_path / "m" / file).write_text(content)
    with pytest.raises(ModelError, match=f"{file}: corrupt"):
        load(tmp_path / "m").evaluate(scenes / "dev.txt")


@pytest.mark.parametrize(
    "fitted", [{"beam_size": 0}, {"beam_size": "x"}, {"length_penalty": -1}, {"length_penalty": None}]
)
def test_fitted_values_of_a_stranger_are_checked(captioner: Trained, tmp_path: Path, fitted: dict[str, Any]) -> None:
    load(captioner("images").folder or "").save(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    config = json.loads(path.read_text())
    config["fitted"] |= fitted
    path.write_text(json.dumps(config))
    without_digests(tmp_path / "m")
    with pytest.raises(ModelError, match=next(iter(fitted))):
        load(tmp_path / "m")


def test_features_survive_their_file(captioner: Trained, tmp_path: Path) -> None:
    task, parts = Caption(), captioner("features").parts
    task.save_parts(parts, tmp_path)
    again = task.load_parts(tmp_path)
    assert isinstance(again.input.format, FeatureFormat)
    assert (again.input.format, again.input.format.positions) == (parts.input.format, 4)
    assert again.output.words.words == parts.output.words.words


def test_a_few_images_of_flickr8k(real_data: Path, tmp_path: Path) -> None:
    images = real_data / "flickr8k" / "images_128.zip"
    if not images.is_file():
        pytest.skip("no Flickr8k here")
    import gzip

    lines = gzip.decompress((images.parent / "Flickr8k.token.txt.gz").read_bytes()).decode().splitlines()
    (tmp_path / "some.txt").write_text("\n".join(lines[:60]) + "\n")
    options = {**TINY, "images": str(images), "image_size": 24, "batch_size": 4, "holdout": 0.3}
    model = train("caption", tmp_path / "some.txt", tmp_path / "m", options=options, steps=2, **FAST)
    found = model.evaluate(tmp_path / "some.txt")
    assert found.metrics["images"] == 12
    assert 0 < found.baseline["bleu1"] < 1
