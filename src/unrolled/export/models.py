"""Trained models of any task for other runtimes."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from unrolled.data import Tokenizer
from unrolled.errors import ArgumentError
from unrolled.export.c import Typing, to_c
from unrolled.export.html import to_html
from unrolled.export.onnx import to_onnx
from unrolled.layers import Embedding
from unrolled.networks import SyncedNetwork
from unrolled.tasks.core.model import AnyModel
from unrolled.tasks.outputs.next import session

log = logging.getLogger("unrolled.export")


def export(model: AnyModel, to: str, out: str | Path, *, weights_beside: bool = False) -> tuple[Path, ...]:
    """Write a trained model for another runtime.

    Args:
        model: of any task.
        to: "onnx", "c" or "html".
        out: the file; what does not fit into one lies beside it.
        weights_beside: "c" only: write the weights into a file of their own, not into the source.

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
            "export the model it was adapted from, or adapt that with unrolled personalise --method finetune"
        )
    if weights_beside and to != "c":
        raise ArgumentError(f"--weights-beside: only --to c has weights beside the source, not --to {to}")
    model.network.eval()
    return TARGETS[to](model, Path(out), weights_beside)


def _c(model: AnyModel, path: Path, weights_beside: bool) -> tuple[Path, ...]:
    if getattr(model.output, "mixture", None) is not None:
        log.warning("C has the network alone: the n-gram that is mixed in is left out, as by predict --ngram 0")
    return to_c(
        model.network,
        path,
        weights_beside=weights_beside,
        typing=_typing(model),
        labels=getattr(model.output, "labels", ()),
        fingerprint=model.fingerprint,
    )


def _html(model: AnyModel, path: Path, weights_beside: bool) -> tuple[Path, ...]:
    title = model.folder.name if model.folder is not None else model.task.name
    labels = getattr(model.output, "labels", ())
    return (to_html(lambda source: _c(model, source, True), path, title=title, labels=labels),)


def _typing(model: AnyModel) -> Typing | None:
    """Return how a language model reads and completes text; None for any other model."""
    tokenizer = getattr(model.input, "tokenizer", None)
    reads_tokens = isinstance(model.network, SyncedNetwork) and isinstance(model.network.inputs, Embedding)
    if not reads_tokens or not isinstance(tokenizer, Tokenizer):
        return None
    return Typing(
        tokenizer,
        start=session.start_token(model),
        max_tokens=session.MAX_TOKENS[tokenizer.kind],
        max_words=model.fitted.get("max_words", 5),
        beam=session.BEAM,
        least_log_prob=session.LEAST_LOG_PROB,
        longest_word=session.LONGEST_WORD,
        threshold=model.fitted.get("threshold"),
    )


def _onnx(model: AnyModel, path: Path, weights_beside: bool) -> tuple[Path, ...]:
    return to_onnx(model.network, path, properties={"task": model.task.name, **_files(model)})


def _files(model: AnyModel) -> Mapping[str, str]:
    """Return the texts in which a model's parts are saved, by the names of the files."""
    with tempfile.TemporaryDirectory() as folder:
        model.task.save_parts(model.parts, Path(folder))
        return {path.name: path.read_text("utf-8") for path in sorted(Path(folder).glob("*.json"))}


#: what writes a model, by what it is for
TARGETS: dict[str, Callable[[AnyModel, Path, bool], tuple[Path, ...]]] = {"onnx": _onnx, "c": _c, "html": _html}
