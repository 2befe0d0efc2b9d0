"""What mattered: complete for the logit that a model really gives, at no more passes than needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from tests.tasks import test_classify
from torch import nn

from unrolled import GRU
from unrolled.inspection import integrated_gradients, occlusion
from unrolled.tasks import Model
from unrolled.tasks.core.probe import Probe


@pytest.fixture(scope="module")
def voter(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A classifier whose words vote."""
    folder = tmp_path_factory.mktemp("votes")
    (folder / "t.tsv").write_text(test_classify.reviews(24, 1))
    model = test_classify.learn(folder / "t.tsv", folder / "m")
    with torch.no_grad():
        beside = model.network.get_submodule("beside")
        for name in ("words", "pairs", "parts"):
            beside.get_parameter(name).normal_(generator=torch.Generator().manual_seed(1))
    return model


def test_word_votes_are_part_of_what_mattered(voter: Model) -> None:
    probe = voter.probe("the film was good and long")
    logits: list[torch.Tensor] = []
    handle = voter.network.register_forward_hook(lambda module, given, result: logits.append(result.detach()))
    voter.predict(["the film was good and long"])
    handle.remove()
    found = integrated_gradients(probe, tolerance=1e-4, most=2000)
    # ln p of the label is the model's own, and all of what is above that of no words at all is shared out
    assert found.log_prob == pytest.approx(float(logits[-1].log_softmax(-1)[0, probe.targets[0]]), rel=1e-5)
    network = voter.network
    nothing = network.output(network.pooled(network.hidden(torch.zeros(6, 1, network.hidden.input_size))[0]))  # type: ignore[operator, union-attr]
    baseline = float(nothing.log_softmax(-1)[0, probe.targets[0]].detach())
    assert found.values.sum() == pytest.approx(found.log_prob - baseline, abs=2e-3)
    # a word of which only its vote counts
    with torch.no_grad():
        network.get_submodule("output").get_parameter("weight").zero_()
    votes = network.get_submodule("beside")
    with torch.no_grad():
        for name in ("words", "pairs", "parts"):
            votes.get_parameter(name).zero_()
        ids = voter.input.encode_words(list(probe.steps))["words"]
        votes.get_parameter("words")[int(ids[1]), int(probe.targets[0])] = 1.0
    lost = occlusion(probe).values
    assert (lost[ids == ids[1]] > 0.01).all()
    assert not lost[ids != ids[1]].any()
    assert (ids != ids[1]).any()


class Counted(nn.Module):
    """f(x) = Σ_s a_s x_s², two classes; counts its passes."""

    def __init__(self, weights: tuple[float, ...]) -> None:
        super().__init__()
        self.inputs, self.passes = nn.Identity(), 0
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float64).view(-1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        total = (self.get_buffer("weights") * self.inputs(x) ** 2).sum()
        return total.view(1, 1)


def counted(*weights: float) -> tuple[Counted, Probe]:
    network = Counted(weights)
    x = torch.ones(len(weights), 1, 1, dtype=torch.float64)
    steps = tuple("abcdef"[: len(weights)])
    target = torch.tensor([0])
    return network, Probe(network, network.inputs, steps, lambda: network(x), ("y",), str, target, values=True)


def test_no_pass_is_made_twice() -> None:
    network, probe = counted(3.0, -1.0)
    found = integrated_gradients(probe)
    assert found.values == pytest.approx([3.0, -1.0])
    # x, its score, the baseline's, and 27 points: the gradient is linear, for which midpoints are exact
    assert network.passes == 1 + 2 + 27


def test_points_are_kept_when_there_are_more_of_them(text_probe: Callable[..., Probe]) -> None:
    plain = text_probe(GRU)
    passes = 0

    def run() -> torch.Tensor:
        nonlocal passes
        passes += 1
        return plain.run()

    probe = replace(plain, run=run)
    found = integrated_gradients(probe, at=12, tolerance=0.0, most=81)
    assert passes == 1 + 2 + 81
    passes = 0
    x = plain.vectors()
    grads = []
    for k in range(81):
        leaf = ((k + 0.5) / 81 * x).requires_grad_()
        grads.append(torch.autograd.grad(plain.scores(leaf)[12], leaf)[0])
    expected = (x * torch.stack(grads).mean(0)).sum((1, 2))
    assert found.values == pytest.approx(expected.numpy(), rel=1e-9, abs=1e-12)


def test_shares_that_cancel_each_other_end_the_search() -> None:
    network, probe = counted(1.0, -1.0)
    found = integrated_gradients(probe)
    assert found.values == pytest.approx([1.0, -1.0])
    assert network.passes == 30
    network, probe = counted(0.0, 0.0)
    assert not integrated_gradients(probe).values.any()
    assert network.passes == 30
