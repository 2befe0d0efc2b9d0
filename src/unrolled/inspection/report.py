"""Inspecting one input on its way through one model: everything measured, as a report."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from unrolled.errors import ArgumentError
from unrolled.inspection import plot
from unrolled.inspection.attention import attention_maps
from unrolled.inspection.attribution import integrated_gradients, occlusion, saliency
from unrolled.inspection.connectivity import connectivity
from unrolled.inspection.document import LAYERS, UNITS, Draw, Report, Section, table
from unrolled.inspection.gates import GateStatistics, gate_statistics
from unrolled.inspection.gradients import LARGEST_STATE, GradientFlow, gradient_flow, jacobians
from unrolled.inspection.neurons import UnitHypothesis, hypotheses, rank_units
from unrolled.inspection.unfolding import TEXTBOOK, UnfoldedLayer, UnfoldedNetwork, unfold_network
from unrolled.tasks import Model
from unrolled.tasks.core.probe import Probe
from unrolled.tasks.core.values import Progress, silent
from unrolled.types import Json

if TYPE_CHECKING:
    from unrolled.inspection.plot.theme import Figure


def inspect(
    model: Model,
    given: Any,
    *,
    at: int = -1,
    limit: int = 256,
    patterns: Sequence[str] = (),
    progress: Progress = silent,
) -> Report:
    """Inspect everything that happens to one input in a model.

    Args:
        model: any model whose task can be inspected.
        given: an input as for `predict`.
        at: the step of the output that the attributions explain.
        limit: the number of steps to inspect, the last ones of a longer input.
        patterns: regular expressions that units are searched for.
        progress: called before each part.

    Raises:
        ArgumentError: this model or input can't be inspected.
    """
    probe = model.probe(given, limit)
    wanted = _wanted(probe, patterns)
    progress("unfolding", 0, None)
    unfolded = unfold_network(probe)
    progress("following the gradients", 0, None)
    flow = gradient_flow(probe)
    gates = gate_statistics(probe)
    arrays: Json = {
        "unfolding": unfolded.as_json(),
        "gradients": flow.as_json(),
        "gates": [layer.as_json() for layer in gates],
    }
    sections = [_network_section(model, unfolded), _unfolded_section(unfolded), *_gate_sections(gates)]
    sections.append(_gradient_section(flow))
    progress("decomposing Jacobians", 0, None)
    sections.append(_jacobian_section(probe, arrays))
    progress("attributing the output", 0, None)
    sections.append(_attribution_section(probe, at, arrays))
    sections += _connectivity_sections(probe, arrays)
    sections += _attention_sections(probe, arrays)
    sections += _unit_sections(probe, wanted, arrays)
    title = f"{model.folder.name if model.folder else model.task.name}: what happens inside"
    return Report(title, probe, unfolded, flow.verdicts, sections, arrays)


def _network_section(model: Model, network: UnfoldedNetwork) -> Section:
    rows = []
    for layer_name, layer in _each_once(network).items():
        for name, shape in layer.weights.items():
            letter = TEXTBOOK.get(name, "")
            rows.append((f"{layer_name} {name}", letter, " × ".join(map(str, shape))))
    for name, shape in network.parameters.items():
        letter = {"output.weight": "V", "output.bias": "c"}.get(name, "")
        rows.append((name, letter, " × ".join(map(str, shape))))
    sentence = (
        f"{model.parameters:,} parameters for the task {model.task.name} ({model.task.shape}), the same at every step. "
        "Letters are the textbook's: U from the input, W from the step before, V to the output, b and c biases."
    )
    return Section("network", "The network", sentence, body=table(("parameter", "letter", "shape"), rows))


def _each_once(network: UnfoldedNetwork) -> dict[str, UnfoldedLayer]:
    """Return the layers by name; of those that are called several times, name[1] …, the first call."""
    layers: dict[str, UnfoldedLayer] = {}
    for layer in network.layers:
        layers.setdefault(re.sub(r"\[\d+\]", "", layer.name), layer)
    return layers


def _unfolded_section(network: UnfoldedNetwork) -> Section:
    unit = "of the forecast values' sum, standardised," if network.values else "nats"
    sentence = (
        "Step through time with the arrow keys: forwards the gates, states and outputs; backwards the error ∂L/∂h that "
        f"arrives at each step ({unit} per unit of h) and what the step adds to each weight's gradient."
    )
    widest = max(layer.values["h"].shape[1] for layer in network.layers)
    if widest > UNITS:
        sentence += f" Strips show the first {UNITS} units of a layer; norms and means are over all of them."
    if len(network.layers) > LAYERS:
        sentence += f" Of {len(network.layers)} layers the last {LAYERS} are shown."
    section = Section("unfolding", "Unfolded over time", sentence, body='<div id="unfold"></div>')
    for over, name in (("input", "unfolding"), ("output", "unfolding-output")):
        if any(layer.over == over for layer in network.layers):
            section.figures.append((name, partial(plot.plot_unfolding, network, over=over)))
    return section


def _gate_sections(gates: Sequence[GateStatistics]) -> Iterable[Section]:
    shown = [layer for layer in gates if layer.over != "own"][:4] or list(gates[:1])

    def figures(draw: Callable[..., Figure], name: str, layers: Sequence[GateStatistics]) -> list[tuple[str, Draw]]:
        return [(f"{name}-{re.sub(r'[^0-9A-Za-z_]+', '-', layer.layer)}", partial(draw, layer)) for layer in layers]

    yield Section(
        "gates",
        "Gates and states",
        "Every unit over time: gates from 0, shut, to 1, open.",
        figures(plot.plot_gates, "gates", shown),
    )
    yield Section(
        "saturation",
        "Saturation",
        "The values of gates and states; saturated is where the activation's slope is below a tenth of its largest.",
        figures(plot.plot_saturation, "saturation", shown),
    )
    known = [layer for layer in shown if layer.operating]
    yield Section(
        "activations",
        "Activation functions",
        "Each activation and its derivative, over the preactivations that occur.",
        figures(plot.plot_activations, "activations", known),
        refused="" if known else "the cell does not declare the activations of its values",
    )


def _gradient_section(flow: GradientFlow) -> Section:
    body = ""
    for verdict in flow.verdicts:
        remedies = "".join(f"<li>{html.escape(text)}</li>" for text in verdict.remedies)
        tried = f"<p>To try, the likeliest first:</p><ol>{remedies}</ol>" if remedies else ""
        body += f'<div class="verdict {verdict.kind}"><p>{html.escape(str(verdict))}.</p>{tried}</div>'
    sentence = "How much of the loss's error is left k steps back: ‖∂L/∂s‖ over all states, relative to lag 0, exact."
    return Section(
        "gradients",
        "Gradients over time",
        sentence,
        [("gradients", partial(plot.plot_gradient_flow, flow))],
        body,
    )


def _jacobian_section(probe: Probe, arrays: Json) -> Section:
    section = Section(
        "jacobians", "The recurrent Jacobian", "∂sₜ/∂sₜ₋₁ of every layer: above 1 an error grows, below 1 it shrinks."
    )
    try:
        layers = jacobians(probe)
    except ArgumentError as error:
        section.refused = f"{error}; decomposed up to {LARGEST_STATE}"
    else:
        arrays["jacobians"] = [layer.as_json() for layer in layers]
        section.figures.append(("jacobians", partial(plot.plot_jacobians, layers[:4])))
    return section


def _attribution_section(probe: Probe, at: int, arrays: Json) -> Section:
    attributions = [integrated_gradients(probe, at), occlusion(probe, at), saliency(probe, at)]
    arrays["attributions"] = [attribution.as_json() for attribution in attributions]
    target = "the forecast value, standardised" if probe.values else "ln p in nats"
    sentence = (
        f"How much each step of the input matters to one output: its share of {target}, the loss without it, and the "
        "slope there."
    )
    return Section("mattered", "What mattered", sentence, [("mattered", partial(plot.plot_attributions, attributions))])


def _connectivity_sections(probe: Probe, arrays: Json) -> Iterable[Section]:
    connections = connectivity(probe)
    arrays["connectivity"] = connections.as_json()
    if len(probe.outputs) > 1:
        slope = "∂ŷ/∂x" if probe.values else "∂ ln p/∂x"
        sentence = f"Which earlier steps each output depends on: ‖{slope}‖ as a share of its row."
        draw = partial(plot.plot_connectivity, connections)
        yield Section("connectivity", "Connections", sentence, [("connectivity", draw)])


def _attention_sections(probe: Probe, arrays: Json) -> Iterable[Section]:
    maps = attention_maps(probe)
    if not maps:
        return
    arrays["attention"] = [layer.as_json() for layer in maps]
    where = "steps of the input"
    if probe.grid is not None:
        rows, columns = probe.grid
        where = f"{rows} × {columns} parts of the image, from its upper left" if rows > 1 else "parts of the input"
    sentence = (
        f"Where the network looks for each output: weights on the {where}, which sum to 1 for each output. They tell "
        "what was looked up, not what mattered."
    )
    figures: list[tuple[str, Draw]] = [
        (f"attention-{number}", partial(plot.plot_attention, layer)) for number, layer in enumerate(maps, 1)
    ]
    yield Section("attention", "Attention", sentence, figures)


def _wanted(probe: Probe, patterns: Sequence[str]) -> list[UnitHypothesis]:
    """Return the properties that units are searched for, where the steps are a text.

    Raises:
        ArgumentError: there are patterns, and the steps are not a text.
    """
    if probe.separator is None and patterns:
        raise ArgumentError("patterns: the steps of this input are not a text that could be searched")
    if probe.separator is None or not "".join(probe.steps):
        return []
    return hypotheses(probe.steps, patterns, probe.separator)


def _unit_sections(probe: Probe, wanted: Sequence[UnitHypothesis], arrays: Json) -> Iterable[Section]:
    if not wanted:
        return
    section = Section(
        "units",
        "What single units track",
        "The unit that tracks each property of the text best: r is its correlation, AUC how well it separates them.",
    )
    try:
        units = rank_units(probe, wanted, most=3)
    except ArgumentError as error:
        section.refused = str(error)
    else:
        arrays["units"] = [unit.as_json() for unit in units]
        section.figures.append(("units", partial(plot.plot_units, units, probe.steps)))
    yield section
