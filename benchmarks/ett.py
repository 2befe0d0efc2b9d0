"""ETTh1: seven hourly series of a transformer station, forecast 96 to 720 hours ahead from the last 96.

    python benchmarks/ett.py --data DATA/ett --horizon 96

The usual protocol: 8,640 / 2,880 / 2,880 rows for training, development and test; each series is standardised by its
training part, every window of the test part is scored, and look-back windows reach into the part before.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from uses import arguments, parsed, write_result

from unrolled.data.core.tables import read_table
from unrolled.tasks import load, train

TRAIN, DEV, TEST = 8640, 2880, 2880
#: a long horizon takes a network step for each of its segments, and its windows overlap more
EPOCHS = {96: 5, 192: 5, 336: 4, 720: 2}
GOALS = {96: 0.37, 192: 0.41, 336: 0.445, 720: 0.45}
PUBLISHED = {
    96: {"SegRNN (Lin et al. 2023), look-back 96": 0.368},
    192: {"SegRNN (Lin et al. 2023), look-back 96": 0.408},
    336: {"SegRNN (Lin et al. 2023), look-back 96": 0.444},
    720: {"SegRNN (Lin et al. 2023), look-back 96": 0.446},
}


def rows(data: Path, path: Path, count: int) -> Path:
    """Write the first rows of the data set to a CSV file, and return its path."""
    with path.open("w", newline="") as file:
        writer: Any = None
        for n, row in enumerate(read_table(data / "ETTh1.csv.gz")):
            if n == count:
                break
            if writer is None:
                writer = csv.DictWriter(file, fieldnames=list(row))
                writer.writeheader()
            writer.writerow(row)
    return path


def main() -> None:
    """Train, forecast every window, write the result."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--horizon", type=int, default=96, choices=sorted(GOALS))
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--segment", type=int, default=48)
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--epochs", type=float, default=None, help="by default depends on the horizon")
    parser.add_argument("--loss", default="mae")
    parser.add_argument("--normalise", default="last")
    parser.add_argument("--weight-decay", type=float, default=1e-3)
    parser.add_argument("--averaging", default="none")
    parser.add_argument("--calendar", action="store_true")
    parser.add_argument("--name", default="", help="name of a trial, whose result is printed but not saved")
    args = parsed(parser)
    path = rows(args.data, args.out / "etth1.csv", TRAIN + DEV + TEST)
    folder = args.out / f"etth1-{args.horizon}{args.name}"
    if args.split == "dev" or not (folder / "model.safetensors").is_file():
        options = {
            "horizon": args.horizon,
            "context": 96,
            "dev_from": str(TRAIN),
            "test_from": str(TRAIN + DEV),
            "loss": args.loss,
            "hidden_size": args.hidden_size,
            "segment": args.segment,
            "dropout": args.dropout,
            "batch_size": args.batch_size,
            "normalise": args.normalise,
            "embed_series": True,
            "calendar": args.calendar,
        }
        settings: dict[str, Any] = {"lr": args.lr, "weight_decay": args.weight_decay, "seed": args.seed}
        settings["averaging"] = args.averaging
        settings |= {"minutes": args.minutes} if args.minutes else {"epochs": args.epochs or EPOCHS[args.horizon]}
        train("forecast", path, folder, resume=args.resume, overwrite=not args.resume, options=options, **settings)
    model = load(folder)
    if args.split == "dev":
        part = rows(args.data, args.out / "etth1-dev.csv", TRAIN + DEV)
        evaluation = model.evaluate(part, start=str(TRAIN))
    else:
        evaluation = model.evaluate(path, start=str(TRAIN + DEV))
    mse, beside = evaluation.metrics["scaled_mse"], evaluation.baseline["scaled_mse"]
    if args.name:
        mae = evaluation.metrics["scaled_mae"]
        print(f"trial {args.name}: {args.split} MSE {mse:.4f}, MAE {mae:.4f}; seasonal naive {beside:.4f}")
        return
    write_result(
        f"etth1-{args.horizon}{args.name}",
        args,
        model,
        evaluation,
        title=f"ETTh1, {args.horizon} hours ahead (`forecast`)",
        data=f"ETTh1, 7 series, look-back 96, horizon {args.horizon}; standardised; all windows of the part",
        measured=f"MSE **{mse:.3f}**, MAE {evaluation.metrics['scaled_mae']:.3f}",
        beside=f"seasonal naive {beside:.3f}",
        goal=f"MSE ≤ {GOALS[args.horizon]}",
        published=PUBLISHED[args.horizon],
    )


if __name__ == "__main__":
    main()
