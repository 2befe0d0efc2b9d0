"""The native engine's memory: large blocks are kept for the next call, and not too many of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import unrolled

from .native_cases import ENGINE

pytestmark = [
    pytest.mark.skipif(ENGINE.unavailable() is not None, reason="the native engine was not built"),
    pytest.mark.skipif(sys.platform != "linux", reason="large blocks are taken from the system on Linux alone"),
]
#: (T, B, H): float32 outputs of 36 MiB, and of about 150
STEPS, BATCH, HIDDEN = 9, 16_384, 64


def _layer() -> unrolled.RNN:
    torch.manual_seed(0)
    layer = unrolled.RNN(2, HIDDEN).eval()
    # the first call makes it ready, and its output is torch's
    _output(layer, torch.zeros(1, 1, 2))
    return layer


def _output(layer: unrolled.RNN, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return layer(x)[0]


def test_large_outputs_are_not_shared_while_they_live_and_reused_after() -> None:
    layer = _layer()
    x = torch.randn(2, STEPS, BATCH, 2)
    first = _output(layer, x[0])
    copy, address = first.clone(), first.data_ptr()
    second = _output(layer, x[1])
    assert second.data_ptr() != address
    assert torch.equal(first, copy)
    del first
    again = _output(layer, x[0])
    assert again.data_ptr() == address
    assert torch.equal(again, copy)


def test_padding_is_zero_in_memory_that_was_used_before() -> None:
    layer = _layer()
    x = torch.randn(STEPS, BATCH, 2)
    lengths = torch.full((BATCH,), STEPS)
    lengths[::2] = 1
    before = _output(layer, x)
    address = before.data_ptr()
    del before
    with torch.no_grad():
        y = layer(x, lengths=lengths)[0]
    assert y.data_ptr() == address
    assert torch.count_nonzero(y[1:, ::2]) == 0
    assert torch.count_nonzero(y[:, 1::2]) > 0


def test_no_more_than_half_a_gibibyte_is_kept() -> None:
    layer = _layer()
    x = torch.randn(4 * STEPS, BATCH, 2)
    for _ in range(2):
        # the first round drives out whatever other tests left
        outputs = [_output(layer, x) for _ in range(5)]
        with_them, size = _address_space(), outputs[0].numel() * 4
        outputs.clear()
    assert size > 140 << 20
    # of the five blocks of 144 MiB that were freed three are kept
    assert with_them - _address_space() == pytest.approx(2 * size, abs=8 << 20)


def _address_space() -> int:
    """Bytes that this process has asked the system for."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * 4096
