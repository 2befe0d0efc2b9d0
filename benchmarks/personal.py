"""Adapting to a writer: an n-gram cache against fine-tuning, on the e-mail of people whom the model has not seen.

    python benchmarks/personal.py --data FOLDER --minutes 4

FOLDER is AESLC's, as for `benchmarks/aeslc.py`. Some mailboxes are left out of the training data. The messages in each
of them are split by a hash into those to adapt to (75 %) and those to report on. Writes
`results/personal-<tokens>.json` beside this file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import torch
from aeslc import messages
from machine import provenance

import unrolled
from unrolled.tasks import Model

OWNERS = ("shackleton-s", "dasovich-j", "nemec-g", "mann-k")
METHODS = ("none", "cache", "finetune", "both")


def write_texts(data: Path, folder: Path) -> None:
    """Write base-train, base-dev, and for each owner OWNER-known and OWNER-new, all .jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    texts: dict[str, list[str]] = {}
    for split in ("train", "dev", "test"):
        for owner, text in messages(data / f"{split}.txt.gz"):
            if owner in OWNERS:
                share = hashlib.sha256(text.encode()).digest()[0] / 256
                texts.setdefault(f"{owner}-known" if share < 0.75 else f"{owner}-new", []).append(text)
            elif split != "test":
                texts.setdefault(f"base-{split}", []).append(text)
    for name, bodies in texts.items():
        lines = "".join(json.dumps(text) + "\n" for text in bodies)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def study(base: Model, folder: Path, owner: str, method: str, minutes: float, positions: int) -> dict[str, Any]:
    """Adapt to one writer with one method, and return the metrics."""
    started = time.perf_counter()
    model = base
    if method != "none":
        model = base.personalise(folder / f"{owner}-known.jsonl", method=method, minutes=minutes)
    seconds = time.perf_counter() - started
    metrics = model.evaluate(folder / f"{owner}-new.jsonl", positions=positions).metrics
    completion = metrics["completion"]
    kept = ("coverage", "accuracy", "keystrokes_saved", "exact_match", "area")
    row = {"owner": owner, "method": method, "seconds": seconds, "nats_per_character": metrics["nats_per_character"]}
    return row | {"characters": metrics["characters"], **{name: completion[name] for name in kept}}


def main() -> None:
    """Train without the writers, adapt to each, and evaluate on their new messages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=4.0, help="training time of the model to adapt")
    parser.add_argument("--adapt-minutes", type=float, default=1.0)
    parser.add_argument("--tokens", default="char", choices=("char", "byte", "bpe"))
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--positions", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--owners", nargs="+", default=OWNERS)
    parser.add_argument("--out", type=Path, default=Path("runs") / "personal")
    parser.add_argument("--reuse", action="store_true", help="use the model that an earlier call left in --out")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    texts = args.out.parent / f"{args.out.name}-text"
    write_texts(args.data, texts)
    if not args.reuse:
        options = {"tokens": args.tokens, "hidden_size": args.hidden_size, "num_layers": args.layers, "dropout": 0.0}
        unrolled.train(
            "generate", texts / "base-train.jsonl", args.out, dev=texts / "base-dev.jsonl",
            options=options, minutes=args.minutes, overwrite=True,
        )  # fmt: skip
    base = unrolled.load(args.out)
    rows = []
    for owner in args.owners:
        for method in METHODS:
            rows.append(study(base, texts, owner, method, args.adapt_minutes, args.positions))
            print(json.dumps(rows[-1]), flush=True)
    result = {
        **provenance(),
        "data": "AESLC e-mail bodies; the owners' mailboxes are not in the training data",
        "training": {"minutes": args.minutes, "dev": base.config.result["dev"], "network": base.config.network},
        "rows": rows,
    }
    path = Path(__file__).parent / "results" / f"personal-{base.config.data['tokenizer']}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
