"""Models exported as pages, opened from the disk: typed into, accepted from, filled in, with no server."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from axe_selenium_python import Axe
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from unrolled.export.models import export
from unrolled.tasks import load

pytestmark = pytest.mark.skipif(find_spec("ziglang") is None, reason="the package ziglang is not installed")
STORED = Path(__file__).parents[2] / "models" / "v0.1"


def opened(browser: Chrome, name: str, folder: Path) -> WebDriverWait:
    (page,) = export(load(STORED / name / "model"), "html", folder / name)
    browser.get(page.as_uri())
    waiting = WebDriverWait(browser, 60)
    waiting.until(lambda b: b.find_element(By.TAG_NAME, "body").get_attribute("data-ready") == "true")
    axe = Axe(browser)
    axe.inject()
    assert axe.run()["violations"] == []
    return waiting


def answers(browser: Chrome) -> list[str]:
    script = "return [...document.querySelectorAll('#answers > li')].map((item) => item.textContent)"
    texts: list[str] = browser.execute_script(script)
    return texts


def complaints(browser: Chrome) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser")]


def test_text_is_completed_as_it_is_typed(browser: Chrome, tmp_path: Path) -> None:
    complaints(browser)
    waiting = opened(browser, "generate-characters", tmp_path)
    model = load(STORED / "generate-characters" / "model")
    box, text = browser.find_element(By.ID, "given"), "The "
    box.send_keys(text)
    for _ in range(3):
        expected = model.stream().push(text).suggest(3)
        best = [s.text for s in expected]
        if not best:
            break
        waiting.until(lambda b, best=best: sorted(answers(b)) == sorted(best[:6]))
        first = answers(browser)[0]
        box.send_keys(Keys.TAB)
        text += first
        waiting.until(lambda b, text=text: box.get_property("value") == text)
    assert len(text) > len("The ")
    # undone as what was typed
    box.send_keys(Keys.CONTROL, "z")
    waiting.until(lambda b: len(box.get_property("value")) < len(text))
    assert complaints(browser) == []


def test_a_form_for_numbers(browser: Chrome, tmp_path: Path) -> None:
    complaints(browser)
    waiting = opened(browser, "label-features", tmp_path)
    width = int(browser.find_element(By.ID, "hint").text.split()[-2])
    box, run = browser.find_element(By.ID, "given"), browser.find_element(By.ID, "run")
    row = " ".join(["0.5"] * width)
    box.send_keys(f"{row}\n{row.replace(' ', ', ')}\n")
    run.click()
    waiting.until(lambda b: len(answers(b)) == 2)
    labels = load(STORED / "label-features" / "model").output.labels
    assert any(answers(browser)[0].startswith(f"1: {label} ") for label in labels)
    for wrong, message in (("x", 'line 3: "x" is no number'), (row + " 1", "line 3: a number is out of range")):
        box.send_keys(wrong)
        run.click()
        waiting.until(lambda b, message=message: message in b.find_element(By.ID, "problem").text)
        assert answers(browser) == []
        box.send_keys(Keys.BACKSPACE * len(wrong))
    assert complaints(browser) == []
