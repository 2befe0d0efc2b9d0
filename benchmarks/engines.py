"""The same training run on our engine and on torch's own recurrent layers: the time, and whether the losses agree.

    python benchmarks/engines.py --data PATH/input.txt --steps 60

tinyshakespeare, the default network and settings of `unrolled train generate`, with the engines taking turns. The time
is that of the whole command: reading, batches, input and output layers, loss, optimiser and checkpoints are the same
for both. Writes `results/engines.json` beside this file.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from machine import provenance

import unrolled
from unrolled.training import read_metrics

ENGINES = ("native", "torch")


def main() -> None:
    """Train in turns, compare, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="input.txt of tinyshakespeare")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--turns", type=int, default=2, help="runs of each engine; the fastest counts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--note", default="", help="a remark, e.g. what else the machine was doing")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    runs: dict[str, list[dict[str, Any]]] = {engine: [] for engine in ENGINES}
    for turn in range(args.turns):
        for engine in ENGINES if turn % 2 == 0 else ENGINES[::-1]:
            runs[engine].append(run(engine, args.data, args.steps, args.seed))
            print(f"{engine}: {runs[engine][-1]['seconds']:.1f} s")
    seconds = {engine: min(r["seconds"] for r in turns) for engine, turns in runs.items()}
    ours, theirs = (runs[engine][0]["losses"] for engine in ENGINES)
    apart = max(abs(a - b) / abs(b) for a, b in zip(ours, theirs, strict=True))
    result = {
        **provenance(),
        "data": "tinyshakespeare",
        "steps": args.steps,
        "seed": args.seed,
        "network": runs["native"][0]["network"],
        "batching": runs["native"][0]["batching"],
        "seconds": {engine: round(s, 2) for engine, s in seconds.items()},
        "all_seconds": {engine: [round(r["seconds"], 2) for r in turns] for engine, turns in runs.items()},
        "ratio": round(seconds["torch"] / seconds["native"], 3),
        "losses": {"native": ours, "torch": theirs},
        "largest_relative_difference_of_losses": apart,
        "note": args.note,
    }
    path = Path(__file__).parent / "results" / "engines.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"torch takes {result['ratio']:.2f} times as long; losses differ by {apart:.1e} at most; written to {path}")


def run(engine: str, data: Path, steps: int, seed: int) -> dict[str, Any]:
    """Train once; return the seconds, the loss of every logged step, and the network."""
    with tempfile.TemporaryDirectory() as folder, unrolled.use_engine(engine):
        out = Path(folder) / "run"
        start = time.perf_counter()
        model = unrolled.train("generate", data, out, steps=steps, seed=seed, log_every=5)
        seconds = time.perf_counter() - start
        losses = [m["loss"] for m in read_metrics(out / "metrics.jsonl") if m["split"] == "train"]
    return {
        "seconds": seconds,
        "losses": losses,
        "network": model.config.network,
        "batching": model.config.batching,
    }


if __name__ == "__main__":
    main()
