"""The page in Firefox: every tab at first sight, and the editing that the tests of Chromium look at more closely."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from pages import DESK, Page
from selenium import webdriver
from selenium.webdriver import Keys
from servers import Process
from test_page_looks import DONE
from test_page_words import expected, wait_for_ghost

from unrolled.tasks import Model

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
DRIVER = shutil.which("geckodriver")
TEXT = "Please let me know if"

pytestmark = pytest.mark.skipif(FIREFOX is None or DRIVER is None, reason="no firefox or no geckodriver here")


@pytest.fixture(scope="module")
def firefox() -> Iterator[webdriver.Firefox]:
    options = webdriver.FirefoxOptions()
    options.binary_location = str(FIREFOX)
    options.add_argument("-headless")
    driver = webdriver.Firefox(options, webdriver.FirefoxService(DRIVER))
    driver.set_window_size(*DESK)
    yield driver
    driver.quit()


@pytest.fixture
def page(firefox: webdriver.Firefox, served: Process) -> Iterator[Page]:
    """The page at the server with all models, with nothing remembered."""
    page = Page(firefox, served.address)
    page.open()
    page.script("sessionStorage.clear(); localStorage.clear()")
    yield page
    page.leave()


@pytest.mark.parametrize("view", DONE)
def test_every_tab_works_at_first_sight(page: Page, view: str) -> None:
    page.open(view)
    page.says(DONE[view], r"\S")
    assert page.notices() == []
    assert page.overflow() == []


def test_suggestions_are_accepted_and_undone(page: Page, library: dict[str, Model]) -> None:
    page.open("generate").write("generate-text", TEXT)
    wanted = expected(library["my-mail"], TEXT)
    wait_for_ghost(page, wanted)
    page.chord(Keys.SHIFT, Keys.HOME)
    wait_for_ghost(page, "")
    page.press(Keys.END)
    wait_for_ghost(page, wanted)
    page.press(Keys.TAB)
    assert page.value == TEXT + wanted
    page.chord(Keys.CONTROL, "z")
    assert page.value == TEXT
    wait_for_ghost(page, wanted)
    page.press(Keys.ARROW_RIGHT)
    assert page.value == TEXT + wanted
    page.chord(Keys.CONTROL, "z")
    wait_for_ghost(page, wanted)
    page.press(Keys.ESCAPE)
    wait_for_ghost(page, "")


def test_the_example_and_what_is_continued_can_be_undone(page: Page) -> None:
    page.open("generate").write("generate-text", TEXT)
    page.seen("generate-example").click()
    assert page.value != TEXT
    page.chord(Keys.CONTROL, "z")
    assert page.value == TEXT
    page.seen("generate-continue").click()
    page.until(lambda: len(page.value) > len(TEXT) + 20)
    page.says("generate-continue", "^Continue writing$")
    assert page.value.startswith(TEXT)
    page.seen("generate-undo").click()
    assert page.value == TEXT
