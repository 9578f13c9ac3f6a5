"""A recording that goes on: memory, threads, files and log stay what they were, and every frame is there.

Twenty seconds in the suite, where buffers still fill up. The hour that docs/reliability.md tells of:
``TWINHDR_SOAK_S=3600``; another picture size: ``TWINHDR_SOAK_SIZE=960x540``.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from edge.session.recording import Session
from tests.reliability.losses import STREAMS, losses
from tests.reliability.recorder import free_port

SECONDS = float(os.environ.get("TWINHDR_SOAK_S", "20"))
SIZE = os.environ.get("TWINHDR_SOAK_SIZE", "192x128")
LONG = SECONDS >= 240.0
WARM_UP_S = max(60.0, SECONDS / 6.0) if LONG else SECONDS / 2.0
GROWTH = 0.005 if LONG else 0.1
LOG_BYTES_PER_H = 1_000_000
LOG_BYTES_TO_START = 50_000
SAMPLES_PER_S = 2
CONFIG = """\
version: 1
rig: {{width: {width}, height: {height}}}
simulator: {{pace: 1}}
fuse: {{ladder: [merge, reference]}}
masters: {{enabled: true, segment_s: 5}}
web: {{port: {port}}}
hdr: {{segment_s: 5}}
thermal: {{enabled: false}}
store: {{root: {root}, min_free_gb: 0, min_free_share: 0}}
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """Of a process at one moment."""

    rss_bytes: int
    threads: int
    files: int


@pytest.mark.alone
@pytest.mark.timeout(SECONDS + 120.0)
def test_nothing_grows(tmp_path: Path) -> None:
    """Else the device on the roof runs out of memory, or of disk for its log, after a week."""
    width, height = SIZE.split("x")
    port = free_port()
    config = tmp_path / "soak.yaml"
    config.write_text(CONFIG.format(width=width, height=height, root=tmp_path, port=port))
    command = [sys.executable, "-m", "edge.cli", "run", "--config", str(config)]
    text = tmp_path / "log"
    with text.open("w") as log:
        daemon = subprocess.Popen([*command, "--session", str(tmp_path / "session")], stderr=log)
    reader = Reader(port)
    try:
        samples = watch(daemon, SECONDS)
        reader.stop()
        begin = time.monotonic()
        daemon.send_signal(signal.SIGINT)
        assert daemon.wait(30) == 0
        ended_s = time.monotonic() - begin
    finally:
        reader.stop()
        daemon.kill()
        daemon.wait()
    settled = samples[int(WARM_UP_S * SAMPLES_PER_S) :]
    quarter = len(settled) // 4
    first, last = settled[:quarter], settled[-quarter:]
    growth = median(s.rss_bytes for s in last) / median(s.rss_bytes for s in first) - 1.0
    found = losses(tmp_path / "session")
    unexplained = {stream: found.unexplained(stream) for stream in STREAMS}
    print(
        f"{SIZE}, {SECONDS:.0f} s: resident {median(s.rss_bytes for s in first) / 1e6:.1f} MB, "
        f"growth {growth * 100:+.2f} %, threads {spread([s.threads for s in settled])}, "
        f"files {spread([s.files for s in settled])}, log {text.stat().st_size} bytes, "
        f"frames missing {found.missing}, of these unexplained {unexplained} ({found.causes}), "
        f"pictures read {reader.pictures}, ended in {ended_s:.2f} s"
    )
    assert growth < GROWTH
    for before, after in ((first, last), (settled[:quarter], settled[quarter : 2 * quarter])):
        assert median(s.threads for s in after) <= median(s.threads for s in before)
        assert median(s.files for s in after) <= median(s.files for s in before)
    assert max(s.threads for s in last) <= max(s.threads for s in first) + 1  # the keeper's eraser
    assert max(s.files for s in last) <= max(s.files for s in first) + 4  # files that close as others open
    assert text.stat().st_size < LOG_BYTES_TO_START + LOG_BYTES_PER_H * SECONDS / 3600.0
    assert Session.open(tmp_path / "session").clean
    assert found.disorder == []
    assert sum(unexplained.values()) == 0
    assert set().union(*found.causes.values()) <= {"masters too_slow", "fuse too_slow", "encode too_slow"}
    assert reader.pictures > SECONDS


class Reader:
    """Somebody who looks at the page all the time."""

    def __init__(self, port: int) -> None:
        self.pictures = 0
        self._url = f"http://127.0.0.1:{port}/preview/fused.mjpg"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with urllib.request.urlopen(self._url, timeout=5) as stream:
                    while not self._stop.is_set() and (line := stream.readline()):
                        self.pictures += b"image/jpeg" in line
            except OSError:
                self._stop.wait(0.2)  # it is not there yet, or not any more


def watch(daemon: subprocess.Popen[bytes], seconds: float) -> list[Sample]:
    """What the process holds, twice a second."""
    process, samples = psutil.Process(daemon.pid), []
    for _ in range(int(seconds * SAMPLES_PER_S)):
        assert daemon.poll() is None, f"it ended by itself: {daemon.returncode}"
        samples.append(Sample(process.memory_info().rss, process.num_threads(), process.num_fds()))
        time.sleep(1.0 / SAMPLES_PER_S)  # the sampling rate of this measurement
    return samples


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[int]) -> str:
    return f"{min(values)} to {max(values)}"
