"""The page and its server: which tabs there are, tokens, restarts, and what can't be done."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pages import DESK, PHONE, Page
from PIL import Image
from selenium.webdriver import Keys
from selenium.webdriver.common.by import By
from servers import Running, process, running

from unrolled.serving import Limits
from unrolled.tasks import Model

TABS = ["Generate", "Classify", "Tag", "Translate", "Recognize", "Caption", "Label", "Transcribe", "Forecast",
        "Inside", "Training"]  # fmt: skip
TOKEN = "a-token-of-twenty-four-letters"


@contextmanager
def visited(page: Page, models: dict[str, Path], **options: Any) -> Iterator[None]:
    """The page at a server of its own, which it leaves before that stops: its streams would go on calling."""
    with running(models, **options) as server:
        page.open(address=server.address)
        try:
            yield
        finally:
            page.leave()


def tabs(page: Page) -> list[str]:
    page.until(lambda: page.driver.find_elements(By.CSS_SELECTOR, "[role=tab]"))
    return [one.text for one in page.driver.find_elements(By.CSS_SELECTOR, "[role=tab]")]


def shown(page: Page) -> list[str]:
    """The panels that are to be seen."""
    panels = page.driver.find_elements(By.CSS_SELECTOR, "[role=tabpanel]")
    return [one.get_attribute("id").removeprefix("panel-") for one in panels if one.is_displayed()]


def test_tabs_are_gone_through_by_keys(page: Page) -> None:
    page.open()
    assert tabs(page) == TABS
    assert shown(page) == ["generate"]
    page.seen("tab-generate").click()
    page.press(Keys.ARROW_RIGHT)
    assert shown(page) == ["classify"]
    assert page.driver.title == "Classify · Unrolled"
    page.press(Keys.END)
    assert shown(page) == ["training"]
    page.press(Keys.ARROW_RIGHT)
    assert shown(page) == ["generate"]
    assert page.script("return document.querySelectorAll('[role=tab][tabindex=\"0\"]').length") == 1
    assert page.driver.current_url.endswith("#generate")
    # the page comes back to the tab it was at
    page.seen("tab-classify").click()
    page.driver.refresh()
    page.seen("panel-classify")


def test_a_shadow_says_that_there_are_more_tabs(page: Page) -> None:
    page.sized(PHONE)
    page.open("generate")
    assert shadows(page) == (False, True)
    page.seen("tab-generate").send_keys(Keys.END)
    page.until(lambda: shadows(page) == (True, False), lambda: str(shadows(page)))
    page.sized(DESK)
    page.until(lambda: shadows(page) == (False, False), lambda: str(shadows(page)))


def shadows(page: Page) -> tuple[bool, bool]:
    """Whether the left and the right end of the row of tabs are darker than the paper below their words."""
    place = page.script(
        """const {left, right, bottom} = document.querySelector("[role=tablist]").getBoundingClientRect();
        return [left, right, bottom, document.documentElement.clientWidth];"""
    )
    left, right, bottom, wide = map(int, place)
    picture = Image.open(io.BytesIO(page.driver.get_screenshot_as_png())).convert("L")
    paper = picture.getpixel((wide // 2, 2))
    first, last = (picture.getpixel((x, bottom - 8)) != paper for x in (max(0, left), min(wide, right) - 1))
    return first, last


def test_only_tabs_of_loaded_models_show(page: Page, uses: dict[str, Path]) -> None:
    with visited(page, {"names": uses["names"], "sales": uses["sales"]}):
        assert tabs(page) == ["Tag", "Forecast", "Inside"]


def test_without_a_model_the_command_is_said(page: Page, empty: Running) -> None:
    page.open(address=empty.address)
    said = page.seen("empty").text
    assert "No model is loaded" in said
    assert "unrolled train generate mail.txt --out my-mail" in said
    assert "unrolled serve my-mail" in said
    assert page.accessibility() == []


def test_a_token_is_asked_for_once(page: Page, uses: dict[str, Path]) -> None:
    page.tolerated.append("status of 401")
    with visited(page, {"my-mail": uses["my-mail"]}, token=TOKEN):
        page.seen("token-dialog")
        assert page.accessibility() == []
        page.press("not-this-one", Keys.ENTER)
        page.says("token-dialog", "That token is wrong")
        page.seen("token").send_keys(TOKEN, Keys.ENTER)
        page.seen("panel-generate")
        # streams carry it too, and so does the page when it is loaded again
        page.seen("generate-text").send_keys("Please let me know if")
        page.seen("generate-text-ghost")
        assert page.script("return location.href").endswith("/#generate")
        page.driver.refresh()
        page.seen("panel-generate")
        assert page.all("token-dialog") == []
        # where links would only be answered with 401
        assert not page.driver.find_element(By.CSS_SELECTOR, ".foot a").is_displayed()


def test_a_token_that_is_not_given_leaves_a_sentence(page: Page, uses: dict[str, Path]) -> None:
    page.tolerated.append("status of 401")
    with visited(page, {"my-mail": uses["my-mail"]}, token=TOKEN):
        page.seen("token-dialog")
        page.press(Keys.ESCAPE)
        page.says("page-problem", "(?i)token")


def test_a_stream_comes_back_after_a_restart(page: Page, uses: dict[str, Path], library: dict[str, Model]) -> None:
    page.tolerated += ["ERR_CONNECTION_REFUSED", "WebSocket connection to"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    models = [f"{name}={uses[name]}" for name in ("my-mail", "as-read")]
    with process(*models, port=port) as first:
        page.open("classify", address=first.address).write("classify-text", "the film was great")
        page.says("classify-label", "^positive$")
        page.seen("tab-generate").click()
        page.write("generate-text", "Please let me")
        page.until(lambda: page.all("generate-offer"))
    page.says("connection", "Connecting again")
    # typed while nobody answers
    page.seen("generate-text").send_keys(" know if")
    with process(*models, port=port):
        best = library["my-mail"].stream().push("Please let me know if").suggestion()
        assert best
        page.until(lambda: page.all("generate-text-ghost"))
        assert page.text("generate-text-ghost") == best.text.strip()
        page.until(lambda: page.text("connection") == "")
        page.seen("tab-classify").click()
        page.seen("classify-text").send_keys(" and the end awful , dull , boring")
        page.says("classify-label", "^negative$")
        assert page.notices() == []
        page.leave()


def test_a_message_that_is_too_large_is_said_and_the_page_goes_on(page: Page, uses: dict[str, Path]) -> None:
    page.tolerated.append("WebSocket connection to")
    with visited(page, {"names": uses["names"]}, limits=Limits(max_message=10_000, grace=2)):
        field = page.write("tag-text", "Ann Lee lives in Rome .")
        page.until(lambda: page.all("tag-chip"))
        page.paste("tag-text", "word " * 3_000)
        page.says("tag-notice", "too large for one message")
        # what was said of another text is gone
        assert page.all("tag-chip") == []
        # half a surrogate pair, as editors cut one, is no reason to stop either
        page.script("document.execCommand('selectAll'); document.execCommand('insertText', false, '\\ud83d')")
        page.write("tag-text", "Ann Lee lives in Rome .")
        page.until(lambda: page.all("tag-chip"))
        page.says("tag-notice", "^$")
        assert field.get_attribute("value") == "Ann Lee lives in Rome ."


@pytest.mark.parametrize("view", ["tag", "classify"])
def test_of_a_text_beyond_the_bound_the_end_is_read(page: Page, library: dict[str, Model], view: str) -> None:
    page.open(view)
    if view == "classify":
        page.choose("classify-model", "as-read")
    # as pasted: typing so much would take its time
    text = "word " * 4_100 + "\nAnn Lee saw that great , lovely , superb film"
    page.paste(f"{view}-text", text)
    page.says(f"{view}-notice", r"^This text is longer than 20,000 characters; only its end is read\.$")
    if view == "tag":
        page.says("tag-found", "Ann Lee")
    else:
        [wanted] = library["as-read"].predict([text[-20_000:].partition(" ")[2]])
        page.says("classify-label", {"pos": "^positive$", "neg": "^negative$"}[wanted.label])
        page.until(lambda: f"{100 * wanted.probability:.0f} %" in page.text("panel-classify"))
    # marks stand where they belong, behind what is not read
    marks = page.script(f"return [...document.querySelectorAll('#panel-{view} .layer mark')].map((m) => m.textContent)")
    assert "Ann Lee" in marks if view == "tag" else marks[-1] == "film"
    # and a short one is read whole
    page.write(f"{view}-text", "Bob saw a great film")
    page.says(f"{view}-notice", "^$")


def test_a_sentence_too_long_to_translate_is_said_in_words_of_the_page(page: Page) -> None:
    page.tolerated += ["status of 413", "status of 422"]
    page.open("translate")
    page.says("translate-result", r"\w")
    page.paste("translate-text", "word " * 300)
    page.says("translate-notice", r"^1,49\d characters, and at most 1,000 are read in one\.$")
    assert page.text("translate-result") == page.text("translate-best") == ""
    page.write("translate-text", "der rote Hund rennt.")
    page.until(lambda: page.seen("translate-result").text == "runs the red dog!")
    page.says("translate-notice", "^$")


def test_tabs_are_in_the_history_of_the_browser(page: Page) -> None:
    page.open("generate")
    for view in ("tag", "forecast"):
        page.seen(f"tab-{view}").click()
        assert page.driver.current_url.endswith(f"#{view}")
    page.driver.back()
    page.until(lambda: shown(page) == ["tag"])
    assert page.seen("tab-tag").get_attribute("aria-selected") == "true"
    assert page.driver.title == "Tag · Unrolled"
    page.driver.back()
    page.until(lambda: shown(page) == ["generate"])
    page.driver.forward()
    page.until(lambda: shown(page) == ["tag"])


@pytest.mark.parametrize(
    ("view", "file", "said"),
    [
        # what the server calls table.csv has the name of the person's file, and no option of a command is advised
        ("forecast", "no-numbers.csv", r"^no-numbers\.csv, line 1: no column of numbers\.$"),
        ("recognize", "no-numbers.csv", r"(?i)^not an image.*\.$|no-numbers|format"),
        ("transcribe", "no-numbers.csv", r"(?i)^not a WAV, FLAC or OGG file\.$"),
    ],
)
def test_an_error_clears_the_old_result_and_speaks_of_the_page(
    page: Page, tmp_path: Path, view: str, file: str, said: str
) -> None:
    page.tolerated += ["status of 422", "status of 413"]
    (tmp_path / file).write_text("when,how much\nMonday,few\nTuesday,many\n")
    result = {"forecast": "forecast-chart", "recognize": "recognize-shares", "transcribe": "transcribe-result"}[view]
    page.open(view)
    shown_now = "return document.querySelector(`[data-testid=${arguments[0]}]`)"
    drawn = f"{shown_now}.querySelectorAll('polyline, li, .word').length"
    page.until(lambda: page.script(drawn, result))
    page.all(f"{view}-file")[0].send_keys(str(tmp_path / file))
    page.says(f"{view}-notice", said)
    assert "--" not in page.text(f"{view}-notice")
    assert "table.csv" not in page.text(f"{view}-notice")
    assert page.script(drawn, result) == 0
