"""Peak resident memory of training on a text repeated to several sizes, to see whether it grows with the corpus.

    python benchmarks/memory.py --data PATH/input.txt --megabytes 20 200 2000

Each size is prepared and trained in a process of its own; the peak is that process's `ru_maxrss`. A few steps are
enough, since every step takes the same memory. Writes `results/memory.json` beside this file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import provenance

CHILD = """
import json, resource, sys, torch, unrolled
torch.set_num_threads(1)
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
unrolled.train("generate", sys.argv[1], sys.argv[2], steps=int(sys.argv[3]), save_every=int(sys.argv[3]),
               evaluate_every=0, sample_every=0,
               options={"tokens": "char", "hidden_size": 128, "num_layers": 1, "batch_size": 32, "window": 64})
print(json.dumps({"after_import_mb": base / 1024,
                  "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def main() -> None:
    """Measure each size in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[20, 200, 2000])
    parser.add_argument("--steps", type=int, default=300)
    args = parser.parse_args()
    text = args.data.read_bytes()
    rows = []
    for megabytes in args.megabytes:
        with tempfile.TemporaryDirectory(prefix="unrolled-memory-") as folder:
            corpus = Path(folder) / "corpus.txt"
            with corpus.open("wb") as file:
                for _ in range(max(1, megabytes * 1_000_000 // len(text))):
                    file.write(text)
            size = corpus.stat().st_size
            started = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", CHILD, str(corpus), str(Path(folder) / "model"), str(args.steps)],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            row = {"corpus_mb": size / 1e6, "seconds": time.perf_counter() - started}
            rows.append(row | json.loads(done.stdout.strip().splitlines()[-1]))
            print(rows[-1], flush=True)
    path = Path(__file__).parent / "results" / "memory.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**provenance(), "steps": args.steps, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
