"""A label for each step, in uses that declare no more than what they read: rows of numbers, and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from unrolled.data import Example, Findings
from unrolled.data.core.folders import Place
from unrolled.errors import ArgumentError, DataError, ModelError
from unrolled.settings import Settings
from unrolled.tasks import Model, train
from unrolled.tasks.core.api import Bounds, api_of
from unrolled.tasks.core.examples import ExampleOptions, ExampleUse
from unrolled.tasks.core.recurrent import RecurrentOptions
from unrolled.tasks.core.values import silent
from unrolled.tasks.inputs.series.encode import RowsInput
from unrolled.tasks.inputs.series.options import RowsOptions
from unrolled.tasks.inputs.words.encode import WordsInput
from unrolled.tasks.inputs.words.options import WordsOptions
from unrolled.tasks.outputs.labels.encode import LabelsOutput
from unrolled.tasks.outputs.labels.options import LabelsOptions
from unrolled.tasks.outputs.labels.results import StepLabels

FAST: dict[str, Any] = {"steps": 60, "evaluate_every": 60, "save_every": 60, "sample_every": 0, "log_every": 60}
FAST |= {"lr": 0.03, "averaging": "none", "seed": 3}


# Rows of numbers


@dataclass(frozen=True, kw_only=True)
class Swing(Example):
    """A pendulum's places, and something else."""

    given: NDArray[np.float64]
    target: tuple[str | None, ...]


class SwingOptions(LabelsOptions, RowsOptions, RecurrentOptions, ExampleOptions):
    """Options of all parts."""


class Swings(ExampleUse[RowsInput, LabelsOutput[StepLabels]]):
    name, summary, shape = "swings", "tell where a pendulum moves to", "synced many-to-many"
    input, output = RowsInput, LabelsOutput
    options: ClassVar[type[Settings]] = SwingOptions

    def read(self, paths: tuple[Place, ...], options: Any, findings: Findings) -> Sequence[Example]:
        return [swing(path) for folder in paths for path in sorted(folder.glob("*.npy"))]


def swing(path: Path) -> Swing:
    rows = np.load(path)
    moves = np.diff(rows[:, 0], prepend=rows[:1, 0])
    # nothing is said of the first place
    return Swing(path=path.name, given=rows, target=(None, *np.where(moves[1:] > 0, "right", "left").tolist()))


@pytest.fixture(scope="module")
def swings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("swings")
    for n in range(8):
        np.save(folder / f"{n}.npy", np.stack([np.sin(np.arange(40) / 4 + n), np.cos(7.0 * np.arange(40))], 1))
    return folder


@pytest.fixture(scope="module")
def pendulum(swings: Path) -> Model:
    options = {"bidirectional": False, "differences": True, "hidden_size": 16}
    return train(Swings(), swings, swings / "model", options=options, **FAST)


def test_rows_get_labels(pendulum: Model, swings: Path) -> None:
    found = pendulum.evaluate(swings)
    assert found.metrics["accuracy"] > 0.9 > found.baseline["accuracy"] + 0.2
    # 8 × 40 steps, of which 8 are not said
    assert (found.metrics["steps"], pendulum.config.data["labels"]) == (312, 2)
    rows = np.load(swings / "3.npy")
    whole, session = pendulum.predict(rows), pendulum.stream()
    pieces = [*session.push(rows[:7]), *session.push(rows[7]), *session.push(rows[8:])]
    assert [(step.text, step.label) for step in pieces] == [(step.text, step.label) for step in whole.steps]
    assert [step.score for step in pieces] == pytest.approx([step.score for step in whole.steps], abs=1e-5)
    assert pendulum.predict(str(swings / "3.npy")).labels == whole.labels
    probe = pendulum.probe(rows)
    assert (probe.outputs[-1], probe.classes(int(probe.targets[-1]))) == ("40", whole.labels[-1])


def test_a_copy_of_the_model_answers_the_same(pendulum: Model, swings: Path, tmp_path: Path) -> None:
    use = Swings()
    use.save_parts(pendulum.parts, tmp_path)
    parts = use.load_parts(tmp_path)
    copy = Model(use, pendulum.config, parts, pendulum.network, tmp_path)
    rows = np.load(swings / "0.npy")
    assert copy.predict(rows) == pendulum.predict(rows)
    for name, content in (("labels.json", '["a", "a"]'), ("series.json", '{"width": 0}')):
        (tmp_path / name).write_text(content)
        with pytest.raises(ModelError, match=f"{name}: corrupt"):
            use.load_parts(tmp_path)


def test_long_rows_are_learned_in_pieces(tmp_path: Path) -> None:
    for n in range(2):
        np.save(tmp_path / f"{n}.npy", np.sin(np.arange(700)[:, None] / 4 + n))
    model = train(Swings(), tmp_path, tmp_path / "m", **{**FAST, "steps": 1})
    assert model.config.batching["window"] == 256
    assert len(model.predict(np.zeros((700, 1))).labels) == 700


def test_what_does_not_fit_is_named(pendulum: Model, swings: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="reads in both directions and can't be streamed"):
        train(Swings(), swings, tmp_path / "m", **{**FAST, "steps": 1}).stream()
    up, wide = (Swing(path="a.npy", line=3, given=np.zeros((2, n)), target=("up", None)) for n in (2, 3))
    with pytest.raises(DataError, match=r"a.npy: 3 features, and 2 are wanted"):
        Swings().fit([up, wide], SwingOptions(), silent)
    with pytest.raises(DataError, match=r"a.npy: one label, up: there is nothing to tell apart"):
        Swings().fit([up], SwingOptions(), silent)
    with pytest.raises(DataError, match=r"a.npy:3: label 'up' is unknown to the model, which has left, right"):
        Swings().to_evaluate(pendulum, [up], None, Findings())


# Words


@dataclass(frozen=True, kw_only=True)
class Sentence(Example):
    given: list[str]
    target: tuple[str, ...]


class WordOptions(LabelsOptions, WordsOptions, RecurrentOptions, ExampleOptions):
    """Options of all parts."""


class WordClasses(ExampleUse[WordsInput, LabelsOutput[StepLabels]]):
    name, summary, shape = "classes", "tell the class of words", "synced many-to-many"
    input, output = WordsInput, LabelsOutput
    options: ClassVar[type[Settings]] = WordOptions

    def read(self, paths: tuple[Place, ...], options: Any, findings: Findings) -> Sequence[Example]:
        pairs = [[pair.split("/") for pair in line.split()] for path in paths for line in path.read_text().splitlines()]
        return [
            Sentence(path="text", line=n, given=[word for word, _ in pair], target=tuple(label for _, label in pair))
            for n, pair in enumerate(pairs, 1)
        ]


@pytest.fixture(scope="module")
def grammar(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("words") / "text"
    nouns, verbs = ("dog", "cat", "bird", "cow"), ("sleeps", "sings", "runs")
    path.write_text("\n".join(f"the/DET {noun}/NOUN {verb}/VERB" for noun in nouns for verb in verbs))
    return train(WordClasses(), path, path.parent / "m", dev=path, options={"bidirectional": False}, **FAST)


def test_words_get_labels(grammar: Model) -> None:
    [found] = grammar.predict([["the", "cow", "sings"]])
    assert str(found) == "the/DET cow/NOUN sings/VERB"
    assert found.as_json()["steps"][1] == {
        "text": "cow", "start": 4, "end": 7, "label": "NOUN", "score": found.steps[1].score
    }  # fmt: skip
    assert found._repr_html_().count("<mark") == 3
    assert grammar.config.result["dev"]["accuracy"] == 1
    session = grammar.stream()
    assert [step.label for step in [*session.push("the dog ru"), *session.push("ns"), *session.finish()]] == [
        "DET", "NOUN", "VERB"
    ]  # fmt: skip
    probe = grammar.probe("the dog")
    assert (probe.steps, probe.synced, probe.classes(int(probe.targets[1]))) == (("the", "dog"), True, "NOUN")
    # the border between two sentences is read, and has no label
    lines = grammar.predict("the dog\nthe cat")
    assert [(step.text, step.start) for step in lines.steps] == [("the", 0), ("dog", 4), ("the", 8), ("cat", 12)]
    assert grammar.predict(["", "the"])[0].steps == ()


def test_both_are_served_by_the_halves_of_their_parts(grammar: Model, pendulum: Model) -> None:
    for model, given, pushed in (
        (grammar, "the dog sings", {"text": "the dog "}),
        (pendulum, {"features": [[0.0, 1.0], [0.5, 1.0]]}, {"features": [[0.0, 1.0], [0.5, 1.0]]}),
    ):
        api = api_of(model.task)
        read = api.read(model, api.Input.model_validate(given), Bounds())
        [prediction] = model.predict([read])
        api.Output.model_validate(api.answer(model, prediction, read))
        assert api.Push is not None
        assert api.Pushed is not None
        [answer] = api.push(model, [(api.open(model), api.Push.model_validate(pushed))])
        api.Pushed.model_validate(answer)
        assert [step["label"] for step in answer["steps"]] == list(prediction.labels[:2])
        assert sorted(api.labels(model)) == sorted(model.output.labels)
        assert api.read(model, api.Input.model_validate(api.example_of(model)["inputs"][0]), Bounds()) is not None
