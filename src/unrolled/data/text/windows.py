"""Windows for truncated BPTT: a corpus as parallel lanes, read in step, with the state carried between windows.

T time, B batch (lanes), N tokens. A corpus of N tokens holds P = N - 1 predictions: token p + 1 from all before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from unrolled.data.core.examples import Array
from unrolled.data.core.positions import check_shares, position_in
from unrolled.data.text.tokenfile import TokenFile
from unrolled.errors import ArgumentError, DataError

IGNORED = -100
"""The target of padding: torch's `cross_entropy` leaves it out."""

# How often the pages of a mapped file are given back; see TokenFile.release.
_RELEASE_EVERY = 64


class TokenBatch(NamedTuple):
    """One window of every lane.

    Attributes:
        inputs: token ids, shape (T, B), int64.
        targets: the token after each input, shape (T, B), int64; IGNORED where there is nothing to predict.
        resets: True if the carried state is to start anew before this window.
        epoch: which pass over the corpus this is, from 0.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    resets: bool
    epoch: int


class Windows:
    """Batches for training, without end: each epoch predicts every token but the first exactly once.

    The P predictions are cut into B contiguous lanes whose lengths differ by at most one; where one is shorter, its
    last target is IGNORED. The last window of an epoch may be shorter than the others. Epoch 0 starts at the first
    token; epoch e > 0 turns the corpus, as a ring of predictions, by a number drawn from (seed, e), so that lanes
    and window borders fall elsewhere each time. (In one lane the text then runs from its end on to its beginning.)

    A small corpus gets fewer lanes, so that each still has a whole window if possible; one that is shorter than a
    window is one lane and one window. The next batch depends on nothing but `state_dict`.

    Args:
        tokens: the corpus: a token file, or ids of shape (N,).
        batch_size: B at most.
        window: T.
        seed: which borders the epochs after the first have.
    Raises:
        ArgumentError: batch_size or window below 1.
        DataError: fewer than two tokens, which leave nothing to predict.
    """

    def __init__(self, tokens: TokenFile | Array, batch_size: int, window: int, *, seed: int = 0) -> None:
        self._corpus = _Corpus(tokens)
        self.lanes = _number_of_lanes(self._corpus.predictions, batch_size, window)
        self.window, self.seed = window, seed
        self._bounds = _split_evenly(self._corpus.predictions, self.lanes)
        # of the lanes that are read; a share of them has less
        self._begins, self._ends = self._bounds[:-1], self._bounds[1:]
        self._longest = int(np.diff(self._bounds).max())
        self._epoch, self._position = 0, 0
        self._shift = 0

    @property
    def batches_per_epoch(self) -> int:
        """Windows that cover the corpus once."""
        return -(-self._longest // self.window)

    @property
    def epoch(self) -> int:
        """The epoch of the next batch, from 0."""
        return self._epoch

    @property
    def position(self) -> int:
        """Batches of this epoch already given out."""
        return self._position

    def shared(self, worker: int, workers: int) -> Windows:
        """Return one worker's share: lanes that lie side by side, window after window.

        Raises:
            ArgumentError: there are fewer lanes than workers.
        """
        check_shares(self.lanes, workers)
        own = slice(*(self.lanes * n // workers for n in (worker, worker + 1)))
        share = copy(self)
        share._begins, share._ends = self._begins[own], self._ends[own]
        return share

    def next_batch(self) -> TokenBatch:
        """Return the next window of all lanes."""
        offset = self._position * self.window
        length = min(self.window, self._longest - offset)
        steps = offset + np.arange(length)[:, None]  # (T, 1)
        at = self._begins[None, :] + steps  # (T, B)
        valid = at < self._ends[None, :]
        at = (np.where(valid, at, 0) + self._shift) % self._corpus.predictions
        batch = TokenBatch(*self._corpus.gather(at, valid), resets=self._position == 0, epoch=self._epoch)
        self._position += 1
        if self._position == self.batches_per_epoch:
            self._start_epoch(self._epoch + 1)
        return batch

    def state_dict(self) -> dict[str, int]:
        """Return the position, with the sizes that it holds for."""
        return {"epoch": self._epoch, "position": self._position, **self._identity()}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue where `state_dict` was taken.

        Raises:
            StateError: it was taken over another corpus, or with other sizes or another seed.
        """
        epoch, position = position_in(state, self._identity(), self.batches_per_epoch, "corpus")
        self._start_epoch(epoch)
        self._position = position

    def _identity(self) -> dict[str, int]:
        return {"tokens": self._corpus.predictions + 1, "lanes": self.lanes, "window": self.window, "seed": self.seed}

    def _start_epoch(self, epoch: int) -> None:
        self._epoch, self._position = epoch, 0
        draw = np.random.default_rng([self.seed & (2**64 - 1), epoch])
        self._shift = int(draw.integers(self._corpus.predictions)) if epoch else 0


def evaluation_windows(
    tokens: TokenFile | Array, batch_size: int, window: int, *, warmup: int = 0
) -> Iterator[TokenBatch]:
    """Yield one pass for evaluation: every token but the first is a target exactly once, in order, the state carried.

    With one lane each token is predicted from all before it. With several, each but the first would start without
    any context; `warmup` lets it read that many tokens before its own first, without counting them.

    Args:
        tokens: as for `Windows`, also for the number of lanes.
        batch_size: B at most.
        window: T.
        warmup: tokens that every lane but the first reads uncounted.
    Raises:
        ArgumentError: batch_size or window below 1, warmup below 0.
        DataError: fewer than two tokens.
    """
    if warmup < 0:
        raise ArgumentError(f"warmup: must be at least 0, found {warmup}")
    corpus = _Corpus(tokens)
    lanes = _number_of_lanes(corpus.predictions, batch_size, window)
    return _evaluation(corpus, lanes, window, min(warmup, corpus.predictions - lanes) if lanes > 1 else 0)


def _evaluation(corpus: _Corpus, lanes: int, window: int, warmup: int) -> Iterator[TokenBatch]:
    # Lane b reads from bounds[b] and counts from there + warmup, where the lane before it stops; the first counts all.
    bounds = _split_evenly(corpus.predictions - warmup, lanes)
    counted = bounds[:-1] + warmup
    counted[0] = 0
    longest = int(np.diff(bounds).max()) + warmup
    for offset in range(0, longest, window):
        steps = offset + np.arange(min(window, longest - offset))[:, None]
        at = bounds[:-1][None, :] + steps
        inside = at < bounds[1:][None, :] + warmup
        inputs, targets = corpus.gather(np.where(inside, at, 0), inside & (at >= counted[None, :]))
        yield TokenBatch(inputs, targets, resets=offset == 0, epoch=0)


class _Corpus:
    """Random access to the ids, releasing the pages of a mapped file now and then."""

    def __init__(self, tokens: TokenFile | Array) -> None:
        self._file = tokens if isinstance(tokens, TokenFile) else None
        self._ids = tokens.tokens if isinstance(tokens, TokenFile) else tokens
        if self._ids.ndim != 1:
            raise ArgumentError(f"tokens: expected shape (N,), found {self._ids.shape}")
        self.predictions = self._ids.size - 1
        if self.predictions < 1:
            raise DataError(
                f"the corpus has {self._ids.size} token{'s' * (self._ids.size != 1)}, at least 2 are needed; "
                "give more text",
                self._file.path if self._file else None,
            )
        self._reads = 0

    def gather(self, at: NDArray[np.int64], valid: NDArray[np.bool_]) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets at these predictions, both (T, B); IGNORED where not valid."""
        inputs = torch.from_numpy(self._ids[at].astype(np.int64))
        targets = torch.from_numpy(np.where(valid, self._ids[at + 1].astype(np.int64), IGNORED))
        self._reads += 1
        if self._file is not None and self._reads % _RELEASE_EVERY == 0:
            self._file.release()
        return inputs, targets


def _number_of_lanes(predictions: int, batch_size: int, window: int) -> int:
    for name, value in (("batch_size", batch_size), ("window", window)):
        if value < 1:
            raise ArgumentError(f"{name}: must be at least 1, found {value}")
    return max(1, min(batch_size, predictions // window))


def _split_evenly(length: int, parts: int) -> NDArray[np.int64]:
    """The parts + 1 borders of contiguous parts whose lengths differ by at most one."""
    return np.array([part * length // parts for part in range(parts + 1)], dtype=np.int64)
