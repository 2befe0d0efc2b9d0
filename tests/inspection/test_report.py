"""The report: what it says of each model is so, and it stands in one file and in a notebook."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.inspection.test_every_task import caption, generate, translated

from unrolled.inspection import attention_maps, unfold_network
from unrolled.inspection.document import UNITS, Report
from unrolled.inspection.report import inspect
from unrolled.tasks import Model, train
from unrolled.tasks.uses.translate import Translate

pytest.importorskip("matplotlib")


def data_of(page: str) -> dict[str, Any]:
    """What the interactive part is given."""
    found: dict[str, Any] = json.loads(re.search(r'id="unfolded">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
    return found


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A writer with more units than strips show."""
    folder = tmp_path_factory.mktemp("wide")
    (folder / "t.txt").write_text("to be or not to be\n" * 40)
    options = {"hidden_size": UNITS + 8, "num_layers": 1, "tokens": "char", "window": 16}
    return train("generate", folder / "t.txt", folder / "m", options=options, steps=1, sample_every=0, evaluate_every=0)


def test_norms_and_means_are_over_all_units_and_strips_say_that_they_are_not(wide: Model) -> None:
    report = inspect(wide, "not to be")
    page = report.as_html()
    [layer] = data_of(page)["layers"]
    h = report.unfolded.layers[0].values["h"]
    assert h.shape[1] == UNITS + 8
    assert len(layer["values"]["h"][0]) == UNITS
    assert layer["norms"] == pytest.approx(np.linalg.norm(h, axis=1), rel=5e-3)
    assert layer["means"]["h"] == pytest.approx(h.mean(1), rel=5e-3, abs=1e-9)
    assert f"Strips show the first {UNITS} units of a layer; norms and means are over all of them." in page
    assert data_of(page)["synced"] is True
    assert layer["activations"]["f"] == "sigmoid"


def test_a_small_network_is_shown_whole(tmp_path: Path) -> None:
    report = inspect(*generate(tmp_path))
    assert "Strips show" not in report.as_html()
    # every parameter has its row
    network = next(section for section in report.sections if section.name == "network")
    assert network.body.count("<tr>") == 1 + len(list(report.probe.network.named_parameters()))


def test_gradients_that_are_no_numbers_do_not_break_the_page(wide: Model) -> None:
    report = inspect(wide, "not to be")
    report.unfolded.layers[0].error_norms[0] = np.inf
    assert data_of(report.as_html())["layers"][0]["error_norms"][0] is None


def test_translations_show_where_the_network_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Translate.output, "fitted_on", 2)
    model, given = translated(tmp_path)
    report = inspect(model, given)
    [prediction] = model.predict([given])
    [found] = attention_maps(report.probe)
    assert found.outputs == report.probe.outputs
    assert found.places == report.probe.steps
    assert found.weights == pytest.approx(np.array(prediction.attention), abs=1e-5)
    assert found.weights.sum(1) == pytest.approx(np.ones(len(found.outputs)), abs=1e-5)
    assert report.arrays["attention"][0]["weights"] == found.weights.tolist()
    section = next(section for section in report.sections if section.name == "attention")
    assert "weights on the steps of the input, which sum to 1 for each output" in section.sentence
    page = report.as_html()
    assert '<section id="attention">' in page
    # the decoder is unfolded over the output
    assert {layer.over for layer in report.unfolded.layers} == {"input", "output"}
    names = [name for one in report.sections for name, _ in one.figures]
    assert {"unfolding", "unfolding-output", "attention-1"} <= set(names)
    assert len(names) == len(set(names))


def test_captions_show_where_in_the_image_the_network_looks(tmp_path: Path) -> None:
    model, given = caption(tmp_path)
    probe = model.probe(given)
    [found] = attention_maps(probe)
    assert found.grid == (6, 6)
    assert found.places[0] == "row 1, column 1"
    assert found.places[7] == "row 2, column 2"
    [prediction] = model.predict([given])
    maps = prediction.captions[0].attention
    assert found.weights[: len(maps)] == pytest.approx(maps.reshape(len(maps), -1), abs=1e-5)
    section = next(s for s in inspect(model, given).sections if s.name == "attention")
    assert "6 × 6 parts of the image" in section.sentence


def test_a_network_without_attention_has_no_such_section(wide: Model) -> None:
    report = inspect(wide, "not to be")
    assert attention_maps(report.probe) == []
    assert "attention" not in [section.name for section in report.sections]


def test_remedies_name_options_of_the_task_alone(tmp_path: Path) -> None:
    model, given = generate(tmp_path)
    probe = model.probe(given)
    assert probe.options is not None
    assert {"cell", "layer_norm", "window", "lr", "clip_norm"} <= probe.options
    translator = train.__globals__["task_named"]("translate")
    assert "layer_norm" not in translator.trained_with
    assert "window" not in translator.trained_with


class Frames(HTMLParser):
    """Collects what frames hold."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "iframe":
            self.frames.append(dict(attrs)["srcdoc"] or "")


def test_in_a_notebook_it_is_the_same_page_in_a_frame_of_its_own(wide: Model) -> None:
    report: Report = inspect(wide, 'to "be"')
    parser = Frames()
    parser.feed(report._repr_html_())
    assert parser.frames == [report.as_html()]
    assert html.unescape(html.escape(report.as_html())) == report.as_html()


def test_an_unfolding_of_exploding_gradients_is_written(wide: Model) -> None:
    with torch.no_grad():
        saved = {k: v.clone() for k, v in wide.network.state_dict().items()}
        wide.network.get_submodule("hidden").get_parameter("weight_hh_l0").mul_(1e3)
    try:
        report = inspect(wide, "not to be")
        assert data_of(report.as_html())["layers"]
        assert unfold_network(report.probe).layers[0].over == "input"
    finally:
        wide.network.load_state_dict(saved)
