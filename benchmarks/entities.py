"""Names in text: CoNLL-2003 English, CoNLL-2002 Spanish, WNUT 2017, without any published vectors.

    python benchmarks/entities.py --data DATA/conll2003 --set conll2003             # while tuning: on dev
    python benchmarks/entities.py --data DATA/wnut17 --set wnut17 --split test       # once

Trains on the published training part and selects weights by F1 on the published development part. `--score FILE` scores
a submission to WNUT 2017 instead (token, gold tag and predicted tag, separated by tabs), as the task's own script does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

from uses import arguments, parsed, write_result

from unrolled.tasks import load, train
from unrolled.tasks.uses.tag.scoring import submission_scores
from unrolled.training import make_reporter


class DataSet(NamedTuple):
    """A published data set: its files, the goal, published results, and the options that it needs."""

    title: str
    train: str
    dev: str
    test: str
    goal: float
    published: dict[str, Any]
    options: dict[str, Any]


SETS = {
    "conll2003": DataSet(
        "CoNLL-2003 English entities",
        "eng.train.gz",
        "eng.testa.gz",
        "eng.testb.gz",
        84.0,
        {
            "BiLSTM-CRF without pretrained embeddings (Lample et al. 2016, table 5)": "about 83.6",
            "BiLSTM-CRF with them (Lample et al. 2016)": 90.94,
            "BiLSTM-CNN-CRF, random embeddings (Ma & Hovy 2016)": 80.76,
        },
        {},
    ),
    "conll2002_es": DataSet(
        "CoNLL-2002 Spanish entities",
        "esp.train.gz",
        "esp.testa.gz",
        "esp.testb.gz",
        78.0,
        {"BiLSTM-CRF with pretrained embeddings (Lample et al. 2016)": 85.75},
        # its files do not separate documents, but their sentences follow each other as in the newspaper
        {"context": 300},
    ),
    "wnut17": DataSet(
        "WNUT 2017 emerging entities",
        "wnut17train.conll.gz",
        "emerging.dev.conll.gz",
        "emerging.test.annotated.gz",
        30.0,
        {"best of the shared task, with embeddings and gazetteers (Aguilar et al. 2017)": "41.86, surface forms 40.24"},
        {},
    ),
}


def main() -> None:
    """Train or resume, and evaluate; or score a submission."""
    if "--score" in sys.argv[1:2] and len(sys.argv) == 3:
        for name, score in submission_scores(Path(sys.argv[2])).items():
            shares = [100 * share for share in (score.precision, score.recall, score.f1)]
            print("{}: {:.2f} precision, {:.2f} recall, {:.2f} F1".format(name, *shares))
        return
    parser = arguments(__doc__ or "")
    parser.add_argument("--set", choices=tuple(SETS), default="conll2003", help="the data set in --data")
    args = parsed(parser)
    chosen = SETS[args.set]
    out = args.out / args.set
    is_done = (out / "model.safetensors").is_file()
    model = (
        load(out)
        if is_done
        else train(
            "tag",
            args.data / chosen.train,
            out,
            dev=args.data / chosen.dev,
            resume=args.resume,
            reporter=make_reporter(False),
            minutes=args.minutes,
            seed=args.seed,
            options=chosen.options,
        )
    )
    evaluation = model.evaluate(args.data / (chosen.test if args.split == "test" else chosen.dev))
    f1, beside = 100 * evaluation.metrics["f1"], 100 * evaluation.baseline["f1"]
    surface = f", surface forms {100 * evaluation.metrics['surface_f1']:.2f}" if args.set == "wnut17" else ""
    write_result(
        f"entities-{args.set}",
        args,
        model,
        evaluation,
        title=chosen.title,
        data=f"{args.set}, published parts, no other data; {args.split}",
        measured=f"**{f1:.2f}** F1{surface}",
        beside=f"{beside:.2f} F1, phrases of the training text",
        goal=f"at least {chosen.goal:g} F1",
        published=chosen.published,
    )


if __name__ == "__main__":
    main()
