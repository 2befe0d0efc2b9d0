"""One HTML file about one input on its way through one model: opened in any browser, with no network."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.errors import ArgumentError
from unrolled.inspection import plot
from unrolled.inspection.attention import attention_maps
from unrolled.inspection.attribution import integrated_gradients, occlusion, saliency
from unrolled.inspection.connectivity import connectivity
from unrolled.inspection.gates import GateStatistics, gate_statistics
from unrolled.inspection.gradients import LARGEST_STATE, gradient_flow, jacobians
from unrolled.inspection.neurons import Hypothesis, hypotheses, rank_units
from unrolled.inspection.plot.theme import rendered
from unrolled.inspection.unfolding import TEXTBOOK, UnfoldedNetwork, unfold_network
from unrolled.storage import make_folder, plain_json, write_whole
from unrolled.tasks import Model
from unrolled.tasks.core.probe import Probe
from unrolled.training.gradients.verdict import Verdict

#: units and layers that the interactive part carries; more would make the file slow to open
UNITS, LAYERS = 64, 8

#: a picture's name, and how it is drawn under a theme
Figure = tuple[str, Callable[[str], Any]]


@dataclass
class Section:
    """A part of the report.

    Attributes:
        name: for links.
        title: its heading.
        sentence: what is seen, and in which unit.
        figures: name and how it is drawn under a theme.
        body: HTML that goes between sentence and figures.
        refused: why it is not there, if it is not.
    """

    name: str
    title: str
    sentence: str
    figures: list[Figure] = field(default_factory=list)
    body: str = ""
    refused: str = ""


@dataclass
class Report:
    """Everything that was found, before it is written.

    Attributes:
        title: model and task.
        probe: the input.
        unfolded: the network over it.
        verdicts: on the gradients of each layer.
        sections: in the order in which they are shown.
        arrays: everything as JSON, by section.
    """

    title: str
    probe: Probe
    unfolded: UnfoldedNetwork
    verdicts: tuple[Verdict, ...]
    sections: list[Section]
    arrays: dict[str, Any]

    def write(self, path: str | Path, pictures: bool = False) -> list[Path]:
        """Write the report.

        Args:
            path: the HTML file.
            pictures: also each picture as PNG and SVG, light, beside it.

        Raises:
            StorageError: it can't be written.
        """
        target = Path(path)
        make_folder(target.parent)
        written = [target]
        write_whole(target, self.as_html().encode())
        if pictures:
            for section in self.sections:
                for name, draw in section.figures:
                    written += plot.save(draw("light"), target.parent / f"{target.stem}-{name}")
        return written

    def as_html(self) -> str:
        """The whole file."""
        page = resources.files("unrolled.inspection") / "page"
        css, script = ((page / name).read_text("utf-8") for name in ("report.css", "unfold.js"))
        links = " ".join(f'<a href="#{s.name}">{html.escape(s.title)}</a>' for s in self.sections)
        note = f'<p class="soft">{html.escape(self.probe.note)}</p>' if self.probe.note else ""
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self.title)}</title><style>{css}</style></head><body>"
            f"<h1>{html.escape(self.title)}</h1>{note}<nav>{links}</nav>"
            f"{''.join(_section_html(section) for section in self.sections)}"
            f'<script type="application/json" id="unfolded">{_safe_json(_compact(self.unfolded))}</script>'
            f"<script>{script}</script></body></html>\n"
        )

    def _repr_html_(self) -> str:
        """In a notebook: the whole report in a frame of its own."""
        return f'<iframe srcdoc="{html.escape(self.as_html())}" style="width:100%;height:42em;border:0"></iframe>'


def inspect(
    model: Model,
    given: Any,
    *,
    at: int = -1,
    limit: int = 256,
    patterns: Sequence[str] = (),
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Report:
    """Look at everything that happens to one input in a model.

    Args:
        model: any model whose task can be looked into.
        given: an input as for `predict`.
        at: the step of the output that the attributions are about.
        limit: steps that are looked at, the last ones of a longer input.
        patterns: regular expressions that units are searched for.
        progress: told how far it has come.

    Raises:
        ArgumentError: this model or input can't be looked into.
    """
    told = progress or (lambda *_: None)
    probe = model.probe(given, limit)
    wanted = _wanted(probe, patterns)
    told("unfolding", 0, None)
    unfolded = unfold_network(probe)
    told("following the gradients", 0, None)
    flow = gradient_flow(probe)
    sections = [_network_section(model, unfolded), _unfolded_section(unfolded)]
    arrays: dict[str, Any] = {"unfolding": unfolded.as_json(), "gradients": flow.as_json()}
    gates = gate_statistics(probe)
    arrays["gates"] = [one.as_json() for one in gates]
    sections += _gate_sections(gates)
    sections.append(_gradient_section(flow))

    told("decomposing Jacobians", 0, None)
    section = Section(
        "jacobians", "The recurrent Jacobian", "∂sₜ/∂sₜ₋₁ of every layer: above 1 an error grows, below 1 it shrinks."
    )
    try:
        found = jacobians(probe)
        arrays["jacobians"] = [one.as_json() for one in found]
        section.figures.append(("jacobians", lambda theme: plot.plot_jacobians(found[:4], theme)))
    except ArgumentError as error:
        section.refused = f"{error}; decomposed up to {LARGEST_STATE}"
    sections.append(section)

    told("asking what mattered", 0, None)
    shares = [integrated_gradients(probe, at), occlusion(probe, at), saliency(probe, at)]
    arrays["attributions"] = [one.as_json() for one in shares]
    asked = "the forecast value, standardised" if probe.values else "ln p in nats"
    sentence = (
        f"How much each step of the input matters to one output: its share of {asked}, what is lost without it, and "
        "the slope there."
    )
    sections.append(
        Section(
            "mattered", "What mattered", sentence, [("mattered", lambda theme: plot.plot_attributions(shares, theme))]
        )
    )
    connected = connectivity(probe)
    arrays["connectivity"] = connected.as_json()
    if len(probe.outputs) > 1:
        slope = "∂ŷ/∂x" if probe.values else "∂ ln p/∂x"
        sentence = f"Which earlier steps each output leans on: ‖{slope}‖ as a share of its row."
        draw = [("connectivity", lambda theme: plot.plot_connectivity(connected, theme))]
        sections.append(Section("connectivity", "Connections", sentence, draw))
    sections += _attention_sections(probe, arrays)
    sections += _unit_sections(probe, wanted, arrays)
    title = f"{model.folder.name if model.folder else model.task.name}: what happens inside"
    return Report(title, probe, unfolded, flow.verdicts, sections, arrays)


def _network_section(model: Model, found: UnfoldedNetwork) -> Section:
    rows = []
    for layer_name, layer in _each_once(found).items():
        for name, shape in layer.weights.items():
            letter = TEXTBOOK.get(name, "")
            rows.append((f"{layer_name} {name}", letter, " × ".join(map(str, shape))))
    for name, shape in found.parameters.items():
        letter = {"output.weight": "V", "output.bias": "c"}.get(name, "")
        rows.append((name, letter, " × ".join(map(str, shape))))
    sentence = (
        f"{model.parameters:,} parameters for the task {model.task.name} ({model.task.shape}), the same at every step. "
        "Letters are the textbook's: U from the input, W from the step before, V to the output, b and c biases."
    )
    return Section("network", "The network", sentence, body=_table(("parameter", "letter", "shape"), rows))


def _each_once(found: UnfoldedNetwork) -> dict[str, Any]:
    """Layers by name; of those that the network passes through several times, name[1] …, the first."""
    seen: dict[str, Any] = {}
    for layer in found.layers:
        seen.setdefault(re.sub(r"\[\d+\]", "", layer.name), layer)
    return seen


def _unfolded_section(found: UnfoldedNetwork) -> Section:
    unit = "of the forecast values' sum, standardised," if found.values else "nats"
    sentence = (
        "Step through time with the arrow keys: forwards the gates, states and outputs; backwards the error ∂L/∂h that "
        f"arrives at each step ({unit} per unit of h) and what the step adds to each weight's gradient."
    )
    widest = max(layer.values["h"].shape[1] for layer in found.layers)
    if widest > UNITS:
        sentence += f" Strips show the first {UNITS} units of a layer; norms and means are over all of them."
    if len(found.layers) > LAYERS:
        sentence += f" Of {len(found.layers)} layers the last {LAYERS} are shown."
    section = Section("unfolding", "Unfolded over time", sentence, body='<div id="unfold"></div>')
    for over, name in (("input", "unfolding"), ("output", "unfolding-output")):
        if any(layer.over == over for layer in found.layers):
            section.figures.append((name, lambda theme, over=over: plot.plot_unfolding(found, theme=theme, over=over)))  # type: ignore[misc]
    return section


def _gate_sections(gates: Sequence[GateStatistics]) -> Iterable[Section]:
    shown = [one for one in gates if one.over != "own"][:4] or list(gates[:1])

    def drawn(draw: Callable[..., Any], name: str, some: Sequence[GateStatistics]) -> list[Figure]:
        return [
            (f"{name}-{re.sub(r'[^0-9A-Za-z_]+', '-', one.layer)}", lambda theme, one=one: draw(one, theme=theme))  # type: ignore[misc]
            for one in some
        ]

    yield Section(
        "gates",
        "Gates and states",
        "Every unit through time: gates from 0, shut, to 1, open.",
        drawn(plot.plot_gates, "gates", shown),
    )
    yield Section(
        "saturation",
        "Saturation",
        "Where gates and states lie; saturated is where the activation's slope is below a tenth of its largest.",
        drawn(plot.plot_saturation, "saturation", shown),
    )
    known = [one for one in shown if one.operating]
    yield Section(
        "activations",
        "Activation functions",
        "Each activation and its derivative, over the preactivations that really occur.",
        drawn(plot.plot_activations, "activations", known),
        refused="" if known else "the cell does not say of which activations its values are",
    )


def _gradient_section(flow: Any) -> Section:
    body = ""
    for verdict in flow.verdicts:
        remedies = "".join(f"<li>{html.escape(text)}</li>" for text in verdict.remedies)
        tried = f"<p>To try, the likeliest first:</p><ol>{remedies}</ol>" if remedies else ""
        body += f'<div class="verdict {verdict.kind}"><p>{html.escape(str(verdict))}.</p>{tried}</div>'
    sentence = "How much of the loss's error is left after k steps back: ‖∂L/∂h‖ at lag k, relative to lag 0, exact."
    return Section(
        "gradients",
        "Gradients over time",
        sentence,
        [("gradients", lambda theme: plot.plot_gradient_flow(flow, theme))],
        body,
    )


def _attention_sections(probe: Probe, arrays: dict[str, Any]) -> Iterable[Section]:
    maps = attention_maps(probe)
    if not maps:
        return
    arrays["attention"] = [one.as_json() for one in maps]
    where = "steps of the input"
    if probe.grid is not None:
        rows, columns = probe.grid
        where = f"{rows} × {columns} parts of the image, from its upper left" if rows > 1 else "parts of the input"
    sentence = (
        f"Where the network looks as it says each output: weights on the {where}, which sum to 1 for each output. They "
        "tell what was looked up, not what mattered."
    )
    figures: list[Figure] = [
        (f"attention-{number + 1}", lambda theme, one=one: plot.plot_attention(one, theme))  # type: ignore[misc]
        for number, one in enumerate(maps)
    ]
    yield Section("attention", "Attention", sentence, figures)


def _wanted(probe: Probe, patterns: Sequence[str]) -> list[Hypothesis]:
    """What units are searched for, where the steps are a text.

    Raises:
        ArgumentError: patterns for steps that are none.
    """
    if probe.separator is None and patterns:
        raise ArgumentError("patterns: the steps of this input are no text that could be searched")
    if probe.separator is None or not "".join(probe.steps):
        return []
    return hypotheses(probe.steps, patterns, probe.separator)


def _unit_sections(probe: Probe, wanted: Sequence[Hypothesis], arrays: dict[str, Any]) -> Iterable[Section]:
    if not wanted:
        return
    section = Section(
        "units",
        "What single units track",
        "The unit that follows each property of the text best: r is its correlation, AUC how well it tells them apart.",
    )
    try:
        units = rank_units(probe, wanted, most=3)
    except ArgumentError as error:
        section.refused = str(error)
    else:
        arrays["units"] = [one.as_json() for one in units]
        section.figures.append(("units", lambda theme: plot.plot_units(units, probe.steps, theme)))
    yield section


def _section_html(section: Section) -> str:
    figures = ""
    for name, draw in section.figures:
        images = "".join(
            f'<img class="{theme}-only" alt="{html.escape(section.title)}: {html.escape(name)}" '
            f'src="data:image/png;base64,{base64.b64encode(rendered(draw(theme), "png")).decode()}">'
            for theme in ("light", "dark")
        )
        figures += f"<figure>{images}</figure>"
    refused = f'<p class="soft">Not shown: {html.escape(section.refused)}.</p>' if section.refused else ""
    return (
        f'<section id="{section.name}"><h2>{html.escape(section.title)}</h2><p>{html.escape(section.sentence)}</p>'
        f"{refused}{section.body}{figures}</section>"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{''.join(f'<th>{h}</th>' for h in head)}</tr></thead><tbody>{cells}</tbody></table>"


def _compact(found: UnfoldedNetwork) -> dict[str, Any]:
    """The interactive part's data: three digits, at most 64 units of the last 8 layers, norms and means over all."""
    whole = found.as_json()
    whole["layers"] = whole["layers"][-LAYERS:]
    for layer in whole["layers"]:
        whole_values = {k: np.asarray(v) for k, v in layer["values"].items()}
        layer["means"] = {k: _rounded(v.mean(1)) for k, v in whole_values.items()}
        layer["norms"] = _rounded(np.linalg.norm(whole_values["h"], axis=1))
        for group in ("values", "errors"):
            layer[group] = {k: _rounded(np.asarray(v)[:, :UNITS]) for k, v in layer[group].items()}
        layer["error_norms"] = _rounded(np.asarray(layer["error_norms"]))
        layer["shares"] = {k: _rounded(np.asarray(v)) for k, v in layer["shares"].items()}
    return whole


def _rounded(values: Any) -> Any:
    """Three significant digits."""
    return [_rounded(row) for row in values] if values.ndim > 1 else [float(f"{v:.3g}") for v in values]


def _safe_json(value: Any) -> str:
    """JSON that can stand inside a script element, whatever text it holds; null where a gradient is no number."""
    text = json.dumps(plain_json(value), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
