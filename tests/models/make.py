"""Make the stored models: train each, write its folder and what it answers, for `test_old_models.py` of later versions.

    python -m tests.models.make tests/models/v0.2 [NAME…]

A version's models are made once, by that version: a model that is there already is never replaced.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from unrolled import Model, load, train
from unrolled.layers import StreamState

from . import replay
from .recipes import RECIPES, Recipe

#: of a run, and not of the model
LEFT_OUT = ("checkpoints", "data", "plots")


def trained(recipe: Recipe, out: Path) -> None:
    """Train a recipe's model on the data in the working directory, into a folder."""
    model = train(recipe.task, recipe.train, out, dev=recipe.dev, options=recipe.options, **recipe.training)
    if recipe.personal:
        options = dict(recipe.personal)
        adapted = model.personalise(options.pop("path"), **options)
        adapted.save(out)
    for name in LEFT_OUT:
        shutil.rmtree(out / name, ignore_errors=True)


def stream_answers(model: Model, recipe: Recipe) -> dict[str, Any]:
    """Return the answers of a session, call by call, and its state, saved on the way."""
    session = model.stream()
    calls: list[dict[str, Any]] = []
    state = b""
    for number, question in enumerate(recipe.calls, start=1):
        calls.append({**question, "answer": replay.call(session, question)})
        if number == recipe.saved_after:
            state = session.state.to_bytes()
    StreamState.from_bytes(state, model.fingerprint)
    return {"calls": calls, "saved_after": recipe.saved_after, "state": base64.b64encode(state).decode("ascii")}


def answers(model: Model, recipe: Recipe, data: Path) -> dict[str, Any]:
    """Return all questions to a model, with what it answers."""
    evaluation = {"files": list(recipe.evaluated), "options": dict(recipe.evaluation)}
    return {
        "predictions": [{**asked, "answers": replay.predict(model, asked)} for asked in recipe.predictions],
        "stream": stream_answers(model, recipe) if recipe.calls else None,
        "evaluation": {**evaluation, **replay.evaluate(model, evaluation, data)},
    }


def make(recipe: Recipe, folder: Path) -> None:
    """Write a stored model, from data in the working directory: `model/`, `data/` to evaluate on, `expected.json`."""
    # relative paths, since config.json keeps those among the options
    recipe.data(Path("."))
    trained(recipe, Path("model"))
    (folder / "data").mkdir(parents=True)
    for name in (*recipe.evaluated, *recipe.needed):
        copy = shutil.copytree if Path(name).is_dir() else shutil.copyfile
        copy(name, folder / "data" / name)
    shutil.copytree("model", folder / "model")
    expected = answers(load(folder / "model"), recipe, folder / "data")
    (folder / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """Make the models named on the command line, or all that are missing."""
    version, names = Path(sys.argv[1]).absolute(), sys.argv[2:] or list(RECIPES)
    torch.set_num_threads(1)
    for name in names:
        if (version / name).exists():
            print(f"{name}: there already")
            continue
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            make(RECIPES[name], Path(folder, "stored"))
            shutil.copytree("stored", version / name)
            os.chdir(version)
        size = sum(file.stat().st_size for file in (version / name).rglob("*") if file.is_file())
        print(f"{name}: {size / 1000:.1f} kB")


if __name__ == "__main__":
    main()
