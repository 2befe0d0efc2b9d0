"""The limits of the machine, measured in the same run by kernels of our own: multiply-adds and bytes read a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from unrolled.bench.grid import Case
from unrolled.bench.timing import settle
from unrolled.kernels.native.binding import load

#: a batch of this many rows computes longer than it reads weights
COMPUTE_BOUND_BATCH = 16
_MIB = 1 << 20
#: bytes of a weight
_SIZES = {"float32": 4, "bfloat16": 2}
#: the factors that the compiled module multiplies, by their numbers there
FACTORS = ("float32", "bfloat16", "int8")
#: so many rounds of products take some milliseconds: a call's own cost vanishes
_ROUNDS = 1 << 16


class Ceiling:
    """Probes of the machine, each run once. Without the native engine nothing is measured.

    Args:
        threads: as many as the contenders have.
        seconds: for one probe.
    """

    def __init__(self, threads: int, seconds: float = 0.2) -> None:
        self._threads, self._seconds = threads, seconds
        self._native = load()[0]
        self._products: dict[str, float] = {}
        self._reads: dict[int, float] = {}

    @property
    def products(self) -> dict[str, float]:
        """FLOP a second of products of each kind of factor in registers, two to a multiply-add."""
        if not self._products and self._native is not None:
            for kind, name in enumerate(FACTORS):
                probe = partial(self._native.multiply_adds, kind, _ROUNDS, self._threads)
                self._products[name] = 2 * probe() / _fastest(probe, self._seconds)
        return self._products

    def bandwidth(self, size: int) -> float:
        """Measure bytes a second when the same `size` bytes are read again and again, divided between the threads."""
        if size not in self._reads and self._native is not None:
            # a part is read in blocks of 512 bytes, and the last of them is left out
            part = max(512, size // self._threads // 512 * 512)
            total, rounds = part * self._threads, max(1, 16 * _MIB // size)
            data, read = torch.ones(total, dtype=torch.uint8), self._native.read
            seconds = _fastest(lambda: read(data.data_ptr(), total, rounds, self._threads), self._seconds)
            self._reads[size] = total * rounds / seconds
        return self._reads[size]

    def least_seconds(self, case: Case) -> float | None:
        """Return the shortest time a case can take, with every multiply-add at the machine's rate; None if not known.

        A small batch must also read weight_hh at every step, and that is what it waits for.
        """
        if not self.products:
            return None
        flops, weight = self.products[case.dtype], _SIZES[case.dtype]
        if case.batch >= COMPUTE_BOUND_BATCH or case.is_elementwise:
            return flop(case) / flops
        recurrent, rows = case.gates * case.hidden**2, sum(case.lengths)
        passes = 2 if case.mode == "training" else 1
        if case.mode == "step":
            size = 2 * recurrent * weight
            return max(size / self.bandwidth(size), flop(case) / flops)
        size = recurrent * weight
        a_step = max(size / self.bandwidth(size), 2 * recurrent * (rows / max(case.lengths)) / flops)
        reading = max(case.lengths) * passes * a_step
        return reading + (flop(case) - passes * 2 * recurrent * rows) / flops

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
