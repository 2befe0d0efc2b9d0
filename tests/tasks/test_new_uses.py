"""Uses that nobody thought of, declared here and nowhere else: a class for a sound, and a class for rows of numbers.

Each is driven through training, evaluation, prediction, a stream, inspection and the server.
"""

from __future__ import annotations

import base64
import inspect
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.serving.servers import running

from unrolled.data import Example, Findings
from unrolled.data.core.folders import Place
from unrolled.inspection import occlusion
from unrolled.settings import Settings
from unrolled.tasks import Model, load, train
from unrolled.tasks.core.examples import ExampleOptions, ExampleUse
from unrolled.tasks.core.recurrent import RecurrentOptions
from unrolled.tasks.inputs.series.encode import RowsInput
from unrolled.tasks.inputs.series.options import RowsOptions
from unrolled.tasks.inputs.sound.encode import SoundInput
from unrolled.tasks.inputs.sound.options import SoundOptions
from unrolled.tasks.outputs.label.encode import LabelOutput
from unrolled.tasks.outputs.label.options import LabelOptions

from .speech_data import RATE, TONES, save, spoken

FAST: dict[str, Any] = {
    "steps": 40,
    "evaluate_every": 40,
    "save_every": 40,
    "sample_every": 0,
    "log_every": 20,
    "seed": 3,
}
CAUSAL: dict[str, Any] = {"bidirectional": False, "hidden_size": 16, "cell": "gru"}

# The declarations


@dataclass(frozen=True, kw_only=True)
class Labelled(Example):
    """Anything with a label."""

    given: Path | NDArray[np.float64]
    target: str

    @property
    def labels(self) -> tuple[str, ...]:
        return (self.target,)


class ToneOptions(LabelOptions, SoundOptions, RecurrentOptions, ExampleOptions):
    """Options of both parts."""


class Tones(ExampleUse[SoundInput, LabelOutput]):
    """A sound in, its class out."""

    name, summary, shape = "tones", "tell which tone a sound is", "many-to-one"
    input, output = SoundInput, LabelOutput
    options: ClassVar[type[Settings]] = ToneOptions
    evaluate_options: ClassVar[type[Settings]] = LabelOutput.evaluate_options

    def read(self, paths: tuple[Place, ...], options: Any, findings: Findings) -> Sequence[Example]:
        """Read a folder of sounds for each class."""
        files = [file for path in paths for file in sorted(path.glob("*/*.wav"))]
        return [Labelled(path=str(file), given=file, target=file.parent.name) for file in files]


class WaveOptions(LabelOptions, RowsOptions, RecurrentOptions, ExampleOptions):
    """Options of both parts."""


class Waves(ExampleUse[RowsInput, LabelOutput]):
    """Rows of numbers in, their class out."""

    name, summary, shape = "waves", "tell which way a wave goes", "many-to-one"
    input, output = RowsInput, LabelOutput
    options: ClassVar[type[Settings]] = WaveOptions
    evaluate_options: ClassVar[type[Settings]] = LabelOutput.evaluate_options

    def read(self, paths: tuple[Place, ...], options: Any, findings: Findings) -> Sequence[Example]:
        """Read arrays whose names begin with their class."""
        files = [file for path in paths for file in sorted(path.glob("*.npy"))]
        return [Labelled(path=str(file), given=np.load(file), target=file.stem.partition("-")[0]) for file in files]


def test_each_is_declared_in_few_lines() -> None:
    for parts in ((Labelled, ToneOptions, Tones), (Labelled, WaveOptions, Waves)):
        assert sum(len(inspect.getsource(part).splitlines()) for part in parts) <= 60


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A package whose entry points are the uses."""
    about = tmp_path_factory.mktemp("site") / "waves-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: waves\nVersion: 1.0\n")
    lines = [f"tones = {__name__}:Tones", f"waves = {__name__}:Waves"]
    (about / "entry_points.txt").write_text("\n".join(["[unrolled.tasks]", *lines, ""]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(about.parent)])
        yield


# A sound


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, draw = tmp_path_factory.mktemp("tones"), np.random.default_rng(0)
    for part, count in (("train", 8), ("dev", 3)):
        for word in TONES:
            (folder / part / word).mkdir(parents=True)
            for n in range(count):
                save(folder / part / word / f"{n}.wav", spoken([word], draw))
    return folder


@pytest.fixture(scope="module")
def hearer(tones: Path, _installed: None) -> Model:
    """As loaded from its folder. Not to be changed."""
    options = {**CAUSAL, "bands": 16}
    train("tones", tones / "train", tones / "m", dev=tones / "dev", options=options, lr=0.02, **FAST)
    return load(tones / "m")


def test_a_sound_has_a_class(hearer: Model, tones: Path) -> None:
    result = hearer.evaluate(tones / "dev")
    assert result.metrics["accuracy"] == 1.0
    assert result.baseline["model"] == "logistic regression on the mean and the spread of frames"
    prediction = hearer.predict(tones / "dev" / "re" / "0.wav")
    assert prediction.label == "re"
    assert prediction.as_json().keys() == {"seconds", "notes", "label", "probability", "probabilities"}
    assert sum(prediction.probabilities.values()) == pytest.approx(1)


def test_a_sound_is_heard_as_it_comes(hearer: Model) -> None:
    samples = spoken(["mi"], np.random.default_rng(7))
    whole = hearer.predict((samples, RATE))
    session = hearer.stream()
    for at in range(0, len(samples), 777):
        session.push(samples[at : at + 777])
    twin = session.fork()
    twin.finish()
    assert twin.probabilities() == pytest.approx(whole.probabilities, abs=1e-5)
    assert session.prediction().label == "mi"


def test_a_sound_is_looked_into(hearer: Model, tones: Path) -> None:
    probe = hearer.probe(tones / "dev" / "do" / "1.wav")
    assert probe.classes(int(probe.targets[0])) == "do"
    assert len(occlusion(probe).values) == len(probe.steps) > 3


def test_a_sound_is_served(hearer: Model, tones: Path) -> None:
    data = (tones / "dev" / "mi" / "2.wav").read_bytes()
    with running({"tones": tones / "m"}) as server:
        about = server.ask("GET", "/v1/models/tones").json()
        assert (about["task"], about["streams"], about["labels"]) == ("tones", True, ["do", "mi", "re"])
        body = {"inputs": [{"sound": base64.b64encode(data).decode()}]}
        [answer] = server.ask("POST", "/v1/models/tones/predict", json=body).json()["predictions"]
        assert answer["label"] == "mi"
        begun = server.ask("POST", "/v1/models/tones/streams", json={}).json()
        samples = spoken(["do"], np.random.default_rng(1)).astype("<f4").tobytes()
        push = {"samples": base64.b64encode(samples).decode(), "rate": RATE}
        said = server.ask("POST", f"/v1/models/tones/streams/{begun['stream']}", json=push).json()
        assert said["prediction"]["label"] == "do"
        assert len(said["steps"]) > 3
        asked = {"input": body["inputs"][0]}
        assert server.ask("POST", "/v1/models/tones/inspect", json=asked).json()["refused"] == {}


# Rows of numbers


def wave(name: str, draw: np.random.Generator) -> NDArray[np.float64]:
    """Return a place that rises or falls in steps of the same sizes, (T, 1)."""
    steps = np.abs(draw.normal(size=int(draw.integers(8, 20)))) * (1 if name == "up" else -1)
    return np.cumsum(steps)[:, None] + draw.normal() * 3


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, draw = tmp_path_factory.mktemp("waves"), np.random.default_rng(0)
    for part, count in (("train", 30), ("dev", 8)):
        (folder / part).mkdir()
        for n in range(count):
            for name in ("up", "down"):
                np.save(folder / part / f"{name}-{n}.npy", wave(name, draw))
    return folder


@pytest.fixture(scope="module")
def teller(waves: Path, _installed: None) -> Model:
    """As loaded from its folder. Not to be changed."""
    options = {**CAUSAL, "differences": True}
    train("waves", waves / "train", waves / "m", dev=waves / "dev", options=options, lr=0.03, **{**FAST, "steps": 80})
    return load(waves / "m")


def test_rows_have_a_class(teller: Model, waves: Path) -> None:
    assert teller.evaluate(waves / "dev").metrics["accuracy"] > 0.9
    rows = np.load(waves / "dev" / "down-0.npy")
    prediction = teller.predict(rows)
    assert prediction.label == "down"
    session = teller.stream()
    steps = [*session.push(rows[:3]), *session.push(rows[3:])]
    assert session.probabilities() == pytest.approx(prediction.probabilities, abs=1e-5)
    assert [step.step for step in steps[:2]] == ["1", "2"]
    probe = teller.probe(rows)
    assert len(occlusion(probe).values) == len(rows)


def test_rows_are_served(teller: Model, waves: Path) -> None:
    rows = np.load(waves / "dev" / "up-1.npy").tolist()
    with running({"waves": waves / "m"}) as server:
        answer = server.ask("POST", "/v1/models/waves/predict", json={"inputs": [{"features": rows}]}).json()
        assert answer["predictions"][0]["label"] == "up"
        begun = server.ask("POST", "/v1/models/waves/streams", json={}).json()
        at = f"/v1/models/waves/streams/{begun['stream']}"
        said = [server.ask("POST", at, json={"features": part}).json() for part in (rows[:4], rows[4:])]
        assert said[1]["position"] == len(rows)
        assert said[1]["prediction"]["label"] == "up"
