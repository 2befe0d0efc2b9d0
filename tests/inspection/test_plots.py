"""Pictures: made of what was found, in both themes, the same bytes for the same arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unrolled import LSTM
from unrolled.errors import ArgumentError
from unrolled.inspection import (
    connectivity,
    gate_statistics,
    gradient_flow,
    hypotheses,
    jacobians,
    occlusion,
    rank_units,
    saliency,
    unfold_network,
)
from unrolled.tasks.probing import Probe

plot = pytest.importorskip("unrolled.inspection.plot")
pytest.importorskip("matplotlib")


@pytest.fixture
def drawings(text_probe: Callable[..., Probe]) -> dict[str, Callable[[str], Any]]:
    probe = text_probe(LSTM, num_layers=2)
    gates = gate_statistics(probe)[0]
    units = rank_units(probe, hypotheses(probe.steps), most=1)
    return {
        "unfolding": lambda theme: plot.plot_unfolding(unfold_network(probe), theme=theme),
        "gates": lambda theme: plot.plot_gates(gates, theme),
        "saturation": lambda theme: plot.plot_saturation(gates, theme),
        "activations": lambda theme: plot.plot_activations(gates, theme),
        "flow": lambda theme: plot.plot_gradient_flow(gradient_flow(probe), theme),
        "jacobians": lambda theme: plot.plot_jacobians(jacobians(probe), theme),
        "mattered": lambda theme: plot.plot_attributions([saliency(probe), occlusion(probe)], theme),
        "connectivity": lambda theme: plot.plot_connectivity(connectivity(probe), theme),
        "units": lambda theme: plot.plot_units(units, probe.steps, theme),
    }


def overlapping(drawn: Any) -> list[str]:
    """Pairs of texts of a figure that lie on each other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(drawn).draw()
    renderer = drawn.canvas.get_renderer()
    texts = []
    for axis in drawn.axes:
        # a tick beyond the limits has a label that is not drawn
        ticks = [*axis.xaxis._update_ticks(), *axis.yaxis._update_ticks()] if axis.axison else []
        labels = [axis.xaxis.label, axis.yaxis.label] if axis.axison else []
        for text in [axis._left_title, *labels, *axis.texts, *(tick.label1 for tick in ticks)]:
            if text.get_visible() and text.get_text().strip():
                texts.append((text.get_text(), text.get_window_extent(renderer).shrunk(0.8, 0.8)))
    return [
        f"{a!r} on {b!r}"
        for n, (a, box) in enumerate(texts)
        for b, other in texts[n + 1 :]
        if box.width and other.width and box.overlaps(other)
    ]


def test_no_text_lies_on_another_and_axes_are_labelled(drawings: dict[str, Callable[[str], Any]]) -> None:
    for name, draw in drawings.items():
        drawn = draw("light")
        assert drawn.get_figwidth() * drawn.dpi == 800
        assert overlapping(drawn) == [], name
        for axis in drawn.axes:
            if axis.axison and name != "unfolding" and axis.get_label() != "<colorbar>":
                assert axis.get_xlabel() or axis.get_title(loc="left") or axis.get_ylabel(), name


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_saved_twice_it_is_the_same_file(drawings: dict[str, Callable[[str], Any]], theme: str, tmp_path: Path) -> None:
    first, second = (plot.save(drawings["flow"](theme), tmp_path / name) for name in ("a", "b.png"))
    assert [p.name for p in first] == ["a.png", "a.svg"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert first[0].read_bytes().startswith(b"\x89PNG")


def test_what_can_not_be_drawn_is_named(text_probe: Callable[..., Probe]) -> None:
    found = unfold_network(text_probe(LSTM))
    with pytest.raises(ArgumentError, match="the input has 22 steps, found 22"):
        plot.plot_unfolding(found, first=22)
    with pytest.raises(ArgumentError, match="theme: expected one of light, dark, found 'sepia'"):
        plot.plot_unfolding(found, theme="sepia")
    with pytest.raises(ArgumentError, match="at least one is needed"):
        plot.plot_attributions([])
