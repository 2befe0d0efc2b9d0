"""What torch puts around a layer: hooks, parametrizations, averages, DDP and FSDP2, each against torch's own layers."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrizations, parametrize
from torch.optim.swa_utils import AveragedModel

import unrolled

KINDS = ("RNN", "LSTM", "GRU")


class Model(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.rnn, self.out = layer, nn.Linear(8, 2)

    def forward(self, x):
        return self.out(self.rnn(x)[0])


def models(kind: str) -> list[Model]:
    """Return a model with torch's layer and one with ours, with equal parameters."""
    pair = []
    for package in (nn, unrolled):
        torch.manual_seed(0)
        pair.append(Model(getattr(package, kind)(3, 4, 2, bidirectional=True)))
    return pair


def losses(model: nn.Module, steps: int = 4, after=lambda: None) -> list[torch.Tensor]:
    torch.manual_seed(2)
    optimiser, x = torch.optim.Adam(model.parameters(), 0.05), torch.randn(5, 2, 3)
    made = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = (model(x) - 1).square().mean()
        loss.backward()
        optimiser.step()
        after()
        made.append(loss.detach())
    return made


@pytest.fixture
def alone() -> Iterator[None]:
    """A group of one process."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize("kind", KINDS)
def test_ddp(kind: str, alone) -> None:
    theirs, ours = (losses(DistributedDataParallel(model)) for model in models(kind))
    torch.testing.assert_close(ours, theirs)


# the output layer's result is a view
@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module:UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_fsdp2(kind: str, alone) -> None:
    mesh = distributed.device_mesh.init_device_mesh("cpu", (1,))
    theirs, ours = models(kind)
    for part in (ours.rnn, ours):
        fully_shard(part, mesh=mesh)
    assert type(ours.rnn.weight_hh_l0).__name__ == "DTensor"
    torch.testing.assert_close(losses(ours), losses(theirs))
    with torch.no_grad():
        x = torch.randn(6, 2, 3)
        for _ in range(3):
            torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("kind", KINDS)
def test_averages(kind: str) -> None:
    results, x = [], torch.randn(5, 2, 3)
    for model in models(kind):
        average = AveragedModel(model)
        losses(model, after=lambda average=average, model=model: average.update_parameters(model))
        with torch.no_grad():
            results.append([average(x), average(x), model(x)])
    torch.testing.assert_close(results[1], results[0])
    assert not torch.equal(results[1][0], results[1][2])


@pytest.mark.parametrize("change", [parametrizations.orthogonal, parametrizations.weight_norm])
@pytest.mark.parametrize("kind", KINDS)
def test_parametrizations(kind: str, change) -> None:
    made = []
    for model in models(kind):
        torch.manual_seed(3)
        change(model.rnn, "weight_hh_l0")
        results = losses(model, 2)
        if isinstance(model.rnn, unrolled.Recurrent):
            # torch's own layer can't be copied now
            model = copy.deepcopy(model)
        results += losses(model, 2)
        parametrize.remove_parametrizations(model.rnn, "weight_hh_l0")
        made.append([*results, model(torch.ones(5, 2, 3))])
    torch.testing.assert_close(made[1], made[0])


@pytest.mark.parametrize("kind", KINDS)
def test_hooks(kind: str) -> None:
    seen: list[list[object]] = []
    for model in models(kind):
        notes: list[object] = []
        layer = model.rnn
        layer.register_forward_pre_hook(lambda module, given: (given[0] * 2, *given[1:]))
        layer.register_forward_hook(lambda module, given, result: (result[0] + 1, result[1]))
        layer.register_full_backward_hook(lambda m, dx, dy, notes=notes: notes.extend([dx[0], dy[0]]))
        layer.weight_hh_l0.register_hook(lambda d, notes=notes: notes.append(d.clone()))
        layer.bias_ih_l1.register_post_accumulate_grad_hook(lambda p, notes=notes: notes.append(p.grad.clone()))
        x = torch.ones(5, 2, 3, requires_grad=True)
        model(x).square().sum().backward()
        with torch.no_grad():
            notes += [x.grad, model(x), model(x)]
        seen.append(sorted(notes, key=lambda t: (t.shape, float(t.sum()))))
    assert len(seen[0]) == 7
    torch.testing.assert_close(seen[1], seen[0])
