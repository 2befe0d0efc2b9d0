"""Remedies: those alone that a model's task has, tried as its run went, refused before anything runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tasks import test_translate

from unrolled.errors import ArgumentError, ModelError
from unrolled.inspection import remedies
from unrolled.inspection.remedies import Tries, remedies_for
from unrolled.tasks import Model, load, train
from unrolled.tasks.uses.translate import Translate
from unrolled.training.gradients.verdict import judge

VANISHING = [0.5**k for k in range(20)]
EXPLODING = [1.5**k for k in range(20)]


def test_advice_names_options_that_exist() -> None:
    of_all = judge("l", VANISHING, "rnn", {"cell", "layer_norm"}).remedies
    assert of_all[0] == "a gated cell instead of a plain RNN (--cell lstm or gru)"
    assert "layer normalisation (--layer-norm)" in of_all
    of_none = judge("l", VANISHING, "rnn", ()).remedies
    assert of_none
    assert not any("--" in text or "gated" in text or "layer norm" in text for text in of_none)
    assert (
        "a shorter product of Jacobians, by a shorter window (--window)"
        in judge("l", EXPLODING, "", {"window"}).remedies
    )
    # without a command there is advice, but no option to name
    assert "layer normalisation" in judge("l", VANISHING, "rnn").remedies
    assert not any("--" in text for text in judge("l", EXPLODING, "rnn").remedies)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A plain RNN with a warm-up, a schedule and two batches a step."""
    folder = tmp_path_factory.mktemp("writer")
    (folder / "t.txt").write_text("to be or not to be\n" * 60)
    options = {"hidden_size": 8, "num_layers": 1, "tokens": "char", "window": 8, "cell": "rnn", "dropout": 0.0}
    given: dict[str, Any] = {"steps": 20, "warmup_steps": 5, "schedule": "cosine", "accumulate": 2, "lr": 0.01}
    more: dict[str, Any] = {"evaluate_every": 0, "sample_every": 0, "log_every": 1, "seed": 4}
    train("generate", folder / "t.txt", folder / "m", options=options, **given, **more)
    return load(folder / "m")


def test_a_try_is_the_first_steps_of_the_models_own_run(writer: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    rates: list[float] = []
    plain = remedies.make_optimiser

    def watched(parameters: Any, settings: Any) -> torch.optim.Optimizer:
        made = plain(parameters, settings)
        made.register_step_pre_hook(lambda optimiser, *_: rates.append(float(optimiser.param_groups[0]["lr"])))
        return made

    monkeypatch.setattr(remedies, "make_optimiser", watched)
    tries = Tries(writer, steps=12)
    tries.remedies = tries.remedies[:1]
    [trial] = tries.run()
    assert writer.folder is not None
    lines = [json.loads(line) for line in (writer.folder / "metrics.jsonl").read_text().splitlines()]
    run = [line for line in lines if line["split"] == "train"][:12]
    assert rates == pytest.approx([line["lr"] for line in run])
    assert trial.first == pytest.approx(run[0]["loss"], rel=1e-5)
    assert trial.last == pytest.approx(run[-1]["loss"], rel=1e-5)
    assert trial.largest == pytest.approx(max(line["grad_norm"] for line in run), rel=1e-5)


def test_only_what_the_task_has_is_tried(writer: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [remedy.name for remedy in remedies_for(writer)]
    assert {"--cell lstm", "--cell gru", "--layer-norm", "identity initialisation"} <= set(names)
    monkeypatch.setattr(Translate.output, "fitted_on", 2)
    for name, seed in (("train", 1), ("dev", 2)):
        test_translate.write(tmp_path, name, test_translate.sentences(20, seed))
    model = test_translate.learn(tmp_path, tmp_path / "m", options={"attention": "general"})
    # as if its network could: the task has no such option
    model.config.network["layer_norm"] = False
    assert "--layer-norm" not in [remedy.name for remedy in remedies_for(model)]
    model.config.network["cell"] = "rnn"
    for remedy in remedies_for(model):
        if remedy.name.startswith("--cell"):
            model.task.options(**{**model.config.options, **remedy.network})


def test_what_can_not_be_tried_is_refused_before_anything_runs(
    writer: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ArgumentError, match="steps: expected at least 10, found 9"):
        Tries(writer, steps=9)
    with pytest.raises(ArgumentError, match="needs its folder"):
        Tries(Model(writer.task, writer.config, writer.parts, writer.network, None))
    assert writer.folder is not None
    shutil.copytree(writer.folder, tmp_path / "m")
    shutil.rmtree(tmp_path / "m" / "data")
    with pytest.raises(ModelError, match="needs the training data that a run leaves there"):
        Tries(load(tmp_path / "m"))
    # a network that can't be built is refused when the tries are opened, not when its turn comes
    build = type(writer.task).build

    def refusing(self: Any, network: Any, encoders: Any) -> Any:
        if network["cell"] == "gru":
            raise ModelError("network: no gru today")
        return build(self, network, encoders)

    monkeypatch.setattr(type(writer.task), "build", refusing)
    with pytest.raises(ModelError, match="no gru today"):
        Tries(writer)
