"""A run that is killed, interrupted or robbed of a checkpoint goes on to the same losses, bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import unrolled
from unrolled.errors import CheckpointError, OutputExistsError
from unrolled.training import QuietReporter, Snapshot, read_metrics

from .toy_run import ToyLearner, ToyWindows, toy_fit, toy_settings

CLOCK = ("seconds", "items_per_second")


class Listener(QuietReporter):
    """Keeps what it hears, and can act after a step."""

    def __init__(self, after: dict[int, Any] | None = None) -> None:
        self.after, self.notices, self.texts, self.steps = after or {}, [], [], []

    def stepped(self, now: Snapshot) -> None:
        self.steps.append(now.step)
        if now.step in self.after:
            self.after[now.step]()

    def started(self, text: str) -> None:
        self.texts.append(text)

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def finished(self, text: str) -> None:
        self.texts.append(text)


class Stop(Exception):
    """Ends a run from within, as a kill would."""


def stop() -> None:
    raise Stop


def history(out: Path) -> list[dict[str, Any]]:
    """The metrics of a run without what the clock has to do with."""
    return [{k: v for k, v in record.items() if k not in CLOCK} for record in read_metrics(out / "metrics.jsonl")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never interrupted."""
    out = tmp_path_factory.mktemp("whole")
    toy_fit(out)
    return out


def same(out: Path, whole: Path) -> None:
    assert history(out) == history(whole)
    assert (out / "samples.md").read_text() == (whole / "samples.md").read_text()


def test_the_files_of_a_run(whole: Path) -> None:
    records = history(whole)
    assert [r["step"] for r in records if r["split"] == "train"] == list(range(1, 61))
    assert [r["step"] for r in records if r["split"] == "dev"] == [0, 20, 40, 60]
    assert {"step", "split", "loss", "lr", "grad_norm", "epoch", "skipped"} <= records[1].keys()
    assert records[-1]["loss"] < 2 < 3.3 < records[0]["loss"]
    kept = sorted(entry.name for entry in (whole / "checkpoints").iterdir())
    # The last two, every 27th, and the best, which is the last.
    assert kept == ["step-00000027", "step-00000054", "step-00000060"]
    assert (whole / "samples.md").read_text().count("\n## Step ") == 5


@pytest.mark.parametrize("step", [0, 1, 8, 9, 20, 35, 59])
def test_a_run_that_breaks_off_goes_on_to_the_same_losses(tmp_path: Path, whole: Path, step: int) -> None:
    with pytest.raises(Stop):
        toy_fit(tmp_path, reporter=Listener({step + 1: stop}))
    torch.rand(7)
    listener = Listener()
    toy_fit(tmp_path, resume=True, reporter=listener)
    assert listener.texts[0].startswith("resuming from step")
    same(tmp_path, whole)


def test_accumulation_plateau_sgd_and_tail_averaging_resume_too(tmp_path: Path) -> None:
    options = {"steps": 24, "accumulate": 3, "schedule": "plateau", "optimiser": "sgd", "momentum": 0.9, "lr": 0.5}
    options |= {"averaging": "tail", "tail_patience": 1, "evaluate_every": 2, "log_every": 4, "plateau_patience": 1}
    toy_fit(tmp_path / "whole", **options)
    for step in (7, 19):
        with pytest.raises(Stop):
            toy_fit(tmp_path / "broken", resume=True, reporter=Listener({step: stop}), **options)
    toy_fit(tmp_path / "broken", resume=True, **options)
    same(tmp_path / "broken", tmp_path / "whole")
    assert len({r["lr"] for r in history(tmp_path / "whole") if r["split"] == "train"}) > 1


@pytest.mark.slow
def test_sigkill_at_random_moments(tmp_path: Path, whole: Path) -> None:
    dice = random.Random(20)
    environment = {**os.environ, "PYTHONPATH": str(Path(unrolled.__path__[0]).parent)}
    program = [sys.executable, str(Path(__file__).parent / "toy_run.py"), str(tmp_path), "{}"]
    kills = 0
    for _ in range(3):
        process = subprocess.Popen(program, env=environment)
        # The start-up takes seconds and the run a fraction of one: wait for the run, and kill somewhere in it.
        journal = tmp_path / "metrics.jsonl"
        size = journal.stat().st_size if journal.exists() else -1
        while process.poll() is None and (not journal.exists() or journal.stat().st_size == size):
            time.sleep(0.002)
        time.sleep(dice.uniform(0, 0.12))
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 1
    subprocess.run(program, env=environment, check=True)
    same(tmp_path, whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_finishes_the_step_saves_and_says_how_to_go_on(
    tmp_path: Path, whole: Path, number: signal.Signals
) -> None:
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    listener = Listener({31: lambda: os.kill(os.getpid(), number)})
    result = toy_fit(tmp_path, reporter=listener)
    assert result.interrupted
    assert result.step == 31
    assert result.reason == f"stopped by {number.name} after step 31, all saved; continue with --resume"
    assert (tmp_path / "checkpoints/step-00000031").is_dir()
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert not toy_fit(tmp_path, resume=True).interrupted
    same(tmp_path, whole)


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path, whole: Path) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        toy_fit(tmp_path, reporter=Listener({31: twice}))
    assert signal.getsignal(signal.SIGINT) is before
    toy_fit(tmp_path, resume=True)
    same(tmp_path, whole)


def test_elsewhere_than_in_the_main_thread_no_handler_is_set(tmp_path: Path) -> None:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(toy_fit(tmp_path, steps=2)))
    thread.start()
    thread.join()
    assert results[0].step == 2


def test_resuming_a_run_that_has_met_its_criterion_says_so_and_changes_nothing(tmp_path: Path) -> None:
    first = toy_fit(tmp_path, steps=10)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    listener = Listener()
    again = toy_fit(tmp_path, steps=10, resume=True, reporter=listener)
    assert listener.texts[1].startswith("10 of 10 steps done")
    assert listener.steps == []
    assert again == first
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_more_steps_can_be_asked_for_later(tmp_path: Path) -> None:
    toy_fit(tmp_path / "a", steps=8, schedule="constant", evaluate_every=0, sample_every=0)
    toy_fit(tmp_path / "a", steps=16, schedule="constant", evaluate_every=0, sample_every=0, resume=True)
    toy_fit(tmp_path / "b", steps=16, schedule="constant", evaluate_every=0, sample_every=0)
    same_losses = [[r["loss"] for r in history(tmp_path / name)] for name in "ab"]
    assert same_losses[0] == same_losses[1]


def test_evaluating_and_sampling_do_not_change_the_training(tmp_path: Path, whole: Path) -> None:
    toy_fit(tmp_path, evaluate_every=0, sample_every=0)
    train = [record for record in history(whole) if record["split"] == "train"]
    assert history(tmp_path) == train


def test_a_folder_with_a_run_is_not_written_over(tmp_path: Path) -> None:
    toy_fit(tmp_path, steps=2)
    with pytest.raises(OutputExistsError, match="holds a training run already; give --resume"):
        toy_fit(tmp_path, steps=2)


def test_resume_where_nothing_was_saved_begins(tmp_path: Path) -> None:
    assert toy_fit(tmp_path, steps=2, resume=True).step == 2


def test_resume_where_only_the_checkpoints_are_gone_is_refused(tmp_path: Path) -> None:
    toy_fit(tmp_path, steps=2)
    (tmp_path / "checkpoints").rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl records a run"):
        toy_fit(tmp_path, steps=2, resume=True)


def _break_off_at_35(out: Path, identity: Any = None) -> None:
    with pytest.raises(Stop):
        toy_fit(out, identity=identity, reporter=Listener({35: stop}))
    assert (out / "checkpoints/step-00000027").is_dir()


@pytest.mark.parametrize("harm", ["truncate", "flip", "missing", "empty", "manifest", "json", "foreign", "later"])
def test_a_torn_or_foreign_checkpoint_is_named_and_the_one_before_used(tmp_path: Path, whole: Path, harm: str) -> None:
    with pytest.raises(Stop):
        toy_fit(tmp_path, reporter=Listener({40: stop}))
    last = tmp_path / "checkpoints/step-00000036"
    tensors, state, manifest = (last / name for name in ("tensors.safetensors", "state.json", "manifest.json"))
    if harm == "truncate":
        tensors.write_bytes(tensors.read_bytes()[:-100])
    elif harm == "flip":
        data = bytearray(tensors.read_bytes())
        data[len(data) // 2] ^= 1
        tensors.write_bytes(bytes(data))
    elif harm == "missing":
        state.unlink()
    elif harm == "empty":
        manifest.write_bytes(b"")
    elif harm == "manifest":
        manifest.write_text("[1, 2]")
    elif harm == "json":
        state.write_text("{")
    elif harm == "foreign":
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "identity": {"hidden_size": 512}}))
    else:
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": 99}))
    listener = Listener()
    toy_fit(tmp_path, resume=True, reporter=listener)
    assert listener.texts[0] == "resuming from step 27"
    assert len(listener.notices) == 1
    assert "step-00000036" in listener.notices[0]
    expected = {"foreign": "another run", "later": "later version", "missing": "state.json is missing"}
    assert expected.get(harm, "damaged or foreign") in listener.notices[0]
    same(tmp_path, whole)


def test_no_usable_checkpoint_is_an_error_that_says_why(tmp_path: Path) -> None:
    toy_fit(tmp_path, steps=10)
    for manifest in (tmp_path / "checkpoints").glob("*/manifest.json"):
        manifest.write_text("{}")
    with pytest.raises(CheckpointError, match=r"none of 2 checkpoints can be used, the last because: .*step-00000010"):
        toy_fit(tmp_path, steps=10, resume=True)


def test_another_network_or_data_is_refused_with_the_difference(tmp_path: Path) -> None:
    toy_fit(tmp_path, steps=2, identity={"network": {"hidden_size": 16}, "data": "abc"})
    with pytest.raises(CheckpointError, match=r"another run: network\.hidden_size is 16 there and 32 here"):
        toy_fit(tmp_path, steps=2, resume=True, identity={"network": {"hidden_size": 32}, "data": "abc"})


def test_another_shape_is_refused_even_without_an_identity(tmp_path: Path) -> None:
    from unrolled.training import fit

    toy_fit(tmp_path, steps=2)
    with pytest.raises(CheckpointError, match=r"embedding\.weight has shape \(\d+, 16\) there and \(\d+, 8\) here"):
        fit(ToyLearner(hidden_size=8), ToyWindows(), toy_settings(steps=2), tmp_path, resume=True)


def test_another_optimiser_is_refused(tmp_path: Path) -> None:
    toy_fit(tmp_path, steps=2)
    with pytest.raises(CheckpointError, match="trained with --optimiser adamw, and can't be resumed with sgd"):
        toy_fit(tmp_path, steps=4, resume=True, optimiser="sgd")


def test_a_torn_last_line_of_the_metrics_is_no_obstacle(tmp_path: Path, whole: Path) -> None:
    _break_off_at_35(tmp_path)
    with open(tmp_path / "metrics.jsonl", "a") as stream:
        stream.write('{"step": 36, "spl')
    assert read_metrics(tmp_path / "metrics.jsonl")[-1]["step"] == 34
    toy_fit(tmp_path, resume=True)
    same(tmp_path, whole)


def test_metrics_that_lost_their_end_are_cut_at_a_whole_line_and_the_gap_is_named(tmp_path: Path) -> None:
    _break_off_at_35(tmp_path)
    journal = tmp_path / "metrics.jsonl"
    journal.write_bytes(journal.read_bytes()[:1000])
    listener = Listener()
    toy_fit(tmp_path, resume=True, reporter=listener)
    assert "lines of before step 27 are missing" in listener.notices[0]
    assert [r["step"] for r in history(tmp_path)][-1] == 60


def test_leftovers_of_a_killed_writer_are_removed(tmp_path: Path, whole: Path) -> None:
    _break_off_at_35(tmp_path)
    (tmp_path / "checkpoints/.new-step-36").mkdir()
    (tmp_path / "checkpoints/.new-step-36/state.json").write_text("{")
    toy_fit(tmp_path, resume=True)
    same(tmp_path, whole)
    assert not list((tmp_path / "checkpoints").glob(".*"))
