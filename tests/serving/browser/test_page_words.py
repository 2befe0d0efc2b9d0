"""Generate, Translate, Tag and Classify at work, by keyboard and mouse, beside what the library says."""

from __future__ import annotations

import math
import re

import pytest
from pages import Page
from selenium.webdriver import Keys

from unrolled.tasks import Model

GHOST = "generate-text-ghost"
#: what the page calls the labels of the tiny tagger
NAMES = {"PER": "person", "LOC": "location", "ORG": "organisation"}


def ghost(page: Page) -> str:
    """What stands in grey ahead of the cursor; empty where nothing does."""
    return page.script(f"return document.querySelector('[data-testid={GHOST}]')?.textContent ?? ''")


def wait_for_ghost(page: Page, wanted: str) -> None:
    page.until(lambda: ghost(page) == wanted, lambda: f"{ghost(page)!r} stands there, not {wanted!r}")


def expected(mail: Model, text: str, threshold: float | None = None) -> str:
    best = mail.stream().push(text).suggestion(threshold)
    return best.text if best else ""


def test_generate_shows_what_the_library_suggests_and_tab_takes_it(page: Page, library: dict[str, Model]) -> None:
    mail = library["my-mail"]
    field = page.open("generate").write("generate-text", "")
    assert page.text("generate-hint") == "Start typing. Suggestions appear in grey; press Tab to accept."
    text = ""
    for word in ("Plea", "se let me", " know if"):
        field.send_keys(word)
        text += word
        wanted = expected(mail, text)
        wait_for_ghost(page, wanted)
    assert wanted
    assert page.says("generate-saved", r"^0 of 21 keystrokes saved")
    page.press(Keys.TAB)
    assert page.value == text + wanted
    assert page.script("return document.activeElement.id") == "generate-text"
    saved = len(wanted) - 1
    page.says(
        "generate-saved", rf"^{saved} of {21 + len(wanted)} keystrokes saved \({100 * saved / (21 + len(wanted)):.0f}"
    )
    # what was accepted was put in as if typed: undo takes it back
    page.chord(Keys.CONTROL, "z")
    assert page.value == text


def test_generate_takes_a_word_and_escape_hides(page: Page, library: dict[str, Model]) -> None:
    field = page.open("generate").write("generate-text", "Please let me know")
    wanted = expected(library["my-mail"], "Please let me know")
    assert len(wanted.split()) > 1, wanted
    wait_for_ghost(page, wanted)
    word = re.match(r"\s*\S+", wanted)
    assert word
    page.chord(Keys.ALT, Keys.ARROW_RIGHT)
    assert page.value == "Please let me know" + word[0]
    wait_for_ghost(page, expected(library["my-mail"], page.value))
    page.press(Keys.ESCAPE)
    assert ghost(page) == ""
    # and then Tab goes on, as everywhere
    page.press(Keys.TAB)
    assert page.script("return document.activeElement.id") != "generate-text"
    assert field.get_attribute("value") == "Please let me know" + word[0]


def test_generate_offers_words_that_a_mouse_can_take(page: Page, library: dict[str, Model]) -> None:
    page.open("generate").write("generate-text", "Please let me know if you ha")
    found = library["my-mail"].stream().push("Please let me know if you ha").suggest(3)
    best = max(found, key=lambda one: one.score)
    page.until(lambda: [one.text for one in page.all("generate-offer")][:1] == ["ha" + best.text.rstrip()])
    assert len(page.all("generate-offer")) == min(3, len(found))
    page.all("generate-offer")[0].click()
    assert page.value == "Please let me know if you ha" + best.text


def test_generate_shows_less_when_it_has_to_be_surer(page: Page, library: dict[str, Model]) -> None:
    mail, text = library["my-mail"], "I will see you tomorrow in the "
    page.open("generate").write("generate-text", text)
    page.until(lambda: page.all("generate-offer"))
    assert ghost(page) == expected(mail, text) == ""
    shown = {}
    for share in (0.05, 0.9):
        page.slide("generate-confidence", share)
        page.says("panel-generate", f"Suggest when at least{100 * share:.0f} % sure")
        shown[share] = expected(mail, text, math.log(share))
        page.seen("generate-text").click()
        page.press("x", Keys.BACKSPACE)
        wait_for_ghost(page, shown[share])
    assert 0 < len(shown[0.9]) < len(shown[0.05])
    page.seen("generate-reset").click()
    assert not page.all("generate-reset")[0].is_displayed()
    page.seen("generate-text").click()
    page.press("x", Keys.BACKSPACE)
    wait_for_ghost(page, "")


def test_generate_writes_on_and_takes_it_back(page: Page) -> None:
    field = page.open("generate").write("generate-text", "Thank you")
    page.slide("generate-temperature", 0)
    # every length that the text has, also between two frames: it comes piece by piece
    page.script(
        """window.lengths = new Set();
        const field = document.getElementById("generate-text");
        field.addEventListener("input", () => lengths.add(field.value.length));"""
    )
    page.seen("generate-continue").click()
    page.until(lambda: field.get_attribute("value").startswith("Thank you"))
    page.says("generate-continue", "^Continue writing$")
    assert len(page.script("return [...lengths]")) > 3
    assert page.notices() == []
    page.seen("generate-undo").click()
    assert page.value == "Thank you"


def test_translate_as_it_is_typed_and_where_it_looked(page: Page, library: dict[str, Model]) -> None:
    source = "der rote Hund rennt."
    page.open("translate").write("translate-text", source)
    [wanted] = library["de-en"].predict([source], n_best=5)
    page.until(lambda: page.seen("translate-result").text == wanted.text, lambda: page.text("translate-result"))
    assert wanted.text == "runs the red dog!"
    shares = page.seen("translate-best").text
    assert all(one.text in shares for one in wanted.candidates)
    # nats are for those who open the details
    assert "nats" not in page.script("return document.querySelector('#panel-translate .use').textContent")
    assert f"{wanted.candidates[0].log_prob:.1f} nats".replace("-", "−") in page.text("translate-facts")
    token = page.all("translate-token")[0]
    page.point(token)
    said = page.says("translate-notice", "looked at (.+)$")[1]
    weights = dict(zip([one.strip() for one in wanted.source_tokens], wanted.attention[0], strict=True))
    first = max(weights, key=lambda one: float(weights[one]))
    assert said.startswith(f"{first or 'space'} ")
    assert page.script("return document.querySelectorAll('.layer mark').length") >= 1
    page.away()
    page.until(lambda: page.text("translate-notice") == "")
    # the same by the keyboard: one stop for all words, arrows between them
    page.script("arguments[0].focus()", token)
    page.says("translate-notice", "looked at")
    page.press(Keys.ARROW_RIGHT)
    second = page.script("return document.activeElement.textContent")
    assert second == wanted.target_tokens[1].strip()
    page.says("translate-notice", f"^“{re.escape(second)}” looked at")


def test_tags_are_marked_as_the_library_finds_them(page: Page, library: dict[str, Model]) -> None:
    text = "Ann Lee lives in New York ."
    page.open("tag").write("tag-text", text)
    [wanted] = library["names"].predict([text])
    chips = [(one.text, NAMES[one.label]) for one in wanted.entities]
    assert ("New York", "location") in chips
    page.until(lambda: len(page.all("tag-chip")) == len(chips), lambda: str(page.texts("tag-chip")))
    page.until(
        lambda: all(
            told.startswith(text + label) for told, (text, label) in zip(page.texts("tag-chip"), chips, strict=True)
        ),
        lambda: str(page.texts("tag-chip")),
    )
    marks = page.script(
        "return [...document.querySelectorAll('#panel-tag .layer mark')].map((m) => [m.textContent, m.dataset.tag])"
    )
    # in the mark the label in full, where the word has room for it
    assert marks == [["Ann Lee", "person"], ["New York", "location"]]
    legend = page.script(
        "return [...document.querySelectorAll('[data-testid=tag-legend] li')].map((l) => l.textContent)"
    )
    # all that there may be, also those that are not in this text
    assert legend == [NAMES[label] for label in library["names"].output.types]
    assert set(legend) > {name for _, name in chips}
    # the cursor in a name says how sure the model is
    page.all("tag-chip")[-1].click()
    page.says("tag-notice", rf"^{chips[-1][1].capitalize()}: “{chips[-1][0]}”, [\d.]+ % sure\.$")
    assert page.script("return String(getSelection())") == chips[-1][0]


@pytest.mark.parametrize("model", ["as-read", "both-ways"])
def test_classify_is_told_word_by_word(page: Page, library: dict[str, Model], model: str) -> None:
    text = "the film was great and the music lovely"
    page.open("classify")
    page.choose("classify-model", model)
    page.write("classify-text", text)
    [wanted] = library[model].predict([text], words=True)
    assert wanted.label == "pos"
    page.says("classify-label", "^positive$")
    page.until(lambda: f"{100 * wanted.probability:.0f} %" in page.text("panel-classify"))
    page.until(
        lambda: (
            page.script("return document.querySelectorAll('#panel-classify .layer mark').length") == len(text.split())
        )
    )
    # the curve is read by arrow keys
    page.script("arguments[0].focus()", page.seen("classify-curve"))
    page.press(Keys.END)
    told = rf"^after “lovely”: P\(positive\) {100 * wanted.probability:.0f} %, P\(negative\)"
    page.says("classify-curve-reading", told)
    # and what moved it
    page.says("classify-moved", r"great")
    said = page.says("classify-moved-reading", r"Strongest influences on positive: “(\S+)” for")[1]
    assert said in ("great", "lovely")


def test_classify_turns_as_the_text_goes_on(page: Page) -> None:
    page.open("classify")
    page.choose("classify-model", "as-read")
    field = page.write("classify-text", "the story was superb")
    page.says("classify-label", "^positive$")
    field.send_keys(" and dull , awful , boring")
    page.says("classify-label", "^negative$")
    # what was said of one text does not stay for none
    page.seen("classify-clear").click()
    page.says("classify-label", "^–$")
    assert page.script("return document.querySelectorAll('#panel-classify .layer mark').length") == 0
    field.send_keys("lovely")
    page.says("classify-label", "^positive$")
