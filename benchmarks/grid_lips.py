"""GRID, speaker 1: the word spoken at each frame, from images of the mouth (`label`).

Data: `mouth_strips.zip` (one grey JPEG per clip, frames of 56 × 112 below each other, 25 per second), `align.zip`
(begin, end and word in 1/25000 s), `clips.tsv` (400 clips for training, 50 for development, 50 for test). Every frame
has one of 51 words or silence; half of the frames are silence.

    python benchmarks/grid_lips.py --data …/grid_s1 --split dev
"""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

from uses import arguments, parsed, write_result

from unrolled.tasks import train
from unrolled.training import PlainReporter

PARTS = {"train": "train", "valid": "dev", "test": "test"}
OPTIONS = {"frame_height": 56, "rate": 25.0, "units_per_second": 25000.0, "mirror": True}


def converted(data: Path, out: Path) -> dict[str, Path]:
    """Unpack strips and their annotations into a folder for each part, and return the folders."""
    parts = {part: out / "grid" / part for part in PARTS.values()}
    with (
        (data / "clips.tsv").open(encoding="utf-8") as table,
        zipfile.ZipFile(data / "mouth_strips.zip") as strips,
        zipfile.ZipFile(data / "align.zip") as alignments,
    ):
        for row in csv.DictReader(table, delimiter="\t"):
            folder = parts[PARTS[row["split"]]]
            folder.mkdir(parents=True, exist_ok=True)
            for archive, suffix in ((strips, ".jpg"), (alignments, ".align")):
                target = folder / (row["id"] + suffix)
                if not target.exists():
                    target.write_bytes(archive.read(row["id"] + suffix))
    return parts


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--epochs", type=float, default=None)
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the task, while tuning")
    parser.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE", help="of the training")
    args = parsed(parser)
    parts = converted(args.data, args.out)
    options, settings = dict(OPTIONS), {}
    for chosen, given in ((options, args.option), (settings, args.setting)):
        for pair in given:
            name, _, value = pair.partition("=")
            chosen[name] = tuple(value.split(",")) if "," in value else value
    model = train(
        "label",
        parts["train"],
        args.out / "model",
        dev=parts["dev"],
        resume=args.resume,
        options=options,
        reporter=PlainReporter(),
        minutes=args.minutes,
        epochs=args.epochs,
        seed=args.seed,
        **{"monitor": "accuracy", **settings},
    )
    evaluation = model.evaluate(parts[args.split])
    own, other = evaluation.metrics, evaluation.baseline
    write_result(
        "grid-lips",
        args,
        model,
        evaluation,
        title="GRID s1, words from mouth frames (`label`)",
        data="GRID speaker 1, 400 clips to train on, 50 dev, 50 test (clips.tsv); 75 frames of 56 × 112 grey",
        measured=f"**{100 * own['accuracy']:.1f} %** of frames, F1@50 {100 * own['f1_50']:.1f}",
        beside=f"each frame alone {100 * other['accuracy']:.1f} %, F1@50 {100 * other['f1_50']:.1f}",
        goal="frame accuracy at least 20 points above the per-frame model's",
        published={"word error rate, whole corpus, seen speakers": "LipNet 4.8 % (Assael et al. 2016)"},
    )


if __name__ == "__main__":
    main()
