"""Training over very long sequences with `memory="sqrt"`: peak resident memory, and time against keeping everything.

    python benchmarks/long_sequences.py

A step of gradient descent on one sequence, its outputs averaged and read out, in a process of its own; the peak is its
`ru_maxrss`. Times are compared at a length at which everything fits. Fails if T = 1,000,000 at H = 256 takes 2 GB or
more. Writes `results/long-sequences.json` beside this file; takes some 6 minutes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from machine import provenance

RESULTS = Path(__file__).parent / "results" / "long-sequences.json"
LIMIT_MB = 2000
CHILD = """
import json, resource, sys, time, torch, unrolled
kind, time_steps, hidden, memory, rounds = sys.argv[1], *map(int, sys.argv[2:4]), sys.argv[4], int(sys.argv[5])
torch.manual_seed(0)
layer = getattr(unrolled, kind)(8, hidden, memory=None if memory == "all" else memory)
readout = torch.nn.Linear(hidden, 2)
optimizer = torch.optim.SGD([*layer.parameters(), *readout.parameters()], lr=0.1)
x, target = torch.randn(time_steps, 1, 8), torch.tensor([1])
seconds = []
for _ in range(rounds):
    started = time.perf_counter()
    optimizer.zero_grad()
    output, final = layer(x)
    h = final[0] if isinstance(final, tuple) else final
    loss = torch.nn.functional.cross_entropy(readout(output.sum(0) / len(output) + h[0]), target)
    loss.backward()
    optimizer.step()
    seconds.append(time.perf_counter() - started)
    del output, final, h
print(json.dumps({"seconds": seconds, "loss": loss.item(),
                  "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def train(kind: str, steps: int, hidden: int, memory: str, rounds: int) -> dict[str, Any]:
    """Return the row of one process."""
    command = [sys.executable, "-c", CHILD, kind, str(steps), str(hidden), memory, str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row = {"layer": kind, "steps": steps, "hidden": hidden, "memory": memory}
    row |= json.loads(done.stdout.strip().splitlines()[-1])
    print(row, flush=True)
    return row


def main() -> None:
    """Measure both, write the results, and fail if the memory is not bounded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--compared", type=int, default=50_000, help="steps at which times are compared")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", nargs="+", default=["LSTM", "GRU"])
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    rows = []
    for kind in args.layers:
        pair = [train(kind, args.compared, args.hidden, memory, args.rounds) for memory in ("all", "sqrt")]
        kept, recomputed = (statistics.median(row["seconds"]) for row in pair)
        long = train(kind, args.steps, args.hidden, "sqrt", 1)
        rows += [*pair, long | {"time_ratio": recomputed / kept}]
    args.out.write_text(json.dumps({**provenance(), "rows": rows}, indent=1) + "\n")
    worst = max(row["peak_mb"] for row in rows if row["memory"] == "sqrt")
    if worst >= LIMIT_MB:
        sys.exit(f"peak memory: expected below {LIMIT_MB} MB, found {worst:.0f}")


if __name__ == "__main__":
    main()
