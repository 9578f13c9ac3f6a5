"""The pictures of the page in the README, of a recording made for it.

    PYTHONPATH=. python tests/edge/web/take_page_pictures.py

writes docs/page.jpg and docs/page-phone.jpg. Needs chromium, chromedriver, a minute, and a quiet machine, or
the figures in the pictures are those of a busy one.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from edge.web import password
from tests.edge.web.browser import browser, js, ready, resize, until
from tests.edge.web.page_client import LINE, PASSWORD

DOCS = Path(__file__).resolve().parents[3] / "docs"
PORT = 8399
CONFIG = """\
version: 1
rig:
  reference: {{fps: 8}}
  secondary: {{fps: 8}}
simulator: {{scene: {scene}}}
fuse: {{ladder: [merge, reference]}}
pair: {{max_age_ms: 400}}
hdr: {{codec: av1, preset: 13, segment_s: 20}}
preview: {{fps: 4}}
web: {{port: {port}, password_file: {folder}/password}}
store: {{root: {folder}/sessions, min_free_gb: 0, min_free_share: 0}}
"""
FIGURES_S = 45
EDIT = """(() => { const t = document.getElementById('text');
    t.value = '# the hall in the evening\\npreview:\\n  fps: 12\\nhdr:\\n  transfer: hlg\\n';
    t.dispatchEvent(new Event('input')); })()"""
Picture = NDArray[np.uint8]


@contextlib.contextmanager
def recording(folder: Path, scene: str, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """``twinhdr run`` of a simulated scene."""
    config = folder / f"{scene}.yaml"
    config.write_text(CONFIG.format(scene=scene, port=PORT, folder=folder))
    command = [sys.executable, "-m", "edge.cli", "run", "--config", str(config), *more]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def taken(driver: webdriver.Chrome) -> Picture:
    picture = cv2.imdecode(np.frombuffer(driver.get_screenshot_as_png(), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def live(driver: webdriver.Chrome, wait_s: float) -> Picture:
    driver.get(f"http://127.0.0.1:{PORT}/")
    until(driver, lambda: js(driver, "document.querySelector('#layer-main img')?.naturalWidth"))
    for name in ("zebra-on", "histogram-on", "focus-on"):
        button = driver.find_element(By.ID, name)
        if button.get_attribute("aria-pressed") == "false":
            button.click()
    time.sleep(wait_s)
    return taken(driver)


def recordings(driver: webdriver.Chrome) -> Picture:
    driver.get(f"http://127.0.0.1:{PORT}/page/recordings.html")
    until(driver, lambda: driver.find_element(By.ID, "log-in").is_displayed())
    driver.find_element(By.ID, "log-in").click()
    driver.find_element(By.ID, "password").send_keys(PASSWORD, Keys.ENTER)
    until(driver, lambda: js(driver, "document.body.dataset.account === 'owner'"))
    until(driver, lambda: js(driver, "[...document.images].every((one) => one.complete)"))
    return taken(driver)


def settings(driver: webdriver.Chrome) -> Picture:
    driver.get(f"http://127.0.0.1:{PORT}/page/settings.html")
    until(driver, lambda: js(driver, "document.body.dataset.judged"))
    js(driver, EDIT)
    until(driver, lambda: "after a restart" in driver.find_element(By.ID, "verdict").text)
    return taken(driver)


def main() -> None:
    """Two recordings, the second one looked at."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        password.write(folder / "password", LINE)
        with recording(folder, "garden", "--duration", "4") as process:
            process.wait()
        with recording(folder, "workshop"), browser(folder / "profile") as driver:
            until(driver, lambda: ready(f"http://127.0.0.1:{PORT}"))
            resize(driver, (1440, 900))
            driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
            desk = live(driver, FIGURES_S)
            phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
            phones = [live(driver, 5), recordings(driver), settings(driver)]
    write(DOCS / "page.jpg", desk)
    gap = np.full((phones[0].shape[0], 40, 3), 90, np.uint8)
    beside = np.concatenate([phones[0], gap, phones[1], gap, phones[2]], axis=1)
    write(DOCS / "page-phone.jpg", cv2.resize(beside, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA))


def write(path: Path, picture: NDArray[np.generic]) -> None:
    cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 86, cv2.IMWRITE_JPEG_OPTIMIZE, 1])


if __name__ == "__main__":
    main()
