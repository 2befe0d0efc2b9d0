"""A series and its forecast laid out for inspection. C context, H horizon."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unrolled.networks.forecaster import AutoregressiveForecaster, DirectForecaster
from unrolled.tasks.core.fitted import AnyFitted
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.values import InputSteps
from unrolled.tasks.outputs.numbers.network import Forecaster, SeriesBatch, forecaster_of, levels_of, middle_of


def probe_forecast(model: AnyFitted, steps: InputSteps) -> Probe:
    """Ask a direct forecaster about the middle of each step's forecast: many-to-many. Ask one that reads its values one
    by one at each what it expects the next to be: synced.

    Args:
        model: the model.
        steps: the window, whole, and the names of the last segments or values of its past; those before are read.
    """
    network = forecaster_of(model)
    batch, _ = model.input.feed(steps.data)
    if isinstance(network, AutoregressiveForecaster):
        return _probe_values(network, batch, steps)
    levels, past = levels_of(model), batch.values[: network.context]
    first = step_count(network) - len(steps.names)
    with torch.no_grad():
        state = network.read(past, batch.known, stop=first) if first else None
    return Probe(
        network=network,
        input_layer=network.inputs,
        steps=steps.names,
        run=lambda: network(past, batch.known, batch.channel, batch.static, (first, state))[:, 0],
        outputs=tuple(f"+{n + 1}" for n in range(network.horizon)),
        classes=lambda k: f"quantile {levels[k]:g}" if levels else "forecast",
        targets=torch.full((network.horizon,), middle_of(model)),
        note=steps.note,
        values=True,
    )


def _probe_values(network: AutoregressiveForecaster, batch: SeriesBatch, steps: InputSteps) -> Probe:
    context, reach = network.context, network.reach
    past, known = batch.values[:reach], batch.known[reach - context + 1 : reach + 1]
    first = context - len(steps.names)
    inputs = nn.Identity()
    with torch.no_grad():
        scale = network.scale(past)
        x = network.reading(past, known, network.who(batch.channel, batch.static), scale)
        state = network.hidden(x[:first])[1] if first else None

    def run() -> Tensor:
        h, _ = network.hidden(inputs(x[first:]), state)
        return network.likelihood.middle(network.output(h), *scale)

    return Probe(
        network=network,
        input_layer=inputs,
        steps=steps.names,
        run=run,
        outputs=(*steps.names[1:], "+1"),
        classes=lambda k: "forecast",
        targets=torch.zeros(len(steps.names), dtype=torch.int64),
        note=steps.note,
        values=True,
        synced=True,
    )


def step_count(network: Forecaster) -> int:
    """Return how many steps a forecaster reads of a window: segments of a direct one, values of another."""
    return -(-network.context // network.segment) if isinstance(network, DirectForecaster) else network.context


def step_names(network: Forecaster, limit: int) -> tuple[tuple[str, ...], str]:
    """Name the last `limit` steps that a forecaster reads, by their place before the forecast; and those left out."""
    count = step_count(network)
    first = max(0, count - limit)
    if isinstance(network, DirectForecaster):
        size, name = network.segment, "segments"
        names = tuple(f"{(n - count) * size} … {(n - count + 1) * size - 1}" for n in range(first, count))
    else:
        name, names = "values", tuple(str(n - count + 1) for n in range(first, count))
    return names, f"the first {first:,} {name} were read and are not shown" if first else ""
