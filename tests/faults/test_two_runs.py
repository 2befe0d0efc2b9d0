"""Two runs on one folder: the second is refused, and the first one's process named."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import unrolled
from unrolled.errors import StorageError
from unrolled.storage import LOCK, locked
from unrolled.tasks import train
from unrolled.tasks.core.train import claimed
from unrolled.training import read_metrics

from .conftest import Saved

HOLD = """
import sys, time
from unrolled.storage import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""
OPTIONS = {"hidden_size": 8, "num_layers": 1, "embedding_size": 4, "tokens": "char", "batch_size": 2, "window": 16}
FAST = {"log_every": 1, "evaluate_every": 0, "sample_every": 0, "save_every": 3, "seed": 3}


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of `tmp_path / "m"`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "m")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def says(folder: Path, pid: int) -> str:
    return rf"{re.escape(str(folder))}: process {pid} on \S+ has been writing here since 20\d\d-"


def text(folder: Path) -> Path:
    path = folder / "text.txt"
    path.write_text("".join(f"{number} " for number in range(3000)))
    return path


def test_a_folder_in_use_is_refused_until_its_process_ends(
    holder: subprocess.Popen[str], saved_once: Saved, tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    model = unrolled.load(saved_once("generate-characters"))
    given = {"options": OPTIONS, "steps": 1, **FAST}
    for more in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(StorageError, match=says(folder, holder.pid)):
            train("generate", text(tmp_path), folder, **given, **more)
    with pytest.raises(StorageError, match=says(folder, holder.pid)):
        model.save(folder)
    assert [path.name for path in folder.iterdir()] == [LOCK]
    holder.kill()
    holder.wait()
    # what a killed process leaves is no lock
    assert (folder / LOCK).exists()
    model.save(folder)
    assert not (folder / LOCK).exists()
    assert unrolled.load(folder).fingerprint == model.fingerprint


def test_a_thread_is_refused_too_and_a_lock_may_be_nested(tmp_path: Path) -> None:
    refusals = []

    def second() -> None:
        with pytest.raises(StorageError, match=says(tmp_path / "m", os.getpid())) as caught, locked(tmp_path / "m"):
            pass
        refusals.append(str(caught.value))

    with locked(tmp_path / "m"):
        with locked(tmp_path / "m"), locked(tmp_path / "other"):
            thread = threading.Thread(target=second)
            thread.start()
            thread.join()
        assert (tmp_path / "m" / LOCK).exists()
    assert len(refusals) == 1
    # nothing came of it
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_replaced_stays_locked(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("older")
    with locked(tmp_path / "m"):
        with claimed(tmp_path / "m"):
            assert not (tmp_path / "m" / "config.json").exists()
        process = subprocess.run([sys.executable, "-c", HOLD, str(tmp_path / "m")], capture_output=True, text=True)
        assert f"process {os.getpid()} on" in process.stderr
    assert not (tmp_path / "m" / LOCK).exists()


def test_a_lock_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / LOCK).symlink_to(tmp_path / "victim")
    with pytest.raises(StorageError, match=LOCK), locked(tmp_path / "m"):
        pass
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_second_terminal_leaves_the_first_run_alone(tmp_path: Path) -> None:
    folder, command = tmp_path / "m", [sys.executable, "-m", "unrolled.cli", "train", "generate", str(text(tmp_path))]
    for name, value in {**OPTIONS, **FAST}.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    command += ["--out", str(folder), "--threads", "1", "-q", "--steps"]
    first = subprocess.Popen([*command, "100000"], stderr=subprocess.PIPE, text=True)
    try:
        while not list(folder.glob("checkpoints/step-*")) and first.poll() is None:
            time.sleep(0.05)
        with pytest.raises(StorageError, match=says(folder, first.pid)):
            train("generate", text(tmp_path), folder, options=OPTIONS, resume=True, **FAST)
    finally:
        first.send_signal(signal.SIGKILL)
        _, complaint = first.communicate()
    assert complaint == ""
    done = len(read_metrics(folder / "metrics.jsonl"))
    train("generate", text(tmp_path), folder, options=OPTIONS, resume=True, steps=done + 20, **FAST)
    steps = [record["step"] for record in read_metrics(folder / "metrics.jsonl") if record["split"] == "train"]
    assert steps == list(range(1, done + 21))
    assert not (folder / LOCK).exists()
