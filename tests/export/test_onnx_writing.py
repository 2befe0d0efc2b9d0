"""ONNX files of layers and networks, run by ONNX Runtime: ragged, in chunks, step by step, and read back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import unrolled
from unrolled.cells import Cell
from unrolled.errors import ArgumentError, StorageError
from unrolled.export import from_onnx, to_onnx
from unrolled.layers import (
    CTC,
    AdaptiveOutput,
    Embedding,
    Frames,
    LinearOutput,
    make_pooling,
)
from unrolled.networks import FeedForward, ManyToOneNetwork, OneToOneNetwork, SyncedNetwork, TaggingNetwork

STACKS: dict[str, Callable[..., unrolled.Recurrent]] = {"rnn": unrolled.RNN, "lstm": unrolled.LSTM, "gru": unrolled.GRU}
#: constructor's options; each is met with each kind
SHAPES: list[dict[str, Any]] = [
    {},
    {"num_layers": 3, "batch_first": True},
    {"bidirectional": True, "bias": False},
    {"num_layers": 2, "bidirectional": True, "batch_first": True, "dropout": 0.5},
    {"num_layers": 2, "residual": True},
    {"layer_norm": True, "bidirectional": True},
    {"layer_norm": True, "bias": False, "num_layers": 2, "batch_first": True},
    {"zoneout": 0.3, "bidirectional": True, "recurrent_dropout": 0.2},
]
OWN: dict[str, list[dict[str, Any]]] = {
    "rnn": [{"nonlinearity": "relu", "bidirectional": True}, {"nonlinearity": "sigmoid", "layer_norm": True}],
    "gru": [{"reset_after": False, "num_layers": 2}, {"reset_after": False, "layer_norm": True}],
    "lstm": [
        {"peephole": True, "bidirectional": True},
        {"coupled": True},
        {"coupled": True, "peephole": True, "num_layers": 2},
        {"proj_size": 3, "num_layers": 2, "bidirectional": True},
        {"proj_size": 3, "peephole": True, "coupled": True, "layer_norm": True, "zoneout": (0.1, 0.2)},
    ],
}


class Session:
    """An exported file in ONNX Runtime, and the same by `from_onnx`: both must give the same."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.runtime = onnxruntime.InferenceSession(path, options)
        self.module = from_onnx(path)
        self.inputs = {value.name: value.shape for value in self.runtime.get_inputs()}
        self.outputs = [value.name for value in self.runtime.get_outputs()]

    def __call__(self, **feeds: Tensor) -> dict[str, Tensor]:
        result = self.runtime.run(None, {name: tensor.numpy() for name, tensor in feeds.items()})
        again = self.module(*(feeds[name] for name in self.module.inputs))
        again = again if isinstance(again, tuple) else (again,)
        results = {name: torch.from_numpy(array) for name, array in zip(self.outputs, result, strict=True)}
        torch.testing.assert_close(list(again), list(results.values()), rtol=1e-4, atol=1e-5)
        return results

    def zeros(self, batch: int) -> dict[str, Tensor]:
        """The state before the first step."""
        return {
            name: torch.zeros([batch if size == "batch" else size for size in shape])
            for name, shape in self.inputs.items()
            if name.endswith("_in")
        }


def carried(results: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.replace("_out", "_in"): tensor for name, tensor in results.items() if name.endswith("_out")}


def exported(module: nn.Module, folder: Path, **options: Any) -> Session:
    to_onnx(module, folder / "model.onnx", **options)
    onnx.checker.check_model(folder / "model.onnx", full_check=True)
    return Session(folder / "model.onnx")


def layers() -> list[tuple[str, dict[str, Any]]]:
    return [(kind, options) for kind in STACKS for options in (*SHAPES, *OWN[kind])]


@pytest.mark.parametrize(("kind", "options"), layers(), ids=str)
def test_a_layer(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(1)
    layer = STACKS[kind](6, 6, **options).eval()
    session = exported(layer, tmp_path)
    names = layer.cell.state_names
    assert list(session.inputs) == ["x", "lengths", *(f"{name}_in" for name in names)]
    assert session.outputs == ["output", *(f"{name}_out" for name in names)]
    for lengths in ([7, 1, 4], [3, 0, 7, 5, 1], [0]):
        x = torch.randn(7, len(lengths), 6)
        for row, count in enumerate(lengths):
            x[count:, row] = torch.nan
        x = x.transpose(0, 1).contiguous() if layer.batch_first else x
        state = {name: torch.randn_like(zeros) for name, zeros in session.zeros(len(lengths)).items()}
        result = session(x=x, lengths=torch.tensor(lengths), **state)
        given = tuple(state.values())
        with torch.no_grad():
            output, final = layer(x, given if len(given) > 1 else given[0], torch.tensor(lengths))
        expected = dict(zip(session.outputs, [output, *(final if isinstance(final, tuple) else (final,))], strict=True))
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", STACKS)
@pytest.mark.parametrize("options", [{}, {"layer_norm": True}], ids=str)
def test_chunks_and_single_steps_are_the_whole(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(2)
    layer = STACKS[kind](3, 5, num_layers=2, **options).eval()
    session = exported(layer, tmp_path, lengths=False)
    assert "lengths" not in session.inputs
    x = torch.randn(9, 4, 3)
    with torch.no_grad():
        output, final = layer(x)
    for sizes in ([9], [4, 1, 4], [1] * 9):
        state, parts = session.zeros(4), []
        for chunk in x.split(sizes):
            result = session(x=chunk, **state)
            state, parts = carried(result), [*parts, result["output"]]
        torch.testing.assert_close(torch.cat(parts), output, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(list(state.values()), list(final) if isinstance(final, tuple) else [final])


def test_a_learned_initial_state_is_an_output(tmp_path: Path) -> None:
    layer = unrolled.LSTM(3, 5, num_layers=2, learn_initial_state=True).eval()
    with torch.no_grad():
        layer.initial_h.normal_()
        layer.initial_c.normal_()
    session = exported(layer, tmp_path)
    x, lengths = torch.randn(4, 2, 3), torch.tensor([4, 2])
    result = session(x=x, lengths=lengths, **session.zeros(2))
    state = {f"{n}_in": result[f"{n}_start"].expand(-1, 2, -1).contiguous() for n in ("h", "c")}
    torch.testing.assert_close(session(x=x, lengths=lengths, **state)["output"], layer(x, lengths=lengths)[0].detach())


def test_double_precision(tmp_path: Path) -> None:
    layer = unrolled.GRU(3, 5, dtype=torch.float64).eval()
    to_onnx(layer, tmp_path / "model.onnx", lengths=False)
    x, h = torch.randn(4, 2, 3, dtype=torch.float64), torch.zeros(1, 2, 5, dtype=torch.float64)
    torch.testing.assert_close(from_onnx(tmp_path / "model.onnx")(x, h)[0], layer(x)[0].detach())


def tokens_or_frames(inputs: nn.Module, time: int, batch: int) -> Tensor:
    return torch.randint(0, 11, (time, batch)) if isinstance(inputs, Embedding) else torch.randn(time, batch, 4)


@pytest.mark.parametrize("kind", STACKS)
def test_a_synced_network(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    embedding = Embedding(11, 6)
    output = LinearOutput(8, 11, tied=embedding.weight)
    network = SyncedNetwork(embedding, STACKS[kind](6, 8, num_layers=2), output, dropout=0.3).eval()
    session = exported(network, tmp_path)
    lengths, x = torch.tensor([6, 0, 3]), torch.randint(0, 11, (6, 3))
    result = session(x=x, lengths=lengths, **session.zeros(3))
    with torch.no_grad():
        logits, state = network(x, None, lengths)
    torch.testing.assert_close(result["logits"], logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(list(carried(result).values()), list(state) if isinstance(state, tuple) else [state])


def test_a_tagging_network_and_an_adaptive_output(tmp_path: Path) -> None:
    torch.manual_seed(4)
    frames = Frames(4, 6, mean=torch.randn(4), std=torch.rand(4) + 0.5)
    for network in (
        TaggingNetwork(frames, unrolled.LSTM(6, 5, bidirectional=True), LinearOutput(10, 7)),
        SyncedNetwork(Embedding(11, 6), unrolled.RNN(6, 5), AdaptiveOutput(5, 11, (3, 7), div_value=1.5)),
    ):
        session = exported(network.eval(), tmp_path)
        lengths, x = torch.tensor([6, 2, 3]), tokens_or_frames(network.inputs, 6, 3)
        result = session(x=x, lengths=lengths, **session.zeros(3))
        with torch.no_grad():
            torch.testing.assert_close(result["logits"], network(x, None, lengths)[0], rtol=1e-5, atol=1e-5)


POOLINGS = ("last", "mean", "max", "attention", "max+mean+last+attention")


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("ragged", [True, False], ids=["ragged", "whole"])
def test_a_many_to_one_network_whole_and_in_chunks(pooling: str, ragged: bool, tmp_path: Path) -> None:
    torch.manual_seed(5)
    hidden = unrolled.GRU(6, 5, residual=True)
    network = ManyToOneNetwork(Frames(4, 6), hidden, make_pooling(pooling, 5), nn.Linear(1, 1)).eval()
    network.output = LinearOutput(network.pooling.output_size, 3)
    session = exported(network, tmp_path, lengths=ragged)
    # scores far from zero: the softmax over time must not depend on where the sequence is cut
    x = 4 * torch.randn(9, 4, 4)
    lengths = torch.tensor([9, 0, 4, 6]) if ragged else None
    with torch.no_grad():
        expected = network(x, lengths)
    for sizes in ([9], [4, 1, 4], [1] * 9):
        state, begun = session.zeros(4), 0
        for chunk in x.split(sizes):
            feeds = {"x": chunk, **state}
            if lengths is not None:
                feeds["lengths"] = (lengths - begun).clamp(0, len(chunk))
            result = session(**feeds)
            state, begun = carried(result), begun + len(chunk)
        torch.testing.assert_close(result["logits"], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("ragged", [True, False], ids=["ragged", "whole"])
def test_a_bidirectional_many_to_one_network(pooling: str, ragged: bool, tmp_path: Path) -> None:
    torch.manual_seed(6)
    made = make_pooling(pooling, 10, directions=2)
    hidden = unrolled.LSTM(6, 5, bidirectional=True)
    network = ManyToOneNetwork(Embedding(11, 6), hidden, made, LinearOutput(made.output_size, 3)).eval()
    session = exported(network, tmp_path, lengths=ragged)
    assert [name for name in session.inputs if name.startswith("pool")] == []
    x, lengths = torch.randint(0, 11, (7, 4)), torch.tensor([7, 0, 4, 1]) if ragged else None
    result = session(x=x, **session.zeros(4), **({} if lengths is None else {"lengths": lengths}))
    with torch.no_grad():
        torch.testing.assert_close(result["logits"], network(x, lengths), rtol=1e-5, atol=1e-5)


def test_a_one_to_one_network(tmp_path: Path) -> None:
    torch.manual_seed(7)
    network = OneToOneNetwork(Frames(4, 6), FeedForward(6, (5, 8), dropout=0.2), LinearOutput(8, 3)).eval()
    session = exported(network, tmp_path)
    x = torch.randn(5, 4)
    torch.testing.assert_close(session(x=x)["logits"], network(x).detach(), rtol=1e-5, atol=1e-5)


def test_nodes_are_onnxs_own_where_they_can_say_it(tmp_path: Path) -> None:
    def operators(layer: nn.Module) -> set[str]:
        to_onnx(layer, tmp_path / "model.onnx")
        return {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}

    assert "LSTM" in operators(unrolled.LSTM(2, 3, peephole=True, coupled=True, bidirectional=True))
    assert "GRU" in operators(unrolled.GRU(2, 3, reset_after=False))
    assert "RNN" in operators(unrolled.RNN(2, 3, nonlinearity="relu"))
    assert "Scan" in operators(unrolled.LSTM(3, 4, proj_size=2))
    read = from_onnx(tmp_path / "model.onnx")
    assert len(read.recurrent) == 0
    to_onnx(unrolled.LSTM(2, 3), tmp_path / "model.onnx")
    layer = next(iter(from_onnx(tmp_path / "model.onnx").recurrent.values())).layers[0]
    assert isinstance(layer, unrolled.LSTM)


class OwnCell(Cell):
    name = "own"
    num_gates = 1

    def parameter_shapes(self, input_size: int, hidden_size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        return {"weight_ih": (hidden_size, input_size)}

    def state_sizes(self, hidden_size: int) -> tuple[int, ...]:
        return (hidden_size,)

    def step(self, x_gates: Tensor, state: Any, params: Any, mask: Tensor | None = None) -> Any:
        return (x_gates + state[0],)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: unrolled.Recurrent(OwnCell(), 2, 3), "layer: the cell 'own' is none of RNNCell, GRUCell, LSTMCell"),
        (lambda: nn.Linear(2, 3), "module: a Linear has no ONNX form; these have one: recurrent layers"),
        (
            lambda: SyncedNetwork(nn.Linear(2, 3), unrolled.GRU(3, 4), LinearOutput(4, 2)),
            "inputs: a Linear has no ONNX form; these have one: Embedding",
        ),
        (
            lambda: SyncedNetwork(Frames(2, 3), unrolled.GRU(3, 4), CTC()),
            "output: a CTC has no ONNX form",
        ),
    ],
)
def test_what_has_no_onnx_form_is_named(make: Callable[[], nn.Module], message: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError) as caught:
        to_onnx(make(), tmp_path / "model.onnx")
    assert message in str(caught.value)
    assert not (tmp_path / "model.onnx").exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        to_onnx(unrolled.GRU(2, 3), tmp_path / "no" / "model.onnx")
