"""`recognize` on MNIST: images seen as a whole, or read row by row or pixel by pixel.

    python benchmarks/mnist.py --data DATA/mnist --out runs/mnist --threads 2
    python benchmarks/mnist.py --data DATA/mnist --out runs/mnist --reading rows
    python benchmarks/mnist.py --data DATA/mnist --out runs/mnist --split test --resume

The last 5,000 of the 60,000 training images are held out for development; only `--split test` uses the 10,000 test
images.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from uses import arguments, parsed, write_result

from unrolled.data.images.arrays import read_idx
from unrolled.storage import write_whole
from unrolled.tasks import train

HELD_OUT = 5000
GOALS = {"image": "accuracy ≥ 99.4 %", "rows": "accuracy ≥ 99.0 %", "pixels": ""}
PUBLISHED = {
    "LSTM by rows": "98.5 to 99.2 % (tutorials and textbooks)",
    "pixel by pixel": "IRNN 97 % (Le et al. 2015, arXiv 1504.00941); LSTM about 98 %",
}


def parts(data: Path, out: Path) -> tuple[Path, Path]:
    """Write the training images to two files, for training and development, and return their paths."""
    images, labels = read_idx(data / "train-images-idx3-ubyte.gz"), read_idx(data / "train-labels-idx1-ubyte.gz")
    paths = out / "train.npz", out / "dev.npz"
    for path, rows in zip(paths, (slice(None, -HELD_OUT), slice(-HELD_OUT, None)), strict=True):
        if not path.is_file():
            np.savez_compressed(path.with_suffix(".partial.npz"), images=images[rows], labels=labels[rows])
            write_whole(path, path.with_suffix(".partial.npz").read_bytes())
            path.with_suffix(".partial.npz").unlink()
    return paths


def main() -> None:
    """Train, evaluate, and write the result."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--reading", default="image", choices=("image", "rows", "pixels"))
    parser.add_argument("--epochs", type=float, default=None)
    args = parsed(parser)
    learn, choose = parts(args.data, args.out)
    model = train(
        "recognize",
        learn,
        args.out / args.reading,
        dev=choose,
        resume=args.resume,
        options={"reading": args.reading},
        minutes=args.minutes,
        epochs=args.epochs,
        seed=args.seed,
    )
    judged = choose if args.split == "dev" else args.data / "t10k-images-idx3-ubyte.gz"
    evaluation = model.evaluate(judged)
    image = np.zeros((28, 28), dtype=np.uint8)
    started = time.perf_counter()
    for _ in range(200):
        model.predict(image)
    write_result(
        f"mnist-{args.reading}",
        args,
        model,
        evaluation,
        title={"image": "MNIST", "rows": "MNIST, row by row", "pixels": "MNIST, pixel by pixel"}[args.reading],
        data=f"MNIST, {'10,000 test' if args.split == 'test' else f'last {HELD_OUT:,} training'} images",
        measured=f"**{100 * evaluation.metrics['accuracy']:.2f} %** accuracy",
        beside=f"logistic regression {100 * evaluation.baseline['accuracy']:.2f} %",
        goal=GOALS[args.reading],
        published=PUBLISHED,
        milliseconds_an_image=round((time.perf_counter() - started) / 200 * 1000, 2),
    )


if __name__ == "__main__":
    main()
