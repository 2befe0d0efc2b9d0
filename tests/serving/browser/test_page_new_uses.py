"""Uses that nobody thought of, on the page: a class for a sound, and a class for rows of numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pages import Page
from test_page_server import tabs, visited
from tests.tasks.speech_data import save, spoken
from tests.tasks.test_new_uses import _installed, hearer, teller, tones, wave, waves  # noqa: F401

from unrolled.tasks import Model


def test_a_sound_has_a_class_on_the_page(page: Page, hearer: Model, tones: Path, tmp_path: Path) -> None:  # noqa: F811
    save(tmp_path / "do.wav", spoken(["do"], np.random.default_rng(3)))
    with visited(page, {"tones": tones / "m"}):
        assert tabs(page) == ["Tones", "Inside"]
        # at first sight: an example that was kept, and its class
        page.says("tones-label", "^(do|re|mi)$")
        assert page.seen("tones-wave")
        page.drop(tmp_path / "do.wav")
        page.says("tones-label", "^do$")
        page.says("tones-file-name", "^do.wav$")
        page.seen("tones-clear").click()
        page.says("tones-label", "^–$")
        # and as it is recorded, step by step
        page.seen("tones-record").click()
        page.says("tones-now", "^(do|re|mi)$")
        page.seen("tones-record").click()
        page.says("tones-record", "^Record$")
        page.says("tones-label", "^(do|re|mi)$")
        page.seen("tab-inside").click()
        page.says("inside-said", "^Step 1 of ")
        assert page.notices() == []


def test_rows_have_a_class_on_the_page(page: Page, teller: Model, waves: Path, tmp_path: Path) -> None:  # noqa: F811
    rows = wave("down", np.random.default_rng(5))
    (tmp_path / "down.csv").write_text("\n".join(["place", *(f"{row[0]:.3f}" for row in rows)]))
    with visited(page, {"waves": waves / "m"}):
        assert tabs(page) == ["Waves", "Inside"]
        page.says("waves-label", "^(up|down)$")
        page.drop(tmp_path / "down.csv")
        page.says("waves-label", "^down$")
        assert page.script("return document.querySelectorAll('[data-testid=waves-rows] polyline').length") >= 1
        page.seen("tab-inside").click()
        page.says("inside-verdict", r"\.$")
        assert page.notices() == []
