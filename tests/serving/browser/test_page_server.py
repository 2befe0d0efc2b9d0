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

TABS = ["Write", "Translate", "Entities", "Feeling", "Caption", "Recognize", "Listen", "Frames", "Forecast", "Inside",
        "Training"]  # fmt: skip
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
    assert shown(page) == ["write"]
    page.seen("tab-write").click()
    page.press(Keys.ARROW_RIGHT)
    assert shown(page) == ["translate"]
    assert page.driver.title == "Translate · Unrolled"
    page.press(Keys.END)
    assert shown(page) == ["training"]
    page.press(Keys.ARROW_RIGHT)
    assert shown(page) == ["write"]
    assert page.script("return document.querySelectorAll('[role=tab][tabindex=\"0\"]').length") == 1
    assert page.driver.current_url.endswith("#write")
    # the page comes back to the tab it was at
    page.seen("tab-feeling").click()
    page.driver.refresh()
    page.seen("panel-feeling")


def test_a_shadow_says_that_there_are_more_tabs(page: Page) -> None:
    page.sized(PHONE)
    page.open("write")
    assert shadows(page) == (False, True)
    page.seen("tab-write").send_keys(Keys.END)
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
        assert tabs(page) == ["Entities", "Forecast", "Inside"]


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
        page.says("token-dialog", "That one was not right")
        page.seen("token").send_keys(TOKEN, Keys.ENTER)
        page.seen("panel-write")
        # streams carry it too, and so does the page when it is loaded again
        page.seen("write-text").send_keys("Please let me know if")
        page.seen("write-text-ghost")
        assert page.script("return location.href").endswith("/#write")
        page.driver.refresh()
        page.seen("panel-write")
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
        page.open("feeling", address=first.address).seen("feeling-text").send_keys("the film was great")
        page.says("feeling-label", "^pos$")
        page.seen("tab-write").click()
        page.seen("write-text").send_keys("Please let me")
        page.until(lambda: page.all("write-offer"))
    page.says("connection", "Connecting again")
    # typed while nobody answers
    page.seen("write-text").send_keys(" know if")
    with process(*models, port=port):
        best = library["my-mail"].stream().push("Please let me know if").suggestion()
        assert best
        page.until(lambda: page.all("write-text-ghost"))
        assert page.text("write-text-ghost") == best.text.strip()
        page.until(lambda: page.text("connection") == "")
        page.seen("tab-feeling").click()
        page.seen("feeling-text").send_keys(" and the end awful , dull , boring")
        page.says("feeling-label", "^neg$")
        assert page.notices() == []
        page.leave()


def test_a_message_that_is_too_large_is_said_and_the_page_goes_on(
    page: Page, uses: dict[str, Path], library: dict[str, Model]
) -> None:
    page.tolerated.append("WebSocket connection to")
    with visited(page, {"my-mail": uses["my-mail"]}, limits=Limits(max_message=10_000, grace=2)):
        field = page.seen("write-text")
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
        page.script(script, field, "word " * 3_000)
        page.says("write-notice", "too large for one message")
        # half a surrogate pair, as editors cut one, is no reason to stop either
        page.script("arguments[0].value = '\\ud83d'; arguments[0].dispatchEvent(new Event('input'))", field)
        field.clear()
        field.send_keys("Please let me know if")
        best = library["my-mail"].stream().push("Please let me know if").suggestion()
        assert best
        page.until(lambda: page.all("write-text-ghost"))
        assert page.text("write-text-ghost") == best.text.strip()
        page.says("write-notice", "^$")


@pytest.mark.parametrize("view", ["write", "translate", "entities", "feeling"])
def test_a_text_that_is_too_long_is_said_quietly(page: Page, view: str) -> None:
    page.tolerated += ["status of 413", "status of 422"]
    page.open(view)
    field = page.seen(f"{view}-text")
    # as pasted: typing so much would take its time
    page.script("arguments[0].value = 'word '.repeat(5000); arguments[0].dispatchEvent(new Event('input'))", field)
    page.says(f"{view}-notice", r"20,?000|characters")
    field.clear()
    # and what is short enough again is answered
    field.send_keys("Bob")
    page.says(f"{view}-notice", "^$")
