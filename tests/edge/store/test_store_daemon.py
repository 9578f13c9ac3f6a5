"""The whole recorder on a disk that breaks: what is lost, how soon it goes on, what the page says.

``TWINHDR_LONG=1`` runs it (a minute; root); ``-s`` prints the table. test_store_faults.py has the same faults
without cameras, fusion and page.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.encode.video_read import count_frames
from edge.session.recording import Session
from tests.edge.daemon.test_crash_daemon import CONFIG
from tests.edge.loop_disk import LoopDisk, missing

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(missing() != "", reason=missing()),
    pytest.mark.skipif(os.environ.get("TWINHDR_LONG") != "1", reason="takes a minute: TWINHDR_LONG=1"),
]
FAULT_S = 10.0
HANG_S = 40.0
"""Longer than a writer's three successors would last."""
RECOVERED_S = 10.0

FAULTS: dict[str, tuple[str, Callable[[LoopDisk], None], Callable[[LoopDisk], None]]] = {
    "slow": ("has not answered", LoopDisk.freeze, LoopDisk.thaw),
    "hanging": ("has not answered", LoopDisk.freeze, LoopDisk.thaw),
    "full": ("is full", LoopDisk.fill, LoopDisk.free),
    "removed": ("is gone", LoopDisk.detach, LoopDisk.attach),
    "read-only": ("read-only", LoopDisk.find_error, LoopDisk.replug),
    "failing": ("reports errors", LoopDisk.cut_power, LoopDisk.replug),
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopDisk]:
    made = LoopDisk(tmp_path, megabytes=256)
    yield made
    made.close()


class Page:
    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/status"

    def status(self) -> dict[str, Any]:
        with urllib.request.urlopen(self._url, timeout=5) as answer:
            found = json.loads(answer.read())
        assert isinstance(found, dict)
        return found

    def disk(self) -> tuple[bool, str]:
        """Whether the disk is well, and what is said of it."""
        for condition in self.status()["conditions"]:
            if condition["name"] == "disk":
                return bool(condition["ok"]), str(condition["text"])
        return True, ""

    def until(self, true: Callable[[], bool], timeout_s: float, what: str) -> float:
        begin = time.monotonic()
        while not true():
            assert time.monotonic() - begin < timeout_s, what
            time.sleep(0.1)  # polls another process; there is nothing to wait on
        return time.monotonic() - begin


def answers(page: Page) -> bool:
    try:
        return "conditions" in page.status()
    except OSError:
        return False


def last_t_s(folder: Path) -> float:
    """Session time of the last line that can be read: a cut leaves zeros between lines."""
    found = 0
    for line in (folder / "frames.jsonl").read_bytes().splitlines()[-200:]:
        with contextlib.suppress(ValueError):
            found = max(found, json.loads(line.decode("utf-8", "replace")).get("t_ns", 0))
    return found / 1e9


def counted(page: Page, name: str, *labels: str) -> int:
    found = page.status()["totals"].get(name, {})
    return sum(int(n) for key, n in found.items() if all(label in key.split("/") for label in labels))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_disk_costs_only_what_it_did_not_take(tmp_path: Path, disk: LoopDisk, fault: str) -> None:
    """Cameras, fusion and page go on; recording goes on by itself; every lost frame is counted."""
    says, breaks, repairs = FAULTS[fault]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = CONFIG.format(root=disk.mount / "sessions", floor_gb=0.0)
    config = config.replace("web: {enabled: false}", f"web: {{port: {port}}}")
    (tmp_path / "run.yaml").write_text(config)
    command = [sys.executable, "-m", "edge.cli", "run", "--config", str(tmp_path / "run.yaml")]
    page = Page(port)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            page.until(lambda: answers(page), 60, "no page")
            page.until(lambda: counted(page, "frames", "fused") > 60, 60, "no frames")
            (folder,) = (disk.mount / "sessions").glob("s*")
            shown = counted(page, "frames", "fused")
            before = {c: counted(page, "frames", c) for c in ("reference", "secondary")}
            begin = time.monotonic()
            breaks(disk)
            told_s = page.until(lambda: says in page.disk()[1], 20, f"{fault} is not told: {page.disk()}")
            text = page.disk()[1]
            while time.monotonic() - begin < (HANG_S if fault == "hanging" else FAULT_S):
                assert process.poll() is None
                time.sleep(0.2)
            fault_s = time.monotonic() - begin
            filmed = {c: counted(page, "frames", c) - n for c, n in before.items()}
            fused = counted(page, "frames", "fused") - shown
            repairs(disk)
            page.until(lambda: page.disk()[0], RECOVERED_S, "the disk is back, and it is not seen")
            at_s = last_t_s(folder)
            again_s = page.until(lambda: last_t_s(folder) > at_s + 0.3, RECOVERED_S, "it does not go on")
            time.sleep(2.0)
            drops = Counter(
                {key: int(n) for key, n in page.status()["totals"].get("drops", {}).items() if int(n)}
            )
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                errors = process.communicate(timeout=60)[1]
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    print(f"\n{fault}: told after {told_s:.1f} s ({text}); goes on {again_s:.1f} s after the repair")
    print(f"  in {fault_s:.1f} s: {filmed} filmed, {fused} fused; lost: {dict(drops)}")
    assert process.returncode == 0, errors
    assert "Traceback" not in errors, errors
    assert filmed["reference"] > 0.8 * 30 * fault_s, "capture was held up"
    session = Session.open(folder)
    assert session.clean
    seqs = [frame.seq for frame in session.frames("reference")]
    assert seqs == sorted(set(seqs))
    files = [path for path in folder.glob("*/*") if path.suffix in (".mkv", ".mp4")]
    assert all(count_frames(path) > 0 for path in files)
    span = seqs[-1] - seqs[0] + 1
    assert span - len(seqs) <= 30 * (fault_s + again_s + 3.0)
