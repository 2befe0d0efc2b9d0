"""The checks of a layer against the one of torch.nn that it stands in for."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unrolled.layers.recurrent.state import tensors_of
from unrolled.testing.compare import require, require_close
from unrolled.testing.problems import MakeLayer

#: float64, the same mathematics in another order
CLOSE = 1e-11


def _options(like: MakeLayer) -> Iterator[dict[str, Any]]:
    """Layers × directions × bias × batch_first, and × projection where torch's layer has one."""
    projections = (0, 2) if "proj_size" in str(inspect.signature(like)) or like is torch.nn.LSTM else (0,)
    for layers, both, bias, first, proj in product((1, 2), (False, True), (True, False), (False, True), projections):
        options: dict[str, Any] = {"num_layers": layers, "bidirectional": both, "bias": bias, "batch_first": first}
        yield options | ({"proj_size": proj} if proj else {})


def _initial_values(make_layer: MakeLayer, like: MakeLayer, hidden_size: int) -> None:
    """Equal seeds draw equal parameters, of the same names in the same order, and leave the generator in one state."""
    for options in _options(like):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(11)
            ours, after = make_layer(2, hidden_size, **options), torch.rand(1)
            torch.manual_seed(11)
            theirs, expected = like(2, hidden_size, **options), torch.rand(1)
        names = [n for n, _ in theirs.named_parameters()]
        require([n for n, _ in ours.named_parameters()] == names, f"parameters are not called {names} with {options}")
        for name, value in theirs.named_parameters():
            require_close(f"initial {name} with {options}", ours.get_parameter(name), value, 0.0)
        require_close(f"next random number with {options}", after, expected, 0.0)


def _results(make_layer: MakeLayer, like: MakeLayer, hidden_size: int) -> None:
    """Outputs, states and gradients equal torch's after its state_dict was loaded; and ours loads into torch's."""
    for options in _options(like):
        ours, theirs = _pair(make_layer, like, hidden_size, options)
        generator = torch.Generator().manual_seed(3)
        x = torch.randn(4, 3, 2, generator=generator, dtype=torch.float64)
        given = _random_state(theirs, x, generator)
        for state in (None, given):
            actual, expected = _everything(ours, x, state), _everything(theirs, x, state)
            for name, value in expected.items():
                require_close(f"{name} with {options}", actual[name], value, CLOSE)


def _ragged(make_layer: MakeLayer, like: MakeLayer, hidden_size: int) -> None:
    """`lengths`, and a PackedSequence, sorted or not, give torch's results for the PackedSequence."""
    for lengths, is_sorted in (((4, 2, 1), True), ((2, 4, 1), False), ((1, 3, 3), False)):
        for options in ({}, {"num_layers": 2, "bidirectional": True}):
            ours, theirs = _pair(make_layer, like, hidden_size, options)
            generator = torch.Generator().manual_seed(4)
            x = torch.randn(4, 3, 2, generator=generator, dtype=torch.float64)
            state = _random_state(theirs, x, generator)
            packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=is_sorted)
            expected, final = theirs(packed, state)
            output, own_final = ours(packed, state)
            case = f"with lengths {lengths} and {options}"
            require_close(f"data of the PackedSequence {case}", output.data, expected.data, CLOSE)
            for name in ("batch_sizes", "sorted_indices", "unsorted_indices"):
                a, b = getattr(output, name), getattr(expected, name)
                require((a is None) == (b is None) and (b is None or torch.equal(a, b)), f"{name} differ {case}")
            by_lengths, last = ours(x, state, lengths=torch.tensor(lengths))
            padded = pad_packed_sequence(expected, total_length=4)[0]
            require_close(f"output {case}", by_lengths, padded, CLOSE)
            for k, (a, b, c) in enumerate(zip(tensors_of(own_final), tensors_of(last), tensors_of(final), strict=True)):
                require_close(f"final state {k} of a PackedSequence {case}", a, c, CLOSE)
                require_close(f"final state {k} {case}", b, c, CLOSE)


def _unbatched(make_layer: MakeLayer, like: MakeLayer, hidden_size: int) -> None:
    """One sequence without a batch dimension, whatever `batch_first` says."""
    for options in ({}, {"num_layers": 2, "bidirectional": True, "batch_first": True}):
        ours, theirs = _pair(make_layer, like, hidden_size, options)
        generator = torch.Generator().manual_seed(5)
        x = torch.randn(4, 2, generator=generator, dtype=torch.float64)
        for state in (None, _random_state(theirs, x, generator)):
            actual, expected = _everything(ours, x, state), _everything(theirs, x, state)
            for name, value in expected.items():
                require_close(f"{name} with {options}", actual[name], value, CLOSE)


def _pair(make_layer: MakeLayer, like: MakeLayer, hidden_size: int, options: dict[str, Any]) -> tuple[Any, Any]:
    """Return our layer with the parameters of torch's, which were loaded from ours again."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        theirs = like(2, hidden_size, dtype=torch.float64, **options)
        ours = make_layer(2, hidden_size, dtype=torch.float64, **options)
    before = {k: v.clone() for k, v in theirs.state_dict().items()}
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    for name, value in before.items():
        require_close(f"{name} through both state_dicts", theirs.state_dict()[name], value, 0.0)
    return ours, theirs


def _random_state(theirs: Any, x: Tensor, generator: torch.Generator) -> Any:
    with torch.no_grad():
        final = theirs(x.transpose(0, 1) if theirs.batch_first and x.dim() == 3 else x)[1]
    drawn = [torch.randn(s.shape, generator=generator, dtype=s.dtype) for s in tensors_of(final)]
    return tuple(drawn) if len(drawn) > 1 else drawn[0]


def _everything(layer: Any, x: Tensor, state: Any) -> dict[str, Tensor]:
    """Return outputs, final states and all gradients of a layer, time first."""
    leaf = x.clone().requires_grad_()
    states = [s.clone().requires_grad_() for s in tensors_of(state)]
    given = None if state is None else (tuple(states) if len(states) > 1 else states[0])
    swap = layer.batch_first and x.dim() == 3
    output, final = layer(leaf.transpose(0, 1) if swap else leaf, given)
    finals = list(tensors_of(final))
    # cosines as the loss's weights: deterministic, and of both signs
    loss = sum(((r * r.detach().cos()).sum() for r in (output, *finals)), x.new_zeros(()))
    parameters = dict(layer.named_parameters())
    grads = torch.autograd.grad(loss, [leaf, *states, *parameters.values()])
    names = ["dx", *(f"dstate {k}" for k in range(len(states))), *(f"d{n}" for n in parameters)]
    return {
        "output": output.detach().transpose(0, 1) if swap else output.detach(),
        **{f"final state {k}": s.detach() for k, s in enumerate(finals)},
        **dict(zip(names, grads, strict=True)),
    }


CHECKS = (
    ("torch_initial_values", _initial_values),
    ("torch_results", _results),
    ("torch_ragged", _ragged),
    ("torch_unbatched", _unbatched),
)
