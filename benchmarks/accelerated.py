"""Train two programs written for torch.nn alone, as they are and after `unrolled.accelerate`, and compare.

    python benchmarks/accelerated.py                 100 steps of each, in about 10 minutes
    python benchmarks/accelerated.py --steps 4       to see that it runs

The programs are a word language model (tokens 35 × 20, embedding and two layers of 200, tied) and a BiLSTM-CRF tagger
over one sentence at a time, from `tests/export/programs.py`. Each runs with torch's layers and with ours, eagerly and
under torch.compile (inductor); variants take turns in random order, so that whatever else the machine does falls on all
alike, and the first step of each, which compiles, is not timed. The ratio is the median over the steps of
torch ÷ accelerated. Writes `results/accelerated.json`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch._inductor.config
from machine import provenance
from torch import nn

import unrolled

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tests.export.programs import LanguageModel, Tagger, detached  # noqa: E402

OUT = ROOT / "benchmarks" / "results" / "accelerated.json"
WORDS, SIZE, TIME, BATCH = 2000, 200, 35, 20
#: words of a sentence of the tagger; one length, since each is compiled anew
SENTENCE = 12

Step = Callable[[int], float]


def language_model(kind: str, accelerated: bool, compiled: bool) -> Step:
    """Return a function that trains a word language model for a step, and returns its loss."""
    torch.manual_seed(1)
    model: nn.Module = LanguageModel(kind, words=WORDS, size=SIZE, layers=2, dropout=0.2, tied=True)
    tokens = (7 * torch.arange(TIME * 128 + 1).unsqueeze(1) + torch.arange(BATCH)) % WORDS
    if accelerated:
        unrolled.accelerate(model)
    call = torch.compile(model) if compiled else model
    optimiser, held = torch.optim.SGD(model.parameters(), lr=1.0), {"hidden": model.init_hidden(BATCH)}

    def step(index: int) -> float:
        first = TIME * (index % 127)
        batch, target = tokens[first : first + TIME], tokens[first + 1 : first + TIME + 1].reshape(-1)
        torch.manual_seed(index)
        model.zero_grad()
        output, held["hidden"] = call(batch, detached(held["hidden"]))
        loss = nn.functional.nll_loss(output, target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimiser.step()
        return loss.item()

    return step


def tagger(accelerated: bool, compiled: bool) -> Step:
    """Return the same of a BiLSTM-CRF."""
    torch.manual_seed(2)
    model = Tagger(words=WORDS, labels=9, size=SIZE)
    if accelerated:
        unrolled.accelerate(model)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    loss_of = torch.compile(model.neg_log_likelihood) if compiled else model.neg_log_likelihood

    def step(index: int) -> float:
        torch.manual_seed(index)
        sentence, tags = torch.randint(0, WORDS, (SENTENCE,)), torch.randint(2, 9, (SENTENCE,))
        model.zero_grad()
        loss = loss_of(sentence, tags)
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def measure(make: Callable[[bool, bool], Step], steps: int) -> dict[str, Any]:
    """Train the four variants side by side; returns the medians of their times, ratios, and how far losses part."""
    variants = [(accelerated, compiled) for accelerated in (False, True) for compiled in (False, True)]
    trained = {variant: make(*variant) for variant in variants}
    losses: dict[tuple[bool, bool], list[float]] = {variant: [] for variant in variants}
    times: dict[tuple[bool, bool], list[float]] = {variant: [] for variant in variants}
    order = random.Random(0)
    for index in range(steps + 1):
        for variant in order.sample(variants, len(variants)):
            begin = time.perf_counter()
            losses[variant].append(trained[variant](index))
            if index:
                times[variant].append(time.perf_counter() - begin)
    plain = losses[False, False]
    apart = {v: max(abs(a - b) / abs(b) for a, b in zip(losses[v], plain, strict=True)) for v in variants}
    return {
        "steps": steps,
        "final_loss": plain[-1],
        "loss_apart": {_name(v): apart[v] for v in variants[1:]},
        "milliseconds": {_name(v): 1000 * median(times[v]) for v in variants},
        "ratio": _ratio(times[False, False], times[True, False]),
        "ratio_compiled": _ratio(times[False, True], times[True, True]),
    }


def _name(variant: tuple[bool, bool]) -> str:
    accelerated, compiled = variant
    return ("unrolled" if accelerated else "torch") + (" compiled" if compiled else "")


def _ratio(theirs: list[float], ours: list[float]) -> float:
    return median(a / b for a, b in zip(theirs, ours, strict=True))


def main() -> None:
    """Measure, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    torch._dynamo.config.recompile_limit = 64
    # inductor's dropout would draw numbers of its own
    torch._inductor.config.fallback_random = True
    programs: dict[str, Callable[[bool, bool], Step]] = {
        f"word language model, {kind}": lambda a, c, kind=kind: language_model(kind, a, c)  # type: ignore[misc]
        for kind in ("LSTM", "GRU", "RNN_TANH")
    }
    programs["BiLSTM-CRF"] = tagger
    results = {}
    for name, make in programs.items():
        torch.compiler.reset()
        results[name] = measure(make, given.steps)
        print(name, json.dumps(results[name], indent=1), flush=True)
    given.out.write_text(json.dumps({**provenance(), "programs": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
