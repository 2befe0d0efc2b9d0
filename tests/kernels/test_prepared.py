"""Prepared inference and steps: the dispatcher's bits; two threads in lockstep; weights in bfloat16."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
import time

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import unrolled
from unrolled.cells import GRUCell, LSTMCell, RNNCell, variants
from unrolled.errors import ArgumentError, ShapeError
from unrolled.kernels import native
from unrolled.layers import Recurrent

from .paths import by_dispatcher, counted

pytestmark = pytest.mark.skipif(native.NativeEngine().unavailable() is not None, reason="the engine was not built")

SERVED = [cell for cell in variants() if type(cell) in (RNNCell, LSTMCell, GRUCell) and not cell.layer_norm]


@pytest.fixture
def threads():
    """Sets the thread count, and puts it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def _layer(cell, *args, **options):
    torch.manual_seed(5)
    return Recurrent(cell, *args, **options).eval()


def _flat(result):
    output, state = result
    return [output, *(state if isinstance(state, tuple) else (state,))]


def _same(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(_flat(a), _flat(b), strict=True))


@pytest.mark.parametrize("ragged", [False, True], ids=["dense", "ragged"])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "batch_first": True}], ids=["plain", "both"])
@pytest.mark.parametrize("cell", SERVED, ids=repr)
def test_prepared_sequences_are_those_of_the_dispatcher(cell, options, ragged: bool) -> None:
    layer = _layer(cell, 5, 9, 3, **options)
    x = torch.randn(4, 6, 5) if options else torch.randn(6, 4, 5)
    lengths = torch.tensor([6, 0, 3, 5]) if ragged else None
    with torch.no_grad():
        with counted() as dispatched:
            first = layer(x, None, lengths)
            again = layer(x, first[1], lengths)
        assert dispatched == []
        with by_dispatcher(), counted() as dispatched:
            assert _same(layer(x, None, lengths), first)
            assert _same(layer(x, first[1], lengths), again)
        assert dispatched == ["run"] * 6
    if options:
        assert again[0].is_contiguous()
    assert not again[0].requires_grad


@pytest.mark.parametrize("options", [{}, {"residual": True}], ids=["plain", "residual"])
@pytest.mark.parametrize("cell", SERVED, ids=repr)
def test_prepared_steps_are_those_of_the_dispatcher(cell, options) -> None:
    layer, x = _layer(cell, 9, 9, 3, **options), torch.randn(4, 9)
    with counted() as dispatched:
        first = layer.step(x)
        again = layer.step(x, first[1])
        stream = layer.stream(4)
        assert torch.equal(stream.step(x), first[0])
        assert torch.equal(stream.step(x), again[0])
    # a stream's first state is not with the engine yet
    assert dispatched == []
    with by_dispatcher(), counted() as dispatched:
        assert _same(layer.step(x), first)
        assert _same(layer.step(x, first[1]), again)
    assert dispatched == ["step"] * 6


def test_unusual_calls_are_dispatched() -> None:
    layer = _layer(LSTMCell(), 5, 9)
    x = torch.randn(6, 4, 5)
    with torch.no_grad():
        whole = layer(x)
        assert _same(layer(x), whole)
        assert _same(layer(x.transpose(0, 1).contiguous().transpose(0, 1)), whole)
        assert torch.equal(layer(x[:, 0])[0], whole[0][:, 0])
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(x)[0].dtype == torch.bfloat16
        with pytest.raises(ShapeError, match="input: expected"):
            layer(x[..., :4])
        with pytest.raises(ArgumentError, match=r"lengths\[1\]: expected 0 to T=6, found 7"):
            layer(x, None, torch.tensor([1, 7, 2, 3]))
        with pytest.raises(ShapeError, match=r"hx\[h\]"):
            layer(x, (torch.zeros(1, 3, 9), torch.zeros(1, 3, 9)))
        for name in ("torch", "scan"):
            with unrolled.use_engine(name):
                assert torch.allclose(layer(x)[0], whole[0], atol=1e-6)
    assert layer(x)[0].requires_grad
    assert layer(torch.randn(6, 0, 5))[0].shape == (6, 0, 9)


def test_prepared_weights_follow_the_layer() -> None:
    layer = _layer(GRUCell(), 5, 9)
    x = torch.randn(6, 1, 5)

    def output():
        with torch.no_grad():
            return layer(x)[0]

    seen = [output(), output()]
    layer.weight_hh_l0.data.mul_(0.5)
    seen.append(output())
    layer.weight_ih_l0.data = torch.randn_like(layer.weight_ih_l0)
    seen.append(output())
    layer.double()
    x = x.double()
    seen.append(output().float())
    layer.float()
    x = x.float()
    layer.load_state_dict({k: v * 2 for k, v in layer.state_dict().items()})
    seen.append(output())
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])
    assert not torch.equal(seen[2], seen[3])
    assert torch.allclose(seen[3], seen[4], atol=1e-6)
    assert not torch.equal(seen[4], seen[5])
    with torch.no_grad(), unrolled.use_engine("scan"):
        assert torch.allclose(layer(x)[0], seen[5], atol=1e-6)


def test_copies_are_independent() -> None:
    layer = _layer(LSTMCell(), 5, 9)
    x = torch.randn(1, 5)
    layer.step(x)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert _same(twin.step(x), layer.step(x))
        with torch.no_grad():
            twin.weight_hh_l0.zero_()
            twin.weight_ih_l0.zero_()
        assert not _same(twin.step(x), layer.step(x))


@pytest.mark.parametrize("batch", [1, 3, 7])
@pytest.mark.parametrize("cell", [RNNCell(), LSTMCell(), LSTMCell(peephole=True, coupled=True), GRUCell()], ids=repr)
def test_two_threads_in_lockstep_change_no_bit(cell, batch: int, threads) -> None:
    layer, x = _layer(cell, 70, 100), torch.randn(60, batch, 70)
    lengths = torch.tensor([60, 33, 7, 59, 60, 1, 20][:batch])

    def everything(count: int):
        threads(count)
        found = []
        for n in (None, lengths):
            with torch.no_grad():
                found += _flat(layer(x, None, n))
            leaf = x.clone().requires_grad_()
            layer.zero_grad()
            output, _ = layer(leaf, None, n)
            output.backward(torch.ones_like(output))
            found += [output.detach(), leaf.grad, *(p.grad.clone() for p in layer.parameters())]
        return found

    expected = everything(1)
    # whether the helper comes, and when, is chance
    for _ in range(30):
        assert all(torch.equal(a, b) for a, b in zip(everything(2), expected, strict=True))


@pytest.mark.parametrize("hidden", [170, 300])
@pytest.mark.parametrize("cell", [RNNCell(), LSTMCell(), GRUCell()], ids=repr)
def test_two_threads_that_share_steps_change_no_bit(cell, hidden: int, threads) -> None:
    # weights of 440 KiB to 3.3 MiB: such steps are shared, the shorter ones when they follow each other closely
    layer, x = _layer(cell, 500, hidden), torch.randn(400, 1, 500)

    def outputs(count: int) -> torch.Tensor:
        threads(count)
        stream = layer.stream()
        return torch.stack([stream.step(now) for now in x])

    assert torch.equal(outputs(2), outputs(1))


@pytest.mark.parametrize("cell", [RNNCell(), LSTMCell(proj_size=3), GRUCell(), GRUCell(reset_after=False)], ids=repr)
def test_bfloat16_weights_are_the_rounded_ones_and_nothing_else(cell) -> None:
    for inputs, hidden in ((5, 9), (8, 33), (1, 64)):
        layer = _layer(cell, inputs, hidden, 2)
        rounded = copy.deepcopy(layer)
        with torch.no_grad():
            for name, p in rounded.named_parameters():
                if name.startswith(("weight_ih", "weight_hh")):
                    p.copy_(p.bfloat16())
        full = copy.deepcopy(layer)
        layer.weights_dtype = torch.bfloat16
        x = torch.randn(7, 3, inputs)
        with torch.no_grad():
            expected = rounded(x)
            assert _same(layer(x), expected)
            assert _same(layer(x), expected)
            assert _same(layer.step(x[0]), rounded.step(x[0]))
            assert _same(layer.step(x[0]), rounded.step(x[0]))
            # the documented tolerance: each weight moves by one part in 256 at most
            assert torch.allclose(expected[0], full(x)[0], atol=0.05)
            assert not torch.equal(expected[0], full(x)[0])
            with unrolled.use_engine("scan"):
                assert torch.allclose(layer(x)[0], expected[0], atol=1e-5)
        # training is not rounded
        assert torch.equal(layer(x)[0], full(x)[0])
        layer.weights_dtype = None
        with torch.no_grad():
            assert _same(layer(x), full(x))


def test_bfloat16_of_other_dtypes() -> None:
    layer = _layer(GRUCell(), 5, 9).double()
    layer.weights_dtype = torch.bfloat16
    x = torch.randn(4, 2, 5, dtype=torch.float64)
    with torch.no_grad():
        rounded = copy.deepcopy(layer)
        for name in ("weight_ih_l0", "weight_hh_l0"):
            rounded.get_parameter(name).copy_(rounded.get_parameter(name).bfloat16())
        rounded.weights_dtype = None
        assert torch.equal(layer(x)[0], rounded(x)[0])
    for wrong in (torch.float16, torch.int8, "bfloat16"):
        with pytest.raises(ArgumentError, match=r"weights_dtype: expected None or torch.bfloat16, found"):
            layer.weights_dtype = wrong


def test_infinite_and_nan_weights_stay_so_in_bfloat16() -> None:
    layer = _layer(RNNCell(nonlinearity="relu"), 2, 3)
    layer.weights_dtype = torch.bfloat16
    with torch.no_grad():
        layer.weight_ih_l0[0, 0], layer.weight_ih_l0[1, 0] = float("nan"), float("inf")
        for _ in range(2):
            y, _ = layer.step(torch.ones(1, 2))
            assert y[0, 0].isnan()
            assert y[0, 1].isinf()
            assert y[0, 2].isfinite()


class _Inferred(Dataset):
    """What a layer makes of numbers, in a worker process."""

    def __init__(self, layer) -> None:
        self.layer = layer

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int):
        with torch.no_grad():
            x = torch.full((60, 1, 70), float(index))
            return self.layer(x)[0], self.layer.step(x[0])[0], self.layer.stream().step(x[0])


def test_in_the_workers_of_a_data_loader() -> None:
    data = _Inferred(_layer(LSTMCell(), 70, 100))
    expected = [data[i] for i in range(6)]
    for found, wanted in zip(DataLoader(data, batch_size=None, num_workers=2), expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_several_threads_want_the_one_helper() -> None:
    layers = [_layer(GRUCell(), 70, 100) for _ in range(4)]
    x = torch.randn(60, 1, 70)
    with torch.no_grad():
        expected = layers[0](x)[0]
    wrong: list[int] = []

    def work(k: int) -> None:
        with torch.no_grad():
            for _ in range(40):
                if not torch.equal(layers[k](x)[0], expected):
                    wrong.append(k)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


@pytest.mark.slow
def test_busy_cores_do_not_stop_the_helpers_caller(threads) -> None:
    # how long a call takes is up to the system; that a helper without a core holds nothing up for good is up to us
    spin = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(spin) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        layer, x = _layer(LSTMCell(), 128, 128), torch.randn(100, 1, 128)
        taken: dict[int, float] = {}
        with torch.no_grad():
            for count in (1, 2):
                threads(count)
                layer(x)
                start = time.perf_counter()
                for _ in range(100):
                    layer(x)
                taken[count] = time.perf_counter() - start
    finally:
        for process in busy:
            process.kill()
            process.wait()
    # a barrier that waits for a time slice at every step would take a hundred times as long
    assert taken[2] < 10 * taken[1] + 2.0
