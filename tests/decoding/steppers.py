"""Small models whose every probability a test can work out."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from unrolled.decoding import read


class Bigram:
    """p(next | last) is a row of a matrix; the state is the last token, (B,)."""

    def __init__(self, probabilities: Tensor) -> None:
        self.logits = probabilities.double().log()
        self.vocabulary_size = probabilities.shape[1]

    def start(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size, dtype=torch.int64)

    def step(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        assert tokens.shape == state.shape
        return self.logits[tokens], tokens

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        return state[rows]


class Echo:
    """A random recurrence, so that every prefix leads elsewhere; the state is a nested tuple with h (B, H) in it."""

    def __init__(self, vocabulary_size: int, hidden_size: int = 6, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.vocabulary_size, self.hidden_size = vocabulary_size, hidden_size
        self.embedding, self.recurrent = draw(vocabulary_size, hidden_size), draw(hidden_size, hidden_size)
        self.output = 1.5 * draw(hidden_size, vocabulary_size)

    def start(self, batch_size: int) -> tuple[tuple[Tensor], None]:
        return (torch.zeros(batch_size, self.hidden_size, dtype=torch.float64),), None

    def step(self, tokens: Tensor, state: tuple[tuple[Tensor], None]) -> tuple[Tensor, tuple[tuple[Tensor], None]]:
        (h,), _ = state
        # Sums over a fixed axis, not a matrix product: the same bits whatever the number of rows.
        h = torch.tanh(self.embedding[tokens] + (h.unsqueeze(2) * self.recurrent).sum(1))
        return (h.unsqueeze(2) * self.output).sum(1), ((h,), None)

    def select(self, state: tuple[tuple[Tensor], None], rows: Tensor) -> tuple[tuple[Tensor], None]:
        return (state[0][0][rows],), None


def sequence_log_prob(stepper: Echo | Bigram, prompt: list[int], tokens: tuple[int, ...]) -> float:
    """ln p(tokens | prompt), one step at a time."""
    logits, state = read(stepper, torch.tensor([prompt]))
    total = 0.0
    for token in tokens:
        total += float(logits.log_softmax(-1)[0, token])
        logits, state = stepper.step(torch.tensor([token]), state)
    return total


def all_finished(vocabulary_size: int, end_ids: set[int], max_tokens: int) -> list[tuple[int, ...]]:
    """Every sequence of at most max_tokens that an end token finishes."""
    others = [token for token in range(vocabulary_size) if token not in end_ids]
    return [
        (*prefix, end)
        for length in range(max_tokens)
        for prefix in itertools.product(others, repeat=length)
        for end in sorted(end_ids)
    ]
