"""Every cell of the catalogue: its speed, and what it learns in equal time in four uses, on development data.

    python benchmarks/cells.py speed
    python benchmarks/cells.py generate --data DATA/tinyshakespeare/input.txt --minutes 5
    python benchmarks/cells.py tag --data DATA/conll2003 --minutes 10
    python benchmarks/cells.py forecast --data DATA/ett --minutes 2
    python benchmarks/cells.py adding --minutes 3

Minutes are those of each cell. All cells take the defaults of the use; only the cell differs. A part that is measured
again replaces its own figures in `results/cells.json`, beside this file; `--cells` leaves those of other cells. Run it
with nothing else on the machine: in equal time, speed is part of the result.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from ett import DEV, TRAIN, rows
from machine import provenance
from tinyshakespeare import split

import unrolled
from unrolled.bench.timing import interleaved
from unrolled.cells import CELLS
from unrolled.inspection.lab import CONTESTANTS, Adding, memory_lab
from unrolled.layers import Recurrent, layer_kind

PATH = Path(__file__).parent / "results" / "cells.json"
#: of the layers whose speed is measured: I = H, and the batch and length of a training pass
HIDDEN, BATCH, TIME = 256, 16, 100
#: steps between the two numbers that the adding problem adds
ADDING = 200


def main() -> None:
    """Measure one part for each cell, and write after each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=("speed", *LEARNING))
    parser.add_argument("--cells", nargs="+", choices=tuple(CELLS), default=list(CELLS))
    parser.add_argument("--data", type=Path, default=None, help="the file or folder of the data set")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--out", type=Path, default=Path("runs"), help="the folder for models and converted data")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--note", default="", help="a remark, e.g. what else the machine was doing")
    args = parser.parse_args()
    if args.data is None and args.part not in ("speed", "adding"):
        parser.error(f"{args.part} needs --data")
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.part == "speed":
        write("speed", args, speed(args.cells))
    for cell in args.cells if args.part != "speed" else ():
        figures = LEARNING[args.part](cell, args)
        print(args.part, cell, figures, flush=True)
        write(args.part, args, {cell: figures})


def write(part: str, args: argparse.Namespace, figures: dict[str, Any]) -> None:
    """Add the figures of a part, by cell, to the result file."""
    results = json.loads(PATH.read_text(encoding="utf-8")) if PATH.is_file() else {}
    of_part = results.setdefault(part, {"cells": {}})
    of_part |= provenance() | {"seed": args.seed, "note": args.note}
    if part != "speed":
        of_part["minutes"] = args.minutes
    of_part["cells"] |= figures
    PATH.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def speed(cells: list[str]) -> dict[str, Any]:
    """Return parameters, and medians of a step and of a training pass that take turns."""
    layers = {cell: layer_kind(cell).layer(HIDDEN, HIDDEN) for cell in cells}
    x = torch.randn(TIME, BATCH, HIDDEN)
    trainers = {cell: _training(layer, x) for cell, layer in layers.items()}
    steppers = {cell: _step(layer) for cell, layer in layers.items()}
    for run in (*trainers.values(), *steppers.values()):
        run()
    training, steps = interleaved(trainers, 60.0, 100), interleaved(steppers, 20.0, 2000)
    return {
        cell: {
            "parameters": sum(p.numel() for p in layer.parameters()),
            "training_ms": 1e3 * median(training[cell]),
            "step_us": 1e6 * median(steps[cell]),
            "engine": layer.engine.name,
        }
        for cell, layer in layers.items()
    }


def _training(layer: Recurrent, x: torch.Tensor) -> Callable[[], None]:
    leaf = x.clone().requires_grad_()

    def run() -> None:
        output, _ = layer(leaf)
        torch.autograd.grad(output.sum(), [leaf, *layer.parameters()])

    return run


def _step(layer: Recurrent) -> Callable[[], torch.Tensor]:
    stream, x = layer.stream(1), torch.randn(1, HIDDEN)
    return lambda: stream.step(x)


def generate(cell: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return nats a character on the last tenth of tinyshakespeare."""
    train, dev = split(args.data, args.out / "cells-tinyshakespeare-text")
    model = unrolled.train(
        "generate",
        train,
        args.out / f"cells-generate-{cell}",
        dev=dev,
        minutes=args.minutes,
        seed=args.seed,
        overwrite=True,
        options={"cell": cell},
    )
    metrics = model.evaluate(dev, completion=False).metrics
    return {"value": metrics["nats_per_character"], "parameters": model.parameters}


def tag(cell: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return F1 on the development part of CoNLL-2003."""
    dev = args.data / "eng.testa.gz"
    model = unrolled.train(
        "tag",
        args.data / "eng.train.gz",
        args.out / f"cells-tag-{cell}",
        dev=dev,
        minutes=args.minutes,
        seed=args.seed,
        overwrite=True,
        options={"cell": cell},
    )
    return {"value": 100 * model.evaluate(dev).metrics["f1"], "parameters": model.parameters}


def forecast(cell: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return the mean squared error on the development part of ETTh1, 96 hours ahead."""
    data = rows(args.data, args.out / "cells-etth1.csv", TRAIN + DEV)
    options = {"cell": cell, "horizon": 96, "context": 96, "dev_from": str(TRAIN)}
    model = unrolled.train(
        "forecast",
        data,
        args.out / f"cells-forecast-{cell}",
        minutes=args.minutes,
        seed=args.seed,
        overwrite=True,
        options=options,
    )
    return {"value": model.evaluate(data, start=str(TRAIN)).metrics["scaled_mse"], "parameters": model.parameters}


def adding(cell: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return the last error in the adding problem, and when it was solved, if it was."""
    contestant = next(c for c in CONTESTANTS if c.layer is layer_kind(cell).layer and not c.options)
    (run,) = memory_lab(Adding(ADDING), [contestant], seconds=60 * args.minutes, seed=args.seed)
    return {"value": run.losses[-1], "chance": run.chance, "seconds": run.seconds, "reason": run.reason}


#: what a cell learns: the part, and the function that measures it
LEARNING: dict[str, Callable[[str, argparse.Namespace], dict[str, Any]]] = {
    "generate": generate,
    "tag": tag,
    "forecast": forecast,
    "adding": adding,
}

if __name__ == "__main__":
    main()
