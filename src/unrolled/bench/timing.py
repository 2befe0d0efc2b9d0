"""Timing contenders side by side.

In each round each contender has a turn, in a new order, so that whatever else the machine does falls on all alike.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

#: seconds of a turn: shorter calls are repeated within it
TURN = 0.002
#: a call longer than this is not repeated untimed before it is timed
LONG = 0.02
FEWEST_ROUNDS = 5
#: the machine is quiet if half of the contenders have a median of at most so many times their shortest time
CALM = 1.15
#: otherwise rounds go on for at most so many times as long
MOST_PATIENCE = 3
_SLICE, _PATIENCE = 0.005, 0.1


def interleaved(
    contenders: Mapping[str, Callable[[], object]],
    seconds: float,
    repeats: int,
    seed: int = 0,
    settled: Callable[[], None] | None = None,
) -> dict[str, list[float]]:
    """Measure the seconds of a call of each contender, one number a round.

    Args:
        contenders: the calls to time, each of which was made at least once before.
        seconds: time for all rounds together; at least FEWEST_ROUNDS are made, or `repeats` if that is less. On a
            machine that is not quiet rounds go on, for up to MOST_PATIENCE times as long; all of them count.
        repeats: the most rounds.
        seed: of the order.
        settled: waits until the contender before is at rest; by default `settle`.
    """
    order, generator = list(contenders), random.Random(seed)
    settled = settle if settled is None else settled
    times: dict[str, list[float]] = {name: [] for name in contenders}
    with _no_collector():
        counts = {name: _calls_a_turn(run) for name, run in contenders.items()}
        begun = time.perf_counter()
        for done in range(repeats):
            spent = time.perf_counter() - begun
            if done >= FEWEST_ROUNDS and spent > seconds * (1 if is_calm(times.values()) else MOST_PATIENCE):
                break
            generator.shuffle(order)
            for name in order:
                settled()
                run, calls = contenders[name], counts[name]
                if calls > 1 or (times[name] and times[name][-1] < LONG):
                    # to wake its threads and fill the caches
                    _turn(run, calls)
                times[name].append(_turn(run, calls) / calls)
    return times


def settle() -> None:
    """Wait until no thread of this process computes, but a tenth of a second at most.

    The pools of torch, ONNX Runtime and others spin for a while after a call, on a core that the next contender needs.
    """
    end = time.perf_counter() + _PATIENCE
    while True:
        before, start = time.process_time(), time.perf_counter()
        time.sleep(_SLICE)
        now = time.perf_counter()
        if time.process_time() - before < 0.2 * (now - start) or now > end:
            return


def is_calm(times: Iterable[Sequence[float]]) -> bool:
    """Return whether the times of most contenders agree: whatever disturbs the machine falls on all of them.

    >>> is_calm([[1.0, 1.1, 1.1], [2.0, 2.1, 9.0], [1.0, 2.0, 2.0]])
    True
    >>> is_calm([[1.0, 1.5, 1.6], [2.0, 3.1, 3.2], [1.0, 1.0, 1.0]])
    False
    """
    return statistics.median(statistics.median(values) / min(values) for values in times) <= CALM


def ratio(peer: Sequence[float], ours: Sequence[float]) -> float:
    """Return the median over the rounds of a peer's time ÷ ours.

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
    """Return the number of calls that fill a turn."""
    settle()
    once = _turn(run, 1)
    if once < TURN:
        calls = max(1, int(TURN / 4 / once))
        once = _turn(run, calls) / calls
    return max(1, round(TURN / once))


@contextmanager
def _no_collector() -> Iterator[None]:
    """Switch Python's garbage collector off."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
