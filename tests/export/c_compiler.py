"""Programs of exported C, compiled with every warning an error and run under sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "c_programs"
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")

needs_compiler = pytest.mark.skipif(not COMPILERS, reason="no C compiler (gcc, clang) is installed")


@cache
def sanitizers(compiler: str) -> tuple[str, ...]:
    """The options that switch sanitizers on; none where the compiler came without their libraries."""
    empty = "int main(void) { return 0; }"
    command = [compiler, *SANITIZERS, "-x", "c", "-", "-o", "/dev/null"]
    return SANITIZERS if subprocess.run(command, input=empty.encode(), capture_output=True).returncode == 0 else ()


def compiled(compiler: str, program: Path, folder: Path, options: Sequence[str] = (), source: str = "model.c") -> Path:
    """A program with the exported source of a folder."""
    binary = folder / "program"
    command = [compiler, *STRICT, *sanitizers(compiler), *options, f"-I{folder}", str(program), str(folder / source)]
    result = subprocess.run([*command, "-o", str(binary), "-lm"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return binary


def run(binary: Path, *arguments: str, given: bytes = b"") -> bytes:
    """What a program writes."""
    result = subprocess.run([str(binary), *arguments], input=given, capture_output=True, check=False)
    assert result.returncode == 0, (result.returncode, result.stderr.decode())
    return result.stdout
