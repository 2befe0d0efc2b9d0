"""The random generators of Python, numpy and torch: seeded, saved, restored, and preserved across an evaluation."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed all generators with one number, 0 ≤ seed < 2³²."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """Return the state of all generators, in integers and tensors only."""
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (torch.from_numpy(np.asarray(keys).astype(np.int64)), int(position), int(has_gauss), float(gauss)),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_random_state(state: Mapping[str, Any]) -> None:
    """Restore what `random_state` returned; generators of devices that are not present are skipped."""
    random.setstate(state["python"])
    keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        for index, generator in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(generator, index)
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])


@contextmanager
def preserved_randomness() -> Iterator[None]:
    """Restore all generators at the end of the block, as if nothing had been drawn in it."""
    state = random_state()
    try:
        yield
    finally:
        set_random_state(state)


@contextmanager
def deterministic_algorithms(enabled: bool) -> Iterator[None]:
    """Use torch's deterministic algorithms within the block; torch warns where an operation has none."""
    if not enabled:
        yield
        return
    mode = torch.get_deterministic_debug_mode()
    memory: Any = torch.utils.deterministic  # replaced by torch by a class with properties that mypy does not see
    fill = memory.fill_uninitialized_memory
    benchmark = torch.backends.cudnn.benchmark
    # cuBLAS reads this when it is first used; without it torch warns at every matrix product.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("warn")
    # Filling every new tensor with NaN only helps to find reads of uninitialised memory, and takes time.
    memory.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        memory.fill_uninitialized_memory = fill
        torch.backends.cudnn.benchmark = benchmark
