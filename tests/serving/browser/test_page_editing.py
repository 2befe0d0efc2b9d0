"""Suggestions while somebody edits: what shows them, what takes them, and what they never do to the text."""

from __future__ import annotations

import time

import pytest
from pages import PHONE, Page
from selenium.webdriver import ActionChains, Keys
from test_page_words import expected, ghost, wait_for_ghost

from unrolled.tasks import Model

TEXT = "Please let me know if"


def begun(page: Page, library: dict[str, Model], text: str = TEXT) -> str:
    """Type a text that has a suggestion, and wait for it."""
    page.open("generate").write("generate-text", text)
    wanted = expected(library["my-mail"], text)
    assert wanted
    wait_for_ghost(page, wanted)
    return wanted


def test_there_is_no_ghost_while_text_is_selected(page: Page, library: dict[str, Model]) -> None:
    wanted = begun(page, library)
    ActionChains(page.driver).key_down(Keys.SHIFT).send_keys(Keys.HOME).key_up(Keys.SHIFT).perform()
    wait_for_ghost(page, "")
    assert page.all("generate-offer") == []
    # Tab leaves the field, as everywhere, and what was selected stays
    page.press(Keys.TAB)
    field = page.seen("generate-text")
    assert field.get_attribute("value") == TEXT
    field.click()
    page.press(Keys.END)
    wait_for_ghost(page, wanted)


def test_there_is_no_ghost_while_letters_are_composed(page: Page, library: dict[str, Model]) -> None:
    wanted = begun(page, library)
    page.driver.execute_cdp_cmd("Input.imeSetComposition", {"text": " n", "selectionStart": 2, "selectionEnd": 2})
    page.until(lambda: page.value == TEXT + " n")
    time.sleep(0.3)
    assert ghost(page) == ""
    page.driver.execute_cdp_cmd("Input.imeSetComposition", {"text": "", "selectionStart": 0, "selectionEnd": 0})
    page.driver.execute_cdp_cmd("Input.insertText", {"text": " "})
    wait_for_ghost(page, expected(library["my-mail"], TEXT + " ") or wanted)


@pytest.mark.parametrize("key", [Keys.TAB, Keys.ARROW_RIGHT])
def test_keys_accept_and_undo_takes_it_back(page: Page, library: dict[str, Model], key: str) -> None:
    wanted = begun(page, library)
    page.press(key)
    assert page.value == TEXT + wanted
    page.chord(Keys.CONTROL, "z")
    assert page.value == TEXT


def test_a_tap_or_a_swipe_accepts(page: Page, library: dict[str, Model]) -> None:
    wanted = begun(page, library)
    page.sized(PHONE)
    page.until(lambda: ghost(page) == wanted)
    page.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        box = page.script(
            """const {left, top, width, height} = document.querySelector(".ghost").getClientRects()[0];
            return [left + width / 2, top + height / 2];"""
        )
        touch(page, [box])
        page.until(lambda: page.value == TEXT + wanted)
        page.chord(Keys.CONTROL, "z")
        page.until(lambda: page.value == TEXT)
        wait_for_ghost(page, wanted)
        touch(page, [[60, box[1]], [100, box[1]], [160, box[1]]])
        page.until(lambda: page.value == TEXT + wanted)
    finally:
        page.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def touch(page: Page, places: list[list[float]]) -> None:
    """Set a finger down, move it along, and lift it."""
    kinds = ["touchStart", *["touchMove"] * (len(places) - 1)]
    for kind, (x, y) in zip(kinds, places, strict=True):
        page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_escape_lasts_until_the_next_word(page: Page, library: dict[str, Model]) -> None:
    mail, text = library["my-mail"], "Please let me kn"
    wanted = begun(page, library, text)
    assert wanted.startswith("ow")
    page.press(Keys.ESCAPE)
    page.press("o")
    page.until(lambda: page.all("generate-offer"))
    assert ghost(page) == ""
    page.press("w")
    time.sleep(0.3)
    assert ghost(page) == ""
    page.press(" ")
    wait_for_ghost(page, expected(mail, "Please let me know "))


def test_suggestions_go_when_the_caret_moves(page: Page, library: dict[str, Model]) -> None:
    wanted = begun(page, library)
    offers = page.texts("generate-offer")
    assert offers
    page.press(Keys.HOME)
    wait_for_ghost(page, "")
    # what is offered now is for the beginning of the text, where nothing stands yet
    page.until(lambda: page.texts("generate-offer") != offers)
    page.press(Keys.TAB)
    field = page.seen("generate-text")
    assert field.get_attribute("value") == TEXT
    field.click()
    page.press(Keys.END)
    wait_for_ghost(page, wanted)
    page.until(lambda: page.texts("generate-offer") == offers)


def test_the_example_and_what_is_continued_can_be_undone(page: Page, library: dict[str, Model]) -> None:
    begun(page, library)
    page.seen("generate-example").click()
    example = page.script("return document.activeElement.value")
    assert example != TEXT
    page.chord(Keys.CONTROL, "z")
    assert page.value == TEXT
    page.seen("generate-continue").click()
    page.until(lambda: len(page.value) > len(TEXT) + 20)
    page.says("generate-continue", "^Continue writing$")
    written = page.value
    assert written.startswith(TEXT)
    page.seen("generate-undo").click()
    assert page.value == TEXT
    # and undo undoes the undoing
    page.chord(Keys.CONTROL, "z")
    assert page.value == written


def test_a_suggestion_is_said_to_those_who_do_not_see_it(page: Page, library: dict[str, Model]) -> None:
    wanted = begun(page, library)
    spoken = page.all("generate-text-spoken")[0]
    assert (spoken.get_attribute("role"), spoken.get_attribute("aria-live")) in (("status", None), ("status", "polite"))
    page.says("generate-text-spoken", f"^Suggestion: {wanted.strip()}\\. Press Tab to accept\\.$")
    page.press(Keys.ESCAPE)
    page.says("generate-text-spoken", "^$")


def test_a_text_from_right_to_left(page: Page) -> None:
    page.open("generate").write("generate-text", "مرحبا بالعالم")
    sides = page.script(
        """const [layer, area] = [document.querySelector("#panel-generate .layer"), document.activeElement];
        const range = document.createRange();
        range.selectNodeContents(layer);
        const [text, box] = [range.getClientRects()[0], area.getBoundingClientRect()];
        return [getComputedStyle(area).direction, getComputedStyle(layer).direction, box.right - text.right < 30];"""
    )
    assert sides == ["rtl", "rtl", True]


def test_an_edit_in_the_middle_of_a_long_text_is_answered_soon(page: Page, library: dict[str, Model]) -> None:
    sentence = "Please let me know if you have any questions. "
    page.open("generate")
    page.paste("generate-text", sentence * 413)
    page.until(lambda: page.all("generate-offer"))
    field = page.seen("generate-text")
    assert len(field.get_attribute("value")) > 18_900
    middle = len(sentence) * 200 + len("Please let me know")
    page.script("arguments[0].setSelectionRange(arguments[1], arguments[1])", field, middle)
    page.until(lambda: page.all("generate-offer"))
    page.script(
        """const offers = document.querySelector('[data-testid="generate-offers"]');
        document.activeElement.addEventListener("input", () => (window.typed = performance.now()));
        new MutationObserver(() => offers.firstChild && (window.answered ??= performance.now() - window.typed))
          .observe(offers, {childList: true});
        window.answered = undefined;"""
    )
    page.press("x")
    page.until(lambda: page.script("return window.answered ?? null"))
    pushes = [message["push"]["rewrite"] for message in page.sent() if "push" in message]
    # by design: little is sent and read, and what is read begins at the same place as before
    assert len(pushes[-1]) <= 4_096
    assert pushes[-1] == pushes[-2] + "x"
    assert page.script("return window.answered") < 1_000
