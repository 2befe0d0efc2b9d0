"""Resets of a layer: documents in rows, in every way of calling it; `unrolled.testing` has the checks of each cell."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import unrolled
from unrolled.errors import EngineError, ShapeError
from unrolled.layers import step_together
from unrolled.layers.recurrent.unfolding import Unfolding, recording
from unrolled.training.gradients.flow import norms_by_lag

T, B, WIDTH, H = 6, 3, 4, 5
RESET = torch.tensor([[1, 0, 0], [0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]], dtype=torch.bool)


def _layer(kind=unrolled.LSTM, **options):
    torch.manual_seed(3)
    layer = kind(WIDTH, H, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-0.7, 0.7)
    return layer


def _equal(a, b) -> bool:
    return all(torch.equal(s, t) for s, t in zip(*(s if isinstance(s, tuple) else (s,) for s in (a, b)), strict=True))


@pytest.mark.parametrize("engine", ["native", "torch", "scan"])
def test_a_reset_at_the_start_puts_the_given_state_aside(engine: str) -> None:
    layer = _layer(engine=engine)
    x, given = torch.randn(T, B, WIDTH), tuple(torch.randn(1, B, H) for _ in range(2))
    output, _ = layer(x, given, reset=RESET)
    fresh, _ = layer(x[:3])
    carried, _ = layer(x[:2], given)
    torch.testing.assert_close(output[:3, 0], fresh[:, 0])
    torch.testing.assert_close(output[:2, 1:], carried[:, 1:])


@pytest.mark.parametrize("kind", [unrolled.LSTM, unrolled.MinGRU])
def test_a_learned_state_is_what_documents_begin_with(kind) -> None:
    layer = _layer(kind, learn_initial_state=True)
    x = torch.randn(T, B, WIDTH)
    output, _ = layer(x, reset=RESET)
    torch.testing.assert_close(output[3:, 0], layer(x[3:])[0][:, 0])
    output[3, 0].sum().backward()
    assert layer.initial_h.grad.abs().sum() > 0 if kind is not unrolled.LSTM else layer.initial_c.grad.any()


def test_one_sequence_packed_sequences_and_batch_first() -> None:
    layer, lengths = _layer(bidirectional=True, num_layers=2), torch.tensor([4, 6, 2])
    x = torch.randn(T, B, WIDTH)
    expected, final = layer(x, lengths=lengths, reset=RESET)
    packed, own_final = layer(pack_padded_sequence(x, lengths, enforce_sorted=False), reset=RESET)
    torch.testing.assert_close(pad_packed_sequence(packed)[0], expected)
    assert _equal(own_final, final)
    one, _ = layer(x[:, 1], reset=RESET[:, 1])
    torch.testing.assert_close(one, expected[:, 1])
    layer.batch_first = True
    swapped, _ = layer(x.transpose(0, 1), lengths=lengths, reset=RESET.T)
    torch.testing.assert_close(swapped.transpose(0, 1), expected)
    with pytest.raises(ShapeError, match=r"reset: expected shape \(B=3, T=6\), found \(6, 3\)"):
        layer(x.transpose(0, 1), reset=RESET)


@pytest.mark.parametrize("engine", ["native", "torch", "scan"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_compiled_layer_resets(engine: str) -> None:
    torch.compiler.reset()
    layer = _layer(bidirectional=True, learn_initial_state=True, engine=engine)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = torch.randn(T, B, WIDTH)
    results = []
    for call in (compiled, layer):
        layer.zero_grad()
        output, final = call(x, lengths=torch.tensor([6, 3, 5]), reset=RESET)
        (output.cos().sum() + final[1].sum()).backward()
        results.append([output, *final, *(p.grad.clone() for p in layer.parameters())])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_onnx_has_no_resets() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = _layer()

        def forward(self, x, reset):
            return self.layer(x, reset=reset)[0]

    with pytest.raises(Exception, match="ONNX's nodes know no resets"):
        torch.onnx.export(Net().eval(), (torch.randn(T, B, WIDTH), RESET), dynamo=True, verbose=False)


def test_a_forced_engine_that_lacks_the_cell_says_so() -> None:
    with pytest.raises(EngineError, match="native"):
        _layer(unrolled.SLSTM, engine="native")(torch.randn(T, B, WIDTH), reset=RESET)


def test_streams_begin_anew_each_by_itself() -> None:
    layer = _layer(num_layers=2).eval()
    x = torch.randn(T, B, WIDTH)
    with torch.no_grad():
        expected, final = layer(x, reset=RESET)
    streams = [layer.stream(1), layer.stream(2)]
    outputs = [step_together(streams, x[t], reset=RESET[t]) for t in range(T)]
    torch.testing.assert_close(torch.stack(outputs), expected)
    joined = tuple(torch.cat(parts, 1) for parts in zip(*(s.state for s in streams), strict=True))
    for a, b in zip(joined, final, strict=True):
        torch.testing.assert_close(a, b)


def test_a_refused_step_leaves_the_state() -> None:
    stream = _layer().eval().stream(B)
    stream.step(torch.randn(B, WIDTH))
    before = stream.state
    with pytest.raises(ShapeError, match="x: expected"):
        stream.step(torch.randn(B, WIDTH + 1), reset=torch.ones(B, dtype=torch.bool))
    assert _equal(stream.state, before)


def test_traces_and_the_error_walked_back_know_resets() -> None:
    layer = _layer(unrolled.GRU, bidirectional=True, zoneout=0.2).eval().double()
    x = torch.randn(T, B, WIDTH, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([6, 6, 4])
    output, _ = layer(x, lengths=lengths, reset=RESET)
    weights = torch.randn_like(output)
    (dx,) = torch.autograd.grad((weights * output).sum(), x)
    unfolding = Unfolding.of(layer, x.detach(), lengths=lengths, reset=RESET)
    torch.testing.assert_close(unfolding.backward(weights).dx, dx)
    torch.testing.assert_close(unfolding.traces()["l0"]["h"], output.detach()[..., :H])
    previous = layer.trace(x, lengths=lengths, reset=RESET)[0]["h_prev"]
    assert not previous[3, 0].any()
    assert previous[4, 0].any()


@pytest.mark.parametrize("batch_first", [False, True])
def test_no_error_reaches_the_document_before(batch_first: bool) -> None:
    layer = _layer(batch_first=batch_first).double()
    x = torch.randn(T, B, WIDTH, dtype=torch.float64)
    swap = (lambda t: t.transpose(0, 1)) if batch_first else (lambda t: t)
    reset = torch.zeros(T, B, dtype=torch.bool)
    reset[3] = True
    with recording(layer, retain=True) as calls:
        output, _ = layer(swap(x), reset=swap(reset))
    swap(output)[-1].sum().backward()
    norms = norms_by_lag(calls[0])["l0"]
    assert all(norm > 0 for norm in norms[:3])
    assert not any(norms[3:])
