"""Which engine serves what, how to insist on one, and what is said."""

from __future__ import annotations

import logging

import pytest
import torch

import unrolled
from unrolled.cells import GRUCell, LSTMCell
from unrolled.errors import ArgumentError, EngineError
from unrolled.kernels import dispatch, engines, use_engine
from unrolled.kernels.aten import AtenEngine
from unrolled.kernels.contract import Engine


@pytest.fixture
def torch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a build without the native engine."""
    monkeypatch.setattr(dispatch, "engines", lambda: {"torch": AtenEngine()})
    monkeypatch.delenv("UNROLLED_ENGINE", raising=False)


class Absent(AtenEngine):
    """An engine that is installed and can't run here."""

    def unavailable(self) -> str | None:
        return "this processor lacks AVX9"


pytestmark = pytest.mark.usefixtures("torch_alone")


def test_the_first_that_does_not_refuse() -> None:
    assert str(unrolled.LSTM(2, 3).engine) == "torch (fastest engine present)"
    choice = unrolled.GRU(2, 3, reset_after=False).engine
    assert choice.name == "scan"
    assert choice.reason == "torch has no operator for GRUCell(layer_norm=False, reset_after=False)"


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: unrolled.RNN(2, 3, "sigmoid"), None),
        (lambda: unrolled.RNN(2, 3, nonlinearity="sigmoid"), "torch has no operator for RNNCell"),
        (lambda: unrolled.LSTM(2, 3, peephole=True), "torch has no operator for LSTMCell"),
        (lambda: unrolled.LSTM(2, 3, zoneout=0.1), "torch has no recurrent dropout or zoneout"),
        (lambda: unrolled.GRU(2, 3, recurrent_dropout=0.1), "torch has no recurrent dropout or zoneout"),
        (lambda: unrolled.GRU(2, 3, truncate=5), "torch's operators do not truncate BPTT"),
    ],
)
def test_reasons(layer, reason: str | None) -> None:
    if reason is None:  # the third argument is num_layers, as in torch.nn
        with pytest.raises(ArgumentError, match="num_layers: expected an integer of at least 1, found 'sigmoid'"):
            layer()
        return
    choice = layer().engine
    assert choice.name == "scan"
    assert choice.reason.startswith(reason)


def test_lengths_of_zero_and_empty_batches_go_to_the_scan_and_come_out_right() -> None:
    layer = unrolled.LSTM(2, 3)
    assert layer(torch.zeros(4, 0, 2))[0].shape == (4, 0, 3)
    output, (h_n, _) = layer(torch.ones(4, 2, 2), lengths=torch.tensor([0, 4]))
    assert output[:, 0].abs().max() == 0
    assert h_n[0, 0].abs().max() == 0
    with use_engine("torch"), pytest.raises(EngineError, match="torch can't pack a sequence of length 0"):
        layer(torch.ones(4, 2, 2), lengths=torch.tensor([0, 4]))


def test_a_layer_can_insist() -> None:
    layer = unrolled.LSTM(2, 3, engine="scan")
    assert str(layer.engine) == "scan (forced by the layer's engine=)"
    layer.engine = "torch"
    assert str(layer.engine) == "torch (forced by the layer's engine=)"
    layer.engine = "auto"
    assert layer.engine.reason == "fastest engine present"


def test_the_context_goes_before_the_layer_and_the_layer_before_the_environment(monkeypatch) -> None:
    layer, free = unrolled.LSTM(2, 3, engine="torch"), unrolled.LSTM(2, 3)
    monkeypatch.setenv("UNROLLED_ENGINE", "scan")
    assert str(free.engine) == "scan (forced by UNROLLED_ENGINE)"
    assert layer.engine.name == "torch"
    with use_engine("scan"):
        assert str(layer.engine) == "scan (forced by use_engine)"
        with use_engine("torch"):
            assert str(free.engine) == "torch (forced by use_engine)"
            with use_engine("auto"):  # lifts the force of the contexts around it, not the layer's or environment's
                assert layer.engine.reason == "forced by the layer's engine="
                assert free.engine.name == "scan"
            assert free.engine.name == "torch"
        assert layer.engine.name == "scan"
    assert layer.engine.name == "torch"


def test_the_context_ends_with_an_exception() -> None:
    with pytest.raises(KeyError), use_engine("scan"):
        raise KeyError
    assert unrolled.LSTM(2, 3).engine.name == "torch"


def test_a_forced_engine_that_refuses_is_an_error() -> None:
    layer = unrolled.GRU(2, 3, reset_after=False, engine="torch")
    message = (
        r"engine 'torch' was forced by the layer's engine=, but torch has no operator for GRUCell\(.*\); "
        r"engine='auto' would take another"
    )
    with pytest.raises(EngineError, match=message):
        layer(torch.zeros(4, 1, 2))
    with pytest.raises(EngineError, match=message):
        _ = layer.engine


def test_an_engine_that_this_build_lacks() -> None:
    layer = unrolled.LSTM(2, 3)
    with use_engine("native"):
        with pytest.raises(
            EngineError, match=r"engine 'native' was forced by use_engine, but .*not part of this build"
        ):
            layer(torch.zeros(4, 1, 2))
        with pytest.raises(
            EngineError, match=r"engine 'native' was forced by use_engine, but .*not part of this build"
        ):
            layer.step(torch.zeros(1, 2))


def test_an_engine_that_can_not_run_here(monkeypatch) -> None:
    monkeypatch.setattr(dispatch, "engines", lambda: {"native": Absent(), "torch": AtenEngine()})
    layer = unrolled.LSTM(2, 3)
    assert str(layer.engine) == "torch (this processor lacks AVX9)"
    assert layer.step(torch.zeros(1, 2))[0].shape == (1, 3)
    with use_engine("native"):
        for call in (lambda: layer(torch.zeros(4, 1, 2)), lambda: layer.step(torch.zeros(1, 2))):
            with pytest.raises(EngineError, match="forced by use_engine, but this processor lacks AVX9"):
                call()


def test_a_forced_engine_without_a_single_step() -> None:
    layer = unrolled.LSTM(2, 4, proj_size=2, engine="torch")
    with pytest.raises(EngineError, match=r"forced by the layer's engine=, but has no single step for LSTMCell\("):
        layer.step(torch.zeros(1, 2))
    layer.engine = "auto"
    assert layer.step(torch.zeros(1, 2))[0].shape == (1, 2)


@pytest.mark.parametrize("name", ["cuda", "", "Native", "pytorch"])
def test_names_unheard_of(name: str, monkeypatch) -> None:
    with pytest.raises(
        ArgumentError, match=f"engine: expected one of auto, native, torch, scan, compiled, found '{name}'"
    ):
        unrolled.LSTM(2, 3, engine=name)
    with pytest.raises(ArgumentError, match="engine: expected one of"), use_engine(name):
        pass
    monkeypatch.setenv("UNROLLED_ENGINE", name)
    with pytest.raises(ArgumentError, match="UNROLLED_ENGINE: expected one of auto, native, torch, scan, compiled"):
        unrolled.LSTM(2, 3)(torch.zeros(4, 1, 2))


def test_torch_func_goes_to_the_scan() -> None:
    layer, x = unrolled.LSTM(2, 3), torch.randn(4, 1, 2)
    expected = torch.autograd.functional.jacobian(lambda x: layer(x)[0], x)
    found = torch.func.jacrev(lambda x: layer(x)[0])(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    with (
        use_engine("torch"),
        pytest.raises(EngineError, match=r"forward-mode and torch.func transforms are the scan's"),
    ):
        torch.func.jvp(lambda x: layer(x)[0], (x,), (x,))


def test_a_detour_is_logged_once(caplog) -> None:
    layer = unrolled.GRU(2, 3, reset_after=False, truncate=17)
    with caplog.at_level(logging.INFO, "unrolled.kernels"):
        dispatch._logged.clear()
        layer(torch.zeros(4, 1, 2))
        layer(torch.zeros(4, 1, 2))
    assert [r.getMessage() for r in caplog.records] == [
        "the scan serves GRUCell(layer_norm=False, reset_after=False): torch has no operator for "
        "GRUCell(layer_norm=False, reset_after=False)"
    ]


def test_every_engine_keeps_its_name() -> None:
    for name, engine in engines().items():
        assert isinstance(engine, Engine)
        assert engine.name == name
    assert AtenEngine().step(GRUCell(layer_norm=True), torch.zeros(1, 2), (torch.zeros(1, 3),), {}) is None
    assert LSTMCell().state_sizes(3) == (3, 3)
