"""A line of text on an image, read by CTC, on the page: a combination of parts declared in a test alone."""

from __future__ import annotations

from pathlib import Path

from pages import Page
from PIL import Image
from test_page_server import tabs, visited
from tests.tasks.test_image_lines import _installed, corpus, drawn, model  # noqa: F401

from unrolled.tasks import Model


def test_a_line_is_read_on_the_page(page: Page, model: Model, corpus: Path, tmp_path: Path) -> None:  # noqa: F811
    image = drawn("all tea", 4)
    Image.fromarray(image).save(tmp_path / "line.png")
    wanted = [word.text for word in model.predict(image).words]
    with visited(page, {"lines": corpus / "m"}):
        assert tabs(page) == ["Lines", "Inside"]
        page.until(lambda: page.all("lines-word"))
        # as wide as a line is
        wide = page.script("const {width, height} = arguments[0]; return width / height", page.seen("lines-pad"))
        assert wide > 1.5
        page.drop(tmp_path / "line.png")
        page.until(lambda: page.texts("lines-word") == wanted, lambda: str(page.texts("lines-word")))
        page.seen("lines-clear").click()
        page.until(lambda: page.all("lines-word") == [])
        assert page.notices() == []
