"""Conditions under which a result must stay the same: other threads, dirty memory, other strides."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from unrolled.testing.compare import ConformanceError


@contextlib.contextmanager
def poisoned() -> Iterator[None]:
    """Fill all memory that torch hands out uninitialised with NaN (integers: their largest value).

    Code that reads memory before writing it gets a NaN instead of a zero that happened to be there. Uses
    `torch.utils.deterministic.fill_uninitialized_memory`, which acts under deterministic algorithms only.
    """
    enabled, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    module: Any = torch.utils.deterministic  # a module with a property, which type checkers do not see
    filled = module.fill_uninitialized_memory
    with warnings.catch_warnings():
        # operators without a deterministic form warn, which does not matter here
        warnings.filterwarnings("ignore", message=".*determinis")
        torch.use_deterministic_algorithms(True, warn_only=True)
        module.fill_uninitialized_memory = True
        try:
            yield
        finally:
            module.fill_uninitialized_memory = filled
            torch.use_deterministic_algorithms(enabled, warn_only=warn_only)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use `count` threads within an operator."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def unchanged(named: Iterable[tuple[str, Tensor]]) -> Iterator[None]:
    """Fail if any of the tensors is written to, even with its own values.

    Raises:
        ConformanceError: naming the tensor.
    """
    before = [(name, tensor, tensor.detach().clone(), tensor._version) for name, tensor in named]
    yield
    for name, tensor, copy, version in before:
        if not torch.equal(tensor.detach().nan_to_num(7.0), copy.nan_to_num(7.0)):
            gap = float((tensor.detach() - copy).abs().max())
            raise ConformanceError(f"an input was modified, by up to {gap:.3g}", name, gap)
        if tensor._version != version:
            raise ConformanceError("an input was written to in place", name, 0.0)


def strided(tensor: Tensor) -> Tensor:
    """Return the same values in memory that is not contiguous: dimensions reversed, every second element."""
    if tensor.dim() == 0:
        return tensor
    backing = tensor.new_full((*reversed(tensor.shape), 2), float("nan"))
    view = backing[..., 0].permute(*reversed(range(tensor.dim())))
    view.copy_(tensor)
    return view
