"""`unrolled export`: what it writes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from .running import complaint, unrolled

pytest.importorskip("onnxruntime")

STORED = Path(__file__).parents[1] / "models" / "v0.1"


def test_the_files_that_were_written_are_printed(tmp_path: Path) -> None:
    result = unrolled("export", STORED / "tag-labels" / "model", "--to", "onnx", "--out", tmp_path / "tagger.onnx")
    assert (result.code, result.out) == (0, f"{tmp_path / 'tagger.onnx'}\n"), result.err
    result = unrolled("export", STORED / "translate" / "model", "--to", "onnx", "--out", tmp_path / "x.onnx")
    assert result.out.splitlines() == [str(tmp_path / "x.onnx"), str(tmp_path / "x.decoder.onnx")]
    assert {path.name for path in tmp_path.iterdir()} == {"tagger.onnx", "x.onnx", "x.decoder.onnx"}


def test_what_can_not_be_exported_is_one_line(tmp_path: Path) -> None:
    personal = STORED / "generate-personal" / "model"
    result = unrolled("export", personal, "--to", "onnx", "--out", tmp_path / "m.onnx")
    assert result.code == 2
    assert complaint(result).startswith("model: what it has learned of one writer")
    result = unrolled("export", personal, "--to", "flash", "--out", tmp_path / "m.onnx")
    assert complaint(result) == "--to: expected one of onnx, c, found 'flash'"
    result = unrolled("export", STORED / "tag-labels" / "model", "--to", "onnx", "--out", tmp_path / "no" / "m.onnx")
    assert result.code == 2
    assert str(tmp_path / "no") in complaint(result)
