"""Training with resets against the same without: a document every so many steps, in all rows alike and at random.

    python benchmarks/resets.py --threads 2

Forward and backward pass of one layer, the rounds of all forms in turn, the median of each. Writes
`results/resets.json` beside this file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from machine import provenance
from torch import Tensor

import unrolled

RESULTS = Path(__file__).parent / "results" / "resets.json"
STEPS, EVERY = 200, (None, 200, 100, 50, 20, 5)


def resets(batch: int, every: int | None) -> Tensor | None:
    """Return resets at random, one in `every` steps; with none at all a mask of False, and without a mask None."""
    if every is None:
        return None
    drawn = torch.rand(STEPS, batch, generator=torch.Generator().manual_seed(every))
    return drawn < (0.0 if every == STEPS else 1 / every)


def pass_time(layer: unrolled.LSTM | unrolled.GRU, x: Tensor, reset: Tensor | None) -> float:
    """Return the seconds of a forward and a backward pass."""
    started = time.perf_counter()
    layer(x, reset=reset)[0].sum().backward()
    return time.perf_counter() - started


def main() -> None:
    """Measure each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    for kind, batch, width in ((unrolled.LSTM, 1, 256), (unrolled.LSTM, 32, 256), (unrolled.GRU, 8, 256)):
        layer, x = kind(width, width), torch.randn(STEPS, batch, width)
        masks = [resets(batch, every) for every in EVERY]
        times = [[pass_time(layer, x, mask) for mask in masks] for _ in range(args.rounds + 1)][1:]
        medians = [statistics.median(column) for column in zip(*times, strict=True)]
        for every, seconds in zip(EVERY, medians, strict=True):
            document = "one a row" if every == STEPS else every
            row = {"layer": kind.__name__, "batch": batch, "hidden": width, "steps": STEPS, "document": document}
            rows.append(row | {"ms": 1000 * seconds, "ratio": seconds / medians[0]})
            print(rows[-1], flush=True)
    args.out.write_text(json.dumps({**provenance(), "threads": args.threads, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
