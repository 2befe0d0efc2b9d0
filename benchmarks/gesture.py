"""Gesture phases from the skeletons of people telling a story (`label`): rest, preparation, stroke, hold, retraction.

Data: five recordings of three people (UCI, Madeo, Wagner & Peres 2014), `*_raw.csv` with the positions of hands,
wrists, head and spine at about 30 frames a second, `*_va3.csv` with 32 velocities and accelerations that the authors
computed, which lack the first four frames. The set has no published split.

Protocol: leave one recording out. Each of the five is the test recording of a model that is trained on three others and
selected by the remaining one, the next in alphabetical order (a1 after c1); the scores are the means over the five. The
person of c1 is never seen in training. `--split dev` scores the five development recordings instead.

Features: positions of hands and wrists relative to the spine, in units of the distance from head to spine (people
differ in position and size), and the authors' velocities and accelerations; all standardised over each recording (some
people move more than others), which uses no label. The model and the per-frame model beside it read the same features.
Rest is the background of the segmental scores.

    python benchmarks/gesture.py --data …/gesture_phase --split dev
"""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
from uses import arguments, parsed, write_result

from unrolled.tasks import Evaluation, Model, train
from unrolled.training import QuietReporter

RECORDINGS = ("a1", "a2", "b1", "b3", "c1")
#: one row of b1_raw.csv is labelled in Portuguese
PHASES = {"Preparação": "Preparation"}
POINTS = ("lh", "rh", "lw", "rw")


def rows_of(path: Path) -> list[dict[str, str]]:
    with gzip.open(path) as file:
        return list(csv.DictReader(io.TextIOWrapper(file, encoding="utf-8-sig")))


def converted(data: Path, out: Path) -> Path:
    """Write a table for each recording, with features, seconds and label, and return their folder."""
    folder = out / "gesture"
    folder.mkdir(parents=True, exist_ok=True)
    for name in RECORDINGS:
        raw, moves = rows_of(data / f"{name}_raw.csv.gz"), rows_of(data / f"{name}_va3.csv.gz")
        # the first four frames have no velocities
        raw = raw[len(raw) - len(moves) :]
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            places = [f"{point}{axis}" for point in POINTS for axis in "xyz"]
            writer.writerow([*places, *(f"va{n}" for n in range(1, 33)), "seconds", "label"])
            for row, move in zip(raw, moves, strict=True):
                spine, head = (np.array([float(row[f"{p}{axis}"]) for axis in "xyz"]) for p in ("s", "h"))
                unit = float(np.linalg.norm(head - spine))
                relative = [
                    (float(row[f"{p}{axis}"]) - spine["xyz".index(axis)]) / unit for p in POINTS for axis in "xyz"
                ]
                writer.writerow(
                    [
                        *(f"{value:.5f}" for value in relative),
                        *(move[str(n)] for n in range(1, 33)),
                        int(row["timestamp"]) / 1000,
                        PHASES.get(row["phase"], row["phase"]),
                    ]
                )
    return folder


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--epochs", type=float, default=None, help="of each fold")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the task, while tuning")
    parser.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE", help="of the training")
    args = parsed(parser)
    folder = converted(args.data, args.out)
    options: dict[str, Any] = {"time_column": "seconds", "background": ("Rest",), "standardise": "recording"}
    settings: dict[str, Any] = {}
    for chosen, given in ((options, args.option), (settings, args.setting)):
        for pair in given:
            name, _, value = pair.partition("=")
            chosen[name] = value
    models: list[Model] = []
    evaluations: list[Evaluation] = []
    for n, name in enumerate(RECORDINGS):
        dev = RECORDINGS[(n + 1) % len(RECORDINGS)]
        model = train(
            "label",
            [folder / f"{other}.csv" for other in RECORDINGS if other not in (name, dev)],
            args.out / f"without-{name}",
            dev=folder / f"{dev}.csv",
            resume=args.resume,
            options=options,
            reporter=QuietReporter(),
            minutes=None if args.minutes is None else args.minutes / len(RECORDINGS),
            epochs=args.epochs,
            seed=args.seed,
            **settings,
        )
        judged = {"test": name, "dev": dev}[args.split]
        models.append(model)
        evaluations.append(model.evaluate(folder / f"{judged}.csv"))
        own, other = evaluations[-1].metrics, evaluations[-1].baseline
        print(
            f"{judged}: f1 {own['f1']:.4f} accuracy {own['accuracy']:.4f} · per frame f1 {other['f1']:.4f} "
            f"accuracy {other['accuracy']:.4f}",
            flush=True,
        )
    own, other = mean([e.metrics for e in evaluations]), mean([e.baseline for e in evaluations])
    print(f"mean: {own}\nper frame: {other}")
    total = Evaluation("label", list(RECORDINGS), own, {"model": evaluations[0].baseline["model"], **other})
    write_result(
        "gesture",
        args,
        models[-1],
        total,
        title="Gesture phases (`label`)",
        data="UCI gesture phase, 5 recordings of 3 people, leave one recording out; positions to the spine, velocities",
        measured=f"**{100 * own['f1']:.1f}** macro F1, {100 * own['accuracy']:.1f} % of frames",
        beside=f"each frame alone {100 * other['f1']:.1f} macro F1, {100 * other['accuracy']:.1f} %",
        goal="macro F1 at least 10 points above the per-frame model's",
        folds=[{"recording": Path(e.data[0]).stem, "metrics": e.metrics, "baseline": e.baseline} for e in evaluations],
        minutes_of_folds=[round(float(m.config.result["seconds"]) / 60, 2) for m in models],
    )


def mean(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return the mean of each number that is not inside a group."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0] if isinstance(rows[0][name], float)}


if __name__ == "__main__":
    main()
