"""torch.onnx.export of modules with our layers in them: batch and length dynamic, equal in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import unrolled
from unrolled.errors import EngineError


class Tagger(nn.Module):
    """What a user writes: one layer, given its class, between an embedding and a linear map."""

    def __init__(self, layer: nn.Module, width: int) -> None:
        super().__init__()
        self.embedding, self.layer, self.output = nn.Embedding(9, 4), layer, nn.Linear(width, 3)

    def forward(self, tokens: Tensor, state: Any, lengths: Tensor | None = None) -> tuple[Tensor, Any]:
        h, state = self.layer(self.embedding(tokens), state, *(() if lengths is None else (lengths,)))
        return self.output(h), state


CASES: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "lstm": (unrolled.LSTM, {"num_layers": 2}),
    "gru-both-ways": (unrolled.GRU, {"bidirectional": True}),
    "rnn-relu": (unrolled.RNN, {"nonlinearity": "relu", "bias": False}),
    "lstm-batch-first": (unrolled.LSTM, {"batch_first": True}),
    "torch-lstm": (nn.LSTM, {"num_layers": 2}),
}
OURS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "lstm-peephole": (unrolled.LSTM, {"peephole": True, "coupled": True}),
    "gru-before": (unrolled.GRU, {"reset_after": False}),
    "rnn-sigmoid": (unrolled.RNN, {"nonlinearity": "sigmoid", "residual": True, "num_layers": 2}),
}


def made(name: str) -> tuple[Tagger, tuple[int, int]]:
    """Return a module, torch's layers in it accelerated, and the shape of its states but for the batch."""
    torch.manual_seed(4)
    kind, options = {**CASES, **OURS}[name]
    options = {"num_layers": 1, "bidirectional": False, **options}
    hidden = 4 if options.get("residual") else 5
    directions = 2 if options["bidirectional"] else 1
    module = Tagger(kind(4, hidden, **options), hidden * directions).eval()
    unrolled.accelerate(module)
    return module, (options["num_layers"] * directions, hidden)


def inputs(module: Tagger, shape: tuple[int, int], time: int, batch: int) -> tuple[Tensor, Any]:
    tokens = torch.randint(9, (batch, time) if getattr(module.layer, "batch_first", False) else (time, batch))
    states = tuple(torch.randn(shape[0], batch, shape[1]) for _ in range(2))
    return tokens, states if isinstance(module.layer, nn.LSTM | unrolled.LSTM) else states[0]


def flat(result: Any) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else [tensor for part in result for tensor in flat(part)]


def check(path: Path, module: Tagger, given: tuple[Any, ...]) -> None:
    session = onnxruntime.InferenceSession(path)
    feeds = dict(zip((value.name for value in session.get_inputs()), flat(given), strict=True))
    results = session.run(None, {name: tensor.numpy() for name, tensor in feeds.items()})
    with torch.no_grad():
        expected = flat(module(*given))
    for result, tensor in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, tensor.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_the_exporter_that_traces(name: str, tmp_path: Path) -> None:
    module, shape = made(name)
    given = inputs(module, shape, 5, 2)
    names = ["tokens", *(f"state_{n}" for n in range(len(flat(given)) - 1))]
    axes = {name: {1: "batch"} for name in names} | {"tokens": {0: "first", 1: "second"}}
    torch.onnx.export(module, given, tmp_path / "m.onnx", dynamo=False, input_names=names, dynamic_axes=axes)
    check(tmp_path / "m.onnx", module, given)
    check(tmp_path / "m.onnx", module, inputs(module, shape, 11, 3))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "ragged"),
    [
        ("torch-lstm", False),
        ("lstm-batch-first", False),
        ("gru-both-ways", True),
        ("gru-before", False),
        ("lstm-peephole", True),
        ("rnn-sigmoid", True),
    ],
)
def test_the_exporter_of_programs(name: str, ragged: bool, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    module, shape = made(name)
    first, second = (torch.export.Dim(name, min=2) for name in ("first", "second"))
    batch = first if getattr(module.layer, "batch_first", False) else second
    given: tuple[Any, ...] = inputs(module, shape, 5, 3)
    dims: list[Any] = [{0: first, 1: second}, {1: batch} if isinstance(given[1], Tensor) else ({1: batch}, {1: batch})]
    other: tuple[Any, ...] = inputs(module, shape, 11, 2)
    if ragged:
        given, other = (*given, torch.tensor([5, 0, 2])), (*other, torch.tensor([0, 11]))
        dims.append({0: batch})
    program = torch.onnx.export(module, given, dynamo=True, dynamic_shapes=tuple(dims), verbose=False)
    assert program is not None
    program.save(tmp_path / "m.onnx")
    check(tmp_path / "m.onnx", module, given)
    check(tmp_path / "m.onnx", module, other)


@pytest.mark.filterwarnings("ignore")
def test_what_has_no_node_says_what_writes_it(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    module = Tagger(unrolled.LSTM(4, 5, layer_norm=True), 5).eval()
    given = (torch.zeros(3, 2, dtype=torch.int64), (torch.zeros(1, 2, 5), torch.zeros(1, 2, 5)))
    with pytest.raises(Exception) as caught:
        torch.onnx.export(module, given, dynamo=True, verbose=False)
    cause: BaseException | None = caught.value
    while cause is not None and not isinstance(cause, EngineError):
        cause = cause.__cause__
    assert "unrolled.export.to_onnx writes such a layer" in str(cause)
