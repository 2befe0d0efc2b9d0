"""A tiny model of every use, trained in a second or two each, and what people would give it.

Words are tones, pictures are boxes, clips are wandering bars: what a network of a dozen units learns well enough for
its answers to be worth looking at.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from tests.tasks import (
    forecast_data,
    label_data,
    speech_data,
    test_caption,
    test_classify,
    test_recognize,
    test_tag,
    test_translate,
)
from tests.tasks.conftest import make_text

from unrolled.tasks import train
from unrolled.tasks.outputs.next import completion
from unrolled.tasks.uses.translate import Translate

GENERATE = {"hidden_size": 48, "num_layers": 1, "embedding_size": 16, "batch_size": 8, "window": 24, "dropout": 0.0}
DIGITS = ("0", "1", "7")
ONE_WAY = {"bidirectional": False}


def mail(folder: Path, out: Path) -> None:
    (folder / "train.txt").write_text(make_text(200, 1), "utf-8")
    (folder / "dev.txt").write_text(make_text(14, 2), "utf-8")
    learn_mail(folder, out, steps=240)


def learn_mail(folder: Path, out: Path, **given: Any) -> None:
    """A run that can be watched: with samples, and resumed to more steps."""
    settings = {"lr": 0.02, "log_every": 1, "evaluate_every": 20, "sample_every": 20, "seed": 7}
    options = {"tokens": "char", **GENERATE}
    about = {"about": "Data made on the spot: what friends write."}
    train(
        "generate", folder / "train.txt", out, dev=folder / "dev.txt", options=options, **{**settings, **about, **given}
    )


def translated(folder: Path, out: Path) -> None:
    for name, count, seed in (("train", 60, 1), ("dev", 12, 2)):
        test_translate.write(folder, name, test_translate.sentences(count, seed))
    test_translate.learn(folder, out, steps=160, schedule="constant", warmup_steps=1)


def names(folder: Path, out: Path) -> None:
    (folder / "train.txt").write_text(test_tag.conll(120, 1), "utf-8")
    (folder / "dev.txt").write_text(test_tag.conll(20, 2), "utf-8")
    options = {**ONE_WAY, "output": "softmax", "context": 0, "batch_size": 16}
    test_tag.learn(folder / "train.txt", out, dev=folder / "dev.txt", steps=150, options=options)


def feeling(folder: Path, out: Path, **options: Any) -> None:
    (folder / "train.tsv").write_text(test_classify.reviews(160, 1))
    (folder / "dev.tsv").write_text(test_classify.reviews(40, 2))
    test_classify.learn(folder / "train.tsv", out, dev=folder / "dev.tsv", steps=60, options=options)


def caption(folder: Path, out: Path) -> None:
    test_caption.learn(test_caption.make_scenes(folder / "scenes"), out, steps=200)


def digit(label: str, draw: np.random.Generator) -> Image.Image:
    """A digit of three, white on black, in 18 × 18."""
    picture = Image.new("L", (18, 18))
    pen = ImageDraw.Draw(picture)
    x, y = (int(n) for n in draw.integers(-1, 2, 2))
    if label == "0":
        pen.ellipse((5 + x, 3 + y, 12 + x, 14 + y), outline=255, width=2)
    elif label == "1":
        pen.line((9 + x, 3 + y, 9 + x + int(draw.integers(-1, 2)), 14 + y), fill=255, width=2)
    else:
        pen.line((4 + x, 4 + y, 13 + x, 4 + y), fill=255, width=2)
        pen.line((13 + x, 4 + y, 8 + x + int(draw.integers(-1, 2)), 14 + y), fill=255, width=2)
    return picture


def digits(folder: Path, out: Path) -> None:
    draw = np.random.default_rng(4)
    for name, count in (("train", 48), ("dev", 15)):
        labels = [DIGITS[n % 3] for n in range(count)]
        images = np.stack([np.asarray(digit(label, draw)) for label in labels])
        np.savez(folder / f"{name}.npz", images=images, labels=np.array(labels))
    test_recognize.learn(folder, out, steps=120, evaluate_every=60, save_every=120)


def dictation(folder: Path, out: Path) -> None:
    draw = np.random.default_rng(0)
    for part, count in (("train", 30), ("dev", 6)):
        rows = []
        for n in range(count):
            words = [str(w) for w in draw.choice(list(speech_data.TONES), size=int(draw.integers(1, 4)))]
            speech_data.save(folder / f"{part}{n}.wav", speech_data.spoken(words, draw))
            rows.append((f"{part}{n}.wav", " ".join(words)))
        speech_data.manifest(folder / f"{part}.jsonl", rows)
    options = {**ONE_WAY, "units": "characters", "hidden_size": 32}
    speech_data.learn(folder, out, options=options, steps=260)


def gestures(folder: Path, out: Path, *, clips: bool) -> None:
    for part, seeds in (("train", range(8)), ("dev", range(20, 22))):
        (folder / part).mkdir()
        for seed in seeds:
            if clips:
                label_data.write_strip(folder / part, f"c{seed}", seed)
            else:
                label_data.write_table(folder / part / f"{seed}.csv", seed)
    options = label_data.SMALL_FRAMES if clips else {"time_column": "seconds"}
    options |= ONE_WAY
    label_data.learn(folder / "train", out, folder / "dev", options=options, epochs=8, sample_every=0)


def sales(folder: Path, out: Path) -> None:
    (folder / "train.csv").write_text(forecast_data.wide())
    options = {"method": "direct", "test_from": "96"}
    forecast_data.learn(folder / "train.csv", out, options=options, steps=120)


#: name on the page → what makes it
USES: dict[str, Callable[[Path, Path], None]] = {
    "my-mail": mail,
    "de-en": translated,
    "names": names,
    "as-read": lambda folder, out: feeling(folder, out, **ONE_WAY),
    "both-ways": feeling,
    "boxes": caption,
    "digits": digits,
    "tones": dictation,
    "switches": lambda folder, out: gestures(folder, out, clips=False),
    "ways": lambda folder, out: gestures(folder, out, clips=True),
    "sales": sales,
}


def train_all(root: Path) -> dict[str, Path]:
    """Folders of models by name, beside `data/` with what each learned from."""
    with pytest.MonkeyPatch.context() as patch:
        # thresholds and length penalties from less than in earnest
        patch.setattr(completion, "FIT_PLACES", 60)
        patch.setattr(Translate.output, "fitted_on", 4)
        for name, make in USES.items():
            (root / "data" / name).mkdir(parents=True)
            make(root / "data" / name, root / name)
    return {name: root / name for name in USES}


def given_files(folder: Path) -> dict[str, Path]:
    """What people drop on the page."""
    found = {name: folder / name for name in ("box.png", "seven.png", "tones.wav", "ways.webm", "switches.csv")}
    draw = np.random.default_rng(5)
    scene = draw.integers(100, 140, (12, 12, 3), dtype=np.uint8)
    scene[4:8, 7:11] = test_caption.COLOURS["red"]
    Image.fromarray(scene).resize((240, 240), Image.Resampling.NEAREST).save(found["box.png"])
    digit("7", draw).resize((90, 90), Image.Resampling.NEAREST).save(found["seven.png"])
    speech_data.save(found["tones.wav"], speech_data.spoken(["mi", "do", "re"], draw))
    label_data.write_table(found["switches.csv"], 21)
    write_clip(found["ways.webm"], folder)
    (folder / "sales.csv").write_text(forecast_data.wide(90))
    (folder / "damaged.png").write_bytes(found["box.png"].read_bytes()[:40] + bytes(200))
    return {path.name: path for path in folder.iterdir() if path.is_file()}


def write_clip(path: Path, folder: Path, scale: int = 8) -> None:
    """A bar that wanders to one side and then to the other, as browsers can play it."""
    av = pytest.importorskip("av", reason="the extra video is not installed")
    strips = folder / "strips"
    strips.mkdir()
    label_data.write_strip(strips, "one", 23, frames=24)
    strip = np.asarray(Image.open(strips / "one.png")).reshape(24, 12, 16)
    with av.open(str(path), "w", format="webm") as container:
        track = container.add_stream("libvpx", rate=25)
        track.width, track.height, track.pix_fmt = 16 * scale, 12 * scale, "yuv420p"
        for frame in strip.repeat(scale, 1).repeat(scale, 2):
            container.mux(track.encode(av.VideoFrame.from_ndarray(np.stack([frame] * 3, 2), "rgb24")))
        container.mux(track.encode(None))
