"""The data of the tour: made here, small, the same every time, so that every command of it runs anywhere."""

from __future__ import annotations

import json
import random
import struct
import wave
import zlib
from pathlib import Path
from typing import Any

import numpy as np

PEOPLE = ("Anna", "Boris", "Clara", "Dmitri", "Emma", "Farid", "Greta", "Hugo", "Ines", "Jonas")
PLACES = ("Rome", "New York", "Oslo", "Cape Town", "Lima", "Kyoto", "San Marino", "Delhi")
GOOD, BAD = ("wonderful", "moving", "clever", "superb"), ("dull", "tedious", "clumsy", "awful")
COLOURS = {"red": (200, 40, 40), "green": (40, 160, 60), "blue": (50, 80, 210)}
GERMAN = {"ein": "a", "der": "the", "rote": "red", "große": "big", "Hund": "dog", "Mann": "man", "Stein": "stone"}
TONES = {"do": 400.0, "re": 800.0, "mi": 1500.0}


def make_all(folder: Path) -> None:
    """Write everything that the tour's commands read into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    language_reference(folder)
    names(folder)
    reviews(folder)
    pairs(folder)
    digits(folder)
    scenes(folder)
    gestures(folder)
    tones(folder)
    temperatures(folder)


def language_reference(folder: Path) -> None:
    """The text that every Python carries: the language reference."""
    from pydoc_data import topics

    text = "\n\n".join(topics.topics[name] for name in sorted(topics.topics))
    (folder / "reference.txt").write_text(text[:300_000], encoding="utf-8")


def names(folder: Path) -> None:
    """Sentences about people and places, in columns."""
    frames = ("{p} lives in {l} .", "Did {p} ever see {l} ?", "{p} and {q} flew from {l} to {m} .", "It rains in {l} .")
    for part, count, seed in (("train", 300, 1), ("dev", 60, 2)):
        draw, lines = random.Random(seed), []
        for _ in range(count):
            given = {
                "p": draw.choice(PEOPLE),
                "q": draw.choice(PEOPLE),
                "l": draw.choice(PLACES),
                "m": draw.choice(PLACES),
            }
            for word in draw.choice(frames).split():
                name = word.strip("{}")
                if name == word:
                    lines.append(f"{word} O")
                    continue
                kind = "PER" if name in "pq" else "LOC"
                pieces = given[name].split()
                lines += [f"{piece} {'I' if k else 'B'}-{kind}" for k, piece in enumerate(pieces)]
            lines.append("")
        (folder / f"names-{part}.conll").write_text("\n".join(lines), encoding="utf-8")


def reviews(folder: Path) -> None:
    """One word of each review says what it thinks, unless a "not" stands before it."""
    draw, lines = random.Random(3), ["text\tlabel"]
    for _ in range(500):
        good, negated = draw.random() < 0.5, draw.random() < 0.3
        word = draw.choice(BAD if good == negated else GOOD)
        told = f"not {word} at all" if negated else f"really {word}"
        lines.append(f"{draw.choice(('the film', 'this story', 'her play'))} is {told} .\t{'good' if good else 'bad'}")
    (folder / "reviews.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def pairs(folder: Path) -> None:
    """German with its verb at the end, English with the verb where English has it."""
    draw, sides = random.Random(4), ([], [])  # type: tuple[random.Random, tuple[list[str], list[str]]]
    for _ in range(600):
        noun = [draw.choice(("ein", "der")), *draw.sample(("rote", "große"), draw.randint(0, 2))]
        noun.append(draw.choice(("Hund", "Mann", "Stein")))
        verb = draw.choice((("rennt", "runs"), ("schläft", "sleeps"), ("fällt", "falls")))
        sides[0].append(f"ich sehe , dass {' '.join(noun)} {verb[0]} .")
        sides[1].append(f"i see that {' '.join(GERMAN[word] for word in noun)} {verb[1]} .")
    for name, lines in zip(("de", "en"), sides, strict=True):
        (folder / f"pairs.{name}").write_text("\n".join(lines) + "\n", encoding="utf-8")


def digits(folder: Path) -> None:
    """1,797 digits of 8 × 8 pixels, which scikit-learn carries (Alpaydin & Kaynak 1998)."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = (images.reshape(-1, 8, 8) / 16 * 255).astype(np.uint8)
    np.savez(folder / "digits.npz", images=pixels[:1500], labels=labels[:1500])
    (folder / "digit.png").write_bytes(png(np.kron(pixels[1504], np.ones((16, 16), np.uint8))))


def scenes(folder: Path) -> None:
    """Coloured boxes left or right, two captions each."""
    draw, lines = np.random.default_rng(5), []
    (folder / "scenes").mkdir(exist_ok=True)
    for n in range(120):
        colour, left = list(COLOURS)[n % 3], bool(n // 3 % 2)
        image = draw.integers(100, 140, (16, 16, 3)).astype(np.uint8)
        image[5:11, slice(1, 7) if left else slice(9, 15)] = COLOURS[colour]
        (folder / "scenes" / f"{n}.png").write_bytes(png(image))
        side = "left" if left else "right"
        lines += [f"{n}.png#0\ta {colour} box on the {side}", f"{n}.png#1\tthere is a {colour} box , {side}"]
    (folder / "scenes.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def gestures(folder: Path) -> None:
    """A hand that rests, rises and falls; rising and falling are told apart only by what came before."""
    for part, seeds in (("train", range(12)), ("dev", range(50, 54))):
        (folder / f"hand-{part}").mkdir(exist_ok=True)
        for seed in seeds:
            draw, height, rows = np.random.default_rng(seed), 0.0, ["height,phase"]
            for _ in range(6):
                for phase, step in (("rest", 0.0), ("rise", 0.15), ("rest", 0.0), ("fall", -0.15)):
                    for _ in range(int(draw.integers(4, 9))):
                        height = float(np.clip(height + step, 0, 1))
                        rows.append(f"{height + draw.normal() * 0.05:.3f},{phase}")
            (folder / f"hand-{part}" / f"{seed}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def tones(folder: Path) -> None:
    """Words that are notes, sung by a sine."""
    draw, rate = np.random.default_rng(6), 8000
    (folder / "sung").mkdir(exist_ok=True)
    rows = []
    for n in range(60):
        words = [str(word) for word in draw.choice(list(TONES), size=int(draw.integers(1, 5)))]
        parts: list[Any] = [np.zeros(rate // 20)]
        for word in words:
            t = np.arange(round(rate * draw.uniform(0.11, 0.16))) / rate
            parts += [0.3 * np.sin(2 * np.pi * TONES[word] * t), np.zeros(rate // 20)]
        sound = np.concatenate(parts)
        sound = sound + draw.normal(size=len(sound)) * 0.003
        with wave.open(str(folder / "sung" / f"{n}.wav"), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes((sound * 32767).round().astype("<i2").tobytes())
        rows.append(json.dumps({"audio": f"{n}.wav", "text": " ".join(words)}))
    (folder / "sung" / "all.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


def temperatures(folder: Path) -> None:
    """Four years of days: a yearly wave, a little trend, and weather."""
    draw, rows, weather = np.random.default_rng(7), ["day,celsius"], 0.0
    for n in range(4 * 365):
        weather = 0.8 * weather + float(draw.normal()) * 1.2
        day = np.datetime64("2021-01-01") + np.timedelta64(n, "D")
        rows.append(f"{day},{10 + 8 * np.sin(2 * np.pi * (n - 100) / 365.25) + weather:.2f}")
    (folder / "temperatures.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def png(pixels: Any) -> bytes:
    """An 8-bit image, (H, W) or (H, W, 3), as a PNG file."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + pixels[y].tobytes() for y in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
