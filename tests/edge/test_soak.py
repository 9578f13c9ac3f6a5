"""A recording that goes on: memory, threads and files stay what they were.

Twenty seconds in the suite, where buffers still fill up; the full five minutes, with the bound that counts,
with TWINHDR_SOAK_S=300, and at the default size with TWINHDR_SOAK_SIZE=960x540.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from edge.session import Session

SECONDS = float(os.environ.get("TWINHDR_SOAK_S", "20"))
SIZE = os.environ.get("TWINHDR_SOAK_SIZE", "192x128")
WARM_UP_S, BOUND = (60.0, 1.02) if SECONDS >= 240.0 else (SECONDS / 2.0, 1.05)
SAMPLES_PER_S = 5
CONFIG = """\
version: 1
rig: {{width: {width}, height: {height}}}
simulator: {{pace: auto}}
fuse: {{ladder: [merge, reference]}}
web: {{port: 0}}
hdr: {{segment_s: 5}}
store: {{root: {root}, min_free_gb: 0, min_free_share: 0}}
"""


@pytest.mark.alone
def test_nothing_grows(tmp_path: Path) -> None:
    """Else the device on the roof runs out of memory after a week."""
    width, height = SIZE.split("x")
    config = tmp_path / "soak.yaml"
    config.write_text(CONFIG.format(width=width, height=height, root=tmp_path))
    command = [sys.executable, "-m", "edge.cli", "run", "--config", str(config)]
    daemon = subprocess.Popen([*command, "--session", str(tmp_path / "session")], stderr=subprocess.PIPE)
    try:
        samples = watch(daemon.pid, SECONDS)
        begin = time.monotonic()
        daemon.send_signal(signal.SIGINT)
        assert daemon.wait(10) == 0
        ended_s = time.monotonic() - begin
    finally:
        daemon.kill()
        daemon.communicate()
    settled = samples[int(WARM_UP_S * SAMPLES_PER_S) :]
    tail = len(settled) // 4
    before = statistics.median(rss for rss, _, _ in settled[:tail])
    after = statistics.median(rss for rss, _, _ in settled[-tail:])
    threads = [threads for _, threads, _ in settled]
    files = [files for _, _, files in settled]
    print(
        f"{SIZE}, {SECONDS:.0f} s: resident {before / 1e6:.1f} to {after / 1e6:.1f} MB, "
        f"threads {min(threads)} to {max(threads)}, files {min(files)} to {max(files)}, "
        f"ended in {ended_s:.2f} s"
    )
    assert after < BOUND * before
    assert max(threads[-tail:]) <= max(threads[:tail])
    assert max(files[-tail:]) <= max(files[:tail])
    session = Session.open(tmp_path / "session")
    assert session.clean
    assert list(session.records("drop")) == []


def watch(pid: int, seconds: float) -> list[tuple[int, int, int]]:
    """(resident bytes, threads, open files) of a process, five times a second."""
    process, samples = psutil.Process(pid), []
    for _ in range(int(seconds * SAMPLES_PER_S)):
        samples.append((process.memory_info().rss, process.num_threads(), process.num_fds()))
        time.sleep(1.0 / SAMPLES_PER_S)  # the sampling rate of this measurement
    return samples
