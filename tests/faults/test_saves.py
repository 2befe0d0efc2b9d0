"""A save that is killed, robbed of its power or refused by the disk leaves the model before or the new one, whole."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import unrolled
from unrolled.errors import StorageError, UnrolledError
from unrolled.tasks import Model
from unrolled.training import read_metrics
from unrolled.training.saving.checkpoints import Checkpoints
from unrolled.training.saving.files import Journal

from .conftest import Saved
from .disk import Disk, Fault, Image, failing

#: one with a writer's n-gram, and one with two baselines
MODELS = ("generate-personal", "classify")
KINDS = frozenset({"create", "write", "truncate", "fsync", "rename", "mkdir", "unlink", "rmdir"})
REMOVALS = frozenset({"unlink", "rmdir"})


def other(folder: Path) -> Model:
    """Return a model with other weights, that says so in its config.json, and has no writer."""
    model = unrolled.load(folder)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter += 1.0
    twin = model.adapted(network=model.network, cache=None)
    twin.config.result["reason"] = "the other"
    return twin


def known(folder: Path) -> tuple[str, str]:
    """Return what tells a model from another: its fingerprint, and what its config.json says."""
    model = unrolled.load(folder)
    return model.fingerprint, model.config.result["reason"]


@pytest.mark.parametrize("name", MODELS)
def test_a_save_cut_short_anywhere_leaves_one_of_both_models(saved: Saved, tmp_path: Path, name: str) -> None:
    folder = saved(name)
    before = known(folder)
    twin = other(folder)
    with Disk(folder) as disk:
        twin.save(folder)
    assert disk.complete
    after = known(folder)
    assert before != after
    states = [checked(image, tmp_path / "image") for image in disk.images()]
    # once the new model is there it stays
    assert states == sorted(states, key=lambda state: state == after)
    assert set(states) == {before, after}


def checked(image: Image, folder: Path) -> tuple[str, str]:
    """Return which model an image holds; its next save is as if nothing had happened."""
    image.write(folder)
    state = known(folder)
    model = unrolled.load(folder)
    model.save(folder)
    assert known(folder) == state
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]
    shutil.rmtree(folder)
    return state


def test_a_first_save_cut_short_leaves_no_model_or_a_whole_one(saved: Saved, tmp_path: Path) -> None:
    model, folder = unrolled.load(saved("classify")), tmp_path / "new"
    folder.mkdir()
    with Disk(folder) as disk:
        model.save(folder)
    assert disk.complete
    states = []
    for image in disk.images():
        (tmp_path / "image").mkdir()
        image.write(tmp_path / "image")
        states.append(fingerprint_or_error(tmp_path / "image"))
        shutil.rmtree(tmp_path / "image")
    none = f"{tmp_path / 'image'}: not a model folder, it has no config.json"
    assert states == sorted(states, key=lambda state: state != none)
    assert set(states) == {none, model.fingerprint}


def fingerprint_or_error(folder: Path) -> str:
    try:
        return unrolled.load(folder).fingerprint
    except UnrolledError as error:
        return str(error)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=errno.errorcode.get)
def test_a_disk_that_refuses_costs_no_model(saved: Saved, number: int) -> None:
    folder = saved("classify")
    before, twin = known(folder), other(folder)
    with Disk(folder) as disk:
        unrolled.load(folder).save(folder)
    for at in places(disk, number):
        # a full or read-only disk stays so, one bad block does not
        with pytest.raises(StorageError) as caught, Disk(folder, at, refusing(number), lasts=number != errno.EIO):
            twin.save(folder)
        assert str(folder) in str(caught.value)
        state = known(folder)
        if state != before:
            # refused after the new model was there: what is left of the save ends with the next
            unrolled.load(folder).save(folder)
            assert known(folder) == state
            shutil.rmtree(folder)
            saved("classify")


def places(disk: Disk, number: int) -> list[int]:
    """Return the operations that a disk may refuse; from one that is full, names can still be removed."""
    allowed = REMOVALS if number == errno.ENOSPC else ()
    return [at for at, operation in enumerate(disk.operations) if operation.kind not in allowed]


def refusing(number: int) -> Fault:
    """Return the fault of such a disk."""
    return failing(number, *(KINDS - REMOVALS if number == errno.ENOSPC else KINDS))


def in_a_fork(run: Callable[[], object]) -> int:
    """Run something in a process of its own; return the signal that ended it, or 0."""
    gc.collect()
    child = os.fork()
    if not child:
        try:
            run()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_killed_while_it_saves_leaves_one_of_both_models(saved: Saved) -> None:
    folder = saved("generate-personal")
    before, twin = known(folder), other(folder)
    seen, at = {before}, 0
    while True:

        def save(at: int = at) -> None:
            with Disk(folder, at):
                twin.save(folder)

        if in_a_fork(save) != signal.SIGKILL:
            break
        seen.add(known(folder))
        at += 7
    assert known(folder) == (twin.fingerprint, "the other")
    assert seen == {before, known(folder)}
    assert at > 40


# Checkpoints


def state(step: int) -> dict[str, object]:
    return {"weight": torch.full((50,), float(step)), "step": step}


def test_a_checkpoint_cut_short_anywhere_costs_no_finished_one(tmp_path: Path) -> None:
    root = tmp_path / "checkpoints"
    checkpoints = Checkpoints(root, {"run": 1})
    checkpoints.save(10, state(10))
    with Disk(root) as disk:
        checkpoints.save(20, state(20))
        # again, as after an evaluation
        checkpoints.save(20, state(20))
        checkpoints.prune(())
        checkpoints.save(30, state(30))
        checkpoints.prune(())
    assert disk.complete
    steps = []
    for image in disk.images():
        image.write(tmp_path / "image")
        latest = Checkpoints(tmp_path / "image", {"run": 1}).load_latest(pytest.fail)
        assert latest is not None
        step, found = latest
        assert found["step"] == step
        assert torch.equal(found["weight"], state(step)["weight"])
        steps.append((image.after, step))
        shutil.rmtree(tmp_path / "image")
    assert {step for _, step in steps} == {10, 20, 30}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=errno.errorcode.get)
def test_a_disk_that_refuses_costs_no_checkpoint(tmp_path: Path, number: int) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", {})
    checkpoints.save(10, state(10))
    with Disk(tmp_path) as disk:
        checkpoints.save(20, state(20))
    shutil.rmtree(checkpoints.path(20))
    for at in places(disk, number):
        with pytest.raises(StorageError) as caught, Disk(tmp_path, at, refusing(number), lasts=number != errno.EIO):
            checkpoints.save(20, state(20))
        assert "step-00000020: " + ("the disk is full" if number == errno.ENOSPC else os.strerror(number)) in str(
            caught.value
        )
        latest = Checkpoints(tmp_path / "checkpoints", {}).load_latest(pytest.fail)
        assert latest is not None
        assert latest[0] in (10, 20)
        shutil.rmtree(checkpoints.path(20), ignore_errors=True)


# Logs


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_a_line_that_does_not_fit_is_taken_away_again(tmp_path: Path, number: int) -> None:
    with Journal(tmp_path / "metrics.jsonl") as journal:
        journal.append('{"step": 1, "split": "train"}\n')

    with Disk(tmp_path, 0, failing(number, "write")), Journal(tmp_path / "metrics.jsonl") as journal:
        with pytest.raises(StorageError, match=r"metrics\.jsonl"):
            journal.append('{"step": 2, "split": "train"}\n')
        journal.append('{"step": 3, "split": "train"}\n')
    assert [record["step"] for record in read_metrics(tmp_path / "metrics.jsonl")] == [1, 3]


@pytest.mark.parametrize(
    "torn",
    [b'{"step": 2, "spl', b"{{{", b"\xff\xfe", b"[1]", b'{"step": "2"}', b'{"split": "dev"}', b"[" * 9999],
    ids=range(7),
)
def test_torn_lines_are_left_out(tmp_path: Path, torn: bytes, caplog: pytest.LogCaptureFixture) -> None:
    lines = [b'{"step": 1, "split": "train"}\n', torn + b"\n", b'{"step": 3, "split": "train"}\n', b'{"step": 4, ']
    (tmp_path / "metrics.jsonl").write_bytes(b"".join(lines))
    assert [record["step"] for record in read_metrics(tmp_path / "metrics.jsonl")] == [1, 3]
    assert "left out 2 damaged of 4 lines" in caplog.text


def test_a_log_is_cut_back_to_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "samples.md"
    path.write_bytes(b"one\ntwo\nthree\n")
    with Journal(path) as journal:
        assert journal.truncate(8)
        assert path.read_bytes() == b"one\ntwo\n"
        # another process has written here: what stands there is not what the checkpoint knew
        assert not journal.truncate(6)
        assert path.read_bytes() == b"one\n"
        assert journal.truncate(0)
        assert path.read_bytes() == b""
