"""Small runs of three tasks, for one process or several; also a program that torchrun starts, to be disturbed.

python workers_program.py FOLDER TASK… [die=STEP] [slow=SECONDS]
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unrolled.data import ExampleBatches, Windows
from unrolled.tasks import train
from unrolled.training import QuietReporter

WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "sleeps", "near", "tree")
#: nothing is drawn at random while these train, so that several workers see what one sees
RUNS: dict[str, dict[str, Any]] = {
    "generate": {
        "options": {"tokens": "char", "hidden_size": 24, "embedding_size": 8, "dropout": 0.0, "ngram": 2},
        "batching": {"batch_size": 5, "window": 24},
    },
    "tag": {
        "options": {
            "hidden_size": 8,
            "embedding_size": 8,
            "spelling": "none",
            "dropout": 0.0,
            "input_dropout": 0.0,
            "word_dropout": 0.0,
            "rare_dropout": 0.0,
            "character_dropout": 0.0,
            "recurrent_dropout": 0.0,
        },
        "batching": {"batch_size": 7},
    },
    "forecast": {
        "options": {"horizon": 4, "context": 8, "season": 6, "calendar": False, "hidden_size": 8, "dropout": 0.0},
        "batching": {"batch_size": 16},
    },
}


def write_data(folder: Path) -> None:
    """Write data.generate, data.tag and data.forecast.csv."""
    draw = np.random.default_rng(3)
    sentences = [[str(word) for word in draw.choice(WORDS, 8)] for _ in range(120)]
    (folder / "generate.txt").write_text("\n".join(map(" ".join, sentences)), "utf-8")
    tagged = [[f"{word} {'B-THING' if word in ('fox', 'dog', 'tree') else 'O'}" for word in s] for s in sentences]
    (folder / "tag.conll").write_text("\n\n".join(map("\n".join, tagged)), "utf-8")
    rows = [f"2020-01-{t // 24 + 1:02d} {t % 24:02d}:00,{np.sin(t) + draw.normal() / 9:.3f}" for t in range(240)]
    (folder / "forecast.csv").write_text("time,a\n" + "\n".join(rows), "utf-8")


def run(task: str, data: Path, out: Path, **training: Any) -> None:
    """Train one task on data that `write_data` wrote."""
    [path] = [path for path in data.glob(f"{task}.*") if path.is_file()]
    # Adam divides by the size of the gradient, and so would show the rounding of small ones
    settings = {
        "steps": 14,
        "lr": 0.1,
        "optimiser": "sgd",
        "log_every": 1,
        "evaluate_every": 7,
        "sample_every": 0,
        "save_every": 2,
    }
    options = RUNS[task]["options"] | RUNS[task]["batching"]
    settings |= {"averaging": "none", "seed": 4, "device": "cpu"}
    train(task, path, out, options=options, reporter=QuietReporter(), **{**settings, **training})


def disturbed(die: int, slow: float) -> None:
    """Make worker 1 slow, and let it die before a step, but not again once it was replaced."""

    def wrap(kind: Any) -> None:
        usual, count = kind.next_batch, 0

        def next_batch(self: Any) -> Any:
            nonlocal count
            count += 1
            if os.environ["RANK"] == "1":
                time.sleep(slow)
                if count == die and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
                    os.kill(os.getpid(), signal.SIGKILL)
            return usual(self)

        kind.next_batch = next_batch

    for kind in (ExampleBatches, Windows):
        wrap(kind)


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, *words = sys.argv[1:]
    given = dict(word.split("=") for word in words if "=" in word)
    disturbed(int(given.get("die", 0)), float(given.get("slow", 0)))
    for name in words:
        if name in RUNS:
            resume = given.get("resume") == "yes"
            run(name, Path(folder), Path(folder) / f"{name}.2", resume=resume, steps=int(given.get("steps", 14)))
