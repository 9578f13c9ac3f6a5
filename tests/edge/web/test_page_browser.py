"""The page in a real browser: what a person at the monitor sees, on a desk and on a phone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from edge.health.health import Health
from edge.viewfinder.preview import PreviewHub
from edge.web.server import WebServer
from tests.edge.web.browser import DESK, NEEDS_BROWSER, PHONE, browser, js, no_complaints, resize, text, until

pytestmark = NEEDS_BROWSER


class Recorder:
    """A thread that says and shows what a daemon would, ten times a second, until it is closed."""

    def __init__(self) -> None:
        self.health, self.hub = Health(), PreviewHub()
        self.health.text("session", "take <b>7</b>")
        self.health.text("model", "EAFNet-S")
        self.server = WebServer(self.health, self.hub, port=0, events_hz=5)
        self.server.start()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._produce)
        self._thread.start()

    def restart_server(self, while_down: Callable[[], object]) -> None:
        self.server.stop()
        while_down()
        port = urlsplit(self.server.url).port or 0
        self.server = WebServer(self.health, self.hub, port=port, events_hz=5)
        self.server.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.server.stop()

    def _produce(self) -> None:
        number = 0
        while not self._stop.wait(0.1):
            number += 1
            now = time.monotonic_ns()
            self._say(now, number)
            self.hub.publish(
                {
                    stream: _picture(stream, number)
                    for stream in self.hub.streams
                    if self.hub.wanted(stream, now)
                },
                now,
            )

    def _say(self, now: int, number: int) -> None:
        say = self.health
        for stream in ("reference", "secondary", "fused"):
            say.tick("frames", now, stream)
        say.count("drops", "pair", "age", n=0)
        say.count("rung_frames", "model")
        say.gauge("rung", 0)
        say.gauge("session_s", number / 10)
        say.gauge("deadline_ms", 100)
        say.gauge("disk_free_bytes", 412e9)
        say.gauge("disk_left_s", 7200)
        for exposure, us, ev in (("low", 2000, -2), ("reference", 8000, 0), ("high", 32000, 2)):
            say.gauge("exposure_us", us, exposure)
            say.gauge("gain_db", 0, exposure)
            say.gauge("ev", ev, exposure)
            if exposure != "reference":
                say.observe("age_ms", 30.0 + number % 3, exposure)
        for stage in ("capture", "fuse", "encode"):
            say.observe("stage_ms", 12.0 + number % 5, stage)
        for picture in ("reference", "fused"):
            say.trace("flicker", now, 0.001 + 0.0001 * (number % 7), picture)
            say.gauge("clipped_share", 0.062 if picture == "reference" else 0.0, picture)
        say.text("exposure_cause", "within the band around the target", "reference")
        say.gauge("brightness_off_ev", 0.2)
        say.gauge("clipped_share", 0.002, "low")
        say.gauge("pair_residual_ms", 0.12, "p99")
        say.gauge("start_skew_us", 0.0)
        say.gauge("ring_depth", number % 4, "pair")
        say.gauge("ring_capacity", 8, "pair")
        say.condition("trigger", True, now)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    running = Recorder()
    yield running
    running.close()


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


def look(driver: webdriver.Chrome, recorder: Recorder, size: tuple[int, int] = DESK) -> webdriver.Chrome:
    """Open the page in a window of ``size`` and wait for its first figures and pictures."""
    resize(driver, size)
    driver.get(recorder.server.url)
    until(driver, lambda: driver.find_element(By.TAG_NAME, "body").get_attribute("data-link") == "live")
    until(driver, lambda: width_of_picture(driver, "fused") and width_of_picture(driver, "reference"))
    # A link can be live a moment before the recorder has said anything: the first status is then empty.
    until(driver, lambda: driver.find_elements(By.CSS_SELECTOR, "#rec.on"))
    return driver


def width_of_picture(driver: webdriver.Chrome, stream: str) -> int:
    return int(js(driver, f"document.querySelector('img[data-stream={stream}]')?.naturalWidth ?? 0"))


def pixels(driver: webdriver.Chrome, stream: str) -> str:
    """What the picture element of ``stream`` holds now, as a data URL."""
    return str(
        js(
            driver,
            f"(() => {{ const i = document.querySelector('img[data-stream={stream}]');"
            "const c = document.createElement('canvas'); c.width = 64; c.height = 36;"
            "c.getContext('2d').drawImage(i, 0, 0, 64, 36); return c.toDataURL(); })()",
        )
    )


def changed(driver: webdriver.Chrome, ask: Callable[[], object]) -> bool:
    """Waits until ``ask`` answers something new."""
    before = ask()
    return bool(until(driver, lambda: ask() != before))


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_pictures_and_figures_come_and_keep_coming(
    driver: webdriver.Chrome, recorder: Recorder, size: tuple[int, int], tmp_path: Path
) -> None:
    """The page's whole purpose: a moving picture and living figures, whole on any screen, no error behind."""
    look(driver, recorder, size)
    assert (width_of_picture(driver, "fused"), width_of_picture(driver, "reference")) == (320, 320)
    assert changed(driver, lambda: pixels(driver, "fused"))
    assert changed(driver, lambda: pixels(driver, "reference"))
    assert changed(driver, lambda: text(driver, "#rates .fused .total"))
    assert changed(driver, lambda: text(driver, "#duration"))
    for panel in (
        "#rates",
        "#lost",
        "#ladder",
        "#ages",
        "#store",
        "#spans",
        "#flicker",
        "#bars",
        "#conditions",
    ):
        assert text(driver, panel), panel
    assert text(driver, "#lost").startswith("None")
    assert text(driver, "#ladder [aria-current=step]").startswith("Full model")
    assert text(driver, "#tag-before") == "Reference 6.2 % clipped"
    assert text(driver, "#causes") == "Reference, +0.2 EV off its target: within the band around the target"
    assert "clips 0.2 %" in text(driver, "#spans")
    assert "0.12 ms" in text(driver, "#machine")
    assert js(driver, "document.querySelector('#spark path').getAttribute('d').length") > 0
    assert js(driver, "document.documentElement.scrollWidth") <= size[0]
    assert js(driver, "document.images.length") == 3
    driver.save_screenshot(str(tmp_path / "page.png"))
    assert no_complaints(driver)


def test_reference_and_fused_are_of_one_instant(driver: webdriver.Chrome, recorder: Recorder) -> None:
    """At the split a moving thing must not tear: both sides always show the same frame."""
    look(driver, recorder)
    script = """
        const done = arguments[0], seen = [];
        const shade = (stream) => {
            const c = document.createElement('canvas'); c.width = c.height = 1;
            c.getContext('2d').drawImage(
                document.querySelector(`img[data-stream=${stream}]`), 0, 0, 8, 8, 0, 0, 1, 1);
            return c.getContext('2d').getImageData(0, 0, 1, 1).data[1];
        };
        const watch = new MutationObserver(() => {
            seen.push(Math.abs(shade('fused') - shade('reference')));
            if (seen.length === 10) { watch.disconnect(); done(seen); }
        });
        watch.observe(document.querySelector('#layer-main'), {childList: true});
    """
    driver.set_script_timeout(30)
    differences = driver.execute_async_script(script)  # type: ignore[no-untyped-call]
    assert max(differences) <= 3


def test_the_split_moves_by_keyboard(driver: webdriver.Chrome, recorder: Recorder) -> None:
    """Comparing must work without a mouse, and say where the line is."""
    look(driver, recorder)
    slider = driver.find_element(By.ID, "split")
    line = "document.querySelector('#divider').getBoundingClientRect().left"
    before = js(driver, line)
    slider.send_keys(Keys.ARROW_RIGHT * 5)
    assert slider.get_attribute("value") == "55"
    assert slider.get_attribute("aria-valuetext") == "reference 55 %, fused 45 %"
    assert js(driver, line) > before + 20
    clip = "getComputedStyle(document.querySelector('#layer-before')).clipPath"
    assert js(driver, clip) == "inset(0px 45% 0px 0px)"
    slider.send_keys(Keys.HOME)
    assert js(driver, clip) == "inset(0px 100% 0px 0px)"
    assert js(driver, "document.activeElement.id") == "split"
    assert no_complaints(driver)


def test_each_view_shows_its_stream_and_asks_for_no_other(
    driver: webdriver.Chrome, recorder: Recorder
) -> None:
    """Encoding what nobody sees would cost the recorder; the low and high frames are one click away."""
    look(driver, recorder)
    js(driver, "document.querySelector('input[value=low]').click()")
    assert until(driver, lambda: width_of_picture(driver, "low"))
    assert text(driver, "#tag-main") == "Low \N{MINUS SIGN}2 EV"
    assert not driver.find_element(By.ID, "split").is_displayed()
    until(driver, lambda: not recorder.hub.wanted("fused", time.monotonic_ns()))
    assert recorder.hub.wanted("low", time.monotonic_ns())
    assert no_complaints(driver)


def test_a_lost_connection_is_obvious_and_heals(driver: webdriver.Chrome, recorder: Recorder) -> None:
    """Old figures that look alive are worse than none; after a restart nobody must press reload."""
    look(driver, recorder)

    def while_down() -> None:
        until(driver, lambda: "Connection lost" in text(driver, "#alerts"))
        until(driver, lambda: "old" in text(driver, "#veil"))
        assert driver.title.startswith("Connection lost")
        assert text(driver, "#link") == "Connection lost"

    recorder.restart_server(while_down)
    until(driver, lambda: text(driver, "#link") == "Live")
    until(driver, lambda: text(driver, "#veil") == "")
    assert text(driver, "#alerts") == ""
    assert changed(driver, lambda: pixels(driver, "fused"))
    assert changed(driver, lambda: text(driver, "#duration"))
    messages = [entry["message"] for entry in driver.get_log("browser")]
    assert all("net::ERR_" in message for message in messages), messages


def test_what_is_wrong_is_said_in_words(driver: webdriver.Chrome, recorder: Recorder) -> None:
    """What, since when, what to do; losses by cause; and back to quiet when it is good again."""
    look(driver, recorder)
    now = time.monotonic_ns()
    recorder.health.condition("disk", False, now, "6 GB free.", "Delete <i>sessions</i>.")
    recorder.health.count("drops", "encode", "ring_full", n=3)
    until(driver, lambda: "6 GB free. Delete <i>sessions</i>." in text(driver, "#alerts"))
    assert text(driver, "#link") == "Live, 1 to look at"
    assert driver.title.startswith("(1) ")
    until(driver, lambda: text(driver, "#drops") == "Encode: ring full\n3")
    assert text(driver, "#session") == "take <b>7</b>"
    recorder.health.condition("disk", True, time.monotonic_ns())
    until(driver, lambda: text(driver, "#alerts") == "")


def test_a_hung_stage_is_shown(driver: webdriver.Chrome, recorder: Recorder) -> None:
    """The picture may still move while the disk stands still."""
    look(driver, recorder)
    recorder.health.watch("store", time.monotonic_ns() - 10**10, 10**9)
    until(driver, lambda: "Stage store does not move" in text(driver, "#alerts"))


def test_text_can_be_read_and_nothing_moves_for_those_who_ask(
    driver: webdriver.Chrome, recorder: Recorder
) -> None:
    """WCAG AA contrast (4.5) for every text of the panels, and prefers-reduced-motion is obeyed."""
    look(driver, recorder)
    script = """(() => {
        const light = (c) => c.slice(0, 3).map((v) => v / 255)
            .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
        const rgb = (s) => s.match(/[\\d.]+/g).map(Number);
        const ground = (e) => {
            for (; e; e = e.parentElement) {
                const c = rgb(getComputedStyle(e).backgroundColor);
                if (c.length === 3 || c[3] === 1) return c;
            }
        };
        const poor = [];
        for (const e of document.querySelectorAll('header *, .panel *, .views *')) {
            const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
            if (!own || !e.checkVisibility()) continue;
            const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) poor.push(`${e.textContent} ${ratio}`);
        }
        return poor;
    })()"""
    assert js(driver, script) == []
    moving = "getComputedStyle(document.querySelector('#rec')).animationName"
    assert js(driver, moving) == "breathe"
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    assert js(driver, moving) == "none"
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_controls_have_names_and_room_for_a_thumb(driver: webdriver.Chrome, recorder: Recorder) -> None:
    """On a phone every control is at least 40 px high; a screen reader can name each of them."""
    look(driver, recorder, PHONE)
    heights = js(
        driver, "[...document.querySelectorAll('.views label, .views button')].map((e) => e.offsetHeight)"
    )
    assert len(heights) >= 5
    assert min(heights) >= 40
    for control in driver.find_elements(By.CSS_SELECTOR, "input, button"):
        assert control.accessible_name, control.get_attribute("outerHTML")
    names = [layer.accessible_name for layer in driver.find_elements(By.CSS_SELECTOR, ".layer")]
    assert names == ["Live fused picture", "Live reference picture"]


def _picture(stream: str, number: int) -> bytes:
    """A JPEG, 320 x 180: a grey that differs from frame to frame, and a bar that moves."""
    image = np.full((180, 320, 3), 40 + 23 * number % 160, np.uint8)
    image[60:, (7 * number) % 300 :][:, :20] = {"fused": 240, "reference": 200}.get(stream, 120)
    ok, jpeg = cv2.imencode(".jpg", image)
    assert ok
    return jpeg.tobytes()
