"""How the page looks, every tab at work: accessible in light and dark, no wider than a phone, pictures to look at."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import DESK, PHONE, Page

from unrolled.tasks.core.folder.examples import read_examples

TEXTS = {
    "generate": "Please let me know if",
    "translate": "der rote Hund rennt.\nein Haus schläft.",
    "tag": "Ann Lee of Acme Corp lives in New York .",
    "classify": "the film was great and the music lovely , but quite boring",
}
FILES = {
    "caption": "box.png",
    "recognize": "seven.png",
    "transcribe": "tones.wav",
    "label": "ways.webm",
    "forecast": "sales.csv",
}
#: view → what is there when it has done its work
DONE = {
    "generate": "generate-text-ghost",
    "translate": "translate-token",
    "tag": "tag-chip",
    "classify": "classify-moved",
    "caption": "caption-token",
    "recognize": "recognize-shares",
    "transcribe": "transcribe-word",
    "label": "label-segment",
    "forecast": "forecast-chart",
    "inside": "inside-said",
    "training": "training-loss",
}


def at_work(page: Page, view: str, files: dict[str, Path]) -> None:
    page.open(view)
    if view == "label":
        page.choose("label-model", "ways")
    if view in TEXTS:
        page.write(f"{view}-text", TEXTS[view])
    elif view in FILES:
        page.drop(files[FILES[view]])
        page.says(f"{view}-file-name", FILES[view])
        page.until(lambda: "Reading" not in page.text(f"{view}-notice"))
    elif view == "inside":
        page.choose("inside-model", "my-mail")
        page.write("inside-text", "Please let me know")
        page.says("inside-said", "^Step 1 of 17")
    page.says(DONE[view], r"\S")
    if view == "forecast":
        page.until(lambda: not page.all("forecast-backtest")[0].get_attribute("disabled"))
        page.seen("forecast-backtest").click()
        page.says("forecast-score", "absolute error")
    elif view == "translate":
        page.point(page.all("translate-token")[0])
        page.says("translate-notice", "looked at")
    elif view == "caption":
        page.point(page.all("caption-token")[1])
        page.until(lambda: page.script("return document.querySelector('.heat').classList.contains('on')"))


@pytest.mark.parametrize("view", DONE)
def test_a_tab_at_work(page: Page, files: dict[str, Path], screenshots: Path, view: str) -> None:
    at_work(page, view, files)
    for theme in ("light", "dark"):
        page.themed(theme)
        page.shoot(screenshots / f"{view}-{theme}.png")
        assert page.faint() == [], theme
    page.sized(PHONE)
    page.until(lambda: page.script("return innerWidth") == PHONE[0])
    assert page.overflow() == []
    page.until(lambda: page.inside("tablist", f"tab-{view}"))
    page.shoot(screenshots / f"{view}-phone.png")
    # last, since axe scrolls what it looks at
    page.sized(DESK)
    for theme in ("light", "dark"):
        page.themed(theme)
        assert page.accessibility() == [], theme


@pytest.mark.parametrize("view", [view for view in DONE if view != "training"])
def test_an_example_and_its_result_are_there_at_first_sight(page: Page, uses: dict[str, Path], view: str) -> None:
    page.open(view)
    page.says(DONE[view], r"\S")
    assert page.notices() == []
    kept = {"generate": "my-mail", "translate": "de-en", "tag": "names", "classify": "as-read"}.get(view)
    if kept is not None:
        assert page.seen(f"{view}-text").get_attribute("value") == read_examples(uses[kept])[0]
    if view == "inside":
        page.says("inside-verdict", r"\.$")
    if view == "generate":
        assert page.text("generate-about") == "Data made on the spot: what friends write."


def test_a_theme_that_is_chosen_stays(page: Page) -> None:
    colour = "return getComputedStyle(document.body).backgroundColor"
    page.open("generate")
    light = page.script(colour)
    button = page.seen("theme")
    for name in ("light", "dark"):
        button.click()
        page.says("theme", f"^Theme: {name}$")
    dark = page.script(colour)
    assert dark != light
    page.driver.refresh()
    page.seen("panel-generate")
    assert page.script(colour) == dark
    page.seen("theme").click()
    page.says("theme", "^Theme: system$")
    assert page.script(colour) == light


def test_what_is_painted_follows_the_theme(page: Page, files: dict[str, Path]) -> None:
    at_work(page, "transcribe", files)
    strongest = """const wave = document.querySelector('[data-testid="transcribe-wave"]');
        const {data} = wave.getContext("2d").getImageData(0, 0, wave.width, wave.height);
        const at = data.findIndex((v, n) => n % 4 === 3 && v === 255) - 3;
        const [r, g, b] = data.slice(at, at + 3);
        return [`rgb(${r}, ${g}, ${b})`, getComputedStyle(wave).color];"""
    painted = set()
    for theme in ("light", "dark"):
        page.themed(theme)
        page.until(lambda: len(set(page.script(strongest))) == 1, lambda: str(page.script(strongest)))
        painted.add(page.script(strongest)[0])
    assert len(painted) == 2
