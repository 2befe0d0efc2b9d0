"""How long a call takes when both cores have other work: median and 95th percentile, beside torch's own layers.

    python benchmarks/contention.py

As many processes as there are cores compute without pause while a layer is called again and again. Each contender is
alone beside them, in turns of a second, since the workers of torch's pool go on spinning for a while after a call and
would be company for whoever comes next. Writes `results/contention.json` beside this file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from machine import provenance

import unrolled
from unrolled.bench.machine import load_average, usable_cores

#: cell, T (0 is a single step), B, H
CASES = (("LSTM", 0, 1, 128), ("LSTM", 0, 1, 512), ("LSTM", 100, 1, 128), ("GRU", 100, 1, 128), ("LSTM", 100, 1, 512))
#: of each contender, each of at most so many seconds
TURNS, SECONDS = 4, 1.0
BUSY = "import torch; torch.set_num_threads(1); a = torch.randn(256, 256)\nwhile True: a @ a"


def main() -> None:
    """Measure in peace, then beside busy processes; write both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1000, help="of each contender and case, at most")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    load = load_average()
    found = {"without them": measure(args.calls)}
    cores = usable_cores()
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(cores)]
    try:
        # until they have begun
        time.sleep(5)
        found["beside as many busy processes as cores"] = measure(args.calls)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    result = {
        **provenance(),
        "load_average_before": load,
        "busy_processes": cores,
        "calls": args.calls,
        "microseconds": found,
    }
    path = Path(__file__).parent / "results" / "contention.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for company, cases in found.items():
        print(company)
        for case, contenders in cases.items():
            print(f"  {case}: " + ", ".join(f"{n} {v['p50']:g} / {v['p95']:g}" for n, v in contenders.items()))
    print(f"median / 95th percentile in µs; written to {path}")


def measure(calls: int) -> dict[str, Any]:
    """Microseconds of each case and contender: p50, p95 and the longest."""
    return {
        f"{cell} {'step' if time == 0 else f'sequence of {time}'}, B {batch}, H {hidden}": {
            name: summary(values) for name, values in timed(contenders(cell, time, batch, hidden), calls).items()
        }
        for cell, time, batch, hidden in CASES
    }


def contenders(cell: str, steps: int, batch: int, hidden: int) -> dict[str, Callable[[], Any]]:
    """Our layer with both threads and with one, and torch's with both."""
    layer, theirs = getattr(unrolled, cell)(hidden, hidden).eval(), getattr(torch.nn, cell)(hidden, hidden)
    x = torch.randn(max(steps, 1), batch, hidden)
    stream = layer.stream(batch)
    threads = torch.get_num_threads()

    def ours() -> None:
        if steps == 0:
            stream.step(x[0])
        else:
            with torch.no_grad():
                layer(x)

    def alone() -> None:
        torch.set_num_threads(1)
        ours()
        torch.set_num_threads(threads)

    def other() -> None:
        with torch.no_grad():
            theirs(x)

    return {"unrolled": ours, "unrolled, one thread": alone, "torch": other}


def timed(contenders: dict[str, Callable[[], Any]], calls: int) -> dict[str, list[float]]:
    """Microseconds of each call: so many, or those of `TURNS` turns where that takes too long."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(TURNS):
        for name, run in contenders.items():
            # so that its weights are in the cache, and whoever spins has ceased
            time.sleep(0.05)
            run()
            begun, mine = time.perf_counter(), found[name]
            until = len(mine) + -(-calls // TURNS)
            while len(mine) < until and time.perf_counter() - begun < SECONDS:
                start = time.perf_counter()
                run()
                mine.append(1e6 * (time.perf_counter() - start))
    return found


def summary(values: list[float]) -> dict[str, float | int]:
    """Median, 95th percentile and maximum, in microseconds, and of how many calls."""
    return {
        "p50": round(median(values), 1),
        "p95": round(quantiles(values, n=20)[-1], 1),
        "longest": round(max(values), 1),
        "calls": len(values),
    }


if __name__ == "__main__":
    main()
