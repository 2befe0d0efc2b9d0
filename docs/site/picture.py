"""Make docs/images/page.png: the page of `unrolled serve` in Chromium, with a text and what is suggested after it.

    unrolled demo
    python docs/site/picture.py demo/model

Needs Chromium and its driver, and selenium.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

TARGET = Path(__file__).resolve().parents[1] / "images" / "page.png"
#: the model learns from the language reference of Python
TEXT = "A class can define its own methods.\n\nThe default imple"
#: pixels of the window, and dots a pixel
WIDTH, HEIGHT, SCALE = 1100, 660, 1.5
#: seconds that anything may take
PATIENCE = 120


def picture(address: str, text: str) -> bytes:
    """Return a picture of the page, as PNG, once it suggests something after the text.

    Raises:
        TimeoutException: it suggests nothing.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium") or shutil.which("google-chrome"))
    flags = ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--force-color-profile=srgb")
    for flag in (*flags, f"--window-size={WIDTH},{HEIGHT}", f"--force-device-scale-factor={SCALE}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        wait = WebDriverWait(driver, PATIENCE)
        driver.get(f"{address}/#generate")
        field = wait.until(lambda d: d.find_element(By.ID, "generate-text"))
        wait.until(lambda d: field.get_attribute("value"))
        driver.find_element(By.CSS_SELECTOR, '[data-testid="generate-clear"]').click()
        field.send_keys(text)
        wait.until(lambda d: d.find_elements(By.CSS_SELECTOR, '[data-testid="generate-text-ghost"]'))
        # the pointer is off the buttons
        field.click()
        driver.execute_script("document.querySelector('.foot').hidden = true; scrollTo(0, 0)")
        # the window's size includes bars that a headless browser lacks
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": SCALE, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        return driver.get_screenshot_as_png()
    finally:
        driver.quit()


def main() -> None:
    """Serve a model, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="the folder of a model of `generate`")
    parser.add_argument("--text", default=TEXT, help="what is typed")
    args = parser.parse_args()
    command = [sys.executable, "-m", "unrolled.cli", "serve", f"python-reference={args.model}", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().removeprefix("serving on ").strip()
            TARGET.write_bytes(picture(address, args.text))
        finally:
            server.terminate()
    print(TARGET)


if __name__ == "__main__":
    main()
