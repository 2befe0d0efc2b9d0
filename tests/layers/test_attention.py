"""Attention: the three papers' scores by hand, ragged memories, and what padding may not do."""

from __future__ import annotations

import pytest
import torch

from unrolled.errors import ArgumentError, ShapeError
from unrolled.layers import AdditiveAttention, Attention, DotAttention, GeneralAttention, make_attention

Q, M, S, B, T = 5, 5, 4, 3, 2
KINDS = ["additive", "dot", "general"]


def made(kind: str, seed: int = 0) -> Attention:
    torch.manual_seed(seed)
    return make_attention(kind, Q, M).double()


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def score_by_hand(attention: Attention, q: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
    if isinstance(attention, AdditiveAttention):
        inside = attention.query.weight @ q + attention.key.weight @ m + attention.key.bias
        return attention.score.weight[0] @ inside.tanh()
    if isinstance(attention, GeneralAttention):
        return q @ attention.key.weight @ m
    return q @ m


@pytest.mark.parametrize("kind", KINDS)
def test_by_hand(kind: str) -> None:
    attention, lengths = made(kind), [4, 1, 3]
    queries, memory = drawn(T, B, Q), drawn(S, B, M)
    context, weights = attention(queries, attention.remember(memory, torch.tensor(lengths)))
    assert context.shape == (T, B, M)
    assert weights.shape == (T, B, S)
    for t in range(T):
        for b, n in enumerate(lengths):
            scores = torch.stack([score_by_hand(attention, queries[t, b], memory[s, b]) for s in range(n)])
            expected = scores.softmax(0)
            torch.testing.assert_close(weights[t, b, :n], expected)
            assert weights[t, b, n:].abs().sum() == 0
            torch.testing.assert_close(context[t, b], expected @ memory[:n, b])


@pytest.mark.parametrize("kind", KINDS)
def test_many_queries_equal_one_at_a_time(kind: str) -> None:
    attention, queries = made(kind), drawn(T, B, Q)
    memory = attention.remember(drawn(S, B, M), torch.tensor([2, 4, 1]))
    context, weights = attention(queries, memory)
    for t in range(T):
        one, its = attention(queries[t], memory)
        torch.testing.assert_close(one, context[t])
        torch.testing.assert_close(its, weights[t])


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind: str) -> None:
    attention, lengths = made(kind), torch.tensor([4, 2, 3])
    names = [name for name, _ in attention.named_parameters()]
    inputs = [drawn(T, B, Q), drawn(S, B, M), *(p.detach().clone() for p in attention.parameters())]

    def run(queries: torch.Tensor, memory: torch.Tensor, *parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        own = dict(zip(names, parameters, strict=True))

        class Both(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = attention

            def forward(self) -> tuple[torch.Tensor, ...]:
                return self.inner(queries, self.inner.remember(memory, lengths))

        return torch.func.functional_call(Both(), {f"inner.{name}": p for name, p in own.items()}, ())

    assert torch.autograd.gradcheck(run, [x.requires_grad_() for x in inputs])


@pytest.mark.parametrize("kind", KINDS)
def test_nan_in_the_padding_never_leaks(kind: str) -> None:
    attention, lengths = made(kind), torch.tensor([2, 4, 0])
    queries, memory = drawn(T, B, Q), drawn(S, B, M)
    for b, n in enumerate(lengths.tolist()):
        memory[n:, b] = float("nan")
    memory.requires_grad_()
    context, weights = attention(queries, attention.remember(memory, lengths))
    (context.sum() + (weights * drawn(T, B, S)).sum()).backward()
    assert context.isfinite().all()
    assert weights.isfinite().all()
    assert memory.grad is not None
    assert memory.grad.isfinite().all()
    for b, n in enumerate(lengths.tolist()):
        assert memory.grad[n:, b].abs().sum() == 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in attention.parameters())
    # nothing to look up: nothing is found
    assert context[:, 2].abs().sum() == 0
    assert weights[:, 2].abs().sum() == 0
    torch.testing.assert_close(weights.sum(-1)[:, :2], torch.ones(T, 2, dtype=torch.float64))


@pytest.mark.parametrize("kind", KINDS)
def test_a_ragged_batch_equals_each_alone(kind: str) -> None:
    attention, lengths = made(kind), [4, 1, 2]
    queries, memory = drawn(B, Q), drawn(S, B, M)
    context, _ = attention(queries, attention.remember(memory, torch.tensor(lengths)))
    for b, n in enumerate(lengths):
        alone, _ = attention(queries[b : b + 1], attention.remember(memory[:n, b : b + 1]))
        torch.testing.assert_close(context[b : b + 1], alone)


def test_a_selected_memory_is_that_of_the_rows() -> None:
    attention, memory = made("additive"), drawn(S, B, M)
    rows = torch.tensor([2, 0, 0])
    whole = attention.remember(memory, torch.tensor([4, 1, 2]))
    there = attention.remember(memory[:, rows], torch.tensor([2, 4, 4]))
    for found, expected in zip(whole.select(rows), there, strict=True):
        assert torch.equal(found, expected)
    assert attention.remember(memory).select(rows).valid is None


def test_sizes_may_differ_where_they_can() -> None:
    for attention in (AdditiveAttention(3, 7, 2), GeneralAttention(3, 7)):
        context, weights = attention(torch.zeros(2, 3), attention.remember(torch.zeros(6, 2, 7)))
        assert context.shape == (2, 7)
        assert weights.tolist() == [[pytest.approx(1 / 6)] * 6] * 2


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ArgumentError, match="dot attention needs the memory's, 7; found 3"):
        DotAttention(3, 7)
    with pytest.raises(ArgumentError, match="attention: expected one of additive, dot, general, found 'soft'"):
        make_attention("soft", 3, 7)
    with pytest.raises(ArgumentError, match="size: expected at least 1, found 0"):
        AdditiveAttention(3, 7, 0)
    with pytest.raises(ArgumentError, match="memory_size: expected at least 1, found 0"):
        GeneralAttention(3, 0)
    attention = GeneralAttention(3, 7)
    with pytest.raises(ShapeError, match=r"memory: expected shape \(S, B, M=7\), found \(4, 2, 6\)"):
        attention.remember(torch.zeros(4, 2, 6))
    with pytest.raises(ArgumentError, match=r"lengths\[1\]: expected 0 to T=4, found 5"):
        attention.remember(torch.zeros(4, 2, 7), torch.tensor([1, 5]))
    with pytest.raises(ShapeError, match=r"queries: expected shape \(B=2, Q=3\)"):
        attention(torch.zeros(1, 3), attention.remember(torch.zeros(4, 2, 7)))
