"""The precision of training: which is chosen, what a batch is scored in, and what stays float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import unrolled
from unrolled.errors import ArgumentError
from unrolled.kernels import bfloat16_support
from unrolled.training import LossReport, QuietReporter, TrainingSettings, fit
from unrolled.training.precision import choose_precision

from .toy_run import ToyBatch, ToyLearner, ToyWindows, toy_settings

CPU = torch.device("cpu")


class Watched(ToyLearner):
    """Notes the dtypes in which it is scored and evaluated."""

    def __init__(self) -> None:
        super().__init__()
        network: Any = self.network
        network.lstm = unrolled.LSTM(16, 16, 2)
        self.seen: set[tuple[str, bool]] = set()

    def loss(self, batch: ToyBatch, carried: Any) -> LossReport:
        self.seen.add(("loss", torch.is_autocast_enabled("cpu")))
        report = super().loss(batch, carried)
        assert report.mean.dtype == torch.float32
        return report

    def evaluate(self) -> dict[str, float]:
        self.seen.add(("evaluate", torch.is_autocast_enabled("cpu")))
        return super().evaluate()


class Begun(QuietReporter):
    """Keeps the line that a run begins with."""

    def started(self, text: str) -> None:
        self.message = text


def run(out: Path, precision: str) -> tuple[Watched, str, dict[str, float]]:
    torch.manual_seed(0)
    learner, reporter = Watched(), Begun()
    result = fit(learner, ToyWindows(), toy_settings(precision=precision, steps=40), out, reporter=reporter)
    return learner, reporter.message, result.last


def test_a_run_in_bfloat16_learns_and_says_so(tmp_path: Path) -> None:
    learner, message, narrow = run(tmp_path / "bf16", "bf16")
    assert learner.seen == {("loss", True), ("evaluate", False)}
    assert message == f"training begins in bfloat16: {bfloat16_support().reason}"
    assert {p.dtype for p in learner.network.parameters()} == {torch.float32}
    learner, message, wide = run(tmp_path / "fp32", "fp32")
    assert learner.seen == {("loss", False), ("evaluate", False)}
    assert message == "training begins"
    assert narrow["loss"] == pytest.approx(wide["loss"], rel=0.02)


@pytest.mark.parametrize("is_fast", [True, False])
def test_auto_follows_the_processor(is_fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrolled.training.precision.bfloat16_support", lambda device: (is_fast, "for a reason"))
    assert str(choose_precision("auto", CPU)) == f"{'bfloat16' if is_fast else 'float32'}: for a reason"
    assert choose_precision("bf16", CPU).name == "bf16"
    assert choose_precision("fp32", CPU).name == "fp32"


def test_a_precision_unheard_of() -> None:
    with pytest.raises(ArgumentError, match=r"--precision: 'fp8' is not possible: .*'fp32', 'bf16' or 'auto'"):
        TrainingSettings(precision="fp8", steps=1)
