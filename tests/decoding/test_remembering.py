"""A stepper that remembers: the same numbers, and fewer steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import unrolled
from unrolled.decoding.remembering import RememberingStepper
from unrolled.layers import Embedding
from unrolled.networks import SyncedNetwork


@pytest.fixture(params=["lstm", "gru"])
def network(request: pytest.FixtureRequest) -> SyncedNetwork:
    torch.manual_seed(3)
    kind = {"lstm": unrolled.LSTM, "gru": unrolled.GRU}[request.param]
    output = torch.nn.Linear(16, 9)
    output.classes = 9  # type: ignore[assignment]
    return SyncedNetwork(Embedding(9, 4), kind(4, 16, num_layers=2), output).eval()


def walked(stepper: Any, state: Any, paths: list[list[int]]) -> list[Tensor]:
    """The logits along some paths, side by side."""
    found = []
    for tokens in zip(*paths, strict=True):
        logits, state = stepper.step(torch.tensor(tokens), state)
        found.append(logits)
    return found


def test_the_same_bits_and_fewer_steps(network: SyncedNetwork) -> None:
    remembering = RememberingStepper(network, 200)
    start = remembering.start(1)
    paths = [[1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 7, 4], [0, 2, 3, 4], [1, 2, 3, 4]]
    rows = torch.zeros(len(paths), dtype=torch.int64)
    plain = walked(network, network.start(len(paths)), paths)
    before = remembering.has_read
    first = walked(remembering, remembering.select(start, rows), paths)
    # 2 + 2 + 3 + 4 different beginnings
    assert remembering.has_read - before == 11
    second = walked(remembering, remembering.select(start, rows), paths)
    assert remembering.has_read - before == 11
    for one, two, three in zip(plain, first, second, strict=True):
        assert one.tolist() == two.tolist() == three.tolist()


def test_what_is_forgotten_is_read_again(network: SyncedNetwork) -> None:
    remembering = RememberingStepper(network, 16)
    state = network.start(1)
    for turn in range(40):
        token = torch.tensor([turn % 9])
        node = remembering.place(state, None, ())
        found = walked(
            remembering, remembering.select(type(remembering.start(0))([node]), torch.tensor([0, 0])), [[1, 2], [1, 3]]
        )
        wanted = walked(network, network.select(state, torch.tensor([0, 0])), [[1, 2], [1, 3]])
        assert [x.tolist() for x in found] == [x.tolist() for x in wanted]
        _, state = network.step(token, state)


def test_a_place_is_known_by_all_of_its_state(network: SyncedNetwork) -> None:
    remembering = RememberingStepper(network, 64)
    logits, state = network.step(torch.tensor([4]), network.start(1))
    node = remembering.place(state, logits, ())
    assert remembering.place(state, logits, (None, node)) is node
    parts = state if isinstance(state, tuple) else (state,)
    for changed in range(len(parts)):
        other = [part.clone() for part in parts]
        other[changed][-1, 0, 0] += 1e-6
        moved = tuple(other) if len(other) > 1 else other[0]
        assert remembering.place(moved, logits, (node,)) is not node
    for _ in range(64):
        remembering.place(state, logits, ())
    assert remembering.place(state, logits, (node,)) is not node
