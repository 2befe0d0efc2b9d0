"""Whether a device multiplies bfloat16 faster than float32."""

from __future__ import annotations

from typing import NamedTuple

import torch

from unrolled.kernels.native import cpu_variant

#: the instruction sets of the native engine that have products of bfloat16
_CPU_VARIANTS = ("avx512bf16",)


class Bfloat16Support(NamedTuple):
    """Whether products of bfloat16 are fast, and why or why not, as the end of a sentence."""

    is_fast: bool
    reason: str


def bfloat16_support(device: torch.device | str = "cpu") -> Bfloat16Support:
    """Return whether a device has instructions for products of bfloat16 that layers there would use."""
    device = torch.device(device)
    if device.type == "cuda":
        is_fast = torch.cuda.is_bf16_supported(including_emulation=False)
        return Bfloat16Support(is_fast, f"{torch.cuda.get_device_name(device)} has {'' if is_fast else 'no '}bfloat16")
    if device.type != "cpu":
        return Bfloat16Support(False, f"bfloat16 on {device.type} is not measured")
    variant = cpu_variant()
    if variant is None:
        return Bfloat16Support(False, "the native engine, which has products of bfloat16, is not built")
    if variant in _CPU_VARIANTS:
        return Bfloat16Support(True, f"the processor has products of bfloat16 ({variant})")
    return Bfloat16Support(False, f"{variant} has no products of bfloat16; they are computed in float32")
