"""The page in a real browser, as a person has it: what is seen, pressed, typed, pointed at and dropped."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import axe_selenium_python
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from unrolled.serving.security import LOOPBACK

Found = TypeVar("Found")

#: seconds that anything may take: machines that test are often busy
PATIENCE = 60.0
AXE = Path(axe_selenium_python.__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
PHONE = (360, 740)
DESK = (1100, 900)


FAINT = """
const pen = Object.assign(document.createElement("canvas"), {width: 1, height: 1}).getContext("2d");
const over = (...colours) => {
  for (const colour of colours) Object.assign(pen, {fillStyle: colour}).fillRect(0, 0, 1, 1);
  const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const paper = (node) => {
  const under = [];
  for (let one = node; one; one = one.parentElement) under.unshift(getComputedStyle(one).backgroundColor);
  return under;
};
return [...document.querySelectorAll("mark:not(.track-word), .track-word.lit, .push-word, .piece")].flatMap((node) => {
  if (!node.getClientRects().length) return [];
  const tint = getComputedStyle(node).backgroundImage.match(/(?:color|rgba?)\\([^()]*\\)/)?.[0];
  if (!tint) return [`no tint behind ${node.textContent}`];
  const field = node.closest(".field")?.querySelector("textarea") ?? node;
  const [a, b] = [over(...paper(node), tint), over(...paper(node), getComputedStyle(field).color)];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  return ratio < 4.5 ? [`${node.textContent}: ${ratio.toFixed(2)} on ${tint}`] : [];
});
"""


class Page:
    """One tab of the browser, at one server.

    Args:
        driver: the browser; its current tab is used.
        address: the server's.
    """

    def __init__(self, driver: Chrome, address: str) -> None:
        self.driver, self.address = driver, address
        #: what the browser's log may complain about in this test
        self.tolerated: list[str] = []
        self._network: list[dict[str, Any]] = []

    # going places

    def open(self, view: str = "", address: str | None = None) -> Page:
        """Load the page afresh, at one of its tabs."""
        self.address = address or self.address
        self.leave()
        self.driver.get(f"{self.address}/{view and '#' + view}")
        if view:
            self.seen(f"panel-{view}")
        return self

    def leave(self) -> None:
        """Go nowhere, so that nothing of the page goes on."""
        self.driver.get("about:blank")

    def choose(self, testid: str, text: str) -> None:
        """Choose an option of a picker, by its letters."""
        self.seen(testid).send_keys(text)
        self.until(lambda: self.script("return arguments[0].value", self.seen(testid)) == text, f"{testid}: {text}")

    # looking

    def all(self, testid: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, f'[data-testid="{testid}"]')

    def seen(self, testid: str) -> WebElement:
        """The element, as soon as it is displayed."""
        return self.until(
            lambda: next((one for one in self.all(testid) if one.is_displayed()), None), f"{testid} is not to be seen"
        )

    def text(self, testid: str) -> str:
        """What an element says, on one line."""
        return " ".join(self.script("return arguments[0].textContent", self.all(testid)[0]).split())

    def texts(self, testid: str) -> list[str]:
        return [" ".join(self.script("return arguments[0].textContent", one).split()) for one in self.all(testid)]

    def says(self, testid: str, pattern: str) -> re.Match[str]:
        """Wait until an element's text has a pattern in it."""
        return self.until(
            lambda: re.search(pattern, self.text(testid)) if self.all(testid) else None,
            lambda: f"{testid} has no {pattern!r} but {self.texts(testid)}; {self.notices()}",
        )

    def notices(self) -> list[str]:
        """The quiet lines of problems that are to be seen."""
        return [one.text for one in self.driver.find_elements(By.CSS_SELECTOR, ".notice.problem") if one.is_displayed()]

    def until(self, found: Callable[[], Found | None], what: str | Callable[[], str] = "") -> Found:
        """Wait until something is there, looking often."""
        from selenium.webdriver.support.ui import WebDriverWait

        gone = (StaleElementReferenceException, IndexError)
        try:
            return WebDriverWait(self.driver, PATIENCE, 0.05, gone).until(lambda _: found() or False)
        except WebDriverException as error:
            told = what() if callable(what) else what
            raise AssertionError(f"{told} [{type(error).__name__}; problems: {self.notices()}]") from error

    def script(self, text: str, *arguments: Any) -> Any:
        return self.driver.execute_script(text, *arguments)

    @property
    def value(self) -> str:
        """The text of the field that has the focus."""
        return self.script("return document.activeElement.value")

    # doing

    def write(self, testid: str, text: str) -> WebElement:
        """Type a text into a field in place of what is there."""
        field = self.seen(testid)
        field.click()
        self.chord(Keys.CONTROL, "a")
        self.press(Keys.BACKSPACE)
        self.until(lambda: self.script("return arguments[0].value", field) == "", f"{testid} is not empty")
        field.send_keys(text)
        return field

    def paste(self, testid: str, text: str) -> None:
        """Put a text into a field in place of what is there, as the clipboard does."""
        script = """arguments[0].focus(); arguments[0].select();
            document.execCommand("insertText", false, arguments[1]);"""
        self.script(script, self.seen(testid), text)

    def press(self, *keys: str) -> None:
        """Keys on whatever has the focus."""
        ActionChains(self.driver, duration=10).send_keys(*keys).perform()

    def chord(self, holding: str, key: str) -> None:
        ActionChains(self.driver, duration=10).key_down(holding).send_keys(key).key_up(holding).perform()

    def point(self, at: WebElement) -> None:
        ActionChains(self.driver, duration=10).move_to_element(at).perform()

    def away(self) -> None:
        """The mouse somewhere where nothing is."""
        actions = ActionChains(self.driver, duration=10)
        actions.w3c_actions.pointer_action.move_to_location(1, 1)
        actions.perform()

    def slide(self, testid: str, to: float) -> None:
        """Move a slider by its keys, as far as it takes."""
        slider = self.seen(testid)
        now, step = (float(self.script(f"return arguments[0].{name}", slider)) for name in ("value", "step"))
        count = round((to - now) / step)
        slider.send_keys((Keys.ARROW_RIGHT if count > 0 else Keys.ARROW_LEFT) * abs(count))

    def drop(self, path: Path) -> None:
        """Drag a file over the page and let go of it there."""
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            where = {"type": kind, "x": 300, "y": 400, "data": data}
            self.driver.execute_cdp_cmd("Input.dispatchDragEvent", where)

    # how it looks

    def sized(self, size: tuple[int, int]) -> None:
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def themed(self, theme: str) -> None:
        """What the system says that people like: light or dark."""
        feature = {"name": "prefers-color-scheme", "value": theme}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature, still]})

    def shoot(self, path: Path) -> None:
        """A picture of the page in its whole height."""
        import base64

        tall = self.script("return Math.ceil(document.documentElement.getBoundingClientRect().height)")
        wide = self.script("return document.documentElement.clientWidth")
        clip = {"x": 0, "y": 0, "width": wide, "height": tall, "scale": 1}
        asked = {"clip": clip, "captureBeyondViewport": True}
        path.write_bytes(base64.b64decode(self.driver.execute_cdp_cmd("Page.captureScreenshot", asked)["data"]))

    def overflow(self) -> list[str]:
        """What reaches beyond the right edge, if the page scrolls sideways."""
        return self.script(
            """const wide = document.documentElement.clientWidth;
            if (document.documentElement.scrollWidth <= wide) return [];
            return [...document.querySelectorAll("body *")]
              .filter((one) => one.getBoundingClientRect().right > wide + 0.5)
              .map((one) => `${one.tagName}.${one.className} ${one.dataset.testid ?? ""}`);"""
        )

    def inside(self, role: str, testid: str) -> bool:
        """Whether an element is to be seen in one that scrolls."""
        return self.script(
            """const [outer, inner] = arguments[0].map((one) => document.querySelector(one).getBoundingClientRect());
            return inner.left >= outer.left - 1 && inner.right <= outer.right + 1;""",
            [f"[role={role}]", f'[data-testid="{testid}"]'],
        )

    def faint(self) -> list[str]:
        """Words on a tint that are hard to read there; axe knows nothing of letters that lie over a layer."""
        return self.script(FAINT)

    def accessibility(self) -> list[str]:
        """What axe has to say against WCAG 2, levels A and AA."""
        if not self.script("return 'axe' in window"):
            self.script(AXE.read_text("utf-8"))
        found = self.driver.execute_async_script(
            """const done = arguments[arguments.length - 1];
            axe.run(document, {runOnly: ["wcag2a", "wcag2aa"], resultTypes: ["violations"]})
              .then(({violations, passes}) => done({violations, passed: passes.length}),
                    (error) => done({error: String(error)}));"""
        )
        assert found.get("passed", 0) >= 8, found
        return [
            f"{one['id']}: {one['help']}: " + "; ".join(f"{n['html'][:160]} {n['any'][:1]}" for n in one["nodes"])
            for one in found["violations"]
        ]

    # what it did

    def complaints(self) -> list[str]:
        """The browser's log since the last look: errors, and violations of the policy."""
        found = [
            f"{entry['source']}: {entry['message']}"
            for entry in self.driver.get_log("browser")
            if entry["level"] == "SEVERE" or "Content Security Policy" in entry["message"]
        ]
        return [one for one in found if not any(word in one for word in self.tolerated)]

    def asked(self) -> list[str]:
        """Addresses that were asked for since the last look."""
        return [
            event["params"].get("url") or event["params"]["request"]["url"]
            for event in self._events()
            if event["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated")
        ]

    def sent(self) -> list[dict[str, Any]]:
        """Messages that were sent over WebSockets since the page was opened, in order."""
        self._network += self._events()
        frames = [event for event in self._network if event["method"] == "Network.webSocketFrameSent"]
        return [json.loads(frame["params"]["response"]["payloadData"]) for frame in frames]

    def _events(self) -> list[dict[str, Any]]:
        """What happened on the network since the last look, and what `sent` looked at before."""
        held, self._network = self._network, []
        return held + [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]


def foreign(addresses: list[str]) -> list[str]:
    """Those that leave this machine's servers."""
    here = ("blob", "data", "about", "chrome")
    return [one for one in addresses if (part := urlsplit(one)).scheme not in here and part.hostname not in LOOPBACK]
