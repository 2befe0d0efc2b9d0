"""A use of somebody else's package, whose input the page has no widget for: its JSON is edited."""

from __future__ import annotations

from pathlib import Path

from pages import Page
from test_page_server import tabs, visited
from tests.tasks.test_foreign_use import _installed, folder  # noqa: F401


def test_a_foreign_input_is_edited_as_json(page: Page, folder: Path) -> None:  # noqa: F811
    page.tolerated.append("status of 422")
    with visited(page, {"morse": folder / "m"}):
        assert tabs(page) == ["Morse", "Inside"]
        # the example of its API, and what the model says of it
        field = page.seen("morse-json")
        assert field.get_attribute("value") == '"..."'
        page.says("morse-label", "^S$")
        page.paste("morse-json", '"---"')
        page.says("morse-label", "^O$")
        page.paste("morse-json", '"---')
        page.says("morse-notice", "^This is not JSON yet: ")
        page.says("morse-label", "^–$")
        page.paste("morse-json", '"-x"')
        page.says("morse-notice", "^Expected dots and dashes")
        page.paste("morse-json", '"-"')
        page.says("morse-label", "^T$")
        page.seen("tab-inside").click()
        page.says("inside-said", "^Step 1 of 3, “.”")
        assert page.accessibility() == []
