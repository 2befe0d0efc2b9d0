"""Verdicts on gradients over time: none on default runs, the right one on planted faults, and remedies that help.

    python benchmarks/verdicts.py                          25 minutes on two cores
    python benchmarks/verdicts.py --minutes 0.2 --steps 100      to see whether it works

Default runs are those of the gallery, every use of the catalogue with its default options, and of the data sets in
`--data`, if there are any: no run may warn of vanishing or exploding gradients. Planted faults are networks that are
made ill on problems that need memory: each must get its verdict before the first step, and one of the first two
remedies that it names must, tried from the same seed on the same sequences, lower the loss by 5 %. Writes
`results/verdicts.json` beside this file, and fails if anything is otherwise.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from machine import provenance
from torch import nn

from unrolled import GRU, LSTM, RNN, IndRNN
from unrolled.cli.gallery import exhibits
from unrolled.inspection.lab.contestants import Contestant
from unrolled.inspection.lab.memory import MemoryRun, memory_lab
from unrolled.inspection.lab.problems import make_problem
from unrolled.tasks import train
from unrolled.training import QuietReporter

#: share of the loss that a remedy must save
GAIN = 0.05
#: remedies that are tried of those that are named
TRIED = 2
#: data sets that are trained on where they are there: use → path below `--data`
SHARED = {"generate": "tinyshakespeare/input.txt"}
Layer = Callable[..., Any]


def radius(value: float, **options: Any) -> Layer:
    """Return a plain RNN whose recurrent matrix has a spectral radius; one that is drawn otherwise is left as it is."""

    def layer(*sizes: int, **more: Any) -> RNN:
        made = RNN(*sizes, **options, **more)
        if "initialisation" not in more:
            with torch.no_grad():
                made.weight_hh_l0.mul_(value / torch.linalg.eigvals(made.weight_hh_l0).abs().max())
                # tanh stays near 0, where its slope is 1 and only the matrix counts
                made.weight_ih_l0.mul_(0.1)
                made.bias_ih_l0.zero_()
                made.bias_hh_l0.zero_()
        return made

    return layer


def scaled(kind: Layer, part: str, factor: float) -> Layer:
    """Return a layer with one of its weights scaled, unless it has layer normalisation, which undoes it."""

    def layer(*sizes: int, **options: Any) -> nn.Module:
        made: nn.Module = kind(*sizes, **options)
        if not options.get("layer_norm"):
            with torch.no_grad():
                made.get_parameter(part).mul_(factor)
        return made

    return layer


@dataclass(frozen=True)
class Planted:
    """A network that is made ill.

    Attributes:
        layer: makes its layer from input and hidden size.
        expected: the verdict.
        problem, length: what it learns, and over how many steps something must be remembered.
        options: of the layer.
        clip: the norm that gradients are scaled down to.
        lr: the learning rate.
    """

    layer: Layer
    expected: str
    problem: str = "adding"
    length: int = 40
    options: dict[str, Any] = field(default_factory=dict)
    clip: float = 1.0
    lr: float = 2e-3

    def remedied(self, advice: str) -> Planted | None:
        """Return the network after some advice; None for advice about other networks than these."""
        if advice.startswith("a gated cell"):
            return replace(self, layer=GRU, options={})
        if advice.startswith("a forget-gate bias"):
            return replace(self, options={**self.options, "forget_bias": 1.0})
        if advice.startswith("orthogonal"):
            return replace(self, options={**self.options, "initialisation": "orthogonal"})
        if advice.startswith("layer normalisation"):
            return replace(self, options={**self.options, "layer_norm": True})
        if advice.startswith("clipping"):
            return replace(self, clip=1.0)
        if advice.startswith("a lower learning rate"):
            return replace(self, lr=self.lr / 3)
        return None

    def run(self, name: str, steps: int) -> MemoryRun:
        """Train it for some steps."""
        contestant = Contestant(name, self.layer, self.options)
        settings = {"hidden_size": 32, "lr": self.lr, "clip": self.clip, "steps": steps, "seconds": 3600.0}
        return memory_lab(make_problem(self.problem, self.length), [contestant], **settings)[0]


FREE = 1e6
PLANTED = {
    "RNN, radius 0.5": Planted(radius(0.5), "vanishing"),
    "RNN, radius 0.5, copying": Planted(radius(0.5), "vanishing", "copying", 20),
    "RNN, radius 1.6, not clipped": Planted(
        scaled(RNN, "weight_hh_l0", 1.6),
        "exploding",
        options={"nonlinearity": "relu", "initialisation": "identity"},
        clip=FREE,
    ),
    "RNN, saturated by its inputs": Planted(scaled(RNN, "weight_ih_l0", 30.0), "vanishing"),
    "RNN, long copying": Planted(RNN, "vanishing", "copying", 40),
    "LSTM, forget bias -3": Planted(LSTM, "vanishing", options={"forget_bias": -3.0}),
    "LSTM, forget bias -3, copying": Planted(LSTM, "vanishing", "copying", 20, options={"forget_bias": -3.0}),
    "LSTM, saturated gates": Planted(scaled(LSTM, "weight_ih_l0", 40.0), "vanishing", options={"forget_bias": -1.0}),
    "LSTM, adding over 100 steps": Planted(LSTM, "vanishing", length=100),
    "IndRNN, weights a third": Planted(scaled(IndRNN, "weight_hh_l0", 0.3), "vanishing"),
}


class Warnings(QuietReporter):
    """Keeps the warnings of a run that are about gradients over time."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def notice(self, text: str) -> None:
        """Keep a warning."""
        if "gradients over time" in text:
            self.kept.append(text)


def default_runs(minutes: float, data: Path | None) -> list[dict[str, Any]]:
    """Train every demonstration, and what there is of `SHARED`, with default options; return the warnings of each."""
    rows = []

    def add(name: str, use: Any, paths: Any, out: Path, **more: Any) -> None:
        reporter = Warnings()
        train(use, paths, out, reporter=reporter, minutes=minutes, **more)
        rows.append({"run": name, "warnings": reporter.kept})
        print(f"{name}: {reporter.kept or 'no warning'}", flush=True)

    with tempfile.TemporaryDirectory(prefix="unrolled-verdicts-") as folder:
        for use, shown in exhibits()[0]:
            place = Path(folder) / shown.name
            place.mkdir()
            sources = shown.write(place)
            add(
                f"{use.name}, {shown.name}", use, sources.train, place / "model", dev=sources.dev, options=shown.options
            )
        for name, path in SHARED.items():
            if data is not None and (data / path).exists():
                add(f"{name}, {path}", name, data / path, Path(folder) / f"shared-{name}")
    return rows


def planted_runs(steps: int) -> list[dict[str, Any]]:
    """Return the verdict on each planted fault, and what the first remedies do to its loss."""
    rows = []
    for name, planted in PLANTED.items():
        run = planted.run(name, steps)
        verdict = run.verdicts[0]
        tried = {}
        for advice in verdict.remedies:
            better = planted.remedied(advice)
            if better is not None and len(tried) < TRIED:
                tried[advice] = better.run(advice, steps).best
        gain = 1 - min(tried.values(), default=run.best) / run.best
        row = {"planted": name, "expected": planted.expected, "verdict": verdict.as_json(), "loss": run.best}
        rows.append({**row, "loss with": tried, "gain": gain})
        print(f"{name}: {verdict.kind}, loss {run.best:.4g}, {tried}, gain {gain:.0%}", flush=True)
    return rows


def main() -> int:
    """Run everything, write the figures, and return whether all verdicts were right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder of data sets")
    parser.add_argument("--minutes", type=float, default=1.0, help="of each default run")
    parser.add_argument("--steps", type=int, default=1500, help="of each planted run")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "verdicts.json")
    args = parser.parse_args()
    planted, default = planted_runs(args.steps), default_runs(args.minutes, args.data)
    wrong = [row["run"] for row in default if row["warnings"]]
    wrong += [row["planted"] for row in planted if row["verdict"]["kind"] != row["expected"] or row["gain"] < GAIN]
    settings = {"minutes": args.minutes, "steps": args.steps}
    content = {**provenance(), **settings, "default": default, "planted": planted, "wrong": wrong}
    args.out.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"wrong: {wrong or 'none'}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
