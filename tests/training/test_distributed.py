"""Several processes that train one network: the losses of one, whatever happens to them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.workers_program import RUNS, run, write_data

from unrolled.data import ExampleBatches, Windows
from unrolled.errors import ArgumentError, WorkerError
from unrolled.storage import locked
from unrolled.tasks import load
from unrolled.training import joined, read_metrics, share_out
from unrolled.training.distributed import ADDRESS, own_device
from unrolled.training.saving.packing import columns, joined_columns, pack, unpack

# a few seconds each, but a busy machine may take any time to start that many processes
pytestmark = pytest.mark.timeout(900)

PROGRAM = Path(__file__).with_name("workers_program.py")
ROOT = PROGRAM.parents[2]


def torchrun(*arguments: object, restarts: int = 0) -> subprocess.Popen[str]:
    """Start two workers on this machine."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", f"--max-restarts={restarts}"]
    command = [sys.executable, *launch, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    """Wait for a process, and return what it printed."""
    try:
        out = process.communicate(timeout=500)[0]
    finally:
        process.kill()
    assert process.returncode == code, out
    return out


def losses(folder: Path) -> list[tuple[int, str, float]]:
    return [(r["step"], r["split"], r["loss"]) for r in read_metrics(folder / "metrics.jsonl")]


def assert_same(folder: Path, task: str) -> None:
    """Compare the metrics of a task's runs by two workers and by one."""
    ours, theirs = losses(folder / f"{task}.2"), losses(folder / f"{task}.1")
    assert [entry[:2] for entry in ours] == [entry[:2] for entry in theirs]
    assert len(ours) > 14
    assert np.allclose([e[2] for e in ours], [e[2] for e in theirs], rtol=2e-5, atol=0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of three tasks, and the models that one process makes of them."""
    folder = tmp_path_factory.mktemp("workers")
    write_data(folder)
    for task in RUNS:
        run(task, folder, folder / f"{task}.1")
    return folder


@pytest.fixture
def copy(data: Path, tmp_path: Path) -> Path:
    """The same data in a folder of one's own, with the models of one process."""
    for path in data.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def test_two_workers_give_the_losses_of_one(copy: Path) -> None:
    ended(torchrun(PROGRAM, copy, *RUNS))
    for task in RUNS:
        assert_same(copy, task)
        folders = [copy / f"{task}.{count}" for count in (1, 2)]
        ours, theirs = ({path.name for path in folder.iterdir()} for folder in reversed(folders))
        assert ours == theirs
        states = [load(folder).network.state_dict() for folder in folders]
        assert all(torch.allclose(value, states[1][name], rtol=1e-3, atol=1e-5) for name, value in states[0].items())
    # what several have saved, one can go on with
    run("generate", copy, copy / "generate.2", resume=True, steps=18)
    run("generate", copy, copy / "again", steps=18)
    assert np.allclose([e[2] for e in losses(copy / "generate.2")], [e[2] for e in losses(copy / "again")], rtol=2e-4)


def test_a_worker_that_dies_is_replaced_and_the_run_goes_on(copy: Path) -> None:
    out = ended(torchrun(PROGRAM, copy, "generate", "die=9", "slow=0.02", restarts=1))
    assert "exitcode: -9" in out
    assert_same(copy, "generate")


def test_when_the_coordinator_dies_its_workers_save_and_end(copy: Path) -> None:
    out = copy / "tag.2"
    process = torchrun(PROGRAM, copy, "tag", "slow=0.1")
    wait_for(lambda: (out / "metrics.jsonl").is_file() and len(losses(out)) > 3)
    process.kill()
    process.communicate(timeout=60)
    with locked_when_free(out):
        steps = sorted(path.name for path in (out / "checkpoints").glob("step-*"))
    assert len(losses(out)) > 3
    assert steps
    ended(torchrun(PROGRAM, copy, "tag", "resume=yes"))
    assert_same(copy, "tag")


def wait_for(condition: Any, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def locked_when_free(folder: Path) -> Any:
    """Return the lock of a folder, once its writers have ended."""
    wait_for(lambda: not (folder / ".lock").exists())
    return locked(folder)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"RANK": "0", "WORLD_SIZE": "2"}, "RANK is set, but MASTER_ADDR and MASTER_PORT not; start workers with"),
        ({"WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "WORLD_SIZE is set, but RANK not"),
        ({"RANK": "2", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "RANK: expected 0 to 1"),
        (
            {"RANK": "x", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"},
            "RANK: expected a number",
        ),
    ],
)
def test_an_environment_that_says_only_a_part(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], message: str
) -> None:
    for name in ADDRESS:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ArgumentError, match=message), joined("cpu"):
        pass


def test_others_that_do_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("unrolled.training.distributed.CONNECTING", timedelta(seconds=1))
    with pytest.raises(WorkerError, match=r"MASTER_ADDR=127\.0\.0\.1, MASTER_PORT=1: the other"), joined("cpu"):
        pass


def test_a_batch_that_is_smaller_than_the_workers_are_many() -> None:
    with pytest.raises(ArgumentError, match="--batch-size: a batch of 2 can't be shared by 3 workers"):
        Windows(np.arange(100), 2, 5).shared(0, 3)
    with pytest.raises(ArgumentError, match="--batch-size: a batch of 2 can't be shared by 3 workers"):
        ExampleBatches([{"x": np.ones(1)}] * 9, None, 2, lambda some, draw: {}).shared(0, 3)


def test_shares_of_windows_are_the_lanes_of_the_whole_batch() -> None:
    whole = Windows(np.arange(103), 5, 4, seed=2)
    parts = [Windows(np.arange(103), 5, 4, seed=2).shared(worker, 3) for worker in range(3)]
    for _ in range(2 * whole.batches_per_epoch + 1):
        expected, shares = whole.next_batch(), [part.next_batch() for part in parts]
        for name in ("inputs", "targets"):
            assert torch.equal(torch.cat([getattr(share, name) for share in shares], 1), getattr(expected, name))
        assert {(share.resets, share.epoch) for share in shares} == {(expected.resets, expected.epoch)}
    assert parts[2].state_dict() == whole.state_dict()


def test_shares_of_examples_are_the_whole_batch_and_may_be_empty() -> None:
    store = [{"n": np.array([n])} for n in range(7)]

    def batches() -> ExampleBatches:
        return ExampleBatches(store, None, 3, lambda some, draw: {"n": torch.tensor([int(e["n"][0]) for e in some])})

    whole, parts = batches(), [batches().shared(worker, 2) for worker in range(2)]
    sizes = set()
    for _ in range(2 * whole.batches_per_epoch):
        expected, shares = whole.next_batch(), [part.next_batch() for part in parts]
        there = [share.data["n"].tolist() for share in shares if share is not None]
        assert sorted(n for share in there for n in share) == sorted(expected.data["n"].tolist())
        sizes.add(tuple(map(len, there)))
    # 7 examples in batches of 3: the last holds one, and the second worker has none of it
    assert sizes == {(2, 1), (1,)}


def test_columns_of_a_state_come_together_again() -> None:
    state = (torch.arange(30).view(2, 5, 3), {"c": torch.arange(5).view(1, 5)}, None)
    parts = [columns(state, worker, 3) for worker in range(3)]
    assert [part[0].shape[1] for part in parts] == [1, 2, 2]
    whole = joined_columns(parts)
    assert torch.equal(whole[0], state[0])
    assert torch.equal(whole[1]["c"], state[1]["c"])
    assert whole[2] is None


def test_arrays_pass_from_one_to_another_without_pickle() -> None:
    value = [np.array([[1.5, 2]]), ("é", 3, float("inf")), np.zeros(0, bool)]
    tree, tensors = pack(value)
    result = unpack(tree, tensors)
    assert np.array_equal(result[0], value[0])
    assert result[1] == value[1]
    assert result[2].dtype == bool


def test_alone_everything_is_computed_here() -> None:
    assert [*share_out(range(4), lambda n: n * n)] == [0, 1, 4, 9]
    assert own_device("cuda:7") == "cuda:7"
