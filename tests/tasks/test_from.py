"""Training that goes on from an older model: weights taken over, entries added, the encoder left alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from unrolled import Model, load, train
from unrolled.errors import ArgumentError
from unrolled.tasks.core.start.base import ENCODER

STORED = sorted((Path(__file__).parents[1] / "models" / "v0.1").iterdir())
by_name = {path.name: path / "model" for path in STORED}
#: a step that changes nothing
STILL: dict[str, Any] = {"steps": 1, "lr": 1e-12, "weight_decay": 0.0, "sample_every": 0}
#: options that say where the data of a stored model is
READING = ("source", "target", "images", "annotations", "frame_height", "time_column", "units_per_second", "test_from",
           "known", "dev_from", "features", "sequence_column", "rate", "label_column")  # fmt: skip


def reading(stored: Path) -> dict[str, Any]:
    config = json.loads((stored / "model" / "config.json").read_text())
    options = {name: value for name, value in config["options"].items() if name in READING}
    if "images" in options:
        options["images"] = str(stored / "data" / "dev-images")
    return options


def go_on(stored: Path, out: Path, **given: Any) -> Model:
    files = json.loads((stored / "expected.json").read_text())["evaluation"]["files"]
    data = [stored / "data" / file for file in files]
    task = json.loads((stored / "model" / "config.json").read_text())["task"]
    dev = () if task == "forecast" else data
    return train(task, data, out, dev=dev, base=stored / "model", options=reading(stored), **{**STILL, **given})


@pytest.mark.parametrize("stored", STORED, ids=[path.name for path in STORED])
def test_every_task_begins_with_the_weights_of_the_older_model(stored: Path, tmp_path: Path) -> None:
    old = load(stored / "model").network.state_dict()
    model = go_on(stored, tmp_path / "m", freeze=True)
    new = model.network.state_dict()
    assert old.keys() == new.keys()
    for name, tensor in old.items():
        first = new[name][tuple(slice(0, size) for size in tensor.shape)]
        torch.testing.assert_close(first, tensor, rtol=0, atol=1e-6, msg=name)
    assert model.config.base["name"] == "model"
    assert "went on from the model `model`" in (tmp_path / "m" / "card.md").read_text()
    # it stands alone
    assert load(tmp_path / "m").network.state_dict().keys() == new.keys()


def write_reviews(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    return path


NEW = [
    (f"a {word} film number {n}", label) for word, label in (("superb", "pos"), ("so-so", "mixed")) for n in range(8)
]


def test_new_words_and_labels_come_behind_the_old_ones(tmp_path: Path) -> None:
    old = load(by_name["classify"])
    data = write_reviews(tmp_path / "new.tsv", NEW)
    model = train("classify", data, tmp_path / "m", dev=data, base=by_name["classify"], **{**STILL, "epochs": None})
    assert model.output.labels == (*old.output.labels, "mixed")
    assert model.input.words[: len(old.input.words)] == old.input.words
    assert "superb" in model.input.words[len(old.input.words) :]
    # before anything is learned, the old labels are told apart as they were
    for text in ("a great film", "The story was dull !"):
        before, after = (each.predict(text).probabilities for each in (old, model))
        assert (after["pos"] > after["neg"]) == (before["pos"] > before["neg"])
    assert model.config.training["lr"] == pytest.approx(1e-12)


def test_it_learns_at_a_lower_rate_and_says_what_it_forgets(tmp_path: Path) -> None:
    data = write_reviews(tmp_path / "new.tsv", NEW)
    old_data = STORED[[path.name for path in STORED].index("classify")] / "data" / "dev.tsv"
    fresh = train("classify", data, tmp_path / "fresh", dev=data, steps=1)
    folder = shutil.copytree(by_name["classify"], tmp_path / "older")
    model = train(
        "classify", data, tmp_path / "m", dev=data, base=folder, old_data=old_data, steps=60, sample_every=0, seed=1
    )
    shutil.rmtree(folder)
    assert model.config.training["lr"] == pytest.approx(0.3 * fresh.config.training["lr"])
    base = model.config.base
    assert base["before"]["accuracy"] == load(by_name["classify"]).evaluate(old_data).metrics["accuracy"]
    assert base["after"]["accuracy"] == pytest.approx(load(tmp_path / "m").evaluate(old_data).metrics["accuracy"])
    assert f"accuracy: {base['before']['accuracy']:.4f} → " in (tmp_path / "m" / "card.md").read_text()


def test_what_lies_in_the_older_folder_is_remembered_without_being_named(tmp_path: Path) -> None:
    data = write_reviews(tmp_path / "new.tsv", NEW)
    first = train("classify", data, tmp_path / "first", dev=data, steps=30, sample_every=0)
    second = train("classify", data, tmp_path / "second", dev=data, base=first, **STILL)
    assert second.config.base["before"]["loss"] == pytest.approx(first.config.result["dev"]["loss"], rel=1e-4)
    assert second.config.base["after"]["loss"] == pytest.approx(second.config.base["before"]["loss"], rel=1e-4)


def test_a_frozen_encoder_stays_and_the_rest_learns(tmp_path: Path) -> None:
    data = write_reviews(tmp_path / "new.tsv", NEW)
    old = load(by_name["classify"]).network.state_dict()
    model = train("classify", data, tmp_path / "m", dev=data, base=by_name["classify"], freeze=True, steps=20, lr=0.01)
    for name, tensor in model.network.state_dict().items():
        first = tensor[tuple(slice(0, size) for size in old[name].shape)]
        assert torch.equal(first, old[name]) == (name.partition(".")[0] in ENCODER), name


def test_a_run_that_goes_on_is_resumed_to_the_same_weights(tmp_path: Path) -> None:
    data = write_reviews(tmp_path / "new.tsv", NEW)

    def run(out: str, steps: int, **given: Any) -> Model:
        return train("classify", data, tmp_path / out, dev=data, base=base, schedule="constant", steps=steps, **given)

    base = shutil.copytree(by_name["classify"], tmp_path / "older")
    whole = run("whole", 6, lr=0.01, seed=3, freeze=True)
    run("parts", 3, lr=0.01, seed=3, freeze=True)
    parts = run("parts", 6, resume=True, freeze=True)
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(parts.network.state_dict()[name], tensor), name


def test_what_can_not_be_gone_on_from_is_refused(tmp_path: Path) -> None:
    data = write_reviews(tmp_path / "new.tsv", NEW)
    refusals: list[tuple[str, dict[str, Any]]] = [
        (r"--from: .* is a model for 'tag' \(words\)", {"base": by_name["tag-labels"]}),
        (r"--freeze: needs --from MODEL", {"freeze": True}),
        (r"--old-data: needs --from MODEL", {"old_data": [data]}),
        (r"--hidden-size: the older model has 5", {"base": by_name["classify"], "options": {"hidden_size": 7}}),
    ]
    for message, given in refusals:
        with pytest.raises(ArgumentError, match=message):
            train("classify", data, tmp_path / "m", steps=1, **given)
        assert not (tmp_path / "m").exists()
