"""Caption, Recognize, Transcribe, Label and Forecast at work: files dropped, digits drawn, sound recorded."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from pages import Page
from selenium.webdriver import ActionChains, Keys
from tests.tasks.speech_data import TONES

from unrolled.tasks import Model

Files = dict[str, Path]


def test_caption_describes_what_is_dropped_and_shows_where_it_looked(
    page: Page, library: dict[str, Model], files: Files
) -> None:
    page.open("caption")
    page.drop(files["box.png"])
    [wanted] = library["boxes"].predict([str(files["box.png"])], n=3)
    words = wanted.captions[0].words
    page.says("caption-result", f"^{re.escape(' '.join(words))}$")
    assert "red box" in page.text("caption-result")
    best = page.seen("caption-best").text
    assert all(one.text in best for one in wanted.captions)
    pad = page.seen("caption-pad")
    assert page.script("return arguments[0].width === arguments[0].height", pad)
    page.point(page.all("caption-token")[1])
    heat = (
        "const heat = document.querySelector('.heat'); return [heat.classList.contains('on'), heat.width, heat.height]"
    )
    grid = np.asarray(wanted.captions[0].attention[1])
    page.until(lambda: page.script(heat)[0])
    assert page.script(heat)[1:] == [grid.shape[1], grid.shape[0]]
    # dark where it did not look: the lightest place is where the weight is largest
    alphas = page.script(
        """const heat = document.querySelector(".heat");
        const {data} = heat.getContext("2d").getImageData(0, 0, heat.width, heat.height);
        return [...data].filter((_, n) => n % 4 === 3);"""
    )
    assert int(np.argmin(alphas)) == int(grid.argmax())
    page.away()
    page.until(lambda: not page.script(heat)[0])
    # a tap holds it, until the next one
    page.all("caption-token")[0].click()
    page.away()
    assert page.script(heat)[0]
    page.all("caption-token")[0].click()
    page.until(lambda: not page.script(heat)[0])
    page.press(Keys.ARROW_RIGHT)
    assert page.script("return document.activeElement.textContent") == words[1]
    assert page.script(heat)[0]


def test_a_damaged_image_is_said_quietly(page: Page, files: Files) -> None:
    page.tolerated.append("status of 422")
    page.open("caption").seen("caption-drop")
    page.drop(files["damaged.png"])
    page.says("caption-notice", r"(?i)image|png")
    # what was said of the example is not said of this
    assert page.text("caption-result") == page.text("caption-best") == ""
    # and the next one is none the worse for it
    page.drop(files["box.png"])
    page.says("caption-result", "red box")
    assert page.text("caption-notice") == ""


def test_recognize_a_chosen_image(page: Page, library: dict[str, Model], files: Files) -> None:
    page.open("recognize")
    page.all("recognize-file")[0].send_keys(str(files["seven.png"]))
    page.says("recognize-label", "^7$")
    [wanted] = library["digits"].predict([str(files["seven.png"])])
    for label, share in wanted.probabilities.items():
        page.says("recognize-shares", f"{label}{100 * share:.1f} %")


def test_recognize_what_is_drawn_with_the_mouse(page: Page) -> None:
    pad = page.open("recognize").seen("recognize-pad")
    page.seen("recognize-clear").click()
    page.says("recognize-label", "^–$")
    # a seven: along the top, and down to the left
    actions = ActionChains(page.driver, duration=20).move_to_element_with_offset(pad, -60, -80).click_and_hold()
    for _ in range(6):
        actions.move_by_offset(20, 0)
    for _ in range(8):
        actions.move_by_offset(-8, 20)
    actions.release().perform()
    page.says("recognize-label", "^7$")
    page.seen("recognize-clear").click()
    page.says("recognize-label", "^–$")


def test_recognize_what_is_drawn_with_the_keyboard(page: Page) -> None:
    pad = page.open("recognize").seen("recognize-pad")
    page.seen("recognize-clear").click()
    page.script("arguments[0].focus()", pad)
    # up, pen down, and all the way down
    page.press(Keys.ARROW_UP * 12, " ", Keys.ARROW_DOWN * 24, " ")
    page.says("recognize-label", "^1$")
    page.press(Keys.DELETE)
    page.says("recognize-label", "^–$")


def test_transcribe_a_dropped_sound(page: Page, library: dict[str, Model], files: Files) -> None:
    page.open("transcribe")
    page.drop(files["tones.wav"])
    page.until(lambda: page.texts("transcribe-word") == ["mi", "do", "re"], lambda: str(page.texts("transcribe-word")))
    [wanted] = library["tones"].predict([str(files["tones.wav"])])
    begins = [float(one.get_attribute("data-begin")) for one in page.all("transcribe-word")]
    assert begins == pytest.approx([one.begin for one in wanted.words], abs=1e-3)
    page.says("transcribe-time", r"^0\.\d s$")
    # a word is heard again from where it was said, with the hand on the wave
    page.all("transcribe-word")[-1].click()
    player = page.all("transcribe-player")[0]
    page.until(lambda: page.script("return arguments[0].currentTime", player) >= begins[-1] - 0.16)
    page.until(lambda: page.script("return !document.querySelector('#panel-transcribe .hand').hidden"))
    page.until(lambda: page.text("transcribe-play") == "Play")
    # and the wave is gone through by keys
    place = page.all("transcribe-place")[0]
    page.script("arguments[0].focus()", place)
    page.press(Keys.HOME)
    page.until(lambda: page.script("return arguments[0].currentTime", player) == 0)
    page.seen("transcribe-play").click()
    page.until(lambda: page.script("return arguments[0].currentTime", player) > 0)


def test_transcribe_while_it_is_recorded(page: Page) -> None:
    page.open("transcribe")
    page.seen("transcribe-record").click()
    page.says("transcribe-record", "^Stop$")
    # words come before the recording is over
    page.until(
        lambda: len(page.all("transcribe-word")) >= 3,
        lambda: f"{page.text('transcribe-time')} {page.text('transcribe-result')}",
    )
    page.seen("transcribe-record").click()
    page.says("transcribe-record", "^Record$")
    heard = page.texts("transcribe-word")
    assert set(heard) & set(TONES), heard
    assert float(page.says("transcribe-time", r"^([\d.]+) s$")[1]) > 0.3
    # what was recorded can be played
    page.until(lambda: page.script("return arguments[0].duration > 0.3", page.all("transcribe-player")[0]))


def test_label_steps_of_a_table(page: Page, library: dict[str, Model], files: Files) -> None:
    page.open("label")
    page.choose("label-model", "switches")
    page.drop(files["switches.csv"])
    [wanted] = library["switches"].predict([str(files["switches.csv"])])
    page.until(lambda: len(page.all("label-segment")) == len(wanted.segments))
    told = page.texts("label-segment")
    assert [re.match("rest|work", one)[0] for one in told] == [one.label for one in wanted.segments]  # type: ignore[index]
    pieces = page.script("return [...document.querySelectorAll('#panel-label .piece')].map((p) => p.style.flexGrow)")
    assert [int(wide) for wide in pieces] == [one.end - one.begin for one in wanted.segments]
    scrubber = page.seen("label-scrubber")
    page.script("arguments[0].focus()", scrubber)
    page.press(Keys.END)
    last = len(wanted.labels) - 1
    page.until(lambda: scrubber.get_attribute("value") == str(last))
    assert page.text("label-now") == wanted.labels[last]
    assert scrubber.get_attribute("aria-valuetext") == f"{last / 20:.2f} s: {wanted.labels[last]}"
    page.all("label-segment")[1].click()
    assert scrubber.get_attribute("value") == str(wanted.segments[1].begin)


def test_label_steps_of_a_clip(page: Page, library: dict[str, Model], files: Files) -> None:
    page.open("label")
    page.choose("label-model", "ways")
    page.drop(files["ways.webm"])
    [wanted] = library["ways"].predict([str(files["ways.webm"])])
    page.until(lambda: len(page.all("label-segment")) == len(wanted.segments))
    assert len(wanted.labels) == 24
    # the clip follows the scrubber, and the label the clip
    video, scrubber = page.seen("label-video"), page.seen("label-scrubber")
    page.until(lambda: page.script("return arguments[0].duration", video) == pytest.approx(0.96, abs=0.05))
    page.script("arguments[0].focus()", scrubber)
    page.press(Keys.HOME, Keys.ARROW_RIGHT * 10)
    page.until(lambda: page.script("return arguments[0].currentTime", video) == pytest.approx(10.5 / 25, abs=0.02))
    page.until(lambda: scrubber.get_attribute("value") == "10")
    assert page.text("label-now") == wanted.labels[10]
    page.script("arguments[0].muted = true; arguments[0].play()", video)
    page.until(lambda: int(scrubber.get_attribute("value")) > 12)


def test_forecast_of_a_table_and_of_its_past(page: Page, library: dict[str, Model], files: Files) -> None:
    page.open("forecast")
    page.drop(files["sales.csv"])
    page.until(lambda: not page.all("forecast-backtest")[0].get_attribute("disabled"))
    wanted = library["sales"].predict([str(files["sales.csv"])])
    names = [one.text for one in page.seen("forecast-series").find_elements("tag name", "option")]
    assert names == [one.series for one in wanted] == ["a", "b"]
    assert page.script("return document.querySelectorAll('#panel-forecast polygon').length") >= 1
    key = page.script("return [...document.querySelectorAll('#panel-forecast .sample')].map((one) => one.textContent)")
    assert key == ["measured", "forecast", "80 % of outcomes", "50 % of outcomes"]
    # read the last step by keyboard
    page.script("arguments[0].focus()", page.seen("forecast-chart"))
    page.press(Keys.END)
    said = page.says("forecast-chart-reading", r"forecast ([\d.]+) · ?(.*between ([\d.]+) and ([\d.]+))?")
    assert float(said[1]) == pytest.approx(float(wanted[0].point[-1]), rel=2e-3)
    page.choose("forecast-series", "b")
    page.script("arguments[0].focus()", page.seen("forecast-chart"))
    page.press(Keys.END)
    page.until(
        lambda: (
            float(page.says("forecast-chart-reading", r"forecast ([\d.]+)")[1])
            == pytest.approx(float(wanted[1].point[-1]), rel=2e-3)
        )
    )
    # and how good it would have been
    page.seen("forecast-backtest").click()
    page.says("forecast-score", r"^Mean absolute error over \d+ steps: [\d.]+; repeating the last value: [\d.]+\.")
    assert page.seen("forecast-backtest").get_attribute("aria-pressed") == "true"
    assert page.notices() == []


def test_a_longer_horizon_can_be_asked_for(page: Page, files: Files) -> None:
    page.open("forecast")
    page.drop(files["sales.csv"])
    page.until(lambda: not page.all("forecast-backtest")[0].get_attribute("disabled"))
    page.seen("forecast-horizon").send_keys("3", Keys.ENTER)
    page.script("arguments[0].focus()", page.seen("forecast-chart"))

    def last() -> str:
        page.press(Keys.END)
        return page.text("forecast-chart-reading")

    page.until(lambda: last().startswith("2020-01-04 20:00"), last)
