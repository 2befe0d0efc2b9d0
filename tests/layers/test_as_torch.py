"""What people's programs do with torch.nn's layers, done with ours."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

import unrolled
from unrolled.errors import ArgumentError, DTypeError, ShapeError

KINDS = ("RNN", "LSTM", "GRU")


def _pair(kind: str, *args, engine: str = "auto", **options):
    """A layer of torch's and one of ours with equal parameters."""
    torch.manual_seed(0)
    theirs = getattr(nn, kind)(*args, **options)
    torch.manual_seed(0)
    return theirs, getattr(unrolled, kind)(*args, engine=engine, **options)


@pytest.mark.parametrize("engine", ["auto", "scan", "torch"])
@pytest.mark.parametrize("batch_first", [False, True], ids=["time first", "batch first"])
@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_draw_equal_dropout(kind: str, batch_first: bool, engine: str) -> None:
    options = {"num_layers": 3, "dropout": 0.5, "bidirectional": True, "batch_first": batch_first}
    theirs, ours = _pair(kind, 3, 4, engine=engine, **options)
    batches = {
        "dense": torch.randn(5, 2, 3),
        "packed": pack_sequence([torch.randn(n, 3) for n in (2, 5, 3)], enforce_sorted=False),
        "one sequence": torch.randn(5, 3),
    }
    for name, x in batches.items():
        for gradients in (False, True):
            results = []
            for layer in (theirs, ours):
                torch.manual_seed(1)
                with torch.set_grad_enabled(gradients):
                    output, _ = layer(x)
                results.append(output.data if name == "packed" else output)
            torch.testing.assert_close(*results, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_dropout_of_everything(kind: str) -> None:
    theirs, ours = _pair(kind, 3, 4, 2, dropout=1.0)
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(ours(x)[0], theirs(x)[0])
    variational = getattr(unrolled, kind)(3, 4, 2, dropout=1.0, variational=True)
    variational.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(variational(x)[0], theirs(x)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_torchs_keywords_and_ours(kind: str) -> None:
    theirs, ours = _pair(kind, 3, 4)
    x, h = torch.randn(5, 2, 3), torch.randn(1, 2, 4)
    hx = (h, h + 1) if kind == "LSTM" else h
    expected = theirs(input=x, hx=hx)[0]
    for output, _ in (ours(input=x, hx=hx), ours(x, hx=hx), ours(x=x, state=hx), ours(x, state=hx)):
        torch.testing.assert_close(output, expected)


def test_modes() -> None:
    options = [("RNN", {}), ("RNN", {"nonlinearity": "relu"}), ("LSTM", {}), ("GRU", {})]
    for kind, given in options:
        theirs, ours = _pair(kind, 3, 4, **given)
        assert (ours.mode, ours.proj_size) == (theirs.mode, theirs.proj_size)


@pytest.mark.parametrize("kind", ["RNN", "GRU"])
def test_only_an_lstm_is_projected(kind: str) -> None:
    for make in (getattr(nn, kind), getattr(unrolled, kind)):
        for size in (0, 2):
            with pytest.raises(ValueError, match="proj_size"):
                make(3, 4, proj_size=size)


def test_errors_are_caught_as_torchs() -> None:
    for layer in (nn.LSTM(3, 4), unrolled.LSTM(3, 4)):
        with pytest.raises(RuntimeError):
            layer(torch.zeros(5, 2, 2))
        with pytest.raises(RuntimeError):
            layer(torch.zeros(5, 2, 3), (torch.zeros(1, 3, 4), torch.zeros(1, 2, 4)))
    kinds_of = {ShapeError: (ArgumentError, RuntimeError), DTypeError: (TypeError, ValueError, RuntimeError)}
    for error, kinds in kinds_of.items():
        assert all(issubclass(error, kind) for kind in kinds)


@pytest.mark.parametrize("kind", KINDS)
def test_arguments_in_the_place_of_others(kind: str) -> None:
    at = 4 if kind == "RNN" else 3
    for package in (nn, unrolled):
        make = getattr(package, kind)
        for given in ((3, 4, 2, *["tanh"] * (at == 4), 0.5), (3.0, 4), (3, 4, 1, *["tanh"] * (at == 4), True, 1)):
            with pytest.raises(TypeError):
                make(*given)


class _Program(nn.Module):
    def __init__(self, layer: nn.Module, size: int = 4) -> None:
        super().__init__()
        self.rnn, self.out = layer, nn.Linear(size, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.rnn(x)[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("kind", [*KINDS, "RNNCell", "LSTMCell", "GRUCell"])
def test_a_program_is_scripted_with_torchs_layer(kind: str, tmp_path) -> None:
    theirs, ours = _pair(kind, 3, 4, **({} if "Cell" in kind else {"num_layers": 2, "bidirectional": True}))
    programs, x = [], torch.randn(5, 2, 3) if kind in KINDS else torch.randn(2, 3)
    for layer in (theirs, ours):
        torch.manual_seed(2)
        programs.append(_Program(layer, 8 if kind in KINDS else 4))
    if kind in ("RNNCell", "GRUCell"):
        for program in programs:
            program.__class__ = _CellProgram
    scripted = torch.jit.script(programs[1])
    scripted.save(tmp_path / "program.pt")
    assert type(programs[1].rnn) is getattr(nn, kind)
    assert [id(p) for p in programs[1].rnn.parameters()] == [id(p) for p in ours.parameters()]
    for program in (scripted, torch.jit.load(tmp_path / "program.pt"), programs[1]):
        torch.testing.assert_close(program(x), programs[0](x))
    assert dict(scripted.state_dict()).keys() == programs[0].state_dict().keys()


class _CellProgram(_Program):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.rnn(x))


class _Mine(unrolled.LSTM):
    pass


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: unrolled.LSTM(3, 4, peephole=True), r"torch has no operator for LSTMCell\(.*peephole=True"),
        (lambda: unrolled.GRU(3, 4, residual=True, zoneout=0.1), "torch's GRU has no residual, zoneout"),
        (lambda: unrolled.MinGRU(3, 4), "torch has no layer for the class MinGRU"),
        (lambda: _Mine(3, 4), "torch has no layer for the class _Mine"),
    ],
)
def test_a_layer_that_torch_lacks_is_traced_and_not_scripted(layer, message: str) -> None:
    program, x = _Program(layer()).eval(), torch.randn(5, 2, 3)
    with pytest.raises(ArgumentError, match=rf"torch\.jit\.script: {message}.*torch\.jit\.trace"):
        torch.jit.script(program)
    longer = torch.randn(5, 3, 3)
    torch.testing.assert_close(torch.jit.trace(program, x)(longer), program(longer))
    torch.testing.assert_close(torch.export.export(program, (x,)).module()(x), program(x))


def test_the_meta_device() -> None:
    layers = [unrolled.LSTM(3, 4, 2, bidirectional=True, learn_initial_state=True), unrolled.MinGRU(3, 4, zoneout=0.1)]
    for layer in layers:
        expected = layer(torch.zeros(5, 2, 3))
        abstract = layer.to("meta")(torch.zeros(5, 2, 3, device="meta"))
        assert abstract[0].is_meta
        shapes = [[s.shape for s in result[1]] for result in (abstract, expected)]
        assert shapes[0] == shapes[1]
    with torch.device("meta"):
        layer = unrolled.GRU(3, 4)
    layer.to_empty(device="cpu").reset_parameters()
    assert layer(torch.zeros(5, 2, 3))[0].isfinite().all()


class _Derived(nn.LSTM):
    def forward(self, input, hx=None):
        return self.weight_hh_l0[:2] * input.sum(), hx


def test_why_ours_are_no_instances_of_torchs() -> None:
    # torch.compile leaves the graph at every instance of torch.nn's, whatever its own forward does
    torch.compiler.reset()
    x = torch.randn(5, 2, 3)
    compiled = torch.compile(_Program(unrolled.LSTM(3, 4)), backend="eager", fullgraph=True)
    assert compiled(x).shape == (5, 2, 2)
    with pytest.raises(torch._dynamo.exc.Unsupported, match="RNN, GRU, or LSTM"):
        torch.compile(_Program(_Derived(3, 4)), backend="eager", fullgraph=True)(x)
