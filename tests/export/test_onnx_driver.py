"""The driver of exported models: what it decodes is what the decoders of the package decode."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import torch

from unrolled import load
from unrolled.decoding import viterbi as reference
from unrolled.decoding.ctc import finish_greedily, read_greedily
from unrolled.errors import StorageError
from unrolled.export import to_onnx
from unrolled.export.models import export
from unrolled.export.onnx import driver
from unrolled.layers import LSTM, Embedding, LinearOutput
from unrolled.networks import SyncedNetwork

STORED = Path(__file__).parents[1] / "models" / "v0.1"


def test_it_is_a_file_to_copy() -> None:
    source = Path(driver.__file__).read_text("utf-8")
    assert len(source.splitlines()) < 100
    modules = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    assert modules == {"__future__", "collections", "pathlib", "typing", "numpy", "onnxruntime"}


def test_a_language_model_writes(tmp_path: Path) -> None:
    model = load(STORED / "generate-characters" / "model")
    tokens = model.input.tokenizer.encode("See ")
    [path] = export(model, "onnx", tmp_path / "model.onnx")
    written = driver.generate(driver.OnnxModel(path), list(tokens), 12)
    network = model.network.eval()
    expected: list[int] = []
    with torch.no_grad():
        for _ in range(12):
            logits, _ = network(torch.tensor([*tokens, *expected])[:, None])
            expected.append(int(logits[-1, 0].argmax()))
    assert written == expected


@pytest.mark.parametrize("name", ["translate", "translate-joint"])
def test_a_translator_writes(name: str, tmp_path: Path) -> None:
    model = load(STORED / name / "model")
    path, beside = export(model, "onnx", tmp_path / "model.onnx")
    assert beside.name == "model.decoder.onnx"
    whole = driver.OnnxModel(path)
    assert whole.decoder is not None
    sources = ["der Hund rennt.", "der rote Mann schläft."]
    arrays = [model.input.encode(model.input.given(text)) for text in sources]
    x, lengths = model.input.feed(model.input.collate(model, arrays))
    written = driver.write(whole, whole.decoder, limit=30, x=x.numpy(), lengths=lengths.numpy())
    stepper = model.network.eval().decoding(x, lengths)
    state, tokens, expected = stepper.start(2), torch.zeros(2, dtype=torch.int64), []
    for _ in range(30):
        logits, state = stepper.step(tokens, state)
        tokens = logits.argmax(-1)
        expected.append(tokens.tolist())
    for row, text in enumerate(written):
        full = [*[step[row] for step in expected], 0]
        assert text == full[: full.index(0)]


def test_a_learned_start_begins_a_sequence(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = SyncedNetwork(Embedding(5, 3), LSTM(3, 4, learn_initial_state=True, num_layers=2), LinearOutput(4, 2))
    for name in ("initial_h", "initial_c"):
        torch.nn.init.normal_(network.hidden.get_parameter(name))
    tokens = torch.tensor([[1, 4], [0, 2]])
    [path] = to_onnx(network, tmp_path / "model.onnx", lengths=False)
    outputs, _ = driver.OnnxModel(path)(x=tokens.numpy())
    np.testing.assert_allclose(outputs["logits"], network(tokens)[0].detach().numpy(), rtol=1e-5, atol=1e-5)


def test_repeats_and_blanks_collapse() -> None:
    draw = np.random.default_rng(3)
    for _ in range(20):
        logits = draw.normal(size=(12, 3)).astype(np.float32)
        log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        emissions, state = read_greedily(log_probs)
        assert driver.collapse(logits) == [e.unit for e in (*emissions, *finish_greedily(state))]
    assert driver.collapse(np.eye(3)[[1, 1, 0, 1, 2, 2, 0]]) == [1, 1, 2]


def test_the_best_labels_are_the_decoders() -> None:
    torch.manual_seed(5)
    for steps in (1, 2, 9):
        scores = torch.randn(steps, 1, 4), torch.randn(4, 4), torch.randn(4), torch.randn(4)
        scores[1][2, 3] = -torch.inf
        expected = reference(*scores)[0][0].labels
        logits, *rest = (tensor.numpy() for tensor in scores)
        assert driver.viterbi(logits[:, 0], *rest) == expected


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        export(load(STORED / "tag-labels" / "model"), "onnx", tmp_path / "none" / "model.onnx")
