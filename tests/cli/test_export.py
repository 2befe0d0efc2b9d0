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
    assert complaint(result) == "--to: expected one of onnx, c, html, found 'flash'"
    result = unrolled("export", STORED / "tag-labels" / "model", "--to", "onnx", "--out", tmp_path / "no" / "m.onnx")
    assert result.code == 2
    assert str(tmp_path / "no") in complaint(result)


def test_the_way_out_of_a_table_can_be_gone(tmp_path: Path) -> None:
    base = STORED / "generate-characters" / "model"
    own = tmp_path / "own.txt"
    own.write_text("Thank you for your note. I'll see you at the station on Monday.\n" * 40, "utf-8")
    personal = unrolled("personalise", base, own, "--out", tmp_path / "cache", "--method", "cache", "--threads", 1)
    assert personal.code == 0, personal.err
    refused = unrolled("export", tmp_path / "cache", "--to", "onnx", "--out", tmp_path / "m.onnx")
    advice = "export the model it was adapted from, or adapt that with unrolled personalise --method finetune"
    assert complaint(refused).endswith(advice)
    assert unrolled("export", base, "--to", "onnx", "--out", tmp_path / "base.onnx").code == 0
    options = ("--method", "finetune", "--minutes", 0.02, "--threads", 1)
    tuned = unrolled("personalise", base, own, "--out", tmp_path / "tuned", *options)
    assert tuned.code == 0, tuned.err
    for runtime, name in (("onnx", "tuned.onnx"), ("c", "tuned.c")):
        result = unrolled("export", tmp_path / "tuned", "--to", runtime, "--out", tmp_path / name)
        assert result.code == 0, result.err


@pytest.mark.parametrize(
    ("model", "lack"),
    [
        ("translate", "attention and the decoder that looks back through it"),
        ("caption", "attention and the decoder that looks back through it"),
        ("label-both-ways", "bidirectional stack, which reads the future"),
        ("tag-entities", "CRF, which finds the labels of a sentence once it is whole"),
    ],
)
def test_what_c_lacks_is_named_and_goes_to_onnx(model: str, lack: str, tmp_path: Path) -> None:
    for runtime in ("c", "html"):
        result = unrolled("export", STORED / model / "model", "--to", runtime, "--out", tmp_path / f"m.{runtime}")
        assert result.code == 2
        assert complaint(result) == f"model: a C export has no {lack}; --to onnx exports it"
    assert not list(tmp_path.iterdir())
    result = unrolled("export", STORED / model / "model", "--to", "onnx", "--out", tmp_path / "m.onnx")
    assert result.code == 0, result.err
