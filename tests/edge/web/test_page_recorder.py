"""The page of a recorder that runs, in a browser: no page server of a test, and pictures that are filmed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.web.browser import (
    DESK,
    FIRST_PICTURE_MS,
    NEEDS_BROWSER,
    PHONE,
    browser,
    first_picture_ms,
    no_complaints,
    ready,
    resize,
    until,
)
from tests.reliability.recorder import free_port

SIZE = os.environ.get("TWINHDR_PAGE_SIZE", "480x270")
CONFIG = """\
version: 1
rig: {{width: {width}, height: {height}, reference: {{fps: 15}}, secondary: {{fps: 15}}}}
simulator: {{pace: 1}}
fuse: {{ladder: [merge, reference]}}
hdr: {{codec: av1, preset: 13}}
web: {{port: {port}}}
store: {{root: {root}, min_free_gb: 0, min_free_share: 0}}
"""


@contextlib.contextmanager
def recorder(folder: Path) -> Iterator[str]:
    """``twinhdr run``. Yields the address of its page."""
    port = free_port()
    width, height = SIZE.split("x")
    config = folder / "run.yaml"
    config.write_text(CONFIG.format(width=width, height=height, port=port, root=folder / "sessions"))
    command = [sys.executable, "-m", "edge.cli", "run", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@NEEDS_BROWSER
@pytest.mark.alone
def test_a_recorder_shows_its_first_picture_within_a_second(tmp_path: Path) -> None:
    """Somebody below the mast looks at a phone: is it filming? The best of five, by the browser's clock."""
    with recorder(tmp_path) as url, browser(tmp_path / "profile") as driver:
        until(driver, lambda: ready(url))
        for size in (DESK, PHONE):
            took = []
            for _ in range(5):
                resize(driver, size)
                driver.get(f"{url}/")
                took.append(first_picture_ms(driver))
            print(f"{SIZE} in {size[0]}x{size[1]}: first picture after {sorted(took)} ms")
            assert min(took) <= FIRST_PICTURE_MS
            assert no_complaints(driver)
