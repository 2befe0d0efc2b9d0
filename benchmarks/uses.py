"""Options and result files that the scripts for published data sets share."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from machine import provenance

from unrolled.tasks import Evaluation, Model
from unrolled.training import read_metrics

RESULTS = Path(__file__).parent / "results"


def arguments(description: str) -> argparse.ArgumentParser:
    """Return the common options; a script adds its own and calls `parsed`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data set")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="the folder for models and converted data")
    parser.add_argument("--minutes", type=float, default=None, help="training time; by default chosen by the task")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--split", default="dev", choices=("dev", "test"), help="the part to report on")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    parser.add_argument("--note", default="")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the options and set torch's threads."""
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    return args


def write_result(
    name: str,
    args: argparse.Namespace,
    model: Model,
    evaluation: Evaluation,
    *,
    title: str,
    data: str,
    measured: str,
    beside: str,
    goal: str = "",
    published: dict[str, Any] | None = None,
    **more: Any,
) -> Path:
    """Write `results/task-NAME.json`, from which the README's table is made; results on dev are kept apart.

    Args:
        title: the row's first cell: the data and the use.
        data: the data, its split and how it was made.
        measured: the row's second cell, e.g. "**84.2** F1".
        beside: the row's third cell: the baseline on the same data.
        goal: the goal.
        published: published scores, with their source.
        more: further entries.
    """
    folder = model.folder
    curve = read_metrics(folder / "metrics.jsonl") if folder is not None else []
    result = {
        **provenance(),
        "title": title,
        "data": data,
        "split": args.split,
        "measured": measured,
        "beside": beside,
        "goal": goal,
        "published": published or {},
        "metrics": evaluation.metrics,
        "baseline": evaluation.baseline,
        "seed": args.seed,
        "parameters": model.parameters,
        "minutes": round(float(model.config.result["seconds"]) / 60, 2),
        # in a portable form: a path by its last name
        "options": {k: Path(v).name if str(v).startswith("/") else v for k, v in model.config.options.items()},
        "network": model.config.network,
        "training": model.config.training,
        "batching": model.config.batching,
        "corpus": model.config.data,
        "fitted": model.fitted,
        "outcome": model.config.result,
        "note": args.note,
        "curve": [{k: v for k, v in m.items() if k != "split"} for m in curve if m["split"] == "dev"],
        **more,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{'task' if args.split == 'test' else 'dev'}-{name}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{title}: {measured} ({beside}); written to {path}")
    return path
