"""How long a call takes when both cores have other work: median and 95th percentile, beside torch's own layers.

    python benchmarks/contention.py

As many processes as there are cores compute without pause while a layer is called again and again. The contenders take
turns of a second, since the workers of torch's pool keep spinning for a while after a call and would disturb the next
contender. Writes `results/contention.json` beside this file.
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
#: turns of each contender, and the most seconds of a turn
TURNS, SECONDS = 4, 1.0
BUSY = "import torch; torch.set_num_threads(1); a = torch.randn(256, 256)\nwhile True: a @ a"


def main() -> None:
    """Measure on an idle machine, then beside busy processes, and write both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1000, help="the most calls of each contender and case")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    load = load_average()
    microseconds = {"without them": measure(args.calls)}
    cores = usable_cores()
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(cores)]
    try:
        # wait until they have started
        time.sleep(5)
        microseconds["beside as many busy processes as cores"] = measure(args.calls)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    result = {
        **provenance(),
        "load_average_before": load,
        "busy_processes": cores,
        "calls": args.calls,
        "microseconds": microseconds,
    }
    path = Path(__file__).parent / "results" / "contention.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for company, cases in microseconds.items():
        print(company)
        for case, contenders in cases.items():
            print(f"  {case}: " + ", ".join(f"{n} {v['p50']:g} / {v['p95']:g}" for n, v in contenders.items()))
    print(f"median / 95th percentile in µs; written to {path}")


def measure(calls: int) -> dict[str, Any]:
    """Return microseconds for each case and contender: p50, p95 and the longest."""
    return {
        f"{cell} {'step' if time == 0 else f'sequence of {time}'}, B {batch}, H {hidden}": {
            name: summary(values) for name, values in timed(contenders(cell, time, batch, hidden), calls).items()
        }
        for cell, time, batch, hidden in CASES
    }


def contenders(cell: str, steps: int, batch: int, hidden: int) -> dict[str, Callable[[], Any]]:
    """Return our layer with all threads and with one, and torch's with all."""
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
    """Return the microseconds of each call, up to a number of calls or the time of `TURNS` turns."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(TURNS):
        for name, run in contenders.items():
            # wait until other workers stop spinning, and bring the weights into the cache
            time.sleep(0.05)
            run()
            begun, own = time.perf_counter(), times[name]
            until = len(own) + -(-calls // TURNS)
            while len(own) < until and time.perf_counter() - begun < SECONDS:
                start = time.perf_counter()
                run()
                own.append(1e6 * (time.perf_counter() - start))
    return times


def summary(values: list[float]) -> dict[str, float | int]:
    """Return median, 95th percentile and maximum, in microseconds, and the number of calls."""
    return {
        "p50": round(median(values), 1),
        "p95": round(quantiles(values, n=20)[-1], 1),
        "longest": round(max(values), 1),
        "calls": len(values),
    }


if __name__ == "__main__":
    main()
