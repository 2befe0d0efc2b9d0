"""Every failure is one line on standard error, and an exit code: 2 for the user's fault, 1 for ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.strangers import without_digests

from unrolled import errors, tasks

from .running import complaint, unrolled


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["frobnicate"], r"No such command 'frobnicate'"),
        (["--frobnicate"], r"[Nn]o such option"),
        (["train", "frobnicate"], r"task 'frobnicate': there is none of that name; there are .*generate"),
        (["train", "generate"], r"Missing"),
        (["train", "generate", "TEXT"], r"--out"),
        (["train", "generate", "TEXT", "--out", "OUT", "--lr", "-1"], r"--lr: -1\.0 is not possible.*greater than 0"),
        (["train", "generate", "TEXT", "--out", "OUT", "--lr", "fast"], r"--lr.*should be a valid number"),
        (["train", "generate", "TEXT", "--out", "OUT", "--steps", "0"], r"--steps: 0 is not possible"),
        (["train", "generate", "TEXT", "--out", "OUT", "--cell", "qrnn"], r"qrnn.*lstm"),
        (["train", "generate", "TEXT", "--out", "OUT", "--hidden-size", "0"], r"--hidden-size: 0 is not possible"),
        (["train", "generate", "TEXT", "--out", "OUT", "--threads", "0"], r"--threads: expected 1 or more"),
        (["train", "generate", "TEXT", "--out", "OUT", "--until", "loss"], r"until"),
        (["train", "generate", "TEXT", "--out", "OUT", "--nesterov"], r"--nesterov needs --optimiser sgd"),
        (["train", "generate", "TEXT", "--out", "OUT", "--resume", "--overwrite"], r"exclude each other"),
        (["train", "generate", "MISSING", "--out", "OUT"], r"MISSING: no such file or folder"),
        (["train", "generate", "EMPTY", "--out", "OUT"], r"EMPTY: the file is empty"),
        (["train", "generate", "BINARY", "--out", "OUT"], r"BINARY: a binary file"),
        (["train", "generate", "LATIN", "--out", "OUT"], r"LATIN:1: not valid UTF-8 at byte 3 .*--encoding"),
        (["evaluate", "MISSING", "TEXT"], r"MISSING: no such model folder"),
        (["evaluate", "MISSING", "FOLDER"], r"MISSING: no such model folder"),
        (["evaluate", "MODEL", "MISSING"], r"MISSING: no such file or folder"),
        (["evaluate", "MODEL"], r"Missing argument"),
        (["evaluate", "MODEL", "TEXT", "--format", "pdf"], r"pdf"),
        (["predict", "FOLDER", "x"], r"not a model folder, it has no config.json"),
        (["predict", "MODEL", "x", "--prompt", "y"], r"--prompt: continues one text"),
        (["predict", "MODEL", "x", "--file", "TEXT"], r"--file: can't be combined with INPUT"),
        (["predict", "MODEL", "x", "--temperature", "1"], r"--temperature: needs --prompt"),
        (["predict", "MODEL", "--prompt", "x", "--threshold", "1"], r"--threshold: can't be combined with --prompt"),
        (["predict", "MODEL", "--prompt", "x", "--temperature", "-1"], r"temperature"),
        (["predict", "MODEL", "--prompt", "x", "--top-p", "2"], r"top_p"),
        (["predict", "MODEL", "--prompt", "x", "--max-tokens", "-1"], r"max_tokens: expected 0 or more"),
        (["predict", "MODEL", "--prompt", "x", "--samples", "0"], r"n: expected at least 1 sample"),
        (["predict", "MODEL", "--prompt", "x", "--stop", ""], r"stop: an empty string"),
        (["predict", "MODEL", "--file", "MISSING"], r"MISSING: no such file or folder"),
        (["predict", "MODEL", "--file", "TEXT", "--encoding", "klingon"], r"--encoding 'klingon': no such"),
        (["predict", "MODEL", "--file", "TEXT", "--errors", "ignore"], r"--errors 'ignore': must be strict or replace"),
        (["evaluate", "MODEL", "TEXT", "--positions", "0"], r"--positions: 0 is not possible"),
        (["train", "generate", "TEXT", "--out", "OUT", "--personal", "MISSING"], r"MISSING: no such file or folder"),
        (["data", "get", "frobnicate"], r"no data set 'frobnicate'; there are .*tinyshakespeare"),
        (["data", "get", "ptb", "--mirror", "FOLDER", "--cache", "OUT"], r"the mirror has no ptb/ptb.train.txt"),
        (["demo", "--minutes", "0", "--out", "OUT"], r"--minutes: 0\.0 is not possible"),
    ],
)
def test_the_users_fault(arguments: list[str], says: str, text: Path, model: Path, tmp_path: Path) -> None:
    made = {name: tmp_path / name for name in ("OUT", "MISSING", "EMPTY", "BINARY", "LATIN", "FOLDER")}
    made["EMPTY"].touch()
    made["BINARY"].write_bytes(b"\x7fELF\x00\x01")
    made["LATIN"].write_bytes(b"nai\xefve text")
    made["FOLDER"].mkdir()
    made |= {"TEXT": text, "MODEL": model}
    result = unrolled(*(made.get(a, a) for a in arguments))
    assert result.code == 2
    assert re.search(says, complaint(result))
    assert result.out == "" or arguments[0] == "demo"


def test_the_diagnosis_of_broken_models(model: Path, tmp_path: Path) -> None:
    def broken(name: str, file: str, content: bytes | None) -> str:
        folder = tmp_path / name
        without_digests(shutil.copytree(model, folder, ignore=shutil.ignore_patterns("checkpoints", "data")))
        (folder / file).unlink() if content is None else (folder / file).write_bytes(content)
        result = unrolled("predict", folder, "x")
        assert result.code == 2
        return complaint(result)

    config = (model / "config.json").read_bytes()
    assert "corrupt, not JSON" in broken("a", "config.json", config[:50])
    assert "of a later release" in broken("b", "config.json", config.replace(b'"version": 1,', b'"version": 99,'))
    assert "not a model of unrolled" in broken("c", "config.json", b"{}")
    assert "missing" in broken("d", "model.safetensors", None)
    assert "corrupt or cut short" in broken("e", "model.safetensors", (model / "model.safetensors").read_bytes()[:99])


@pytest.mark.parametrize("kind", [k for k in vars(errors).values() if isinstance(k, type)])
def test_every_error_of_the_tree_is_one_line_and_2(
    kind: type[Exception], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not issubclass(kind, errors.UnrolledError):
        return
    special = {
        errors.ShapeError: lambda: errors.ShapeError("x", "(B,)", (1, 2)),
        errors.MissingDependencyError: lambda: errors.MissingDependencyError("numpy", "all", "this"),
    }

    def fail(folder: Path) -> None:
        raise special.get(kind, lambda: kind("first line\nsecond line"))()

    monkeypatch.setattr(tasks, "load", fail)
    result = unrolled("predict", model, "x")
    assert result.code == 2
    assert complaint(result)


def test_a_defect_is_one_line_and_1_and_a_traceback_on_demand(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path) -> None:
        raise RuntimeError("what\nnow")

    monkeypatch.setattr(tasks, "load", fail)
    result = unrolled("predict", model, "x")
    assert result.code == 1
    assert complaint(result).startswith("a defect of ours, please report it: RuntimeError: what now")
    assert "--traceback" in result.err
    asked = unrolled("--traceback", "predict", model, "x")
    assert asked.code == 1
    assert "Traceback (most recent call last)" in asked.err
    monkeypatch.setenv("UNROLLED_DEBUG", "1")
    assert "Traceback" in unrolled("predict", model, "x").err


def test_ctrl_c_outside_of_training_is_130(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tasks, "load", interrupt)
    assert unrolled("predict", model, "x").code == 130


@pytest.mark.skipif(os.name != "posix", reason="pipes")
def test_a_reader_that_goes_away_is_no_failure() -> None:
    command = [sys.executable, "-m", "unrolled.cli", "data", "list"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=100)
    assert err == b""
    assert process.returncode == 141
