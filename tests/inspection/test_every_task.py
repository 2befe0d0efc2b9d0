"""Every task's models can be looked into: what comes back is exact, whatever the shape of the network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.tasks import (
    forecast_data,
    label_data,
    speech_data,
    test_caption,
    test_classify,
    test_recognize,
    test_tag,
    test_translate,
)

from unrolled.errors import ArgumentError
from unrolled.inspection import gradient_flow, occlusion, saliency, unfold_network
from unrolled.inspection.recorded import record
from unrolled.layers import Recurrent
from unrolled.tasks import Model, task_names
from unrolled.tasks.outputs.text.attention import probe as attention
from unrolled.tasks.uses.translate import Translate

#: task → a tiny model of it, hardly trained, and an input
Made = tuple[Model, Any]


def classify(folder: Path) -> Made:
    (folder / "t.tsv").write_text(test_classify.reviews(24, 1))
    return test_classify.learn(folder / "t.tsv", folder / "m", options={"num_layers": 2}), "the film was good and long"


def tag(folder: Path) -> Made:
    (folder / "t.txt").write_text(test_tag.conll(24, 1))
    return test_tag.learn(folder / "t.txt", folder / "m"), "Anna lives in New York ."


def translated(folder: Path, **options: Any) -> Made:
    for name, seed in (("train", 1), ("dev", 2)):
        test_translate.write(folder, name, test_translate.sentences(20, seed))
    return test_translate.learn(folder, folder / "m", options={"attention": "general"} | options), "ein Hund rennt."


def fed_back(folder: Path) -> Made:
    return translated(folder, input_feeding=True, decoder_layers=2, cell="lstm")


def classify_without_votes(folder: Path) -> Made:
    (folder / "t.tsv").write_text(test_classify.reviews(24, 1))
    return test_classify.learn(folder / "t.tsv", folder / "m", options={"votes": False}), "the film was good"


def recognize(folder: Path) -> Made:
    for name, count, seed in (("train", 12, 1), ("dev", 6, 2)):
        images, labels = test_recognize.bars(count, seed)
        np.savez(folder / f"{name}.npz", images=images, labels=labels)
    return test_recognize.learn(folder, folder / "m", "rows"), images[0]


def caption(folder: Path) -> Made:
    data = test_caption.make_scenes(folder / "scenes")
    model = test_caption.learn(data, folder / "m", steps=3)
    return model, str(data / "images" / "0.png")


def label(folder: Path) -> Made:
    for part, seeds in (("train", range(3)), ("dev", range(20, 22))):
        (folder / part).mkdir()
        for seed in seeds:
            label_data.write_table(folder / part / f"{seed}.csv", seed, steps=30)
    options = {"time_column": "seconds"}
    model = label_data.learn(folder / "train", folder / "m", folder / "dev", options=options, epochs=1, sample_every=0)
    return model, str(folder / "dev" / "20.csv")


def transcribe(folder: Path) -> Made:
    draw = np.random.default_rng(0)
    rows = []
    for n, words in enumerate((["do"], ["re"], ["do", "re"], ["re", "do"])):
        speech_data.save(folder / f"{n}.wav", speech_data.spoken(words, draw))
        rows.append((f"{n}.wav", " ".join(words)))
    for name in ("train", "dev"):
        speech_data.manifest(folder / f"{name}.jsonl", rows)
    return speech_data.learn(folder, folder / "m"), str(folder / "2.wav")


def signal(folder: Path) -> Made:
    from unrolled.tasks import train

    x = np.sin(np.arange(300))
    rows = [{"x": value, "y": value**2} for value in x.tolist()]
    options = {"input": "x", "target": "y", "window": 32, "hidden_size": 8, "stride": 2}
    return train("signal", rows, folder / "m", options=options, steps=2, sample_every=0), x[:40]


def forecast(folder: Path, method: str = "direct") -> Made:
    (folder / "t.csv").write_text(forecast_data.wide())
    return forecast_data.learn(folder / "t.csv", folder / "m", options={"method": method}), str(folder / "t.csv")


def forecast_step_by_step(folder: Path) -> Made:
    return forecast(folder, "autoregressive")


def generate(folder: Path) -> Made:
    from unrolled.tasks import train

    (folder / "t.txt").write_text("to be or not to be\n" * 40)
    options = {"hidden_size": 12, "num_layers": 2, "tokens": "char", "window": 16}
    return train("generate", folder / "t.txt", folder / "m", options=options, steps=2, sample_every=0), "not to be"


MAKERS: dict[str, Callable[[Path], Made]] = {
    "generate": generate,
    "classify": classify,
    "tag": tag,
    "translate": translated,
    "recognize": recognize,
    "caption": caption,
    "label": label,
    "transcribe": transcribe,
    "signal": signal,
    "forecast": forecast,
}

#: models of other networks than their task's usual one
VARIANTS = {
    **MAKERS,
    "translate, fed back": fed_back,
    "classify without votes": classify_without_votes,
    "forecast, step by step": forecast_step_by_step,
}


def test_no_task_is_left_out() -> None:
    assert set(MAKERS) == set(task_names())


@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_seen_is_exact(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Translate.output, "fitted_on", 2)
    model, given = VARIANTS[name](tmp_path)
    probe = model.probe(given)
    recorded = record(probe)
    # no layer that is used goes unseen, and none shares its name
    used = {id(m) for m in model.network.modules() if isinstance(m, Recurrent)}
    used -= {id(m) for m in probe.input_layer.modules()}
    assert {id(call.layer) for call in recorded.calls} == used
    assert len({call.name for call in recorded.calls}) == len(recorded.calls)
    assert recorded.logits.shape[0] == len(probe.outputs) == len(probe.targets)
    assert len(probe.vectors()) == len(probe.steps)
    # the gradients of the weights, walked back by hand through every recurrent layer, are those of autograd
    objective = -probe.scores_of(recorded.logits).sum()
    flows = recorded.errors(objective)
    layers = {id(call.layer): call.layer for call in recorded.calls}
    for layer in layers.values():
        parameters = dict(layer.named_parameters())
        wanted = torch.autograd.grad(objective, list(parameters.values()), retain_graph=True)
        expected = dict(zip(parameters, wanted, strict=True))
        found: dict[str, torch.Tensor] = {}
        for call, flow in zip(recorded.calls, flows, strict=True):
            if call.layer is layer:
                for part in flow.layers:
                    for parameter, grad in part.dparams.items():
                        full = f"{parameter}_{part.name}"
                        found[full] = found[full] + grad if full in found else grad
        for full, grad in expected.items():
            scale = float(grad.abs().max()) or 1.0
            torch.testing.assert_close(found[full] / scale, grad / scale, rtol=1e-3, atol=1e-4, msg=f"{name} {full}")
    unfolded = unfold_network(probe)
    assert unfolded.losses == pytest.approx(-probe.scores().detach().numpy(), rel=1e-4)
    assert gradient_flow(probe, most=2).verdicts
    values = saliency(probe).values
    assert len(values) == len(probe.steps)
    assert values.max() > 0
    assert len(occlusion(probe).values) == len(probe.steps)
    for layer in unfolded.layers:
        assert len(layer.steps) == len(layer.error_norms)
    # of each output it is said what it is asked about, and its loss is of that
    assert unfolded.asked == tuple(map(probe.classes, probe.targets.tolist()))
    if name == "forecast":
        middles = [step[0] for step in unfolded.likeliest]
        assert [label for label, _ in middles] == ["quantile 0.5"] * len(probe.outputs)
        assert [-value for _, value in middles] == pytest.approx(unfolded.losses, rel=1e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_limit_is_kept_and_what_is_left_out_is_said(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Translate.output, "fitted_on", 2)
    model, given = VARIANTS[name](tmp_path)
    whole = model.probe(given)
    limit = min(2, len(whole.steps) - 1)
    cut = model.probe(given, limit=limit)
    assert cut.steps == whole.steps[-limit:]
    assert len(cut.vectors()) == limit
    assert f"the first {len(whole.steps) - limit} " in cut.note
    if "were read and are not shown" in cut.note:
        # what was read before leaves its state, so the outputs are the same
        same = len(cut.outputs)
        assert cut.outputs == whole.outputs[-same:]
        torch.testing.assert_close(cut.logits(), whole.logits()[-same:])


def test_inputs_are_where_the_network_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # "meta" stands for any device that is not the CPU; tensors there have no numbers, so nothing is run
    (tmp_path / "g").mkdir()
    writer, text = generate(tmp_path / "g")
    writer.network.to("meta")
    assert writer.probe(text).targets.device.type == "meta"
    (tmp_path / "c").mkdir()
    captioner, image = caption(tmp_path / "c")
    captioner.network.to("meta")
    searched: list[torch.Tensor] = []

    def search(network: Any, seen: torch.Tensor, *_: Any) -> list[Any]:
        searched.append(seen)
        return [[SimpleNamespace(tokens=(3, 4))]]

    monkeypatch.setattr(attention, "search_batch", search)
    monkeypatch.setattr(attention, "_probe_whole", lambda network, seen, *_: seen)
    seen = captioner.task.probe(captioner, image, 9)
    assert {searched[0].device.type, seen.device.type} == {"meta"}  # type: ignore[attr-defined]


def test_what_has_no_steps_says_how_to_get_them(tmp_path: Path) -> None:
    for name, count, seed in (("train", 12, 1), ("dev", 6, 2)):
        images, labels = test_recognize.bars(count, seed)
        np.savez(tmp_path / f"{name}.npz", images=images, labels=labels)
    whole = test_recognize.learn(tmp_path, tmp_path / "m", "image")
    with pytest.raises(ArgumentError, match="sees an image as a whole; train with --reading rows"):
        whole.probe(images[0])


def test_a_long_text_is_cut_and_says_so(tmp_path: Path) -> None:
    model, given = classify(tmp_path)
    probe = model.probe(given, limit=2)
    assert probe.steps == ("and", "long")
    assert probe.note == "the first 4 words are left out"
    with pytest.raises(ArgumentError, match="at least one word"):
        model.probe("  ")
    with pytest.raises(ArgumentError, match=r"(reads|expected) text, found int"):
        model.probe(3)
