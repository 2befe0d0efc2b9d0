"""The arrays of `inspection`, held to autograd, to closed forms and to hand-worked cases."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from unrolled import GRU, LSTM, RNN
from unrolled.errors import ArgumentError, ShapeError
from unrolled.inspection import (
    connectivity,
    gate_statistics,
    gradient_flow,
    hypotheses,
    integrated_gradients,
    jacobians,
    occlusion,
    rank_units,
    saliency,
    unfold_network,
)
from unrolled.inspection.gates import derivative
from unrolled.inspection.neurons import UnitHypothesis, area_under_curve, correlations
from unrolled.layers import STACKS
from unrolled.tasks.core.probe import Probe

Probes = Callable[..., Probe]


def state_gradients(probe: Probe, step: int) -> list[list[float]]:
    """‖∂L_step/∂s_t‖ for every layer and t, by autograd through the cells' own steps, every state a node of its own."""
    network: Any = probe.network
    hidden, cell = network.hidden, network.hidden.cell
    x = probe.vectors()
    states = [cell.initial_state(1, hidden.hidden_size, x) for _ in range(hidden.num_layers)]
    nodes: list[list[tuple[torch.Tensor, ...]]] = [[] for _ in range(hidden.num_layers)]
    outputs = []
    for t in range(len(x)):
        h = x[t]
        for layer, params in enumerate(hidden.parameter_blocks()):
            new = cell.step(cell.project_input(h, params), states[layer], params)
            states[layer] = tuple(state.clone() for state in new)
            nodes[layer].append(states[layer])
            h = states[layer][0]
        outputs.append(network.output(h))
    loss = nn.functional.cross_entropy(outputs[step], probe.targets[step : step + 1])
    used = [node for layer in nodes for node in layer[: step + 1]]
    grads = iter(torch.autograd.grad(loss, [state for node in used for state in node], materialize_grads=True))
    norms = [float(torch.cat([next(grads) for _ in node], -1).norm()) for node in used]
    return [norms[k * (step + 1) : (k + 1) * (step + 1)] for k in range(len(nodes))]


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
@pytest.mark.parametrize("layers", [1, 2])
def test_gradient_flow_equals_autograd(text_probe: Probes, kind: Any, layers: int) -> None:
    probe = text_probe(kind, num_layers=layers)
    found = gradient_flow(probe, at=[9])
    for layer, norms in enumerate(state_gradients(probe, 9)):
        assert found.norms[f"hidden.l{layer}"] == pytest.approx(norms[::-1], rel=1e-10)
    assert found.steps == (9,)
    assert [v.layer for v in found.verdicts] == list(found.layers)


def test_gradient_flow_means_over_the_steps_that_reach_so_far(text_probe: Probes) -> None:
    probe = text_probe(LSTM)
    one, two = (gradient_flow(probe, at=[t]).norms["hidden.l0"] for t in (3, 7))
    both = gradient_flow(probe, at=[3, 7]).norms["hidden.l0"]
    assert both[:4] == pytest.approx((one + two[:4]) / 2)
    assert both[4:] == pytest.approx(two[4:])
    assert len(gradient_flow(probe).steps) == 8
    assert gradient_flow(probe, at=[-1]).steps == (len(probe.targets) - 1,)


def test_a_shrinking_stack_of_two_directions_is_not_told_to_explode(text_probe: Probes) -> None:
    probe = text_probe(RNN, num_layers=2, bidirectional=True)
    with torch.no_grad():
        for name, parameter in probe.network.named_parameters():
            if "weight_hh" in name:
                parameter.copy_(0.3 * torch.eye(6, dtype=torch.float64))
    kinds = {verdict.layer: verdict.kind for verdict in gradient_flow(probe, at=[11]).verdicts}
    assert set(kinds) == {f"hidden.l{k}{d}" for k in (0, 1) for d in ("", "_reverse")}
    assert "exploding" not in kinds.values()


@pytest.mark.parametrize("kind", STACKS.values())
def test_jacobians_equal_autograd(text_probe: Probes, kind: Any) -> None:
    probe = text_probe(kind)
    network: Any = probe.network
    cell, params = network.hidden.cell, network.hidden.parameter_blocks()[0]
    x = probe.vectors()
    state = cell.initial_state(1, 6, x)
    matrices = []
    for t in range(len(x)):

        def step(flat: torch.Tensor, t: int = t) -> torch.Tensor:
            parts = tuple(flat.split(6, dim=1))
            return torch.cat(cell.step(cell.project_input(x[t], params), parts, params), 1)

        flat = torch.cat(state, 1)
        jacobian: Any = torch.autograd.functional.jacobian(step, flat)
        matrices.append(jacobian.squeeze(2).squeeze(0).detach())
        state = tuple(step(flat).detach().split(6, dim=1))
    [found] = jacobians(probe)
    assert found.norm == pytest.approx([float(torch.linalg.matrix_norm(m, 2)) for m in matrices])
    assert found.radius == pytest.approx([float(torch.linalg.eigvals(m).abs().max()) for m in matrices])
    product = torch.linalg.multi_dot(matrices[::-1])
    assert found.product[-1] == pytest.approx(float(torch.linalg.matrix_norm(product, 2)))
    assert found.rate == pytest.approx(found.product[-1] ** (1 / len(matrices)))


@pytest.mark.parametrize("kind", STACKS.values())
def test_gates_of_every_cell_are_its_own_record(text_probe: Probes, kind: Any) -> None:
    probe = text_probe(kind)
    network: Any = probe.network
    [found] = gate_statistics(probe)
    [trace] = network.hidden.trace(probe.vectors())
    assert set(found.values) == {name for name in trace if not name.endswith("_prev")}
    for name, value in found.values.items():
        np.testing.assert_allclose(value, trace[name][:, 0].numpy(), rtol=1e-12)
    assert set(found.shut) == {n for n, a in network.hidden.cell.activations.items() if a == "sigmoid"}
    for name, share in found.shut.items():
        np.testing.assert_allclose(share, (trace[name][:, 0] < 0.1).double().mean(0).numpy())


def test_the_unfolded_network_has_what_a_textbook_draws(text_probe: Probes) -> None:
    probe = text_probe(LSTM, num_layers=2)
    found = unfold_network(probe, at=[5, -1])
    assert [layer.name for layer in found.layers] == ["hidden.l0", "hidden.l1"]
    assert found.looked_at == (5, len(probe.steps) - 1)
    logits = probe.run().detach()
    assert found.losses == pytest.approx(nn.functional.cross_entropy(logits, probe.targets, reduction="none").numpy())
    best = found.likeliest[3][0]
    assert best[0] == probe.classes(int(logits[3].argmax()))
    assert best[1] == pytest.approx(float(logits[3].softmax(0).max()))
    # the sum of the losses looked at, by autograd
    loss = nn.functional.cross_entropy(probe.run()[[5, -1]], probe.targets[[5, -1]], reduction="sum")
    for layer in found.layers:
        index = layer.name[-1]
        for name, norm in layer.gradients.items():
            parameter = probe.network.get_parameter(f"hidden.{name}_l{index}")
            (grad,) = torch.autograd.grad(loss, parameter, retain_graph=True)
            assert norm == pytest.approx(float(grad.norm())), name
        assert layer.weights["weight_hh"] == (24, 6)
        assert layer.values["f"].shape == (len(probe.steps), 6)
    assert found.parameters == {"inputs.weight": (17, 4), "output.weight": (17, 6), "output.bias": (17,)}
    assert json.loads(json.dumps(found.as_json()))["layers"][1]["shares"].keys() == found.layers[1].shares.keys()


def test_integrated_gradients_sum_to_the_difference(text_probe: Probes) -> None:
    probe = text_probe(GRU)
    found = integrated_gradients(probe, at=12, tolerance=1e-5)
    x = probe.vectors()
    with torch.no_grad():
        difference = float(probe.scores(x)[12] - probe.scores(torch.zeros_like(x))[12])
    assert found.values.sum() == pytest.approx(difference, rel=1e-4)
    assert found.error == pytest.approx(found.values.sum() - difference, abs=1e-12)
    assert not found.values[13:].any()
    assert (found.output, found.target) == (probe.outputs[12], probe.outputs[12])


def test_saliency_and_occlusion_on_a_network_worked_by_hand() -> None:
    """Logits (w · Σ x_s, 0), x = (1, 2): ln p_0 = ln σ(3 w), ∂/∂x_s = w (1 − σ(3 w))."""
    w = 0.7

    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inputs = nn.Identity()
            self.w = nn.Parameter(torch.tensor(w))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            total = self.w * self.inputs(x).sum()
            return torch.stack([total, torch.zeros(())]).unsqueeze(0)

    network = Sum()
    x = torch.tensor([1.0, 2.0]).view(2, 1, 1)
    probe = Probe(network, network.inputs, ("a", "b"), lambda: network(x), ("y",), str, torch.tensor([0]))

    def log_sigmoid(z: float) -> float:
        return -math.log1p(math.exp(-z))

    slope = w * (1 - 1 / (1 + math.exp(-3 * w)))
    assert saliency(probe).values == pytest.approx([slope, slope])
    lost = [log_sigmoid(3 * w) - log_sigmoid(2 * w), log_sigmoid(3 * w) - log_sigmoid(w)]
    assert occlusion(probe).values == pytest.approx(lost, rel=1e-5)
    assert connectivity(probe).strength == pytest.approx(np.array([[slope, slope]]))
    assert saliency(replace(probe, targets=torch.tensor([1]))).log_prob == pytest.approx(log_sigmoid(-3 * w))


def test_connectivity_of_a_causal_network_never_looks_ahead(text_probe: Probes) -> None:
    probe = text_probe(RNN)
    found = connectivity(probe)
    assert not np.triu(found.strength, 1).any()
    assert np.diag(found.strength).all()
    for s in (4, 11):
        assert found.strength[s] == pytest.approx(saliency(probe, at=s).values)
    assert found.shares.sum(1) == pytest.approx(np.ones(len(probe.outputs)))
    both = connectivity(text_probe(RNN, bidirectional=True))
    assert np.triu(both.strength, 1).any()


def test_gate_statistics_count_what_is_open_and_shut(text_probe: Probes) -> None:
    probe = text_probe(LSTM)
    network: Any = probe.network
    with torch.no_grad():
        network.hidden.bias_ih_l0[0:6] = 50.0  # input gate wide open
        network.hidden.bias_ih_l0[6:12] = -50.0  # forget gate shut
    [found] = gate_statistics(probe)
    assert found.open["i"].tolist() == [1.0] * 6
    assert found.shut["f"].tolist() == [1.0] * 6
    assert found.saturated["i"] == found.saturated["f"] == 1.0
    assert found.saturated["g"] < 0.5
    steps = len(probe.steps)
    assert found.histograms["o"][0].sum() == steps * 6
    trace = network.hidden.trace(probe.vectors())[0]
    assert np.tanh(found.operating["g"]) == pytest.approx(trace["g"].flatten().numpy())
    assert set(found.values) == {"i", "f", "g", "o", "c", "tanh_c", "h"}


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu", "sigmoid"])
def test_a_plain_network_works_on_its_own_activation(text_probe: Probes, nonlinearity: str) -> None:
    probe = text_probe(RNN, nonlinearity=nonlinearity)
    [found] = gate_statistics(probe)
    trace = probe.network.get_submodule("hidden").trace(probe.vectors())[0]
    assert found.operating["activation"] == pytest.approx(trace["preactivation"].flatten().numpy())


def test_derivatives_of_the_activations() -> None:
    slope, point = derivative("sigmoid", np.array([1 / (1 + math.exp(-2.0))]))
    assert point[0] == pytest.approx(2.0)
    assert slope[0] == pytest.approx(4 * math.exp(-2) / (1 + math.exp(-2)) ** 2)
    assert derivative("relu", np.array([-0.0, 3.0]))[0].tolist() == [0, 1]
    with pytest.raises(ArgumentError, match="expected sigmoid, tanh or relu, found 'gelu'"):
        derivative("gelu", np.zeros(1))


def test_hypotheses_are_read_off_the_text() -> None:
    found = {h.name: h.values.tolist() for h in hypotheses(list('a"b" (C)\nd'), ["b."])}
    assert found["inside quotes"] == [0, 1, 1, 0, 0, 0, 0, 0, 0, 0]
    assert found["inside brackets"] == [0, 0, 0, 0, 0, 1, 1, 0, 0, 0]
    assert found["position in the line"] == [1, 2, 3, 4, 5, 6, 7, 8, 0, 1]
    assert found["capital letter"] == [0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    assert found["/b./"] == [0, 0, 1, 1, 0, 0, 0, 0, 0, 0]
    assert "digit" not in found
    assert [h.values.tolist() for h in hypotheses(["ab", "1"]) if h.name == "digit"] == [[0, 1]]
    with pytest.raises(ArgumentError, match="not a regular expression"):
        hypotheses(["a", "b"], ["("])


def test_a_unit_made_to_track_something_is_found(text_probe: Probes) -> None:
    probe = text_probe(RNN)
    network: Any = probe.network
    ids = {c: k for k, c in enumerate(sorted(set("".join(probe.steps)) | {"."}))}
    with torch.no_grad():
        # unit 4 sees one feature of the input alone, which is 1 for digits and 0 for all else
        network.inputs.weight[:, 2] = 0
        for digit in "12":
            network.inputs.weight[ids[digit], 2] = 1
        network.hidden.weight_ih_l0[4] = torch.tensor([0.0, 0, 3, 0])
        network.hidden.weight_hh_l0[4] = 0
        network.hidden.bias_ih_l0[4] = network.hidden.bias_hh_l0[4] = 0
    wanted = [h for h in hypotheses(probe.steps) if h.name == "digit"]
    best = rank_units(probe, wanted, most=3)[0]
    assert (best.layer, best.quantity, best.unit) == ("hidden.l0", "h", 4)
    assert (best.correlation, best.auc) == (pytest.approx(1.0), 1.0)
    with pytest.raises(ArgumentError, match=r"short: expected 22 values, found 2"):
        rank_units(probe, [UnitHypothesis("short", np.zeros(2))])


def test_statistics_of_units_against_numpy() -> None:
    draw = np.random.default_rng(0)
    values, target = draw.normal(size=(40, 3)), draw.normal(size=40)
    values[:, 1] = 5.0
    found = correlations(values, target)
    assert found[0] == pytest.approx(np.corrcoef(values[:, 0], target)[0, 1])
    assert found[1] == 0
    labels = (target > 0).astype(float)
    pairs = [(a > b) + 0.5 * (a == b) for a in values[labels == 1, 2] for b in values[labels == 0, 2]]
    assert area_under_curve(values[:, 2], labels) == pytest.approx(np.mean(pairs))
    assert area_under_curve(values[:, 2], target) is None


def test_bad_input_is_named(text_probe: Probes) -> None:
    probe = text_probe(LSTM)
    for look in (saliency, occlusion, integrated_gradients):
        with pytest.raises(ArgumentError, match="at: the output has 22 steps, found 22"):
            look(probe, at=22)
    with pytest.raises(ArgumentError, match="at: the output has 22 steps, found -23"):
        unfold_network(probe, at=[-23])
    with pytest.raises(ShapeError, match="targets"):
        replace(probe, targets=torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ArgumentError, match="synced: 21 steps of the input, 22 of the output"):
        replace(probe, steps=probe.steps[1:])
    linear = nn.Linear(2, 3)
    nothing = Probe(linear, linear, ("a",), lambda: linear(torch.ones(1, 2)), ("y",), str, torch.tensor([0]))
    with pytest.raises(ArgumentError, match="no recurrent layer"):
        unfold_network(nothing)
    with torch.no_grad():
        probe.network.get_parameter("hidden.weight_hh_l0")[0, 0] = math.nan
    with pytest.raises(ArgumentError, match=r"weights: hidden\.weight_hh_l0 holds numbers that are not finite"):
        gradient_flow(probe)
