"""One browser, one server with a tiny model of every use, and one with none, for all tests of the page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="selenium is not installed")
pytest.importorskip("axe_selenium_python", reason="axe-selenium-python is not installed")
from pages import DESK, Page, foreign
from selenium import webdriver
from servers import Process, Running, process, running
from tiny_uses import given_files, learn_mail, train_all

from unrolled.tasks import Model, load

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", "--hide-scrollbars",
    "--force-color-profile=srgb", f"--window-size={DESK[0]},{DESK[1]}",
    # whatever the browser itself would like to know finds nobody
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where there is no browser, its tests are skipped, and say so."""
    missing = [name for name, path in (("chromium", CHROMIUM), ("chromedriver", DRIVER)) if path is None]
    for item in items:
        if missing and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=f"no {' and no '.join(missing)} here"))


@pytest.fixture(scope="session")
def uses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of models by name; `data/` beside them."""
    return train_all(tmp_path_factory.mktemp("uses"))


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What people drop, by file name."""
    return given_files(tmp_path_factory.mktemp("given"))


@pytest.fixture(scope="session")
def library(uses: dict[str, Path]) -> dict[str, Model]:
    """The same models as the library has them."""
    return {name: load(folder).freeze() for name, folder in uses.items()}


@pytest.fixture(scope="session")
def watched(uses: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has taken its first twenty steps."""
    run = tmp_path_factory.mktemp("watched") / "run"
    learn_mail(uses["my-mail"].parent / "data" / "my-mail", run, steps=20)
    return run


@pytest.fixture(scope="session")
def served(uses: dict[str, Path], watched: Path) -> Iterator[Process]:
    """`unrolled serve` with all of them, as people start it."""
    with process(*(f"{name}={folder}" for name, folder in uses.items()), "--watch", str(watched)) as server:
        yield server


@pytest.fixture(scope="session")
def empty() -> Iterator[Running]:
    """A server without a model."""
    with running({}) as server:
        yield server


@pytest.fixture(scope="session")
def browser(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Chromium, whose microphone hears `tones.wav` again and again."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.add_argument(f"--use-file-for-fake-audio-capture={files['tones.wav']}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.add_experimental_option("perfLoggingPrefs", {"enableNetwork": True, "enablePage": False})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(60)
    driver.set_page_load_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: webdriver.Chrome, served: Process) -> Iterator[Page]:
    """A fresh tab at the server with all models; afterwards nothing was complained about, and nobody else was asked."""
    before = browser.current_window_handle
    browser.switch_to.new_window("tab")
    mine = browser.current_window_handle
    browser.switch_to.window(before)
    browser.close()
    browser.switch_to.window(mine)
    page = Page(browser, served.address)
    # what the browser asked for its own empty tab
    page.asked()
    page.sized(DESK)
    page.themed("light")
    yield page
    complaints, strangers = page.complaints(), foreign(page.asked())
    origin = {"origin": page.address, "storageTypes": "local_storage"}
    browser.execute_cdp_cmd("Storage.clearDataForOrigin", origin)
    assert complaints == []
    assert strangers == []


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the page go: UNROLLED_SCREENSHOTS, or a folder of the session."""
    named = os.environ.get("UNROLLED_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
