"""A text written by attention about an input that neither `translate` nor `caption` reads, declared in a few lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import BaseModel

from unrolled.data import Example
from unrolled.data.core.folders import Place
from unrolled.data.images.files import Picture, picture_of
from unrolled.errors import ArgumentError, ModelError
from unrolled.inspection import unfold_network
from unrolled.metrics.translation import translation_scores
from unrolled.tasks import Model, train
from unrolled.tasks.core.api import api_of
from unrolled.tasks.core.examples import ExampleOptions, ExampleUse
from unrolled.tasks.core.plan import plan_epochs
from unrolled.tasks.core.values import Plan
from unrolled.tasks.inputs.image.encode import ImageInput
from unrolled.tasks.inputs.image.options import ImageOptions, ImagePrediction
from unrolled.tasks.inputs.text.options import TokenOptions
from unrolled.tasks.inputs.text.tokens import TokenInput
from unrolled.tasks.outputs.text.attention.encode import AttentionOutput
from unrolled.tasks.outputs.text.attention.options import AttentionOptions, AttentionPrediction

SAID = {
    "down": ("the bar is low", "it lies far down"),
    "left": ("the bar is upright", "it stands at the left"),
    "up": ("the bar is high", "it lies far up"),
}


def bars(count: int, seed: int) -> tuple[np.ndarray[Any, Any], list[str]]:
    """Bright bars on black images (N, 10, 10), and where they are."""
    draw, images, labels = np.random.default_rng(seed), np.zeros((count, 10, 10), np.uint8), []
    for n, image in enumerate(images):
        labels.append(list(SAID)[n % 3])
        at, bright = draw.integers(1, 3), draw.integers(160, 255)
        if labels[-1] == "left":
            image[1:9, at : at + 2] = bright
        else:
            rows = slice(at, at + 2) if labels[-1] == "up" else slice(9 - at, 11 - at)
            image[rows, 1:9] = bright
    return images, labels


@dataclass(frozen=True, kw_only=True)
class Described(Example):
    given: Picture  # type: ignore[misc]
    target: tuple[str, ...]  # type: ignore[misc]

    @property
    def key(self) -> str:
        return self.given.digest


class DescribeOptions(AttentionOptions, ImageOptions, ExampleOptions):
    """How bars are described."""


class DescribePrediction(AttentionPrediction, ImagePrediction):
    """How a bar is described."""


class Describe(ExampleUse[ImageInput, AttentionOutput]):
    name: ClassVar[str] = "describe"
    summary: ClassVar[str] = "say where a bar is"
    shape: ClassVar[str] = "many-to-many"
    input, output = ImageInput, AttentionOutput
    options = DescribeOptions
    evaluate_options = AttentionOutput.evaluate_options
    predict_options = DescribePrediction

    def read(self, paths: tuple[Place, ...], options: Any, findings: Any) -> Sequence[Example]:
        images, labels = bars(*map(int, paths[0].read_text().split()))
        return [Described(given=picture_of(i), target=SAID[n]) for i, n in zip(images, labels, strict=True)]

    def plan(self, material: Any, options: Any, training: Any) -> Plan:
        network = {"reading": options.reading, "widths": [4, 6], "dropout": 0.0, "cell": options.cell}
        network |= {"hidden_size": 16, "embedding_size": 10}
        settings = plan_epochs(len(material.train), 12, training, epochs=20, patience=9, monitor="loss")
        return Plan(network, settings, {"batch_size": 12}, [])


@dataclass(frozen=True, kw_only=True)
class Spelled(Example):
    given: str  # type: ignore[misc]
    target: str  # type: ignore[misc]

    @property
    def key(self) -> str:
        return self.given


class SpellOptions(AttentionOptions, TokenOptions, ExampleOptions):
    """How words are spelled."""


class Spell(ExampleUse[TokenInput, AttentionOutput]):
    name: ClassVar[str] = "spell"
    summary: ClassVar[str] = "spell a word backwards"
    shape: ClassVar[str] = "many-to-many"
    input, output = TokenInput, AttentionOutput
    options = SpellOptions
    evaluate_options = AttentionOutput.evaluate_options
    predict_options = AttentionOutput.predict_options

    def read(self, paths: tuple[Place, ...], options: Any, findings: Any) -> Sequence[Example]:
        return [Spelled(given=word, target=word[::-1]) for word in paths[0].read_text().split()]


def test_a_text_is_read_token_by_token(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("abba anna bea cab dab ebb gab hab")
    options = {"tokens": "char", "units": "char", "hidden_size": 8, "embedding_size": 6, "bidirectional": False}
    model = train(Spell(), tmp_path / "t", tmp_path / "m", options=options, steps=2, evaluate_every=1)
    nothing, some = model.predict(["", "ab"])
    assert (nothing.source_tokens, nothing.attention) == ((), ((),) * len(nothing.target_tokens))
    assert some.source_tokens == ("a", "b")
    assert np.array(some.attention).shape == (len(some.target_tokens), 2)
    assert model.config.data["source_characters"] == model.config.data["target_characters"]
    with pytest.raises(ArgumentError, match="expected text, found float"):
        model.predict(3.5)
    probe = model.probe("abba", limit=3)
    assert (probe.steps, probe.note) == (("b", "b", "a"), "the first 1 tokens are left out")
    with pytest.raises(ArgumentError, match="at least one word"):
        model.probe("")
    again = Spell().load_parts(tmp_path / "m")
    assert again.input.tokenizer.fingerprint == model.input.tokenizer.fingerprint
    assert again.input.encode("cab")["source"].tolist() == model.input.encode("cab")["source"].tolist()


@pytest.fixture(scope="module", params=["image", "rows"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Looks at a grid and writes words, or reads rows and writes characters."""
    folder = tmp_path_factory.mktemp(request.param)
    for name, seed in (("train", 1), ("dev", 2)):
        (folder / name).write_text(f"{36 if name == 'train' else 12} {seed}")
    options = {"reading": request.param, "units": "words" if request.param == "image" else "char", "augment": False}
    return train(
        Describe(), folder / "train", folder / "m", dev=folder / "dev", options=options, lr=0.02, seed=3, steps=90,
        schedule="constant", evaluate_every=45, sample_every=45, averaging="none",
    )  # fmt: skip


def test_it_learns_to_describe(model: Model) -> None:
    folder = model.folder
    assert folder is not None
    outcome = model.evaluate(folder.parent / "dev")
    images, labels = bars(12, 2)
    written = model.predict(list(images))
    kept = [text.rstrip(".").lower() for text in (prediction.text for prediction in written)]
    right = sum(text in SAID[label] for text, label in zip(kept, labels, strict=True))
    assert right >= 10
    references = [list(SAID[label]) for label in labels]
    assert outcome.metrics["texts"] == 12
    assert outcome.metrics["bleu"] == pytest.approx(
        translation_scores([prediction.text for prediction in written], references)["bleu"]
    )
    assert outcome.metrics["perplexity"] == pytest.approx(np.exp(outcome.metrics["loss"]))
    assert outcome.baseline["model"].startswith("always ")
    assert outcome.baseline["chrf"] < outcome.metrics["chrf"]
    assert {"length_penalty", "dev_bleu"} == model.fitted.keys()
    assert "(people: " in (folder / "samples.md").read_text()


def test_predictions_say_what_was_looked_at(model: Model) -> None:
    image = bars(1, 5)[0][0]
    prediction = model.predict(image, n_best=3, beam_size=4)
    steps = 25 if model.config.network["reading"] == "image" else 10
    weights = np.array(prediction.attention)
    assert weights.shape == (len(prediction.target_tokens), steps)
    assert weights.sum(1) == pytest.approx(1, abs=1e-5)
    assert prediction.target_tokens[-1] == "</s>"
    assert prediction.candidates[0].text == prediction.text
    assert str(prediction) == f"input: {prediction.text}"
    answer = json.loads(json.dumps(prediction.as_json()))
    output: Any = api_of(model.task).Output
    assert output.model_validate(answer, strict=False).as_json() == answer
    # scores are those of the network
    ids = model.output.encode(prediction.text)["target"]
    with torch.no_grad():
        data = {
            **model.input.collate(model, [model.input.encode(model.input.given(image))]),
            **model.output.collate([{"target": ids}]),
        }
        scored = model.output.score(model.network, *model.input.feed(data), data)
    if model.output.tokenizer.kind == "char":
        assert float(scored.total) == pytest.approx(-prediction.log_prob, rel=1e-4)


def test_it_can_be_looked_into(model: Model) -> None:
    image = bars(1, 5)[0][0]
    if model.config.network["reading"] == "image":
        with pytest.raises(ArgumentError, match="sees an image as a whole"):
            model.probe(image)
        return
    probe = model.probe(image)
    assert probe.steps[0] == "row 1"
    assert probe.outputs[-1] == "(end)"
    assert len(unfold_network(probe).losses) == len(probe.outputs)


def test_it_is_served_and_streams_nothing(model: Model) -> None:
    api = api_of(model.task)
    assert (api.view or model.output.name, api.Push, api.Pushed) == ("text", None, None)
    assert issubclass(api.Output, BaseModel)
    with pytest.raises(ArgumentError, match="can't be streamed"):
        model.stream()


def test_its_files_are_checked(model: Model, tmp_path: Path) -> None:
    model.task.save_parts(model.parts, tmp_path)
    again = model.task.load_parts(tmp_path)
    assert again.output.tokenizer.fingerprint == model.output.tokenizer.fingerprint
    with pytest.raises(ModelError, match="--attention: 'hard' is not possible"):
        model.task.build({**model.config.network, "attention": "hard"}, model.parts)
    with pytest.raises(ModelError, match="no such setting: depth"):
        model.task.build({**model.config.network, "depth": 3}, model.parts)
    for fitted in ({"beam_size": 0}, {"beam_size": True}, {"length_penalty": "much"}, {"length_penalty": 11}):
        with pytest.raises(ArgumentError, match=next(iter(fitted))):
            model.task.check_fitted(fitted)
