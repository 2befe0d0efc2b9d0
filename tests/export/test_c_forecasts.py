"""Forecasters as C: what they answer after random series, saved and loaded in between, is what Python answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.export.c_compiler import COMPILERS, PROGRAMS, compiled, needs_compiler, run
from torch import Tensor

from unrolled import load
from unrolled.export.c import to_c
from unrolled.export.models import export
from unrolled.layers import GRU, LSTM, ForecastLoss, NegativeBinomial
from unrolled.networks import AutoregressiveForecaster, DirectForecaster

STORED = Path(__file__).parents[1] / "models" / "v0.1"


def direct(normalise: Any, levels: tuple[float, ...], **options: Any) -> DirectForecaster:
    loss = ForecastLoss("quantile" if len(levels) > 1 else "mae", levels)
    hidden = GRU(8, 8, num_layers=2)
    return DirectForecaster(hidden, context=7, horizon=5, segment=3, loss=loss, normalise=normalise, **options)


FORECASTERS: dict[str, Callable[[], DirectForecaster | AutoregressiveForecaster]] = {
    "last": lambda: direct("last", (0.1, 0.5, 0.9), known=2, static=3),
    "instance": lambda: direct("instance", (0.5,), masked=True, channels=3),
    "none": lambda: direct("none", (0.5,), masked=True, known=1, channels=2, static=1),
    "nobody's": lambda: direct("last", (0.2, 0.8)),
    "autoregressive": lambda: AutoregressiveForecaster(
        GRU(13, 6), NegativeBinomial(), context=9, horizon=4, lags=(3, 5), known=2, static=2, embedding=5, masked=True
    ),
    "without-lags": lambda: AutoregressiveForecaster(
        LSTM(4, 6), NegativeBinomial(), context=9, horizon=4, channels=2, embedding=3
    ),
}


def raw(*numbers: Tensor) -> bytes:
    return b"".join(each.numpy().tobytes() for each in numbers)


def check(network: Any, folder: Path, channel: int) -> None:
    who, is_direct = network.who, isinstance(network, DirectForecaster)
    static = torch.randn(1, 0 if who.described is None else who.described.in_features)
    index = torch.tensor([channel if who.own is not None else -1])
    past = torch.randn(network.context if is_direct else network.reach - 1, 1) * 3 + 1
    past[2] = torch.nan
    given = np.array(int(index), np.int32).tobytes() + raw(static)
    if is_direct:
        known = torch.randn(
            network.context + network.horizon, 1, network.inputs.features // network.segment - 1 - network.masked
        )
        expected = network(past, known, index, static)[:, 0]
    else:
        width = network.input_width(len(network.lags), 0, who.size, network.masked)
        known = torch.randn(len(past), 1, network.hidden.input_size - width)
        shift, scale = torch.tensor([0.5]), torch.tensor([2.0])
        given += raw(shift, scale)
        # one more value before all, which nothing reads
        whole = torch.cat((torch.zeros(1, 1), past))
        x = network.reading(whole, known[len(past) - network.context :], who(index, static), (shift, scale))
        expected = network.output(network.hidden(x)[0])[:, 0]
    given += b"".join(raw(value, row) for value, row in zip(past, known, strict=False)) + raw(known[len(past) :])
    options = (f"-DDIRECT={int(is_direct)}", f"-DSTEPS={len(past)}", "-DCUT=3")
    binary = compiled(COMPILERS[0], PROGRAMS / "series.c", folder, options)
    answers = np.frombuffer(run(binary, given=given), np.float32).reshape(expected.shape)
    np.testing.assert_allclose(answers, expected.detach(), rtol=1e-5, atol=1e-5)


@needs_compiler
@pytest.mark.parametrize("name", FORECASTERS)
def test_a_forecaster(name: str, tmp_path: Path) -> None:
    torch.manual_seed(6)
    network = FORECASTERS[name]().eval()
    to_c(network, tmp_path / "model.c")
    for channel in (-1, 1):
        check(network, tmp_path, channel)


@needs_compiler
@pytest.mark.parametrize("name", ["forecast-direct", "forecast-known", "forecast-autoregressive"])
def test_a_stored_model(name: str, tmp_path: Path) -> None:
    torch.manual_seed(7)
    model = load(STORED / name / "model")
    export(model, "c", tmp_path / "model.c")
    check(model.network, tmp_path, 0)
