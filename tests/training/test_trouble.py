"""Losses that are not finite, disks that are full, folders that can't be written."""

from __future__ import annotations

import errno
import io
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from unrolled.errors import DivergenceError, StorageError
from unrolled.training import LiveReporter, PlainReporter, QuietReporter, fit, make_reporter, plot_run, read_metrics
from unrolled.training.optimisation.finite import GradientWatch
from unrolled.training.progress import Snapshot
from unrolled.training.saving.packing import pack, unpack

from .toy_run import ToyLearner, ToyWindows, toy_fit, toy_settings


class Poisoned(ToyLearner):
    """Some calls of `loss` give NaN, in the loss and in the carried state."""

    def __init__(self, bad: Any) -> None:
        super().__init__()
        self.bad, self.calls, self.carried = bad, 0, []

    def loss(self, batch: Any, carried: Any) -> Any:
        self.calls += 1
        self.carried.append(carried)
        report = super().loss(batch, carried)
        if self.calls not in self.bad:
            return report
        return replace(
            report,
            mean=report.mean * math.nan,
            total=math.nan,
            carried=tuple(part * math.nan for part in report.carried),
        )


class Notices(QuietReporter):
    """Keeps the notices."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)


def test_a_step_that_is_not_finite_is_skipped_and_counted(tmp_path: Path) -> None:
    learner, listener = Poisoned({5, 6, 9}), Notices()
    before: dict[int, Any] = {}

    def stepped(now: Snapshot) -> None:
        before[now.step] = [parameter.detach().clone() for parameter in learner.network.parameters()]

    listener.stepped = stepped  # type: ignore[method-assign]
    settings = toy_settings(steps=12, averaging="none", evaluate_every=0)
    result = fit(learner, ToyWindows(), settings, tmp_path, reporter=listener)
    assert (result.step, result.skipped) == (12, 3)
    records = {record["step"]: record for record in read_metrics(tmp_path / "metrics.jsonl")}
    assert [step for step, record in records.items() if record["loss"] is None] == [5, 6, 9]
    assert records[12]["skipped"] == 3
    # The skipped steps left the weights alone, and the state that they spoiled starts anew.
    assert all(map(torch.equal, before[4], before[6]))
    assert not all(map(torch.equal, before[6], before[7]))
    assert [index + 1 for index, carried in enumerate(learner.carried) if carried is None] == [1, 6, 7, 10]
    assert len(listener.notices) == 2
    assert "step 5 skipped: its loss is nan and its gradient norm nan" in listener.notices[0]


def test_ten_in_a_row_end_the_run_and_nothing_saved_is_lost(tmp_path: Path) -> None:
    with pytest.raises(DivergenceError) as caught:
        fit(Poisoned(range(11, 99)), ToyWindows(), toy_settings(lr=0.25, warmup_steps=0), tmp_path)
    message = str(caught.value)
    assert "the last 10 steps, up to step 20" in message
    assert "lower --lr" in message
    assert "--clip-norm" in message
    assert "The checkpoint of step 18 is intact: continue from it with --resume." in message
    assert toy_fit(tmp_path, resume=True, lr=0.01).step == 60


def test_the_layer_where_it_begins_is_named(tmp_path: Path) -> None:
    learner = ToyLearner()
    learner.network.lstm.register_forward_hook(lambda module, inputs, output: (output[0] / 0, output[1]))
    with pytest.raises(DivergenceError, match=r"the layer lstm \(LSTM\) is the first whose output is not finite"):
        fit(learner, ToyWindows(), toy_settings(evaluate_every=0), tmp_path / "layer")
    learner = ToyLearner()
    with torch.no_grad():
        learner.network.lstm.weight_hh_l1[3, 3] = math.inf
    with pytest.raises(DivergenceError, match=r"the parameter lstm\.weight_hh_l1 is not finite"):
        fit(learner, ToyWindows(), toy_settings(evaluate_every=0), tmp_path / "parameter")


def test_a_gradient_that_is_not_finite_is_named(tmp_path: Path) -> None:
    class Steep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(1, 1, bias=False)

        def forward(self, x: Any) -> Any:
            # The square root of 0 is finite, its slope is not.
            return torch.sqrt(self.inner(x) * 0)

    class Learner(ToyLearner):
        def __init__(self) -> None:
            self.network = Steep()

        def loss(self, batch: Any, carried: Any) -> Any:
            from unrolled.training import LossReport

            mean = self.network(torch.ones(1, 1)).sum()
            return LossReport(mean, mean.detach(), 1, None)

    with pytest.raises(DivergenceError, match=r"the gradient of inner\.weight is the first that is not finite"):
        fit(Learner(), ToyWindows(), toy_settings(evaluate_every=0), tmp_path)


def test_vanishing_and_exploding_gradients_are_said_once() -> None:
    watch = GradientWatch(steps=5)
    said = [watch.observe(1e-9) for _ in range(20)]
    assert [index for index, text in enumerate(said) if text] == [4]
    assert "the gradients vanish" in str(said[4])
    watch = GradientWatch(steps=5)
    assert not any(watch.observe(norm) for norm in (1.0, 2.0, 0.5, 300.0, 1.0, 1.5))
    said = [watch.observe(1e4) for _ in range(20)]
    assert sum(text is not None for text in said) == 1
    assert "the gradients explode" in next(text for text in said if text)


def _full(monkeypatch: pytest.MonkeyPatch, name: str, allowed: int) -> None:
    """Let `os.write` or `os.fsync` run out of space after some calls."""
    real, calls = getattr(os, name), [0]

    def limited(descriptor: int, *rest: Any) -> Any:
        if descriptor > 2:
            calls[0] += 1
            if calls[0] > allowed:
                raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, *rest)

    monkeypatch.setattr(os, name, limited)


@pytest.mark.parametrize("name", ["write", "fsync"])
@pytest.mark.parametrize("allowed", [9, 14, 23, 31, 42, 55])
def test_a_full_disk_names_the_file_and_leaves_everything_before_intact(
    tmp_path: Path, name: str, allowed: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _full(patch, name, allowed)
        with pytest.raises(StorageError) as caught:
            toy_fit(tmp_path)
    message = str(caught.value)
    assert "the disk is full while" in message
    assert str(tmp_path) in message
    assert "is intact: continue from it with --resume." in message
    assert not list((tmp_path / "checkpoints").glob(".*"))
    assert all(line.endswith(b"}\n") for line in (tmp_path / "metrics.jsonl").read_bytes().splitlines(keepends=True))
    toy_fit(tmp_path, resume=True)
    toy_fit(tmp_path / "whole")
    losses = [
        [(r["step"], r["split"], r["loss"]) for r in read_metrics(out / "metrics.jsonl")]
        for out in (tmp_path, tmp_path / "whole")
    ]
    assert losses[0] == losses[1]


def test_a_line_that_only_half_fits_is_taken_away_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unrolled.training.saving.files import Journal

    with Journal(tmp_path / "metrics.jsonl") as journal:
        journal.append("one\n")
        real = os.write
        monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:2]))
        with pytest.raises(StorageError, match="the disk is full"):
            journal.append("two\n")
        monkeypatch.undo()
        journal.append("three\n")
    assert (tmp_path / "metrics.jsonl").read_text() == "one\nthree\n"


def test_a_full_disk_at_the_very_first_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _full(monkeypatch, "write", 0)
    with pytest.raises(StorageError, match=r"disk is full while saving the checkpoint of step 0\. Nothing has been"):
        toy_fit(tmp_path)


def test_a_path_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/run: Not a directory while creating the folder"):
        toy_fit(tmp_path / "file" / "run")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="Permission denied while creating the folder"):
        toy_fit(tmp_path / "run")


def test_packing_keeps_nests_shared_tensors_and_odd_floats() -> None:
    shared = torch.arange(6.0).view(2, 3)
    tree = {
        "a": (shared, None, [True, 2**100, "text"]),
        "tied": shared,
        "turned": shared.T,
        "a.b": torch.tensor(1),
        "by number": {0: torch.zeros(0), 7: {"x": math.inf}},
        "$odd": 1.5,
    }
    json_tree, tensors = pack(tree)
    back = unpack(json_tree, tensors)
    assert len(tensors) == 4
    assert back["a"][1:] == (None, [True, 2**100, "text"])
    assert torch.equal(back["a"][0], shared)
    assert back["tied"] is back["a"][0]
    assert torch.equal(back["turned"], shared.T)
    assert back["by number"][7]["x"] == math.inf
    assert back["$odd"] == 1.5
    with pytest.raises(TypeError, match=r"carried\.0: a set can't be saved"):
        pack({"carried": ({1, 2},)})


def test_packing_never_confuses_two_paths() -> None:
    tree = {"a.b": torch.tensor(1), "a": {"b": torch.tensor(2)}}
    back = unpack(*pack(tree))
    assert (int(back["a.b"]), int(back["a"]["b"])) == (1, 2)


def snapshot(step: int, **changes: Any) -> Snapshot:
    now = Snapshot(step, 0.5, 1.23456, 0.789, 0.002, 12345.6, 61.0, 187.0, 0)
    return now._replace(**changes)


def test_plain_lines_come_now_and_then() -> None:
    times, stream = iter([0.0, 1.0, 6.0]), io.StringIO()
    reporter = PlainReporter(stream, seconds_between=5.0, clock=lambda: next(times))
    for step in (1, 2, 3):
        reporter.stepped(snapshot(step, skipped=step - 1, seconds_left=None if step == 3 else 187.0))
    reporter.logged({"step": 3, "split": "train", "loss": 1.0})
    reporter.logged({"step": 3, "split": "dev", "loss": 1.5, "seconds": 3.0})
    reporter.sampled(3, "to be\nor not")
    assert stream.getvalue() == (
        "step 1 · epoch 0.50 · loss 1.2346 · 12,346 items/s · grad 0.789 · lr 0.002 · 3 min 07 s left\n"
        "step 3 · epoch 0.50 · loss 1.2346 · 12,346 items/s · grad 0.789 · lr 0.002 · 2 skipped · 1 min 01 s\n"
        "step 3 · dev loss 1.5\n"
        "sample at step 3:\n    to be\n    or not\n\n"
    )


def test_a_terminal_gets_a_live_line_and_samples_are_taken_literally() -> None:
    from rich.console import Console

    stream = io.StringIO()
    reporter = LiveReporter(Console(file=stream, force_terminal=True, width=120, _environ={}))
    reporter.started("training begins")
    reporter.stepped(snapshot(1))
    reporter.sampled(1, "[bold]not markup[/bold] \x1b[2J")
    reporter.finished("over")
    reporter.close()
    reporter.close()
    shown = stream.getvalue()
    assert "3 min 07 s left" in shown
    assert "[bold]not markup[/bold] \N{REPLACEMENT CHARACTER}[2J" in shown


def test_the_reporter_suits_the_stream() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert isinstance(make_reporter(stream=Terminal()), LiveReporter)
    assert type(make_reporter(stream=io.StringIO())) is PlainReporter
    assert type(make_reporter(quiet=True)) is QuietReporter


def test_samples_with_fences_stay_inside_theirs(tmp_path: Path) -> None:
    learner = ToyLearner()
    learner.sample = lambda: "```\n## Step 99\n````"  # type: ignore[method-assign]
    fit(learner, ToyWindows(), toy_settings(steps=1), tmp_path)
    assert (tmp_path / "samples.md").read_text().count("`````text\n```\n## Step 99\n````\n`````\n") == 2


def test_plots_of_a_run(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    toy_fit(tmp_path, steps=3)
    assert [path.name for path in plot_run(tmp_path)] == ["loss.png", "grad_norm.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (tmp_path / "plots").iterdir())
