"""An inspection report: sections of sentences and plots, written as one HTML file that needs no network."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from unrolled.inspection import plot
from unrolled.inspection.plot.theme import rendered
from unrolled.inspection.recorded import Floats
from unrolled.inspection.unfolding import UnfoldedNetwork
from unrolled.storage import make_folder, plain_json, write_text
from unrolled.tasks.core.probe import Probe
from unrolled.training.gradients.verdict import Verdict
from unrolled.types import Json

if TYPE_CHECKING:
    from unrolled.inspection.plot.theme import Figure

#: units and layers in the interactive part; more would make the file slow to open
UNITS, LAYERS = 64, 8


class Draw(Protocol):
    """Draws a figure in a theme."""

    def __call__(self, *, theme: str) -> Figure:
        """Return the figure."""
        ...


@dataclass
class Section:
    """A part of the report.

    Attributes:
        name: for links.
        title: the heading.
        sentence: what is shown, and in which unit.
        figures: the name of each figure and the function that draws it.
        body: HTML between sentence and figures.
        refused: why the section has no content, if it has none.
    """

    name: str
    title: str
    sentence: str
    figures: list[tuple[str, Draw]] = field(default_factory=list)
    body: str = ""
    refused: str = ""


@dataclass
class Report:
    """The results of an inspection, ready to be written.

    Attributes:
        title: model and task.
        probe: the input.
        unfolded: the network over it.
        verdicts: on the gradients of each layer.
        sections: in the order of the page.
        arrays: every result as JSON, by section.
    """

    title: str
    probe: Probe
    unfolded: UnfoldedNetwork
    verdicts: tuple[Verdict, ...]
    sections: list[Section]
    arrays: Json

    def write(self, path: str | Path, pictures: bool = False) -> list[Path]:
        """Write the report.

        Args:
            path: the HTML file.
            pictures: whether to write each figure as PNG and SVG, in the light theme, beside it.

        Returns:
            The files written.

        Raises:
            StorageError: it can't be written.
        """
        target = Path(path)
        make_folder(target.parent)
        written = [target]
        write_text(target, self.as_html())
        if pictures:
            for section in self.sections:
                for name, draw in section.figures:
                    written += plot.save(draw(theme="light"), target.parent / f"{target.stem}-{name}")
        return written

    def as_html(self) -> str:
        """Return the HTML file."""
        page = resources.files("unrolled.inspection") / "page"
        css, script = ((page / name).read_text("utf-8") for name in ("report.css", "unfold.js"))
        links = " ".join(f'<a href="#{s.name}">{html.escape(s.title)}</a>' for s in self.sections)
        note = f'<p class="soft">{html.escape(self.probe.note)}</p>' if self.probe.note else ""
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self.title)}</title><style>{css}</style></head><body>"
            f"<h1>{html.escape(self.title)}</h1>{note}<nav>{links}</nav>"
            f"{''.join(section_html(section) for section in self.sections)}"
            f'<script type="application/json" id="unfolded">{_safe_json(_compact(self.unfolded))}</script>'
            f"<script>{script}</script></body></html>\n"
        )

    def _repr_html_(self) -> str:
        """Return the report in a frame, for notebooks."""
        return f'<iframe srcdoc="{html.escape(self.as_html())}" style="width:100%;height:42em;border:0"></iframe>'


def section_html(section: Section) -> str:
    """Return a section as HTML, each figure in both themes."""
    figures = ""
    for name, draw in section.figures:
        images = "".join(
            f'<img class="{theme}-only" alt="{html.escape(section.title)}: {html.escape(name)}" '
            f'src="data:image/png;base64,{base64.b64encode(rendered(draw(theme=theme), "png")).decode()}">'
            for theme in ("light", "dark")
        )
        figures += f"<figure>{images}</figure>"
    refused = f'<p class="soft">Not shown: {html.escape(section.refused)}.</p>' if section.refused else ""
    return (
        f'<section id="{section.name}"><h2>{html.escape(section.title)}</h2><p>{html.escape(section.sentence)}</p>'
        f"{refused}{section.body}{figures}</section>"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return an HTML table."""
    cells = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{''.join(f'<th>{h}</th>' for h in head)}</tr></thead><tbody>{cells}</tbody></table>"


def _compact(network: UnfoldedNetwork) -> Json:
    """Return the data of the interactive part, rounded to three digits.

    It has at most 64 units of each of the last 8 layers, and norms and means over all units.
    """
    whole = network.as_json()
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


def _rounded(values: Floats) -> list[Any]:
    """Return an array as lists of numbers with three significant digits."""
    return [_rounded(row) for row in values] if values.ndim > 1 else [float(f"{v:.3g}") for v in values]


def _safe_json(value: Json) -> str:
    """Return JSON that is safe inside a script element, with null for numbers that are not finite."""
    text = json.dumps(plain_json(value), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
