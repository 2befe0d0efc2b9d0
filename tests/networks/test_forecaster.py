"""Forecasters: shapes, what undoes the normalisation, missing values, steps one by one, and neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers import GRU, LSTM, RNN
from unrolled.layers.outputs.likelihoods import LIKELIHOODS, ForecastLoss
from unrolled.networks.forecaster import AutoregressiveForecaster, DirectForecaster, SeriesEmbedding, window_scale

NAN = float("nan")
LEVELS = (0.1, 0.5, 0.9)


def direct(**given: Any) -> DirectForecaster:
    torch.manual_seed(0)
    options: dict[str, Any] = {
        "context": 12,
        "horizon": 5,
        "segment": 4,
        "loss": ForecastLoss("quantile", LEVELS),
        **given,
    }
    return DirectForecaster(GRU(8, 8, 2), **options)


def autoregressive(likelihood: str = "student-t", cell: Any = LSTM, **given: Any) -> AutoregressiveForecaster:
    torch.manual_seed(0)
    options: dict[str, Any] = {
        "context": 6,
        "horizon": 4,
        "lags": (3,),
        "known": 2,
        "channels": 3,
        "embedding": 2,
        **given,
    }
    width = AutoregressiveForecaster.input_width(
        len(options["lags"]), options["known"], options["embedding"], options.get("masked", False)
    )
    return AutoregressiveForecaster(cell(width, 8), LIKELIHOODS[likelihood](), **options)


def inputs(network: Any, count: int = 3, known: int = 0, static: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    length = network.reach + network.horizon
    return {
        "values": torch.randn(length, count, generator=generator).cumsum(0),
        "known": torch.randn(length, count, known, generator=generator),
        "channel": torch.arange(count) - 1,
        "static": torch.randn(count, static, generator=generator),
    }


def ahead(network: DirectForecaster, data: dict[str, Tensor]) -> Tensor:
    found: Tensor = network(data["values"][: network.context], data["known"], data["channel"], data["static"])
    return found


@pytest.mark.parametrize("segment", [1, 4, 5, 12])
@pytest.mark.parametrize("extras", [{}, {"known": 2, "static": 3, "channels": 2, "masked": True}])
def test_quantiles_never_cross(segment: int, extras: dict[str, Any]) -> None:
    network = direct(segment=segment, **extras).eval()
    found = ahead(network, inputs(network, known=extras.get("known", 0), static=extras.get("static", 0)))
    assert found.shape == (5, 3, 3)
    assert (found.diff(dim=-1) >= 0).all()


@pytest.mark.parametrize("normalise", ["last", "instance"])
def test_a_window_lifted_is_a_forecast_lifted(normalise: Any) -> None:
    network = direct(normalise=normalise).eval()
    data = inputs(network)
    lifted = ahead(network, {**data, "values": data["values"] + 5})
    torch.testing.assert_close(lifted, ahead(network, data) + 5, rtol=1e-4, atol=1e-4)
    if normalise == "instance":
        stretched = ahead(network, {**data, "values": 3 * data["values"]})
        torch.testing.assert_close(stretched, 3 * ahead(network, data), rtol=1e-4, atol=1e-4)


def test_the_scale_of_a_window() -> None:
    past = torch.tensor([[1.0, NAN, 2.0], [3.0, NAN, 2.0], [NAN, NAN, 2.0]])
    shift, scale = window_scale(past, "instance")
    assert shift.tolist() == [2, 0, 2]
    assert scale.tolist() == pytest.approx([1, 1e-3, 1e-3])
    assert [t.tolist() for t in window_scale(past, "last")] == [[3, 0, 2], [1, 1, 1]]
    assert [t.tolist() for t in window_scale(past, "none")] == [[0, 0, 0], [1, 1, 1]]


def test_a_constant_window_is_finite_forward_and_backward() -> None:
    network = direct(normalise="instance")
    data = inputs(network)
    data["values"][:] = 2.0
    data["values"][3, 0] = NAN
    mean, _, _ = network.loss(ahead(network, data), data["values"][network.context :])
    mean.backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_what_is_missing_is_told_apart_from_what_is_zero() -> None:
    network = direct(masked=True, normalise="none").eval()
    data = inputs(network)
    missing, zero = data["values"].clone(), data["values"].clone()
    missing[5], zero[5] = NAN, 0.0
    assert not torch.allclose(ahead(network, {**data, "values": missing}), ahead(network, {**data, "values": zero}))


def test_covariates_of_the_future_are_read() -> None:
    network = direct(known=2).eval()
    data = inputs(network, known=2)
    other = data["known"].clone()
    other[-1, 1] += 1
    changed = (ahead(network, {**data, "known": other}) - ahead(network, data)).abs().amax((0, 2))
    assert (changed > 0).tolist() == [False, True, False]


def test_a_window_does_not_depend_on_those_beside_it() -> None:
    network = direct(channels=2).eval()
    data = inputs(network)
    alone = ahead(network, {k: (v[1:2] if k in ("channel", "static") else v[:, 1:2]) for k, v in data.items()})
    torch.testing.assert_close(ahead(network, data)[:, 1:2], alone)


def test_an_unknown_series_has_the_mean_vector() -> None:
    who = SeriesEmbedding(3, 0, 4)
    assert who.own is not None
    found = who(torch.tensor([2, -1]), torch.zeros(2, 0))
    torch.testing.assert_close(found, torch.stack([who.own[2], who.own.mean(0)]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: direct(horizon=0), "horizon: expected at least 1, found 0"),
        (lambda: direct(dropout=1.0), "dropout: expected 0 to below 1"),
        (lambda: DirectForecaster(GRU(7, 7), context=4, horizon=2, segment=2, loss=ForecastLoss()),
         "an even input_size"),
        (lambda: DirectForecaster(GRU(8, 8, bidirectional=True), context=4, horizon=2, segment=2, loss=ForecastLoss()),
         "one direction; it continues into the future"),
        (lambda: autoregressive(lags=(1,)), r"lags: at least 2"),
        (lambda: AutoregressiveForecaster(GRU(5, 8), LIKELIHOODS["gaussian"](), context=4, horizon=2),
         "hidden: reads input_size=5, there are 1 inputs"),
    ],
)  # fmt: skip
def test_sizes_that_do_not_fit(make: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make()


def test_shapes_that_do_not_fit() -> None:
    network = direct()
    with pytest.raises(ShapeError, match=r"past: expected shape \(C=12, N\), found \(11, 2\)"):
        network(torch.zeros(11, 2), torch.zeros(17, 2, 0), torch.zeros(2).long(), torch.zeros(2, 0))
    with pytest.raises(ShapeError, match=r"known: expected shape \(C \+ H=17, N=2, K\)"):
        network(torch.zeros(12, 2), torch.zeros(12, 2, 0), torch.zeros(2).long(), torch.zeros(2, 0))


# One step after the other


@pytest.mark.parametrize("cell", [LSTM, GRU, RNN])
@pytest.mark.parametrize("masked", [False, True])
def test_nats_are_those_of_single_steps(cell: Any, masked: bool) -> None:
    network = autoregressive(cell=cell, masked=masked).eval()
    data = inputs(network, known=2)
    if masked:
        data["values"][4:6, 1] = NAN
    nats, seen = network.nats(data["values"], data["known"], data["channel"], data["static"])
    assert nats.shape == (10, 3)
    assert int(seen.sum()) == (28 if masked else 30)
    # the state after t steps, then the likelihood of the one that follows
    shift, scale = network.scale(data["values"][: network.reach])
    whose, first, state = network.who(data["channel"], data["static"]), network.reach - network.context, None
    for step in range(10):
        at = first + step
        past, known = data["values"][: at + 1], data["known"][at : at + 1]
        x = network._inputs(past, known, shift, scale, whose, 1)
        h, state = network.hidden(x, state)
        target = torch.nan_to_num(data["values"][at])
        expected = network.likelihood.nats(network.output(h[0]), target, shift, scale)
        torch.testing.assert_close(nats[step], torch.where(seen[step], expected, 0), rtol=1e-4, atol=1e-5)


def test_reading_in_pieces_is_reading_the_whole() -> None:
    network = autoregressive().eval()
    data = inputs(network, known=2)
    values, known = data["values"][: network.reach], data["known"]
    scale, whose, first = network.scale(values), network.who(data["channel"], data["static"]), 3
    whole = network.read(values, known[first : network.reach], whose, scale)
    state = None
    for begin, end in ((0, 1), (1, 4), (4, 4), (4, 6)):
        state = network.read(values[begin : first + end], known[first + begin : first + end], whose, scale, state)
    for a, b in zip(whole, state, strict=True):
        torch.testing.assert_close(a, b)


def test_samples_follow_the_distribution_of_the_first_step() -> None:
    network = autoregressive("gaussian").eval()
    data = inputs(network, known=2)
    past, known = data["values"][: network.reach], data["known"]
    scale, whose = network.scale(past), network.who(data["channel"], data["static"])
    state = network.read(past, known[3 : network.reach], whose, scale)
    generators = [np.random.default_rng(0) for _ in range(3)]
    with torch.no_grad():
        steps = list(network.sample(past, known[network.reach :], whose, scale, state, 4000, generators))
        h, _ = network.hidden(
            network._inputs(past, known[network.reach : network.reach + 1], *scale, whose, 1, True), state
        )
        raw = network.output(h[0])
    assert [s.shape for s in steps] == [(3, 4000)] * 4
    mean = scale[0] + scale[1] * raw[:, 0]
    spread = scale[1] * torch.nn.functional.softplus(raw[:, 1])
    torch.testing.assert_close(steps[0].mean(1), mean, rtol=0, atol=float(4 * spread.max() / 4000**0.5))
    torch.testing.assert_close(steps[0].std(1), spread, rtol=0.06, atol=1e-3)


def test_counts_are_scaled_by_their_size() -> None:
    network = autoregressive("negative-binomial")
    shift, scale = network.scale(torch.tensor([[0.0]] * 6 + [[2.0], [4.0], [NAN]]))
    assert shift.tolist() == [0]
    assert scale.tolist() == pytest.approx([1 + 6 / 5])
