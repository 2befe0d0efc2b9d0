"""The example of docs/export.md, compiled and run, and the command that makes its source."""

from __future__ import annotations

import re
from pathlib import Path

from tests.cli.running import complaint, unrolled
from tests.export.c_compiler import COMPILERS, compiled, needs_compiler, run

from unrolled import load

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "tests" / "models" / "v0.1" / "generate-byte-pairs" / "model"


@needs_compiler
def test_the_example_completes_what_python_completes(tmp_path: Path) -> None:
    result = unrolled("export", MODEL, "--to", "c", "--out", tmp_path / "my_model.c")
    assert result.out.splitlines() == [str(tmp_path / "my_model.c"), str(tmp_path / "my_model.h")], result.err
    (example,) = re.findall(r"```c\n(.*?)```", (ROOT / "docs" / "export.md").read_text("utf-8"), re.DOTALL)
    (tmp_path / "complete.c").write_text(example, "utf-8")
    suggestions = load(MODEL).stream().push("Thank you for yo").suggest()
    for compiler in COMPILERS:
        binary = compiled(compiler, tmp_path / "complete.c", tmp_path, source="my_model.c")
        lines = run(binary, "Thank you", " for yo").decode().splitlines()
        assert lines == [f"{s.text}\t{s.score:.3f}" for s in suggestions[:8]]
        assert lines


def test_weights_beside_are_refused_where_there_are_none(tmp_path: Path) -> None:
    result = unrolled("export", MODEL, "--to", "onnx", "--out", tmp_path / "model.onnx", "--weights-beside")
    assert result.code == 2
    assert complaint(result) == "--weights-beside: only --to c has weights beside the source, not --to onnx"
