"""Sentences about travels with the names in them marked, to learn to find names from."""

from __future__ import annotations

import random
from pathlib import Path

from unrolled.storage import write_whole
from unrolled.tasks.core.contract.demonstration import Demonstration
from unrolled.tasks.core.values import Sources

SENTENCES = 4000

FIRST = ("Ada", "Alan", "Amina", "Carlos", "Chen", "Elena", "Grace", "Ingrid", "Joseph", "Katherine", "Linus", "Maria",
         "Noam", "Olga", "Priya", "Tomas")  # fmt: skip
LAST = ("Adams", "Berg", "Costa", "Dubois", "Eriksen", "Fischer", "Garcia", "Hopper", "Ivanova", "Jansen", "Kumar",
        "Lopez", "Miller", "Novak")  # fmt: skip
FIRMS = ("Alpine", "Baltic", "Cedar", "Delta", "Evergreen", "Falcon", "Granite", "Harbour", "Meridian", "Northern",
         "Orion", "Silver")  # fmt: skip
KINDS = ("Airlines", "Bank", "Foods", "Motors", "Software", "and Sons")
PLACES = ("Accra", "Berlin", "Buenos Aires", "Cape Town", "Dublin", "Geneva", "Helsinki", "Hong Kong", "Istanbul",
          "Kyoto", "Lima", "Mexico City", "Nairobi", "New York", "Oslo", "Prague", "Quito", "San Francisco", "Tokyo",
          "Vienna", "Warsaw", "Zagreb")  # fmt: skip
DAYS = (*(f"{day} {month}" for day in (1, 3, 7, 12, 19, 24, 30) for month in ("January", "April", "July", "October")),
        "Monday", "Tuesday", "Friday", "next week", "last Sunday")  # fmt: skip
NAMES = {
    "PER": [f"{first} {last}" for first in FIRST for last in LAST],
    "LOC": list(PLACES),
    "ORG": [f"{firm} {kind}" for firm in FIRMS for kind in KINDS],
    "DATE": list(DAYS),
}
PATTERNS = (
    "PER flew from LOC to LOC on DATE .",
    "On DATE , PER will meet PER in LOC .",
    "ORG opens an office in LOC .",
    "PER works for ORG since DATE .",
    "The train to LOC leaves on DATE .",
    "ORG and ORG will merge on DATE , said PER .",
    "Please send the letter to PER , ORG , LOC .",
    "Nobody at ORG knew that PER had left LOC .",
    "PER , who was born in LOC , now leads ORG .",
    "We had lunch by the harbour of LOC and talked about ORG .",
    "Is PER still in LOC ?",
    "The weather was fine on DATE .",
    "Bread and tea were all that they had .",
)  # fmt: skip


def write_sentences(folder: Path) -> Sources:
    """Write sentences in columns; the names of the development data are others than those of the training data."""
    draw = random.Random(0)
    kept: dict[str, tuple[list[str], list[str]]] = {}
    for label, names in NAMES.items():
        mixed = draw.sample(names, len(names))
        held = max(2, len(mixed) // 5)
        kept[label] = (mixed[held:], mixed[:held])
    seen: set[str] = set()
    for part, (name, count) in enumerate((("train.conll", SENTENCES), ("dev.conll", SENTENCES // 10))):
        drawn = {_sentence(draw, {label: names[part] for label, names in kept.items()}): None for _ in range(count)}
        # each sentence once, and in one file
        write_whole(folder / name, "\n".join(sentence for sentence in drawn if sentence not in seen).encode())
        seen.update(drawn)
    return Sources((folder / "train.conll",), (folder / "dev.conll",))


def _sentence(draw: random.Random, names: dict[str, list[str]]) -> str:
    """Return the lines of a sentence."""
    lines: list[str] = []
    for word in draw.choice(PATTERNS).split():
        tokens = draw.choice(names[word]).split() if word in names else [word]
        labels = [f"B-{word}", *[f"I-{word}"] * (len(tokens) - 1)] if word in names else ["O"]
        lines += [f"{token} {label}\n" for token, label in zip(tokens, labels, strict=True)]
    return "".join(lines)


DEMONSTRATIONS = (
    Demonstration(
        name="travels",
        origin="made",
        about="sentences about travels, from 13 patterns; the names to judge by are others than those to learn from.",
        write=write_sentences,
        share=0.4,
    ),
)
