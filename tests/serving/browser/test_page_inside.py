"""Inside, for models of every use: the numbers of the library, walked through by keys, forwards and backwards."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from pages import Page
from selenium.webdriver import Keys

from unrolled.inspection import unfold_network
from unrolled.tasks import load


def number(text: str) -> float:
    return float(text.replace("−", "-").replace(" ", ""))


def test_a_text_is_walked_through_forwards_and_backwards(page: Page, uses: dict[str, Path]) -> None:
    text = "Please let me know"
    page.open("inside")
    page.choose("inside-model", "my-mail")
    page.write("inside-text", text)
    page.says("inside-said", f"^Step 1 of {len(text) - 1}")
    unfolded = unfold_network(load(uses["my-mail"]).probe(text))
    layer = unfolded.layers[0]
    norms = np.linalg.norm(layer.values["h"], axis=1)
    count = len(norms)
    frame = page.seen("inside-unfolded")
    page.script("arguments[0].focus()", frame)
    page.press(Keys.END)
    said = page.says("inside-said", rf"^Step {count} of {count}, .*‖h‖ = ([\d.]+); the output says “(.)”, (\d+) %")
    assert number(said[1]) == pytest.approx(float(norms[-1]), rel=0.02)
    assert said[2] == unfolded.likeliest[-1][0][0]
    page.press(Keys.ARROW_LEFT)
    page.says("inside-said", f"^Step {count - 1} of {count}")
    # and what comes back when it learns
    page.seen("inside-backwards").click()
    said = page.says("inside-said", r"‖∂L/∂h‖ = ([\d.e−-]+)\.$")
    assert number(said[1]) == pytest.approx(float(layer.error_norms[-2]), rel=0.02)
    assert page.seen("inside-backwards").get_attribute("aria-pressed") == "true"
    assert page.script("return document.querySelectorAll('[data-testid=inside-detail] .gate-row').length") >= 1
    assert " of " in page.text("inside-side")
    page.script("arguments[0].focus()", frame)
    page.press("f")
    page.says("inside-said", "holds ‖h‖")


def test_gates_errors_and_what_mattered(page: Page) -> None:
    page.open("inside")
    page.choose("inside-model", "as-read")
    page.write("inside-text", "the film was great")
    page.says("inside-said", "^Step 1 of 4")
    page.script("arguments[0].focus()", page.seen("inside-gates"))
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    page.says("inside-gates-reading", r"^unit \d+, step \d of|^unit \d+, step \d “\w+”: \S+ [\d.−]+")
    gates = [one.text for one in page.seen("inside-gate").find_elements("tag name", "option")]
    assert {"i", "f", "o"} <= set(gates), gates
    page.script("arguments[0].focus()", page.seen("inside-lags"))
    page.press(Keys.ARROW_RIGHT)
    page.until(lambda: page.text("inside-lags-reading") != "Point at the curves to read them.")
    assert page.text("inside-verdicts")
    page.until(lambda: "great" in page.text("inside-mattered"))


def test_it_plays_by_itself(page: Page) -> None:
    page.open("inside")
    page.choose("inside-model", "as-read")
    page.write("inside-text", "the film was great")
    page.says("inside-said", "^Step 1 of 4")
    page.seen("inside-play").click()
    page.says("inside-said", "^Step 4 of 4")
    page.says("inside-play", "^Play$")


GIVEN = {
    "de-en": "der rote Hund rennt.",
    "names": "Ann Lee lives in Rome .",
    "both-ways": "the music was awful",
    "boxes": Path("box.png"),
    "tones": Path("tones.wav"),
    "switches": Path("switches.csv"),
    "ways": Path("ways.webm"),
    "sales": Path("sales.csv"),
}


@pytest.mark.parametrize("name", GIVEN)
def test_models_of_every_use_are_laid_open(page: Page, files: dict[str, Path], name: str) -> None:
    page.open("inside")
    page.choose("inside-model", name)
    given = GIVEN[name]
    if isinstance(given, str):
        page.write("inside-text", given)
    else:
        page.drop(files[given.name])
    page.says("inside-said", r"^Step 1 of \d+")
    page.seen("inside-gates")
    page.seen("inside-lags")
    assert page.notices() == []
    assert re.search(r"\d × \d", page.text("inside-weights"))


def test_a_model_without_steps_says_why(page: Page, files: dict[str, Path]) -> None:
    page.tolerated.append("status of 422")
    page.open("inside")
    page.choose("inside-model", "digits")
    page.drop(files["seven.png"])
    # in the page's words: nobody types options of a command here
    page.says("inside-notice", "^This model sees an image as a whole\\.$")
    assert not page.all("inside-found")[0].is_displayed()
