"""Language models as C: text read in any pieces, and completed, as Python reads and completes it."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from tests.export.c_compiler import COMPILERS, PROGRAMS, compiled, needs_compiler, run
from torch import nn

from unrolled import load
from unrolled.data import fit_tokenizer
from unrolled.export.models import export
from unrolled.layers import GRU, Embedding, LinearOutput
from unrolled.networks import SyncedNetwork

STORED = Path(__file__).parents[1] / "models" / "v0.1"
TEXTS = (
    "Thank you for you",
    "I'll say: we've  seen\n\n it's they're 3.14 x42 don't!",
    "naïve café – 東京 ٣٤ a\u0301b … “quoted” \u00a0\u3000 end. Next 👍🏽 one",
    "a" * 80 + " b",
    "  \t leading, and\r\nlines\n",
    "I'",
    "she'l",
    "x 'r",
)
CORPUS = " ".join(TEXTS[:3]) * 3 + " the theme of them that thank there; you your yours. We'll see it's the end!\n" * 20


class Shown(NamedTuple):
    logits: np.ndarray[Any, Any]
    suggestions: list[tuple[str, int, float, float]]


def outputs(data: bytes, classes: int) -> Iterator[Shown]:
    at = 0
    while at < len(data):
        logits = np.frombuffer(data, np.float32, classes, at)
        (count,) = struct.unpack_from("<i", data, at + 4 * classes)
        at, suggestions = at + 4 * classes + 4, []
        assert count >= 0
        for _ in range(count):
            words, size, log_prob, score = struct.unpack_from("<iidd", data, at)
            text = data[at + 24 : at + 24 + size].decode()
            suggestions.append((text, words, log_prob, score))
            at += 24 + size
        yield Shown(logits, suggestions)


def pieces_of(text: str, generator: np.random.Generator) -> list[bytes]:
    """A text cut anywhere, within characters too."""
    data = text.encode()
    cuts = sorted({0, len(data), *generator.integers(0, len(data) + 1, 6).tolist()})
    return [data[first:end] for first, end in itertools.pairwise(cuts)]


def check_typing(model: Any, folder: Path, *, beam: int, words: int, best: int, least: float) -> int:
    """Type all texts into the program and into Python; returns how many suggestions there were."""
    binary = compiled(COMPILERS[0], PROGRAMS / "typing.c", folder)
    generator, given, expected, seen = np.random.default_rng(4), b"", [], 0
    for text in TEXTS:
        given += struct.pack("<i", -1)
        typed = b""
        for piece in pieces_of(text, generator):
            given += struct.pack("<i", len(piece)) + piece + struct.pack("<i", -2)
            typed += piece
            try:
                session = model.stream().push(typed.decode())
            except UnicodeDecodeError:
                expected.append(None)
            else:
                found = session.suggest(best, max_words=words, beam_size=beam, min_log_prob=least)
                expected.append((session.logits[0].numpy(), found))
    data = run(binary, str(beam), str(words), str(best), str(least), given=given)
    written = list(outputs(data, model.network.vocabulary_size))
    for shown, wanted in zip(written, expected, strict=True):
        if wanted is not None:
            np.testing.assert_allclose(shown.logits, wanted[0], rtol=1e-5, atol=1e-5)
            assert [each[:2] for each in shown.suggestions] == [(s.text, s.words) for s in wanted[1]]
            numbers = [each[2:] for each in shown.suggestions]
            np.testing.assert_allclose(numbers, [(s.log_prob, s.score) for s in wanted[1]] or numbers, atol=1e-4)
            seen += len(wanted[1])
    return seen


@needs_compiler
@pytest.mark.parametrize("name", ["generate-characters", "generate-byte-pairs"])
def test_a_stored_model_completes_what_is_typed(name: str, tmp_path: Path) -> None:
    model = load(STORED / name / "model")
    export(model, "c", tmp_path / "model.c")
    assert f"#define MODEL_THRESHOLD {model.fitted['threshold']!r}" in (tmp_path / "model.h").read_text("utf-8")
    check_typing(model, tmp_path, beam=4, words=5, best=3, least=-5.0)


@needs_compiler
@pytest.mark.parametrize(
    "kind, beam, words, best, least",
    [("char", 4, 5, 3, -9.0), ("byte", 8, 9, 2, -30.0), ("bpe", 4, 5, 3, -9.0), ("bpe", 8, 2, 1, -30.0)],
)
def test_a_model_of_random_weights(
    kind: str, beam: int, words: int, best: int, least: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(STORED / "generate-byte-pairs" / "model")
    tokenizer = fit_tokenizer(kind, [CORPUS], 400 if kind == "bpe" else None)
    torch.manual_seed(5)
    size = tokenizer.vocabulary_size
    model.network = SyncedNetwork(Embedding(size, 8), GRU(8, 12), LinearOutput(12, size)).eval()
    for name, parameter in model.network.named_parameters():
        nn.init.normal_(parameter, std=0.5 if name.startswith("hidden") else 2.0)
    monkeypatch.setattr(model.input, "tokenizer", tokenizer)
    export(model, "c", tmp_path / "model.c")
    seen = check_typing(model, tmp_path, beam=beam, words=words, best=best, least=least)
    assert seen > 5


def test_an_ngram_that_is_mixed_in_is_left_out_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = load(STORED / "generate-characters" / "model")
    monkeypatch.setattr(model.output, "mixture", SimpleNamespace(fingerprint="00"))
    export(model, "c", tmp_path / "model.c")
    assert "the n-gram that is mixed in is left out, as by predict --ngram 0" in caplog.text
