"""The precision of training: the dtype of the products of forward pass, loss and backward pass, and why."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

from unrolled.kernels import bfloat16_support

PrecisionName = Literal["fp32", "bf16", "auto"]


@dataclass(frozen=True)
class Precision:
    """The precision that a run trains in; weights, their gradients and moments are float32 in all of them.

    Attributes:
        name: "fp32" or "bf16".
        reason: why, as the end of a sentence.
        device: of the network.
    """

    name: str
    reason: str
    device: torch.device

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context in which a batch is scored."""
        if self.name == "fp32":
            return nullcontext()
        context: AbstractContextManager[None] = torch.autocast(self.device.type, torch.bfloat16)
        return context

    def __str__(self) -> str:
        return f"{'bfloat16' if self.name == 'bf16' else 'float32'}: {self.reason}"


def choose_precision(asked: PrecisionName, device: torch.device) -> Precision:
    """Return the precision asked for; "auto" is bf16 where the device has fast products of bfloat16.

    >>> choose_precision("fp32", torch.device("cpu")).name
    'fp32'
    """
    is_fast, reason = bfloat16_support(device)
    if asked == "auto":
        return Precision("bf16" if is_fast else "fp32", reason, device)
    return Precision(asked, reason if asked == "bf16" else "asked for", device)
