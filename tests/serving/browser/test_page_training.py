"""Training, watched: a run that goes on while the page looks."""

from __future__ import annotations

import re
import threading
from pathlib import Path

from pages import Page
from tiny_uses import learn_mail


def steps_read(page: Page) -> int:
    found = re.search(r"step (\d+)", page.text("training-left"))
    return int(found[1]) if found else 0


def points(page: Page) -> int:
    """Of the curve of the training loss."""
    return page.script(
        """const curve = document.querySelector('[data-testid="training-loss"] polyline.curve');
        return curve ? curve.getAttribute("points").split(" ").length : 0;"""
    )


def test_a_run_is_watched_as_it_goes(page: Page, uses: dict[str, Path], watched: Path) -> None:
    page.open("training")
    page.says("training-left", "step 20 ")
    page.until(lambda: points(page) == 20, lambda: f"{points(page)} points")
    first = page.text("training-figures")
    assert "Training loss" in first
    data = uses["my-mail"].parent / "data" / "my-mail"
    training = threading.Thread(target=learn_mail, args=(data, watched), kwargs={"steps": 120, "resume": True})
    training.start()
    try:
        # points appear while it goes on
        page.until(lambda: 20 < steps_read(page) <= 120, lambda: page.text("training-left"))
        page.until(lambda: steps_read(page) == 120, lambda: page.text("training-left"))
    finally:
        training.join()
    page.until(lambda: points(page) == 120, lambda: f"{points(page)} points")
    assert page.text("training-figures") != first
    page.says("training-state", "(?i)finished|done|ended")
    # what it wrote at the beginning and what it writes now
    assert page.text("training-newest") != ""
    assert "step 120" in page.text("training-samples")
    page.script("arguments[0].focus()", page.seen("training-loss"))
    page.press("\ue010")
    page.says("training-loss-reading", r"^120 ·")
