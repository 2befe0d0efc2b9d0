"""`transcribe` while it learns: flat start, resumption, and all that may be wrong with its data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.strangers import without_digests

from unrolled.data import Findings
from unrolled.data.sound.files import Sound, read_sound
from unrolled.errors import ArgumentError, DataError, ModelError, StorageError
from unrolled.tasks import Model, Sources, load, task_named
from unrolled.tasks.core.values import silent
from unrolled.tasks.inputs.spans import active_spans

from .speech_data import RATE, learn, losses, make_corpus, make_trained, manifest, save, spoken


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    return make_trained(corpus, tmp_path_factory.mktemp("models"))


# The course of training


def test_speech_is_found_between_silences() -> None:
    frames = torch.full((12, 2, 3), -8.0)
    frames[3:7, 0] = 1.0
    frames[7, 0] = -6.0
    # beyond the end of the second there is only padding
    frames[1:5, 1] = 0.0
    frames[5:, 1] = float("nan")
    assert active_spans(frames.mean(2), torch.tensor([12, 5])).tolist() == [[3, 7], [1, 5]]
    # of silence, everything
    assert active_spans(torch.zeros(4, 1), torch.tensor([4])).tolist() == [[0, 4]]


def test_a_flat_start_lasts_as_long_as_was_planned(corpus: Path, tmp_path: Path) -> None:
    plain = learn(corpus, tmp_path / "none", options={"flat_start": 0}, steps=4, schedule="constant")
    flat = learn(corpus, tmp_path / "two", options={"flat_start": 2}, steps=4, schedule="constant")
    usual = learn(corpus, tmp_path / "usual", steps=30)
    found = [int(model.config.batching["flat_start"]) for model in (plain, flat, usual)]
    assert found == [0, 2, 3]
    # the even alignment is worth less than ln K + smoothing a step, CTC's first losses are more than that a unit
    first, second = losses(tmp_path / "none"), losses(tmp_path / "two")
    assert max(second[:2]) < 2.5 < min(first[:2])
    assert min(second[2:]) > 2.5


def test_a_flat_start_leaves_time_for_ctc(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrolled.tasks.core.plan.updates_per_second", lambda *_: 5.0)
    model = learn(corpus, tmp_path / "m", minutes=0.04, steps=None)
    assert model.config.batching["flat_start"] == 1


def test_overfits_a_tiny_batch(corpus: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (corpus / "train.jsonl").read_text().splitlines()][:3]
    path = manifest(tmp_path / "three.jsonl", [(str(corpus / row["audio"]), row["text"]) for row in rows])
    learn(corpus, tmp_path / "m", path=path, dev=path, steps=90, options={"augment": False, "units": "characters"})
    found = losses(tmp_path / "m")
    assert found[0] > 2
    assert found[-1] < 0.05


def test_the_first_ten_steps_are_as_they_were(corpus: Path, tmp_path: Path) -> None:
    learn(corpus, tmp_path / "m", options={"flat_start": 0}, steps=10, schedule="constant", lr=0.005)
    assert losses(tmp_path / "m") == pytest.approx(GOLDEN, rel=5e-3)


GOLDEN = [4.3148, 4.8707, 4.4516, 2.8299, 1.7861, 1.5642, 1.5335, 1.4304, 1.4365, 1.4418]


def test_resumed_equals_uninterrupted(corpus: Path, tmp_path: Path) -> None:
    # stopped in the middle of the flat start
    options = {"dropout": 0.2, "noise": 0.5, "hide_time": 0.2, "hide_bands": 0.2, "flat_start": 7}
    given: dict[str, Any] = {"schedule": "constant", "save_every": 2, "averaging": "ema", "options": options}
    learn(corpus, tmp_path / "whole", steps=10, **given)
    learn(corpus, tmp_path / "parts", steps=5, **given)
    learn(corpus, tmp_path / "parts", steps=10, resume=True, **given)
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_model_saved_elsewhere_is_the_same(trained: Callable[[str], Model], corpus: Path, tmp_path: Path) -> None:
    model = trained("words")
    model.save(tmp_path / "copy")
    copy = load(tmp_path / "copy")
    path = corpus / "dev1.wav"
    assert copy.predict(path) == model.predict(path)
    assert copy.evaluate(corpus / "dev.jsonl").baseline == model.evaluate(corpus / "dev.jsonl").baseline
    labels = without_digests(tmp_path / "copy") / "labels.json"
    whole = json.loads(labels.read_text())
    for change in ({"vocabulary": ["", "do", "do"]}, {"stride": "3"}, {"units": "syllables"}, {"mel": {"rate": 8000}}):
        labels.write_text(json.dumps({**whole, **change}))
        with pytest.raises(ModelError, match=r"labels\.json: corrupt"):
            load(tmp_path / "copy")
    labels.write_text(json.dumps({**whole, "stride": 2}))
    with pytest.raises(ModelError, match="made for other bands and stride than 16 and 2"):
        load(tmp_path / "copy")


# What may be wrong with the data


def check(train_path: Path, dev: Path | None = None, **options: Any) -> tuple[list[tuple[str, str]], list[str]]:
    task = task_named("transcribe")
    findings = Findings(strict=False)
    sources = Sources((train_path,), () if dev is None else (dev,))
    task.check(sources, task.options(**options), findings, lambda *told: None)
    return [(item.severity, item.kind) for item in findings.items], [str(item) for item in findings.items]


def test_the_check_finds_it_and_training_names_or_skips_it(corpus: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(6)
    good = [json.loads(line) for line in (corpus / "train.jsonl").read_text().splitlines()][:8]
    rows = [(str(corpus / row["audio"]), row["text"]) for row in good]
    save(tmp_path / "stereo.wav", np.stack([spoken(["do"], draw)] * 2, 1))
    save(tmp_path / "fast.wav", spoken(["do"], draw, 16000), 16000)
    save(tmp_path / "silent.wav", np.zeros(4000))
    save(tmp_path / "short.wav", np.zeros(100))
    save(tmp_path / "full.wav", spoken(["re"], draw))
    (tmp_path / "torn.wav").write_bytes((corpus / "train0.wav").read_bytes()[:300])
    rows += [("stereo.wav", "do"), ("fast.wav", "do"), ("silent.wav", "do"), ("short.wav", "re")]
    rows += [("torn.wav", "re"), ("full.wav", "do re mi do re mi " * 20), ("silent.wav", "")]
    path = manifest(tmp_path / "m.jsonl", rows)
    dev = manifest(tmp_path / "dev.jsonl", [("full.wav", "fa"), (str(corpus / "dev0.wav"), "do")])
    found, texts = check(path, dev, units="words")
    assert sorted(found) == sorted(
        [
            ("error", "unreadable sound"),
            ("error", "unusable sound"),
            ("error", "too short"),
            ("warning", "empty"),
            ("warning", "leak"),
            ("warning", "several channels"),
            ("warning", "another rate"),
            ("warning", "silent"),
            ("warning", "silent"),
            ("warning", "unseen unit"),
        ]
    )
    joined = "\n".join(texts)
    assert f"{path}:13: error: {tmp_path / 'torn.wav'}: cut short" in joined
    assert f"{path}:12: error: {tmp_path / 'short.wav'}: sound: 12 ms are too short" in joined
    assert f"{path}:14: error: " in joined
    assert "120 words need 120 steps of CTC, and 0.2" in joined
    assert f"{dev}:1: warning: 'fa' never occurs" in joined
    with pytest.raises(DataError, match=r"m\.jsonl:13: .*torn\.wav: cut short"):
        learn(corpus, tmp_path / "m", path=path)
    assert not (tmp_path / "m").exists()
    model = learn(corpus, tmp_path / "m", path=path, options={"skip_bad": True, "units": "words"})
    assert model.config.data["train_examples"] == 12
    with pytest.raises(DataError, match=r"torn\.wav"):
        model.evaluate(path, skip_bad=False)
    # a text too long to be spelled counts as errors
    assert model.evaluate(path).metrics["texts"] == 13


def test_a_text_longer_than_its_sound_ends_training(corpus: Path, tmp_path: Path) -> None:
    path = manifest(
        tmp_path / "m.jsonl", [(str(corpus / "train0.wav"), "do re " * 99), (str(corpus / "train1.wav"), "do")]
    )
    with pytest.raises(DataError, match=r"m\.jsonl:1: 198 words need 198 steps of CTC"):
        learn(corpus, tmp_path / "m", path=path, options={"units": "words"})


@pytest.mark.parametrize(
    "rows, says",
    [
        ([], "empty"),
        ([("train0.wav", ""), ("train1.wav", "…")], "no text in any of the training data's transcripts"),
        ([("train0.wav", "do")], "1 example of one input"),
    ],
)
def test_too_little(corpus: Path, tmp_path: Path, rows: list[tuple[str, str]], says: str) -> None:
    path = manifest(tmp_path / "m.jsonl", [(str(corpus / a), t) for a, t in rows])
    with pytest.raises(DataError, match=says):
        learn(corpus, tmp_path / "m", path=path, dev=())
    assert not (tmp_path / "m").exists()


def test_evaluation_of_nothing(trained: Callable[[str], Model], corpus: Path, tmp_path: Path) -> None:
    path = manifest(tmp_path / "m.jsonl", [(str(corpus / "dev0.wav"), "...")])
    with pytest.raises(DataError, match="no word in any transcript"):
        trained("words").evaluate(path)
    with pytest.raises(StorageError, match="no such file"):
        trained("words").evaluate(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    "options, names",
    [
        ({"units": "syllables"}, "--units"),
        ({"stride": 0}, "--stride"),
        ({"rate": 100}, "--rate"),
        ({"bands": 200, "rate": 8000}, "bands: 200"),
        ({"speed": 2.0}, "--speed"),
        ({"dropout": 1.0}, "--dropout"),
    ],
)
def test_options_out_of_range(corpus: Path, tmp_path: Path, options: dict[str, Any], names: str) -> None:
    with pytest.raises(ArgumentError, match=names):
        learn(corpus, tmp_path / "m", options=options)
    assert not (tmp_path / "m").exists()


def test_units_and_stride_are_chosen_by_the_data(corpus: Path, tmp_path: Path) -> None:
    task = task_named("transcribe")
    read = task.read((corpus / "train.jsonl",), task.options(), Findings())  # type: ignore[attr-defined]
    fit = task.fit  # type: ignore[attr-defined]
    whole = fit(read, task.options(), silent)
    assert (whole.output.spelling.units, whole.input.format.stride) == ("words", 3)
    few = fit(read[:3], task.options(), silent)
    assert few.output.spelling.units == "characters"
    long = manifest(tmp_path / "long.jsonl", [(str(corpus / f"train{n}.wav"), "abcdefghijk" * 2) for n in range(4)])
    dense = fit(task.read((long,), task.options(), Findings()), task.options(), silent)  # type: ignore[attr-defined]
    assert dense.input.format.stride < 3


def test_per_utterance_features(corpus: Path, tmp_path: Path) -> None:
    model = learn(corpus, tmp_path / "m", options={"per_utterance": True, "bidirectional": False})
    quiet = read_sound(corpus / "dev0.wav")
    frames = [model.input.format.frames(Sound(quiet.samples * scale, RATE)) for scale in (1.0, 0.5)]
    np.testing.assert_allclose(frames[0].mean(axis=0), 0, atol=1e-4)
    assert np.abs(frames[0] - frames[1]).max() < 0.6
    with pytest.raises(ArgumentError, match="standardises whole utterances; train one with --no-per-utterance"):
        model.stream()


def test_a_probe_says_what_each_step_is(trained: Callable[[str], Model], corpus: Path) -> None:
    model = trained("words")
    probe = model.probe(corpus / "dev0.wav")
    assert probe.logits().shape == (len(probe.steps), 4)
    assert len(probe.vectors()) == len(probe.steps)
    said = [probe.classes(int(k)) for k in probe.targets]
    assert model.predict(corpus / "dev0.wav").words[0].text in said
    assert "(blank)" in said
