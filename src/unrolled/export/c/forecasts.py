"""Forecasters as plans of C. Letters: I input of the stack, E width of what says whose series it is."""

from __future__ import annotations

import torch

from unrolled.export.c.parts import add_output, add_stack
from unrolled.export.c.plan import Plan, table
from unrolled.networks import AutoregressiveForecaster, DirectForecaster
from unrolled.networks.forecaster import LEAST_SCALE

_NORMALISE = {"none": "AS_IT_IS", "last": "FROM_LAST", "instance": "STANDARDISED"}


def add_forecaster(plan: Plan, network: DirectForecaster | AutoregressiveForecaster) -> None:
    """Add a forecaster, which reads one value a step.

    Raises:
        ArgumentError: for a stack that has no C.
    """
    add_stack(plan, network.hidden)
    plan.define(STACKED=plan.carried, VECTOR=network.hidden.output_size, MASKED=network.masked)
    add_output(plan, network.output, network.hidden.output_size)
    plan.sources += ["state.c", "inputs/whose.c"]
    _add_whose(plan, network)
    if isinstance(network, DirectForecaster):
        _add_direct(plan, network)
    else:
        _add_autoregressive(plan, network)


def _add_whose(plan: Plan, network: DirectForecaster | AutoregressiveForecaster) -> None:
    who = network.who
    plan.define(WHOSE=who.size, CHANNELS=0 if who.own is None else len(who.own))
    plan.publish(STATIC=0 if who.described is None else who.described.in_features)
    if who.own is not None:
        # a series that has none gets their mean
        plan.define(CHANNEL_ROWS=plan.weight(torch.cat([who.own, who.own.mean(0, keepdim=True)])))
    if who.described is not None:
        plan.define(STATIC_WEIGHT=plan.weight(who.described.weight), STATIC_BIAS=plan.weight(who.described.bias))


def _add_direct(plan: Plan, network: DirectForecaster) -> None:
    known = network.inputs.features // network.segment - 1 - network.masked
    plan.publish(CONTEXT=network.context, HORIZON=network.horizon, OUTPUTS=network.outputs, KNOWN=known)
    linear = network.inputs.get_submodule("linear")
    plan.define(
        SEGMENT=network.segment,
        NORMALISE=_NORMALISE[network.normalise],
        LEAST_SCALE=f"{LEAST_SCALE!r}f",
        ROWS=plan.carry(network.context * (1 + known)),
        ROW_MEAN=plan.weight(network.inputs.mean),
        ROW_SPREAD=plan.weight(network.inputs.std),
        ROW_WEIGHT=plan.weight(linear.get_parameter("weight")),
        ROW_BIAS=plan.weight(linear.get_parameter("bias")),
        POSITIONS=plan.weight(network.position),
    )
    if network.future is not None:
        plan.define(FUTURE_WEIGHT=plan.weight(network.future.weight), FUTURE_BIAS=plan.weight(network.future.bias))
    plan.headers.append("inputs/window.h")
    plan.sources.append("inputs/window.c")


def _add_autoregressive(plan: Plan, network: AutoregressiveForecaster) -> None:
    lags = (1, *network.lags)
    known = network.hidden.input_size - network.input_width(len(network.lags), 0, network.who.size, network.masked)
    plan.publish(OLDEST=max(lags), KNOWN=known)
    plan.define(
        LAGS=table(map(str, lags)),
        VALUES=plan.carry(max(lags)),
        SCALING=plan.carry(2),
        WHOSE_VECTOR=plan.carry(network.who.size),
    )
    plan.headers.append("inputs/series.h")
    plan.sources.append("inputs/series.c")
