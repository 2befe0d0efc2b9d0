"""Two limits, measured: which cells learn the adding problem over 200 steps, and the cost of measuring gradients.

    python benchmarks/limits.py memory --minutes 12
    python benchmarks/limits.py monitor

Writes `results/limits-adding-200.json` with its picture, and `results/limits-monitor.json`, beside this file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from machine import provenance

from unrolled.inspection.lab import CONTESTANTS, Adding, memory_lab
from unrolled.inspection.plot import plot_memory_lab, save
from unrolled.layers import GRU, LSTM, RNN
from unrolled.training.gradients.flow import EVERY, SHARE, FlowMonitor

RESULTS = Path(__file__).parent / "results"
TRIED = ("RNN tanh", "LSTM, forget bias 1", "LSTM, chrono 200", "GRU")


def memory(args: argparse.Namespace) -> None:
    """Train each contestant on the same sequences, within the same time limit."""
    chosen = [contestant for contestant in CONTESTANTS if contestant.name in TRIED]
    runs = memory_lab(
        Adding(args.length),
        chosen,
        lr=args.lr,
        seconds=60 * args.minutes / len(chosen),
        seed=args.seed,
        progress=lambda name, share, loss: print(f"{name} {share:.0%} {loss:.4f}", flush=True),
    )
    result = {
        **provenance(),
        "title": f"adding problem, {args.length} steps",
        "seed": args.seed,
        "lr": args.lr,
        "minutes": round(sum(run.seconds for run in runs) / 60, 2),
        "chance": runs[0].chance,
        "solved below": runs[0].limit,
        "runs": [run.as_json() for run in runs],
        "note": args.note,
    }
    path = RESULTS / f"limits-adding-{args.length}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    save(plot_memory_lab(runs), path.with_suffix(""))
    print(f"written to {path}")


def monitor(args: argparse.Namespace) -> None:
    """Compare the time of a measurement with that of a training step, for stacks from small to large."""
    rows = []
    for kind, hidden, layers, steps, batch in (
        (LSTM, 64, 1, 24, 8),
        (LSTM, 512, 1, 64, 32),
        (LSTM, 256, 2, 96, 32),
        (GRU, 128, 1, 64, 16),
        (RNN, 128, 1, 64, 16),
    ):
        layer = kind(64, hidden, layers)
        x = torch.randn(steps, batch, 64)
        watch = FlowMonitor(layer)
        times: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(args.repeats):
            for watched in (False, True):
                # measurements that would exceed their share of time are skipped; here all are wanted
                watch._cost = 0.0
                begun = time.perf_counter()
                with watch.watching(EVERY if watched else 1):
                    output, _ = layer(x)
                output[-1].sum().backward()
                watch.observe()
                times[watched].append(time.perf_counter() - begun)
        plain, measured = (statistics.median(times[watched]) for watched in (False, True))
        row: dict[str, Any] = {"layer": kind.__name__, "H": hidden, "L": layers, "T": steps, "B": batch}
        row |= {"step_ms": 1000 * plain, "look_ms": 1000 * (measured - plain)}
        row |= {"share": min(SHARE, (measured - plain) / plain / EVERY)}
        print(row, flush=True)
        rows.append(row)
    result = {**provenance(), "title": "cost of watching gradients over time", "every": EVERY, "rows": rows}
    path = RESULTS / "limits-monitor.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path}")


def main() -> None:
    """Run one of the two measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("memory", "monitor"))
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--note", default="")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    {"memory": memory, "monitor": monitor}[args.what](args)


if __name__ == "__main__":
    main()
