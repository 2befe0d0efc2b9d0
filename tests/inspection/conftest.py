"""Networks small enough to be checked by autograd, and inputs for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from unrolled.layers import Embedding, LinearOutput
from unrolled.networks import SyncedNetwork
from unrolled.tasks.core.probe import Probe

TEXT = 'ab "c d" AB\nxy (1 2) z.'
ALPHABET = sorted(set(TEXT))


@pytest.fixture
def text_probe() -> Callable[..., Probe]:
    """A probe of a random character model in float64 over TEXT."""

    def made(kind: Any, **options: Any) -> Probe:
        torch.manual_seed(3)
        inputs = Embedding(len(ALPHABET), 4)
        hidden = kind(4, 6, **options)
        network = SyncedNetwork(inputs, hidden, LinearOutput(hidden.output_size, len(ALPHABET))).double().eval()
        ids = torch.tensor([ALPHABET.index(c) for c in TEXT])
        return Probe(
            network=network,
            input_layer=network.inputs,
            steps=tuple(TEXT[:-1]),
            run=lambda: network(ids[:-1].unsqueeze(1))[0].squeeze(1),
            outputs=tuple(TEXT[1:]),
            classes=lambda k: ALPHABET[k],
            targets=ids[1:],
            synced=True,
            separator="",
        )

    return made
