"""Trained models of any task for other runtimes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from unrolled.errors import ArgumentError
from unrolled.export.onnx import to_onnx
from unrolled.tasks.core.model import AnyModel


def export(model: AnyModel, to: str, out: str | Path) -> tuple[Path, ...]:
    """Write a trained model for another runtime.

    Args:
        model: of any task.
        to: "onnx".
        out: the file; what does not fit into one lies beside it.

    Returns:
        The files.

    Raises:
        ArgumentError: there is no such runtime, or a part of the model can't be written for it, naming the part.
        StorageError: a file can't be written.
        MissingDependencyError: a library is not installed.
    """
    if to not in TARGETS:
        raise ArgumentError(f"--to: expected one of {', '.join(TARGETS)}, found {to!r}")
    if model.cache is not None:
        raise ArgumentError(
            "model: what it has learned of one writer is looked up in a table, which is no part of the network; "
            "export the model it was adapted from, or adapt that with --method finetune"
        )
    model.network.eval()
    return TARGETS[to](model, Path(out))


def _onnx(model: AnyModel, path: Path) -> tuple[Path, ...]:
    return to_onnx(model.network, path, properties={"task": model.task.name, **_files(model)})


def _files(model: AnyModel) -> Mapping[str, str]:
    """Return the texts in which a model's parts are saved, by the names of the files."""
    with tempfile.TemporaryDirectory() as folder:
        model.task.save_parts(model.parts, Path(folder))
        return {path.name: path.read_text("utf-8") for path in sorted(Path(folder).glob("*.json"))}


#: what writes a model, by what it is for
TARGETS: dict[str, Callable[[AnyModel, Path], tuple[Path, ...]]] = {"onnx": _onnx}
