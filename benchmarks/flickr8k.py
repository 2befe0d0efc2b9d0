"""`caption` on Flickr8k, with an image encoder trained on only these 6,000 images.

    python benchmarks/flickr8k.py --data DATA/flickr8k --out runs/flickr8k --threads 2
    python benchmarks/flickr8k.py --data DATA/flickr8k --out runs/flickr8k --split test --resume

The published split, 6,000 / 1,000 / 1,000 images with five captions each. References and captions are compared as words
in lower case, without punctuation.
"""

from __future__ import annotations

import gzip
from pathlib import Path

from uses import arguments, parsed, write_result

from unrolled.storage import write_whole
from unrolled.tasks import train

PUBLISHED = {
    "BLEU-4 19.5": "soft attention, VGG trained on ImageNet, full-size images (Xu et al. 2015, arXiv 1502.03044)",
    "BLEU-1 63": "GoogLeNet trained on ImageNet (Vinyals et al. 2015, arXiv 1411.4555)",
}


def parts(data: Path, out: Path) -> dict[str, Path]:
    """Write the captions of each part to a file, and return the paths."""
    lines = gzip.decompress((data / "Flickr8k.token.txt.gz").read_bytes()).decode("utf-8").splitlines()
    paths = {}
    for part in ("train", "dev", "test"):
        names = set((data / f"Flickr_8k.{part}Images.txt").read_text("utf-8").split())
        chosen = [line for line in lines if line.partition("#")[0] in names]
        paths[part] = out / f"{part}.token.txt"
        write_whole(paths[part], ("\n".join(chosen) + "\n").encode())
    return paths


def main() -> None:
    """Train, evaluate, and write the result."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=float, default=None)
    parser.add_argument("--name", default="model", help="folder of the model in --out")
    parser.add_argument("--set", nargs="*", default=[], metavar="OPTION=VALUE", help="options of the task")
    args = parsed(parser)
    files = parts(args.data, args.out)
    images = args.data / "images_128.zip"
    model = train(
        "caption",
        files["train"],
        args.out / args.name,
        dev=files["dev"],
        resume=args.resume,
        options={"images": str(images), **dict(pair.split("=", 1) for pair in args.set)},
        minutes=args.minutes,
        epochs=args.epochs,
        seed=args.seed,
    )
    evaluation = model.evaluate(files[args.split], images=str(images))
    examples = [str(p) for p in model.predict([picture.pixels() for picture in some_images(images, files[args.split])])]
    write_result(
        "flickr8k",
        args,
        model,
        evaluation,
        title="Flickr8k, captions, encoder from scratch",
        data=f"Flickr8k at 128 × 128, published split, {args.split}: {evaluation.metrics['images']:,} images",
        measured=f"BLEU-4 **{evaluation.metrics['bleu4']:.3f}**, CIDEr {evaluation.metrics['cider']:.3f}",
        beside=f"most frequent caption {evaluation.baseline['bleu4']:.3f}, {evaluation.baseline['cider']:.3f}",
        goal="BLEU-4 ≥ 0.14",
        published=PUBLISHED,
        examples=examples,
    )


def some_images(images: Path, captions: Path, count: int = 8) -> list:
    """Return the first images of a file of captions."""
    from unrolled.data import Findings
    from unrolled.data.images.captions import read_captions

    return [e.picture for e in read_captions([captions], Findings(), images=images)[:count]]


if __name__ == "__main__":
    main()
