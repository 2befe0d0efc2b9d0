"""Small data sets to train the stored models on: files of one kind for each task, the same every time."""

from __future__ import annotations

import io
import json
import wave
from pathlib import Path

import numpy as np
from PIL import Image

from . import forms

#: a training part and a development part, and which examples each has
PARTS = {"train": range(16), "dev": range(100, 105)}

SENTENCES = tuple(
    f"{start} {end}" for start in ("See you", "I am", "Tea is") for end in ("at noon.", "at sea.", "here.")
)
#: of one writer, who says the same and more: neither the network nor an n-gram of this text knows all of it
OWN = (*SENTENCES, "I see you at tea.", "You see me at noon.", "The sea is at noon here.", "Noon is here, you see.")
NEW = ("See you at tea.", "I am here at noon.", "Tea is here.", "You see me here.")


def letters(folder: Path) -> None:
    """train.txt and dev.txt, own.txt by one writer, and new.txt, on which no threshold was fitted."""
    parts = (("train", SENTENCES, 120), ("dev", SENTENCES, 12), ("own", OWN, 48), ("new", NEW, 8))
    for seed, (name, sentences, count) in enumerate(parts):
        picks = forms.grain(count, seed=seed, below=len(sentences))
        (folder / f"{name}.txt").write_text("".join(sentences[n] + "\n" for n in picks), encoding="utf-8")


def reviews(folder: Path) -> None:
    """Tables train.tsv and dev.tsv of texts with a label; one word of each tells the label."""
    moods = {"pos": ("great", "fine"), "neg": ("dull", "poor")}
    for name, numbers in PARTS.items():
        lines = ["text\tlabel"]
        for n in numbers:
            label = ("pos", "neg")[n % 2]
            lines.append(f"the {('film', 'story', 'café')[n % 3]} was {moods[label][n // 2 % 2]} !\t{label}")
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def entities(folder: Path) -> None:
    """Columns train.txt and dev.txt of sentences with names, in IOB2 and two documents."""
    people, places = ("Ann Lee", "Bob", "Carl Ek"), ("Rome", "New York", "Oslo")
    for name, numbers in PARTS.items():
        lines = []
        for n in numbers:
            if n % 8 == 0 or n == 100:
                lines.append("-DOCSTART- O\n")
            for kind, words in (("PER", people[n % 3]), ("", "lives in"), ("LOC", places[n // 2 % 3]), ("", ".")):
                tags = [f"{'I' if k else 'B'}-{kind}" if kind else "O" for k in range(len(words.split()))]
                lines += [f"{word} {tag}" for word, tag in zip(words.split(), tags, strict=True)]
            lines.append("")
        (folder / f"{name}.txt").write_text("\n".join(lines), encoding="utf-8")


def word_classes(folder: Path) -> None:
    """Columns train.txt and dev.txt of sentences with a label for each word."""
    nouns, verbs = ("dogs", "cats", "birds"), ("run", "sleep")
    for name, numbers in PARTS.items():
        sentences = [f"the DET\n{nouns[n % 3]} NOUN\n{verbs[n // 3 % 2]} VERB\n. PUNCT\n" for n in numbers]
        (folder / f"{name}.txt").write_text("\n".join(sentences), encoding="utf-8")


def pairs(folder: Path) -> None:
    """train.de, train.en, dev.de and dev.en: the verb is last in German, and first in English."""
    nouns = (("Hund", "dog"), ("Mann", "man"), ("Bär", "bear"))
    verbs, colours = (("rennt", "runs"), ("schläft", "sleeps")), (("", ""), ("rote ", "red "))
    for name, numbers in PARTS.items():
        sides: dict[str, list[str]] = {"de": [], "en": []}
        for n in numbers:
            noun, verb, colour = nouns[n % 3], verbs[n // 3 % 2], colours[n // 6 % 2]
            sides["de"].append(f"der {colour[0]}{noun[0]} {verb[0]}.\n")
            sides["en"].append(f"{verb[1]} the {colour[1]}{noun[1]}!\n")
        for side, lines in sides.items():
            (folder / f"{name}.{side}").write_text("".join(lines), encoding="utf-8")


def png(image: forms.Pixels) -> bytes:
    """Return an image file."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def bars(folder: Path) -> None:
    """train.npz and dev.npz of `forms.bar`."""
    for name, numbers in PARTS.items():
        labels = [("down", "up")[n % 2] for n in numbers]
        images = np.stack([forms.bar(label, n) for label, n in zip(labels, numbers, strict=True)])
        np.savez_compressed(folder / f"{name}.npz", images=images, labels=np.array(labels))


def scenes(folder: Path) -> None:
    """Images of `forms.box`, and train.txt and dev.txt with two captions of each."""
    (folder / "images").mkdir()
    (folder / "dev-images").mkdir()
    for name, numbers in PARTS.items():
        lines = []
        for n in numbers:
            colour, side = list(forms.COLOURS)[n % 3], ("left", "right")[n // 3 % 2]
            for images in ("images", "dev-images") if name == "dev" else ("images",):
                (folder / images / f"{n}.png").write_bytes(png(forms.box(colour, side, n)))
            lines += [f"{n}.png#0\tA {colour} box is {side} .", f"{n}.png#1\tA box on the {side}"]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def tables(folder: Path) -> None:
    """Tables train/ and dev/ of `forms.features`, labelled with what was switched on last."""
    for name, seeds in (("train", range(4)), ("dev", range(100, 102))):
        (folder / name).mkdir()
        for seed in seeds:
            state, rows = "rest", ["on,off,seconds,label"]
            for t, (on, off) in enumerate(forms.features(seed, 32).tolist()):
                state = "work" if on > 0.5 else "rest" if off > 0.5 else state
                rows.append(f"{on},{off},{t / 20},{state}")
            (folder / name / f"{seed}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def strips(folder: Path) -> None:
    """Clips train/ and dev/ of `forms.clip` as strips of frames, labelled with where the bar goes."""
    for name, seeds in (("train", range(4)), ("dev", range(100, 102))):
        (folder / name).mkdir()
        for seed in seeds:
            film = forms.clip(seed, turn=6 + seed % 4)
            (folder / name / f"c{seed}.png").write_bytes(png(film.reshape(-1, film.shape[2])))
            spans = f"0 {6 + seed % 4} right\n{6 + seed % 4} 16 left\n"
            (folder / name / f"c{seed}.align").write_text(spans, encoding="utf-8")


def speech(folder: Path) -> None:
    """train.jsonl and dev.jsonl beside their sound files."""
    both_ways = ("do re", "re mi", "mi do", "re do", "mi re", "do mi")
    for name, texts in (("train", ("do", "re", "mi", *both_ways)), ("dev", ("re do", "mi"))):
        rows = []
        for n, text in enumerate(texts):
            file = f"{name}{n}.wav"
            with wave.open(str(folder / file), "wb") as stream:
                stream.setparams((1, 2, forms.RATE, 0, "NONE", ""))
                stream.writeframes((forms.samples(text.split(), n) * 32767).round().astype("<i2").tobytes())
            rows.append(json.dumps({"audio": file, "text": text}) + "\n")
        (folder / f"{name}.jsonl").write_text("".join(rows), encoding="utf-8")


def hours(folder: Path) -> None:
    """train.csv of two hourly series, and all.csv, in which they go on."""
    a, b = forms.series(72), forms.series(72, 2.0, 300.0)
    begin = np.datetime64("2020-01-01T00", "h")
    times = [str(begin + np.timedelta64(k, "h")).replace("T", " ") + ":00" for k in range(72)]
    rows = [f"{t},{x},{y}\n" for t, x, y in zip(times, a, b, strict=True)]
    for name, count in (("train", 60), ("all", 72)):
        (folder / f"{name}.csv").write_text("time,a,b\n" + "".join(rows[:count]), encoding="utf-8")


def days(folder: Path) -> None:
    """train.csv of one daily series with a covariate `p` that is known ahead, and all.csv, in which it goes on."""
    values = forms.series(60)
    rows = [f"{np.datetime64('2020-01-01') + k},{value},{k % 3}\n" for k, value in enumerate(values)]
    for name, count in (("train", 48), ("all", 60)):
        (folder / f"{name}.csv").write_text("date,v,p\n" + "".join(rows[:count]), encoding="utf-8")
