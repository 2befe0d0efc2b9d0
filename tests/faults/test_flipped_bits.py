"""One flipped bit in any file of a model is noticed when the file is read."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.models import replay

import unrolled
from unrolled.errors import ModelError
from unrolled.storage import MANIFEST

from .conftest import NAMES, STORED, Saved

FLIPS = 6


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_bit_is_noticed(saved: Saved, name: str) -> None:
    folder = saved(name)
    draw = random.Random(name)
    question = json.loads((STORED / name / "expected.json").read_text())
    listed = json.loads((folder / MANIFEST).read_text())["files"]
    assert {"config.json", "model.safetensors"} <= listed.keys()
    for file in sorted(listed.keys() - {"card.md"}):
        whole = (folder / file).read_bytes()
        assert listed[file]["bytes"] == len(whole)
        places = draw.sample(range(8 * len(whole)), FLIPS)
        for place in places:
            damaged = bytearray(whole)
            damaged[place // 8] ^= 1 << place % 8
            (folder / file).write_bytes(damaged)
            with pytest.raises(ModelError, match=f"{file}: "):
                used(folder, question, STORED / name / "data")
        (folder / file).write_bytes(whole)
    unrolled.load(folder)


def used(folder: Path, question: Any, data: Path) -> None:
    """Load a model, and evaluate it where its baseline is what may be damaged."""
    model = unrolled.load(folder)
    replay.evaluate(model, question["evaluation"], data)


def test_a_flipped_bit_of_the_digests_changes_no_answer(saved: Saved) -> None:
    folder = saved("classify")
    whole, draw, refused = (folder / MANIFEST).read_bytes(), random.Random(1), 0
    before = unrolled.load(folder).fingerprint
    for place in draw.sample(range(8 * len(whole)), 60):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        (folder / MANIFEST).write_bytes(damaged)
        try:
            assert unrolled.load(folder).fingerprint == before
        except ModelError:
            refused += 1
    assert refused > 30


def test_a_file_changed_on_purpose_is_read_when_the_digests_are_gone(saved: Saved) -> None:
    folder = saved("classify")
    config = json.loads((folder / "config.json").read_text())
    config["fitted"]["temperature"] = 2.5
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=f"or delete {MANIFEST} if it was changed on purpose"):
        unrolled.load(folder)
    (folder / MANIFEST).unlink()
    model = unrolled.load(folder)
    assert model.fitted["temperature"] == 2.5
    model.save(folder)
    assert (folder / MANIFEST).exists()
    assert unrolled.load(folder).fitted["temperature"] == 2.5
