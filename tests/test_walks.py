"""The walks of `docs/architecture.md`, taken: the functions named there are entered first in that order."""

from __future__ import annotations

import random
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

import unrolled
from unrolled.cli.app import main
from unrolled.tasks import train

ROOT = Path(__file__).parents[1]
SOURCE = Path(unrolled.__file__).parent
Stop = tuple[str, str]


def walk(name: str) -> list[Stop]:
    """Return the stops of a walk, (file, function), as the page has them."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    part = page.split(f"<!-- walk: {name} -->")[1].split("<!-- /walk -->")[0]
    return re.findall(r"(?m)^\d+\. `([^`]+)` `([^`]+)`: ", part)


@contextmanager
def entered() -> Iterator[list[Stop]]:
    """Collect the functions of the package that are entered, in any thread."""
    order: list[Stop] = []
    inside = str(SOURCE) + "/"

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(inside):
            order.append((frame.f_code.co_filename.removeprefix(inside), frame.f_code.co_name))

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield order
    finally:
        sys.setprofile(before)
        threading.setprofile(None)


def check(stops: list[Stop], order: list[Stop]) -> None:
    assert 2 < len(stops) < 10
    assert len(set(stops)) == len(stops), "a stop is visited twice"
    assert [stop for stop in stops if stop not in order] == [], "never entered"
    assert sorted(stops, key=order.index) == stops


def test_from_a_table_of_reviews_to_the_weights(tmp_path: Path) -> None:
    draw, rows = random.Random(0), ["text\tlabel"]
    for _ in range(60):
        word, label = draw.choice([("great", "good"), ("poor", "bad")])
        rows.append(f"the {draw.choice(('film', 'play', 'book'))} was {word} and long\t{label}")
    (tmp_path / "reviews.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    with entered() as order:
        main(["train", "classify", str(tmp_path / "reviews.tsv"), "--out", str(tmp_path / "m"), "--steps", "2"])
    check(walk("train"), order)


def test_from_a_letter_typed_to_the_suggestion(tmp_path: Path) -> None:
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    from starlette.testclient import TestClient

    from unrolled.serving import create_app

    (tmp_path / "text.txt").write_text("the cat sat on the mat. " * 60, "utf-8")
    small = {"tokens": "char", "hidden_size": 16, "num_layers": 1, "embedding_size": 8, "batch_size": 4, "window": 8}
    train("generate", tmp_path / "text.txt", tmp_path / "mail", options=small, steps=4)
    with (
        entered() as order,
        TestClient(create_app([f"mail={tmp_path / 'mail'}"]), base_url="http://127.0.0.1") as client,
        client.websocket_connect("/v1/models/mail/stream", headers={"host": "127.0.0.1"}) as socket,
    ):
        order.clear()
        socket.send_json({"id": 1, "push": {"rewrite": "the c"}})
        assert socket.receive_json()["result"]["length"] == 5
    check(walk("type"), order)
