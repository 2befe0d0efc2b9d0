"""torch's own database of modules, with the entries of its recurrent layers and cells, run on ours.

The database brings options, inputs, references and errors; the checks of torch's that go through it are not part of
torch's wheel, and are made here in few words.
"""

from __future__ import annotations

import copy
import io
import itertools
from collections.abc import Iterator
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

import unrolled

# the import would freeze torch's global flags, which other tests of this process set
with mock.patch.object(torch.backends, "disable_global_flags"):
    from torch.testing._internal.common_modules import ModuleErrorEnum, module_db

KINDS = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
ENTRIES = {info.module_cls.__name__: info for info in module_db if info.module_cls in [getattr(nn, k) for k in KINDS]}


def samples(kind: str, requires_grad: bool = False, dtype: torch.dtype = torch.float64) -> Iterator[tuple]:
    """Yield our module, torch's with equal parameters, the arguments of a call, and the entry."""
    entry = ENTRIES[kind]
    for seed, sample in enumerate(
        entry.module_inputs_func(entry, device="cpu", dtype=dtype, requires_grad=requires_grad, training=True)
    ):
        given = sample.constructor_input
        pair = []
        for package in (unrolled, nn):
            torch.manual_seed(seed)
            pair.append(getattr(package, kind)(*given.args, **given.kwargs, dtype=dtype))
        yield *pair, sample.forward_input, sample


def tensors(value: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def assert_close(actual: object, expected: object) -> None:
    for a, b in zip(tensors(actual), tensors(expected), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_results_are_torchs_and_those_of_the_reference(kind: str) -> None:
    assert ENTRIES.keys() == set(KINDS)
    for ours, theirs, given, sample in samples(kind):
        output = ours(*given.args, **given.kwargs)
        assert_close(output, theirs(*given.args, **given.kwargs))
        if sample.reference_fn is not None:
            assert_close(output, sample.reference_fn(ours, *given.args, **given.kwargs))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_first_and_second_order(kind: str) -> None:
    # the options repeat; one in five has each of them
    for ours, _, given, _ in itertools.islice(samples(kind, requires_grad=True), 0, None, 5):
        leaves = [*tensors(given.args), *ours.parameters()]
        names = [name for name, _ in ours.named_parameters()]

        def call(*values: Tensor, ours=ours, given=given, names=names):
            count = len(values) - len(names)
            rest = iter(values[:count])
            arguments = tree_map(lambda v: next(rest) if isinstance(v, Tensor) else v, given.args)
            parameters = dict(zip(names, values[count:], strict=True))
            return tuple(tensors(torch.func.functional_call(ours, parameters, arguments, given.kwargs)))

        assert torch.autograd.gradcheck(call, leaves, fast_mode=True)
        assert torch.autograd.gradgradcheck(call, leaves, fast_mode=True)


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_that_are_not_contiguous(kind: str) -> None:
    def strided(tensor: Tensor) -> Tensor:
        return torch.stack([tensor, torch.full_like(tensor, torch.nan)], -1)[..., 0].detach().requires_grad_()

    for ours, theirs, given, _ in samples(kind):
        arguments = tree_map(lambda v: strided(v) if isinstance(v, Tensor) else v, given.args)
        plain = tree_map(lambda v: v.clone().requires_grad_() if isinstance(v, Tensor) else v, given.args)
        for module, values in ((ours, arguments), (theirs, plain)):
            results = tensors(module(*values, **given.kwargs))
            sum(r.cos().sum() for r in results).backward()
        assert_close(ours(*arguments), theirs(*plain))
        assert_close([v.grad for v in tensors(arguments)], [v.grad for v in tensors(plain)])
        assert_close([p.grad for p in ours.parameters()], [p.grad for p in theirs.parameters()])


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_copied_modules(kind: str) -> None:
    for ours, theirs, given, _ in samples(kind):
        expected = ours(*given.args, **given.kwargs)
        file = io.BytesIO()
        torch.save(ours, file)
        file.seek(0)
        for twin in (copy.deepcopy(ours), torch.load(file, weights_only=False)):
            assert_close(twin(*given.args, **given.kwargs), expected)
        theirs.load_state_dict(ours.state_dict())
        assert_close(theirs(*given.args, **given.kwargs), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_factories_devices_and_dtypes(kind: str) -> None:
    for ours, theirs, given, sample in samples(kind):
        made = sample.constructor_input
        module = getattr(unrolled, kind)
        empty = module(*made.args, **made.kwargs, device="meta", dtype=torch.float64)
        assert all(p.is_meta and p.dtype == torch.float64 for p in empty.parameters())
        abstract = empty(*tree_map(lambda v: v.to("meta") if isinstance(v, Tensor) else v, given.args))
        assert [r.shape for r in tensors(abstract)] == [r.shape for r in tensors(ours(*given.args))]
        skipped = nn.utils.skip_init(module, *made.args, **made.kwargs, dtype=torch.float64)
        for filled in (empty.to_empty(device="cpu"), skipped):
            filled.load_state_dict(theirs.state_dict())
            assert_close(filled(*given.args), theirs(*given.args))
        lower = [v.float() if isinstance(v, Tensor) else tuple(s.float() for s in v) for v in given.args]
        assert_close(ours.float()(*lower), theirs.float()(*lower))
        assert repr(ours).startswith(f"{kind}(")


@pytest.mark.parametrize("kind", KINDS)
def test_errors(kind: str) -> None:
    entry, count = ENTRIES[kind], 0
    for case in entry.module_error_inputs_func(
        entry, device="cpu", dtype=torch.float32, requires_grad=False, training=True
    ):
        made, given = case.module_error_input.constructor_input, case.module_error_input.forward_input
        if case.error_on == ModuleErrorEnum.CONSTRUCTION_ERROR:
            with pytest.raises(case.error_type):
                getattr(unrolled, kind)(*made.args, **made.kwargs)
        else:
            with pytest.raises(case.error_type, match=r"^(input|hx)"):
                getattr(unrolled, kind)(*made.args, **made.kwargs)(*given.args, **given.kwargs)
        count += 1
    assert count >= 4
