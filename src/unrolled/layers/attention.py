"""Attention: a decoder looks up its state in a memory, which has one vector for each step of the source.

Letters: B batch, S steps of the memory, M width of a memory's vectors, T queries per row, Q width of a query, A width
of the space in which queries and keys are compared. The keys do not depend on the query and are computed once per
sequence (`remember`); a query then costs one comparison with each key.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from unrolled.errors import ArgumentError, ShapeError
from unrolled.scan import valid_steps


class Memory(NamedTuple):
    """A memory to look up in, batch first.

    Attributes:
        values: (B, S, M), zero beyond the end of a row.
        keys: (B, S, A or Q), the vectors that queries are compared with.
        valid: (B, S) bool, or None where all steps of all rows are valid.
    """

    values: Tensor
    keys: Tensor
    valid: Tensor | None

    def select(self, rows: Tensor) -> Memory:
        """Return the memory whose row n is row `rows[n]` of this one; rows (N,) int64, repeats allowed."""
        valid = None if self.valid is None else self.valid.index_select(0, rows)
        return Memory(self.values.index_select(0, rows), self.keys.index_select(0, rows), valid)


class Attention(nn.Module, ABC):
    """Weights over the steps of a memory, and the sum of its vectors with these weights.

        a = softmax(score(q, m_1), …, score(q, m_S))        context = Σ_s a_s m_s

    Args:
        query_size: Q.
        memory_size: M.
    """

    kind: ClassVar[str]

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__()
        for name, size in (("query_size", query_size), ("memory_size", memory_size)):
            if size < 1:
                raise ArgumentError(f"{name}: expected at least 1, found {size}")
        self.query_size, self.memory_size = query_size, memory_size

    @abstractmethod
    def keys(self, values: Tensor) -> Tensor:
        """Return the keys of values (B, S, M)."""

    @abstractmethod
    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Compare queries (B, T, Q) with keys (B, S, ·): (B, T, S)."""

    def remember(self, memory: Tensor, lengths: Tensor | None = None) -> Memory:
        """Prepare a memory for any number of queries.

        Args:
            memory: (S, B, M), time first as recurrent layers return it.
            lengths: (B,) valid steps; steps beyond them are never read, and get no gradient.

        Raises:
            ShapeError, ArgumentError: the memory or the lengths do not match.
        """
        if memory.dim() != 3 or memory.shape[-1] != self.memory_size:
            raise ShapeError("memory", f"(S, B, M={self.memory_size})", memory.shape)
        values, valid = memory.transpose(0, 1), None
        if lengths is not None:
            inside = valid_steps(lengths, memory.shape[0], memory.shape[1])
            if not bool(inside.all()):
                valid = inside.t().contiguous().to(memory.device)
                # filled, not multiplied, since padding may be NaN
                values = values.masked_fill(~valid.unsqueeze(-1), 0)
        values = values.contiguous()
        return Memory(values, self.keys(values), valid)

    def forward(self, queries: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Look queries up in a memory.

        Args:
            queries: (B, Q), or (T, B, Q) for several per row.
            memory: as returned by `remember`.

        Returns:
            context (B, M) or (T, B, M), and weights (B, S) or (T, B, S), which sum to 1 over the valid steps. A row
            without valid steps has zeros in both.

        Raises:
            ShapeError: the queries do not match.
        """
        batch = memory.values.shape[0]
        if queries.dim() not in (2, 3) or queries.shape[-2:] != (batch, self.query_size):
            raise ShapeError("queries", f"(B={batch}, Q={self.query_size}) or (T, B, Q)", queries.shape)
        single = queries.dim() == 2
        scores = self.scores(queries.unsqueeze(1) if single else queries.transpose(0, 1), memory.keys)
        if memory.valid is not None:
            outside = ~memory.valid.unsqueeze(1)
            # the smallest number instead of −inf, which would make a row without valid steps NaN
            scores = scores.masked_fill(outside, torch.finfo(scores.dtype).min)
            weights = scores.softmax(-1).masked_fill(outside, 0)
        else:
            weights = scores.softmax(-1)
        context = torch.bmm(weights, memory.values)
        if single:
            return context.squeeze(1), weights.squeeze(1)
        return context.transpose(0, 1), weights.transpose(0, 1)


class AdditiveAttention(Attention):
    """score(q, m) = vᵀ tanh(W q + U m + b)

    T queries at once take memory for (B, T, S, A) numbers.

    Args:
        query_size, memory_size: Q, M.
        size: A; Q by default.

    Source: Bahdanau, Cho & Bengio 2014, arXiv 1409.0473, section 3.1 and appendix A.1.2.
    """

    kind = "additive"

    def __init__(self, query_size: int, memory_size: int, size: int | None = None) -> None:
        super().__init__(query_size, memory_size)
        if size is not None and size < 1:
            raise ArgumentError(f"size: expected at least 1, found {size}")
        self.size = size or query_size
        self.query = nn.Linear(query_size, self.size, bias=False)
        self.key = nn.Linear(memory_size, self.size)
        self.score = nn.Linear(self.size, 1, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """Return U m + b, (B, S, A)."""
        result: Tensor = self.key(values)
        return result

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Compare (B, T, Q), (B, S, A) → (B, T, S)."""
        summed: Tensor = self.query(queries).unsqueeze(2) + keys.unsqueeze(1)
        result: Tensor = self.score(summed.tanh()).squeeze(-1)
        return result


class DotAttention(Attention):
    """score(q, m) = qᵀ m, for queries and memories of the same width.

    Args:
        query_size, memory_size: Q = M.

    Source: Luong, Pham & Manning 2015, arXiv 1508.04025, equation 8 (dot).
    """

    kind = "dot"

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__(query_size, memory_size)
        if query_size != memory_size:
            raise ArgumentError(f"query_size: dot attention needs the memory's, {memory_size}; found {query_size}")

    def keys(self, values: Tensor) -> Tensor:
        """Return the values themselves."""
        return values

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Compare (B, T, Q), (B, S, Q) → (B, T, S)."""
        return torch.bmm(queries, keys.transpose(1, 2))


class GeneralAttention(Attention):
    """score(q, m) = qᵀ W m

    Args:
        query_size, memory_size: Q, M.

    Source: Luong, Pham & Manning 2015, arXiv 1508.04025, equation 8 (general).
    """

    kind = "general"

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__(query_size, memory_size)
        self.key = nn.Linear(memory_size, query_size, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """Return W m, (B, S, Q)."""
        result: Tensor = self.key(values)
        return result

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Compare (B, T, Q), (B, S, Q) → (B, T, S)."""
        return torch.bmm(queries, keys.transpose(1, 2))


ATTENTIONS: dict[str, type[Attention]] = {a.kind: a for a in (AdditiveAttention, DotAttention, GeneralAttention)}


def make_attention(kind: str, query_size: int, memory_size: int) -> Attention:
    """Return the attention named `kind`.

    Raises:
        ArgumentError: there is no attention of that name, or it does not match the sizes.
    """
    if kind not in ATTENTIONS:
        raise ArgumentError(f"attention: expected one of {', '.join(ATTENTIONS)}, found {kind!r}")
    return ATTENTIONS[kind](query_size, memory_size)
