"""Streams of a layer: the same bits as whole sequences, alone or together, whatever happens to the layer meanwhile."""

from __future__ import annotations

import copy
import threading

import pytest
import torch

import unrolled
from unrolled.cells import GRUCell, LRUCell, LSTMCell, MogrifierLSTMCell, RNNCell, SLSTMCell, SRUCell
from unrolled.errors import ArgumentError, DTypeError, ShapeError
from unrolled.layers import LayerStream, Recurrent, step_together

CELLS = [
    RNNCell(),
    RNNCell(nonlinearity="relu"),
    LSTMCell(),
    LSTMCell(peephole=True, coupled=True, proj_size=3),
    LSTMCell(layer_norm=True),
    GRUCell(),
    GRUCell(reset_after=False),
    SRUCell(),
    LRUCell(),
    SLSTMCell(),
    MogrifierLSTMCell(),
]


def _layer(cell=None, inputs=5, hidden=9, layers=2, **options):
    torch.manual_seed(3)
    return Recurrent(cell or LSTMCell(), inputs, hidden, layers, **options).eval()


def _parts(state):
    return state if isinstance(state, tuple) else (state,)


def _equal(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(_parts(a), _parts(b), strict=True))


@pytest.mark.parametrize("options", [{}, {"residual": True}, {"learn_initial_state": True}, {"bias": False}], ids=str)
@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_a_stream_is_the_layers_own_steps(cell, options) -> None:
    if "learn_initial_state" in options and cell.joint_states:
        pytest.skip("its initial state can't be learned")
    layer = _layer(cell, hidden=5, layers=3, **options)
    x, stream, state = torch.randn(6, 2, 5), layer.stream(2), None
    for t in range(6):
        y, state = layer.step(x[t], state)
        assert torch.equal(stream.step(x[t]), y)
        assert _equal(stream.state, state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("cell", [RNNCell(), LSTMCell(), GRUCell()], ids=repr)
def test_a_stream_is_the_whole_sequence(cell, dtype) -> None:
    layer = _layer(cell, hidden=33).to(dtype)
    x, stream = torch.randn(7, 3, 5, dtype=dtype), layer.stream(3)
    with torch.no_grad():
        whole, final = layer(x)
    assert torch.equal(torch.stack([stream.step(x[t]) for t in range(7)]), whole)
    assert _equal(stream.state, final)


@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_together_is_each_alone_bit_for_bit(cell) -> None:
    layer = _layer(cell)
    sizes = [1, 2, 1, 3, 1, 1]
    alone, together = ([layer.stream(n) for n in sizes] for _ in range(2))
    for t in range(5):
        x = torch.randn(sum(sizes), 5)
        rows = torch.cat([s.step(part) for s, part in zip(alone, x.split(sizes), strict=True)])
        assert torch.equal(step_together(together, x), rows)
        # some pause, and come back in another order
        if t == 2:
            few = [together[4], together[0]]
            y = step_together(few, x[:2])
            assert torch.equal(y, torch.cat([alone[4].step(x[:1]), alone[0].step(x[1:2])]))
    assert all(_equal(a.state, b.state) for a, b in zip(alone, together, strict=True))


def test_out_is_written_and_returned() -> None:
    layer = _layer()
    one, other, x, out = layer.stream(), layer.stream(), torch.randn(1, 5), torch.full((1, 9), float("nan"))
    for _ in range(3):
        assert one.step(x, out) is out
        assert torch.equal(out, other.step(x))
    assert step_together([one], x, out) is out
    assert torch.equal(out, step_together([other], x))


def test_a_fork_goes_its_own_way() -> None:
    layer = _layer(GRUCell())
    first = layer.stream()
    x = torch.randn(4, 1, 5)
    first.step(x[0])
    second, third = first.fork(), copy.deepcopy(first)
    assert third.layer is not layer
    y = first.step(x[1])
    first.step(x[2])
    assert torch.equal(second.step(x[1]), y)
    assert torch.equal(third.step(x[1]), y)
    assert not _equal(first.state, second.state)


def test_a_state_is_a_copy_and_can_be_set() -> None:
    layer, x = _layer(), torch.randn(1, 5)
    stream = layer.stream()
    stream.step(x)
    before = stream.state
    y = stream.step(x)
    stream.state[0].fill_(7.0)
    stream.state = before
    assert torch.equal(stream.step(x), y)
    assert torch.equal(layer.stream(1, before).step(x), y)


def _optimise(layer) -> None:
    for p in layer.parameters():
        p.grad = torch.ones_like(p)
    torch.optim.SGD(layer.parameters(), lr=0.1).step()


def _load(layer) -> None:
    layer.load_state_dict({k: v + 0.1 for k, v in layer.state_dict().items()})


def _replace(layer) -> None:
    layer.weight_hh_l1 = torch.nn.Parameter(layer.weight_hh_l1.detach() * 0.5)


def _replace_behind(layer) -> None:
    layer._parameters["bias_ih_l0"] = torch.nn.Parameter(layer.bias_ih_l0.detach() + 0.5)


def _narrow(layer) -> None:
    layer.weights_dtype = torch.bfloat16


def _scan(layer) -> None:
    layer.engine = "scan"


@pytest.mark.parametrize("change", [_optimise, _load, _replace, _replace_behind, _narrow, _scan])
@pytest.mark.parametrize("cell", [LSTMCell(), GRUCell(), LSTMCell(layer_norm=True)], ids=repr)
def test_a_stream_follows_its_layer(cell, change) -> None:
    layer, x = _layer(cell), torch.randn(1, 5)
    streams = [layer.stream() for _ in range(2)]
    for _ in range(2):
        step_together(streams, x.expand(2, 5).contiguous())
    change(layer)
    expected, state = layer.step(x, streams[0].state)
    assert torch.equal(streams[0].step(x), expected)
    assert _equal(streams[0].state, state)
    assert torch.equal(step_together([streams[1]], x), expected)


def test_writes_through_data_are_seen_after_a_refresh() -> None:
    layer, x = _layer(RNNCell()), torch.randn(1, 5)
    stream = layer.stream()
    stream.step(x)
    state = stream.state
    layer.weight_hh_l0.data.mul_(0.5)
    stream.refresh()
    assert torch.equal(stream.step(x), layer.step(x, state)[0])
    layer.weight_ih_l0.data = torch.zeros_like(layer.weight_ih_l0)
    # memory that went away is not read, refreshed or not
    stream.step(x)
    stream.refresh()
    assert torch.equal(stream.step(x), layer.step(x, stream.state)[0]) is False


@pytest.mark.parametrize(
    ("x", "out", "error", "message"),
    [
        (torch.zeros(1, 4), None, ShapeError, r"x: expected shape \(B=1, I=5\)"),
        (torch.zeros(2, 5), None, ShapeError, r"x: expected shape \(B=1, I=5\)"),
        (torch.zeros(5), None, ShapeError, r"x: expected shape \(B=1, I=5\)"),
        (torch.zeros(1, 5, dtype=torch.float64), None, DTypeError, "x: expected dtype torch.float32"),
        (torch.zeros(1, 5, device="meta"), None, DTypeError, "x: expected device cpu"),
        ([0.0] * 5, None, DTypeError, "x: expected a Tensor, found list"),
        (torch.zeros(1, 5), torch.zeros(1, 8), ShapeError, r"out: expected shape \(B=1, P=9\)"),
        (torch.zeros(1, 5), torch.zeros(1, 9).double(), DTypeError, "out: expected torch.float32"),
        (torch.zeros(1, 5), [0.0] * 9, DTypeError, "out: expected a Tensor, found list"),
        (torch.zeros(1, 5), torch.zeros(1, 9, requires_grad=True), ArgumentError, "out: expected a tensor without"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(x, out, error, message) -> None:
    layer, good = _layer(), torch.ones(1, 5)
    stream = layer.stream()
    stream.step(good)
    before = stream.state
    for call in (lambda: stream.step(x, out), lambda: step_together([stream], x, out)):
        with pytest.raises(error, match=message):
            call()
    assert _equal(stream.state, before)
    assert torch.equal(stream.step(good), layer.step(good, before)[0])


def test_an_output_over_its_input_is_refused() -> None:
    layer = _layer(hidden=5)
    x = torch.zeros(1, 5)
    stream = layer.stream()
    for _ in range(2):
        with pytest.raises(ArgumentError, match="out: expected memory of its own, found that of x"):
            stream.step(x, x)
        stream.step(x)


def test_strided_and_nan_inputs() -> None:
    layer = _layer()
    stream, other = layer.stream(2), layer.stream(2)
    wide = torch.randn(2, 10)
    for _ in range(2):
        assert torch.equal(stream.step(wide[:, ::2]), other.step(wide[:, ::2].contiguous()))
    poisoned = wide[:, :5].clone()
    poisoned[0, 1] = float("nan")
    y = stream.step(poisoned)
    assert bool(y[0].isnan().all())
    assert torch.equal(y[1:], other.step(wide[:, :5])[1:])


def test_what_can_not_be_streamed() -> None:
    with pytest.raises(ArgumentError, match="stream: a bidirectional layer"):
        _layer(bidirectional=True).stream()
    with pytest.raises(ArgumentError, match="stream: dropout and zoneout"):
        _layer(dropout=0.5).train().stream()
    with pytest.raises(ArgumentError, match="batch_size: expected an integer of at least 1, found 0"):
        _layer().stream(0)
    with pytest.raises(ShapeError, match="state: expected shape"):
        _layer(GRUCell()).stream(2, torch.zeros(2, 1, 9))
    with pytest.raises(ArgumentError, match="state: expected a tuple"):
        _layer().stream(1, torch.zeros(2, 1, 9))
    layer = _layer(dropout=0.5)
    stream = layer.stream()
    stream.step(torch.zeros(1, 5))
    layer.train()
    with pytest.raises(ArgumentError, match="step: dropout and zoneout"):
        stream.step(torch.zeros(1, 5))


def test_streams_that_do_not_go_together() -> None:
    layer, x = _layer(), torch.zeros(2, 5)
    one = layer.stream()
    with pytest.raises(ArgumentError, match="streams: expected at least one"):
        step_together([], x)
    for _ in range(2):
        with pytest.raises(ArgumentError, match="streams: expected each once"):
            step_together([one, one], x)
        with pytest.raises(ArgumentError, match="streams: expected all of one layer"):
            step_together([one, _layer().stream()], x)
        one.step(x[:1])


def test_a_forced_engine_serves_streams_too() -> None:
    layer, x = _layer(), torch.randn(1, 5)
    stream, plain = layer.stream(), layer.stream()
    for _ in range(3):
        with unrolled.use_engine("scan"):
            y = stream.step(x)
        assert torch.allclose(y, plain.step(x), atol=1e-6)


def test_no_graph_whatever_the_mode() -> None:
    stream = _layer().stream()
    x = torch.zeros(1, 5, requires_grad=True)
    for _ in range(2):
        assert not stream.step(x).requires_grad
    assert not any(s.requires_grad for s in _parts(stream.state))
    with torch.inference_mode():
        inside = stream.step(torch.ones(1, 5))
    assert torch.equal(stream.fork().step(torch.ones(1, 5)), stream.step(torch.ones(1, 5)))
    assert inside.shape == (1, 9)


def test_outputs_outlive_their_stream_and_layer() -> None:
    layer = _layer()
    stream = layer.stream()
    kept = [stream.step(torch.ones(1, 5)) for _ in range(3)]
    copies = [k.clone() for k in kept]
    del layer, stream
    assert all(torch.equal(a, b) for a, b in zip(kept, copies, strict=True))
    kept[0].add_(1.0)
    assert isinstance(torch.utils.data.default_collate(kept), torch.Tensor)


@pytest.mark.parametrize("hidden", [9, 300])
def test_streams_in_several_threads(hidden: int) -> None:
    layer = _layer(GRUCell(), hidden=hidden)
    x = torch.randn(20, 4, 5)
    expected = [layer.stream() for _ in range(4)]
    rows = [[s.step(x[t, k : k + 1]) for t in range(20)] for k, s in enumerate(expected)]
    wrong: list[int] = []

    def work(k: int, stream: LayerStream) -> None:
        for t in range(20):
            if not torch.equal(stream.step(x[t, k : k + 1].contiguous()), rows[k][t]):
                wrong.append(t)

    workers = [threading.Thread(target=work, args=(k, layer.stream())) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []
