"""Passes through layers: told apart, seen whoever takes the steps, named where they hold no finite numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from unrolled import GRU, LSTM, RNN
from unrolled.errors import ArgumentError
from unrolled.inspection import gate_statistics, gradient_flow, jacobians, unfold_network
from unrolled.inspection.recorded import record
from unrolled.layers import Embedding, GeneralAttention, LinearOutput
from unrolled.layers.recurrent.unfolding import recording
from unrolled.networks import ManyToManyNetwork
from unrolled.networks.decoder import AttentionDecoder
from unrolled.tasks.core.probe import Probe
from unrolled.training.gradients.flow import norms_by_lag

Probes = Callable[..., Probe]


class Twice(nn.Module):
    """One layer over the input, and again for one step after it, as a forecaster does."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = nn.Identity()
        self.hidden = RNN(3, 3)
        self.output = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, state = self.hidden(self.inputs(x))
        h, _ = self.hidden(torch.ones(1, 1, 3, dtype=x.dtype), state)
        logits: torch.Tensor = self.output(h[0])
        return logits


def test_two_passes_of_a_layer_have_names_of_their_own() -> None:
    torch.manual_seed(0)
    network = Twice().double()
    x = torch.randn(6, 1, 3, dtype=torch.float64)
    probe = Probe(network, network.inputs, tuple("abcdef"), lambda: network(x), ("y",), str, torch.tensor([2]))
    layers = unfold_network(probe).layers
    assert [(layer.name, layer.over, len(layer.steps)) for layer in layers] == [
        ("hidden[1].l0", "input", 6),
        ("hidden[2].l0", "own", 1),
    ]
    found = jacobians(probe)
    assert [(one.layer, len(one.radius)) for one in found] == [("hidden[1].l0", 6), ("hidden[2].l0", 1)]
    # the flow is that of the first pass, not a mean with the second's single step
    flow = gradient_flow(probe)
    assert flow.layers == ("hidden[1].l0",)
    assert flow.norms["hidden[1].l0"] == pytest.approx(layers[0].error_norms[::-1])
    assert set(unfold_network(probe).parameters) == {"output.weight", "output.bias"}


def translator(feeding: bool) -> ManyToManyNetwork:
    torch.manual_seed(1)
    hidden = LSTM(8 if feeding else 4, 5, 2 if feeding else 1)
    decoder = AttentionDecoder(Embedding(7, 4), hidden, GeneralAttention(5, 6), input_feeding=feeding)
    return ManyToManyNetwork(Embedding(9, 4), GRU(4, 3, bidirectional=True), decoder, LinearOutput(4, 7)).double()


def test_a_decoder_that_is_fed_its_own_output_is_seen_and_computes_the_same() -> None:
    network = translator(True).eval()
    source, target = torch.tensor([[1], [2], [3]]), torch.tensor([[0], [4], [5], [6]])
    plain = network(source, None, target)
    with recording(network, retain=True) as calls:
        seen = network(source, None, target)
    torch.testing.assert_close(seen, plain, rtol=0, atol=0)
    assert [call.name for call in calls] == ["encoder", "decoder.hidden"]
    decoder = calls[1]
    assert decoder.x.shape == (4, 1, 8)
    # what is fed back at each step is what the step before yielded
    torch.testing.assert_close(decoder.x[0, 0, 4:], torch.zeros(4, dtype=torch.float64))
    # what a run's monitor sees: the error of the last step, walked back
    seen[-1].logsumexp(-1).sum().backward()
    norms = norms_by_lag(decoder)
    assert list(norms) == ["l0", "l1"]
    assert min(norms["l1"]) > 0
    assert torch.equal(network(source, None, target), plain)


@pytest.mark.parametrize("feeding", [False, True])
def test_a_decoder_has_the_steps_of_the_output_even_if_the_input_is_as_long(feeding: bool) -> None:
    network = translator(feeding).eval()
    source, target = torch.tensor([[1], [2], [3]]), torch.tensor([[0], [4], [5]])
    probe = Probe(
        network,
        network.source,
        ("a", "b", "c"),
        lambda: network(source, None, target)[:, 0],
        ("x", "y", "z"),
        str,
        torch.tensor([4, 5, 6]),
        decoder="decoder",
    )
    found = unfold_network(probe)
    assert not found.synced
    over = {layer.name.split(".l")[0]: (layer.over, layer.steps) for layer in found.layers}
    assert over == {"encoder": ("input", ("a", "b", "c")), "decoder.hidden": ("output", ("(begin)", "x", "y"))}
    assert {one.layer.split(".")[0]: one.over for one in gate_statistics(probe)} == {
        "encoder": "input",
        "decoder": "output",
    }


def test_activations_that_are_not_finite_are_named_with_their_first_step(text_probe: Probes) -> None:
    probe = text_probe(RNN, nonlinearity="relu")
    network: Any = probe.network.float()
    with torch.no_grad():
        network.hidden.weight_hh_l0.fill_(1e20)
        network.hidden.bias_ih_l0.fill_(1.0)
    with pytest.raises(ArgumentError, match=r"activations: hidden\.l0 is not finite from step 3 on \(' '\)"):
        unfold_network(probe)
    with pytest.raises(ArgumentError, match="is not finite from step 3 on"):
        gate_statistics(probe)
    probe = text_probe(GRU)
    with torch.no_grad():
        probe.network.get_parameter("output.weight").fill_(1e200)
        probe.network.get_parameter("output.bias").fill_(1e308)
    network = probe.network
    network.output.register_forward_hook(lambda module, given, result: result * 10)
    with pytest.raises(ArgumentError, match=r"activations: the output is not finite from step 1 on \('b'\)"):
        record(probe)


@pytest.mark.parametrize(("kind", "rates"), [(RNN, (0.3,)), (GRU, (0.4,)), (LSTM, (0.2, 0.5))])
def test_jacobians_and_states_are_those_of_the_expected_update_under_zoneout(
    text_probe: Probes, kind: Any, rates: tuple[float, ...]
) -> None:
    probe = text_probe(kind, zoneout=rates)
    hidden: Any = probe.network.get_submodule("hidden")
    x = probe.vectors()
    sizes = hidden.cell.state_sizes(hidden.hidden_size)

    def step(flat: torch.Tensor, t: int) -> torch.Tensor:
        """One step of the layer itself, as in evaluation."""
        states = tuple(part.unsqueeze(0) for part in flat.split(list(sizes), dim=1))
        _, final = hidden(x[t : t + 1], states if len(states) > 1 else states[0])
        parts = final if isinstance(final, tuple) else (final,)
        return torch.cat([part[0] for part in parts], 1)

    flat = torch.zeros(1, sum(sizes), dtype=torch.float64)
    matrices, states = [], []
    for t in range(len(x)):
        jacobian: Any = torch.autograd.functional.jacobian(partial(step, t=t), flat)
        matrices.append(jacobian[0, :, 0])
        flat = step(flat, t).detach()
        states.append(flat[0])
    [found] = jacobians(probe)
    assert found.norm == pytest.approx([float(torch.linalg.matrix_norm(m, 2)) for m in matrices])
    assert found.radius == pytest.approx([float(torch.linalg.eigvals(m).abs().max()) for m in matrices])
    layer = unfold_network(probe).layers[0]
    for k, name in enumerate(hidden.cell.state_names):
        expected = torch.stack(states).split(list(sizes), dim=1)[k]
        assert layer.values[name] == pytest.approx(expected.numpy()), name
