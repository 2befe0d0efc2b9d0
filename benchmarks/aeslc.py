"""Writing completion on e-mail: AESLC (Zhang & Tetreault 2019, arXiv 1906.03497), bodies of Enron messages.

    python benchmarks/aeslc.py --data FOLDER --minutes 30

FOLDER holds `train.txt.gz`, `dev.txt.gz` and `test.txt.gz`, in each of which a message begins with a line `@file NAME`
and its subject follows `@subject`. Only bodies are used: train to learn from, dev to select weights and threshold, test
to report once. Writes `results/aeslc-<tokens>.json` beside this file.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from machine import provenance

import unrolled
from unrolled.training import make_reporter, read_metrics


def messages(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the mailbox and the body of each message of a split."""
    owner, lines, inside = "", [""], False
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            if line.startswith("@file "):
                owner, lines, inside = line[6:].split("_")[0].strip(), [], True
            elif line.startswith("@subject") and inside:
                inside = False
                text = "".join(lines).strip()
                if text:
                    yield owner, text + "\n"
            elif inside:
                lines.append(line)


def main() -> None:
    """Train, evaluate on test, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--tokens", default="auto", choices=("auto", "char", "byte", "bpe"))
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--positions", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--note", default="")
    parser.add_argument("--split", default="test", choices=("dev", "test"), help="the part to report on")
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    out = args.out or Path("runs") / f"aeslc-{args.tokens}"
    folder = out.parent / f"{out.name}-text"
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "dev", "test"):
        with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(body) + "\n" for _, body in messages(args.data / f"{split}.txt.gz"))

    model = unrolled.train(
        "generate",
        folder / "train.jsonl",
        out,
        dev=folder / "dev.jsonl",
        options={"tokens": args.tokens},
        minutes=args.minutes,
        seed=args.seed,
        resume=args.resume,
        overwrite=not args.resume,
        reporter=make_reporter(),
    )
    evaluation = model.evaluate(folder / f"{args.split}.jsonl", positions=args.positions)
    result = {
        **provenance(),
        "data": f"AESLC e-mail bodies; trained on train, tuned on dev, reported on {args.split}",
        "metrics": evaluation.metrics,
        "baseline": evaluation.baseline,
        "fitted on dev": model.fitted,
        "minutes": args.minutes,
        "seed": args.seed,
        "parameters": model.parameters,
        "network": model.config.network,
        "batching": model.config.batching,
        "corpus": model.config.data,
        "outcome": model.config.result,
        "note": args.note,
        "curve": [
            {"step": m["step"], "minutes": m["seconds"] / 60, "loss": m["loss"]}
            for m in read_metrics(out / "metrics.jsonl")
            if m["split"] == "dev"
        ],
    }
    path = Path(__file__).parent / "results" / f"aeslc-{model.config.data['tokenizer']}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
