"""The limits of the machine, measured in the same run: multiply-adds a second, and bytes read a second."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy
import torch

from unrolled.bench.grid import Case
from unrolled.bench.peers.base import Peer
from unrolled.bench.timing import settle

#: a batch of this many rows computes longer than it reads weights
COMPUTE_BOUND_BATCH = 16
_MIB = 1 << 20
_FLOAT = 4  # bytes


class Ceiling:
    """Probes of the machine, each run once.

    Args:
        threads: as many as the contenders have; torch must be set to them.
        cores: those that this process may use; numpy's product uses them all.
        seconds: for one probe.
        peers: libraries whose products are tried, too.
    """

    def __init__(self, threads: int, cores: int, seconds: float = 0.2, peers: Sequence[Peer] = ()) -> None:
        self._threads, self._cores, self._seconds, self._peers = threads, cores, seconds, peers
        self._products: dict[str, float] = {}
        self._reads: dict[int, float] = {}

    @property
    def products(self) -> dict[str, float]:
        """FLOP a second of each library's float32 matrix product, the best of two sizes."""
        if not self._products:
            for size in (1024, 1536):
                a = torch.randn(size, size)
                probes: dict[str, Callable[[], Any]] = {"torch": functools.partial(torch.mm, a, a)}
                # numpy's threads can't be set
                if self._threads == self._cores:
                    probes["numpy"] = functools.partial(numpy.matmul, a.numpy(), a.numpy())
                others = {peer.name: peer.product(size, self._threads) for peer in self._peers}
                probes |= {name: probe for name, probe in others.items() if probe is not None}
                for name, probe in probes.items():
                    rate = 2 * size**3 / _fastest(probe, self._seconds)
                    self._products[name] = max(rate, self._products.get(name, 0))
        return self._products

    @property
    def flops(self) -> float:
        """FLOP a second of the fastest product."""
        return max(self.products.values())

    def bandwidth(self, size: int) -> float:
        """Measure bytes a second when the same `size` bytes are read again and again, divided between the threads."""
        if size not in self._reads:
            part = max(64, size // _FLOAT // self._threads)
            again = max(1, 16 * _MIB // size)
            # each thread's part, over and over, in one call: a call's own cost vanishes
            data = torch.randn(self._threads, 1, part).expand(self._threads, again, part)
            matrix = torch.randn(max(1, size // _FLOAT // 512), 512)
            vector = torch.randn(512)
            probes: Iterable[tuple[int, Callable[[], Any]]] = (
                (data.numel(), lambda: data.amax(-1)),
                (data.numel(), lambda: data.sum(-1)),
                (matrix.numel(), lambda: matrix @ vector),
            )
            self._reads[size] = max(count * _FLOAT / _fastest(probe, self._seconds / 2) for count, probe in probes)
        return self._reads[size]

    def least_seconds(self, case: Case) -> float:
        """Return the shortest time a case can take, with every multiply-add at the peak of the product.

        A small batch must also read weight_hh at every step, and that is what it waits for.
        """
        if case.batch >= COMPUTE_BOUND_BATCH or case.is_elementwise:
            return flop(case) / self.flops
        recurrent, rows = case.gates * case.hidden**2, sum(case.lengths)
        passes = 2 if case.mode == "training" else 1
        if case.mode == "step":
            size = 2 * recurrent * _FLOAT
            return max(size / self.bandwidth(size), flop(case) / self.flops)
        size = recurrent * _FLOAT
        reading = (
            max(case.lengths)
            * passes
            * max(size / self.bandwidth(size), 2 * recurrent * (rows / max(case.lengths)) / self.flops)
        )
        return reading + (flop(case) - passes * 2 * recurrent * rows) / self.flops

    def as_json(self) -> dict[str, Any]:
        """Return the measurements so far, in GFLOP/s and GB/s."""
        return {
            "gflops": {name: round(rate / 1e9, 1) for name, rate in self.products.items()},
            "gbytes_per_second": {str(size): round(rate / 1e9, 1) for size, rate in sorted(self._reads.items())},
        }


def flop(case: Case) -> float:
    """Count the floating-point operations of a case's products, without padding; training has three of each.

    >>> flop(Case("rnn", "inference", 10, 2, 8))
    5120.0
    """
    passes = 3 if case.mode == "training" else 1
    return 2.0 * passes * case.steps * case.products * case.hidden * case.hidden


def _fastest(run: Callable[[], Any], seconds: float) -> float:
    """Return the seconds of the fastest of many calls."""
    settle()
    run()
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        run()
        now = time.perf_counter()
        best = min(best, now - start)
        if now > end:
            return best
