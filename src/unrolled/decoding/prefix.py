"""Continuations that must begin with given bytes.

A tokeniser of multi-byte tokens splits "I am goi" into tokens that never precede "ng" in its training text. So the last
token is removed before the model is fed, and the continuation must begin with that token's bytes ("token healing").
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import torch
from torch import Tensor

#: allowed (B, K, V), covering (B, K, V): the allowed tokens that complete the prefix, and open (B, K): the hypotheses
#: that have yet to; all bool
Masks = tuple[Tensor, Tensor, Tensor]


class BytePrefix:
    """The tokens that can begin or continue given bytes. Build it once for a vocabulary.

    Args:
        pieces: the bytes of each token, in order of ids; a token without bytes (an end token) never matches.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = tuple(pieces)
        self._order = sorted(range(len(self.pieces)), key=self.pieces.__getitem__)
        self._sorted = [self.pieces[token] for token in self._order]

    def covering(self, wanted: bytes) -> list[int]:
        """Return the ids of the tokens whose bytes begin with ``wanted`` (≥ 1 byte)."""
        first = bisect_left(self._sorted, wanted)
        # Nothing sorts after repeated 0xff, so the last byte below 0xff is incremented to find the end of the range.
        above = wanted.rstrip(b"\xff")
        last = len(self._sorted) if not above else bisect_left(self._sorted, above[:-1] + bytes((above[-1] + 1,)))
        return self._order[first:last]

    def within(self, wanted: bytes) -> list[int]:
        """Return the ids of the tokens that are a proper beginning of ``wanted``."""
        tokens: list[int] = []
        for length in range(1, len(wanted)):
            place = bisect_left(self._sorted, wanted[:length])
            while place < len(self._sorted) and self._sorted[place] == wanted[:length]:
                tokens.append(self._order[place])
                place += 1
        return tokens

    def masks(self, tokens: Tensor, prefixes: Sequence[bytes]) -> Masks | None:
        """Return the tokens that may follow hypotheses (B, K, t) when row b must begin with ``prefixes[b]``.

        None if every hypothesis has covered its prefix.
        """
        remaining = [
            [self._remaining(hypothesis, prefix) for hypothesis in row]
            for row, prefix in zip(tokens.tolist(), prefixes, strict=True)
        ]
        if not any(any(row) for row in remaining):
            return None
        batch, live = tokens.shape[:2]
        is_open = torch.tensor([[bool(rest) for rest in row] for row in remaining], device=tokens.device)
        covering = torch.zeros((batch, live, len(self.pieces)), dtype=torch.bool, device=tokens.device)
        allowed = (~is_open).unsqueeze(-1).expand_as(covering).clone()
        for b, row in enumerate(remaining):
            for k, rest in enumerate(row):
                if rest:
                    covering[b, k, self.covering(rest)] = True
                    allowed[b, k, self.within(rest)] = True
        return allowed | covering, covering, is_open

    def constraint(self, tokens: Tensor, prefixes: Sequence[bytes]) -> Tensor | None:
        """Return the first of ``masks``. ``partial(healing.constraint, prefixes=[b" go"])`` suits beam search."""
        masks = self.masks(tokens, prefixes)
        return None if masks is None else masks[0]

    def _remaining(self, tokens: list[int], prefix: bytes) -> bytes:
        for token in tokens:
            if not prefix:
                break
            prefix = prefix[len(self.pieces[token]) :]
        return prefix
