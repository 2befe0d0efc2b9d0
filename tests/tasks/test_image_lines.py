"""A use that nobody thought of, declared here and nowhere else: a line of text as an image in, the text out by CTC."""

from __future__ import annotations

import base64
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from tests.serving.servers import running

from unrolled.data import Example, Findings
from unrolled.data.core.folders import Place
from unrolled.data.images.files import Picture, find_pictures, png
from unrolled.errors import DataError, ModelError, ShapeError
from unrolled.inspection import occlusion, unfold_network
from unrolled.settings import Settings
from unrolled.tasks import Model, Plan, Sources, load, task_named, train
from unrolled.tasks.core.examples import ExampleOptions, ExampleUse, Material
from unrolled.tasks.core.plan import plan_epochs
from unrolled.tasks.core.values import silent
from unrolled.tasks.inputs.image.encode import ImageInput
from unrolled.tasks.inputs.image.options import ImageOptions, ImagePrediction, Reading
from unrolled.tasks.outputs.text.ctc.encode import CTCOutput
from unrolled.tasks.outputs.text.ctc.options import CTCOptions, CTCPrediction
from unrolled.tasks.outputs.text.ctc.plan import flat_start

# The declaration


@dataclass(frozen=True, kw_only=True)
class Line(Example):
    """A line and its text."""

    given: Picture
    target: str


class LineOptions(ImageOptions, CTCOptions, ExampleOptions):
    """Options of training."""

    reading: Reading = "columns"


class LinePrediction(CTCPrediction, ImagePrediction):
    """How to predict."""


class Lines(ExampleUse[ImageInput, CTCOutput]):
    """A line of text as an image in, its text out."""

    name, summary, shape = "lines", "read a line of text", "synced many-to-many, unaligned"
    input, output = ImageInput, CTCOutput
    options, predict_options = LineOptions, LinePrediction
    evaluate_options: ClassVar[type[Settings]] = CTCOutput.evaluate_options

    def read(self, paths: tuple[Place, ...], options: Any, findings: Findings) -> Sequence[Example]:
        """Read folders of images, each with its text in a file of the same name beside it."""
        pictures = [picture for path in paths for picture in find_pictures(path)]
        texts = [picture.path.with_suffix(".txt").read_text("utf-8") for picture in pictures]
        pairs = zip(pictures, texts, strict=True)
        return [Line(path=str(picture.path), given=picture, target=text) for picture, text in pairs]

    def plan(self, material: Material[ImageInput, CTCOutput], options: Any, training: Mapping[str, Any]) -> Plan:
        """Take the same small network for any number of lines."""
        lines, batch_size = len(material.train), options.batch_size or 8
        chosen = plan_epochs(lines, batch_size, training, epochs=60, patience=20, lr=0.01, monitor="cer")
        network = {
            "reading": options.reading,
            "classes": len(material.parts.output.spelling.vocabulary),
            "cell": options.cell,
            "hidden_size": options.hidden_size or 32,
            "bidirectional": options.bidirectional,
        }
        start = flat_start(options.flat_start, lines, batch_size, chosen, lambda: 5.0)
        return Plan(network, chosen, {"batch_size": batch_size, "flat_start": start}, [f"{lines} lines"])


def test_it_is_declared_in_few_lines() -> None:
    parts = (Line, LineOptions, LinePrediction, Lines)
    assert sum(len(inspect.getsource(part).splitlines()) for part in parts) <= 60


# Lines


FONT = {
    "a": (" # ", "# #", "###", "# #", "# #"),
    "e": ("###", "#  ", "## ", "#  ", "###"),
    "l": ("#  ", "#  ", "#  ", "#  ", "###"),
    "n": ("## ", "# #", "# #", "# #", "# #"),
    "t": ("###", " # ", " # ", " # ", " # "),
    " ": ("  ",) * 5,
}
WORDS = ("tea", "late", "all", "net", "ten", "lean")


def drawn(text: str, seed: int = 0) -> np.ndarray:
    """A text in dark letters on a light ground with a little noise, (9, W) uint8."""
    draw = np.random.default_rng(seed)
    rows = [" ".join(FONT[letter][row] for letter in text) for row in range(5)]
    ink = np.array([[mark == "#" for mark in row] for row in rows])
    ink = np.pad(ink, ((2, 2), (int(draw.integers(2, 6)), int(draw.integers(2, 6)))))
    return np.asarray(np.where(ink, 40, 220) + draw.integers(-15, 16, ink.shape), np.uint8)


def write_lines(folder: Path, count: int, seed: int) -> Path:
    folder.mkdir()
    draw = np.random.default_rng(seed)
    for n in range(count):
        text = " ".join(str(word) for word in draw.choice(WORDS, size=int(draw.integers(1, 4))))
        (folder / f"{n:02}.png").write_bytes(png(drawn(text, 1000 * seed + n)[..., None]))
        (folder / f"{n:02}.txt").write_text(text, "utf-8")
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lines")
    write_lines(folder / "train", 60, 1)
    write_lines(folder / "dev", 12, 2)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A package whose entry point is the use."""
    site = tmp_path_factory.mktemp("site")
    about = site / "lines-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lines\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[unrolled.tasks]\nlines = {__name__}:Lines\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(site)])
        yield


@pytest.fixture(scope="module")
def model(corpus: Path, _installed: None) -> Model:
    """A causal model, as loaded from its folder. Not to be changed."""
    options = {"bidirectional": False, "units": "characters"}
    train("lines", corpus / "train", corpus / "m", dev=corpus / "dev", options=options, steps=300, seed=3)
    return load(corpus / "m")


# What is done with it


def test_it_learns_to_read(model: Model, corpus: Path) -> None:
    result = model.evaluate(corpus / "dev")
    assert result.metrics["texts"] == 12
    assert result.metrics["cer"] < 0.02
    assert result.baseline["cer"] > 0.4
    assert model.config.data["image"] == "9 × any width × 1"


def test_a_transcript_says_where_its_words_are(model: Model, corpus: Path) -> None:
    image = drawn("late net all", 77)
    found = model.predict(image, n_best=2)
    assert found.text == "late net all"
    assert str(found) == "input: late net all"
    edges = [word.begin for word in found.words] + [found.words[-1].end]
    assert edges == sorted(edges)
    assert edges[-1] <= image.shape[1]
    # letters are 4 columns apart, and the second word begins after 7 of them
    assert abs(found.words[1].begin - found.words[0].begin - 23) < 5
    assert all(edge == int(edge) for edge in edges)
    assert len(found.alternatives) == 2
    assert f"column {found.words[0].begin:g} – column" in found._repr_html_()
    assert "<img" in found._repr_html_()
    # an image of twice the size is read at the height that the network knows
    assert model.predict(image.repeat(2, 0).repeat(2, 1)).text == found.text
    path = corpus / "dev" / "00.png"
    assert model.predict([path, image])[1].text == found.text
    assert set(model.predict(path).as_json()) == {"image", "text", "words", "log_prob", "score", "alternatives"}


def test_neighbours_and_padding_change_nothing(model: Model) -> None:
    from unrolled.tasks.outputs.text.ctc.decode import log_probabilities

    encoded = [model.input.encode(model.input.given(drawn(text))) for text in ("tea", "late net all", "lean ten")]
    for together, one in zip(log_probabilities(model, encoded), encoded, strict=True):
        np.testing.assert_allclose(together, log_probabilities(model, [one])[0], atol=1e-4)


def test_columns_as_they_come(model: Model, tmp_path: Path) -> None:
    image = drawn("ten late tea", 5)
    whole = model.predict(image, beam_size=1)
    draw, session, words, at = np.random.default_rng(0), model.stream(), [], 0
    while at < image.shape[1]:
        size = int(draw.integers(1, 7))
        words += session.push(image[:, at : at + size].T)
        at += size
    assert [word.text for word in words] == ["ten", "late"]
    session.save(tmp_path / "state")
    words += session.finish()
    assert [(w.text, w.begin, w.end) for w in words] == [(w.text, w.begin, w.end) for w in whole.words]
    assert [w.confidence for w in words] == pytest.approx([w.confidence for w in whole.words], abs=1e-4)
    again = model.stream().load(tmp_path / "state")
    assert again.position == image.shape[1]
    assert again.transcript().words == tuple(words)
    with pytest.raises(ShapeError, match=r"rows: expected shape \(n, I=9\)"):
        again.push(image[:4].T)


def test_inside(model: Model, corpus: Path) -> None:
    assert model.probe(corpus / "dev" / "00.png", limit=5).note.startswith("the first ")
    image = drawn("net", 8)
    probe = model.probe(image)
    assert probe.steps[:2] == ("column 1", "column 2")
    assert len(probe.steps) == image.shape[1]
    unfolded = unfold_network(probe)
    assert unfolded.losses == pytest.approx(-probe.scores().detach().numpy(), rel=1e-4)
    said = [probe.classes(int(k)) for k in probe.targets]
    assert set(said) <= {"n", "e", "t", "(blank)"}
    drops = np.abs(occlusion(probe).values)
    assert len(drops) == len(probe.steps)
    assert drops.max() > 0


def test_served(model: Model, corpus: Path) -> None:
    image = drawn("all tea", 4)
    with running({"lines": corpus / "m"}) as server:
        about = server.ask("GET", "/v1/models/lines").json()
        assert (about["task"], about["streams"], about["view"]) == ("lines", True, "transcript")
        body = {"inputs": [{"image": base64.b64encode(png(image[..., None])).decode()}], "options": {"n_best": 2}}
        answer = server.ask("POST", "/v1/models/lines/predict", json=body).json()
        assert answer["predictions"][0]["words"] == [w.as_json() for w in model.predict(image).words]
        asked = {"input": body["inputs"][0]}
        inside = server.ask("POST", "/v1/models/lines/inspect", json=asked).json()
        assert inside["steps"][:2] == ["column 1", "column 2"]
        assert inside["refused"] == {}
        begun = server.ask("POST", "/v1/models/lines/streams", json={}).json()
        at = f"/v1/models/lines/streams/{begun['stream']}"
        first, second = (
            server.ask("POST", at, json={"rows": part.T.tolist()}).json() for part in (image[:, :12], image[:, 12:])
        )
        assert (first["position"], first["words"]) == (12, [])
        assert second["position"] == image.shape[1]
        assert [word["text"] for word in second["words"]] == ["all"]
        assert second["text"] == "all tea"


def test_what_may_be_wrong(corpus: Path, tmp_path: Path) -> None:
    task, folder = task_named("lines"), write_lines(tmp_path / "lines", 6, 3)
    (folder / "00.txt").write_text("tea" * 40, "utf-8")
    (folder / "01.png").write_bytes(b"no image")
    findings = Findings(strict=False)
    task.check(Sources((folder,), (corpus / "dev",)), task.options(units="characters"), findings, silent)
    errors = [str(item) for item in findings.items if item.severity == "error"]
    assert len(errors) == 2
    assert f"{folder / '01.png'}: error: not an image" in errors[0]
    assert "120 characters need 120 steps of CTC, and " in errors[1]
    assert "columns make " in errors[1]
    assert "a larger --image-size makes more columns" in errors[1]
    (folder / "01.png").write_bytes((folder / "02.png").read_bytes())
    with pytest.raises(DataError, match="120 characters need 120 steps of CTC"):
        train("lines", folder, tmp_path / "m", options={"units": "characters"}, steps=1)
    with pytest.raises(ModelError, match="the input 'image' is read as a whole, and a text is spelled step by step"):
        train("lines", corpus / "dev", tmp_path / "m", options={"reading": "image"}, steps=1)
