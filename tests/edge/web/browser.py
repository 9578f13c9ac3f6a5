"""A real browser without a window, and short words to look at its page with."""

from __future__ import annotations

import contextlib
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
NEEDS_BROWSER = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="no browser here: apt-get install chromium chromium-driver",
)
T = TypeVar("T")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FIRST_PICTURE_MS = 1000
DESK, PHONE = (1440, 900), (360, 780)


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[webdriver.Chrome]:
    """One browser with a profile of its own."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    running = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield running
    finally:
        running.quit()


def resize(driver: webdriver.Chrome, size: tuple[int, int]) -> None:
    """A window of ``size`` pixels, a phone's where it is `PHONE`; forgets what the console said before."""
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.get_log("browser")


def until(driver: webdriver.Chrome, ask: Callable[[], T]) -> T:
    """The first answer that is true; fails after a while with a picture of the page."""
    wait: WebDriverWait[webdriver.Chrome] = WebDriverWait(driver, 30, poll_frequency=0.05)
    return wait.until(lambda _: ask())


def js(driver: webdriver.Chrome, script: str) -> Any:
    return driver.execute_script(f"return {script}")  # type: ignore[no-untyped-call]


def text(driver: webdriver.Chrome, css: str) -> str:
    return str(js(driver, f"document.querySelector({css!r})?.innerText ?? ''"))


def first_picture_ms(driver: webdriver.Chrome) -> int:
    """Of the live page, counted by the browser from the first byte asked for to the picture on the screen."""
    return int(until(driver, lambda: js(driver, "document.body.dataset.firstPictureMs")))


def ready(url: str) -> bool:
    """Whether the recorder behind a page says that it records."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/readyz", timeout=5):
        return True
    return False


def no_complaints(driver: webdriver.Chrome) -> bool:
    return [entry["message"] for entry in driver.get_log("browser")] == []
