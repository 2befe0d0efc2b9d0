"""Character-level generation on tinyshakespeare: nats per character on the last 10 %, by training time.

    python benchmarks/tinyshakespeare.py --data PATH/input.txt --minutes 3
    python benchmarks/tinyshakespeare.py --data PATH/input.txt --minutes 60

The text is split as nanoGPT does: the first 90 % for training, the last 10 % to select the best weights and to report.
There is no third part, so the figure is on development data, as nanoGPT's own is.
Writes `results/tinyshakespeare-<minutes>min.json` (loss curve, settings, samples) beside this file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from machine import provenance

import unrolled
from unrolled.training import make_reporter, read_metrics

PUBLISHED = {
    "nanoGPT, its recipe for a CPU, 3 minutes": 1.88,
    "nanoGPT, 10.7 M parameters, one A100, 3 minutes": 1.4697,
}


def split(data: Path, folder: Path) -> tuple[Path, Path]:
    """Write the first 90 % and the last 10 % of a text to files, and return their paths."""
    text = data.read_text(encoding="utf-8")
    cut = int(0.9 * len(text))
    folder.mkdir(parents=True, exist_ok=True)
    train, dev = folder / "train.txt", folder / "dev.txt"
    train.write_text(text[:cut], encoding="utf-8")
    dev.write_text(text[cut:], encoding="utf-8")
    return train, dev


def main() -> None:
    """Train, score, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="input.txt of tinyshakespeare")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--out", type=Path, default=None, help="folder of the run (default: runs/…)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engine", default="auto", help="engine of the recurrent layers")
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--note", default="", help="a remark, e.g. what else the machine was doing")
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    out = args.out or Path("runs") / f"tinyshakespeare-{args.minutes:g}min"
    train, dev = split(args.data, out.parent / f"{out.name}-text")
    with unrolled.use_engine(args.engine):
        model = unrolled.train(
            "generate",
            train,
            out,
            dev=dev,
            minutes=args.minutes,
            seed=args.seed,
            resume=args.resume,
            overwrite=not args.resume,
            reporter=make_reporter(),
        )
        evaluation = model.evaluate(dev, completion=False)
    metrics = read_metrics(out / "metrics.jsonl")
    result = {
        **provenance(),
        "data": "tinyshakespeare, first 90 % train, last 10 % development",
        "metric": "nats per character on the last 10 %",
        "result": evaluation.metrics,
        "baseline": evaluation.baseline,
        "published": PUBLISHED,
        "minutes": args.minutes,
        "seed": args.seed,
        "parameters": model.parameters,
        "network": model.config.network,
        "batching": model.config.batching,
        "training": {k: v for k, v in model.config.training.items() if v is not None},
        "outcome": model.config.result,
        "note": args.note,
        "curve": [
            {"step": m["step"], "minutes": m["seconds"] / 60, "loss": m["loss"]} for m in metrics if m["split"] == "dev"
        ],
        "samples": (out / "samples.md").read_text(encoding="utf-8"),
    }
    path = Path(__file__).parent / "results" / f"tinyshakespeare-{args.minutes:g}min.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{evaluation.metrics['nats_per_character']:.4f} nats per character; n-gram "
          f"{evaluation.baseline['nats_per_character']:.4f}; written to {path}")  # fmt: skip


if __name__ == "__main__":
    main()
