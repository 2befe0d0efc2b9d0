"""The speed-up of a user's own cell by compiled steps, over long sequences.

    python benchmarks/compiled_steps.py

Forward and backward pass over T = 2,000 of the cell in examples/own_cell.py, by the scan and with `compiled=True`, in
turn; medians, and the first call apart, which compiles. Writes `results/compiled-steps.json` beside this file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch
from machine import provenance

from unrolled import Recurrent

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from own_cell import MinimalGatedCell

RESULTS = Path(__file__).parent / "results" / "compiled-steps.json"


def pass_time(layer: Recurrent, x: torch.Tensor) -> float:
    """Return the seconds of a forward and a backward pass."""
    started = time.perf_counter()
    layer(x)[0].sum().backward()
    return time.perf_counter() - started


def main() -> None:
    """Measure each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    for batch, width in ((1, 64), (16, 64), (16, 256)):
        x = torch.randn(args.steps, batch, width)
        layers = [Recurrent(MinimalGatedCell(), width, width, compiled=compiled) for compiled in (False, True)]
        first = pass_time(layers[1], x)
        times = [[pass_time(layer, x) for layer in layers] for _ in range(args.rounds)]
        plain, compiled = (statistics.median(column) for column in zip(*times, strict=True))
        row = {"batch": batch, "hidden": width, "steps": args.steps, "first_call_s": first}
        rows.append(row | {"scan_ms": 1000 * plain, "compiled_ms": 1000 * compiled, "gain": plain / compiled})
        print(rows[-1], flush=True)
    args.out.write_text(json.dumps({**provenance(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
