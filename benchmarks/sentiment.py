"""Sentiment on four published corpora, without pretrained input: SST-2, SST-5, MR and movie_reviews.

    python benchmarks/sentiment.py sst2 --data DATA/sst2
    python benchmarks/sentiment.py sst5 --data DATA/sst5
    python benchmarks/sentiment.py mr --data DATA/mr --folds 0 1 2
    python benchmarks/sentiment.py movie_reviews --data DATA/movie_reviews

DATA is the folder of the stored sets. SST has a published split; training uses its sentences, without the phrases. MR
and movie_reviews have none, and are cross-validated: fold k of MR is every tenth sentence of each class from the k-th
on, fold k of movie_reviews are the files cv{k}…, as published; the next fold is the development data, and the other
eight are for training. Every fold is tested with one model, and the mean over the folds in --folds is reported. Options
of the task and of training can be set as NAME=VALUE.
"""

from __future__ import annotations

import argparse
import copy
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from uses import arguments, parsed, write_result

from unrolled.tasks import Evaluation, Model, load, train
from unrolled.tasks.uses.classify.plan import ClassifyOptions
from unrolled.training import make_reporter

FOLDS = 10
TITLES = {"sst2": "SST-2", "sst5": "SST-5", "mr": "MR", "movie_reviews": "movie_reviews"}
SPLITS = {
    "sst2": "published split, sentences alone",
    "sst5": "published split, sentences alone",
    "mr": "cross-validated, a fold is every tenth sentence of a class",
    "movie_reviews": "cross-validated by the published folds cv0… to cv9…",
}
GOALS = {
    "sst2": "test accuracy ≥ 83 %",
    "sst5": "reported",
    "mr": "≥ TF-IDF and logistic regression",
    "movie_reviews": "≥ TF-IDF and logistic regression",
}
PUBLISHED = {
    "sst2": {
        "LSTM, GloVe and phrase labels (Tai et al. 2015)": 0.849,
        "deep averaging network, random input, phrase labels (Iyyer et al. 2015)": 0.832,
    },
    "sst5": {"LSTM, GloVe and phrase labels (Tai et al. 2015)": 0.464},
    "mr": {"CNN, word2vec (Kim 2014)": 0.815, "CNN, random input (Kim 2014)": 0.761},
    "movie_reviews": {"SVM (Pang & Lee 2004)": 0.872},
}
Rows = list[tuple[str, str, int]]


def sentences(folder: Path) -> Rows:
    """Return text, label and fold of MR."""
    rows: Rows = []
    with zipfile.ZipFile(folder / "sentence_polarity.zip") as archive:
        for label in ("neg", "pos"):
            # its text is Latin-1, of which a few bytes are not valid UTF-8
            lines = archive.read(f"sentence_polarity/rt-polarity.{label}").decode("latin-1").split("\n")
            texts = [line.strip() for line in lines if line.strip()]
            rows += [(text, label, n % FOLDS) for n, text in enumerate(texts)]
    return rows


def documents(folder: Path) -> Rows:
    """Return text, label and fold of movie_reviews."""
    rows: Rows = []
    with zipfile.ZipFile(folder / "movie_reviews.zip") as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".txt"):
                path = Path(name)
                text = archive.read(name).decode("utf-8", "replace")
                rows.append((text, path.parent.name, int(path.name[2])))
    return rows


def split(rows: Rows, fold: int, out: Path) -> dict[str, Path]:
    """Write train.tsv, dev.tsv and test.tsv of a fold, and return their paths."""
    out.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Path] = {}
    after = (fold + 1) % FOLDS
    for part, wanted in (("train", {*range(FOLDS)} - {fold, after}), ("dev", {after}), ("test", {fold})):
        lines = [f"{' '.join(text.split())}\t{label}" for text, label, number in rows if number in wanted]
        parts[part] = out / f"{part}.tsv"
        parts[part].write_text("\n".join(["text\tlabel", *lines]) + "\n", encoding="utf-8")
    return parts


def trained(args: argparse.Namespace, parts: dict[str, Path], out: Path, chosen: dict[str, Any]) -> Model:
    """Return a trained model; with --resume the existing one, if its training is complete."""
    if args.resume and (out / "model.safetensors").is_file():
        model = load(out)
        if not model.config.result["interrupted"]:
            return model
    fields = ClassifyOptions.model_fields
    return train(
        "classify",
        parts["train"],
        out,
        dev=parts["dev"],
        resume=args.resume,
        overwrite=not args.resume,
        seed=args.seed,
        minutes=args.minutes,
        options={k: v for k, v in chosen.items() if k in fields},
        reporter=make_reporter(),
        **{k: v for k, v in chosen.items() if k not in fields},
    )


def mean_of(evaluations: list[Evaluation]) -> Evaluation:
    """Return the mean of all plain numbers over some folds, and the sum of the counts."""
    mean = copy.deepcopy(evaluations[0])
    for side in ("metrics", "baseline"):
        sides = [getattr(evaluation, side) for evaluation in evaluations]
        numbers = {k: [f[k] for f in sides] for k, v in sides[0].items() if isinstance(v, (int, float))}
        merged = {k: sum(v) if k == "examples" else float(np.mean(v)) for k, v in numbers.items()}
        merged |= {k: v for k, v in sides[0].items() if isinstance(v, str)}
        getattr(mean, side).clear()
        getattr(mean, side).update(merged)
    return mean


def main() -> None:
    """Train, evaluate, write the result."""
    parser = arguments(__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("set", choices=tuple(GOALS))
    parser.add_argument("--folds", type=int, nargs="*", default=[*range(FOLDS)], help="folds of MR and movie_reviews")
    parser.add_argument(
        "--option", nargs="*", default=[], metavar="NAME=VALUE", help="an option of the task or of training"
    )
    args = parsed(parser)
    chosen = {k: _value(v) for k, v in (pair.split("=", 1) for pair in args.option)}
    runs: list[tuple[str, dict[str, Path]]] = []
    if args.set == "sst2":
        runs.append(("", {part: args.data / f"{part}.tsv.gz" for part in ("train", "dev", "test")}))
    elif args.set == "sst5":
        runs.append(("", {part: args.data / f"sentiment-{part}.gz" for part in ("train", "dev", "test")}))
    else:
        rows = sentences(args.data) if args.set == "mr" else documents(args.data)
        for fold in args.folds:
            runs.append((f"-{fold}", split(rows, fold, args.out / f"{args.set}-fold-{fold}")))
    evaluations, model, minutes = [], None, 0.0
    for name, parts in runs:
        model = trained(args, parts, args.out / f"model-{args.set}{name}", chosen)
        minutes += float(model.config.result["seconds"]) / 60
        evaluations.append(model.evaluate(parts[args.split]))
        own, other = evaluations[-1].metrics["accuracy"], evaluations[-1].baseline["accuracy"]
        print(f"{args.set}{name} {args.split}: accuracy {own:.4f}, TF-IDF {other:.4f}", flush=True)
        # written after each fold, so that an interrupted run has reported its folds
        result = evaluations[0] if len(runs) == 1 else mean_of(evaluations)
        done = "" if len(runs) == 1 else f", folds {', '.join(n[1:] for n, _ in runs[: len(evaluations)])} of {FOLDS}"
        write_result(
            args.set,
            args,
            model,
            result,
            title=f"{TITLES[args.set]}: sentiment (classify)",
            data=f"{TITLES[args.set]}, {SPLITS[args.set]}{done}",
            measured=f"**{result.metrics['accuracy']:.1%}** accuracy",
            beside=f"{result.baseline['accuracy']:.1%} TF-IDF and logistic regression",
            goal=GOALS[args.set],
            published=PUBLISHED[args.set],
            folds=[
                {"accuracy": e.metrics["accuracy"], "baseline": e.baseline["accuracy"], "loss": e.metrics["loss"]}
                for e in evaluations
            ],
            minutes_of_all_folds=round(minutes, 1),
        )


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


if __name__ == "__main__":
    main()
