"""Timing contenders side by side.

In each round every one has a turn, in a new order, so that whatever else the machine does falls on all of them alike.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

#: seconds of a turn: shorter calls are repeated within it
TURN = 0.002
#: a call longer than this is not repeated untimed before it is timed
LONG = 0.02
FEWEST_ROUNDS = 3
_SLICE, _PATIENCE = 0.005, 0.1


def interleaved(
    contenders: Mapping[str, Callable[[], object]],
    seconds: float,
    repeats: int,
    seed: int = 0,
    settled: Callable[[], None] | None = None,
) -> dict[str, list[float]]:
    """Seconds per call of each contender, one number a round.

    Args:
        contenders: what is timed, each called before at least once.
        seconds: time for all rounds together; at least FEWEST_ROUNDS are made, or `repeats` if that is less.
        repeats: the most rounds.
        seed: of the order.
        settled: waits until the one before is at rest; by default `settle`.
    """
    order, generator = list(contenders), random.Random(seed)
    settled = settle if settled is None else settled
    found: dict[str, list[float]] = {name: [] for name in contenders}
    with _no_collector():
        counts = {name: _calls_a_turn(run) for name, run in contenders.items()}
        deadline = time.perf_counter() + seconds
        for done in range(repeats):
            if done >= FEWEST_ROUNDS and time.perf_counter() > deadline:
                break
            generator.shuffle(order)
            for name in order:
                settled()
                run, calls = contenders[name], counts[name]
                if calls > 1 or (found[name] and found[name][-1] < LONG):
                    # threads awake, caches its own
                    _turn(run, calls)
                found[name].append(_turn(run, calls) / calls)
    return found


def settle() -> None:
    """Wait until no thread of this process computes any more, or a tenth of a second is over.

    The pools of torch, ONNX Runtime and others spin for a while after a call, on a core that the next contender needs.
    """
    end = time.perf_counter() + _PATIENCE
    while True:
        before, start = time.process_time(), time.perf_counter()
        time.sleep(_SLICE)
        now = time.perf_counter()
        if time.process_time() - before < 0.2 * (now - start) or now > end:
            return


def ratio(peer: Sequence[float], ours: Sequence[float]) -> float:
    """How many times as long as ours a peer takes: the median over the rounds.

    >>> ratio([2.0, 3.0, 8.0], [1.0, 1.0, 2.0])
    3.0
    """
    return statistics.median(p / o for p, o in zip(peer, ours, strict=True))


def _turn(run: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return time.perf_counter() - start


def _calls_a_turn(run: Callable[[], object]) -> int:
    """How many calls fill a turn."""
    settle()
    once = _turn(run, 1)
    if once < TURN:
        calls = max(1, int(TURN / 4 / once))
        once = _turn(run, calls) / calls
    return max(1, round(TURN / once))


@contextmanager
def _no_collector() -> Iterator[None]:
    """Python's garbage collector, out of the way."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
