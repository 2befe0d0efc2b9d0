"""A use of somebody else's package, found by its entry point, whose input is its own: the letter of a Morse signal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.running import unrolled
from tests.serving.servers import running

from unrolled.inspection import occlusion
from unrolled.tasks import load, task_names

LETTERS = {"A": ".-", "B": "-...", "E": ".", "N": "-.", "S": "...", "T": "-", "O": "---"}

USE = '''
from dataclasses import dataclass

from morse.signal.encode import SignalInput
from unrolled.data import Example
from unrolled.tasks.core.examples import ExampleOptions, ExampleUse
from unrolled.tasks.core.recurrent import RecurrentOptions
from unrolled.tasks.outputs.label.encode import LabelOutput
from unrolled.tasks.outputs.label.options import LabelOptions


@dataclass(frozen=True, kw_only=True)
class Sent(Example):
    given: str
    target: str

    @property
    def labels(self):
        return (self.target,)


class MorseOptions(LabelOptions, RecurrentOptions, ExampleOptions):
    """Options of training."""


class Morse(ExampleUse):
    name, summary, shape = "morse", "tell which letter a Morse signal is", "many-to-one"
    input, output = SignalInput, LabelOutput
    options, evaluate_options = MorseOptions, LabelOutput.evaluate_options

    def read(self, paths, options, findings):
        """Read lines of a letter and its signal."""
        lines = [(path, n, line.split()) for path in paths for n, line in enumerate(path.read_text().splitlines(), 1)]
        return [Sent(path=str(p), line=n, given=signal, target=letter) for p, n, (letter, signal) in lines]
'''

INPUT = '''
import numpy as np
import torch

from unrolled.data import lengths_of, padded
from unrolled.errors import ArgumentError
from unrolled.layers import Embedding
from unrolled.tasks.core import results
from unrolled.tasks.core.contract import Input
from unrolled.tasks.core.stream import Step, StepStream
from unrolled.tasks.core.values import InputSteps

MARKS = ".-"


class ShownSignal(results.Shown):
    signal: str


class SignalInput(Input[str]):
    """Dots and dashes."""

    name, reads, length_of, Shown = "signal", "text", "marks", ShownSignal
    features_are = "how many marks of each kind there are"

    @classmethod
    def fit(cls, examples, options, progress):
        return cls()

    @classmethod
    def load(cls, folder):
        return cls()

    def save(self, folder):
        """Nothing is fitted."""

    def given(self, value):
        if not isinstance(value, str) or set(value) - set(MARKS):
            raise ArgumentError(f"input: expected dots and dashes, found {value!r}")
        return value

    def encode(self, given, options=None):
        return {"marks": np.array([MARKS.index(mark) for mark in given], np.int64)}

    def collate(self, model, examples, draw=None):
        marks = [example["marks"] for example in examples]
        return {"marks": padded(marks), "lengths": lengths_of(marks)}

    def feed(self, data):
        return data["marks"], data["lengths"]

    def layer(self, network):
        return Embedding(len(MARKS), 4)

    def shown(self, given, arrays):
        return ShownSignal(signal=given)

    def features(self, examples):
        return np.array([np.bincount(e["marks"], minlength=2) for e in examples], np.float32)

    def steps(self, model, given, limit):
        return InputSteps(self.collate(model, [self.encode(given[-limit:])]), tuple(given[-limit:]), "", "")

    def stream(self, model):
        return SignalStream()


class SignalStream(StepStream):
    """Marks as they come."""

    position = 0

    def push(self, piece):
        first, self.position = self.position, self.position + len(piece)
        return [Step(torch.tensor([MARKS.index(m)]), m, n, n + 1) for n, m in enumerate(piece, first)]

    def resume(self, position, tensors, extra):
        self.position = position
'''

API = '''
from pydantic import RootModel

from unrolled.tasks.core import api


class Signal(RootModel[str]):
    """Dots and dashes."""


class More(api.Push):
    """More of a signal."""

    marks: str


class Api(api.InputApi):
    Input, Push, light = Signal, More, True
    example, push_example = {"inputs": ["..."]}, {"marks": "."}

    def read(self, model, given, bounds):
        return model.input.given(given.root)

    def piece(self, model, push):
        return model.input.given(push.marks)
'''


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The package, as an installer would leave it."""
    site = tmp_path_factory.mktemp("site")
    for path, text in (("__init__", USE), ("signal/__init__", ""), ("signal/encode", INPUT), ("signal/api", API)):
        file = site / "morse" / f"{path}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    about = site / "morse-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: morse\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[unrolled.tasks]\nmorse = morse:Morse\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(site)])
        patch.setenv("PYTHONPATH", str(site))
        yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "morse"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, _installed: None) -> Path:
    """A model, trained by the command."""
    folder = tmp_path_factory.mktemp("morse")
    (folder / "train.txt").write_text("".join(f"{letter} {signal}\n" for letter, signal in LETTERS.items()))
    options = ("--hidden-size", "16", "--no-bidirectional", "--steps", "150", "--lr", "0.03", "--dropout", "0")
    data = str(folder / "train.txt")
    done = unrolled("train", "morse", data, "--dev", data, "--out", str(folder / "m"), *options)
    assert done.code == 0, done.err
    return folder


def test_the_command_knows_it(folder: Path) -> None:
    assert "morse" in task_names()
    done = unrolled("predict", str(folder / "m"), "--", "...", "---")
    assert [line.split()[0] for line in done.out.splitlines()] == ["S", "O"]
    assert "accuracy" in unrolled("evaluate", str(folder / "m"), str(folder / "train.txt")).out
    wrong = unrolled("predict", str(folder / "m"), "x")
    assert (wrong.code, wrong.err) == (2, "unrolled: error: input: expected dots and dashes, found 'x'\n")


def test_it_streams_and_can_be_looked_into(folder: Path) -> None:
    model = load(folder / "m")
    assert all(model.predict(signal).label == letter for letter, signal in LETTERS.items())
    assert model.predict("-.").as_json()["signal"] == "-."
    session = model.stream()
    session.push("-")
    session.save(folder / "state")
    after = model.stream().load(folder / "state").push("...")
    assert [(step.step, step.start) for step in after] == [(".", 1), (".", 2), (".", 3)]
    assert after[-1].probabilities == pytest.approx(model.predict("-...").probabilities, abs=1e-5)
    assert len(occlusion(model.probe("-...")).values) == 4


def test_it_is_served(folder: Path) -> None:
    with running({"morse": folder / "m"}) as server:
        answer = server.ask("POST", "/v1/models/morse/predict", json={"inputs": [".-"]}).json()
        assert (answer["predictions"][0]["label"], answer["predictions"][0]["signal"]) == ("A", ".-")
        begun = server.ask("POST", "/v1/models/morse/streams", json={}).json()
        said = server.ask("POST", f"/v1/models/morse/streams/{begun['stream']}", json={"marks": "-"}).json()
        assert (said["position"], said["prediction"]["label"]) == (1, "T")
        assert server.ask("POST", "/v1/models/morse/inspect", json={"input": "..."}).json()["steps"] == [".", ".", "."]
