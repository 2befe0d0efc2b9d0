"""Translation on Multi30k (captions of photographs), German to English or English to German: BLEU.

    python benchmarks/multi30k.py --data FOLDER                                     de to en, reported on dev
    python benchmarks/multi30k.py --data FOLDER --direction en-de --split test      test 2016, once, at the end

FOLDER holds {train,val,test_2016_flickr}.{de,en}.gz of multi30k/dataset, `data/task1/raw`: 29,000, 1,014, 1,000 pairs,
not tokenised: the first for training, the second for development. Every BLEU is sacrebleu's on text as written;
published figures are usually on lower-case tokenised text, to which `bleu_lowercase` comes closest.
"""

from __future__ import annotations

from typing import Any

from uses import arguments, parsed, write_result

import unrolled
from unrolled.training import make_reporter

PUBLISHED = {
    "de-en": {"attention NMT without the images, lower-case tokens (stated in the project's goals)": 38.45},
    "en-de": {"Caglayan et al. 2017 (LIUM-CVC), GRU with attention, lower-case tokens": 38.1},
}
GOALS = {"de-en": 38.0, "en-de": 36.0}
PARTS = {"dev": "val", "test": "test_2016_flickr"}


def main() -> None:
    """Train, translate, write the result."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--direction", choices=sorted(GOALS), default="de-en")
    parser.add_argument("--epochs", type=float, default=None)
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the task")
    parser.add_argument("--name", default=None, help="name of the run's folder")
    args = parsed(parser)
    source, target = args.direction.split("-")
    name = args.name or f"multi30k-{args.direction}"
    out = args.out / name

    def files(part: str) -> list[Any]:
        return [args.data / f"{part}.{language}.gz" for language in (source, target)]

    if (out / "model.safetensors").is_file() and not args.resume:
        model = unrolled.load(out)
    else:
        model = unrolled.train(
            "translate",
            files("train"),
            out,
            dev=files("val"),
            options=dict(option.split("=", 1) for option in args.option),
            epochs=args.epochs,
            minutes=args.minutes,
            seed=args.seed,
            resume=args.resume,
            reporter=make_reporter(),
        )
    if model.config.result["interrupted"]:
        raise SystemExit(f"interrupted; continue with --resume (in {out})")
    evaluation = model.evaluate(*files(PARTS[args.split]))
    scores, beside = evaluation.metrics, evaluation.baseline
    other = f"{scores['bleu_lowercase']:.1f} without case, {scores['chrf']:.1f} chrF"
    write_result(
        name,
        args,
        model,
        evaluation,
        title=f"Multi30k {source}→{target}, test 2016" if args.split == "test" else f"Multi30k {source}→{target}, dev",
        data=f"Multi30k task 1, 29,000 pairs to learn from, 1,014 to choose by; measured on {PARTS[args.split]}",
        measured=f"**{scores['bleu']:.1f}** BLEU ({other})",
        beside=f"word by word (IBM Model 1) {beside['bleu']:.1f}, copying {beside['copy']['bleu']:.1f}",
        goal=f"≥ {GOALS[args.direction]:g} BLEU",
        published=PUBLISHED[args.direction],
    )


if __name__ == "__main__":
    main()
