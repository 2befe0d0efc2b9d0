"""A machine without enough memory: one line that says what helps, and what was saved is whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.cli.running import complaint, unrolled

import unrolled as package
from unrolled.networks import SyncedNetwork


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: tried …")])
def test_the_last_checkpoint_survives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    (tmp_path / "t.txt").write_text("the cat sat on the mat. " * 200)
    given = ("train", "generate", tmp_path / "t.txt", "--out", tmp_path / "m", "--save-every", 2, "--threads", 1, "-q")
    states, calls = SyncedNetwork.states, []

    def failing(network: SyncedNetwork, x: torch.Tensor, *rest: object) -> object:
        calls.append(network.training)
        if sum(calls) > 3 and network.training:
            raise error
        return states(network, x, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(SyncedNetwork, "states", failing)
    failed = unrolled(*given, "--steps", 6)
    assert failed.code == 2
    assert complaint(failed).startswith("there is not enough memory for this; use a smaller --batch-size")
    monkeypatch.setattr(SyncedNetwork, "states", states)
    resumed = unrolled(*given, "--steps", 6, "--resume")
    assert resumed.code == 0, resumed.err
    assert package.load(tmp_path / "m").config.result["step"] == 6
