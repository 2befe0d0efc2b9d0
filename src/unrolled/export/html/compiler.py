"""C to WebAssembly, by the compiler that the package ziglang brings."""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
from pathlib import Path

from unrolled.errors import MissingDependencyError, StorageError

log = logging.getLogger("unrolled.export")

#: vectors of 16 bytes: in every browser since 2023
_OPTIONS = ("-std=c99", "-O3", "-s", "-target", "wasm32-wasi", "-mexec-model=reactor", "-msimd128")


def check_compiler() -> None:
    """Raise unless there is a compiler.

    Raises:
        MissingDependencyError: the package ziglang is not installed.
    """
    if importlib.util.find_spec("ziglang") is None:
        raise MissingDependencyError("ziglang", "wasm", "export --to html")


def compile_wasm(folder: Path, sources: tuple[str, ...]) -> bytes:
    """Return the WebAssembly of some C, which needs nothing of its host.

    Args:
        folder: where the sources lie; the compiler writes beside them.
        sources: names of files.

    Raises:
        MissingDependencyError: the package ziglang is not installed.
        StorageError: the compiler could not write, or failed otherwise; its own words are in the message.
    """
    check_compiler()
    command = [sys.executable, "-m", "ziglang", "cc", *_OPTIONS, *sources, "-o", "model.wasm"]
    log.info("compiling: %s", " ".join(command))
    # what is compiled for one model is of no use to another
    settings = os.environ | {"ZIG_LOCAL_CACHE_DIR": str(folder / "cache")}
    run = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise StorageError(f"the compiler of ziglang failed: {run.stderr.strip()[-2000:]}")
    return (folder / "model.wasm").read_bytes()
