"""Continuations that must begin with given bytes.

A tokeniser of multi-byte tokens cuts "I am goi" into tokens that never precede "ng" in its training text. So the last
token is taken back before the model is asked, and the continuation must begin with that token's bytes (often called
token healing).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import torch
from torch import Tensor


class BytePrefix:
    """Which tokens can begin, or go on with, given bytes. Build once for a vocabulary.

    Args:
        pieces: the bytes of each token, in order of ids; a token with none (an end token) never fits.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = tuple(pieces)
        self._order = sorted(range(len(self.pieces)), key=self.pieces.__getitem__)
        self._sorted = [self.pieces[token] for token in self._order]

    def covering(self, wanted: bytes) -> list[int]:
        """Ids of the tokens whose bytes begin with ``wanted`` (≥ 1 byte)."""
        first = bisect_left(self._sorted, wanted)
        # No bytes sort after 0xff repeated, so the last wanted byte is stepped up where that is possible.
        above = wanted.rstrip(b"\xff")
        last = len(self._sorted) if not above else bisect_left(self._sorted, above[:-1] + bytes((above[-1] + 1,)))
        return self._order[first:last]

    def within(self, wanted: bytes) -> list[int]:
        """Ids of the tokens that are a beginning of ``wanted``, shorter than it."""
        tokens: list[int] = []
        for length in range(1, len(wanted)):
            place = bisect_left(self._sorted, wanted[:length])
            while place < len(self._sorted) and self._sorted[place] == wanted[:length]:
                tokens.append(self._order[place])
                place += 1
        return tokens

    def masks(self, tokens: Tensor, prefixes: Sequence[bytes]) -> tuple[Tensor, Tensor, Tensor] | None:
        """What hypotheses (B, K, t) may go on with, when row b must begin with ``prefixes[b]``.

        Returns:
            None if every hypothesis has covered its prefix; else allowed (B, K, V), covering (B, K, V): those allowed
            tokens that complete the prefix, and open (B, K): the hypotheses not there yet; all bool.
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
        """Return the first part of ``masks``. ``partial(healing.constraint, prefixes=[b" go"])`` suits beam search."""
        masks = self.masks(tokens, prefixes)
        return None if masks is None else masks[0]

    def _remaining(self, tokens: list[int], prefix: bytes) -> bytes:
        for token in tokens:
            if not prefix:
                break
            prefix = prefix[len(self.pieces[token]) :]
        return prefix
