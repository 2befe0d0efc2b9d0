"""Pictures: made of what was found, in both themes, the same bytes for the same arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unrolled import GRU, LSTM, RNN
from unrolled.cells import Params, RNNCell, State
from unrolled.errors import ArgumentError
from unrolled.inspection import (
    AttentionMap,
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
from unrolled.inspection.comparison import Compared
from unrolled.inspection.neurons import RankedUnit
from unrolled.layers import Recurrent
from unrolled.tasks.core.probe import Probe

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
        "attention": lambda theme: plot.plot_attention(attention(len(probe.steps)), theme),
        "attention over an image": lambda theme: plot.plot_attention(attention(20, (4, 5)), theme),
    }


def attention(places: int, grid: tuple[int, int] | None = None) -> AttentionMap:
    """What a decoder might have looked at."""
    weights = np.random.default_rng(0).dirichlet(np.ones(places), 9)
    return AttentionMap("decoder", tuple("a dog run"), tuple(str(n) for n in range(places)), weights, grid)


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


def test_a_notebook_shows_a_picture_inline(drawings: dict[str, Callable[[str], Any]]) -> None:
    picture = drawings["saturation"]("dark")._repr_png_()
    assert picture.startswith(b"\x89PNG")
    assert int.from_bytes(picture[16:20], "big") == 800


def test_what_can_not_be_drawn_is_named(text_probe: Callable[..., Probe]) -> None:
    found = unfold_network(text_probe(LSTM))
    with pytest.raises(ArgumentError, match="the input has 22 steps, found 22"):
        plot.plot_unfolding(found, first=22)
    with pytest.raises(ArgumentError, match="theme: expected one of light, dark, found 'sepia'"):
        plot.plot_unfolding(found, theme="sepia")
    with pytest.raises(ArgumentError, match="expected at least one to plot"):
        plot.plot_attributions([])


def texts(drawn: Any) -> list[str]:
    """All that is written in a figure, as it is seen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    FigureCanvasAgg(drawn).draw()
    return [text._preprocess_math(text.get_text())[0] for text in drawn.findobj(Text) if text.get_text()]


def test_legends_lie_on_no_curve_and_half_steps_are_no_ticks(drawings: dict[str, Callable[[str], Any]]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    for name in ("flow", "jacobians"):
        drawn = drawings[name]("light")
        FigureCanvasAgg(drawn).draw()
        for axis in drawn.axes:
            box = axis.get_legend().get_window_extent()
            for line in axis.lines[: 4 if name == "jacobians" else 2]:
                inside = box.contains
                points = axis.transData.transform(line.get_xydata())
                assert not any(inside(x, y) for x, y in points), name
            assert all(tick == round(tick) for tick in axis.get_xticks()), name


def test_dollars_are_dollars() -> None:
    values = np.linspace(-1, 1, 4)
    unit = RankedUnit("hidden.l0", "h", 2, "/^$x^2$/", 0.5, None, values)
    assert any(text.startswith("/^$x^2$/: hidden.l0") for text in texts(plot.plot_units([unit], list("abcd"))))
    run = Compared("$a_1^", "t", {}, 1, 1, 1, 1.0, 1, {}, [(1, 0.1, 2.0), (2, 0.2, 1.0)])
    other = Compared("_b$", "t", {}, 1, 1, 1, 1.0, 1, {}, [(1, 0.1, 2.0), (2, 0.2, 1.0)])
    written = texts(plot.plot_curves([run, other]))
    # matplotlib leaves out of legends what begins with _
    assert {"$a_1^", " _b$"} <= set(written)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu", "sigmoid"])
def test_activations_are_those_of_the_cell(text_probe: Callable[..., Probe], nonlinearity: str) -> None:
    probe = text_probe(RNN, nonlinearity=nonlinearity)
    hidden = probe.network.get_submodule("hidden")
    with torch.no_grad():
        # all values between 0 and 1, as a sigmoid's are, whatever the activation
        hidden.get_parameter("weight_hh_l0").zero_()
        hidden.get_parameter("weight_ih_l0").mul_(0.01)
        hidden.get_parameter("bias_ih_l0").fill_(0.5)
        hidden.get_parameter("bias_hh_l0").zero_()
    [found] = gate_statistics(probe)
    assert found.activations == {"activation": nonlinearity}
    [axis] = plot.plot_activations(found).axes
    x = axis.lines[0].get_xdata()
    expected = {"tanh": np.tanh(x), "relu": np.maximum(x, 0), "sigmoid": 1 / (1 + np.exp(-x))}[nonlinearity]
    assert axis.lines[0].get_ydata() == pytest.approx(expected)
    assert axis.lines[0].get_label() == {"tanh": "tanh", "relu": "ReLU", "sigmoid": "σ"}[nonlinearity]


class Linear(RNNCell):
    """h_t = W x_t + U h_{t−1}: nothing in it is the value of an activation."""

    name = "linear"

    @property
    def activations(self) -> dict[str, str]:
        return {}

    def trace(self, x_gates: Tensor, state: State, params: Params, mask: Tensor | None = None) -> Any:
        h_gates, record = self.recur(state[0], params)
        h = x_gates + h_gates
        return (h,), record | {"h_prev": state[0], "h": h}


def test_a_layer_without_gates_or_activations_is_drawn_but_for_these(text_probe: Callable[..., Probe]) -> None:
    probe = text_probe(lambda size, hidden: Recurrent(Linear(), size, hidden))
    [found] = gate_statistics(probe)
    assert (found.activations, found.operating) == ({}, {})
    assert set(found.histograms) == {"h"}
    assert overlapping(plot.plot_gates(found)) == []
    assert overlapping(plot.plot_saturation(found)) == []
    with pytest.raises(ArgumentError, match=r"hidden\.l0: its cell does not declare the activations"):
        plot.plot_activations(found)


def test_steps_that_are_as_many_by_chance_are_not_drawn_as_synced(text_probe: Callable[..., Probe]) -> None:
    from dataclasses import replace

    probe = text_probe(GRU)
    assert any("ln p" in text for text in texts(plot.plot_unfolding(unfold_network(probe))))
    apart = unfold_network(replace(probe, synced=False))
    assert not any("ln p" in text for text in texts(plot.plot_unfolding(apart)))
    with pytest.raises(ArgumentError, match="no layer of this network has the steps of its output"):
        plot.plot_unfolding(apart, over="output")
